"""Usage read back from m3ter: what is asked, and the rows that come.

How m3ter names the columns of a row is not published. The guess is here and nowhere else, as names that are looked for
whatever their case and punctuation; a column that is not found is None.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.m3ter.entities.writing import given
from integration_project.vendors.reading import Json

ACCOUNTS = ("account", "accountcode", "accountid")
TIMES = ("ts", "timestamp", "time", "date", "day", "startdate", "periodstart")
NO_NAME = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True)
class UsageAggregation:
    """One number to be worked out of a meter's field: SUM, MIN, MAX, COUNT, LATEST, MEAN or UNIQUE."""

    meter_id: str
    field_code: str
    function: str = "SUM"
    field_type: str = "MEASURE"
    """MEASURE for numbers, DIMENSION for texts."""

    def to_m3ter(self) -> dict[str, Any]:
        """Write it for a query."""
        return {
            "meterId": self.meter_id,
            "fieldCode": self.field_code,
            "fieldType": self.field_type,
            "function": self.function,
        }


@dataclass(frozen=True)
class UsageGroup:
    """What the numbers are worked out for each of: `BY_ACCOUNT`, `BY_DAY`, or another span of time."""

    kind: str
    frequency: str | None = None
    """HOUR, DAY, WEEK, MONTH or QUARTER, where the kind is TIME."""

    def to_m3ter(self) -> dict[str, Any]:
        """Write it for a query."""
        return given(groupType=self.kind, frequency=self.frequency)


BY_ACCOUNT = UsageGroup("ACCOUNT")
BY_DAY = UsageGroup("TIME", "DAY")


@dataclass(frozen=True)
class UsageRow:
    """One row: a measurement, or numbers for an account, a day or both."""

    account: str | None
    """By its code or its id; which of them is not published."""
    at: datetime | None
    """When, or when the span of time begins."""
    numbers: Mapping[str, Decimal]
    """Every column that is a number, under m3ter's name for it."""

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a row."""
        by_name = {_plain(name): value for name, value in reversed(list(data.items()))}
        account = next((by_name[name] for name in ACCOUNTS if isinstance(by_name.get(name), str)), None)
        moments = (_moment(by_name[name]) for name in TIMES if name in by_name)
        numbers = {
            name: reading.number(data, name)
            for name, value in data.items()
            if isinstance(value, int | Decimal) and not isinstance(value, bool)
        }
        return cls(account, next((moment for moment in moments if moment is not None), None), numbers)

    def number(self, aggregation: UsageAggregation) -> Decimal | None:
        """The number that was asked for; None where the row has no column of such a name."""
        field, function = _plain(aggregation.field_code), _plain(aggregation.function)
        by_name = {_plain(name): value for name, value in self.numbers.items()}
        return next((by_name[name] for name in (field + function, function + field, field) if name in by_name), None)


@dataclass(frozen=True)
class UsageRows:
    """What a usage query found; `has_more` where its limit left some out."""

    rows: tuple[UsageRow, ...]
    has_more: bool

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read the answer to a usage query."""
        rows = tuple(map(UsageRow.from_m3ter, reading.entries(data, "data")))
        return cls(rows, reading.flag(data, "hasMoreData", default=False))


def _plain(name: str) -> str:
    return NO_NAME.sub("", name.lower())


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return reading.in_utc(value) if len(value) > 10 else datetime.combine(date.fromisoformat(value), time(), UTC)
    except ValueError:
        return None
