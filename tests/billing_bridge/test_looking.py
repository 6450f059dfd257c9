"""What a look-up finds, or cannot find out, is recorded together with its alarm."""

import datetime as dt
from typing import Any

import pytest

from billing_bridge import composing, jobs, looking, review, settlement
from billing_bridge.models import PushedBill
from billing_bridge.queues import CONFIRM, PUSH
from integration_project import clock, finding, work
from integration_project.models import Finding
from tests.billing_bridge.killing import Killed
from tests.billing_bridge.test_settlement import alarms
from tests.billing_bridge.world import World, end_lease, fresh, look_through_schedule, make_due, push_of
from tests.builders import make_event

State = PushedBill.State


@pytest.fixture
def dies_at_the_alarm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The process is killed when it is about to report; undo it to let another one go on."""

    def report(*_: Any, **__: Any) -> None:
        raise Killed("before the alarm")

    monkeypatch.setattr(finding, "report", report)
    return monkeypatch


def unanswered(world: World, *, charged: bool) -> PushedBill:
    """A bill whose charge was not answered."""
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer" if charged else "error_before")
    jobs.drain_bills()
    return fresh(bill)


def sent_ago(bill: PushedBill, **ago: int) -> None:
    bill.pushes.update(sent_at=clock.now() - dt.timedelta(**ago))


# --- Killed -----------------------------------------------------------------------------------------------------------


def test_killed_before_the_alarm_of_a_lost_charge_the_next_one_raises_it(
    world: World, dies_at_the_alarm: pytest.MonkeyPatch
) -> None:
    bill = world.pushed()
    world.paddle.cancel(world.subscription_id)
    event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])

    with pytest.raises(Killed):
        settlement.subscription_changed(event, world.vendors)
    dies_at_the_alarm.undo()
    settlement.subscription_changed(event, world.vendors)

    assert (fresh(bill).state, fresh(bill).lost, alarms()) == (State.LOST, 14345, ["charge lost"])


def test_killed_before_the_alarm_of_the_last_look_the_next_one_raises_it(
    world: World, dies_at_the_alarm: pytest.MonkeyPatch
) -> None:
    bill = unanswered(world, charged=False)

    with pytest.raises(Killed):
        look_through_schedule(bill)
    dies_at_the_alarm.undo()
    end_lease(bill)
    work.release_expired(CONFIRM)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).due_at, alarms()) == (State.UNCONFIRMED, None, ["charge unconfirmed"])


def test_killed_before_the_alarm_of_a_charge_found_on_a_cancelled_subscription_the_next_one_raises_it(
    world: World, dies_at_the_alarm: pytest.MonkeyPatch
) -> None:
    bill = unanswered(world, charged=True)
    world.paddle.cancel(world.subscription_id)
    link = world.link
    link.paddle_status = "canceled"
    link.save(update_fields=["paddle_status"])

    make_due(bill)
    with pytest.raises(Killed):
        jobs.confirm_bills()
    dies_at_the_alarm.undo()
    end_lease(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, alarms()) == (State.LOST, ["charge lost"])


def test_killed_before_a_fault_of_ours_is_told_the_next_one_tells_it(
    world: World, dies_at_the_alarm: pytest.MonkeyPatch
) -> None:
    bill = world.approved()
    dies_at_the_alarm.setattr(composing, "read_preview", None)  # calling it is a fault that nobody foresaw

    with pytest.raises(Killed):
        jobs.drain_bills()
    left = fresh(bill).state
    dies_at_the_alarm.undo()
    dies_at_the_alarm.setattr(composing, "read_preview", None)
    end_lease(bill)
    work.release_expired(PUSH)
    make_due(bill)
    jobs.drain_bills()

    assert (left, fresh(bill).state) == (State.PUSHING, State.FAILED)
    assert Finding.objects.filter(kind="internal error", subject=bill.m3ter_bill_id, state="open").count() == 1


# --- Never complete ---------------------------------------------------------------------------------------------------


def test_a_charge_that_cannot_be_looked_for_is_an_alarm_after_an_hour_until_a_look_counts(world: World) -> None:
    bill = unanswered(world, charged=False)
    world.paddle.fault("list subscription history", "error_before", times=None)

    make_due(bill)
    jobs.confirm_bills()
    at_first = alarms()
    sent_ago(bill, minutes=61)
    make_due(bill)
    jobs.confirm_bills()
    after_an_hour = alarms()
    found = Finding.objects.get(kind=looking.NOT_LOOKED)
    world.paddle.faults.clear()
    make_due(bill)
    jobs.confirm_bills()

    assert (at_first, after_an_hour) == ([], [looking.NOT_LOOKED])
    assert found.subject == push_of(bill).push_id
    assert "143.45 USD" in found.detail
    assert "HTTP 503" in found.detail
    assert (alarms(), fresh(bill).looks) == ([], 1)


def test_the_alarm_of_look_ups_that_never_end_closes_when_a_person_settles_the_charge(world: World) -> None:
    bill = unanswered(world, charged=True)
    world.paddle.fault("list subscription history", "error_before", times=None)
    sent_ago(bill, minutes=61)
    make_due(bill)
    jobs.confirm_bills()
    before = alarms()

    review.charge_was_made(bill.pk, by="finance", reason="it is in the console")

    assert (before, alarms()) == ([looking.NOT_LOOKED], [])


# --- Cancelled meanwhile ----------------------------------------------------------------------------------------------


def cancel_now(world: World) -> None:
    """Let Paddle cancel the subscription and tell of it."""
    world.paddle.cancel(world.subscription_id)
    event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])
    settlement.subscription_changed(event, world.vendors)


def test_a_cancellation_is_known_here_once_it_is_told_whatever_else_it_waits_for(world: World) -> None:
    cancel_now(world)

    assert world.link.paddle_status == "canceled"


def test_a_charge_that_a_person_found_on_a_cancelled_subscription_is_lost(world: World) -> None:
    bill = unanswered(world, charged=True)
    cancel_now(world)

    review.charge_was_made(bill.pk, by="finance", reason="it is in the history")

    assert (fresh(bill).state, fresh(bill).outstanding, alarms()) == (State.LOST, 14345, ["charge lost"])
