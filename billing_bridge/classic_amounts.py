"""What amounts of Paddle Classic's payments and refunds say of our charges in them. Pure.

Classic does not say what a payment is made of: one amount holds the plan's price, every modifier, and the tax, which
is inside the others' amounts or on top of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum

NOTHING = Decimal(0)
Fields = Mapping[str, str]


class Collected(Enum):
    """How much of the modifiers that waited for a payment it has collected."""

    WHOLE = "whole"
    NONE = "none"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Paid:
    """A payment in major units: what the customer paid, the tax in that, and what the plan alone costs.

    What is not known is None.
    """

    gross: Decimal
    tax: Decimal | None = None
    plan: Decimal | None = None

    @classmethod
    def of(cls, fields: Fields) -> "Paid | None":
        """Read the alert of a payment that was made; None where it names no amount."""
        gross = amount(fields, "sale_gross")
        return None if gross is None else cls(gross, amount(fields, "payment_tax"), plan_of(fields))

    @property
    def said(self) -> frozenset[Decimal]:
        """What it comes to, counted in each way in which the plan's and our amounts may be."""
        return frozenset({self.gross, self.gross - (self.tax or NOTHING)})

    def collected(self, ours: Sequence[Decimal], *, recurring: Decimal = NOTHING) -> Collected:
        """Say how much of our modifiers is in it; `recurring` is what others' modifiers add to every payment.

        An exact sum is certain. Else a coupon, a balance or somebody else's modifier is in it, and whatever it was
        lowered by may hide ours: however little was paid, that does not say that ours was not part of it.
        """
        if self.plan is None:
            return Collected.UNSURE
        without = {self.plan, self.plan + recurring}
        whole = {max(each + sum(ours, NOTHING), NOTHING) for each in without}
        exact = bool(self.said & whole), bool(self.said & without)
        if exact[0] != exact[1]:
            return Collected.WHOLE if exact[0] else Collected.NONE
        if exact[0]:  # the tax comes to as much as ours
            return Collected.UNSURE if whole != without else Collected.WHOLE
        if all(each > 0 for each in ours) and min(self.said) >= max(whole):
            return Collected.WHOLE
        if all(each < 0 for each in ours) and self.gross <= min(whole):
            return Collected.WHOLE
        return Collected.UNSURE

    def once_more(self, ours: Sequence[Decimal]) -> int | None:
        """Say which of our modifiers it has a second time, to the cent: its place, or None."""
        if self.plan is None:
            return None
        whole = self.plan + sum(ours, NOTHING)
        if whole in self.said:
            return None
        return next((place for place, each in enumerate(ours) if whole + each in self.said), None)

    def has_tax_inside(self, ours: Sequence[Decimal]) -> bool:
        """Say that the plan's and our amounts hold the tax, which is certain where they come to what was paid."""
        return self.plan is not None and self.gross == self.plan + sum(ours, NOTHING)


def given_back(fields: Fields, *, tax_inside: bool) -> Decimal | None:
    """What an alert of a refund says was given back, counted as our amounts are; None where it does not say."""
    gross = amount(fields, "gross_refund") or amount(fields, "amount")
    if gross is None:
        return None
    return gross if tax_inside else gross - (amount(fields, "tax_refund") or NOTHING)


def plan_of(fields: Fields) -> Decimal | None:
    """What the plan alone costs a period, as an alert says it."""
    price, quantity = amount(fields, "unit_price"), amount(fields, "quantity")
    return None if price is None or quantity is None else price * quantity


def amount(fields: Fields, name: str) -> Decimal | None:
    """An amount of an alert; None where there is none, or something that is no number."""
    try:
        value = Decimal(fields.get(name, ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() and value.adjusted() < MOST_DIGITS else None


MOST_DIGITS = 15
"""No amount is longer; what is, is nonsense."""
