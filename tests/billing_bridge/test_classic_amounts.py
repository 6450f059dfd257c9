"""What a payment of Paddle Classic comes to says which of our modifiers are in it, or that nobody can say."""

from decimal import Decimal

import pytest

from billing_bridge.classic_amounts import Collected, Paid, given_back, plan_of

WHOLE, NONE, UNSURE = Collected.WHOLE, Collected.NONE, Collected.UNSURE


def paid(gross: str, tax: str | None = "0.00", plan: str | None = "35.00") -> Paid:
    return Paid(Decimal(gross), None if tax is None else Decimal(tax), None if plan is None else Decimal(plan))


def money(*amounts: str) -> list[Decimal]:
    return [Decimal(amount) for amount in amounts]


@pytest.mark.parametrize(
    ("payment", "ours", "recurring", "says"),
    [
        (paid("178.45"), ("143.45",), "0", WHOLE),
        (paid("178.450"), ("143.45",), "0", WHOLE),
        (paid("35.00"), ("143.45",), "0", NONE),
        (paid("100.00"), ("143.45",), "0", UNSURE),
        (paid("200.00"), ("143.45",), "0", WHOLE),
        # Tax on top, and inside.
        (paid("212.36", "33.91"), ("143.45",), "0", WHOLE),
        (paid("41.65", "6.65"), ("143.45",), "0", NONE),
        (paid("41.65", "6.65"), ("5.00",), "0", NONE),
        (paid("40.00", "6.39"), ("5.00",), "0", WHOLE),
        (paid("41.65", "6.65"), ("6.65",), "0", UNSURE),
        (paid("60.00", "9.58"), ("143.45",), "0", UNSURE),
        # Somebody else's modifier of every payment.
        (paid("45.00"), ("143.45",), "10.00", NONE),
        (paid("188.45"), ("143.45",), "10.00", WHOLE),
        (paid("178.45"), ("143.45",), "10.00", WHOLE),
        (paid("235.00"), ("143.45",), "200.00", NONE),
        (paid("230.00"), ("143.45",), "200.00", UNSURE),
        # A coupon, a balance or somebody's modifier has lowered it, with ours or without.
        (paid("30.00"), ("5.00",), "0", UNSURE),
        (paid("34.99"), ("143.45",), "0", UNSURE),
        (paid("0.00"), ("143.45",), "0", UNSURE),
        (paid("0.00", plan="0.00"), ("143.45",), "0", NONE),
        (paid("35.00"), ("143.45",), "-10.00", NONE),
        (paid("25.00"), ("143.45",), "-10.00", NONE),
        (paid("30.00"), ("5.00",), "-10.00", WHOLE),
        # What the customer is owed.
        (paid("15.00"), ("-20.00",), "0", WHOLE),
        (paid("35.00"), ("-20.00",), "0", NONE),
        (paid("0.00"), ("-50.00",), "0", WHOLE),
        (paid("10.00"), ("-20.00",), "0", WHOLE),
        (paid("25.00"), ("-20.00",), "0", UNSURE),
        (paid("85.00"), ("-20.00",), "0", UNSURE),
        # Several at once.
        (paid("115.00"), ("100.00", "-20.00"), "0", WHOLE),
        (paid("135.00"), ("100.00", "-20.00"), "0", UNSURE),
        (paid("35.00"), ("100.00", "-20.00"), "0", NONE),
        (paid("35.00"), ("20.00", "-20.00"), "0", WHOLE),
        (paid("135.00"), ("100.00", "20.00"), "0", UNSURE),
        # What is not known.
        (paid("178.45", None), ("143.45",), "0", WHOLE),
        (paid("35.00", None), ("143.45",), "0", NONE),
        (paid("178.45", "0.00", None), ("143.45",), "0", UNSURE),
    ],
)
def test_an_exact_sum_is_certain_and_less_than_the_plan_is_not(
    payment: Paid, ours: tuple[str, ...], recurring: str, says: Collected
) -> None:
    assert payment.collected(money(*ours), recurring=Decimal(recurring)) is says


@pytest.mark.parametrize(
    ("payment", "ours", "place"),
    [
        (paid("178.45"), ("143.45",), None),
        (paid("321.90"), ("143.45",), 0),
        (paid("383.06", "61.16"), ("143.45",), 0),
        (paid("200.00"), ("100.00", "32.50"), 1),
        (paid("228.45"), ("143.45",), None),
        (paid("321.90", "0.00", None), ("143.45",), None),
    ],
)
def test_what_is_in_a_payment_once_more_shows_to_the_cent(
    payment: Paid, ours: tuple[str, ...], place: int | None
) -> None:
    assert payment.once_more(money(*ours)) == place


@pytest.mark.parametrize(
    ("fields", "inside", "amount"),
    [
        ({"gross_refund": "11.90", "tax_refund": "1.90", "amount": "11.90"}, False, "10.00"),
        ({"gross_refund": "11.90", "tax_refund": "1.90"}, True, "11.90"),
        ({"amount": "5.00"}, False, "5.00"),
        ({"gross_refund": "many", "amount": "NaN"}, False, None),
        ({}, False, None),
    ],
)
def test_a_refund_counts_as_what_was_charged_does(fields: dict[str, str], inside: bool, amount: str | None) -> None:
    assert given_back(fields, tax_inside=inside) == (None if amount is None else Decimal(amount))


def test_an_alert_says_what_the_plan_costs_or_nothing() -> None:
    assert plan_of({"unit_price": "35.00", "quantity": "2"}) == Decimal("70.00")
    assert plan_of({"unit_price": "1E+900", "quantity": "2"}) is None
    assert Paid.of({"unit_price": "35.00", "quantity": "2"}) is None
    assert Paid.of({"sale_gross": "70", "unit_price": "old"}) == Paid(Decimal(70))
