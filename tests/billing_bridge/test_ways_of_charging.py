"""A bill is charged at once, by invoice, or refunded: each once, found again when the answer is lost, and settled."""

import datetime as dt
import json
from collections.abc import Callable

import pytest

from billing_bridge import jobs, review, settlement
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.errors import NotPossible
from paddle_sync.models import AccountLink
from tests.billing_bridge.breaking import findings, told
from tests.billing_bridge.world import World, fresh, make_due, push_of
from tests.builders import make_event

pytestmark = pytest.mark.django_db
State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Deliver = Callable[[], int]


@pytest.fixture(autouse=True)
def nobody_reviews() -> None:
    PushPolicy.objects.update(review="never", lock_after_days=3)


# --- At once ----------------------------------------------------------------------------------------------------------


def test_at_once_is_one_transaction_of_its_own_and_paid(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported()

    world.work()
    told(deliver)

    (charge,) = world.paddle.charges
    assert (charge.effective_from, charge.subtotal) == ("immediately", 14345)
    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).paid) == (State.PUSHED, Payment.PAID, 14345)
    assert push_of(bill).paddle_transaction_id == charge.transaction_id


def test_a_declined_charge_at_once_is_failed_with_paddles_words_and_can_be_sent_again(
    world: World, deliver: Deliver
) -> None:
    PushPolicy.objects.update(mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()
    world.work()
    told(deliver)
    declined = fresh(bill)

    world.paddle.accept_payments(world.subscription_id)
    review.resend(bill.pk, by="fiona", reason="a new card")
    world.work()
    told(deliver)

    assert (declined.state, declined.pushed, declined.outstanding) == (State.FAILED, 0, 14345)
    assert "declined" in declined.last_error
    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).pushed) == (State.PUSHED, Payment.PAID, 14345)


def test_news_of_a_declined_attempt_says_nothing_about_the_next(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()
    world.work()
    world.paddle.accept_payments(world.subscription_id)
    review.resend(bill.pk, by="fiona", reason="a new card")
    world.work()

    world.paddle.fault("webhooks", "shuffle", times=None)
    told(deliver)

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).pushed) == (State.PUSHED, Payment.PAID, 14345)
    assert findings() == []


def test_a_declined_charge_that_stays_billed_is_past_due(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately", on_payment_failure="apply_change")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()

    world.work()
    told(deliver)

    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 14345)
    assert fresh(bill).payment in {Payment.PAST_DUE, Payment.PAYMENT_FAILED}


def test_a_lost_answer_to_a_charge_at_once_is_found_and_not_sent_again(world: World) -> None:
    PushPolicy.objects.update(mode="immediately")
    world.paddle.fault("charge subscription", "lose_answer")
    bill = world.imported()
    jobs.drain_bills()
    unconfirmed = fresh(bill).state

    make_due(bill)
    world.work()

    assert unconfirmed == State.UNCONFIRMED
    assert (fresh(bill).state, len(world.paddle.charges)) == (State.PUSHED, 1)


@pytest.mark.parametrize(
    ("policy", "days"),
    [({"far": "immediately"}, 60), ({"ending": "immediately"}, 0)],
)
def test_what_no_renewal_can_carry_is_charged_at_once_by_policy(
    world: World, policy: dict[str, str], days: int
) -> None:
    PushPolicy.objects.update(**policy)
    if days:
        world.paddle.move_renewal(world.subscription_id, f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=days):%FT%TZ}")
    else:
        world.paddle.cancel(world.subscription_id, effective_from="next_billing_period")
    bill = world.imported()

    world.work()

    assert (fresh(bill).state, push_of(bill).mode) == (State.PUSHED, "immediately")
    assert [charge.effective_from for charge in world.paddle.charges] == ["immediately"]


def test_a_person_has_one_bill_charged_at_once(world: World) -> None:
    PushPolicy.objects.update(review="always")
    bill = world.imported()

    review.send(bill.pk, by="fiona", reason="the customer asked", mode="immediately", seen=review.what_is_seen(bill))
    world.work()

    assert (fresh(bill).state, push_of(bill).mode) == (State.PUSHED, "immediately")


# --- By invoice -------------------------------------------------------------------------------------------------------


@pytest.fixture
def invoiced(world: World) -> World:
    """The customer can be invoiced, and policy says so."""
    PushPolicy.objects.update(mode="invoice", payment_days=30)
    world.complete_the_customer()
    return world


def test_an_invoice_is_issued_once_with_its_terms_and_order_number(invoiced: World, deliver: Deliver) -> None:
    bill = invoiced.imported(purchaseOrderNumber="PO-7")

    invoiced.work()
    (transaction_id,) = invoiced.invoices()
    issued = fresh(bill)
    invoiced.paddle.pay_transaction(transaction_id)
    told(deliver)

    row = invoiced.paddle.transactions[transaction_id]
    assert row["billing_details"]["payment_terms"] == {"interval": "day", "frequency": 30}
    assert row["billing_details"]["purchase_order_number"] == "PO-7"
    assert row["subscription_id"] is None
    assert (issued.state, issued.payment, push_of(bill).paddle_transaction_id) == ("pushed", "none", transaction_id)
    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)


@pytest.mark.parametrize(("name", "missing"), [("", "a name"), ("Harbour Tools Ltd", "a whole address")])
def test_a_customer_who_cannot_be_invoiced_is_held_until_paddle_has_what_it_needs(
    world: World, name: str, missing: str
) -> None:
    PushPolicy.objects.update(mode="invoice")
    subscription = world.paddle.subscriptions[world.subscription_id]
    world.paddle.customers[subscription["customer_id"]]["name"] = name or None
    world.paddle.world.memory.addresses[subscription["address_id"]]["first_line"] = None
    bill = world.imported()
    world.work()
    held = fresh(bill)

    world.complete_the_customer()
    review.approve(bill.pk, by="fiona", reason="added in Paddle")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CONFIGURATION)
    assert f"The customer does not have {missing}" in held.reason_detail
    assert (fresh(bill).state, len(world.invoices())) == (State.PUSHED, 1)


def test_a_draft_is_made_where_policy_wants_drafts(invoiced: World) -> None:
    PushPolicy.objects.update(issue_invoices=False)
    bill = invoiced.imported()

    invoiced.work()

    (transaction_id,) = invoiced.invoices()
    assert invoiced.paddle.transactions[transaction_id]["status"] in {"draft", "ready"}
    assert fresh(bill).state == State.PUSHED


def test_a_lost_answer_to_an_invoice_is_found_and_not_sent_again(invoiced: World) -> None:
    invoiced.paddle.fault("create transaction", "lose_answer")
    bill = invoiced.imported()
    jobs.drain_bills()
    unconfirmed = fresh(bill).state

    make_due(bill)
    invoiced.work()

    assert unconfirmed == State.UNCONFIRMED
    assert (fresh(bill).state, len(invoiced.invoices())) == (State.PUSHED, 1)


def test_an_invoice_that_is_cancelled_in_paddle_is_lost(invoiced: World, deliver: Deliver) -> None:
    bill = invoiced.imported()
    invoiced.work()
    (transaction_id,) = invoiced.invoices()

    invoiced.paddle.cancel_transaction(transaction_id)
    told(deliver)

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.LOST, 14345)
    assert "charge lost" in findings()


def test_an_invoice_in_another_currency_does_not_fit(invoiced: World) -> None:
    bill = invoiced.imported()
    invoiced.work()
    (transaction_id,) = invoiced.invoices()
    row = json.loads(json.dumps(invoiced.paddle.transactions[transaction_id], default=str))

    event = make_event("transaction.paid", {**row, "status": "paid", "currency_code": "EUR"})
    settlement.transaction_changed(event, invoiced.vendors)

    assert fresh(bill).payment == Payment.NONE
    assert findings() == ["push does not fit"]


def test_an_invoice_outlives_its_subscription(invoiced: World, deliver: Deliver) -> None:
    bill = invoiced.imported()
    invoiced.work()

    invoiced.paddle.cancel(invoiced.subscription_id)
    told(deliver)

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, 0)


def test_a_cancelled_subscription_can_be_invoiced_by_a_person(world: World, deliver: Deliver) -> None:
    world.complete_the_customer()
    world.paddle.cancel(world.subscription_id)
    told(deliver)
    AccountLink.objects.update(paddle_status="canceled")
    bill = world.imported()
    world.work()
    held = fresh(bill)

    review.send(bill.pk, by="fiona", reason="they pay by invoice", mode="invoice")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CANCELLED)
    assert (fresh(bill).state, len(world.invoices())) == (State.PUSHED, 1)


# --- Given back -------------------------------------------------------------------------------------------------------


def paid_and_lowered(world: World, deliver: Deliver, *, to: str = "100.00") -> PushedBill:
    """A bill that was charged at once and paid, and that m3ter has lowered since."""
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported()
    world.work()
    told(deliver)
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", to),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.work()
    lowered = fresh(bill)
    assert (lowered.state, lowered.reason, lowered.payment) == (State.HELD, Reason.CHANGED, Payment.PAID)
    return lowered


def test_a_refund_gives_back_exactly_what_is_owed_before_tax(world: World, deliver: Deliver) -> None:
    bill = paid_and_lowered(world, deliver)

    review.refund(bill.pk, by="fiona", reason="it was too much", seen=review.what_is_seen(bill))
    world.work()
    waits = push_of(bill).payment
    world.paddle.settle_adjustments()
    told(deliver)

    (adjustment,) = world.paddle.adjustments.values()
    assert (adjustment["action"], adjustment["totals"]["subtotal"]) == ("refund", "4345")
    assert adjustment["reason"].split()[0] == f"{bill.m3ter_bill_id}-2"
    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.PUSHED, 4345, 0)
    assert (waits, push_of(bill).payment, push_of(bill).kind) == (Payment.NONE, Payment.REFUNDED, "refund")
    assert (fresh(bill).payment, fresh(bill).refunded) == (Payment.PAID, 4345)
    assert "given back outside" not in findings()


def test_a_refund_that_paddle_rejects_is_owed_again_and_says_so(world: World, deliver: Deliver) -> None:
    bill = paid_and_lowered(world, deliver)
    review.refund(bill.pk, by="fiona", reason="it was too much")
    world.work()

    world.paddle.settle_adjustments(reject=True)
    told(deliver)

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REFUND)
    assert (fresh(bill).credited, fresh(bill).outstanding) == (0, -4345)
    assert "refund not made" in findings()


def test_a_lost_answer_to_a_refund_is_found_and_not_asked_again(world: World, deliver: Deliver) -> None:
    bill = paid_and_lowered(world, deliver)
    world.paddle.fault("create adjustment", "lose_answer")
    review.refund(bill.pk, by="fiona", reason="it was too much")
    jobs.drain_bills()
    unconfirmed = fresh(bill).state

    make_due(bill)
    world.work()

    assert unconfirmed == State.UNCONFIRMED
    assert (fresh(bill).state, fresh(bill).credited, len(world.paddle.adjustments)) == (State.PUSHED, 4345, 1)


def test_a_deleted_bill_that_was_paid_can_be_refunded_whole(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported()
    world.work()
    told(deliver)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.refund(bill.pk, by="fiona", reason="it never was")
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)

    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).in_paddle) == (State.SUPERSEDED, 14345, 0)
    assert (fresh(bill).payment, fresh(bill).refunded) == (Payment.REFUNDED, 14345)


def test_what_is_not_paid_yet_cannot_be_refunded(world: World) -> None:
    bill = world.imported()
    world.work()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()

    review.refund(bill.pk, by="fiona", reason="it was too much")
    world.work()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REFUND)
    assert "No paid transaction" in fresh(bill).reason_detail
    assert world.paddle.adjustments == {}


def test_more_than_one_payment_is_refunded_when_one_is_not_enough(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately", changed="settle")
    bill = world.imported((("API calls", "50.00"),))
    world.work()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "80.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.work()
    told(deliver)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.refund(bill.pk, by="fiona", reason="it never was")
    world.work()

    assert [charge.subtotal for charge in world.paddle.charges] == [5000, 3000]
    assert sorted(int(row["totals"]["subtotal"]) for row in world.paddle.adjustments.values()) == [3000, 5000]
    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.SUPERSEDED, 8000, 0)


def test_a_refund_by_hand_shows_on_the_bill_and_is_a_finding(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported()
    world.work()
    told(deliver)

    world.refund_by_hand(push_of(bill).paddle_transaction_id)
    world.paddle.settle_adjustments()
    told(deliver)

    assert (fresh(bill).payment, fresh(bill).refunded, fresh(bill).credited) == (Payment.REFUNDED, 14345, 0)
    assert "given back outside" in findings()


def test_only_who_is_owed_something_can_be_refunded(world: World) -> None:
    PushPolicy.objects.update(review="always")
    bill = world.imported()

    with pytest.raises(NotPossible, match="owed nothing"):
        review.refund(bill.pk, by="fiona", reason="a mistake")
    assert not Push.objects.exists()
