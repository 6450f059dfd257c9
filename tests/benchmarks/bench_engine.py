"""Engine throughput on rows that need nothing done, against plain django-q2 tasks that do nothing."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from integration_project import clock
from tests.benchmarks import report
from tests.benchmarks.noop_rows import NoopRow
from tests.kill.programs import needs_proc, program, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc, pytest.mark.timeout(600)]

JOBS = 4_000
WORKERS = 2
ROUNDS = 3


def rate_of(left: Callable[[], int]) -> float:
    """Jobs a second, from when the first tenth is done to when the last tenth begins: without start and end."""
    wait_until(lambda: left() <= JOBS * 0.9, within=120, what="the first tenth")
    began, had = time.monotonic(), left()
    wait_until(lambda: left() <= JOBS * 0.1, within=300, what="the last tenth")
    return (had - left()) / (time.monotonic() - began)


def plain_tasks(folder: Path) -> float:
    """Throughput of django-q2 as it comes, with our settings, which are its fastest."""
    task = SignedPackage.dumps(
        {"id": "1" * 32, "name": "noop", "func": "tests.integration_project.work_rows.nothing", "args": ()}
        | {"kwargs": {}, "started": timezone.now(), "ack_failure": True}
    )
    key = settings.Q_CLUSTER["name"]
    OrmQ.objects.bulk_create([OrmQ(key=key, payload=task, lock=timezone.now()) for _ in range(JOBS)], batch_size=500)
    environment = {"TEST_WORKER_PROCESSES": str(WORKERS), "TEST_SECRET_KEY": settings.SECRET_KEY}
    with program("manage.py", "qcluster", log=folder / "plain.log", environment=environment):
        return rate_of(OrmQ.objects.count)


def engine_rows(folder: Path) -> float:
    """Throughput of our worker on rows whose handler only settles them."""
    now = clock.now()
    rows = [NoopRow(due_at=now, serial_key=f"key {number}") for number in range(JOBS)]
    NoopRow._default_manager.bulk_create(rows, batch_size=500)
    environment = {"TEST_WORKER_PROCESSES": str(WORKERS)}
    queue = "tests.benchmarks.noop_rows.ROWS"
    with program("-m", "tests.kill.noop_worker", queue, log=folder / "engine.log", environment=environment):
        return rate_of(NoopRow._default_manager.exclude(state="processed").count)


@pytest.fixture
def table(transactional_db: None) -> Iterator[None]:
    """Have the table as long as the measurement runs."""
    with connection.schema_editor() as editor:
        editor.create_model(NoopRow)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(NoopRow)


@pytest.mark.usefixtures("table")
def test_engine_against_plain_tasks(tmp_path: Path) -> None:
    plain, ours = [], []
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        plain.append(plain_tasks(folder))
        OrmQ.objects.all().delete()
        ours.append(engine_rows(folder))
        NoopRow._default_manager.all().delete()

    ratios = sorted(engine / task for engine, task in zip(ours, plain, strict=True))
    report.at_least(
        "engine throughput, in plain django-q2 tasks",
        ratios[len(ratios) // 2],
        aim=2.5,
        detail=f"{max(ours):.0f} rows/s against {max(plain):.0f} tasks/s at best, on {connection.vendor}",
    )
