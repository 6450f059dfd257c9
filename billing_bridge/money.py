"""Exact money: decimals from the first byte, one way of rounding, and lines that add up to their total."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

TWO_DECIMALS = (
    "ARS AUD BRL CAD CHF CNY COP CZK DKK EUR GBP HKD HUF ILS INR MXN NOK NZD PEN PLN RUB SEK SGD THB TRY TWD UAH USD "
    "ZAR"
)
NO_DECIMALS = "JPY KRW"
EXPONENTS: dict[str, int] = {**dict.fromkeys(TWO_DECIMALS.split(), 2), **dict.fromkeys(NO_DECIMALS.split(), 0)}
"""Decimals of the currencies Paddle takes. No currency of Paddle's has three."""
UNCERTAIN = frozenset({"CLP", "VND"})
"""Paddle takes them, but whether with two decimals or none is a guess; a wrong one charges a hundredfold."""

DOCUMENTED_MINIMUMS = {"USD": 70, "GBP": 55}
"""The least Paddle charges, in minor units, where it says so outside its list of currencies (reference: 1.6)."""

EXACT = Context(prec=60)
"""Wide enough that no sum of a bill's lines is ever rounded on the way."""


class UnknownCurrency(ValueError):
    """A currency that Paddle does not take, or whose decimals at Paddle are not certain."""


class NotExact(TypeError):
    """An amount that has gone through binary floating point, or that is not a number."""


def exponent(currency: str) -> int:
    """Say how many decimals Paddle uses for a currency."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency) from None


@dataclass(frozen=True)
class Money:
    """An exact amount in a currency; `amount` may have any number of decimals."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise NotExact(f"{type(self.amount).__name__} is not exact")
        if not self.amount.is_finite():
            raise NotExact(f"{self.amount} is not an amount")

    def minor_units(self) -> int:
        """Round half up (away from zero) to the currency's smallest unit."""
        return round_half_up(self.amount, self.currency)

    @classmethod
    def of_minor_units(cls, minor: int, currency: str) -> "Money":
        """Read an amount that Paddle gave in the smallest unit."""
        return cls(in_major_units(minor, currency), currency)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def scaled(amount: Decimal, currency: str) -> Decimal:
    """Give an amount in smallest units, with whatever decimals remain."""
    return EXACT.scaleb(amount, exponent(currency))


def round_half_up(amount: Decimal, currency: str) -> int:
    """Round to smallest units; a half goes away from zero, so that a credit is the mirror of its charge."""
    return int(scaled(amount, currency).to_integral_value(ROUND_HALF_UP))


def in_major_units(minor: int, currency: str) -> Decimal:
    """Give a whole number of smallest units as an amount with the currency's decimals."""
    return EXACT.scaleb(Decimal(minor), -exponent(currency))


def words(minor: int, currency: str) -> str:
    """Write an amount for people; of a currency whose decimals are unknown, say that these are smallest units."""
    if currency not in EXPONENTS:
        return f"{minor} smallest units of {currency}"
    return f"{in_major_units(minor, currency):f} {currency}"


def exact_sum(amounts: Sequence[Decimal]) -> Decimal:
    """Add without rounding, whatever the precision of the caller's context."""
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def allocate(amounts: Sequence[Decimal], total: int, currency: str) -> list[int]:
    """Round lines to smallest units so that they add up to `total`: the largest remainders are rounded up.

    A line never falls below zero by this unless it was below zero. Where the lines do not come near the total, the
    difference is spread all the same; whether that is acceptable is decided before.
    """
    exact = [scaled(amount, currency) for amount in amounts]
    if not exact:
        if total:
            raise ValueError("there are no lines to spread an amount over")
        return []
    shares = [int(value.to_integral_value(ROUND_FLOOR)) for value in exact]
    left = total - sum(shares)
    rounds, left = divmod(left, len(shares)) if left > 0 else (0, left)
    shares = [share + rounds for share in shares]
    if left > 0:
        by_remainder = sorted(range(len(shares)), key=lambda index: (shares[index] - exact[index], index))
        for index in by_remainder[:left]:
            shares[index] += 1
    for _ in range(-left):
        candidates = [index for index in range(len(shares)) if shares[index] > 0] or list(range(len(shares)))
        shares[max(candidates, key=lambda index: (shares[index] - exact[index], -index))] -= 1
    return shares
