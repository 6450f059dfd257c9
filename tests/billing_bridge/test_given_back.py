"""Money goes back on what was paid, or off an invoice that was not; and what gives back is never what charges."""

from collections.abc import Callable

import pytest

from billing_bridge import jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.models import Finding
from integration_project.vendors.paddle.entities import NewAdjustment, NewAdjustmentItem
from tests.billing_bridge import truth
from tests.billing_bridge.test_settled_before import corrected
from tests.billing_bridge.world import World, fresh, make_due, push_of

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
State = PushedBill.State
Reason = PushedBill.Reason
Payment = PushedBill.Payment
LESS, WHOLE = 10000, 14345


@pytest.fixture
def invoiced(world: World, tell: Callable[[], None]) -> PushedBill:
    """A bill that was invoiced, was not paid yet, and is lower by now."""
    world.complete_the_customer()
    PushPolicy.objects.update(mode="invoice", review="never", changed="hold", lock_after_days=30)
    bill = world.imported()
    world.work()
    tell()
    assert (fresh(bill).state, fresh(bill).payment) == (State.PUSHED, Payment.NONE)
    return corrected(world, bill, "100.00")


def the_invoice(world: World) -> str:
    (transaction_id,) = world.invoices()
    return transaction_id


@pytest.mark.parametrize("late", [False, True], ids=["billed", "past due"])
def test_an_unpaid_invoice_asks_for_less(
    world: World, invoiced: PushedBill, tell: Callable[[], None], late: bool
) -> None:
    if late:
        world.paddle.transactions[the_invoice(world)]["status"] = "past_due"

    review.refund(invoiced.pk, by="fiona", reason="it was too much")
    world.work()
    tell()

    (adjustment,) = world.paddle.adjustments.values()
    assert (adjustment["action"], adjustment["status"], adjustment["totals"]["subtotal"]) == (
        "credit",
        "approved",
        "4345",
    )
    assert (fresh(invoiced).state, fresh(invoiced).credited, fresh(invoiced).outstanding) == (State.PUSHED, 4345, 0)
    assert truth.net(world.paddle, invoiced.m3ter_bill_id) == LESS
    world.paddle.transactions[the_invoice(world)]["status"] = "billed"
    world.paddle.pay_transaction(the_invoice(world))
    tell()
    assert (fresh(invoiced).payment, fresh(invoiced).paid - fresh(invoiced).refunded) == (Payment.PAID, LESS)
    assert not Finding.objects.filter(kind="given back outside", state="open").exists()


def test_a_credit_whose_answer_was_lost_is_found_and_given_once(world: World, invoiced: PushedBill) -> None:
    world.paddle.fault("create adjustment", "lose_answer")
    review.refund(invoiced.pk, by="fiona", reason="it was too much")
    jobs.drain_bills()
    unconfirmed = fresh(invoiced).state

    make_due(invoiced)
    world.work()

    assert unconfirmed == State.UNCONFIRMED
    assert (fresh(invoiced).state, len(world.paddle.adjustments)) == (State.PUSHED, 1)
    assert truth.net(world.paddle, invoiced.m3ter_bill_id) == LESS


def test_an_invoice_that_was_paid_meanwhile_is_refunded(
    world: World, invoiced: PushedBill, tell: Callable[[], None]
) -> None:
    world.paddle.pay_transaction(the_invoice(world))
    review.refund(invoiced.pk, by="fiona", reason="it was too much")
    world.work()
    tell()
    PushedBill.objects.filter(due_at__isnull=False).update(due_at=fresh(invoiced).updated_at)
    world.work()

    (adjustment,) = world.paddle.adjustments.values()
    assert (adjustment["action"], adjustment["totals"]["subtotal"]) == ("refund", "4345")
    assert truth.net(world.paddle, invoiced.m3ter_bill_id) == LESS


def test_a_draft_is_corrected_by_whoever_issues_it(world: World, tell: Callable[[], None]) -> None:
    world.complete_the_customer()
    PushPolicy.objects.update(mode="invoice", issue_invoices=False, review="never", lock_after_days=30)
    bill = world.imported()
    world.work()
    tell()
    corrected(world, bill, "100.00")

    review.refund(bill.pk, by="fiona", reason="it was too much")
    world.work()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REFUND)
    assert f"Invoice {the_invoice(world)} is a draft: correct or cancel it in Paddle." in fresh(bill).reason_detail
    assert world.paddle.adjustments == {}


# --- Marks of ours that are not what they seem ------------------------------------------------------------------------


def charge_under(world: World, push_id: str, amount: int, *, effective_from: str) -> None:
    """Another copy of this application charges under a push id."""
    price = {
        "name": "Usage",
        "description": f"[{push_id}]",
        "tax_mode": "external",
        "unit_price": {"amount": str(amount), "currency_code": "USD"},
        "quantity": {"minimum": 1, "maximum": 1},
        "custom_data": {"push_id": push_id, "attempt": 1},
        "product": {"name": "Usage", "tax_category": "saas", "custom_data": {"push_id": push_id}},
    }
    body = {"effective_from": effective_from, "items": [{"quantity": 1, "price": price}]}
    path = f"/subscriptions/{world.subscription_id}/charge"
    world.vendors.paddle._http.call("charge subscription", "POST", path, json=body)


def open_alarms() -> list[tuple[str, str]]:
    found = Finding.objects.filter(severity="alarm", state="open").order_by("kind", "subject")
    return list(found.values_list("kind", "subject"))


def test_a_charge_under_the_id_of_a_refund_is_no_refund(world: World, tell: Callable[[], None]) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30)
    bill = world.imported()
    world.work()
    tell()
    corrected(world, bill, "100.00")
    review.refund(bill.pk, by="fiona", reason="it was too much")
    world.paddle.fault("create adjustment", "error_before")
    jobs.drain_bills()
    refund = push_of(bill)

    charge_under(world, refund.push_id, 4345, effective_from="immediately")
    tell()

    assert (fresh(bill).credited, fresh(bill).outstanding, push_of(bill).state) == (0, -4345, Push.State.UNCONFIRMED)
    assert open_alarms() == [("push does not fit", refund.push_id)]


def test_an_adjustment_that_another_copy_asked_for_is_an_alarm(world: World, tell: Callable[[], None]) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30)
    bill = world.imported()
    world.work()
    tell()
    carried = world.vendors.paddle.get_transaction(push_of(bill).paddle_transaction_id)
    adjustment = NewAdjustment(
        action="refund",
        transaction_id=carried.id,
        push_id=f"{bill.m3ter_bill_id}-7",
        explanation=f"bill {bill.m3ter_bill_id} corrected",
        items=(NewAdjustmentItem(carried.lines[0].id, 100),),
    )

    world.vendors.paddle.create_adjustment(adjustment)
    world.paddle.settle_adjustments()
    tell()

    assert open_alarms() == [("unknown push", f"{bill.m3ter_bill_id}-7")]
    assert fresh(bill).refunded == 100


@pytest.mark.parametrize("reason", ["goodwill", "bill x corrected", "x-1 bill y corrected", "x-y bill x corrected"])
def test_a_reason_in_somebodys_own_words_is_no_mark(world: World, tell: Callable[[], None], reason: str) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30)
    bill = world.imported()
    world.work()
    tell()
    carried = world.vendors.paddle.get_transaction(push_of(bill).paddle_transaction_id)
    first, _, rest = reason.partition(" ")

    world.vendors.paddle.create_adjustment(
        NewAdjustment("refund", carried.id, first, rest, (NewAdjustmentItem(carried.lines[0].id, 100),))
    )
    world.paddle.settle_adjustments()
    tell()

    assert open_alarms() == []
    assert Finding.objects.filter(kind="given back outside", state="open").count() == 1


def test_what_another_copy_has_put_on_the_next_renewal_is_an_alarm_before_it_is_paid(world: World) -> None:
    charge_under(world, "another-copy-3", 700, effective_from="next_billing_period")

    bill = world.pushed()

    assert fresh(bill).state == State.PUSHED
    assert open_alarms() == [("unknown push", "another-copy-3")]


@pytest.mark.parametrize("decided", [True, False], ids=["given", "asked for"])
def test_what_paddle_shows_as_given_by_hand_is_not_given_once_more_before_the_news_of_it_has_come(
    world: World, tell: Callable[[], None], decided: bool
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    tell()
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 2000)
    if decided:
        world.paddle.settle_adjustments()

    world.work()
    waits = fresh(bill)
    world.paddle.settle_adjustments()
    tell()
    make_due(bill)
    world.work()
    review.approve(bill.pk, by="fiona", reason="they have it")
    world.work()

    assert (waits.state, waits.reason, len(world.paddle.adjustments)) == (State.WAITING, Reason.REFUND, 1)
    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).written_off) == (State.PUSHED, 0, -2000)
