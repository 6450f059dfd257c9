"""Products, prices and the small things they are made of."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.paddle import writing
from integration_project.vendors.reading import Json

PUSH_ID = "push_id"
"""The name under which our push id stands in the custom data of every price we send."""


@dataclass(frozen=True)
class PaddleMoney:
    """An amount in the currency's lowest denomination."""

    amount: int
    currency_code: str

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read Paddle's money object."""
        return cls(reading.minor_units(data, "amount"), reading.text(data, "currency_code"))


@dataclass(frozen=True)
class Period:
    """A span of time; the end is not part of it."""

    starts_at: datetime
    ends_at: datetime

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a billing period."""
        return cls(reading.moment(data, "starts_at"), reading.moment(data, "ends_at"))

    def to_paddle(self) -> dict[str, str]:
        """Write the period."""
        return {"starts_at": writing.moment(self.starts_at), "ends_at": writing.moment(self.ends_at)}


@dataclass(frozen=True)
class BillingCycle:
    """How often something recurs: every `frequency` intervals of day, week, month or year."""

    interval: str
    frequency: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a billing cycle."""
        return cls(reading.text(data, "interval"), reading.whole(data, "frequency"))


@dataclass(frozen=True)
class Product:
    """What a price is for. The id is None for a product that exists in a preview only."""

    id: str | None
    name: str
    status: str | None
    type: str | None
    tax_category: str | None
    description: str | None = field(repr=False)
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a product."""
        return cls(
            id=reading.optional_text(data, "id"),
            name=reading.text(data, "name"),
            status=reading.optional_text(data, "status"),
            type=reading.optional_text(data, "type"),
            tax_category=reading.optional_text(data, "tax_category"),
            description=reading.optional_text(data, "description"),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )


@dataclass(frozen=True)
class Price:
    """What one of something costs; `billing_cycle` None means it is charged once."""

    id: str | None
    product_id: str | None
    name: str | None
    description: str
    type: str | None
    status: str | None
    tax_mode: str | None
    billing_cycle: BillingCycle | None
    unit_price: PaddleMoney
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a price."""
        return cls(
            id=reading.optional_text(data, "id"),
            product_id=reading.optional_text(data, "product_id"),
            name=reading.optional_text(data, "name"),
            description=reading.optional_text(data, "description") or "",
            type=reading.optional_text(data, "type"),
            status=reading.optional_text(data, "status"),
            tax_mode=reading.optional_text(data, "tax_mode"),
            billing_cycle=reading.optional(data, "billing_cycle", BillingCycle.from_paddle),
            unit_price=PaddleMoney.from_paddle(reading.mapping(data.get("unit_price"), "unit_price")),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )

    @property
    def push_id(self) -> str | None:
        """Our push id, where this price was made for one of our charges."""
        value = self.custom_data.get(PUSH_ID)
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Currency:
    """A currency Paddle takes."""

    code: str
    name: str
    decimal_places: int
    minimum_payment_amount: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a currency."""
        return cls(
            code=reading.identifier(data, "code"),
            name=reading.text(data, "name"),
            decimal_places=reading.whole(data, "decimal_places"),
            minimum_payment_amount=reading.minor_units(data, "minimum_payment_amount"),
        )
