"""Money is exact: nothing is lost in rounding, and rounded lines add up to the rounded total."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge import money
from billing_bridge.money import Money, UnknownCurrency, allocate, exact_sum, round_half_up

currencies = st.sampled_from(["USD", "EUR", "JPY"])
amounts = st.decimals(min_value=0, max_value=10**7, places=5, allow_nan=False, allow_infinity=False)
signed = st.decimals(min_value=-(10**7), max_value=10**7, places=5, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0.005", "USD", 1),
        ("0.00499", "USD", 0),
        ("236.395", "EUR", 23640),
        ("-0.005", "USD", -1),
        ("0.5", "JPY", 1),
        ("1234.49999", "JPY", 1234),
        ("12345678901234567890.125", "USD", 1234567890123456789013),
    ],
)
def test_a_half_is_rounded_away_from_zero(amount: str, currency: str, minor: int) -> None:
    assert Money(Decimal(amount), currency).minor_units() == minor


@pytest.mark.parametrize("amount", [1.5, 3, "2.00", Decimal("NaN"), Decimal("Infinity")])
def test_money_refuses_what_is_not_exact(amount: Any) -> None:
    with pytest.raises(money.NotExact):
        Money(amount, "USD")


@pytest.mark.parametrize("currency", ["KWD", "BHD", "XTS", "", "usd", "CLP", "VND"])
def test_a_currency_whose_decimals_at_paddle_are_not_certain_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        round_half_up(Decimal(1), currency)


def test_words_have_the_decimals_of_the_currency() -> None:
    assert money.words(123450, "USD") == "1234.50 USD"
    assert money.words(-5, "EUR") == "-0.05 EUR"
    assert money.words(1234, "JPY") == "1234 JPY"
    assert money.words(1234, "KWD") == "1234 smallest units of KWD"


@given(st.integers(min_value=-(10**12), max_value=10**12), currencies)
def test_smallest_units_come_back_unchanged(minor: int, currency: str) -> None:
    assert Money.of_minor_units(minor, currency).minor_units() == minor


@given(signed, currencies)
def test_a_credit_is_rounded_as_the_mirror_of_its_charge(amount: Decimal, currency: str) -> None:
    assert round_half_up(-amount, currency) == -round_half_up(amount, currency)


@given(st.lists(amounts, min_size=1, max_size=40), currencies)
def test_rounded_lines_add_up_to_the_rounded_total(lines: list[Decimal], currency: str) -> None:
    total = round_half_up(exact_sum(lines), currency)

    shares = allocate(lines, total, currency)

    assert sum(shares) == total
    assert all(abs(share - money.scaled(line, currency)) < 1 for share, line in zip(shares, lines, strict=True))


@given(st.lists(amounts, min_size=1, max_size=40), currencies)
def test_rounding_turns_no_order_round(lines: list[Decimal], currency: str) -> None:
    shares = allocate(lines, round_half_up(exact_sum(lines), currency), currency)

    for line, share in zip(lines, shares, strict=True):
        for other, other_share in zip(lines, shares, strict=True):
            assert not (line > other and share < other_share)


@given(st.lists(amounts, min_size=1, max_size=30), st.integers(min_value=-15, max_value=15), currencies)
def test_a_total_that_is_off_is_still_reached_and_no_line_falls_below_zero(
    lines: list[Decimal], off: int, currency: str
) -> None:
    total = max(round_half_up(exact_sum(lines), currency) + off, 0)

    shares = allocate(lines, total, currency)

    assert sum(shares) == total
    assert min(shares) >= 0


@given(st.lists(signed, min_size=1, max_size=30), currencies)
def test_lines_below_zero_add_up_too(lines: list[Decimal], currency: str) -> None:
    total = round_half_up(exact_sum(lines), currency)

    assert sum(allocate(lines, total, currency)) == total


def test_the_largest_remainders_are_rounded_up() -> None:
    thirds = [Decimal("0.333"), Decimal("0.334"), Decimal("0.333")]

    assert allocate(thirds, 100, "USD") == [33, 34, 33]


def test_no_lines_can_only_add_up_to_nothing() -> None:
    assert allocate([], 0, "USD") == []
    with pytest.raises(ValueError, match="no lines"):
        allocate([], 1, "USD")
