"""What m3ter tells us and what we ask of it, as frozen values: amounts are Decimal, moments in UTC.

`raw` is the JSON as it came; a change is written back over it, since m3ter deletes what a PUT leaves out. Neither it
nor a field that may hold personal data appears in a repr.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

CustomFields = Mapping[str, str | int | Decimal]
APPROVED = "APPROVED"
PENDING = "PENDING"


def moment(value: datetime) -> str:
    """Write a moment as m3ter wants it: UTC with a Z, in milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def given(**values: Any) -> dict[str, Any]:
    """The fields that have a value; m3ter takes an absent field and a null one for different things."""
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class AccountAddress:
    """Where an account is. Personal data; m3ter limits each part."""

    line1: str | None = field(default=None, repr=False)
    line2: str | None = field(default=None, repr=False)
    locality: str | None = field(default=None, repr=False)
    region: str | None = field(default=None, repr=False)
    post_code: str | None = field(default=None, repr=False)
    country: str | None = None

    def to_m3ter(self) -> dict[str, str]:
        """Write the address, each part cut to what m3ter takes."""
        parts = (
            ("addressLine1", self.line1, 50),
            ("addressLine2", self.line2, 50),
            ("locality", self.locality, 100),
            ("region", self.region, 50),
            ("postCode", self.post_code, 20),
            ("country", self.country, 100),
        )
        return {name: text[:limit] for name, text, limit in parts if text}

    @property
    def texts(self) -> tuple[str, ...]:
        """What must not come back in an error message."""
        parts = (self.line1, self.line2, self.locality, self.region, self.post_code)
        return tuple(text for text in parts if text)


@dataclass(frozen=True)
class NewAccount:
    """An account to be made. Only name, address and e-mail may hold personal data."""

    code: str
    name: str = field(repr=False)
    email_address: str = field(repr=False)
    currency: str | None = None
    bill_epoch: date | None = None
    address: AccountAddress | None = field(default=None, repr=False)
    custom_fields: CustomFields = field(default_factory=dict)

    def to_m3ter(self) -> dict[str, Any]:
        """Write the request."""
        return given(
            name=self.name[:200],
            code=self.code,
            emailAddress=self.email_address,
            currency=self.currency,
            billEpoch=self.bill_epoch.isoformat() if self.bill_epoch else None,
            address=(self.address.to_m3ter() if self.address else None) or None,
            customFields=dict(self.custom_fields) or None,
        )

    @property
    def private(self) -> tuple[str, ...]:
        """What must not come back in an error message."""
        name = () if self.name == self.code else (self.name,)
        return (*name, self.email_address, *(self.address.texts if self.address else ()))


@dataclass(frozen=True)
class Account:
    """An account; what measurements carry is its code."""

    id: str
    version: int
    code: str | None
    currency: str | None
    bill_epoch: date | None
    custom_fields: Json
    name: str = field(repr=False)
    email_address: str | None = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an account."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            code=reading.optional_text(data, "code"),
            currency=reading.optional_text(data, "currency"),
            bill_epoch=reading.optional_day(data, "billEpoch"),
            custom_fields=reading.optional_mapping(data, "customFields") or {},
            name=reading.text(data, "name"),
            email_address=reading.optional_text(data, "emailAddress"),
            raw=data,
        )

    @property
    def is_skeleton(self) -> bool:
        """True for the account m3ter makes by itself for usage that names an unknown code: its name is the code."""
        return self.code is not None and self.name == self.code

    @property
    def private(self) -> tuple[str, ...]:
        """What must not come back in an error message."""
        address = reading.optional_mapping(self.raw, "address") or {}
        texts = [self.name, self.email_address, *(value for key, value in address.items() if key != "country")]
        return tuple(text for text in texts if isinstance(text, str) and text != self.code)


@dataclass(frozen=True)
class NewAccountPlan:
    """A plan, or a plan group, to be put on an account."""

    account_id: str
    start_date: datetime
    plan_id: str | None = None
    plan_group_id: str | None = None
    code: str | None = None
    end_date: datetime | None = None
    bill_epoch: date | None = None
    custom_fields: CustomFields = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.plan_id is None) == (self.plan_group_id is None):
            raise ValueError("an account plan names either a plan or a plan group")

    def to_m3ter(self) -> dict[str, Any]:
        """Write the request."""
        return given(
            accountId=self.account_id,
            planId=self.plan_id,
            planGroupId=self.plan_group_id,
            startDate=moment(self.start_date),
            endDate=moment(self.end_date) if self.end_date else None,
            code=self.code,
            billEpoch=self.bill_epoch.isoformat() if self.bill_epoch else None,
            customFields=dict(self.custom_fields) or None,
        )


@dataclass(frozen=True)
class AccountPlan:
    """A plan on an account; `product_id` is None where it is a plan group."""

    id: str
    version: int
    account_id: str
    plan_id: str | None
    plan_group_id: str | None
    product_id: str | None
    code: str | None
    start_date: datetime
    end_date: datetime | None
    bill_epoch: date | None
    custom_fields: Json
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an account plan."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            account_id=reading.identifier(data, "accountId"),
            plan_id=reading.optional_text(data, "planId"),
            plan_group_id=reading.optional_text(data, "planGroupId"),
            product_id=reading.optional_text(data, "productId"),
            code=reading.optional_text(data, "code"),
            start_date=reading.moment(data, "startDate"),
            end_date=reading.optional_moment(data, "endDate"),
            bill_epoch=reading.optional_day(data, "billEpoch"),
            custom_fields=reading.optional_mapping(data, "customFields") or {},
            raw=data,
        )


@dataclass(frozen=True)
class ReplacedAccountPlan:
    """A swap of plans: the old one, end-dated, and the new one."""

    original: AccountPlan
    new: AccountPlan

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read the answer to a replace."""
        return cls(
            original=AccountPlan.from_m3ter(reading.mapping(data.get("originalAccountPlan"), "originalAccountPlan")),
            new=AccountPlan.from_m3ter(reading.mapping(data.get("newAccountPlan"), "newAccountPlan")),
        )


@dataclass(frozen=True)
class ExternalMapping:
    """One m3ter entity is one entity elsewhere."""

    id: str
    version: int
    m3ter_entity: str
    m3ter_id: str
    external_system: str
    external_table: str
    external_id: str

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an external mapping."""
        return cls(
            id=reading.identifier(data),
            version=reading.optional_whole(data, "version") or 1,
            m3ter_entity=reading.text(data, "m3terEntity"),
            m3ter_id=reading.text(data, "m3terId"),
            external_system=reading.text(data, "externalSystem"),
            external_table=reading.text(data, "externalTable"),
            external_id=reading.text(data, "externalId"),
        )


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
            approved_at=reading.optional_moment(data, "dtApproved"),
            locked_at=reading.optional_moment(data, "dtLocked"),
            last_calculated_at=reading.optional_moment(data, "lastCalculatedDate"),
            lines=None if lines is None else tuple(BillLine.from_m3ter(line) for line in lines),
            raw=data,
        )

    @property
    def is_approved(self) -> bool:
        """True when it may be charged, as far as m3ter is concerned."""
        return self.status == APPROVED


@dataclass(frozen=True)
class OrganizationConfig:
    """How the organisation bills."""

    timezone: str
    currency: str
    version: int | None
    day_epoch: date | None
    week_epoch: date | None
    month_epoch: date | None
    year_epoch: date | None
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read the organisation's configuration."""
        return cls(
            timezone=reading.optional_text(data, "timezone") or "UTC",
            currency=reading.text(data, "currency"),
            version=reading.optional_whole(data, "version"),
            day_epoch=reading.optional_day(data, "dayEpoch"),
            week_epoch=reading.optional_day(data, "weekEpoch"),
            month_epoch=reading.optional_day(data, "monthEpoch"),
            year_epoch=reading.optional_day(data, "yearEpoch"),
            raw=data,
        )


@dataclass(frozen=True)
class Product:
    """What usage is of."""

    id: str
    version: int
    name: str
    code: str | None

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a product."""
        return cls(
            reading.identifier(data),
            reading.whole(data, "version"),
            reading.text(data, "name"),
            reading.optional_text(data, "code"),
        )


@dataclass(frozen=True)
class Plan:
    """What an account can be charged by. A bespoke plan with an account id fits that account only."""

    id: str
    version: int
    name: str
    code: str | None
    plan_template_id: str
    product_id: str | None
    bespoke: bool
    account_id: str | None

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a plan."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            name=reading.text(data, "name"),
            code=reading.optional_text(data, "code"),
            plan_template_id=reading.text(data, "planTemplateId"),
            product_id=reading.optional_text(data, "productId"),
            bespoke=reading.flag(data, "bespoke", default=False),
            account_id=reading.optional_text(data, "accountId"),
        )


@dataclass(frozen=True)
class PlanTemplate:
    """What plans have in common: product, currency and how often they bill."""

    id: str
    version: int
    name: str
    code: str | None
    product_id: str
    currency: str
    bill_frequency: str
    bill_frequency_interval: int

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a plan template."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            name=reading.text(data, "name"),
            code=reading.optional_text(data, "code"),
            product_id=reading.text(data, "productId"),
            currency=reading.text(data, "currency"),
            bill_frequency=reading.text(data, "billFrequency"),
            bill_frequency_interval=reading.optional_whole(data, "billFrequencyInterval") or 1,
        )


@dataclass(frozen=True)
class PlanGroup:
    """Several plans, of different products, put on an account together."""

    id: str
    version: int
    name: str
    code: str | None
    currency: str | None
    account_id: str | None

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a plan group."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            name=reading.text(data, "name"),
            code=reading.optional_text(data, "code"),
            currency=reading.optional_text(data, "currency"),
            account_id=reading.optional_text(data, "accountId"),
        )


@dataclass(frozen=True)
class PlanGroupLink:
    """This plan is in that group."""

    id: str
    plan_group_id: str
    plan_id: str

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a plan group link."""
        return cls(reading.identifier(data), reading.text(data, "planGroupId"), reading.text(data, "planId"))


@dataclass(frozen=True)
class IntegrationConfig:
    """One of m3ter's own integrations, such as bills to Paddle."""

    id: str
    entity_type: str
    destination: str
    enabled: bool
    authorized: bool
    name: str | None

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an integration; one that does not say counts as enabled, since it could bill a customer twice."""
        return cls(
            id=reading.identifier(data),
            entity_type=reading.text(data, "entityType"),
            destination=reading.text(data, "destination"),
            enabled=reading.flag(data, "enabled", default=True),
            authorized=reading.flag(data, "authorized", default=True),
            name=reading.optional_text(data, "name"),
        )

    @property
    def sends_bills_to_paddle(self) -> bool:
        """True for m3ter's native integration of bills to Paddle, live or sandbox, while it is on."""
        destination = self.destination.replace("_", "").replace(" ", "").replace("-", "").upper()
        return self.enabled and self.entity_type.upper() == "BILL" and destination.startswith("PADDLE")


@dataclass(frozen=True)
class Measurement:
    """Usage of one account at one time. The uid makes sending it again harmless for 35 days."""

    uid: str
    meter: str
    account: str
    ts: datetime
    ets: datetime | None = None
    who: Mapping[str, str] = field(default_factory=dict)
    what: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    measure: Mapping[str, int | Decimal] = field(default_factory=dict)
    cost: Mapping[str, int | Decimal] = field(default_factory=dict)
    income: Mapping[str, int | Decimal] = field(default_factory=dict)

    def to_m3ter(self) -> dict[str, Any]:
        """Write the measurement; categories without a value are left out."""
        categories = {
            "who": self.who,
            "what": self.what,
            "where": self.where,
            "other": self.other,
            "metadata": self.metadata,
            "measure": self.measure,
            "cost": self.cost,
            "income": self.income,
        }
        return {
            **given(
                uid=self.uid,
                meter=self.meter,
                account=self.account,
                ts=moment(self.ts),
                ets=moment(self.ets) if self.ets else None,
            ),
            **{name: dict(values) for name, values in categories.items() if values},
        }
