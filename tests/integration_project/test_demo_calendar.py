"""The demo's days fit together on every day of the year."""

from datetime import UTC, datetime, timedelta

import pytest

from integration_project.demo.calendar import Days, months_later

EVERY_DAY = [datetime(2027, 1, 1, 9, tzinfo=UTC) + timedelta(days=number) for number in range(2 * 366)]


def test_on_every_day_of_two_years_the_renewal_lies_one_to_seven_days_ahead() -> None:
    ahead = {(Days.around(today).renews_at - today).days for today in EVERY_DAY}

    assert ahead <= set(range(1, 8))
    assert {Days.around(today).lead_days for today in EVERY_DAY} == ahead


def test_usage_is_dated_after_the_checkout_and_before_today() -> None:
    for today in EVERY_DAY:
        days = Days.around(today)

        assert days.usage_days[0] > days.checkout_at.date()
        assert days.usage_days[-1] == (today - timedelta(days=1)).date()
        assert len(days.usage_days) >= 21


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [("2027-03-31", -1, "2027-02-28"), ("2027-12-15", 1, "2028-01-15"), ("2027-01-31", 1, "2027-02-28")],
)
def test_a_month_later_is_the_same_day_or_the_last_one(day: str, months: int, expected: str) -> None:
    assert months_later(datetime.fromisoformat(day), months) == datetime.fromisoformat(expected)
