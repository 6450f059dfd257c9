"""Amounts with tax in them and without are not the same money: each item keeps its own, nothing is netted unseen."""

import random
from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from billing_bridge import importing, review
from billing_bridge.composing import Owed, Rules, Tax, compose, read_preview, unlike
from billing_bridge.models import CarriedEntry, ProductRule, PushedBill, PushPolicy
from integration_project.vendors.paddle.entities import Charge
from tests.billing_bridge.breaking import Deliver, told
from tests.billing_bridge.test_composing import MARKS, line, preview_of, revision
from tests.billing_bridge.test_reconciling import reconcile
from tests.billing_bridge.world import World, fresh, push_of

State = PushedBill.State
Reason = PushedBill.Reason
RULES: Rules = {"Shop": ProductRule(accounting_product="Shop", tax_category="saas", tax_mode="internal")}
SHOP = {"accounting_product": "Shop"}
MIXED = (line("10.00"), line("50.00", **SHOP))


@pytest.mark.parametrize(
    ("grouping", "policy", "items"),
    [
        ("line", "external", [(1000, "external"), (5000, "internal")]),
        ("product", "external", [(1000, "external"), (5000, "internal")]),
        ("bill", "external", [(1000, "external"), (5000, "internal")]),
        ("bill", "internal", [(6000, "internal")]),
    ],
)
def test_an_item_has_the_tax_mode_of_its_product_or_else_the_policys(
    grouping: str, policy: str, items: list[tuple[int, str]]
) -> None:
    policies = PushPolicy(grouping=grouping, tax_mode=policy)

    made = compose(Owed(revision(*MIXED), 6000), marks=MARKS, policy=policies, rules=RULES)

    assert [(item.amount_minor, item.tax_mode) for item in made.items] == items


@pytest.mark.parametrize(
    ("credit", "amounts", "crosses"),
    [
        ({"amount": "-4.00"}, [600, 5000], False),
        ({"amount": "-4.00", **SHOP}, [1000, 4600], False),
        ({"amount": "-14.00"}, [4600], True),
    ],
)
@pytest.mark.parametrize("grouping", ["line", "bill"])
def test_a_credit_lowers_what_is_taxed_as_it_is_and_else_a_person_must_agree(
    grouping: str, credit: dict[str, str], amounts: list[int], crosses: bool
) -> None:
    content = revision(*MIXED, line(description="Goodwill", **credit))

    made = compose(Owed(content, content.payable), marks=MARKS, policy=PushPolicy(grouping=grouping), rules=RULES)

    assert [item.amount_minor for item in made.items] == amounts
    assert made.crosses is crosses


@pytest.mark.parametrize(
    ("mode", "amounts", "crosses"),
    [("", [700, 5000], False), ("external", [700, 5000], False), ("internal", [1000, 4700], False)],
)
def test_what_was_carried_lowers_what_is_taxed_as_it_was(mode: str, amounts: list[int], crosses: bool) -> None:
    entry = CarriedEntry(remaining=-300, amount=-300, tax_category="saas", tax_mode=mode, currency="USD")

    made = compose(Owed(revision(*MIXED), 6000, (entry,)), marks=MARKS, policy=PushPolicy(), rules=RULES)

    assert ([item.amount_minor for item in made.items], made.crosses) == (amounts, False)


def test_what_was_carried_with_tax_in_it_is_charged_with_tax_in_it() -> None:
    entry = CarriedEntry(remaining=30, amount=30, tax_category="saas", tax_mode="internal", currency="USD")

    made = compose(Owed(revision(line("10.00")), 1000, (entry,)), marks=MARKS, policy=PushPolicy(), rules={})

    assert [(item.amount_minor, item.tax_mode) for item in made.items] == [(1000, "external"), (30, "internal")]


@pytest.mark.parametrize(("tax", "problem"), [(0, False), (190, True)])
def test_a_preview_of_both_is_compared_item_by_item(tax: int, problem: bool) -> None:
    made = compose(Owed(revision(*MIXED), 6000), marks=MARKS, policy=PushPolicy(), rules=RULES)
    would_be = preview_of(Charge("next_billing_period", made.items), tax=tax).next_transaction

    assert bool(read_preview(would_be, made.items, push_id="bill-1-1").problem) is problem


# --- From the bill to the refund -------------------------------------------------------------------------------------


def booked(world: World, lines: Sequence[tuple[str, str, str]]) -> PushedBill:
    """A bill whose lines are text, amount and accounting product."""
    ProductRule.objects.get_or_create(accounting_product="shop", tax_category="saas", tax_mode="internal")
    bill_id = (world.another_bill if PushedBill.objects.exists() else world.make_bill)(
        [(text, amount) for text, amount, _ in lines]
    )
    book(world, bill_id, lines)
    bill = importing.import_bill(bill_id, world.vendors)
    assert bill is not None
    return bill


def book(world: World, bill_id: str, lines: Sequence[tuple[str, str, str]]) -> None:
    for item, (_, _, product) in zip(world.in_m3ter(bill_id)["lineItems"], lines, strict=True):
        item["accountingProductId"] = product


def test_both_are_charged_paid_refunded_and_reconciled_to_the_cent(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never", mode="immediately", lock_after_days=3)
    both = [("API calls", "50.00", "usage"), ("Shop", "100.00", "shop")]
    bill = booked(world, both)
    world.work()
    told(deliver)
    paid, unknown = fresh(bill), reconcile(world).unknown
    lower = [("API calls", "40.00", "usage"), ("Shop", "10.00", "shop")]
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, [(text, amount) for text, amount, _ in lower])
    book(world, bill.m3ter_bill_id, lower)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    review.refund(bill.pk, by="fiona", reason="too much")
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)

    (charge,) = world.paddle.charges
    asked = [(item["price"]["unit_price"]["amount"], item["price"]["tax_mode"]) for item in charge.items]
    assert sorted(asked) == [("10000", "internal"), ("5000", "external")]
    assert (paid.state, paid.payment, paid.paid, unknown) == (State.PUSHED, "paid", 15000, 0)
    assert (fresh(bill).credited, fresh(bill).refunded, fresh(bill).outstanding) == (10000, 10000, 0)
    (adjustment,) = world.paddle.adjustments.values()
    assert len(adjustment["items"]) == 1
    assert reconcile(world).unknown == 0


def test_what_one_kind_does_not_cover_is_refunded_with_the_other_next(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never", mode="immediately", lock_after_days=3)
    bill = booked(world, [("API calls", "50.00", "usage"), ("Shop", "100.00", "shop")])
    world.work()
    told(deliver)
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, [("API calls", "30.00")])
    book(world, bill.m3ter_bill_id, [("API calls", "30.00", "usage")])
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    review.refund(bill.pk, by="fiona", reason="too much")
    for _ in range(2):
        PushedBill.objects.filter(pk=bill.pk, state=State.WAITING).update(due_at=bill.first_seen_at)
        world.work()
        world.paddle.settle_adjustments()
        told(deliver)

    assert (fresh(bill).credited, fresh(bill).refunded, fresh(bill).outstanding) == (12000, 12000, 0)
    assert sorted(row["totals"]["total"] for row in world.paddle.adjustments.values()) == ["10000", "2380"]


def test_what_is_left_of_a_bill_with_both_waits_for_a_person(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never", changed="settle", mode="immediately", lock_after_days=3)
    bill = booked(world, [("API calls", "50.00", "usage"), ("Shop", "100.00", "shop")])
    world.work()
    told(deliver)
    higher = [("API calls", "60.00", "usage"), ("Shop", "100.00", "shop")]
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, [(text, amount) for text, amount, _ in higher])
    book(world, bill.m3ter_bill_id, higher)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    world.work()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.CHANGED)
    assert "taxed in several ways" in fresh(bill).reason_detail


def test_a_small_bill_with_both_is_not_carried_as_if_it_were_one_kind(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = booked(world, [("API calls", "0.20", "usage"), ("Shop", "0.30", "shop")])
    world.work()
    held = fresh(bill)

    review.approve(bill.pk, by="fiona", reason="that is right")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.NEGATIVE)
    assert "Some of its amounts have tax in them" in held.reason_detail
    assert (fresh(bill).state, fresh(bill).carried) == (State.CARRIED, 50)


def test_a_small_bill_of_one_kind_is_carried_as_that(world: World) -> None:
    PushPolicy.objects.update(review="never", mode="immediately")
    small = booked(world, [("Shop", "0.30", "shop")])
    world.work()
    left = CarriedEntry.objects.get()

    bill = booked(world, [("API calls", "50.00", "usage")])
    world.work()

    assert (fresh(small).state, Tax(left.tax_category, left.tax_mode)) == (State.CARRIED, Tax("saas", "internal"))
    items = push_of(bill).items
    assert [(item["price"]["unit_price"]["amount"], item["price"]["tax_mode"]) for item in items] == [
        ("5000", "external"),
        ("30", "internal"),
    ]


def test_what_is_left_of_a_bill_is_taxed_as_its_largest_line_is() -> None:
    other = ProductRule(accounting_product="id-b", tax_category="standard", tax_mode="external")
    content = revision(
        line("90.00", accounting_product="Shop", accounting_product_id=""),
        line("10.00", accounting_product="B", accounting_product_id="id-b"),
    )

    made = compose(Owed(content, 500), marks=MARKS, policy=PushPolicy(), rules={**RULES, "id-b": other})

    assert [(item.tax_mode, item.tax_category) for item in made.items] == [("internal", "saas")]


def asked_and_shown(chance: random.Random) -> tuple[list[Any], list[Any]]:
    """Items with tax inside and on top, many of which come to the same amounts, and what Paddle shows of them."""
    rates = [chance.choice([0, 5, 7, 10, 19, 20]) for _ in range(2)]
    items, lines = [], []
    for _ in range(chance.randint(2, 6)):
        mode, rate, base = chance.choice(["internal", "external"]), chance.choice(rates), 100 * chance.randint(1, 12)
        with_tax = base + base * rate // 100
        amount = base if mode == "external" else chance.choice((base, with_tax))
        total = amount if mode == "internal" else with_tax
        subtotal = amount if mode == "external" else round(Fraction(100 * total, 100 + rate))
        items.append(SimpleNamespace(tax_mode=mode, amount_minor=amount))
        lines.append(SimpleNamespace(totals=SimpleNamespace(subtotal=subtotal, discount=0, total=total)))
    chance.shuffle(lines)
    return items, lines


@pytest.mark.parametrize("seed", range(5))
def test_a_preview_of_what_was_asked_is_never_unlike_it_however_its_lines_are_taxed(seed: int) -> None:
    chance = random.Random(seed)

    for _ in range(3_000):
        items, lines = asked_and_shown(chance)
        assert unlike(lines, items) == ""
