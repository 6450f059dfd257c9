"""Numbers and times in cells: exact where they are plain, refused with the right spelling where they are not."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_sync.usage import cells
from paddle_sync.usage.rows import Problem


@given(st.integers(-(10**30) + 1, 10**30 - 1))
def test_whole_numbers_are_exact(value: int) -> None:
    found = cells.number(str(value))

    assert (type(found), found) == (int, value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20))
def test_decimal_numbers_keep_their_digits(value: Decimal) -> None:
    found = cells.number(format(value, "f"))

    assert isinstance(found, Decimal)
    assert found.as_tuple() == value.as_tuple()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("-5", -5),
        ("+5", 5),
        (" 5\t", 5),
        ("1.50", Decimal("1.50")),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("1e3", Decimal("1E+3")),
        ("-1.5E-3", Decimal("-0.0015")),
        ("1e30", Decimal("1e30")),
        ("9" * 30, 10**30 - 1),
    ],
)
def test_plain_spellings_are_numbers(text: str, value: int | Decimal) -> None:
    found = cells.number(text)

    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("1,5", "Write 1.5: "),
        ("0,125", "Write 0.125: "),
        ("1,500", "Write 1500 or 1.500, "),
        ("1 000", "Write 1000: "),
        ("1\u202f000,5", "Write 1000.5: "),
        ("1'000.50", "Write 1000.50: "),
        ("1_000", "Write 1000: "),
        ("1.000,00", "Write 1000.00: "),
        ("1,000.00", "Write 1000.00: "),
        ("1.000.000", "Write 1000000: "),
        ("-1,5", "Write -1.5: "),
        ("−5", "Write -5: "),
        ("١٢٣", "Write 123: "),
        ("１２", "Write 12: "),
        ("NaN", "Write a number, or leave"),
        ("inf", "Write a number, or leave"),
        ("-Infinity", "Write a number, or leave"),
        ("#N/A", "Write a number, or leave"),
        ("", "Write one, such as 1.5"),
        ("  ", "Write one, such as 1.5"),
        ("--", "Write digits alone"),
        ("0x10", "Write digits alone"),
        ("5 GB", "Write digits alone"),
        ("€5", "Write digits alone"),
        ("1e", "Write digits alone"),
        ("1.5.2,3,4", "Write digits alone"),
        ("²", "Write digits alone"),
        ("true", "Write digits alone"),
        ("9" * 31, "Write at most 30 digits"),
        ("0." + "1" * 31, "Write at most 30 digits"),
        ("1e31", "Write at most 30 digits"),
        ("1e9999", "Write at most 30 digits"),
        ("0e-9999", "Write at most 30 digits"),
        ("9" * 1_000_000, "Write at most 30 digits"),
        ("1e999999999", "Write digits alone"),
    ],
)
def test_other_spellings_are_refused_with_the_right_one(text: str, remedy: str) -> None:
    found = cells.number(text, "calls")

    assert isinstance(found, Problem)
    assert found.column == "calls"
    assert found.remedy.startswith(remedy)
    assert found.remedy.endswith(".")
    assert len(found.reason) < 120


@given(st.text(max_size=40))
def test_any_text_is_a_number_within_bounds_or_a_problem(text: str) -> None:
    found = cells.number(text)

    assert isinstance(found, int | Decimal | Problem)
    if isinstance(found, int | Decimal):
        assert text.strip().isascii()
        assert Decimal(text.strip()) == found


# --- Times ------------------------------------------------------------------------------------------------------------


@given(st.timedeltas(dt.timedelta(0), dt.timedelta(days=36_524)), st.integers(-14 * 60, 14 * 60))
def test_moments_with_a_zone_are_read_in_utc(since: dt.timedelta, minutes: int) -> None:
    moment = dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + since
    local = moment.astimezone(dt.timezone(dt.timedelta(minutes=minutes)))

    for text in (local.isoformat(), local.isoformat(" "), f"{local:%Y-%m-%dT%H:%M:%S.%f%z}", f" {local.isoformat()} "):
        found = cells.moment(text)
        assert found == local
        assert isinstance(found, dt.datetime)
        assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-02-03T10:15:00Z", dt.datetime(2026, 2, 3, 10, 15, tzinfo=dt.UTC)),
        ("2026-02-03T10:15Z", dt.datetime(2026, 2, 3, 10, 15, tzinfo=dt.UTC)),
        ("2026-02-03 10:15:00 +0200", dt.datetime(2026, 2, 3, 8, 15, tzinfo=dt.UTC)),
        ("2026-02-03 10:15:00 -02:00", dt.datetime(2026, 2, 3, 12, 15, tzinfo=dt.UTC)),
        ("2026-02-03T10:15:00.123456789Z", dt.datetime(2026, 2, 3, 10, 15, 0, 123456, tzinfo=dt.UTC)),
        ("2026-02-03T10:15:00,5Z", dt.datetime(2026, 2, 3, 10, 15, 0, 500000, tzinfo=dt.UTC)),
        ("2024-02-29T00:00:00Z", dt.datetime(2024, 2, 29, tzinfo=dt.UTC)),
    ],
)
def test_spellings_of_a_moment(text: str, moment: dt.datetime) -> None:
    assert str(cells.moment(text)) == str(moment)


@pytest.mark.parametrize(
    ("text", "reason", "remedy"),
    [
        ("2026-02-03T10:15:00", "which zone", "Write 2026-02-03T10:15:00Z if it is UTC"),
        ("2026-02-03 10:15", "which zone", "Write 2026-02-03T10:15:00Z if it is UTC"),
        ("2026-02-03 10:15:00,5", "which zone", "Write 2026-02-03T10:15:00.5Z if it is UTC"),
        ("2026-02-03", "which zone", "Write 2026-02-03T00:00:00Z if it is UTC"),
        ("1770113700", "is a count", "Write 2026-02-03T10:15:00Z if"),
        ("1770113700.25", "is a count", "Write 2026-02-03T10:15:00Z if"),
        ("1770113700000", "is a count", "Write 2026-02-03T10:15:00Z if"),
        ("1770113700000000", "is a count", "Write 2026-02-03T10:15:00Z if"),
        ("1026-02-03T10:15:00Z", "too far", "Check the year"),
        ("9999-12-31T23:59:59-02:00", "no date", "Write it as"),
        ("2260-02-03T10:15:00Z", "too far", "Check the year"),
        ("0001-01-01T00:00:00+14:00", "no date", "Write it as"),
        ("2026-02-03T10:15:60Z", "second 60", "Write second 59"),
        ("2026-02-30T10:15:00Z", "no date", "Write it as"),
        ("2026-02-03T10:15:00+99:99", "no date", "Write it as"),
        ("2026-02-03T24:00:00Z", "not a time", "Write it as"),
        ("2026-W06-2T10:15:00Z", "not a time", "Write it as"),
        ("20260203T101500Z", "not a time", "Write it as"),
        ("03.02.2026 10:15", "not a time", "Write it as"),
        ("2/3/2026 10:15 AM", "not a time", "Write it as"),
        ("46056.427083", "not a time", "Write it as"),
        ("2026-02-03T10:15:00 CET", "not a time", "Write it as"),
        ("٢٠٢٦-02-03T10:15:00Z", "not a time", "Write it as"),
        ("", "no time", "Write it as"),
    ],
)
def test_other_times_are_refused_with_a_remedy(text: str, reason: str, remedy: str) -> None:
    found = cells.moment(text, "ts")

    assert isinstance(found, Problem)
    assert found.column == "ts"
    assert reason in found.reason
    assert found.remedy.startswith(remedy)
    assert found.remedy.endswith(".")


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_a_problem(text: str) -> None:
    assert isinstance(cells.moment(text), dt.datetime | Problem)


@given(st.from_regex(cells._MOMENT, fullmatch=True))
def test_whatever_has_the_shape_of_a_moment_is_one_or_a_problem(text: str) -> None:
    found = cells.moment(text)

    assert isinstance(found, Problem) or found.year in range(1999, 2101)
