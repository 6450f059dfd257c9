"""What usage costs: quantities, units, bands, minimum spend, proration and currency conversion, in Decimal. Pure."""

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

EXACT = decimal.Context(prec=40)
ZERO = Decimal(0)

UNIT_ROUNDING = {"UP": decimal.ROUND_CEILING, "DOWN": decimal.ROUND_FLOOR, "NEAREST": decimal.ROUND_HALF_UP}
CURRENCY_ROUNDING = {
    "UP": decimal.ROUND_UP,
    "DOWN": decimal.ROUND_DOWN,
    "CEILING": decimal.ROUND_CEILING,
    "FLOOR": decimal.ROUND_FLOOR,
    "HALF_UP": decimal.ROUND_HALF_UP,
    "HALF_DOWN": decimal.ROUND_HALF_DOWN,
    "HALF_EVEN": decimal.ROUND_HALF_EVEN,
}


class RoundingNecessary(ValueError):
    """A currency set to UNNECESSARY met an amount with more decimals than it allows."""


@dataclass(frozen=True)
class Currency:
    """How amounts of one currency are rounded."""

    code: str
    decimal_places: int = 2
    rounding: str = "HALF_UP"

    def round(self, amount: Decimal) -> Decimal:
        """The amount with this currency's decimals."""
        exponent = Decimal(1).scaleb(-self.decimal_places)
        if self.rounding == "UNNECESSARY":
            rounded = amount.quantize(exponent, rounding=decimal.ROUND_DOWN, context=EXACT)
            if rounded != amount:
                raise RoundingNecessary(f"{amount} {self.code} has more than {self.decimal_places} decimals")
            return rounded
        return amount.quantize(exponent, rounding=CURRENCY_ROUNDING[self.rounding], context=EXACT)


@dataclass(frozen=True)
class Band:
    """One pricing band; it ends where the next begins."""

    lower_limit: Decimal
    fixed_price: Decimal
    unit_price: Decimal
    id: str = ""


@dataclass(frozen=True)
class BandUsage:
    """What fell into one band."""

    band: Band
    units: Decimal
    fixed: Decimal

    @property
    def unit_subtotal(self) -> Decimal:
        """The price of the units alone."""
        return EXACT.multiply(self.units, self.band.unit_price)

    @property
    def subtotal(self) -> Decimal:
        """The price of the units and the band's fixed price."""
        return self.unit_subtotal + self.fixed


def units_of(quantity: Decimal, *, per_unit: Decimal, rounding: str) -> Decimal:
    """How many units are charged for a quantity; a quantity per unit of zero counts as one."""
    units = EXACT.divide(quantity, per_unit) if per_unit else quantity
    if rounding == "NONE":
        return units
    return units.quantize(Decimal(1), rounding=UNIT_ROUNDING[rounding], context=EXACT)


def rate(
    units: Decimal, bands: Sequence[Band], *, cumulative: bool, before: Decimal = ZERO, above: bool = True
) -> list[BandUsage]:
    """Apply bands to units; `before` are units already rated, when tiers span the whole plan.

    Cumulative prices what lies in each band at that band's price (tiered); otherwise all units are priced at the
    highest band reached (volume). Negative units, which corrections can leave, are priced at the lowest band.
    """
    ordered = sorted(bands, key=lambda band: band.lower_limit)
    if cumulative:
        return _tiered(units, ordered, before=before, above=above)
    return _volume(units, ordered, before=before, above=above)


def _reached(total: Decimal, band: Band, *, above: bool) -> bool:
    return total > band.lower_limit if above else total >= band.lower_limit


def _volume(units: Decimal, bands: Sequence[Band], *, before: Decimal, above: bool) -> list[BandUsage]:
    if not units:
        return []
    reached = [band for band in bands if _reached(before + units, band, above=above)]
    band = reached[-1] if reached else bands[0]
    return [BandUsage(band, units, band.fixed_price if reached else ZERO)]


def _tiered(units: Decimal, bands: Sequence[Band], *, before: Decimal, above: bool) -> list[BandUsage]:
    total = before + units
    usages = []
    for index, band in enumerate(bands):
        floor = None if index == 0 else band.lower_limit
        ceiling = bands[index + 1].lower_limit if index + 1 < len(bands) else None
        inside = _inside(total, floor, ceiling) - _inside(before, floor, ceiling)
        entered = _reached(total, band, above=above) and not (before and _reached(before, band, above=above))
        fixed = band.fixed_price if entered and units else ZERO
        if inside or fixed:
            usages.append(BandUsage(band, inside, fixed))
    return usages


def _inside(total: Decimal, floor: Decimal | None, ceiling: Decimal | None) -> Decimal:
    if ceiling is not None:
        total = min(total, ceiling)
    return total if floor is None else max(total - floor, ZERO)


def total_of(usages: Sequence[BandUsage]) -> Decimal:
    """The sum over bands, not rounded."""
    return sum((usage.subtotal for usage in usages), ZERO)


def average_unit_price(amount: Decimal, units: Decimal) -> Decimal:
    """The mean price of a unit, to six places; zero units have none."""
    return EXACT.divide(amount, units).quantize(Decimal("0.000001"), context=EXACT).normalize() if units else ZERO


def prorated(amount: Decimal, *, cycles: Fraction) -> Decimal:
    """A charge per billing cycle over a number of cycles, which need not be whole."""
    return EXACT.divide(EXACT.multiply(amount, Decimal(cycles.numerator)), Decimal(cycles.denominator))


def minimum_spend_adjustment(minimum: Decimal, spent: Decimal) -> Decimal:
    """What is still missing to the minimum."""
    return max(minimum - spent, ZERO)


def capped_credit(credit: Decimal, others: Decimal) -> Decimal:
    """A credit as a negative amount, never more than the lines it is set against."""
    return -min(credit, max(others, ZERO))


def convert(amount: Decimal, multiplier: Decimal) -> Decimal:
    """An amount in another currency, not rounded."""
    return EXACT.multiply(amount, multiplier)
