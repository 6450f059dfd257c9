"""Whatever happens to an account's bills: the ledger adds up at every step, and at the end to what Paddle has."""

from collections import Counter

import pytest

from billing_bridge import jobs
from tests.billing_bridge.histories import History
from tests.billing_bridge.world import World

pytestmark = pytest.mark.django_db

PARTS = 6
HISTORIES = 12
STEPS = 14
statistics: Counter[str] = Counter()


@pytest.fixture
def world(world: World) -> World:
    """More calls than any limit allows."""
    world.paddle.rate_limit.limit = None
    world.m3ter.limit_requests(None)
    return world


@pytest.mark.parametrize("part", range(PARTS))
def test_what_paddle_has_is_what_is_owed_to_the_cent(world: World, part: int) -> None:
    if part % 2:
        jobs.read_currencies()
    for seed in range(part * HISTORIES, (part + 1) * HISTORIES):
        happens(world, seed)


def happens(world: World, seed: int) -> Counter[str]:
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
