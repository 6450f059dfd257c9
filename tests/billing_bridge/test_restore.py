"""In a copy of the database, after confirm_restore, every first push looks in Paddle and finds the original's."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing_bridge import importing, jobs, review
from billing_bridge.models import BillEntry, Push, PushAttempt, PushedBill
from integration_project.models import Installation
from tests.billing_bridge.world import World, fresh, push_of

State = PushedBill.State


def go_back_to_before_the_push(bill: PushedBill) -> None:
    """Make this database what a backup made between approval and push would restore."""
    BillEntry.objects.filter(bill=bill).delete()
    PushAttempt.objects.filter(bill=bill).delete()
    Push.objects.filter(bill=bill).delete()
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.READY,
        due_at=bill.first_seen_at,
        pushed=0,
        outstanding=bill.payable,
        locked_at=None,
        m3ter_locked=False,
    )


def confirm() -> str:
    out = StringIO()
    call_command("confirm_restore", "--reason", "restored the backup of Monday", stdout=out)
    return out.getvalue()


def test_a_restored_database_finds_the_originals_charge(world: World) -> None:
    bill = world.pushed()
    go_back_to_before_the_push(bill)

    said = confirm()
    jobs.drain_bills()

    assert "1 bills that are not charged yet" in said
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 14345)
    assert world.charges_of(bill) == 1
    assert world.calls("charge subscription") == 1


def test_a_restored_database_that_never_saw_the_bill_finds_the_charge_too(world: World) -> None:
    bill = world.pushed()
    bill_id = bill.m3ter_bill_id
    BillEntry.objects.all().delete()
    PushAttempt.objects.all().delete()
    Push.objects.all().delete()
    PushedBill.objects.update(revision=None, reviewed_revision=None)
    PushedBill.objects.all().delete()

    confirm()
    copy = importing.import_bill(bill_id, world.vendors)
    assert copy is not None
    review.approve(copy.pk, by="finance")
    jobs.drain_bills()

    assert (fresh(copy).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_what_the_original_did_not_charge_is_charged_by_the_copy_after_one_look(world: World) -> None:
    bill = world.approved()

    confirm()
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert PushAttempt.objects.filter(push=push_of(bill), step="look", outcome="absent").count() == 1


def test_a_look_after_a_restore_that_is_not_complete_sends_nothing(world: World) -> None:
    bill = world.pushed()
    go_back_to_before_the_push(bill)
    confirm()
    world.paddle.fault("list transactions", "error_before", times=None)

    jobs.drain_bills()

    assert (fresh(bill).state, world.calls("charge subscription")) == (State.READY, 1)


def test_confirming_needs_a_reason_and_a_dry_run_changes_nothing(world: World) -> None:
    out = StringIO()

    call_command("confirm_restore", "--reason", "rehearsal", "--dry-run", stdout=out)
    with pytest.raises(CommandError, match="reason"):
        call_command("confirm_restore", "--reason", "  ")

    assert "0 bills would be looked for" in out.getvalue()
    assert Installation.objects.get().look_before_first_push is False


def test_who_confirmed_and_why_stands_in_the_bills_history(world: World) -> None:
    bill = world.approved()

    confirm()

    step = PushAttempt.objects.filter(bill=bill, outcome="restore confirmed").get()
    assert (step.by, step.detail) == ("confirm_restore", "restored the backup of Monday")
