"""Billing periods: how Paddle counts months and the rest."""

import calendar
from datetime import datetime, timedelta

from integration_project.vendors.paddle.simulator.envelope import Json

DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}


def after(moment: datetime, duration: Json, *, anchor_day: int | None = None) -> datetime:
    """The end of a period that starts at the moment; months keep the anchor's day where they have it."""
    interval, frequency = duration["interval"], int(duration["frequency"])
    if interval in DAYS:
        return moment + timedelta(days=DAYS[interval] * frequency)
    months = moment.year * 12 + moment.month - 1 + MONTHS[interval] * frequency
    year, month = divmod(months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(anchor_day or moment.day, last_day))
