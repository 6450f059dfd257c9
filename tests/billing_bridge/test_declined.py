"""An immediate charge that was declined leaves a transaction behind, and news of it: neither is a charge."""

import pytest

from billing_bridge import giving_back, importing, jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.vendors.paddle.entities import FoundCharge
from paddle_sync.jobs import drain_events
from tests.billing_bridge import truth
from tests.billing_bridge.test_settlement import alarms
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of
from tests.builders import make_event

pytestmark = pytest.mark.django_db
State = PushedBill.State


@pytest.fixture(autouse=True)
def at_once() -> None:
    PushPolicy.objects.update(review="never", mode="immediately", lock_after_days=30)


def hear(world: World) -> None:
    """Let everything that Paddle has to tell arrive."""
    world.paddle.deliver_webhooks(even_if_not_due=True)
    drain_events()


def declined(world: World) -> PushedBill:
    """A bill whose charge was declined, and of which nothing else was heard yet."""
    hear(world)
    bill = world.imported()
    world.paddle.decline_payments(world.subscription_id, times=1)
    jobs.drain_bills()
    assert fresh(bill).state == State.FAILED
    return bill


def recalculated(world: World, bill: PushedBill, amount: str) -> None:
    """m3ter says another amount, which is approved there and read here."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", amount),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)


def test_what_is_heard_of_a_declined_charge_is_no_charge(world: World) -> None:
    bill = declined(world)

    hear(world)

    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).lost) == (State.FAILED, 0, 0)
    assert alarms() == []


def test_a_charge_that_succeeds_the_second_time_is_one_charge_whatever_is_heard_of_the_first(world: World) -> None:
    bill = declined(world)

    review.resend(bill.pk, by="fiona", reason="they have another card")
    jobs.drain_bills()
    hear(world)

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).pushed) == (State.PUSHED, "paid", 14345)
    assert (fresh(bill).lost, alarms()) == (0, [])
    assert truth.net(world.paddle, bill.m3ter_bill_id) == 14345


def test_a_charge_that_paddle_is_still_collecting_is_neither_there_nor_absent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = world.imported()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    collecting = FoundCharge(push_of(bill).push_id, "txn_1", "ready", "transactions", 14345)
    monkeypatch.setattr(
        "integration_project.vendors.paddle.client.PaddleClient.find_charge", lambda *args, **kwargs: collecting
    )

    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).looks, push_of(bill).state) == (State.UNCONFIRMED, 0, "unconfirmed")
    assert "has not finished charging" in fresh(bill).last_error


def test_a_correction_that_failed_is_settled_when_m3ter_takes_the_change_back(world: World) -> None:
    PushPolicy.objects.update(changed="settle")
    bill = world.imported()
    jobs.drain_bills()
    recalculated(world, bill, "200.00")
    world.paddle.decline_payments(world.subscription_id, times=1)
    jobs.drain_bills()
    failed = fresh(bill)

    recalculated(world, bill, "143.45")

    assert (failed.state, failed.outstanding) == (State.FAILED, 5655)
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, 0)


def refund_unanswered(world: World) -> PushedBill:
    """A refund that Paddle has made, and did not answer."""
    hear(world)
    bill = world.imported()
    jobs.drain_bills()
    hear(world)
    recalculated(world, bill, "100.00")
    review.refund(bill.pk, by="fiona", reason="corrected")
    world.paddle.fault("create adjustment", "lose_answer")
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED
    return bill


def test_a_refund_that_another_copy_of_the_database_asked_for_is_found(world: World) -> None:
    bill = refund_unanswered(world)
    Push.objects.filter(bill=bill, ordinal=2).update(paddle_transaction_id="")

    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.PUSHED, 4345, 0)
    assert len(world.paddle.adjustments) == 1


def test_a_refund_that_was_rejected_unseen_and_is_made_again_is_no_double(world: World) -> None:
    bill = refund_unanswered(world)
    world.paddle.outbox.clear()
    world.paddle.silence_webhooks()
    world.paddle.settle_adjustments(reject=True)
    world.paddle.silence_webhooks(silent=False)
    (rejected,) = world.paddle.adjustments.values()

    event = make_event("adjustment.updated", rejected)
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="rejected")
    jobs.drain_bills()
    giving_back.adjustment_changed(event, world.vendors)
    world.paddle.settle_adjustments()
    hear(world)

    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.PUSHED, 4345, 0)
    assert alarms() == []
