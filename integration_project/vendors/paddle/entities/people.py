"""Customers, their addresses and businesses: personal data."""

from dataclasses import dataclass, field
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json


@dataclass(frozen=True)
class Customer:
    """Who buys. Personal data."""

    id: str
    status: str | None
    locale: str | None
    name: str | None = field(repr=False)
    email: str = field(repr=False)
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a customer."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            locale=reading.optional_text(data, "locale"),
            name=reading.optional_text(data, "name"),
            email=reading.text(data, "email"),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )


@dataclass(frozen=True)
class Address:
    """Where a customer is. Personal data."""

    id: str
    status: str | None
    country_code: str
    first_line: str | None = field(repr=False)
    second_line: str | None = field(repr=False)
    city: str | None = field(repr=False)
    postal_code: str | None = field(repr=False)
    region: str | None = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an address."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            country_code=reading.text(data, "country_code"),
            first_line=reading.optional_text(data, "first_line"),
            second_line=reading.optional_text(data, "second_line"),
            city=reading.optional_text(data, "city"),
            postal_code=reading.optional_text(data, "postal_code"),
            region=reading.optional_text(data, "region"),
            raw=data,
        )


@dataclass(frozen=True)
class Business:
    """The company a customer buys for."""

    id: str
    status: str | None
    name: str = field(repr=False)
    company_number: str | None = field(repr=False)
    tax_identifier: str | None = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a business."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            name=reading.text(data, "name"),
            company_number=reading.optional_text(data, "company_number"),
            tax_identifier=reading.optional_text(data, "tax_identifier"),
            raw=data,
        )
