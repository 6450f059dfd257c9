"""A charge that may have been made on a subscription the account has left is looked for there, and a person decides."""

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import Push, PushAttempt, PushedBill, PushPolicy
from tests.billing_bridge.world import World, fresh, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def sent_and_left(world: World, fault: str) -> tuple[PushedBill, str]:
    """A bill that was sent on one subscription without an answer, given up by a person, and its new subscription."""
    bill = world.approved()
    world.paddle.fault("charge subscription", fault)
    jobs.drain_bills()
    PushedBill.objects.filter(pk=bill.pk).update(due_at=None, looks=5)
    review.charge_was_not_made(bill.pk, by="finance", reason="not there")
    return fresh(bill), world.subscribe_again()


def test_a_charge_that_is_on_the_left_subscription_is_found_there(world: World) -> None:
    bill, _ = sent_and_left(world, "lose_answer")

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).pushed, world.charges_of(bill)) == (State.PUSHED, 14345, 1)
    assert push_of(bill).paddle_subscription_id == world.subscription_id


@pytest.mark.parametrize("automatic", [False, True])
def test_without_a_trace_there_it_is_held_once_and_not_judged_again_by_itself(world: World, automatic: bool) -> None:
    bill, _ = sent_and_left(world, "error_before")
    PushPolicy.objects.update(review="never" if automatic else "always")
    jobs.drain_bills()
    steps = PushAttempt.objects.filter(bill=bill).count()

    for _ in range(3):
        jobs.import_new_bills()
        importing.import_bill(bill.m3ter_bill_id, world.vendors)
        jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.SENT_ELSEWHERE)
    assert world.subscription_id in fresh(bill).reason_detail
    assert PushAttempt.objects.filter(bill=bill).count() == steps
    assert world.calls("charge subscription") == 1


def test_a_person_can_release_it_to_the_new_subscription_as_a_push_of_its_own(world: World) -> None:
    bill, new_subscription = sent_and_left(world, "error_before")
    jobs.drain_bills()

    review.approve(bill.pk, by="finance", reason="the old subscription has no such charge")
    jobs.drain_bills()

    first, second = Push.objects.filter(bill=bill).order_by("ordinal")
    assert (fresh(bill).state, fresh(bill).pushed, world.charges_of(bill)) == (State.PUSHED, 14345, 1)
    assert (first.state, first.paddle_subscription_id) == (Push.State.FAILED, world.subscription_id)
    assert (second.state, second.paddle_subscription_id) == (Push.State.PUSHED, new_subscription)


def test_a_charge_that_shows_late_on_the_left_subscription_is_found_although_it_was_released(world: World) -> None:
    bill, _ = sent_and_left(world, "lose_answer")
    world.paddle.fault("list subscription history", "list_lag", seconds=3600)
    jobs.drain_bills()
    held = fresh(bill)

    review.approve(bill.pk, by="finance", reason="the old subscription has no such charge")
    jobs.drain_bills()

    assert held.reason == Reason.SENT_ELSEWHERE
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
