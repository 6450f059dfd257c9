"""What usage costs, in exact numbers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_project.vendors.m3ter.simulator import rating
from integration_project.vendors.m3ter.simulator.periods import Cycle, midnight
from integration_project.vendors.m3ter.simulator.rating import Band, Currency, RoundingNecessary

UTC_ZONE = ZoneInfo("UTC")


def bands(*rows: tuple[str, str, str]) -> list[Band]:
    return [Band(Decimal(limit), Decimal(fixed), Decimal(unit)) for limit, fixed, unit in rows]


TWO = bands(("0", "0", "0.02"), ("10000", "0", "0.015"))
FIXED = bands(("0", "5", "1"), ("10", "7", "0.5"), ("20", "0", "0.25"))


def cost(units: str, of: list[Band], *, cumulative: bool, before: str = "0") -> Decimal:
    usages = rating.rate(Decimal(units), of, cumulative=cumulative, before=Decimal(before))
    return rating.total_of(usages)


@pytest.mark.parametrize(
    ("units", "amount"),
    [("0", "0"), ("1", "0.02"), ("10000", "200"), ("10001", "200.015"), ("12600", "239")],
)
def test_tiered_prices_each_band_at_its_own_price(units: str, amount: str) -> None:
    assert cost(units, TWO, cumulative=True) == Decimal(amount)


@pytest.mark.parametrize(
    ("units", "amount"), [("0", "0"), ("1", "0.02"), ("10000", "200"), ("10001", "150.015"), ("12600", "189")]
)
def test_volume_prices_everything_at_the_highest_band_reached(units: str, amount: str) -> None:
    assert cost(units, TWO, cumulative=False) == Decimal(amount)


@pytest.mark.parametrize(
    ("units", "tiered", "volume"),
    [("0", "0", "0"), ("4", "9", "9"), ("10", "15", "15"), ("11", "22.5", "12.5"), ("24", "28", "6")],
)
def test_the_fixed_price_of_a_band_is_charged_once_it_is_reached(units: str, tiered: str, volume: str) -> None:
    assert cost(units, FIXED, cumulative=True) == Decimal(tiered)
    assert cost(units, FIXED, cumulative=False) == Decimal(volume)


def test_bands_may_come_in_any_order() -> None:
    assert cost("12600", TWO[::-1], cumulative=True) == Decimal(239)


def test_a_band_can_begin_at_its_limit() -> None:
    usages = rating.rate(Decimal(10000), TWO, cumulative=False, above=False)

    assert rating.total_of(usages) == Decimal(150)


def test_negative_usage_is_priced_at_the_lowest_band_without_its_fixed_price() -> None:
    assert cost("-4", FIXED, cumulative=True) == Decimal(-4)
    assert cost("-4", FIXED, cumulative=False) == Decimal(-4)


amounts = st.decimals(min_value=0, max_value=10**6, places=3)


@st.composite
def several_bands(draw: st.DrawFn) -> list[Band]:
    limits = [0, *sorted(draw(st.sets(st.integers(1, 10**5), max_size=5)))]
    price = st.decimals(min_value=0, max_value=100, places=4)
    return [Band(Decimal(limit), draw(price), draw(price)) for limit in limits]


@given(units=amounts, of=several_bands())
def test_tiered_bands_take_up_all_units(units: Decimal, of: list[Band]) -> None:
    usages = rating.rate(units, of, cumulative=True)

    assert sum((usage.units for usage in usages), Decimal(0)) == units


@given(first=amounts, second=amounts, of=several_bands())
def test_tiers_over_the_whole_plan_cost_the_same_in_two_parts_as_at_once(
    first: Decimal, second: Decimal, of: list[Band]
) -> None:
    parts = [
        rating.rate(first, of, cumulative=True),
        rating.rate(second, of, cumulative=True, before=first),
    ]
    whole = rating.rate(first + second, of, cumulative=True)

    assert sum((rating.total_of(part) for part in parts), Decimal(0)) == rating.total_of(whole)


@given(units=amounts, more=amounts, of=several_bands())
def test_more_usage_never_costs_less_when_tiered(units: Decimal, more: Decimal, of: list[Band]) -> None:
    less = rating.total_of(rating.rate(units, of, cumulative=True))

    assert rating.total_of(rating.rate(units + more, of, cumulative=True)) >= less


@given(units=amounts, price=st.decimals(min_value=0, max_value=100, places=4))
def test_with_one_band_tiered_and_volume_are_the_same(units: Decimal, price: Decimal) -> None:
    one = [Band(Decimal(0), Decimal(0), price)]

    tiered = rating.total_of(rating.rate(units, one, cumulative=True))

    assert tiered == rating.total_of(rating.rate(units, one, cumulative=False)) == units * price


@given(units=amounts.filter(bool), of=several_bands())
def test_volume_uses_exactly_one_band(units: Decimal, of: list[Band]) -> None:
    usages = rating.rate(units, of, cumulative=False)

    assert [usage.units for usage in usages] == [units]


@pytest.mark.parametrize(
    ("quantity", "per_unit", "rounding", "units"),
    [
        ("48900", "500", "UP", "98"),
        ("48900", "500", "DOWN", "97"),
        ("5.1", "1", "NEAREST", "5"),
        ("3.5", "1", "NEAREST", "4"),
        ("48900", "500", "NONE", "97.8"),
        ("7", "0", "UP", "7"),
        ("-1.5", "1", "UP", "-1"),
    ],
)
def test_units_are_the_quantity_per_unit_rounded_as_the_aggregation_says(
    quantity: str, per_unit: str, rounding: str, units: str
) -> None:
    assert rating.units_of(Decimal(quantity), per_unit=Decimal(per_unit), rounding=rounding) == Decimal(units)


@pytest.mark.parametrize(
    ("mode", "up", "down"),
    [
        ("UP", "1.01", "-1.01"),
        ("DOWN", "1.00", "-1.00"),
        ("CEILING", "1.01", "-1.00"),
        ("FLOOR", "1.00", "-1.01"),
        ("HALF_UP", "1.01", "-1.01"),
        ("HALF_DOWN", "1.00", "-1.00"),
        ("HALF_EVEN", "1.00", "-1.00"),
    ],
)
def test_a_currency_rounds_in_its_own_mode(mode: str, up: str, down: str) -> None:
    euro = Currency("EUR", 2, mode)

    assert euro.round(Decimal("1.005")) == Decimal(up)
    assert euro.round(Decimal("-1.005")) == Decimal(down)


def test_a_currency_without_decimals_rounds_to_whole_numbers() -> None:
    assert Currency("JPY", 0).round(Decimal("1250.5")) == Decimal(1251)


def test_unnecessary_rounding_refuses_what_would_be_rounded() -> None:
    strict = Currency("EUR", 2, "UNNECESSARY")

    assert strict.round(Decimal("1.25")) == Decimal("1.25")
    with pytest.raises(RoundingNecessary):
        strict.round(Decimal("1.255"))


def test_minimum_spend_adds_only_what_is_missing() -> None:
    assert rating.minimum_spend_adjustment(Decimal(50), Decimal(20)) == Decimal(30)
    assert rating.minimum_spend_adjustment(Decimal(50), Decimal(80)) == Decimal(0)


def test_a_credit_is_never_more_than_what_it_is_set_against() -> None:
    assert rating.capped_credit(Decimal(30), Decimal(20)) == Decimal(-20)
    assert rating.capped_credit(Decimal(30), Decimal(50)) == Decimal(-30)
    assert rating.capped_credit(Decimal(30), Decimal(-5)) == Decimal(0)


def test_the_average_price_is_the_mean_over_bands() -> None:
    assert rating.average_unit_price(Decimal(239), Decimal(12600)) == Decimal("0.018968")
    assert rating.average_unit_price(Decimal(0), Decimal(0)) == Decimal(0)


# Billing dates.


def test_monthly_dates_stay_at_the_end_of_short_months() -> None:
    cycle = Cycle(date(2026, 1, 31), "MONTHLY")

    dates = list(cycle.billing_dates(after=date(2026, 1, 31), until=date(2026, 5, 1)))

    assert dates == [date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]


@pytest.mark.parametrize(
    ("frequency", "interval", "following"),
    [
        ("DAILY", 1, date(2026, 2, 2)),
        ("DAILY", 10, date(2026, 2, 11)),
        ("WEEKLY", 2, date(2026, 2, 15)),
        ("MONTHLY", 3, date(2026, 5, 1)),
        ("ANNUALLY", 1, date(2027, 2, 1)),
    ],
)
def test_a_cycle_has_the_length_it_is_given(frequency: str, interval: int, following: date) -> None:
    assert Cycle(date(2026, 2, 1), frequency, interval).boundary(1) == following


@given(
    epoch=st.dates(date(2000, 1, 1), date(2040, 1, 1)),
    day=st.dates(date(2000, 1, 1), date(2040, 1, 1)),
    frequency=st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "ANNUALLY"]),
    interval=st.integers(1, 12),
)
def test_every_day_lies_in_exactly_one_cycle(epoch: date, day: date, frequency: str, interval: int) -> None:
    cycle = Cycle(epoch, frequency, interval)

    index = cycle.index_at(day)

    assert cycle.boundary(index) <= day < cycle.boundary(index + 1)


def test_a_charge_is_prorated_by_the_part_of_each_cycle() -> None:
    cycle = Cycle(date(2026, 3, 1), "MONTHLY")
    start, end = datetime(2026, 1, 16, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)

    cycles = cycle.cycles_in(start, end, UTC_ZONE)

    assert rating.prorated(Decimal(31), cycles=cycles) == Decimal(16) + Decimal(31)


def test_a_day_begins_at_midnight_of_the_zone() -> None:
    assert midnight(date(2026, 7, 1), ZoneInfo("Europe/Berlin")) == datetime(2026, 6, 30, 22, tzinfo=UTC)
