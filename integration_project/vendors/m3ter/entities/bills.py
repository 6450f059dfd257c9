"""Bills and their lines."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

APPROVED = "APPROVED"


PENDING = "PENDING"


@dataclass(frozen=True)
class BillLine:
    """One line of a bill. Charge `converted_subtotal`, which is in the bill's currency; its sign is not in the type."""

    id: str | None
    sequence_number: int | None
    line_item_type: str
    description: str
    quantity: Decimal | None
    units: Decimal | None
    unit: str | None
    average_unit_price: Decimal | None
    subtotal: Decimal | None
    currency: str | None
    conversion_rate: Decimal | None
    converted_subtotal: Decimal
    product_id: str | None
    product_name: str | None
    product_code: str | None
    accounting_product_id: str | None
    accounting_product_name: str | None
    accounting_product_code: str | None
    service_period_start: datetime | None
    service_period_end: datetime | None
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a line."""
        return cls(
            id=reading.optional_text(data, "id"),
            sequence_number=reading.optional_whole(data, "sequenceNumber"),
            line_item_type=reading.text(data, "lineItemType"),
            description=reading.optional_text(data, "description") or "",
            quantity=reading.optional_number(data, "quantity"),
            units=reading.optional_number(data, "units"),
            unit=reading.optional_text(data, "unit"),
            average_unit_price=reading.optional_number(data, "averageUnitPrice"),
            subtotal=reading.optional_number(data, "subtotal"),
            currency=reading.optional_text(data, "currency"),
            conversion_rate=reading.optional_number(data, "conversionRate"),
            converted_subtotal=reading.number(data, "convertedSubtotal"),
            product_id=reading.optional_text(data, "productId"),
            product_name=reading.optional_text(data, "productName"),
            product_code=reading.optional_text(data, "productCode"),
            accounting_product_id=reading.optional_text(data, "accountingProductId"),
            accounting_product_name=reading.optional_text(data, "accountingProductName"),
            accounting_product_code=reading.optional_text(data, "accountingProductCode"),
            service_period_start=reading.optional_moment(data, "servicePeriodStartDate"),
            service_period_end=reading.optional_moment(data, "servicePeriodEndDate"),
            raw=data,
        )


@dataclass(frozen=True)
class UnreadBill:
    """An entry of a list of bills that could not be read, and why; `id` is empty where not even that could be."""

    id: str
    why: str


@dataclass(frozen=True)
class Bill:
    """A bill. `lines` is None where they were not asked for, `total` None where m3ter did not add them up."""

    id: str
    version: int
    account_id: str
    account_code: str | None
    status: str
    locked: bool
    currency: str
    total: Decimal | None
    start_date: date
    end_date: date
    start_at: datetime | None
    end_at: datetime | None
    bill_date: date | None
    due_date: date | None
    billing_frequency: str | None
    timezone: str | None
    purchase_order_number: str | None
    approved_at: datetime | None
    locked_at: datetime | None
    last_calculated_at: datetime | None
    lines: tuple[BillLine, ...] | None
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a bill."""
        lines = None if data.get("lineItems") is None else reading.entries(data, "lineItems")
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            account_id=reading.identifier(data, "accountId"),
            account_code=reading.optional_text(data, "accountCode"),
            status=reading.text(data, "status"),
            locked=reading.flag(data, "locked", default=False),
            currency=reading.text(data, "currency"),
            total=reading.optional_number(data, "billTotal"),
            start_date=reading.day(data, "startDate"),
            end_date=reading.day(data, "endDate"),
            start_at=reading.optional_moment(data, "startDateTimeUTC"),
            end_at=reading.optional_moment(data, "endDateTimeUTC"),
            bill_date=reading.optional_day(data, "billDate"),
            due_date=reading.optional_day(data, "dueDate"),
            billing_frequency=reading.optional_text(data, "billingFrequency"),
            timezone=reading.optional_text(data, "timezone"),
            purchase_order_number=reading.optional_text(data, "purchaseOrderNumber"),
            approved_at=reading.optional_moment(data, "dtApproved"),
            locked_at=reading.optional_moment(data, "dtLocked"),
            last_calculated_at=reading.optional_moment(data, "lastCalculatedDate"),
            lines=None if lines is None else tuple(BillLine.from_m3ter(line) for line in lines),
            raw=data,
        )

    @classmethod
    def whole(cls, data: Json) -> Self:
        """Read a bill that was asked for with its lines: where m3ter names none, it has none."""
        return cls.from_m3ter({**data, "lineItems": data.get("lineItems") or []})

    @classmethod
    def or_unread(cls, data: Json) -> "Self | UnreadBill":
        """Read a bill of a list; one that cannot be read must not keep the others of its page back."""
        try:
            return cls.from_m3ter(data)
        except reading.Unreadable as error:
            bill_id = data.get("id")
            return UnreadBill(bill_id if isinstance(bill_id, str) else "", str(error))

    @property
    def is_approved(self) -> bool:
        """True when it may be charged, as far as m3ter is concerned."""
        return self.status == APPROVED


@dataclass(frozen=True)
class BillJob:
    """A calculation of bills that m3ter was asked for and does by itself."""

    id: str
    status: str
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a bill job."""
        return cls(id=reading.identifier(data), status=reading.text(data, "status"), raw=data)

    @property
    def is_over(self) -> bool:
        """Whether m3ter does no more of it: it is complete, or somebody cancelled it."""
        return self.status in {"COMPLETE", "CANCELLED"}
