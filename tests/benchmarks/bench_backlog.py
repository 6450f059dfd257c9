"""A backlog drained by four real worker processes, with both vendors on loopback: what of the binding budget is used.

The workers are `manage.py worker` with WORKER_PROCESSES=4, as in production, except that they look after the events'
queue alone and have no schedule, so that nothing else spends calls or time. The simulators share the machine with them,
so their share of its processors is said too.
"""

import datetime as dt
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from integration_project import clock, installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.simulation import Call, serve
from paddle_sync.models import AccountLink, WebhookEvent
from tests.benchmarks import report
from tests.builders import make_mapping
from tests.conftest import ADDRESS, post_to
from tests.kill.programs import PROC, descendants, needs_proc, program, wait_until
from tests.paddle_sync.seen import CLOUD

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc, pytest.mark.timeout(900)]

WORKERS = 4
AN_HOUR = dt.timedelta(hours=1)
TICKS = 100.0
"""The kernel counts a process's time in hundredths of a second."""


@dataclass(frozen=True)
class Spent:
    """Processor seconds up to a moment: the simulators', the workers', and the whole machine's."""

    at: float
    simulators: float
    workers: float
    machine: float


@dataclass(frozen=True)
class Drained:
    """What a drain took, from when a tenth of the calls were made to when a tenth were left."""

    calls: list[Call]
    began: Spent
    ended: Spent

    def rate(self, calls: list[Call]) -> float:
        """Calls a second, without the first and the last tenth."""
        times = sorted(call.at for call in calls)
        first, last = len(times) // 10, len(times) * 9 // 10
        return (last - first) / (times[last] - times[first]).total_seconds()

    def processors(self) -> str:
        """Say who used how much of the machine."""
        began, ended = self.began, self.ended
        seconds, cores = ended.at - began.at, _cores()
        shares = {
            "simulators": ended.simulators - began.simulators,
            "workers": ended.workers - began.workers,
            "all processes": ended.machine - began.machine,
        }
        used = ", ".join(f"{name} {100 * share / (seconds * cores):.0f} %" for name, share in shares.items())
        return f"of {cores} processors: {used}"


@pytest.fixture
def paddle(client: Client, settings: Settings) -> PaddleSimulator:
    """A Paddle whose webhooks reach this application when they are delivered, if they say that a subscription began."""
    settings.PADDLE_WEBHOOK_SECRETS = [paddle_sample.WEBHOOK_SECRET]
    post = post_to(client)

    def post_created(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        is_created = json.loads(body)["event_type"] == "subscription.created"
        return post(url, body, headers) if is_created else 200

    return PaddleSimulator(post=post_created, webhook_url=f"{ADDRESS}/webhooks/paddle/")


@pytest.fixture
def m3ter() -> M3terSimulator:
    """An m3ter that sends nothing by itself."""
    return M3terSimulator()


def backlog(paddle: PaddleSimulator, count: int) -> None:
    """Let so many subscriptions have begun an hour ago, and nobody have worked on that."""
    for number in range(count):
        paddle.complete_checkout(email=f"buyer{number}@harbour.example", items=[CLOUD])
    paddle.deliver_webhooks(even_if_not_due=True)
    now = clock.now()
    WebhookEvent.objects.update(occurred_at=now - AN_HOUR, received_at=now - AN_HOUR, due_at=now - AN_HOUR)
    make_mapping()
    assert WebhookEvent.objects.filter(state="received", event_type="subscription.created").count() == count


def drain(paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings, log: Path, *, times: int) -> Drained:
    """Let the workers do all there is, with so many times the vendors' real limits."""
    limits: list[Any] = [paddle.rate_limit, m3ter.access.per_organisation, *m3ter.access.per_address.values()]
    for limit in limits:
        limit.limit *= times
    settings.PADDLE_CALLS_PER_MINUTE *= times
    settings.M3TER_CALLS_PER_SECOND *= times
    paddle.calls.clear()
    count = WebhookEvent.objects.count()

    def done() -> int:
        return WebhookEvent.objects.exclude(state__in=("received", "processing")).count()

    with serve(paddle) as paddle_served, serve(m3ter) as m3ter_served:
        settings.PADDLE_API_URL, settings.M3TER_API_URL = paddle_served.url, m3ter_served.url
        settings.M3TER_ORG_ID = m3ter_sample.ORG_ID
        installation.current()
        environment = {
            "TEST_PADDLE_API_URL": paddle_served.url,
            "TEST_PADDLE_API_KEY": paddle_sample.API_KEY,
            "TEST_M3TER_API_URL": m3ter_served.url,
            "TEST_M3TER_INGEST_URL": m3ter_served.url,
            "TEST_M3TER_ORG_ID": m3ter_sample.ORG_ID,
            "TEST_M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
            "TEST_M3TER_API_SECRET": m3ter_sample.API_SECRET,
            "TEST_PADDLE_CALLS_PER_MINUTE": str(settings.PADDLE_CALLS_PER_MINUTE),
            "TEST_M3TER_CALLS_PER_SECOND": str(settings.M3TER_CALLS_PER_SECOND),
            "TEST_WORKER_PROCESSES": str(WORKERS),
        }
        queue = "paddle_sync.queues.EVENTS"
        with program("-m", "tests.kill.noop_worker", queue, log=log, environment=environment) as process:
            wait_until(lambda: done() >= count / 10, within=300, what="the first tenth")
            began = spent(process.pid)
            wait_until(lambda: done() >= count * 9 / 10, within=600, what="the last tenth")
            ended = spent(process.pid)
            wait_until(lambda: done() == count, within=120, what="the end")
    return Drained([*paddle.calls, *m3ter.calls], began, ended)


def spent(workers: int) -> Spent:
    """Read what has been used up to now; the simulators are this process."""
    of_workers = sum(_seconds_of(pid) for pid in [workers, *descendants(workers)])
    fields = [int(field) for field in PROC.joinpath("stat").read_text().splitlines()[0].split()[1:9]]
    busy = sum(fields) - fields[3] - fields[4]  # all but idle and waiting for a disk
    return Spent(time.monotonic(), time.process_time(), of_workers, busy / TICKS)


def _seconds_of(pid: int) -> float:
    fields = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _cores() -> int:
    return sum(1 for line in PROC.joinpath("stat").read_text().splitlines() if line.startswith("cpu")) - 1


@pytest.mark.parametrize(("times", "count"), [(10, 1_200), (1, 300)])
def test_a_backlog_of_created_events(
    paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings, tmp_path: Path, times: int, count: int
) -> None:
    backlog(paddle, count)

    drained = drain(paddle, m3ter, settings, tmp_path / "worker.log", times=times)

    assert {call.status for call in drained.calls} == {200}
    assert AccountLink.objects.count() == len(list(m3ter.memory.accounts)) == count
    used = {
        "paddle": drained.rate(paddle.calls) / (settings.PADDLE_CALLS_PER_MINUTE / 60),
        "m3ter": drained.rate(m3ter.calls) / settings.M3TER_CALLS_PER_SECOND,
    }
    binding = max(used, key=lambda vendor: used[vendor])
    what = f"backlog of {count} created events, {WORKERS} workers, {times} times the real limits"
    rates = f"m3ter {drained.rate(m3ter.calls):.1f} a second, Paddle {60 * drained.rate(paddle.calls):.0f} a minute"
    report.at_least(
        f"{what}: used of {binding}'s limit",
        used[binding],
        aim=0.8,
        detail=f"{rates}, no 429; {drained.processors()}; on {connection.vendor}",
    )
    report.at_most(
        f"{what}: vendor calls per event", len(drained.calls) / count, aim=3.5, unit="calls", detail="both vendors"
    )
