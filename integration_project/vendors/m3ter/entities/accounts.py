"""Accounts, the plans on them, and what they are elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Self

from integration_project.vendors import reading
from integration_project.vendors.m3ter.entities.writing import CustomFields, fitting, given, moment
from integration_project.vendors.reading import Json

LONGEST_NAME = 200


@dataclass(frozen=True)
class AccountAddress:
    """Where an account is. Personal data; m3ter limits each part."""

    FIELDS: ClassVar = ("addressLine1", "addressLine2", "locality", "region", "postCode", "country")
    """m3ter's names for the parts."""

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
        return {name: fitting(text, limit) for name, text, limit in parts if text}

    @property
    def texts(self) -> tuple[str, ...]:
        """What must not come back in an error message: each part, and what was sent of it."""
        parts = (self.line1, self.line2, self.locality, self.region, self.post_code)
        sent = (text for name, text in self.to_m3ter().items() if name != "country")
        return tuple(dict.fromkeys(text for text in (*parts, *sent) if text))


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
            name=fitting(self.name, LONGEST_NAME),
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
        name = () if self.name == self.code else (self.name, fitting(self.name, LONGEST_NAME))
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
    address: Json = field(repr=False)
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
            address=reading.optional_mapping(data, "address") or {},
            raw=data,
        )

    @property
    def is_skeleton(self) -> bool:
        """True for the account m3ter makes by itself for usage that names an unknown code: its name is the code."""
        return self.code is not None and self.name == self.code

    @property
    def private(self) -> tuple[str, ...]:
        """What must not come back in an error message."""
        texts = [self.name, self.email_address, *(value for key, value in self.address.items() if key != "country")]
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
class EndedEntities:
    """What an end for a whole account reached, and what it did not: ids by the kind of entity."""

    updated: Mapping[str, tuple[str, ...]]
    failed: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read the answer; m3ter's document says that the ids are in lists, and its schema does not."""
        return cls(*(_ids_by_kind(data, name) for name in ("updatedEntities", "failedEntities")))


def _ids_by_kind(data: Json, name: str) -> Mapping[str, tuple[str, ...]]:
    found = reading.optional_mapping(data, name) or {}
    return {kind: tuple(map(str, ids)) for kind, ids in found.items() if isinstance(ids, list)}


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

    def leading_to(self, m3ter_id: str) -> Json:
        """The same mapping of another entity of its kind, as m3ter wants it."""
        return {
            "m3terEntity": self.m3ter_entity,
            "m3terId": m3ter_id,
            "externalSystem": self.external_system,
            "externalTable": self.external_table,
            "externalId": self.external_id,
            "version": self.version,
        }
