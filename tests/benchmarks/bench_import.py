"""The import of existing subscriptions, in one process with its simulators: calls for each, and the budget's use.

Nothing stands still between feeding and working here, so this is the work of one worker; bench_backlog has four.
"""

import time
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import bulk, existing, jobs
from paddle_sync.models import AccountLink, BulkRun
from tests.benchmarks import report
from tests.builders import make_mapping
from tests.paddle_sync.test_existing import WHY, subscribed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation"), pytest.mark.timeout(900)]

COUNT = 300
TIMES = 10


def test_import_of_existing_subscriptions(paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings) -> None:
    settings.PADDLE_CALLS_PER_MINUTE *= TIMES
    settings.M3TER_CALLS_PER_SECOND *= TIMES
    limits: list[Any] = [m3ter.access.per_organisation, *m3ter.access.per_address.values()]
    for limit in limits:
        limit.limit *= TIMES
    make_mapping()
    subscribed(paddle, COUNT)
    paddle.rate_limit.limit = 240 * TIMES
    paddle.calls.clear()

    began = time.monotonic()
    run = existing.ask(**WHY)
    while BulkRun.objects.get().state == "preparing":
        jobs.carry_on_bulk_runs()
    bulk.start(run.pk, **WHY)
    while BulkRun.objects.get().state == "running":
        jobs.carry_on_bulk_runs()
        jobs.drain_events()
    seconds = time.monotonic() - began

    calls = [*paddle.calls, *m3ter.calls]
    assert AccountLink.objects.count() == COUNT
    assert {call.status for call in calls} == {200}
    counts = Counter(
        f"{simulator.vendor} {call.operation}" for simulator in (paddle, m3ter) for call in simulator.calls
    )
    report.at_most(
        f"vendor calls per imported subscription, {COUNT} of them",
        len(calls) / COUNT,
        aim=3.5,
        unit="calls",
        detail=", ".join(f"{count} {name}" for name, count in counts.most_common()),
    )
    used = len(m3ter.calls) / seconds / settings.M3TER_CALLS_PER_SECOND
    report.say(
        f"import in one process, {TIMES} times the real limits: {used:.2f} of m3ter's limit used, "
        f"{COUNT / seconds:.0f} subscriptions a second, no 429, on {connection.vendor}"
    )
