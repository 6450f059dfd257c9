"""A bill is charged exactly once, for exactly its amount, and whatever is not certain is settled by looking."""

from billing_bridge import jobs
from billing_bridge.models import Push, PushedBill
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def test_an_approved_bill_becomes_one_charge_with_the_renewal(world: World) -> None:
    bill = world.approved()

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.pushed, bill.outstanding) == (State.PUSHED, 14345, 0)
    (charge,) = world.paddle.charges
    assert (charge.subscription_id, charge.effective_from) == (world.subscription_id, "next_billing_period")
    assert (charge.subtotal, charge.currency_code) == (14345, "USD")
    assert set(charge.push_ids) == {f"{bill.m3ter_bill_id}-1"}
    push = push_of(bill)
    assert (push.state, push.amount, push.attempt) == (Push.State.PUSHED, 14345, 1)


def test_a_lost_answer_does_not_charge_twice(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")

    jobs.drain_bills()
    state_before_looking = fresh(bill).state
    make_due(bill)
    jobs.confirm_bills()

    assert state_before_looking == State.UNCONFIRMED
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 14345)
    assert world.charges_of(bill) == 1
    assert world.calls("charge subscription") == 1
