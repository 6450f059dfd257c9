"""Totals, and transactions that do not exist yet."""

from dataclasses import dataclass
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.paddle.entities.catalogue import Period, Product
from integration_project.vendors.reading import Json


@dataclass(frozen=True)
class Totals:
    """What a transaction, or a line of it, comes to. Lines have no balance and no grand total."""

    subtotal: int
    discount: int
    tax: int
    total: int
    credit: int | None
    balance: int | None
    grand_total: int | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read totals; a part Paddle leaves out counts as nothing."""
        return cls(
            subtotal=reading.minor_units(data, "subtotal"),
            discount=reading.optional_minor_units(data, "discount") or 0,
            tax=reading.optional_minor_units(data, "tax") or 0,
            total=reading.minor_units(data, "total"),
            credit=reading.optional_minor_units(data, "credit"),
            balance=reading.optional_minor_units(data, "balance"),
            grand_total=reading.optional_minor_units(data, "grand_total"),
        )


@dataclass(frozen=True)
class PlainTotals:
    """Totals that know no discount: of an adjustment, or of a transaction after its adjustments."""

    subtotal: int
    tax: int
    total: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read totals; tax that Paddle leaves out counts as nothing."""
        return cls(
            subtotal=reading.minor_units(data, "subtotal"),
            tax=reading.optional_minor_units(data, "tax") or 0,
            total=reading.minor_units(data, "total"),
        )


@dataclass(frozen=True)
class PreviewLine:
    """A line of a transaction that does not exist yet. Paddle shows its product, but not its price."""

    price_id: str | None
    quantity: int
    totals: Totals
    product: Product | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a line of a preview."""
        return cls(
            price_id=reading.optional_text(data, "price_id"),
            quantity=reading.whole(data, "quantity"),
            totals=Totals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            product=reading.optional(data, "product", Product.from_paddle),
        )


@dataclass(frozen=True)
class PreviewDetails:
    """Lines and totals of something that does not exist yet."""

    totals: Totals
    lines: tuple[PreviewLine, ...]

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a preview's details."""
        return cls(
            totals=Totals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            lines=tuple(PreviewLine.from_paddle(line) for line in reading.entries(data, "line_items")),
        )


@dataclass(frozen=True)
class PreviewTransaction:
    """A transaction as it would be, or as the next renewal will be."""

    billing_period: Period | None
    details: PreviewDetails

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read the preview of a transaction."""
        return cls(
            billing_period=reading.optional(data, "billing_period", Period.from_paddle),
            details=PreviewDetails.from_paddle(reading.mapping(data.get("details"), "details")),
        )
