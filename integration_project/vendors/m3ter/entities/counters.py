"""Counters, such as seats, and how many of them an account has from a day on."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.m3ter.entities.writing import given
from integration_project.vendors.reading import Json


@dataclass(frozen=True)
class Counter:
    """What is counted; without a product it is global."""

    id: str
    version: int
    name: str
    code: str | None
    unit: str | None
    product_id: str | None

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a counter."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            name=reading.text(data, "name"),
            code=reading.optional_text(data, "code"),
            unit=reading.optional_text(data, "unit"),
            product_id=reading.optional_text(data, "productId"),
        )


@dataclass(frozen=True)
class NewCounterAdjustment:
    """How many an account has from a day on: the whole count, not the difference."""

    account_id: str
    counter_id: str
    date: date
    value: int

    def to_m3ter(self) -> dict[str, Any]:
        """Write the request."""
        return given(accountId=self.account_id, counterId=self.counter_id, date=self.date.isoformat(), value=self.value)


@dataclass(frozen=True)
class CounterAdjustment:
    """The count of an account at the end of a day; m3ter keeps one for each account, counter and day."""

    id: str
    version: int
    account_id: str
    counter_id: str
    date: date
    value: int
    raw: Json = field(repr=False)

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a counter adjustment."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            account_id=reading.identifier(data, "accountId"),
            counter_id=reading.identifier(data, "counterId"),
            date=reading.day(data, "date"),
            value=reading.whole(data, "value"),
            raw=data,
        )
