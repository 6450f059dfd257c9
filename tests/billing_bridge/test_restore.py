"""In a copy of the database, after confirm_restore, every first push looks in Paddle and finds the original's."""

import datetime as dt
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing_bridge import importing, jobs, review
from billing_bridge.models import BillEntry, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.admin.installation import look_first
from integration_project.errors import NotPossible
from integration_project.models import Installation
from paddle_sync.jobs import drain_events
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


# --- The console's switch ---------------------------------------------------------------------------------------------


def turn(*, on: bool) -> None:
    look_first(1, by="admin", reason="restored the backup of Monday", on=on)


def collected_and_forgotten(world: World, deliver: Callable[[], int]) -> PushedBill:
    """A bill whose charge Paddle has collected, in a database that was restored from before it was sent."""
    PushPolicy.objects.update(max_wait_days=60)  # Paddle's clock is at the renewal, ours is not
    bill = world.pushed()
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    deliver()
    drain_events()
    go_back_to_before_the_push(bill)
    return bill


def test_the_consoles_switch_confirms_the_restore_with_who_and_why(world: World) -> None:
    bill = world.approved()

    turn(on=True)

    step = PushAttempt.objects.get(bill=bill, outcome="restore confirmed")
    assert (step.by, step.detail) == ("admin", "restored the backup of Monday")
    assert Installation.objects.get().restore_confirmed_at is not None


def test_after_the_consoles_switch_the_originals_charge_is_found(world: World, deliver: Callable[[], int]) -> None:
    bill = collected_and_forgotten(world, deliver)

    turn(on=True)
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_turned_on_again_after_another_restore_older_looks_count_for_nothing(
    world: World, deliver: Callable[[], int]
) -> None:
    bill = collected_and_forgotten(world, deliver)
    last_month = clock.now() - dt.timedelta(days=30)
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=last_month)
    _looked_for_then(bill)

    turn(on=True)
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def _looked_for_then(bill: PushedBill) -> None:
    """Let the bill have been looked for three days ago, before the charge was made."""
    assert bill.revision is not None
    push = Push.objects.create(
        push_id=f"{bill.m3ter_bill_id}-1",
        bill=bill,
        revision=bill.revision,
        ordinal=1,
        amount=bill.payable,
        created_at=clock.now(),
    )
    then = clock.now() - dt.timedelta(days=3)
    PushAttempt.objects.create(bill=bill, push=push, step="look", phase="after", outcome="absent", at=then)


def test_looking_first_without_a_time_of_the_restore_counts_no_look(world: World, deliver: Callable[[], int]) -> None:
    bill = collected_and_forgotten(world, deliver)
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=None)

    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_turning_the_switch_off_clears_it_and_nothing_else(world: World) -> None:
    turn(on=True)
    confirmed_at = Installation.objects.get().restore_confirmed_at

    turn(on=False)
    with pytest.raises(NotPossible, match="off already"):
        turn(on=False)

    row = Installation.objects.get()
    assert (row.look_before_first_push, row.restore_confirmed_at) == (False, confirmed_at)


# --- More than the charge ---------------------------------------------------------------------------------------------


def test_a_charge_on_the_accounts_earlier_subscription_is_found_too(world: World, deliver: Callable[[], int]) -> None:
    bill = collected_and_forgotten(world, deliver)
    confirm()
    earlier = world.subscription_id
    world.subscribe_again()

    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert push_of(bill).paddle_subscription_id == earlier


def test_a_found_charge_that_the_renewal_does_not_bring_is_lost(world: World, deliver: Callable[[], int]) -> None:
    world.paddle.fault("charge subscription", "accept_and_bill_nothing", history=True)
    bill = world.pushed()
    go_back_to_before_the_push(bill)
    confirm()
    jobs.drain_bills()
    found = fresh(bill).state

    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    deliver()
    drain_events()

    assert (found, fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, State.LOST, 14345)


def test_a_charge_that_the_preview_shows_keeps_the_renewal_it_belongs_to(world: World) -> None:
    bill = world.pushed()
    go_back_to_before_the_push(bill)

    jobs.drain_bills()

    assert fresh(bill).state == State.UNCONFIRMED
    assert (
        push_of(bill).expected_renewal_at == world.vendors.paddle.get_subscription(world.subscription_id).next_billed_at
    )
