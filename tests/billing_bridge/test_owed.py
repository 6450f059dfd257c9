"""What is owed is one formula over the ledger, whatever the history was."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge.money import in_major_units
from billing_bridge.owed import COLUMNS, Entry, mismatch, payable, position

entries = st.lists(st.builds(Entry, kind=st.sampled_from(sorted(COLUMNS)), amount=st.integers(1, 10**9)), max_size=30)
totals = st.decimals(min_value=-(10**7), max_value=10**7, places=5, allow_nan=False, allow_infinity=False)


@given(st.integers(-(10**9), 10**9), entries)
def test_a_bill_always_adds_up(amount: int, ledger: list[Entry]) -> None:
    stands = position(amount, ledger)

    parts = stands.pushed - stands.lost - stands.credited + stands.carried + stands.written_off
    assert parts + stands.outstanding == amount


@given(st.integers(-(10**9), 10**9), entries, st.randoms())
def test_the_order_of_entries_does_not_matter(amount: int, ledger: list[Entry], chance: Random) -> None:
    shuffled = list(ledger)
    chance.shuffle(shuffled)

    assert position(amount, shuffled) == position(amount, ledger)


@given(st.integers(1, 10**9))
def test_what_was_pushed_and_lost_is_owed_again(amount: int) -> None:
    pushed = position(amount, [Entry("pushed", amount)])
    lost = position(amount, [Entry("pushed", amount), Entry("lost", amount)])

    assert (pushed.outstanding, lost.outstanding) == (0, amount)


@pytest.mark.parametrize(
    ("kind", "outstanding"),
    [("pushed", 70), ("credited", 130), ("carried_out", 70), ("carried_in", 130), ("written_off", 70), ("lost", 130)],
)
def test_each_kind_of_entry_moves_what_is_owed_its_own_way(kind: str, outstanding: int) -> None:
    assert position(100, [Entry(kind, 30)]).outstanding == outstanding


@given(totals, st.sampled_from(["USD", "EUR", "JPY"]))
def test_the_remainder_is_what_rounding_left_and_less_than_a_unit(total: Decimal, currency: str) -> None:
    result = payable(total, currency)

    assert in_major_units(result.minor, currency) + result.remainder == total
    assert abs(result.remainder) <= in_major_units(1, currency) / 2


@pytest.mark.parametrize(
    ("total", "lines", "currency", "difference"),
    [
        ("10.00", ["9.995", "0.005"], "USD", None),
        ("10.01", ["5.00", "5.00"], "USD", None),
        ("10.02", ["5.00", "5.00"], "USD", Decimal("0.02")),
        ("9.00", ["5.00", "5.00"], "USD", Decimal("-1.00")),
        ("1001", ["500.4", "500.4"], "JPY", None),
        ("1002", ["500.4", "500.4"], "JPY", Decimal("1.2")),
        ("0.01", [], "USD", Decimal("0.01")),
        ("0", [], "USD", None),
    ],
)
def test_lines_that_rounding_cannot_explain_are_a_mismatch(
    total: str, lines: list[str], currency: str, difference: Decimal | None
) -> None:
    assert mismatch(Decimal(total), [Decimal(line) for line in lines], currency) == difference
