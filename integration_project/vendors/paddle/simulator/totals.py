"""What lines cost: unit prices, tax and totals, in whole numbers of the lowest denomination."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from integration_project.vendors.paddle.simulator import guesses
from integration_project.vendors.paddle.simulator.envelope import Json


@dataclass(frozen=True)
class Line:
    """One thing sold. The ids of a price and product not created yet are None; what a trial gives costs nothing."""

    price: Json
    product: Json
    quantity: int
    free: bool = False


@dataclass(frozen=True)
class Amounts:
    """Subtotal and tax of a line, a rate or a whole transaction."""

    subtotal: int
    tax: int

    @property
    def total(self) -> int:
        """What it costs with tax."""
        return self.subtotal + self.tax

    def plus(self, other: "Amounts") -> "Amounts":
        """The sum of both."""
        return Amounts(self.subtotal + other.subtotal, self.tax + other.tax)

    def minus(self, other: "Amounts") -> "Amounts":
        """What is left."""
        return Amounts(self.subtotal - other.subtotal, self.tax - other.tax)

    def shown(self) -> Json:
        """As Paddle shows totals; there are no discounts here."""
        return {
            "subtotal": str(self.subtotal),
            "discount": "0",
            "tax": str(self.tax),
            "total": str(self.total),
        }

    def without_discount(self) -> Json:
        """As Paddle shows totals of adjustments."""
        return {"subtotal": str(self.subtotal), "tax": str(self.tax), "total": str(self.total)}


NOTHING = Amounts(0, 0)


def rounded(value: Decimal) -> int:
    """Half up to a whole number."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def tax_rate(country: str | None) -> Decimal:
    """The rate for a country."""
    return Decimal(guesses.TAX_RATES.get(country or "", guesses.OTHER_TAX_RATE))


def unit_amount(price: Json, country: str | None) -> int:
    """The unit price that holds in a country."""
    for override in price["unit_price_overrides"]:
        if country in override["country_codes"]:
            return int(override["unit_price"]["amount"])
    return int(price["unit_price"]["amount"])


def split(amount: int, *, inclusive: bool, rate: Decimal) -> Amounts:
    """An amount as subtotal and tax."""
    if inclusive:
        subtotal = rounded(Decimal(amount) / (1 + rate))
        return Amounts(subtotal, amount - subtotal)
    return Amounts(amount, rounded(amount * rate))


def line_amounts(line: Line, country: str | None) -> tuple[Amounts, Amounts]:
    """What one unit costs, and what the line costs."""
    amount, rate = 0 if line.free else unit_amount(line.price, country), tax_rate(country)
    inclusive = line.price["tax_mode"] == "internal"
    return (
        split(amount, inclusive=inclusive, rate=rate),
        split(amount * line.quantity, inclusive=inclusive, rate=rate),
    )


def sum_of(lines: Sequence[Line], country: str | None) -> Amounts:
    """What all the lines cost."""
    total = NOTHING
    for line in lines:
        total = total.plus(line_amounts(line, country)[1])
    return total


def line_items(lines: Sequence[Line], country: str | None, new_id: Callable[[str], str] | None) -> list[Json]:
    """The lines as Paddle shows them; without `new_id` as a preview does, which has no ids."""
    shown: list[Json] = []
    for line in lines:
        unit, whole = line_amounts(line, country)
        item: Json = {} if new_id is None else {"id": new_id("txnitm")}
        item |= {
            "price_id": line.price["id"],
            "quantity": line.quantity,
            "proration": None,
            "tax_rate": format(tax_rate(country), "f"),
            "unit_totals": unit.shown(),
            "totals": whole.shown(),
            "product": line.product,
        }
        shown.append(item)
    return shown


def totals(amounts: Amounts, currency: str, *, paid: bool = False, fee: int | None = None, credit: int = 0) -> Json:
    """The totals of a transaction."""
    return {
        **amounts.shown(),
        "credit": str(credit),
        "credit_to_balance": "0",
        "balance": "0" if paid else str(amounts.total - credit),
        "grand_total": str(amounts.total - credit),
        "grand_total_tax": str(amounts.tax),
        "fee": None if fee is None else str(fee),
        "earnings": None if fee is None else str(amounts.subtotal - fee),
        "currency_code": currency,
    }


def preview_details(lines: Sequence[Line], country: str | None, currency: str) -> Json:
    """The details of a transaction that does not exist yet."""
    amounts = sum_of(lines, country)
    return {
        "tax_rates_used": rates_used(amounts, country) if lines else [],
        "totals": totals(amounts, currency),
        "line_items": line_items(lines, country, None),
    }


def rates_used(amounts: Amounts, country: str | None) -> list[Json]:
    """One country, one rate."""
    return [{"tax_rate": format(tax_rate(country), "f"), "totals": amounts.shown()}]


def details(lines: Sequence[Line], country: str | None, currency: str, new_id: Callable[[str], str]) -> Json:
    """The details of a transaction as it begins: unpaid, without fee and payout."""
    amounts = sum_of(lines, country)
    return {
        "tax_rates_used": rates_used(amounts, country),
        "totals": totals(amounts, currency),
        "adjusted_totals": adjusted_totals(amounts, currency, fee=None),
        "payout_totals": None,
        "adjusted_payout_totals": None,
        "line_items": line_items(lines, country, new_id),
    }


def adjusted_totals(amounts: Amounts, currency: str, *, fee: int | None) -> Json:
    """The totals after adjustments."""
    return {
        **amounts.without_discount(),
        "grand_total": str(amounts.total),
        "grand_total_tax": str(amounts.tax),
        "fee": None if fee is None else str(fee),
        "retained_fee": "0",
        "earnings": None if fee is None else str(amounts.subtotal - fee),
        "currency_code": currency,
    }


def payout_totals(amounts: Amounts, currency: str, fee: int) -> Json:
    """What is paid out; the account's payout currency is the transaction's."""
    return {**totals(amounts, currency, paid=True, fee=fee), "exchange_rate": "1", "fee_rate": "0"}


def adjusted_payout_totals(amounts: Amounts, currency: str, fee: int) -> Json:
    """What is paid out after adjustments."""
    return {
        **amounts.without_discount(),
        "fee": str(fee),
        "retained_fee": "0",
        "exchange_rate": "1",
        "chargeback_fee": {"amount": "0", "original": None},
        "earnings": str(amounts.subtotal - fee),
        "currency_code": currency,
    }


def fee_of(amounts: Amounts) -> int:
    """Paddle's fee."""
    return rounded(Decimal(amounts.total) * Decimal("0.05")) + 50 if amounts.total else 0


def amounts_of(shown: dict[str, Any]) -> Amounts:
    """Read totals back."""
    return Amounts(int(shown["subtotal"]), int(shown["tax"]))
