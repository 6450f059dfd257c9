"""When bills fall: billing dates anchored at an epoch, and how many cycles a stretch of time covers. Pure."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY")
EARLIEST = date(1970, 1, 1)
"""No bill is dated before this."""


@dataclass(frozen=True)
class Cycle:
    """A billing cycle: one bill every `interval` days, weeks, months or years, anchored at `epoch`."""

    epoch: date
    frequency: str
    interval: int = 1

    def boundary(self, index: int) -> date:
        """The billing date so many cycles after the epoch (before, when negative)."""
        steps = index * self.interval
        if self.frequency == "DAILY":
            return self.epoch + timedelta(days=steps)
        if self.frequency == "WEEKLY":
            return self.epoch + timedelta(weeks=steps)
        return _months_later(self.epoch, steps if self.frequency == "MONTHLY" else 12 * steps)

    def index_at(self, day: date) -> int:
        """The index of the last billing date on or before the day."""
        days = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 30.44, "ANNUALLY": 365.25}[self.frequency] * self.interval
        index = int((day - self.epoch).days / days)
        while self.boundary(index) > day:
            index -= 1
        while self.boundary(index + 1) <= day:
            index += 1
        return index

    def billing_dates(self, *, after: date, until: date) -> Iterator[date]:
        """The billing dates later than one day, up to and including another."""
        index = self.index_at(after) + 1
        while self.boundary(index) <= until:
            yield self.boundary(index)
            index += 1

    def cycles_in(self, start: datetime, end: datetime, zone: ZoneInfo) -> Fraction:
        """How many cycles lie between two moments: whole ones count one, cut ones by the part that is inside."""
        total = Fraction(0)
        index = self.index_at(start.astimezone(zone).date())
        while True:
            first, last = midnight(self.boundary(index), zone), midnight(self.boundary(index + 1), zone)
            if first >= end:
                return total
            inside = min(end, last) - max(start, first)
            if inside > timedelta(0):
                total += Fraction(_seconds(inside), _seconds(last - first))
            index += 1


def _seconds(span: timedelta) -> int:
    return span.days * 86400 + span.seconds


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins in a zone, in UTC."""
    return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)
