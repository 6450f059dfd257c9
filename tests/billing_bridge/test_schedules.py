"""Five hundred generated fault schedules, always the same ones: whatever happens, the bill is settled once.

They run on SQLite, in one process. On PostgreSQL only every tenth does: what another database could change are locks
between connections, and those have tests of their own, with threads and with real processes.
"""

from collections import Counter

import pytest
from pytest_django import Settings

from integration_project.models import Circuit, Finding
from integration_project.vendors.wsgi import WsgiAdapter
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.interrupting import Interrupter
from tests.billing_bridge.killing import DeadlyAdapter, commits_can_kill
from tests.billing_bridge.schedules import MODES, Run, Schedule
from tests.environment import on_postgresql

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

SCHEDULES = 500
PARTS = 10
MANY = 5_000
TENTH = "On PostgreSQL one part in ten of the generated schedules runs; all of them run on SQLite."


@pytest.fixture
def interrupter(
    classic_world: ClassicWorld, adapters: dict[str, WsgiAdapter], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Interrupter:
    """Every call and commit can be the last. There are more calls than any limit allows."""
    classic_world.paddle.rate_limit.limit = None
    classic_world.m3ter.limit_requests(None)
    interrupter = Interrupter()
    settings.VENDOR_TRANSPORTS = {vendor: DeadlyAdapter(adapter, interrupter) for vendor, adapter in adapters.items()}
    commits_can_kill(monkeypatch, interrupter)
    return interrupter


def go(classic_world: ClassicWorld, interrupter: Interrupter, seed: int) -> Counter[str]:
    """Run one schedule; what happened, by its first word."""
    classic_world.paddle.clear_faults()
    classic_world.classic.clear_faults()
    interrupter.happened = []
    Finding.objects.all().delete()
    Circuit.objects.all().delete()
    schedule = Schedule.of(seed)
    try:
        Run(classic_world, interrupter, schedule).go()
    except Exception as error:
        error.add_note(f"{schedule}; {' / '.join(interrupter.happened)}")
        raise
    return Counter(happened.split(" ", 1)[0] for happened in interrupter.happened)


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_fails_each_bill_is_settled_once(
    classic_world: ClassicWorld, interrupter: Interrupter, part: int
) -> None:
    if on_postgresql() and part:
        pytest.skip(TENTH)
    happened: Counter[str] = Counter()
    for seed in range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS):
        happened += go(classic_world, interrupter, seed)

    assert all(happened[what] for what in ("died", "another")), happened


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(10))
def test_thousands_of_schedules(classic_world: ClassicWorld, interrupter: Interrupter, part: int) -> None:
    for seed in range(SCHEDULES + part * MANY // 10, SCHEDULES + (part + 1) * MANY // 10):
        go(classic_world, interrupter, seed)


def test_the_schedules_are_of_every_kind() -> None:
    schedules = [Schedule.of(seed) for seed in range(SCHEDULES)]

    turns = Counter(schedule.mode for schedule in schedules)
    assert turns.keys() == set(MODES)
    assert max(turns.values()) - min(turns.values()) <= 1
    faults = Counter(kind for schedule in schedules for _, kind, _ in schedule.faults)
    assert min(faults[kind] for kind in ("lose_answer", "error_after", "error_before", "list_lag", "refused")) > 20
    assert sum(any("die" in life.values() for life in schedule.lives) for schedule in schedules) > SCHEDULES // 3
