"""What is sent for a bill is its exact amount in plain texts, and what Paddle shows of it is compared with that."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing_bridge.composing import (
    Marks,
    Owed,
    Rules,
    compose,
    fill_in,
    mark_of,
    names_of,
    one_text,
    read_preview,
)
from billing_bridge.models import BillRevision, CarriedEntry, ProductRule, PushPolicy
from billing_bridge.money import round_half_up
from integration_project.vendors.paddle.entities import Charge, ChargePreview
from tests.builders import subscription

MARKS = Marks("bill-1-1", "bill-1", 2)


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


def build_charge(content: BillRevision, *, amount: int, marks: Marks, policy: PushPolicy) -> Charge:
    """The charge for an amount of a bill with nothing carried."""
    return Charge(policy.mode, compose(Owed(content, amount), marks=marks, policy=policy, rules={}).items)


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


BILL_ID = "91aa91aa-8888-4b66-8000-000000000008"


@given(st.text(max_size=300), st.integers(1, 999_999), st.integers(80, 255))
def test_the_push_id_is_read_in_the_one_text_that_names_it(template: str, ordinal: int, longest: int) -> None:
    marks = Marks(f"{BILL_ID}-{ordinal}", BILL_ID, 1)
    owed = Owed(revision(line()), 1000)

    text = one_text(owed, marks=marks, policy=PushPolicy(item_name=template), longest=longest)

    assert len(text) <= longest
    assert mark_of(text) == marks.push_id
    assert mark_of(f"{text}  ") == marks.push_id


@pytest.mark.parametrize(
    "text", [f"Goodwill for [{BILL_ID}-1], agreed", f"[{BILL_ID}]", f"[{BILL_ID}-0]", "Spring offer [2026-04]", ""]
)
def test_whoever_only_mentions_a_push_has_not_made_it(text: str) -> None:
    assert mark_of(text) == ""


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

    assert read_preview(preview_of(charge, tax=7).next_transaction, charge.items, push_id="bill-1-1").problem == ""


def test_a_preview_that_shows_another_amount_is_a_problem() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())

    shown = read_preview(preview_of(charge, off=1).next_transaction, charge.items, push_id="bill-1-1")

    assert shown.problem == "Paddle's preview shows 1001 in 1 items where we ask for 1000 in 1."


def test_a_preview_that_shows_the_push_twice_means_that_paddle_has_it_already() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())

    assert read_preview(preview_of(charge, charge).next_transaction, charge.items, push_id="bill-1-1").there_already


def test_a_preview_without_a_renewal_is_a_problem() -> None:
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=PushPolicy())
    nothing = ChargePreview.from_paddle({**subscription(currency_code="USD"), "next_transaction": None})

    assert "no transaction" in read_preview(nothing.next_transaction, charge.items, push_id="bill-1-1").problem


def test_amounts_that_include_tax_are_compared_with_it() -> None:
    policy = PushPolicy(tax_mode="internal")
    charge = build_charge(revision(line("10.00")), amount=1000, marks=MARKS, policy=policy)

    assert read_preview(preview_of(charge, tax=0).next_transaction, charge.items, push_id="bill-1-1").problem == ""
    assert read_preview(preview_of(charge, tax=190).next_transaction, charge.items, push_id="bill-1-1").problem != ""


# --- Credits, groups, products ----------------------------------------------------------------------------------------


def carried(remaining: int, *, category: str = "saas") -> CarriedEntry:
    """Something of the carried balance, not saved."""
    return CarriedEntry(remaining=remaining, amount=remaining, tax_category=category, currency="USD")


def composed(
    content: BillRevision, *entries: CarriedEntry, policy: PushPolicy | None = None, rules: Rules | None = None
) -> list[tuple[str, int, str, str | None]]:
    """Name, amount, description and tax category of each item."""
    made = compose(
        Owed(content, content.payable, entries), marks=MARKS, policy=policy or PushPolicy(), rules=rules or {}
    )
    return [(item.name, item.amount_minor, item.description, item.tax_category) for item in made.items]


def test_a_credit_lowers_the_largest_item_and_the_text_says_so() -> None:
    content = revision(line("10.00"), line("50.00", description="Storage"), line("-5.00", description="Goodwill"))

    assert composed(content) == [
        ("API calls", 1000, "12600 calls, 2026-02-01 to 2026-02-28 [bill-1-1]", "saas"),
        (
            "Storage",
            4500,
            "50.00 USD less credits (Goodwill -5.00 USD). 12600 calls, 2026-02-01 to 2026-02-28 [bill-1-1]",
            "saas",
        ),
    ]


def test_a_credit_larger_than_the_largest_item_goes_on_to_the_next() -> None:
    content = revision(line("10.00"), line("50.00", description="Storage"), line("-55.00", description="Goodwill"))

    assert [(name, amount) for name, amount, _, _ in composed(content)] == [("API calls", 500)]


RULES = {
    "Books": ProductRule(accounting_product="Books", tax_category="ebooks"),
    "Shelf": ProductRule(accounting_product="Shelf", paddle_product_id="pro_shelf", tax_category="saas"),
}


def test_a_credit_stays_in_its_tax_category_as_long_as_it_can() -> None:
    content = revision(line("10.00"), line("50.00", accounting_product="Books"), line("-4.00", description="Goodwill"))

    made = compose(Owed(content, content.payable), marks=MARKS, policy=PushPolicy(), rules=RULES)

    assert [item.amount_minor for item in made.items] == [600, 5000]
    assert not made.crosses


def test_a_credit_that_its_tax_category_cannot_take_crosses_and_says_so() -> None:
    content = revision(line("10.00"), line("50.00", accounting_product="Books"), line("-14.00", description="Goodwill"))

    made = compose(Owed(content, content.payable), marks=MARKS, policy=PushPolicy(), rules=RULES)

    assert [item.amount_minor for item in made.items] == [4600]
    assert made.crosses


def test_a_credit_of_no_tax_category_always_crosses() -> None:
    content = revision(line("10.00"))

    made = compose(Owed(content, 1000, (carried(-100, category=""),)), marks=MARKS, policy=PushPolicy(), rules={})

    assert made.crosses


def test_what_was_carried_is_an_item_of_its_own_and_a_carried_credit_lowers_others() -> None:
    content = revision(line("10.00"))

    assert [(name, amount) for name, amount, _, _ in composed(content, carried(40))] == [
        ("API calls", 1000),
        ("Carried from earlier bills", 40),
    ]
    (item,) = composed(content, carried(-40))
    assert item[:2] == ("API calls", 960)
    assert item[2].startswith("10.00 USD less credits (Carried from earlier bills -0.40 USD).")


def test_a_product_of_paddles_catalogue_is_named_by_its_id() -> None:
    content = revision(line("10.00", accounting_product="Shelf"))

    (item,) = compose(Owed(content, 1000), marks=MARKS, policy=PushPolicy(), rules=RULES).items

    assert (item.product_id, item.product_name) == ("pro_shelf", None)
    assert item.to_paddle()["price"]["product_id"] == "pro_shelf"


def test_lines_are_grouped_by_product_or_for_the_whole_bill_but_never_across_tax_categories() -> None:
    content = revision(
        line("10.00"),
        line("20.00", description="Storage", **{"from": "2026-01-01"}),
        line("5.00", accounting_product="Shelf"),
        line("50.00", accounting_product="Books"),
        line("-1.00", description="Goodwill"),
    )

    by_product = composed(content, policy=PushPolicy(grouping="product"), rules=RULES)
    whole = composed(content, policy=PushPolicy(grouping="bill"), rules=RULES)

    assert [(name, amount, category) for name, amount, _, category in by_product] == [
        ("Usage of Gauge Cloud", 2900, "saas"),
        ("Shelf", 500, "saas"),
        ("Books", 5000, "ebooks"),
    ]
    assert by_product[0][2] == "30.00 USD less credits (Goodwill -1.00 USD). 2026-01-01 to 2026-02-28 [bill-1-1]"
    assert [(name, amount, category) for name, amount, _, category in whole] == [
        ("Usage", 3400, "saas"),
        ("Usage", 5000, "ebooks"),
    ]


@given(
    st.lists(
        st.tuples(st.decimals(-400, 5000, places=5), st.sampled_from(["Books", "Shelf", "Other"])),
        min_size=1,
        max_size=150,
    ),
    st.lists(st.integers(-9000, 9000).filter(bool), max_size=4),
    st.sampled_from(["USD", "EUR", "JPY"]),
    st.sampled_from(["line", "product", "bill"]),
)
def test_items_of_any_bill_add_up_and_none_is_zero_or_below(
    lines: list[tuple[Decimal, str]], balance: list[int], currency: str, grouping: str
) -> None:
    content = revision(*[line(str(amount), accounting_product=of) for amount, of in lines], currency=currency)
    owed = Owed(content, content.payable, tuple(carried(amount) for amount in balance))
    assume(owed.total > 0)

    made = compose(owed, marks=MARKS, policy=PushPolicy(grouping=grouping), rules=RULES)

    assert made.total == owed.total
    assert min(item.amount_minor for item in made.items) > 0
    assert len(made.items) <= 100
