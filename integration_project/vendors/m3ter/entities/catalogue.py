"""The organisation, what it sells, and its own integrations."""

from dataclasses import dataclass, field
from datetime import date
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json


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
    allow_overlapping_plans: bool
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
            allow_overlapping_plans=reading.flag(data, "allowOverlappingPlans", default=False),
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
