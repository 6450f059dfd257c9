"""What is sent for a bill is its exact amount in plain texts, and what Paddle shows of it is compared with that."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge import charges
from billing_bridge.charges import Marks, build_charge, fill_in, names_of, read_preview, why_not_now
from billing_bridge.models import BillRevision, PushedBill, PushPolicy
from billing_bridge.money import round_half_up
from integration_project.vendors.paddle.entities import Charge, ChargePreview, Subscription
from tests.builders import subscription

State = PushedBill.State
Reason = PushedBill.Reason
MARKS = Marks("bill-1-1", "bill-1", 2)
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def line(amount: str = "10.00", **changes: str) -> dict[str, str]:
    """A line as a revision keeps it."""
    values = {
        "type": "USAGE",
        "description": "API calls",
        "amount": amount,
        "product": "Gauge Cloud",
        "accounting_product": "Usage of Gauge Cloud",
        "units": "12600.00",
        "unit": "calls",
        "from": "2026-02-01",
        "to": "2026-03-01",
    }
    return {**values, **changes}


def revision(*lines: dict[str, str], currency: str = "USD") -> BillRevision:
    """A revision of these lines, not saved."""
    total = sum((Decimal(entry["amount"]) for entry in lines), Decimal(0))
    return BillRevision(
        currency=currency, total=str(total), payable=round_half_up(total, currency), lines=list(lines), number=1
    )


def test_an_item_names_the_line_its_units_and_its_period() -> None:
    charge = build_charge(revision(line("123.45")), amount=12345, marks=MARKS, policy=PushPolicy())

    assert charge.to_paddle() == {
        "effective_from": "next_billing_period",
        "items": [
            {
                "quantity": 1,
                "price": {
                    "name": "API calls",
                    "description": "12600 calls, 2026-02-01 to 2026-02-28 [bill-1-1]",
                    "tax_mode": "external",
                    "unit_price": {"amount": "12345", "currency_code": "USD"},
                    "quantity": {"minimum": 1, "maximum": 1},
                    "custom_data": {"push_id": "bill-1-1", "bill_id": "bill-1", "attempt": "2"},
                    "product": {
                        "name": "Usage of Gauge Cloud",
                        "tax_category": "saas",
                        "custom_data": {"push_id": "bill-1-1", "bill_id": "bill-1"},
                    },
                },
            }
        ],
    }


@given(
    st.lists(st.decimals(0, 5000, places=4), min_size=1, max_size=60).filter(lambda amounts: sum(amounts) >= 1),
    st.sampled_from(["USD", "EUR", "JPY"]),
)
def test_items_add_up_to_the_amount_and_none_is_zero(amounts: list[Decimal], currency: str) -> None:
    content = revision(*[line(str(amount)) for amount in amounts], currency=currency)

    charge = build_charge(content, amount=content.payable, marks=MARKS, policy=PushPolicy())

    assert sum(item.amount_minor for item in charge.items) == content.payable
    assert min(item.amount_minor for item in charge.items) > 0


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400), st.text(max_size=100))
def test_no_text_is_longer_than_paddle_takes_and_the_push_is_always_named(
    described: str, product: str, template: str, unit: str
) -> None:
    policy = PushPolicy(item_name=template, item_description=template)
    content = revision(line(description=described, accounting_product=product, unit=unit))

    (item,) = build_charge(content, amount=1000, marks=MARKS, policy=policy).items

    assert 1 <= len(item.name) <= 50
    assert len(item.description) <= 200
    assert item.description.endswith("[bill-1-1]")
    assert 1 <= len(item.product_name or "") <= 200
    assert (item.name + item.description).isprintable()


def test_a_line_without_a_unit_leaves_no_blank_before_the_comma() -> None:
    names = {**names_of(line("10.00")), "units": "1", "unit": "", "period": "May"}

    assert fill_in("{units} {unit}, {period}", names) == "1, May"


def test_texts_are_filled_in_once_and_literally() -> None:
    names = names_of(line(description="{units} {__class__} {0}", units="5"))

    assert fill_in("{line} | {nothing} | {unit}", names) == "{units} {__class__} {0} | {nothing} | calls"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"description": "", "type": "STANDING_CHARGE"}, "Standing charge"),
        ({"description": "", "type": "MINIMUM_SPEND"}, "Minimum spend"),
        ({"description": ""}, "Usage of Gauge Cloud"),
        ({"description": "", "accounting_product": "", "product": ""}, "Usage"),
        ({"description": "two\nlines\tand\x00more"}, "two lines and more"),
    ],
)
def test_a_line_without_a_description_is_named_after_what_it_is(changes: dict[str, str], expected: str) -> None:
    assert names_of(line(**changes))["line"] == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [("2026-02-01", "2026-02-02", "2026-02-01"), ("", "", ""), ("2026-02-01", "", "2026-02-01")],
)
def test_a_period_of_one_day_is_one_date(start: str, end: str, expected: str) -> None:
    assert names_of(line(**{"from": start, "to": end}))["period"] == expected


def test_an_amount_that_is_not_the_whole_bill_is_one_item() -> None:
    content = revision(line("10.00"), line("20.00"))

    (item,) = build_charge(content, amount=500, marks=MARKS, policy=PushPolicy()).items

    assert (item.name, item.amount_minor) == ("Usage, remaining part", 500)


# --- The subscription -------------------------------------------------------------------------------------------------


def active(**changes: Any) -> Subscription:
    """A subscription that can be charged."""
    data = subscription(next_billed_at="2026-03-10T12:00:00Z", currency_code="USD")
    return Subscription.from_paddle({**data, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"status": "trialing"}, (State.WAITING, Reason.TRIAL)),
        ({"status": "past_due"}, (State.WAITING, Reason.PAST_DUE)),
        ({"status": "paused"}, (State.WAITING, Reason.PAUSED)),
        ({"status": "canceled"}, (State.HELD, Reason.CANCELLED)),
        ({"status": "dreaming"}, (State.HELD, Reason.CONFIGURATION)),
        ({"currency_code": "EUR"}, (State.HELD, Reason.CURRENCY)),
        ({"next_billed_at": None}, (State.HELD, Reason.RENEWAL_TOO_FAR)),
        ({"next_billed_at": "2026-04-05T11:59:00Z"}, None),
        ({"next_billed_at": "2026-04-05T12:01:00Z"}, (State.HELD, Reason.RENEWAL_TOO_FAR)),
        ({"next_billed_at": "2026-03-01T12:36:00Z"}, None),
        ({"next_billed_at": "2026-03-01T12:35:00Z"}, (State.WAITING, Reason.RENEWAL_LOCK)),
        ({"next_billed_at": "2026-03-01T11:00:00Z"}, (State.WAITING, Reason.RENEWAL_LOCK)),
        ({"collection_mode": "manual"}, None),
    ],
)
def test_a_subscription_says_whether_it_can_be_charged_now(
    changes: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    verdict = why_not_now(active(**changes), currency="USD", policy=PushPolicy(), now=NOW)

    assert (None if verdict is None else (verdict.state, verdict.reason)) == expected


def test_an_invoiced_subscription_in_a_currency_without_invoices_is_held() -> None:
    invoiced = active(collection_mode="manual", currency_code="SEK")

    verdict = why_not_now(invoiced, currency="SEK", policy=PushPolicy(), now=NOW)

    assert verdict is not None
    assert (verdict.state, verdict.reason) == (State.HELD, Reason.MODE)


def test_what_waits_has_a_time_after_the_renewal() -> None:
    renews_at = NOW + dt.timedelta(minutes=20)

    verdict = why_not_now(replace(active(), next_billed_at=renews_at), currency="USD", policy=PushPolicy(), now=NOW)

    assert verdict is not None
    assert verdict.due_at == renews_at + dt.timedelta(minutes=5)


def test_every_state_that_must_say_why_does() -> None:
    for state, reason in charges.REFUSALS.values():
        assert state in {State.HELD, State.WAITING}
        assert reason


# --- The preview ------------------------------------------------------------------------------------------------------


def preview_of(charge: Charge, *extra: Charge, tax: int = 0, off: int = 0) -> ChargePreview:
    """A preview that shows these charges on the next renewal, each line wrong by `off`."""
    shown = [
        {
            "price_id": None,
            "quantity": 1,
            "totals": {
                "subtotal": str(item.amount_minor + off),
                "discount": "0",
                "tax": str(tax),
                "total": str(item.amount_minor + off + tax),
            },
            "product": {"id": None, "name": item.product_name, "custom_data": dict(item.product_custom_data)},
        }
        for each in (charge, *extra)
        for item in each.items
    ]
    totals = {"subtotal": "0", "discount": "0", "tax": "0", "total": "0"}
    renewal = {"billing_period": None, "details": {"totals": totals, "line_items": shown}}
    return ChargePreview.from_paddle({**subscription(currency_code="USD"), "next_transaction": renewal})


def test_a_preview_that_shows_our_amounts_is_right() -> None:
    charge = build_charge(revision(line("10.00"), line("20.00")), amount=3000, marks=MARKS, policy=PushPolicy())

    assert read_preview(preview_of(charge, tax=7), charge, push_id="bill-1-1").problem == ""


def test_a_preview_that_shows_another_amount_is_a_problem() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())

    shown = read_preview(preview_of(charge, off=1), charge, push_id="bill-1-1")

    assert shown.problem == "Paddle's preview shows 1001 in 1 items where we ask for 1000 in 1."


def test_a_preview_that_shows_the_push_twice_means_that_paddle_has_it_already() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())

    assert read_preview(preview_of(charge, charge), charge, push_id="bill-1-1").there_already


def test_a_preview_without_a_renewal_is_a_problem() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())
    nothing = ChargePreview.from_paddle({**subscription(currency_code="USD"), "next_transaction": None})

    assert "no renewal" in read_preview(nothing, charge, push_id="bill-1-1").problem


def test_amounts_that_include_tax_are_compared_with_it() -> None:
    policy = PushPolicy(tax_mode="internal")
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=policy)

    assert read_preview(preview_of(charge, tax=0), charge, push_id="bill-1-1").problem == ""
    assert read_preview(preview_of(charge, tax=190), charge, push_id="bill-1-1").problem != ""
