"""How many immediate charges Paddle takes on one subscription: 20 an hour and 100 in 24 hours. Pure.

Source: Paddle's changelog of 2024, "subscription immediate charge limits"; beyond them it answers 429.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
LONGEST = DAY
MARGIN = timedelta(minutes=1)
"""Paddle counts by its own clock, from when the charge reached it."""
CODES = frozenset(
    {
        "subscription_immediate_charge_hour_limit_exceeded",
        "subscription_immediate_charge_24_hour_limit_exceeded",
    }
)
"""Paddle's codes for one charge too many."""


@dataclass(frozen=True)
class Window:
    """At most so many in any span of that length."""

    length: timedelta
    most: int
    per: str


WINDOWS = (Window(HOUR, 20, "an hour"), Window(DAY, 100, "in 24 hours"))


@dataclass(frozen=True)
class Reached:
    """Which limit is used up, and when there is room again."""

    most: int
    per: str
    until: datetime


def reached(made: Sequence[datetime], at: datetime) -> Reached | None:
    """Say which limit would refuse another charge at a moment, the one that lasts longest; None: there is room.

    `made` are those made before, in order.
    """
    full = [
        Reached(window.most, window.per, made[-window.most] + window.length + MARGIN)
        for window in WINDOWS
        if len(made) >= window.most and made[-window.most] + window.length + MARGIN > at
    ]
    return max(full, key=lambda limit: limit.until, default=None)
