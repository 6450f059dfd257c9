"""Why what m3ter says of a bill is not what Paddle collected for it: every smallest unit with its reason. Pure.

The way of an amount, each step from what stands on its left to what stands on its right:

    m3ter now -> ledger -> entries -> asked of Paddle -> billed by Paddle -> collected -> less what was given back

Each step gives the parts that explain it, and `unknown` for what they leave, so that all parts of a bill together are
exactly m3ter's amount less what Paddle kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from billing_bridge import adjusting, money, owed


class Why(StrEnum):
    """The reason of a part."""

    UNKNOWN = "unknown"
    CHANGED = "changed"
    OPEN = "open"
    SKIPPED = "skipped"
    LOST = "lost"
    CARRIED = "carried"
    WRITTEN_OFF = "written off"
    PENDING = "pending renewal"
    PENDING_PAYMENT = "pending payment"
    UNLISTED = "not listed yet"
    UNISSUED = "not issued yet"
    UNPAID = "not paid yet"
    DISCOUNT = "discount"
    TAX = "tax"
    REFUNDED = "refunded"
    ROUNDING = "rounding"


@dataclass(frozen=True)
class Part:
    """Why some of the difference is there. Positive: Paddle kept less than m3ter says; negative: more."""

    why: Why
    amount: int
    words: str


@dataclass(frozen=True)
class InM3ter:
    """What m3ter says of a bill now; `total` None where it cannot be read, and `problem` says why."""

    currency: str
    total: Decimal | None
    version: int = 0
    is_approved: bool = True
    is_new: bool = False
    """It was approved so lately that it need not be known here yet."""
    is_gone: bool = False
    problem: str = ""


@dataclass(frozen=True)
class InLedger:
    """What our own columns and entries say of a bill."""

    currency: str
    columns: owed.Position
    outstanding: int
    entries: Sequence[owed.Entry]
    version: int = 0
    is_gone: bool = False
    stands: Why | None = None
    """What its state makes of an outstanding amount: open, skipped, or nothing, where there should be none."""
    words: str = ""


@dataclass(frozen=True)
class Line:
    """What Paddle made of an item of ours: `asked` by its unit price, the rest from the totals of its line."""

    asked: int
    subtotal: int
    discount: int = 0
    tax: int = 0
    total: int = 0
    is_tax_inside: bool = False
    """The amount asked for includes tax."""


@dataclass(frozen=True)
class GivenBack:
    """An adjustment in Paddle, as far as it concerns a push; `amount` is counted as the push's own is."""

    adjustment_id: str
    action: str
    status: str
    amount: int
    tax: int = 0
    """How much of the amount is tax; nothing where tax came on top of it."""


TRANSACTION, INVOICE, PAYMENT, MODIFIER, ADJUSTMENT = "transaction", "invoice", "payment", "modifier", "adjustment"
"""The kinds of what carries a push; the last is how a refund is there."""


@dataclass(frozen=True)
class Billed:
    """A transaction in Paddle, as far as it carries a push; of Classic, a payment, or a modifier that waits for one."""

    transaction_id: str
    status: str
    lines: Sequence[Line]
    given_back: Sequence[GivenBack] = ()
    kind: str = TRANSACTION

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.kind} {self.transaction_id}"


@dataclass(frozen=True)
class Absent:
    """Why a push is in no transaction: a reason for which that is right as yet, or unknown; in words."""

    why: Why
    words: str


NOWHERE = Absent(Why.UNKNOWN, "It should be in a transaction by now, and is in none.")


@dataclass(frozen=True)
class Sent:
    """A push: what our ledger says Paddle accepted of it and gave up, and what Paddle billed for it."""

    push_id: str
    accepted: int = 0
    given_up: int = 0
    is_open: bool = False
    """It is being charged or looked for, so that Paddle may have what is not yet recorded here."""
    absent: Absent = NOWHERE
    """What that comes from if no transaction carries it."""
    billed: Sequence[Billed] = ()


@dataclass(frozen=True)
class Explanation:
    """A bill's amounts in smallest units of its currency, and every part of their difference."""

    m3ter: int
    ledger: int
    billed: int
    collected: int
    refunded: int
    parts: tuple[Part, ...]

    @property
    def difference(self) -> int:
        """What m3ter says, less what Paddle kept."""
        return self.m3ter - (self.collected - self.refunded)

    @property
    def unknown(self) -> int:
        """How much has no reason: what is missing, or what is too much, whichever is more.

        A number that is wrong on the way is missing on one side of it and too much on the other. It counts once.
        """
        amounts = [part.amount for part in self.parts if part.why == Why.UNKNOWN]
        return max(sum(amount for amount in amounts if amount > 0), -sum(amount for amount in amounts if amount < 0))

    @property
    def is_unknown(self) -> bool:
        """Whether anything has no reason, also where its amount cannot be told."""
        return any(part.why == Why.UNKNOWN for part in self.parts)


CANCELED = "canceled"
WAITING = "waiting"
"""Our word for a modifier that no payment has collected yet."""
COLLECTED = frozenset({"paid", "completed"})
NOT_COLLECTED: Mapping[str, tuple[Why, str]] = {
    "draft": (Why.PENDING, "a draft"),
    "ready": (Why.PENDING, "about to be billed"),
    "billed": (Why.UNPAID, "billed"),
    "past_due": (Why.UNPAID, "past due"),
    WAITING: (Why.PENDING_PAYMENT, "to be collected with the next payment"),
}
"""Paddle's word for a transaction of which nothing has been collected -> what that explains."""
UNISSUED = (Why.UNISSUED, "a draft, which somebody must issue in Paddle")
NOT_BILLED = frozenset({"draft", "ready"})
MOST_DIGITS = 15


def explain(m3ter: InM3ter, ledger: InLedger | None, sent: Sequence[Sent] = ()) -> Explanation:
    """Explain a bill; the ledger is None for one that is not in our tables."""
    owes = payable(m3ter)
    ledger_says = ledger.columns.payable if ledger is not None else 0
    standing = [billed for each in sent for billed in _standing(each)]
    collected = [billed for billed in standing if billed.status in COLLECTED]
    parts = [
        *_rounding(m3ter, owes),
        *_m3ter_to_ledger(m3ter, ledger, owes),
        *_ledger_to_entries(ledger or InLedger(m3ter.currency, owed.Position(), 0, ()), sent),
        *(part for each in sent for part in _entries_to_collected(each)),
        *_given_back(ledger, standing),
    ]
    return Explanation(
        m3ter=owes,
        ledger=ledger_says,
        billed=sum(line.subtotal for billed in standing if billed.status != WAITING for line in billed.lines),
        collected=sum(_net_of_tax(billed) for billed in collected),
        refunded=sum(_back(billed) - _tax_back(billed) for billed in collected),
        parts=tuple(part for part in parts if part.amount or part.why in {Why.ROUNDING, Why.UNKNOWN}),
    )


def doubled(sent: Sent) -> tuple[str, ...]:
    """Name all that Paddle has of a push which it should have once; empty where it has it once, or not at all."""
    charged = [billed.name for billed in _standing(sent) if billed.kind == INVOICE or billed.status not in NOT_BILLED]
    return tuple(charged) if len(charged) > 1 else ()


# --- m3ter and the ledger ---------------------------------------------------------------------------------------------


def payable(m3ter: InM3ter) -> int:
    """What m3ter says is owed, in Paddle's smallest units; nothing where it is gone, or cannot be counted."""
    if m3ter.is_gone or not _is_countable(m3ter) or m3ter.total is None:
        return 0
    return owed.payable(m3ter.total, m3ter.currency).minor


def _is_countable(m3ter: InM3ter) -> bool:
    return m3ter.currency in money.EXPONENTS and (m3ter.total is None or m3ter.total.adjusted() < MOST_DIGITS)


def _rounding(m3ter: InM3ter, owes: int) -> Iterator[Part]:
    if m3ter.is_gone or m3ter.total is None or not _is_countable(m3ter):
        return
    left = money.EXACT.subtract(m3ter.total, money.in_major_units(owes, m3ter.currency))
    if left:
        words = f"m3ter's exact total leaves {left:f} {m3ter.currency}, less than the smallest unit, and never charged."
        yield Part(Why.ROUNDING, 0, words)


def _m3ter_to_ledger(m3ter: InM3ter, ledger: InLedger | None, owes: int) -> Iterator[Part]:
    if m3ter.problem:
        yield Part(Why.UNKNOWN, owes - (ledger.columns.payable if ledger else 0), f"m3ter's bill: {m3ter.problem}")
    elif ledger is None:
        yield from _not_ours(m3ter, owes)
    else:
        yield from _changed(m3ter, ledger, owes)


def _not_ours(m3ter: InM3ter, owes: int) -> Iterator[Part]:
    if m3ter.is_gone:
        return
    if not m3ter.is_approved:
        yield Part(Why.OPEN, owes, "m3ter has not approved it yet.")
    elif m3ter.is_new:
        yield Part(Why.OPEN, owes, "m3ter has approved it a moment ago; it will be read.")
    else:
        yield Part(Why.UNKNOWN, owes, "m3ter has approved this bill, and it is not known here.")


def _changed(m3ter: InM3ter, ledger: InLedger, owes: int) -> Iterator[Part]:
    gap = owes - ledger.columns.payable
    if m3ter.is_gone:
        if not ledger.is_gone:
            yield Part(Why.UNKNOWN, gap, "m3ter has no such bill any more, and nobody has noted that here.")
        elif gap:
            yield Part(Why.UNKNOWN, gap, "The bill is gone in m3ter, and the ledger still says that it is owed.")
    elif m3ter.version > ledger.version:
        says = money.words(owes, m3ter.currency)
        yield Part(Why.CHANGED, gap, f"m3ter changed it to {says} since it was read last; it will be read again.")
    elif m3ter.currency != ledger.currency and (owes or ledger.columns.payable):
        yield Part(Why.UNKNOWN, gap, f"m3ter's bill is in {m3ter.currency}, the ledger's in {ledger.currency}.")
    elif gap:
        yield Part(Why.UNKNOWN, gap, "The ledger says another amount than the very version of m3ter that was read.")


def _ledger_to_entries(ledger: InLedger, sent: Sequence[Sent]) -> Iterator[Part]:
    """The columns add up, say what their entries say, and every entry of a push has its push."""
    columns, entries = ledger.columns, owed.position(ledger.columns.payable, ledger.entries)
    yield from _missing(columns.outstanding - ledger.outstanding, "The bill's columns do not add up.")
    yield from _outstanding(ledger)
    yield Part(Why.CARRIED, entries.carried, "Carried to a later bill." if entries.carried > 0 else "Carried in.")
    yield Part(Why.WRITTEN_OFF, entries.written_off, "Written off.")
    for name, sign in (("carried", 1), ("written_off", 1), ("credited", -1), ("pushed", 1), ("lost", -1)):
        gap = sign * (getattr(columns, name) - getattr(entries, name))
        yield from _missing(gap, f"The column of what was {name.replace('_', ' ')} is not what its entries add up to.")
    of_pushes = sum(each.accepted - each.given_up for each in sent)
    yield from _missing(entries.pushed - entries.lost - of_pushes, "Entries of the ledger name no push that was made.")


def _outstanding(ledger: InLedger) -> Iterator[Part]:
    """What is neither charged nor given up: lost again to the customer, open, skipped, or without any reason."""
    lost = min(max(ledger.outstanding, 0), ledger.columns.lost)
    yield Part(Why.LOST, lost, f"Paddle accepted it and will not collect it. {ledger.words}".strip())
    rest = ledger.outstanding - lost
    if ledger.stands is not None:
        yield Part(ledger.stands, rest, ledger.words)
    else:
        yield from _missing(rest, f"The bill should be settled, and this is open. {ledger.words}".strip())


# --- The pushes and Paddle --------------------------------------------------------------------------------------------


def _entries_to_collected(sent: Sent) -> Iterator[Part]:
    standing = _standing(sent)
    gap = sent.accepted - sent.given_up - sum(line.asked for billed in standing for line in billed.lines)
    if gap:
        yield _not_as_accepted(sent, standing, gap)
    for billed in standing:
        for line in billed.lines:
            yield from _line(billed, line)
        yield from _payment(billed)


def _not_as_accepted(sent: Sent, standing: Sequence[Billed], gap: int) -> Part:
    """Paddle bills another amount for a push than the ledger says it accepted."""
    ids = ", ".join(billed.name for billed in standing)
    if not standing:
        return Part(sent.absent.why, gap, f"Push {sent.push_id}: {sent.absent.words}")
    if sent.is_open:
        return Part(Why.OPEN, gap, f"Push {sent.push_id} is in {ids}, and is about to be recorded here.")
    if sent.given_up:
        return Part(Why.UNKNOWN, gap, f"Push {sent.push_id} was given up as lost, and is in {ids}.")
    if not sent.accepted:
        return Part(Why.UNKNOWN, gap, f"The ledger has no entry of push {sent.push_id}, which is in {ids}.")
    if len(standing) > 1:
        return Part(Why.UNKNOWN, gap, f"Push {sent.push_id} is there more than once: {ids}.")
    return Part(Why.UNKNOWN, gap, f"Another amount than was accepted is billed for push {sent.push_id}: {ids}.")


def _line(billed: Billed, line: Line) -> Iterator[Part]:
    """From what was asked for to what is billed, less discounts and without tax."""
    where = f"in {billed.name}"
    left = line.asked - (line.subtotal - line.discount)
    tax = line.tax if line.is_tax_inside else 0
    discount = discounted(line)
    yield Part(Why.DISCOUNT, discount, f"A discount {where}.")
    yield Part(Why.TAX, tax, f"Tax that the amount includes, {where}.")
    yield from _missing(left - discount - tax, f"A line {where} is billed with another amount than its item.")


def discounted(line: Line) -> int:
    """A line's discount as it lowers the amount asked for; where that includes tax, so does the discount.

    That is what the line comes to less, if its rate of tax agrees: else something other than a discount is missing too.
    """
    base, less = line.subtotal - line.discount, line.asked - line.total
    if not line.is_tax_inside or not line.discount:
        return line.discount
    if base == 0:  # no rate can be told from nothing, and all of it is discount
        return less
    by_rate = line.discount + (2 * line.discount * line.tax + base) // (2 * base)
    return less if abs(less - by_rate) <= 1 else by_rate  # Paddle rounds discount and tax apart


def _payment(billed: Billed) -> Iterator[Part]:
    """From what is billed to what was collected."""
    net = sum(line.subtotal - line.discount for line in billed.lines)
    if billed.status in COLLECTED:
        yield from _missing(net - _net_of_tax(billed), f"The totals of {billed.name} do not add up.")
        return
    why, said = NOT_COLLECTED.get(billed.status, (Why.UNKNOWN, f"{billed.status}, which is unknown here"))
    if billed.kind == INVOICE and billed.status in NOT_BILLED:
        why, said = UNISSUED
    if billed.kind == ADJUSTMENT:
        said = f"of a transaction that is {said}"
    yield Part(
        why, net - (_back(billed) - _tax_back(billed)), f"{billed.kind.capitalize()} {billed.transaction_id} is {said}."
    )


def _given_back(ledger: InLedger | None, standing: Sequence[Billed]) -> Iterator[Part]:
    """What Paddle gave back, against what the ledger says was credited."""
    booked = owed.position(0, ledger.entries).credited if ledger is not None else 0
    beyond = sum(_back(billed) for billed in standing) - booked
    asked_for = sum(_asked_for(billed) for billed in standing)
    ids = ", ".join(each.adjustment_id for billed in standing for each in billed.given_back)
    if beyond > 0:
        yield Part(Why.REFUNDED, beyond, f"Given back in Paddle, and not by this application: {ids}.")
    elif beyond < 0:
        waits = min(-beyond, max(asked_for, 0))
        yield Part(Why.REFUNDED, -waits, f"Asked for, and not given back by Paddle yet: {ids}.")
        yield from _missing(beyond + waits, "The ledger says that it was credited, and Paddle has not given it back.")
    tax = sum(_tax_back(billed) for billed in standing)
    yield Part(Why.TAX, -tax, f"Tax that was given back with it: {ids}.")
    for billed in standing:
        for each in billed.given_back:
            if each.action not in adjusting.MOVES:
                words = f"Adjustment {each.adjustment_id} is a {each.action}, which is unknown here."
                yield Part(Why.UNKNOWN, 0, words)


def _missing(amount: int, words: str) -> Iterator[Part]:
    """What no reason was found for; nothing at all where there is nothing to explain."""
    if amount:
        yield Part(Why.UNKNOWN, amount, words)


def _standing(sent: Sent) -> list[Billed]:
    return [billed for billed in sent.billed if billed.status != CANCELED]


def _net_of_tax(billed: Billed) -> int:
    return sum(line.total - line.tax for line in billed.lines)


def _back(billed: Billed) -> int:
    return sum(adjusting.moved(each.action, each.status) * each.amount for each in billed.given_back)


def _tax_back(billed: Billed) -> int:
    return sum(adjusting.moved(each.action, each.status) * each.tax for each in billed.given_back)


def _asked_for(billed: Billed) -> int:
    waiting = [each for each in billed.given_back if each.status == adjusting.PENDING_APPROVAL]
    return sum(adjusting.claimed(each.action, each.status) * each.amount for each in waiting)
