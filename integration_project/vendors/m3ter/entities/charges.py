"""Charges: single amounts that an account's next bill has a line of."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.m3ter.entities.writing import given, moment
from integration_project.vendors.reading import Json

AD_HOC = "AD_HOC"
"""What m3ter calls a charge on an account itself, and its line on a bill."""


@dataclass(frozen=True)
class NewCharge:
    """An amount for the account's next bill dated on `bill_date` or later; the line says `description`, else `name`.

    The code is unique in the organisation. The amount may be negative; instead of it, units with a price for one.
    """

    code: str
    name: str
    account_id: str
    currency: str
    service_period_start: datetime
    service_period_end: datetime
    amount: Decimal | None = None
    units: Decimal | None = None
    unit_price: Decimal | None = None
    bill_date: date | None = None
    description: str | None = None
    accounting_product_id: str | None = None
    notes: str | None = None
    """For whoever keeps the books; on no bill."""

    def __post_init__(self) -> None:
        whole, parts = self.amount is not None, (self.units is not None, self.unit_price is not None)
        if parts[0] != parts[1] or whole == parts[0]:
            raise ValueError("a charge has an amount, or units and a price for one")

    def to_m3ter(self) -> dict[str, Any]:
        """Write the request."""
        return given(
            name=self.name,
            code=self.code,
            accountId=self.account_id,
            currency=self.currency,
            entityType=AD_HOC,
            lineItemType=AD_HOC,
            servicePeriodStartDate=moment(self.service_period_start),
            servicePeriodEndDate=moment(self.service_period_end),
            amount=self.amount,
            units=self.units,
            unitPrice=self.unit_price,
            billDate=self.bill_date.isoformat() if self.bill_date else None,
            description=self.description,
            accountingProductId=self.accounting_product_id,
            notes=self.notes,
        )


@dataclass(frozen=True)
class Charge:
    """A charge as m3ter keeps it; `bill_id` is None until a bill has a line of it."""

    id: str
    version: int
    code: str
    name: str
    account_id: str
    currency: str
    amount: Decimal | None
    units: Decimal | None
    unit_price: Decimal | None
    bill_date: date | None
    bill_id: str | None
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a charge."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            code=reading.text(data, "code"),
            name=reading.text(data, "name"),
            account_id=reading.identifier(data, "accountId"),
            currency=reading.text(data, "currency"),
            amount=reading.optional_number(data, "amount"),
            units=reading.optional_number(data, "units"),
            unit_price=reading.optional_number(data, "unitPrice"),
            bill_date=reading.optional_day(data, "billDate"),
            bill_id=reading.optional_text(data, "billId"),
            raw=data,
        )

    def is_same_as(self, charge: NewCharge) -> bool:
        """Say whether this asks the same amount of the same account."""
        asked = (charge.account_id, charge.currency, _total(charge.amount, charge.units, charge.unit_price))
        return asked == (self.account_id, self.currency, _total(self.amount, self.units, self.unit_price))


def _total(amount: Decimal | None, units: Decimal | None, unit_price: Decimal | None) -> Decimal | None:
    if amount is not None:
        return amount
    return None if units is None or unit_price is None else units * unit_price
