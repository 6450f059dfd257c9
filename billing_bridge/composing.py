"""What a push asks Paddle to charge: items of whole amounts above zero, with texts that a customer can read. Pure.

shares     each line's part of the bill's rounded total; what was carried comes beside them
grouped    one item per line, per product, or for the whole bill; never across what is taxed in different ways
netted     credits lower what is taxed as they are, largest first
items      names and texts filled in and cut to Paddle's limits, with the push id in each
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain, repeat
from typing import Any

from billing_bridge import money
from billing_bridge.models import BillRevision, CarriedEntry, ProductRule, PushPolicy
from billing_bridge.netting import Netted, Share, spread_credits
from integration_project.vendors.paddle.entities import (
    LONGEST_PRICE_DESCRIPTION,
    LONGEST_PRICE_NAME,
    LONGEST_PRODUCT_NAME,
    ChargeItem,
    ChargePreview,
    PreviewLine,
    PreviewTransaction,
)

MOST_ITEMS = 100
"""Paddle's limit for the recurring, pending and new items of a subscription together."""
CATEGORY_WORDS = {"STANDING_CHARGE": "Standing charge", "MINIMUM_SPEND": "Minimum spend"}
"""Names of lines that m3ter gave no description; every other type counts as usage."""
CARRIED_WORDS = "Carried from earlier bills"
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Marks:
    """What stands in everything we send for one push, so that it is found again."""

    push_id: str
    bill_id: str
    attempt: int

    @property
    def of_price(self) -> dict[str, str]:
        """For a price; texts, because Paddle refuses large numbers there."""
        return {"push_id": self.push_id, "bill_id": self.bill_id, "attempt": str(self.attempt)}

    @property
    def of_product(self) -> dict[str, str]:
        """For a product, which the preview shows and the price's it does not."""
        return {"push_id": self.push_id, "bill_id": self.bill_id}


@dataclass(frozen=True)
class Owed:
    """What a push is for: an amount of the bill itself, and what it takes of the carried balance."""

    revision: BillRevision
    amount: int
    carried: tuple[CarriedEntry, ...] = ()

    @property
    def total(self) -> int:
        """All of it, in minor units."""
        return self.amount + sum(entry.remaining for entry in self.carried)

    @property
    def is_whole(self) -> bool:
        """Whether it is for all of the bill, so that its lines add up to it."""
        return self.amount == self.revision.payable


@dataclass(frozen=True)
class Composed:
    """The items of a push. `crosses`: a credit lowers what is taxed in another way, so a person must agree."""

    items: tuple[ChargeItem, ...]
    crosses: bool
    joined: str = ""
    """The rule that made these items of m3ter's lines, in words."""

    @property
    def tax_modes(self) -> frozenset[str]:
        """Whether the items have tax in them, or do not: where both, some of each."""
        return frozenset(item.tax_mode for item in self.items)

    @property
    def total(self) -> int:
        """What the items come to."""
        return sum(item.amount_minor for item in self.items)


@dataclass(frozen=True)
class Tax:
    """How an amount is taxed: in which of Paddle's categories, and whether tax is in it (internal) or comes on top."""

    category: str
    mode: str

    def __str__(self) -> str:
        return f"{self.category}, {self.mode}"


@dataclass(frozen=True)
class Destination:
    """What Paddle is told a charge is for: a product of its catalogue, or one of our own with this name.

    `tax` is None for what is taxed in no way in particular: credits that were carried for several.
    """

    product_id: str
    product_name: str
    tax: Tax | None


@dataclass(frozen=True)
class Part:
    """A signed amount with its text and its destination, and the credits that it has in it already."""

    line: Line
    amount: int
    to: Destination
    credits: tuple[tuple[str, int], ...] = ()


Rules = Mapping[str, ProductRule]


def rules_by_product() -> dict[str, ProductRule]:
    """The product rules, by accounting product."""
    return {rule.accounting_product: rule for rule in ProductRule.objects.all()}


def compose(owed: Owed, *, marks: Marks, policy: PushPolicy, rules: Rules, one_item: bool = False) -> Composed:
    """Write the items of a push; one for the whole bill and way of taxing where more do not fit."""
    parts = [*_of_bill(owed, policy, rules), *_of_balance(owed, policy)]
    grouping = PushPolicy.Grouping.BILL if one_item else PushPolicy.Grouping(policy.grouping)
    grouped = _grouped(parts, grouping, owed.revision)
    if len([part for part in grouped if part.amount > 0]) > MOST_ITEMS:
        grouping = PushPolicy.Grouping.BILL
        grouped = _grouped(parts, grouping, owed.revision)
    shares = [Share(key, str(part.to.tax or ""), part.amount) for key, part in enumerate(grouped)]
    netted = spread_credits(shares)
    items = tuple(_item(grouped, left, owed.revision.currency, marks, policy) for left in netted.left)
    return Composed(items, netted.crosses, _joined(owed, grouping, policy, rules))


def _joined(owed: Owed, grouping: PushPolicy.Grouping, policy: PushPolicy, rules: Rules) -> str:
    """Say which rule put m3ter's lines together, and which say what they are for in Paddle."""
    if not owed.is_whole:
        said = "One item for what is left of the bill."
    elif grouping != policy.grouping:
        said = f"{grouping.label}, because the lines do not fit on the subscription one by one."
    else:
        said = f"{grouping.label}, as the push policy says."
    used = (_rule(line, rules) for line in owed.revision.lines)
    names = sorted({rule.accounting_product for rule in used if rule is not None})
    return f"{said} Product rules: {', '.join(names)}." if names else said


def taxes_of(revision: BillRevision, policy: PushPolicy, rules: Rules) -> frozenset[Tax]:
    """Every way in which lines of a bill are taxed."""
    return frozenset(_tax(line, policy, rules) for line in revision.lines)


def _of_bill(owed: Owed, policy: PushPolicy, rules: Rules) -> list[Part]:
    """The bill's own lines with what each comes to, or one part for what is left of a bill charged in part."""
    revision = owed.revision
    if not owed.is_whole:
        line = whole_bill(revision, remaining=True)
        return [Part(line, owed.amount, _destination(line, policy, rules))]
    shares = money.allocate(exact_lines(revision), owed.amount, revision.currency)
    pairs = zip(revision.lines, shares, strict=True)
    return [Part(line, share, _destination(line, policy, rules)) for line, share in pairs if share]


def _of_balance(owed: Owed, policy: PushPolicy) -> list[Part]:
    """What was carried, beside the bill's own."""
    words = {"description": CARRIED_WORDS}
    return [
        Part(words, entry.remaining, Destination("", CARRIED_WORDS, carried_tax(entry, policy)))
        for entry in owed.carried
    ]


def carried_tax(entry: CarriedEntry, policy: PushPolicy) -> Tax | None:
    """How what is left of an entry of the carried balance is taxed; None for a credit of several ways."""
    # A debit without a tax category has the policy's, a credit without one has none.
    category = entry.tax_category or (policy.tax_category if entry.remaining > 0 else "")
    return Tax(category, entry.tax_mode or policy.tax_mode) if category else None


def _destination(line: Line, policy: PushPolicy, rules: Rules) -> Destination:
    rule = _rule(line, rules)
    product_id = rule.paddle_product_id if rule is not None else ""
    return Destination(product_id, names_of(line)["product"], _tax(line, policy, rules))


def _tax(line: Line, policy: PushPolicy, rules: Rules) -> Tax:
    """How a line is taxed: as the rule of its accounting product says, and otherwise as the policy does."""
    rule = _rule(line, rules)
    if rule is None:
        return Tax(policy.tax_category, policy.tax_mode)
    return Tax(rule.tax_category, rule.tax_mode or policy.tax_mode)


def _rule(line: Line, rules: Rules) -> ProductRule | None:
    names = (line.get("accounting_product_id") or "", line.get("accounting_product") or "")
    return next((rules[name] for name in names if name in rules), None)


def _grouped(parts: Sequence[Part], grouping: PushPolicy.Grouping, revision: BillRevision) -> list[Part]:
    """Put parts together; credits and debits of one group make one part, never what is taxed in different ways."""
    if grouping == PushPolicy.Grouping.LINE:
        return list(parts)
    whole = grouping == PushPolicy.Grouping.BILL
    groups: dict[tuple[str, Tax | None], list[Part]] = {}
    for part in parts:
        product = "" if whole else part.to.product_id or part.to.product_name
        groups.setdefault((product, part.to.tax), []).append(part)
    made = [_group(members, whole_bill(revision) if whole else None) for members in groups.values()]
    return [part for part in made if part.amount]


def _group(parts: Sequence[Part], line: Line | None) -> Part:
    first = parts[0]
    product = first.line if first.line.get("description") == CARRIED_WORDS else {"description": first.to.product_name}
    text = line or {**product, **_period_of(part.line for part in parts), "accounting_product": first.to.product_name}
    credits = tuple((names_of(part.line)["line"], -part.amount) for part in parts if part.amount < 0)
    amount = sum(part.amount for part in parts)
    return Part(text, amount, first.to, credits if amount > 0 else ())


def exact_lines(revision: BillRevision) -> list[Decimal]:
    """The lines' amounts in the bill's currency."""
    return [Decimal(line["amount"]) for line in revision.lines]


def whole_bill(revision: BillRevision, *, remaining: bool = False) -> Line:
    """One line for all of a bill, or for what is left of it: booked as its largest line is."""
    by_size = sorted(revision.lines, key=lambda line: -Decimal(line["amount"]))
    booked = [line for line in by_size if line.get("accounting_product") or line.get("accounting_product_id")]
    largest = booked[0] if booked else {}
    return {
        "description": "Usage, remaining part" if remaining else "Usage",
        "accounting_product": largest.get("accounting_product", ""),
        "accounting_product_id": largest.get("accounting_product_id", ""),
        "product": next((line["product"] for line in by_size if line.get("product")), ""),
        **_period_of(revision.lines),
    }


def _period_of(lines: Iterable[Line]) -> dict[str, str]:
    periods = [(line.get("from"), line.get("to")) for line in lines]
    starts = [start for start, _ in periods if start]
    ends = [end for _, end in periods if end]
    return {"from": min(starts, default=""), "to": max(ends, default="")}


def _item(parts: Sequence[Part], left: Netted, currency: str, marks: Marks, policy: PushPolicy) -> ChargeItem:
    part = parts[left.key]
    tax = part.to.tax or Tax(policy.tax_category, policy.tax_mode)  # only credits have none, and those are no items
    names = names_of(part.line)
    suffix = f"[{marks.push_id}]"
    text = fill_in(policy.item_description, names)
    credits = [*part.credits, *((names_of(parts[key].line)["line"], amount) for key, amount in left.lowered_by)]
    if credits:
        text = f"{_less(left.amount, credits, currency)} {text}".strip()
    text = text[: LONGEST_PRICE_DESCRIPTION - len(suffix) - 1].rstrip()
    return ChargeItem(
        name=(fill_in(policy.item_name, names) or names["line"])[:LONGEST_PRICE_NAME].rstrip(),
        description=f"{text} {suffix}".strip(),
        amount_minor=left.amount,
        currency=currency,
        tax_mode=tax.mode,
        custom_data=marks.of_price,
        product_id=part.to.product_id or None,
        product_name=None if part.to.product_id else part.to.product_name[:LONGEST_PRODUCT_NAME].rstrip(),
        tax_category=tax.category,
        product_custom_data=marks.of_product,
    )


def one_text(owed: Owed, *, marks: Marks, policy: PushPolicy, longest: int) -> str:
    """Say in one line what all of a push is for, and by which id it is found; the id stands last and is never cut."""
    names = names_of(whole_bill(owed.revision, remaining=not owed.is_whole))
    text = fill_in(policy.item_name, names) or names["line"]
    if names["period"] and names["period"] not in text:
        text = f"{text}, {names['period']}"
    carried = owed.total - owed.amount
    if carried:
        text = f"{text}, with {money.words(carried, owed.revision.currency)} carried from earlier bills"
    suffix = f"[{marks.push_id}]"
    return f"{text[: longest - len(suffix) - 1].rstrip()} {suffix}"


UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MARK = re.compile(rf"\[({UUID}-[1-9][0-9]{{0,5}})\]\s*$", re.ASCII)
"""How `one_text` ends: with the m3ter bill's id, which is a UUID, and the ordinal of the push."""


def mark_of(text: str) -> str:
    """Read the push id in a text that `one_text` wrote, whichever database wrote it; empty where it wrote none."""
    found = MARK.search(text)
    return found.group(1) if found else ""


def _less(amount: int, credits: Sequence[tuple[str, int]], currency: str) -> str:
    """Say what an item came to before credits, and what they were."""
    before = amount + sum(credit for _, credit in credits)
    words = "; ".join(f"{name} -{money.words(credit, currency)}" for name, credit in credits)
    return f"{money.words(before, currency)} less credits ({words})."


def names_of(line: Mapping[str, Any]) -> dict[str, str]:
    """What the {names} in the policy's texts stand for; no other name means anything."""
    product = _clean(line.get("accounting_product") or line.get("product") or "")
    described = _clean(line.get("description") or "")
    return {
        "line": described or CATEGORY_WORDS.get(line.get("type") or "", "") or product or "Usage",
        "product": product or "Usage",
        "period": _period(line.get("from") or "", line.get("to") or ""),
        "units": _number(line.get("units") or ""),
        "unit": _clean(line.get("unit") or ""),
    }


NAMES = ("line", "product", "period", "units", "unit")
PLACEHOLDER = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
BLANK_BEFORE_COMMA = re.compile(r" ([,;:])")


def fill_in(template: str, names: Mapping[str, str]) -> str:
    """Put the names into a text, once and literally; the blanks and commas that empty ones leave are cut off."""
    filled = _clean(PLACEHOLDER.sub(lambda match: names[match[1]], template))
    return BLANK_BEFORE_COMMA.sub(r"\1", filled).strip(" ,;:-")


def _clean(text: str) -> str:
    """One line without control characters, spaces single."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():f}" if text else ""


def _period(start: str, end: str) -> str:
    """First and last day; m3ter's end is the day after the last."""
    if not start or not end:
        return start
    last = date.fromisoformat(end) - timedelta(days=1)
    return start if last <= date.fromisoformat(start) else f"{start} to {last.isoformat()}"


# --- What the preview says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Previewed:
    """What a preview shows of one push. `there_already`: more of it than we are about to send; `problem`: in words."""

    there_already: bool = False
    problem: str = ""
    ours: tuple[PreviewLine, ...] = ()
    others: tuple[PreviewLine, ...] = ()
    """What else is on the same transaction."""

    @property
    def lines(self) -> int:
        """How many lines the transaction would have."""
        return len(self.ours) + len(self.others)


def read_preview(would_be: PreviewTransaction | None, items: Sequence[ChargeItem], *, push_id: str) -> Previewed:
    """Compare a preview with what we asked for: our lines, once each, for exactly our amounts.

    Lines for a product of Paddle's catalogue carry no mark of ours in a preview; they are told by their price, which
    does not exist yet.
    """
    if would_be is None:
        return Previewed(problem="Paddle's preview shows no transaction that would carry the charge.")
    products = {item.product_id for item in items if item.product_id is not None}
    marked, unmarked, others = [], [], []
    for line in would_be.details.lines:
        if _is_of(line, push_id):
            marked.append(line)
        elif line.price_id is None and _product_id(line) in products:
            unmarked.append(line)
        else:
            others.append(line)
    ours = (*marked, *unmarked)
    there_already = len(marked) > sum(1 for item in items if item.product_id is None)
    problem = "" if there_already else unlike(ours, items)
    return Previewed(there_already, problem, ours, tuple(others))


def unlike(lines: Sequence[PreviewLine], items: Sequence[ChargeItem]) -> str:
    """Say how the lines of ours in a preview differ from what we ask; empty when they do not."""
    asked, shown = sorted(item.amount_minor for item in items), sorted(_amounts(lines, items))
    if asked == shown:
        return ""
    return f"Paddle's preview shows {sum(shown)} in {len(shown)} items where we ask for {sum(asked)} in {len(asked)}."


def pending(preview: ChargePreview) -> frozenset[str]:
    """The pushes of ours that the next renewal would carry, what is being previewed for it among them."""
    renewal = preview.next_transaction
    lines = renewal.details.lines if renewal is not None else ()
    marks = [line.product.custom_data.get("push_id") for line in lines if line.product is not None]
    return frozenset(mark for mark in marks if isinstance(mark, str))


def _is_of(line: PreviewLine, push_id: str) -> bool:
    return line.product is not None and line.product.custom_data.get("push_id") == push_id


def _product_id(line: PreviewLine) -> str | None:
    return line.product.id if line.product is not None else None


def _amounts(lines: Sequence[PreviewLine], items: Sequence[ChargeItem]) -> list[int]:
    """What Paddle will charge of ours, line by line: before tax, or with it where our amount includes it.

    A preview does not say of which item a line is. Where some of our amounts include tax and others do not, as many
    lines as possible are counted as the item that they fit.
    """
    asked = [(item.tax_mode, item.amount_minor) for item in items]
    modes = sorted({item.tax_mode for item in items})
    ways = [{mode: _amount(line, mode) for mode in modes} for line in lines]
    found = _matched([{number for number, each in enumerate(asked) if each in way.items()} for way in ways])
    fitting = [asked[number][1] for number in found]
    others = [way for number, way in enumerate(ways) if number not in found.values()]
    missing = chain((mode for number, (mode, _) in enumerate(asked) if number not in found), repeat(modes[0]))
    return [*fitting, *(way[mode] for way, mode in zip(others, missing, strict=False))]


def _matched(fits: Sequence[Set[int]]) -> dict[int, int]:
    """Give as many lines as possible an item of their own, where `fits` says which each may have: item -> line.

    By augmenting paths: a line whose items are taken has one of them if its line can have another.
    """
    taken: dict[int, int] = {}

    def finds(line: int, asked: set[int]) -> bool:
        for item in fits[line] - asked:
            asked.add(item)
            if item not in taken or finds(taken[item], asked):
                taken[item] = line
                return True
        return False

    for line in range(len(fits)):
        finds(line, set())
    return taken


def _amount(line: PreviewLine, tax_mode: str) -> int:
    """What a line comes to for us; discounts are not ours."""
    includes_tax = tax_mode == PushPolicy.TaxMode.INTERNAL
    return line.totals.total + line.totals.discount if includes_tax else line.totals.subtotal
