"""What was paid at Classic and is given back, through our client."""

import datetime as dt
from decimal import Decimal

import pytest

from integration_project import errors
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from tests.vendors.paddle_classic.billing import PUSH, charge

# --- Payments ---------------------------------------------------------------------------------------------------------


def test_every_page_of_the_payments_is_read(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle_classic.simulator.guesses.LIST_PAGE", 3)
    amounts = [charge(client, subscription_id, amount=f"{number}.01").amount for number in range(1, 8)]

    listed = list(client.list_payments(subscription_id=subscription_id, is_one_off_charge=True))

    assert [payment.amount for payment in listed] == amounts
    assert [call.operation for call in simulator.calls].count("list payments") == 3


def test_payments_are_listed_between_two_days_both_included(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    for _ in range(3):
        simulator.clock_move(days=1)
        charge(client, subscription_id)

    listed = client.list_payments(
        subscription_id=subscription_id, since=dt.date(2026, 3, 11), until=dt.date(2026, 3, 12)
    )

    assert [payment.payout_date.day for payment in listed] == [11, 12]


# --- Refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_is_asked_for_and_given_when_the_vendor_says_so(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    order_id = charge(client, subscription_id).order_id or ""

    refund_id = client.refund_payment(order_id, amount=Decimal("2.25"), reason=f"[{PUSH}]")
    waiting = [alert.name for alert in simulator.memory.alerts.values()]
    simulator.settle_refunds()

    assert refund_id == str(sample.FIRST_REFUND)
    assert "subscription_payment_refunded" not in waiting
    told = simulator.memory.alerts[max(simulator.memory.alerts)].fields
    assert (told["alert_name"], told["refund_type"]) == ("subscription_payment_refunded", "partial")
    assert (told["order_id"], told["amount"], told["refund_reason"]) == (order_id, "2.25", f"[{PUSH}]")


def test_a_refund_without_an_amount_is_of_all_that_is_left(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    order_id = charge(client, subscription_id).order_id or ""
    client.refund_payment(order_id, amount=Decimal("2.25"), reason="")

    client.refund_payment(order_id, amount=None, reason="")

    assert [refund.amount for refund in simulator.memory.refunds.values()] == [Decimal("2.25"), Decimal("10.00")]


@pytest.mark.parametrize(
    ("amount", "days", "code"), [("12.26", 0, "156"), ("0", 0, "155"), ("-1", 0, "155"), ("1", 61, "172")]
)
def test_a_refund_that_cannot_be_is_refused(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, amount: str, days: int, code: str
) -> None:
    order_id = charge(client, subscription_id).order_id or ""
    simulator.clock_move(days=days)

    with pytest.raises(errors.VendorRejected) as caught:
        client.refund_payment(order_id, amount=Decimal(amount), reason="")

    assert (caught.value.code, caught.value.policy) == (code, "permanent")
    assert simulator.memory.refunds == {}


def test_what_was_asked_back_whole_or_never_paid_is_not_asked_back_again(
    client: ClassicClient, subscription_id: str
) -> None:
    order_id = charge(client, subscription_id).order_id or ""
    client.refund_payment(order_id, amount=None, reason="")

    with pytest.raises(errors.VendorRejected) as again:
        client.refund_payment(order_id, amount=None, reason="")
    with pytest.raises(errors.NotFound) as unknown:
        client.refund_payment("9-9", amount=None, reason="")

    assert (again.value.code, unknown.value.code) == ("156", "154")
