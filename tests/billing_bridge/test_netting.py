"""What is open of a bill is charged, taken from the carried balance, and carried on: to the cent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge.netting import Carried, Netting, Share, net, spread_credits

AMOUNTS = st.integers(-100_000, 100_000)
BALANCES = st.lists(AMOUNTS.filter(bool), max_size=8)


def of(*amounts: int) -> list[Carried]:
    """A balance, oldest first."""
    return [Carried(number, amount) for number, amount in enumerate(amounts, start=1)]


@pytest.mark.parametrize(
    ("outstanding", "balance", "expected"),
    [
        (1000, (), Netting((), 1000, 0)),
        (70, (), Netting((), 70, 0)),
        (69, (), Netting((), 0, 69)),
        (40, (30,), Netting((Carried(1, 30),), 70, 0)),
        (-500, (), Netting((), 0, -500)),
        (-500, (900,), Netting((), 0, -500)),
        (1000, (-300,), Netting((Carried(1, -300),), 700, 0)),
        (1000, (-300, 100), Netting((Carried(1, -300), Carried(2, 100)), 800, 0)),
        (1000, (-600, -600), Netting((Carried(1, -600), Carried(2, -400)), 0, 0)),
        (530, (-500,), Netting((Carried(1, -500),), 0, 30)),
        (0, (900,), Netting((), 0, 0)),
    ],
)
def test_a_bill_is_settled_against_the_balance(outstanding: int, balance: tuple[int, ...], expected: Netting) -> None:
    assert net(outstanding, of(*balance), minimum=70) == expected


@given(AMOUNTS, BALANCES, st.integers(1, 500))
def test_nothing_is_lost_or_made_by_netting(outstanding: int, balance: list[int], minimum: int) -> None:
    netting = net(outstanding, of(*balance), minimum=minimum)

    assert outstanding + netting.carried_in == netting.charge + netting.carry
    assert netting.charge == 0 or netting.charge >= minimum
    assert not (netting.charge and netting.carry)
    for part in netting.taken:
        before = balance[part.entry_id - 1]
        assert 0 < part.remaining <= before or before <= part.remaining < 0
    assert [part.entry_id for part in netting.taken] == sorted({part.entry_id for part in netting.taken})


@given(
    st.lists(st.tuples(st.sampled_from(["saas", "ebooks", ""]), AMOUNTS), min_size=1, max_size=30).filter(
        lambda shares: sum(amount for _, amount in shares) > 0
    )
)
def test_credits_are_spread_to_the_cent_and_leave_nothing_below_zero(shares: list[tuple[str, int]]) -> None:
    items = spread_credits([Share(key, category, amount) for key, (category, amount) in enumerate(shares)])

    assert sum(left.amount for left in items.left) == sum(amount for _, amount in shares)
    assert min(left.amount for left in items.left) > 0
    for left in items.left:
        assert left.amount + sum(amount for _, amount in left.lowered_by) == shares[left.key][1]
    crossed = any(
        shares[credit][0] != shares[left.key][0] or not shares[credit][0]
        for left in items.left
        for credit, _ in left.lowered_by
    )
    assert items.crosses or not crossed


def test_credits_that_take_all_are_refused() -> None:
    with pytest.raises(ValueError, match="take all"):
        spread_credits([Share(1, "saas", 100), Share(2, "saas", -100)])
