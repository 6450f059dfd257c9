"""Paddle takes 20 immediate charges an hour on a subscription, 100 in a day: a bill waits rather than ask for a 429."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge import charge_limits, jobs
from billing_bridge.charge_limits import DAY, HOUR, MARGIN
from billing_bridge.models import Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from tests.billing_bridge.world import World, fresh, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason
NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def test_there_is_room_below_both_limits() -> None:
    assert charge_limits.reached([NOW - MINUTE] * 19, NOW) is None
    assert charge_limits.reached([NOW - 2 * HOUR] * 99, NOW) is None


def test_after_twenty_in_an_hour_there_is_room_when_the_first_of_them_is_an_hour_old() -> None:
    made = [NOW - (40 - number) * MINUTE for number in range(20)]

    limit = charge_limits.reached(made, NOW)

    assert limit is not None
    assert (limit.most, limit.until) == (20, NOW - 40 * MINUTE + HOUR + MARGIN)


def test_after_a_hundred_in_a_day_the_day_decides() -> None:
    made = [NOW - DAY + number * 10 * MINUTE + MINUTE for number in range(100)]

    limit = charge_limits.reached(made, NOW)

    assert limit is not None
    assert (limit.most, limit.until) == (100, NOW + MINUTE + MARGIN)


@given(gaps=st.lists(st.integers(min_value=0, max_value=40), min_size=1, max_size=250))
def test_whoever_waits_as_long_as_it_says_never_exceeds_a_limit(gaps: list[int]) -> None:
    made: list[dt.datetime] = []
    at = NOW
    for gap in gaps:
        at += gap * MINUTE
        limit = charge_limits.reached(made, at)
        at = at if limit is None else limit.until
        assert charge_limits.reached(made, at) is None
        made.append(at)

    for place, moment in enumerate(made):
        assert sum(1 for other in made[: place + 1] if other > moment - HOUR) <= 20
        assert sum(1 for other in made[: place + 1] if other > moment - DAY) <= 100


def charged_before(world: World, count: int, *, ago: dt.timedelta, state: str = Push.State.PUSHED) -> list[Push]:
    """Immediate charges of another bill on the subscription, made some time ago; refused ones kept no `sent_at`."""
    other = world.imported()
    assert other.revision is not None
    at = clock.now() - ago
    pushes = [
        Push.objects.create(
            push_id=f"{other.m3ter_bill_id}-{number}",
            bill=other,
            revision=other.revision,
            ordinal=number,
            mode=PushPolicy.Mode.IMMEDIATELY,
            paddle_subscription_id=world.subscription_id,
            currency="USD",
            amount=100,
            state=state,
            created_at=at,
            sent_at=None if state == Push.State.FAILED else at,
        )
        for number in range(1, count + 1)
    ]
    if state == Push.State.FAILED:
        PushAttempt.objects.bulk_create(
            PushAttempt(bill=other, push=push, step="charge", phase="after", outcome="failed", at=at) for push in pushes
        )
    return pushes


def ready_at_once(world: World) -> PushedBill:
    """A bill of the same subscription that is to be charged at once."""
    PushPolicy.objects.update(mode=PushPolicy.Mode.IMMEDIATELY, review=PushPolicy.Review.NEVER)
    bill_id = world.another_bill()
    jobs.import_new_bills()
    return PushedBill.objects.get(m3ter_bill_id=bill_id)


@pytest.mark.parametrize("state", [Push.State.PUSHED, Push.State.FAILED])
def test_the_twenty_first_charge_of_an_hour_waits_and_asks_paddle_for_nothing(world: World, state: str) -> None:
    charged_before(world, 20, ago=40 * MINUTE, state=state)
    bill = ready_at_once(world)

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.reason) == (State.WAITING, Reason.CHARGE_LIMIT)
    assert bill.due_at is not None
    assert 20 * MINUTE < bill.due_at - clock.now() < 22 * MINUTE
    assert "20 immediate charges an hour" in bill.reason_detail
    assert world.calls("preview charge") == world.calls("charge subscription") == 0


def test_when_the_hour_is_over_it_is_charged(world: World) -> None:
    pushes = charged_before(world, 20, ago=40 * MINUTE)
    bill = ready_at_once(world)
    jobs.drain_bills()
    Push.objects.filter(pk__in=[push.pk for push in pushes]).update(sent_at=clock.now() - HOUR - 2 * MINUTE)
    make_due(bill)

    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    assert [charge.effective_from for charge in world.paddle.charges] == ["immediately"]


def test_nineteen_leave_room_and_so_do_twenty_of_another_subscription(world: World) -> None:
    pushes = charged_before(world, 20, ago=40 * MINUTE)
    Push.objects.filter(pk=pushes[0].pk).update(paddle_subscription_id="sub_other")
    bill = ready_at_once(world)

    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED


def test_a_hundred_in_a_day_wait_for_the_day(world: World) -> None:
    charged_before(world, 100, ago=20 * HOUR)
    bill = ready_at_once(world)

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.reason) == (State.WAITING, Reason.CHARGE_LIMIT)
    assert bill.due_at is not None
    assert 4 * HOUR < bill.due_at - clock.now() < 4 * HOUR + 2 * MINUTE


def test_what_goes_with_the_renewal_is_not_limited(world: World) -> None:
    charged_before(world, 100, ago=MINUTE)
    bill_id = world.another_bill()
    PushPolicy.objects.update(review=PushPolicy.Review.NEVER)
    jobs.import_new_bills()

    jobs.drain_bills()

    assert PushedBill.objects.get(m3ter_bill_id=bill_id).state == State.PUSHED


def test_a_bill_that_policy_turns_to_an_immediate_charge_is_limited_too(world: World) -> None:
    charged_before(world, 20, ago=10 * MINUTE)
    PushPolicy.objects.update(far=PushPolicy.Far.IMMEDIATELY, max_wait_days=3, review=PushPolicy.Review.NEVER)
    bill_id = world.another_bill()
    jobs.import_new_bills()

    jobs.drain_bills()

    bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
    assert (bill.state, bill.reason) == (State.WAITING, Reason.CHARGE_LIMIT)
    assert world.calls("charge subscription") == 0
    assert push_of(bill).state == Push.State.INTENDED


@pytest.mark.parametrize(("count", "ago"), [(20, MINUTE), (100, 2 * HOUR)], ids=["an hour", "a day"])
def test_paddles_own_limit_makes_a_bill_wait_and_not_fail(world: World, count: int, ago: dt.timedelta) -> None:
    """Somebody else charges on the subscription too, so only Paddle knows."""
    world.paddle.world.memory.immediate[world.subscription_id] += [clock.now() - ago] * count
    PushPolicy.objects.update(mode=PushPolicy.Mode.IMMEDIATELY)
    bill = world.approved()

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.reason) == (State.WAITING, Reason.CHARGE_LIMIT)
    assert bill.due_at is not None
    assert 59 * MINUTE < bill.due_at - clock.now() <= HOUR
    assert (push_of(bill).state, push_of(bill).sent_at) == (Push.State.INTENDED, None)
