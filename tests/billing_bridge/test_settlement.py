"""Pushed is not paid: Paddle's own transactions say what became of a charge."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from billing_bridge import jobs, outcomes, review, settlement
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.errors import Ignored, Permanent
from integration_project.models import Finding
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.world import World, fresh, make_due, push_of
from tests.builders import make_event, make_mapping

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason


def renew(world: World, deliver: Callable[[], int]) -> None:
    """Let the renewal come, and Paddle tell of it."""
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    deliver()
    drain_events()


def alarms() -> list[str]:
    return sorted(Finding.objects.filter(severity="alarm", state="open").values_list("kind", flat=True))


def the_renewal(world: World) -> dict[str, Any]:
    """The renewal's transaction as Paddle has it."""
    transactions = [row for row in world.paddle.transactions.values() if row["origin"] == "subscription_recurring"]
    return dict(max(transactions, key=lambda row: str(row["id"])))


def test_the_renewal_that_collects_a_charge_makes_it_paid(world: World, deliver: Callable[[], int]) -> None:
    bill = world.pushed()

    renew(world, deliver)

    bill = fresh(bill)
    assert (bill.state, bill.payment, bill.paid) == (State.PUSHED, Payment.PAID, 14345)
    assert push_of(bill).paddle_transaction_id == the_renewal(world)["id"]
    assert push_of(bill).collected == 14345
    assert alarms() == []


def test_a_declined_renewal_is_past_due_and_paid_later(world: World, deliver: Callable[[], int]) -> None:
    bill = world.pushed()
    world.paddle.decline_payments(world.subscription_id)
    renew(world, deliver)
    declined = fresh(bill)

    world.paddle.accept_payments(world.subscription_id)
    world.paddle.pay_transaction(the_renewal(world)["id"])
    deliver()
    drain_events()

    assert declined.payment in {Payment.PAST_DUE, Payment.PAYMENT_FAILED}
    assert declined.paid == 0
    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)


def test_news_in_any_order_ends_paid(world: World, deliver: Callable[[], int]) -> None:
    bill = world.pushed()
    world.paddle.fault("webhooks", "shuffle", times=None)
    world.paddle.fault("webhooks", "duplicate", times=None, copies=2)

    renew(world, deliver)

    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)
    assert alarms() == []


def test_older_news_does_not_undo_a_payment(world: World, deliver: Callable[[], int]) -> None:
    bill = world.pushed()
    renew(world, deliver)

    event = make_event("transaction.billed", {**the_renewal(world), "status": "billed"})
    settlement.transaction_changed(event, world.vendors)

    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)


def test_a_transaction_settles_an_unconfirmed_push(world: World, deliver: Callable[[], int]) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()

    renew(world, deliver)

    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).payment) == (State.PUSHED, 14345, Payment.PAID)
    assert world.calls("charge subscription") == 1


def test_a_transaction_that_carries_nothing_of_ours_is_ignored(world: World) -> None:
    (checkout,) = [row for row in world.paddle.transactions.values() if row["origin"] == "web"]
    event = make_event("transaction.completed", checkout)

    with pytest.raises(Ignored, match="no charge of ours"):
        settlement.transaction_changed(event, world.vendors)


def test_a_push_that_this_database_never_made_is_an_alarm(world: World, deliver: Callable[[], int]) -> None:
    bill = world.pushed()
    Push.objects.filter(bill=bill).update(push_id="renamed-1")

    renew(world, deliver)

    assert "unknown push" in alarms()
    assert Finding.objects.get(kind="unknown push").subject == f"{bill.m3ter_bill_id}-1"


def test_a_push_that_was_charged_twice_is_an_alarm(world: World, deliver: Callable[[], int]) -> None:
    world.pushed()
    (charge,) = world.paddle.charges
    world.vendors.paddle._http.call(
        "charge subscription",
        "POST",
        f"/subscriptions/{world.subscription_id}/charge",
        json={"effective_from": "next_billing_period", "items": [_as_asked(item) for item in charge.items]},
    )

    renew(world, deliver)

    assert alarms() == ["charged twice"]


def _as_asked(item: dict[str, Any]) -> dict[str, Any]:
    """An item of an accepted charge, as a request for another one."""
    price = item["price"]
    asked = {key: price[key] for key in ("name", "description", "tax_mode", "unit_price", "quantity", "custom_data")}
    product = {"name": "Usage", "tax_category": "saas"}
    return {"quantity": 1, "price": {**asked, "product": product}}


def test_what_a_cancelled_subscription_still_owed_is_lost(world: World, deliver: Callable[[], int]) -> None:
    make_mapping()
    bill = world.pushed()

    world.paddle.cancel(world.subscription_id)
    deliver()
    drain_events()

    bill = fresh(bill)
    assert (bill.state, bill.pushed, bill.lost, bill.outstanding) == (State.LOST, 14345, 14345, 14345)
    assert push_of(bill).state == Push.State.LOST
    assert alarms() == ["charge lost"]


def test_a_cancellation_told_twice_loses_a_charge_once(world: World) -> None:
    bill = world.pushed()
    world.paddle.cancel(world.subscription_id)
    event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])

    settlement.subscription_changed(event, world.vendors)
    settlement.subscription_changed(event, world.vendors)

    assert (fresh(bill).lost, fresh(bill).entries.count()) == (14345, 2)


def test_what_was_paid_before_the_cancellation_is_not_lost_whatever_is_told_first(world: World) -> None:
    bill = world.pushed()
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    world.paddle.cancel(world.subscription_id)
    event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])

    settlement.subscription_changed(event, world.vendors)

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).lost) == (State.PUSHED, Payment.PAID, 0)
    assert alarms() == []


def test_a_charge_that_paddle_accepted_and_did_not_bill_is_lost_at_the_renewal(
    world: World, deliver: Callable[[], int]
) -> None:
    world.paddle.fault("charge subscription", "accept_and_bill_nothing", history=True)
    bill = world.pushed()

    renew(world, deliver)

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.LOST, 14345)
    assert alarms() == ["charge lost"]


def test_a_lost_charge_can_be_sent_again_as_a_further_push(world: World, deliver: Callable[[], int]) -> None:
    world.paddle.fault("charge subscription", "accept_and_bill_nothing", history=True)
    bill = world.pushed()
    renew(world, deliver)
    PushPolicy.objects.update(max_wait_days=60)  # Paddle's clock is at the renewal, ours is not

    review.resend(bill.pk, by="finance", reason="Paddle billed nothing")
    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.pushed, bill.lost, bill.outstanding) == (State.PUSHED, 28690, 14345, 0)
    assert [push.push_id[-2:] for push in bill.pushes.order_by("ordinal")] == ["-1", "-2"]
    assert alarms() == []


def test_a_renewal_before_the_push_does_not_make_it_lost(world: World, deliver: Callable[[], int]) -> None:
    PushPolicy.objects.update(max_wait_days=60)  # Paddle's clock is at the renewal, ours is not
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    bill = world.pushed()

    deliver()
    drain_events()

    assert (fresh(bill).state, fresh(bill).lost) == (State.PUSHED, 0)


def test_an_event_of_the_subscription_lets_a_waiting_bill_go_on(world: World, deliver: Callable[[], int]) -> None:
    bill = world.approved()
    world.paddle.pause(world.subscription_id)
    jobs.drain_bills()
    waiting = fresh(bill)

    world.paddle.resume(world.subscription_id)
    deliver()
    drain_events()
    jobs.drain_bills()

    assert waiting.reason == Reason.PAUSED
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_a_charge_found_after_the_cancellation_is_lost(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    world.paddle.cancel(world.subscription_id)
    link = world.link
    link.paddle_status = "canceled"
    link.save(update_fields=["paddle_status"])

    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.LOST, 14345)


def test_an_unreadable_transaction_says_which_field(world: World) -> None:
    event = make_event("transaction.completed", {"id": "txn_1", "status": 7})

    with pytest.raises(Permanent, match="status"):
        settlement.transaction_changed(event, world.vendors)


def test_a_push_is_recorded_once_whoever_learns_of_it(world: World) -> None:
    bill = world.pushed()

    again = outcomes.record_pushed(push_of(bill).pk, amount=14345, detail="again", owner=None)

    assert (again, fresh(bill).pushed) == (False, 14345)


def test_transaction_events_reach_the_bill_through_the_table(world: World, deliver: Callable[[], int]) -> None:
    world.pushed()

    renew(world, deliver)

    completed = WebhookEvent.objects.filter(event_type="transaction.completed", subject_id=the_renewal(world)["id"])
    assert [event.state for event in completed] == ["processed"]


# --- Marks of ours where they do not belong ---------------------------------------------------------------------------


def a_transaction(world: World, push_id: str, **changes: Any) -> dict[str, Any]:
    """A transaction of this subscription that carries a push."""
    (checkout,) = [row for row in world.paddle.transactions.values() if row["origin"] == "web"]
    carried = copy.deepcopy({**checkout, **changes})
    carried["items"][0]["price"]["custom_data"] = {"push_id": push_id}
    return carried


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subscription_id": "sub_other"}, "sub_other"),
        ({"subscription_id": None}, "no subscription"),
        ({"currency_code": "JPY"}, "JPY"),
        ({"status": "draft"}, "draft"),
    ],
)
def test_a_transaction_that_does_not_fit_the_push_is_an_alarm_and_books_nothing(
    world: World, changes: dict[str, Any], words: str
) -> None:
    bill = world.approved()
    world.paddle.pause(world.subscription_id)
    jobs.drain_bills()
    before = fresh(bill)

    event = make_event("transaction.updated", a_transaction(world, push_of(bill).push_id, **changes))
    settlement.transaction_changed(event, world.vendors)

    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).payment) == (before.state, 0, Payment.NONE)
    assert push_of(bill).paddle_transaction_id == ""
    assert alarms() == ["push does not fit"]
    assert words in Finding.objects.get(kind="push does not fit").detail


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_another_subscriptions_transaction_neither_pays_nor_loses_a_push(world: World, status: str) -> None:
    bill = world.pushed()
    carried = a_transaction(world, push_of(bill).push_id, subscription_id="sub_other", status=status)

    settlement.transaction_changed(make_event("transaction.updated", carried), world.vendors)

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).lost) == (State.PUSHED, Payment.NONE, 0)
    assert alarms() == ["push does not fit"]


@pytest.mark.parametrize("push_id", ["x" * 5000, "a" * 119 + "\x00b"])
def test_a_mark_that_no_push_of_ours_can_have_is_an_alarm_all_the_same(world: World, push_id: str) -> None:
    event = make_event("transaction.completed", a_transaction(world, push_id))

    settlement.transaction_changed(event, world.vendors)

    assert alarms() == ["unknown push"]
    assert len(Finding.objects.get(kind="unknown push").subject) <= 120
