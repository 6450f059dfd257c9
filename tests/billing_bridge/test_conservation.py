"""Whatever happens to an account's bills: the ledger adds up at every step, and at the end to what Paddle has.

The generated bills and histories are always the same ones. What must be owed is worked out beside the code, from
m3ter's bills and people's decisions alone; what was charged is read in the simulator's own memory.
"""

import random
from collections import Counter
from decimal import Decimal

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.errors import NotPossible
from tests.billing_bridge import truth
from tests.billing_bridge.histories import MINIMUMS, TYPES, History, payable, some_lines, total_of
from tests.billing_bridge.world import World, fresh

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]

FIRST = (0, 100, 126)
"""The seed with which each part begins: what must happen does in each."""
HISTORIES = 12
MANY = 600
STEPS = 14
HAPPEN = ("deleted", "written off", "refund asked", "cancelled", "recalculated while unconfirmed", "invoice paid")
"""What must happen in the histories of each part."""


@pytest.fixture
def world(world: World) -> World:
    """More calls than any limit allows."""
    world.paddle.rate_limit.limit = None
    world.m3ter.limit_requests(None)
    return world


def happens(world: World, seed: int) -> Counter[str]:
    """Let one generated history happen, and hold it to what must be; what was in it."""
    world.paddle.clear_faults()
    history = History.begun(world, seed)
    try:
        history.new_bill()
        for _ in range(STEPS):
            history.take_one_step()
            history.check()
        history.come_to_an_end()
        assert history.charged == sum(history.owed.values()) - history.written_off
    except Exception as error:
        error.add_note(f"seed {seed}: {', '.join(history.happened)}")
        raise
    return history.seen


@pytest.mark.parametrize("first", FIRST)
def test_what_paddle_has_is_what_is_owed_to_the_cent(world: World, first: int) -> None:
    if first == FIRST[1]:
        jobs.read_currencies()
    seen: Counter[str] = Counter()
    for seed in range(first, first + HISTORIES):
        history = happens(world, seed)
        seen["recalculated after push"] += bool(history.pop("recalculated after push", 0))
        seen.update(history)

    assert seen["recalculated after push"] * 5 >= HISTORIES, seen
    assert [what for what in HAPPEN if not seen[what]] == [], seen
    assert seen["with negative lines"] * 10 >= seen["calculations"] * 3, seen
    assert seen["below the minimum"] * 10 >= seen["calculations"], seen


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(6))
def test_hundreds_of_histories(world: World, part: int) -> None:
    for seed in range(1_000 + part * MANY // 6, 1_000 + (part + 1) * MANY // 6):
        happens(world, seed)


def test_the_generated_bills_are_of_every_kind() -> None:
    rng = random.Random(7)
    bills = [some_lines(rng) for _ in range(1_000)]
    lines = [line for bill in bills for line in bill]

    assert {line.type for line in lines} == set(TYPES)
    assert (min(map(len, bills)), max(map(len, bills)) > 150) == (1, True)
    assert max(-int(line.amount.as_tuple().exponent) for line in lines) == 5
    assert sum(any(line.amount < 0 for line in bill) for bill in bills) >= 300
    for currency, least in MINIMUMS.items():
        assert sum(abs(payable(total_of(bill), currency)) < least for bill in bills) >= 100


def test_dinars_are_held_and_never_charged(world: World) -> None:
    """Paddle has no currency of three decimals."""
    PushPolicy.objects.update(review="never")
    bill = importing.import_bill(world.make_bill((("API calls", "12.34567"),), currency="KWD"), world.vendors)
    assert bill is not None

    world.work()
    with pytest.raises(NotPossible, match="Paddle does not take KWD"):
        review.approve(bill.pk, by="fiona", reason="charge it")

    assert (fresh(bill).state, fresh(bill).reason) == (PushedBill.State.HELD, "currency")
    assert truth.kept(world.paddle, bill.m3ter_bill_id) == {}
    assert fresh(bill).revision is not None
    assert fresh(bill).revision.exact_total == Decimal("12.34567")  # type: ignore[union-attr]
