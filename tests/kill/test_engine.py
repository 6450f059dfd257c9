"""Any process of a worker may be killed at any point: no orphan stays, and the work goes on by itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from integration_project.models import Heartbeat
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import make_row
from tests.kill.noop import LEASE_VARIABLE, TRACE_VARIABLE
from tests.kill.programs import alive, descendants, kill, needs_proc, program, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc]

WORKERS = 2


@contextmanager
def a_worker(folder: Path, *, lease: float = 3.0) -> "Iterator[subprocess.Popen[bytes]]":
    surroundings = {
        TRACE_VARIABLE: str(folder / "trace"),
        LEASE_VARIABLE: str(lease),
        "TEST_WORKER_PROCESSES": str(WORKERS),
    }
    with program(
        "-m", "tests.kill.noop_worker", "tests.kill.noop.EVENTS", log=folder / "log", environment=surroundings
    ) as process:
        wait_until(lambda: len(descendants(process.pid)) == 1 + WORKERS + 2, what="the start of the cluster")
        yield process


def lines(folder: Path) -> list[str]:
    path = folder / "trace"
    return path.read_text().splitlines() if path.exists() else []


def who(folder: Path, what: str) -> list[int]:
    """Processes that noted `what`, in order."""
    return [int(line.split()[-1]) for line in lines(folder) if line.startswith(f"{what} ")]


def settled(folder: Path) -> list[str]:
    return sorted(line.split()[1] for line in lines(folder) if line.startswith("settled"))


def all_processed() -> bool:
    return not WebhookEvent.objects.exclude(state="processed").exists()


def test_rows_that_nobody_was_woken_for_are_found(tmp_path: Path) -> None:
    with a_worker(tmp_path):
        for number in range(30):
            make_row(number)

        wait_until(all_processed, what="processing 30 events")

    assert settled(tmp_path) == sorted(f"evt_{number}" for number in range(30))
    assert set(WebhookEvent.objects.values_list("attempts", flat=True)) == {1}


def test_a_killed_worker_child_leaves_its_row_to_another(tmp_path: Path) -> None:
    with a_worker(tmp_path) as main:
        make_row(1, event_type="slow 1")
        wait_until(lambda: who(tmp_path, "began evt_1"), what="the beginning of the event")

        kill(who(tmp_path, "began evt_1")[0])

        wait_until(all_processed, what="the second attempt")
        assert main.poll() is None

    assert settled(tmp_path) == ["evt_1"]
    assert WebhookEvent.objects.get().attempts == 2


def test_killing_idle_workers_does_not_hang_the_cluster(tmp_path: Path) -> None:
    with a_worker(tmp_path) as main:
        make_row(1)
        wait_until(all_processed, what="the first event")
        idle = descendants(main.pid)[1 : 1 + WORKERS]

        for pid in idle:
            kill(pid)
        make_row(2)

        wait_until(all_processed, what="the second event")
        assert main.poll() is None
        assert alive(idle) == []

    assert settled(tmp_path) == ["evt_1", "evt_2"]


@pytest.mark.parametrize("which", [3, 4])
def test_killing_the_process_that_fetches_tasks_or_the_one_that_files_results_does_not_hang_the_cluster(
    tmp_path: Path, which: int
) -> None:
    with a_worker(tmp_path) as main:
        victim = descendants(main.pid)[which]

        kill(victim)
        make_row(1)

        wait_until(all_processed, what="the event")
        assert main.poll() is None
        assert alive([victim]) == []


def test_when_the_sentinel_is_killed_the_worker_ends_with_an_error_and_leaves_no_orphan(tmp_path: Path) -> None:
    with a_worker(tmp_path) as main:
        everything = descendants(main.pid)

        kill(everything[0])

        assert main.wait(60) == 1
        wait_until(lambda: not alive(everything), within=20, what="the end of all children")
    assert "the sentinel died" in (tmp_path / "log").read_text()


def test_when_the_main_process_is_killed_its_children_die_and_the_next_worker_goes_on(tmp_path: Path) -> None:
    with a_worker(tmp_path, lease=120) as main:
        make_row(1, event_type="slow 2")
        wait_until(lambda: who(tmp_path, "began evt_1"), what="the beginning of the event")
        everything = descendants(main.pid)

        kill(main.pid)

        main.wait(10)
        wait_until(lambda: not alive(everything), within=20, what="the end of all children")

    # The lease is long, but its owner's heartbeat has stopped.
    with a_worker(tmp_path, lease=120):
        wait_until(all_processed, within=60, what="the second attempt")

    assert settled(tmp_path) == ["evt_1"]
    assert WebhookEvent.objects.get().attempts == 2


@pytest.mark.postgres
def test_when_the_database_drops_every_connection_work_goes_on_within_a_minute(tmp_path: Path) -> None:
    with a_worker(tmp_path) as main:
        make_row(1, event_type="slow 1")
        wait_until(lambda: who(tmp_path, "began evt_1"), what="the beginning of the event")

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        make_row(2)

        wait_until(all_processed, within=60, what="both events")
        assert main.poll() is None


def test_a_stuck_sentinel_ends_the_worker_with_an_error(tmp_path: Path) -> None:
    with a_worker(tmp_path) as main:
        everything = descendants(main.pid)

        kill(everything[0], signal.SIGSTOP)

        assert main.wait(60) == 1
        wait_until(lambda: not alive(everything), within=20, what="the end of all children")
    assert "the sentinel hangs" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("to_the_whole_group", [False, True])
def test_asked_to_stop_the_worker_lets_running_work_finish_and_takes_nothing_new(
    tmp_path: Path, to_the_whole_group: bool
) -> None:
    with a_worker(tmp_path) as main:
        for number in (1, 2):
            make_row(number, event_type="slow 1", serial_key="one at a time", due_in=number - 60)
        wait_until(lambda: who(tmp_path, "began evt_1"), what="the beginning of the event")
        everything = descendants(main.pid)

        if to_the_whole_group:
            os.killpg(main.pid, signal.SIGTERM)
            for pid in everything:  # a control group's signal reaches every process, whatever its group
                kill(pid, signal.SIGTERM)
        else:
            kill(main.pid, signal.SIGTERM)

        assert main.wait(60) == 0
        assert alive(everything) == []

    assert settled(tmp_path) == ["evt_1"]
    assert list(WebhookEvent.objects.order_by("event_id").values_list("state", "attempts")) == [
        ("processed", 1),
        ("received", 0),
    ]
    assert not Heartbeat.objects.exists()
