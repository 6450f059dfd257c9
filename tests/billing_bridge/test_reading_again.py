"""What is known of a bill is never undone by a later word that knows less: an older read, a 404, a pending status."""

import datetime as dt
from collections.abc import Callable

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import Temporary
from integration_project.models import Installation
from tests.billing_bridge.world import LINES, LIVE_SINCE, World, fresh, make_due

State = PushedBill.State
Reason = PushedBill.Reason
LESS = (("API calls", "10.00"),)


def change(world: World, bill: PushedBill, lines: tuple[tuple[str, str], ...]) -> None:
    """Let m3ter calculate the bill again and approve it."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, lines)
    world.m3ter.approve_bill(bill.m3ter_bill_id)


def read(world: World, bill: PushedBill) -> None:
    """Read the bill as a notice of m3ter's would have it read."""
    importing.import_bill(bill.m3ter_bill_id, world.vendors)


def come_and_go(world: World, bill: PushedBill) -> None:
    """Let m3ter have no such bill for one read, and the same one again afterwards."""
    row = dict(world.in_m3ter(bill.m3ter_bill_id))
    world.delete_in_m3ter(bill)
    read(world, bill)
    world.m3ter.memory.bills.add(row)["version"] = row["version"]


# --- An older read ----------------------------------------------------------------------------------------------------


def test_a_slow_older_read_does_not_overwrite_a_newer_one(world: World) -> None:
    bill = world.approved()
    asked_at = clock.now()
    slow = world.vendors.m3ter.get_bill(bill.m3ter_bill_id)
    change(world, bill, LESS)
    read(world, bill)

    importing.record(slow, read_at=asked_at)

    assert (fresh(bill).payable, fresh(bill).reason) == (1000, Reason.REVIEW)
    assert fresh(bill).m3ter_version > slow.version


def test_a_slow_not_found_does_not_undo_a_newer_read(world: World) -> None:
    bill = world.approved()
    asked_at = clock.now()
    read(world, bill)

    importing.record_deleted(bill.m3ter_bill_id, read_at=asked_at)

    assert (fresh(bill).state, fresh(bill).payable) == (State.READY, 14345)


def test_when_m3ter_itself_answers_with_an_older_version_it_is_asked_again(world: World) -> None:
    bill = world.approved()
    PushedBill.objects.update(m3ter_version=99)

    with pytest.raises(Temporary, match="version 99"):
        read(world, bill)

    assert (fresh(bill).state, fresh(bill).m3ter_version) == (State.READY, 99)


def test_an_older_version_is_never_charged(world: World) -> None:
    bill = world.approved()
    PushedBill.objects.update(m3ter_version=99, m3ter_read_at=clock.now() - dt.timedelta(minutes=2))

    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.READY, 0)
    assert "version 99" in fresh(bill).last_error


def test_a_bill_counts_as_read_when_it_was_asked_for(world: World) -> None:
    before = clock.now()
    bill_id = world.make_bill()
    bill = world.vendors.m3ter.get_bill(bill_id)

    known = importing.record(bill, read_at=before)

    assert known is not None
    assert known.m3ter_read_at == before


# --- Gone and back ----------------------------------------------------------------------------------------------------


def test_a_bill_that_was_gone_and_is_back_is_owed_again(world: World) -> None:
    bill = world.approved()
    come_and_go(world, bill)
    gone = fresh(bill)

    world.import_all()
    back = fresh(bill)
    review.approve(bill.pk, by="finance", reason="it is right")
    jobs.drain_bills()

    assert (gone.reason, gone.payable) == (Reason.DELETED, 0)
    assert (back.state, back.reason) == (State.HELD, Reason.REVIEW)
    assert (fresh(bill).state, fresh(bill).pushed, world.charges_of(bill)) == (State.PUSHED, 14345, 1)


def test_a_pushed_bill_that_was_gone_and_is_back_is_pushed_again_in_words_only(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=5)
    bill = world.pushed()
    come_and_go(world, bill)

    read(world, bill)

    after = fresh(bill)
    assert (after.state, after.reason, after.payable, after.outstanding) == (State.PUSHED, "", 14345, 0)


@pytest.mark.parametrize(("decide", "state"), [(review.hold, State.HELD), (review.skip, State.SKIPPED)])
def test_what_a_person_decided_stays_when_a_bill_was_gone_and_is_back(
    world: World, decide: Callable[..., None], state: str
) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()
    decide(bill.pk, by="fiona", reason="dispute")
    come_and_go(world, bill)

    world.import_all()
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason, world.charges_of(bill)) == (state, Reason.OPERATOR, 0)


# --- Judged again -----------------------------------------------------------------------------------------------------


def test_a_hold_between_listing_and_judging_again_stays(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported(endDate=(clock.now().date() + dt.timedelta(days=3)).isoformat())
    PushedBill.objects.update(period_end=clock.now().date())
    listed = [row.pk for row in importing._to_reconsider()]
    review.hold(bill.pk, by="fiona", reason="dispute")

    judged = [importing.reconsider_one(pk) for pk in listed]

    assert judged == [False]
    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.OPERATOR)


def test_a_skip_between_listing_and_judging_again_stays(world: World) -> None:
    Installation.objects.update(charge_from=None)
    PushPolicy.objects.update(review="never")
    bill = world.imported()
    Installation.objects.update(charge_from=LIVE_SINCE)
    listed = [row.pk for row in importing._to_reconsider()]
    review.skip(bill.pk, by="fiona", reason="paid by bank transfer")

    judged = [importing.reconsider_one(pk) for pk in listed]

    assert judged == [False]
    assert (fresh(bill).state, fresh(bill).reason) == (State.SKIPPED, Reason.OPERATOR)


# --- Calculated again -------------------------------------------------------------------------------------------------


def failed(world: World) -> PushedBill:
    """A bill that Paddle refused for good."""
    bill = world.approved()
    assert bill.revision is not None
    PushedBill.objects.filter(pk=bill.pk).update(state=State.FAILED, last_error="entity_archived", due_at=None)
    Push.objects.create(
        push_id=f"{bill.m3ter_bill_id}-1",
        bill=bill,
        revision=bill.revision,
        ordinal=1,
        mode="next_billing_period",
        paddle_subscription_id=world.subscription_id,
        currency="USD",
        amount=14345,
        state=Push.State.FAILED,
        created_at=clock.now(),
    )
    return fresh(bill)


def test_a_failed_bill_that_m3ter_calculates_again_to_the_same_is_not_sent_again_by_itself(world: World) -> None:
    bill = failed(world)
    world.m3ter.recalculate(bill.m3ter_bill_id)
    read(world, bill)
    pending = fresh(bill)
    world.change_bill(bill.m3ter_bill_id, LINES)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    read(world, bill)

    assert (pending.state, pending.m3ter_status) == (State.FAILED, "PENDING")
    assert fresh(bill).state == State.FAILED


# --- Linked again -----------------------------------------------------------------------------------------------------


def test_a_bill_whose_new_subscription_is_being_charged_already_waits_for_that(world: World) -> None:
    bill = world.approved()
    other = world.imported(account_id=world.subscribe(email="other@example.com")[1])
    PushedBill.objects.filter(pk=bill.pk).update(
        serial_key="sub_before", m3ter_read_at=clock.now() - dt.timedelta(minutes=5)
    )
    PushedBill.objects.filter(pk=other.pk).update(
        state=State.PUSHING, serial_key=world.subscription_id, lease_until=clock.now() + dt.timedelta(minutes=2)
    )

    jobs.drain_bills()
    waiting = fresh(bill)
    PushedBill.objects.filter(pk=other.pk).update(state=State.SKIPPED, reason=Reason.OPERATOR, lease_until=None)
    PushedBill.objects.filter(pk=bill.pk).update(m3ter_read_at=clock.now() - dt.timedelta(minutes=5))
    make_due(bill)
    jobs.drain_bills()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.ANOTHER_PUSH)
    assert (fresh(bill).state, fresh(bill).serial_key) == (State.PUSHED, world.subscription_id)
