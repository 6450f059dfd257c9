"""What is owed for a bill: its total in smallest units, what its ledger says, and the difference. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing_bridge import money

HALF_A_UNIT = Decimal("0.5")


@dataclass(frozen=True)
class Entry:
    """A line of a bill's ledger, as far as sums need it."""

    kind: str
    amount: int


@dataclass(frozen=True)
class Position:
    """Where a bill stands. `carried` is carried out less carried in."""

    payable: int = 0
    pushed: int = 0
    credited: int = 0
    carried: int = 0
    written_off: int = 0
    lost: int = 0

    @property
    def outstanding(self) -> int:
        """What is neither charged, credited, carried nor written off; negative means the customer is owed."""
        return self.payable - self.pushed + self.lost + self.credited - self.carried - self.written_off


COLUMNS: dict[str, tuple[str, int]] = {
    "pushed": ("pushed", 1),
    "credited": ("credited", 1),
    "carried_out": ("carried", 1),
    "carried_in": ("carried", -1),
    "written_off": ("written_off", 1),
    "lost": ("lost", 1),
}
"""Which column of the bill a kind of entry adds to, and with which sign."""


def position(payable: int, entries: Iterable[Entry]) -> Position:
    """Add up a bill's ledger; the same formula for every history."""
    result = Position(payable=payable)
    for entry in entries:
        column, sign = COLUMNS[entry.kind]
        result = replace(result, **{column: getattr(result, column) + sign * entry.amount})
    return result


@dataclass(frozen=True)
class Settled:
    """What of an open amount is none, for it was given up or given back before: parts of it, above zero."""

    never_charged: int = 0
    """The customer would be owed it, but it was written off here, so nobody ever paid it."""
    given_back: int = 0
    """The customer would be owed it, but it went back in Paddle already, without a refund of ours."""
    never_given: int = 0
    """The customer would owe it, but it is a credit that was written off here, so nobody ever got it."""

    @property
    def write_off(self) -> int:
        """What has to be written off for that, before the rest is charged or given back; below zero: taken back."""
        return self.never_given - self.never_charged - self.given_back

    def __bool__(self) -> bool:
        return bool(self.never_charged or self.given_back or self.never_given)


def settled_before(outstanding: int, *, written_off: int, gone_outside: int) -> Settled:
    """Tell what of an open amount is none; `gone_outside`: what Paddle gave back or did not collect, not for us.

    A credit that was written off stands for what went back outside, as far as that reaches: it was given, then.
    """
    if outstanding < 0:
        never_charged = min(max(written_off, 0), -outstanding)
        not_counted_yet = max(gone_outside + min(written_off, 0), 0)
        return Settled(never_charged, min(not_counted_yet, -outstanding - never_charged))
    return Settled(never_given=min(max(-written_off - gone_outside, 0), outstanding))


@dataclass(frozen=True)
class Payable:
    """A bill's total as Paddle can charge it. `remainder` is recorded and never carried."""

    minor: int
    remainder: Decimal


def payable(total: Decimal, currency: str) -> Payable:
    """Round the bill's total half up to Paddle's decimals for its currency."""
    minor = money.round_half_up(total, currency)
    return Payable(minor, money.EXACT.subtract(total, money.in_major_units(minor, currency)))


def mismatch(total: Decimal, lines: Sequence[Decimal], currency: str) -> Decimal | None:
    """Give total less lines where that is more than rounding of each line could explain; else None."""
    difference = money.EXACT.subtract(total, money.exact_sum(lines))
    allowed = HALF_A_UNIT * len(lines)
    return difference if abs(money.scaled(difference, currency)) > allowed else None
