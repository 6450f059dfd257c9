"""The days of the demo's story: a checkout a little less than a month ago; its renewal lies a few days ahead."""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

RENEWS_IN = timedelta(days=4)


@dataclass(frozen=True)
class Days:
    """When things happen in the story, in the vendors' business time."""

    now: datetime
    checkout_at: datetime

    @classmethod
    def around(cls, now: datetime) -> "Days":
        """Check out a month ago and four days later, which leaves one to seven days until the renewal."""
        return cls(now, months_later(now, -1) + RENEWS_IN)

    @property
    def renews_at(self) -> datetime:
        """When Paddle renews a monthly subscription that began at the checkout."""
        return months_later(self.checkout_at, 1)

    @property
    def lead_days(self) -> int:
        """How many days before the renewal the bill's period has to end, for it to end today."""
        return (self.renews_at.date() - self.now.date()).days

    @property
    def usage_days(self) -> tuple[date, ...]:
        """Every whole day between the checkout and today."""
        first = self.checkout_at.date() + timedelta(days=1)
        return tuple(first + timedelta(days=number) for number in range((self.now.date() - first).days))


def months_later(moment: datetime, months: int) -> datetime:
    """The same day some months later, or the last day of that month."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def noon(day: date) -> datetime:
    """The middle of a day, which is the same day in most time zones."""
    return datetime.combine(day, time(12), tzinfo=UTC)
