"""Sums of money, exactly: what tax and fee come to, and what part of them a refund gives back. Pure."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from integration_project.vendors.paddle_classic.simulator import guesses

CENT = Decimal("0.01")
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Tax:
    """How a plan is taxed: the rate, and whether its amounts hold the tax already."""

    rate: Decimal = NOTHING
    inclusive: bool = False


@dataclass(frozen=True)
class Taxed:
    """What the customer pays, and the tax in it."""

    total: Decimal
    tax: Decimal


def rounded(amount: Decimal) -> Decimal:
    """The amount in whole cents."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def written(amount: Decimal) -> str:
    """An amount as alerts write it."""
    return format(rounded(amount), "f")


def taxed(amount: Decimal, tax: Tax) -> Taxed:
    """What an amount of a plan comes to; a modifier's amount is treated as the plan's own is."""
    if tax.inclusive:
        return holding(amount, tax)
    added = rounded(amount * tax.rate)
    return Taxed(amount + added, added)


def holding(total: Decimal, tax: Tax) -> Taxed:
    """A total that holds its tax already."""
    return Taxed(total, total - rounded(total / (1 + tax.rate)))


def fee(total: Decimal) -> Decimal:
    """What Paddle keeps of a payment; of nothing it keeps nothing."""
    return rounded(total * guesses.FEE_RATE + guesses.FEE_FIXED) if total else NOTHING


def share(whole: Decimal, *, given: Decimal, part: Decimal, total: Decimal, left: Decimal) -> Decimal:
    """What belongs to a part of a total, so that the last part gets all the rest of it.

    `given` of the whole went with earlier parts, `left` of the total is there before this one.
    """
    if part == left:
        return whole - given
    return min(rounded(whole * part / total), whole - given)
