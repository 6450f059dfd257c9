"""What the subscription is at this moment decides whether a bill is charged, waits or is held."""

import datetime as dt
from collections.abc import Callable

import pytest

from billing_bridge import jobs
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import AccountLink
from tests.billing_bridge.world import World, fresh, make_due

State = PushedBill.State
Reason = PushedBill.Reason


def test_a_cancelled_subscription_is_held(world: World) -> None:
    bill = world.approved()
    world.paddle.cancel(world.subscription_id)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.CANCELLED)
    assert world.charges_of(bill) == 0


@pytest.mark.parametrize(("what", "reason"), [("cancel", Reason.CANCELLED), ("pause", Reason.PAUSED)])
def test_a_scheduled_end_is_held_with_its_date(world: World, what: str, reason: str) -> None:
    bill = world.approved()
    subscription = world.paddle.subscriptions[world.subscription_id]
    subscription["scheduled_change"] = {"action": what, "effective_at": "2030-01-31T00:00:00Z", "resume_at": None}

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, reason)
    assert f"Paddle will {what} the subscription on 2030-01-31" in fresh(bill).reason_detail
    assert world.charges_of(bill) == 0


def test_a_paused_subscription_waits_and_goes_on_when_it_is_resumed(world: World) -> None:
    bill = world.approved()
    world.paddle.pause(world.subscription_id)

    jobs.drain_bills()
    waiting = fresh(bill)
    world.paddle.resume(world.subscription_id)
    make_due(bill)
    jobs.drain_bills()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.PAUSED)
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_a_past_due_subscription_waits(world: World) -> None:
    bill = world.approved()
    world.paddle.decline_payments(world.subscription_id)
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.PAST_DUE)
    assert world.charges_of(bill) == 0


def test_a_trial_waits_until_it_ends(world: World) -> None:
    a_week = dt.timedelta(days=7)
    _, account_id = world.subscribe(sample.PRICE_CLOUD_TRIAL_EUR, currency="EUR", email="t@example.com", ago=a_week)
    bill = world.approved(account_id=account_id, currency="EUR")

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.TRIAL)
    assert world.calls("charge subscription") == 0


def test_shortly_before_the_renewal_it_waits_until_after(world: World) -> None:
    bill = world.approved()
    subscription = world.vendors.paddle.get_subscription(world.subscription_id)
    assert subscription.next_billed_at is not None
    soon = clock.now() + dt.timedelta(minutes=33)
    _renew_at(world, soon)

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.reason) == (State.WAITING, Reason.RENEWAL_LOCK)
    assert bill.due_at is not None
    assert bill.due_at >= soon
    assert world.calls("charge subscription") == 0


@pytest.mark.parametrize("minutes", [33, 20], ids=["before the lock", "inside the lock"])
@pytest.mark.parametrize(
    ("late", "charged"),
    [(PushPolicy.Late.WAIT, "next_billing_period"), (PushPolicy.Late.IMMEDIATELY, "immediately")],
)
def test_a_bill_that_comes_too_late_for_a_renewal_is_charged_after_it_as_policy_says(
    world: World, deliver: Callable[[], int], run_jobs: Callable[[], int], minutes: int, late: str, charged: str
) -> None:
    PushPolicy.objects.update(late=late)
    soon = clock.now() + dt.timedelta(minutes=minutes)
    _renew_at(world, soon)
    AccountLink.objects.update(next_billed_at=soon)
    bill = world.approved()

    jobs.drain_bills()
    late_bill = fresh(bill)
    world.paddle.clock_move(minutes=minutes + 1)
    world.paddle.run_renewals()
    deliver()
    run_jobs()

    assert (late_bill.state, late_bill.reason) == (State.WAITING, Reason.RENEWAL_LOCK)
    assert late_bill.due_at == soon + dt.timedelta(minutes=5)
    assert ("at once" in late_bill.reason_detail) == (late == PushPolicy.Late.IMMEDIATELY)
    assert (fresh(bill).state, fresh(bill).chosen_mode) == (State.PUSHED, "")
    (charge,) = world.paddle.charges
    assert (charge.effective_from, charge.subscription_id) == (charged, world.subscription_id)


def test_a_renewal_under_way_is_waited_for(world: World) -> None:
    bill = world.approved()
    _renew_at(world, clock.now() - dt.timedelta(minutes=1))

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.RENEWAL_LOCK)


def test_a_renewal_too_far_away_is_held(world: World) -> None:
    PushPolicy.objects.update(max_wait_days=3)
    bill = world.approved()

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.RENEWAL_TOO_FAR)
    assert "more than 3 days away" in fresh(bill).reason_detail


def test_more_lines_than_paddle_takes_become_one_item(world: World) -> None:
    bill = world.approved([(f"Line {number}", "1.11") for number in range(130)])

    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    (charge,) = world.paddle.charges
    assert (len(charge.items), charge.subtotal) == (1, 130 * 111)


def test_lines_that_only_fit_without_the_recurring_ones_become_one_item(world: World) -> None:
    bill = world.approved([(f"Line {number}", "1.11") for number in range(100)])

    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    (charge,) = world.paddle.charges
    assert (len(charge.items), charge.subtotal) == (1, 100 * 111)


def _renew_at(world: World, moment: dt.datetime) -> None:
    """Move the next renewal of the subscription."""
    text = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    subscription = world.paddle.subscriptions[world.subscription_id]
    subscription["next_billed_at"] = text
    subscription["current_billing_period"]["ends_at"] = text


@pytest.mark.parametrize("link", ["cancelled", "ended"])
def test_a_bill_of_nothing_needs_nobody_whatever_became_of_the_subscription(world: World, link: str) -> None:
    AccountLink.objects.update(**{"cancelled": {"paddle_status": "canceled"}, "ended": {"state": "ended"}}[link])

    bill = world.imported((("API calls", "0.00"),))

    assert (fresh(bill).state, fresh(bill).reason) == (State.SKIPPED, Reason.ZERO)
