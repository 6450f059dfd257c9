"""Pushing: what of Paddle's limit a thousand approved bills use, drained by four workers, and how long planning takes.

As in bench_backlog, the workers are `manage.py worker` on the bills' queue, and both simulators are this process: they
share the machine, so everybody's part of its processors is said too. Paddle's half of the limit that pushing does not
own is borrowed, because nothing else calls meanwhile.
"""

import datetime as dt
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from billing_bridge import importing, jobs, outlook, planning, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project import installation as installing
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.simulation import serve
from paddle_sync.models import AccountLink
from tests.benchmarks import report
from tests.benchmarks.bench_backlog import WORKERS, Drained, spent
from tests.billing_bridge.conftest import live, world
from tests.billing_bridge.world import LIVE_SINCE, World
from tests.builders import paddle_id
from tests.kill.programs import needs_proc, program, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(1800)]
__all__ = ["live", "world"]

State = PushedBill.State
PLANNED = 10_000
PROOFS = frozenset({"list subscription history"})
"""Once an hour it is looked whether the key may still read histories."""


@pytest.fixture
def paddle() -> PaddleSimulator:
    """A Paddle that sends nothing by itself: its webhooks would be this application's work, done in this process."""
    return PaddleSimulator()


@pytest.fixture
def m3ter() -> M3terSimulator:
    """An m3ter that sends nothing by itself."""
    return M3terSimulator()


def many_approved(world: World, count: int) -> None:
    """So many subscriptions, each with a bill that Finance has approved."""
    PushPolicy.objects.get_or_create(link=None)
    for limit in limits(world.paddle, world.m3ter):
        limit.limit = None  # until it begins
    for number in range(count):
        _, world.account_id = world.subscribe(email=f"buyer{number}@harbour.example")
    job = world.m3ter.run_bill_job(account_ids=[link.m3ter_account_id for link in AccountLink.objects.all()])
    for bill_id in job["bill_ids"][:count]:
        world.change_bill(bill_id)
        world.m3ter.approve_bill(bill_id)
        bill = importing.import_bill(bill_id, world.vendors)
        assert bill is not None
        review.approve(bill.pk, by="finance")


def limits(paddle: PaddleSimulator, m3ter: M3terSimulator) -> list[Any]:
    """What the simulated vendors limit."""
    return [paddle.rate_limit, m3ter.access.per_organisation, *m3ter.access.per_address.values()]


def drain(world: World, settings: Settings, log: Path, *, times: int, count: int) -> Drained:
    """Let the workers charge all there is, with so many times the vendors' real limits."""
    paddle, m3ter = world.paddle, world.m3ter
    for limit, real in zip(limits(paddle, m3ter), limits(PaddleSimulator(), M3terSimulator()), strict=True):
        limit.limit = real.limit * times
        limit.forget()
    settings.PADDLE_CALLS_PER_MINUTE, settings.M3TER_CALLS_PER_SECOND = 240 * times, 50 * times
    settings.VENDOR_TRANSPORTS = {}
    paddle.calls.clear()
    m3ter.calls.clear()

    def done() -> int:
        return PushedBill.objects.filter(state=State.PUSHED).count()

    with serve(paddle) as paddle_served, serve(m3ter) as m3ter_served:
        Installation.objects.update(
            paddle_api_url=paddle_served.url,
            m3ter_api_url=m3ter_served.url,
            charge_from=LIVE_SINCE,
            native_integration_checked_at=clock.now(),
        )
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
        with program(
            "-m", "tests.kill.noop_worker", "billing_bridge.queues.PUSH", log=log, environment=environment
        ) as p:
            wait_until(lambda: done() >= count / 10, within=300, what="the first tenth")
            began = spent(p.pid)
            wait_until(lambda: done() >= count * 9 / 10, within=900, what="the last tenth")
            ended = spent(p.pid)
            wait_until(lambda: done() == count, within=300, what=lambda: _left())
    return Drained([*paddle.calls, *m3ter.calls], began, ended)


def _left() -> str:
    return str(Counter(PushedBill.objects.exclude(state=State.PUSHED).values_list("state", "reason", "last_error")))


@needs_proc
@pytest.mark.parametrize(("times", "count"), [(10, 1_000), (1, 200)])
def test_approved_bills(world: World, settings: Settings, tmp_path: Path, times: int, count: int) -> None:
    many_approved(world, count)
    assert PushedBill.objects.filter(state=State.READY).count() == count

    drained = drain(world, settings, tmp_path / "worker.log", times=times, count=count)

    assert {call.status for call in drained.calls} <= {200, 201}
    assert len(world.paddle.charges) == Push.objects.filter(state=Push.State.PUSHED).count() == count
    assert len({charge.push_ids for charge in world.paddle.charges}) == count
    calls = Counter(call.operation for call in world.paddle.calls)
    rate = 60 * drained.rate(list(world.paddle.calls))
    report.at_least(
        f"{count} approved bills, {WORKERS} workers, {times} times the real limits: used of Paddle's limit",
        rate / settings.PADDLE_CALLS_PER_MINUTE,
        aim=0.88,
        detail=f"{rate:.0f} of {settings.PADDLE_CALLS_PER_MINUTE} calls a minute, no 429; {drained.processors()}; "
        f"{_seconds_per_bill(drained, count)}; on {connection.vendor}",
    )
    of_bills = sum(number for operation, number in calls.items() if operation not in PROOFS)
    report.at_most(
        "Paddle calls per pushed bill, proofs of the key apart",
        of_bills / count,
        aim=2,
        unit="calls",
        detail=", ".join(f"{number} {operation}" for operation, number in sorted(calls.items())),
    )
    assert of_bills == 2 * count


def _seconds_per_bill(drained: Drained, count: int) -> str:
    """Say what a bill costs of one processor, which tells what binds where others use the machine too."""
    bills = count * 8 / 10
    simulators = 1000 * (drained.ended.simulators - drained.began.simulators) / bills
    workers = 1000 * (drained.ended.workers - drained.began.workers) / bills
    return f"a bill took {simulators:.0f} ms of a processor in the simulators and {workers:.0f} ms in the workers"


def test_queries_of_one_pushed_bill(world: World) -> None:
    world.pushed()
    _, world.account_id = world.subscribe(email="another@example.com")
    world.approved()
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(hours=1))

    with CaptureQueriesContext(connection) as asked:
        jobs.drain_bills()

    statements = Counter(query["sql"].split()[0] for query in asked.captured_queries)
    report.say(f"queries of one drain with one bill: {len(asked)} ({dict(statements)}), on {connection.vendor}")


def test_ten_thousand_bills_are_planned(client: Client, live: Installation) -> None:
    installing.current()
    fill(PLANNED)
    client.force_login(User.objects.create_superuser("superuser"))
    page = reverse("admin:billing_bridge_pushedbill_plan")

    began = time.perf_counter()
    found = outlook.read()
    planned = time.perf_counter() - began
    began = time.perf_counter()
    answer = client.get(page)
    shown = time.perf_counter() - began

    assert answer.status_code == 200
    assert len(found.plan.entries) == PLANNED
    report.at_most(
        f"{PLANNED} imported bills planned",
        planned,
        aim=10,
        unit="s",
        detail=f"{len(found.plan.missing)} misses; their page in {shown:.1f} s; on {connection.vendor}",
    )
    assert planned < 10


def test_ten_thousand_bills_are_planned_without_a_database() -> None:
    now = clock.now()
    bills = [
        planning.Bill(number, f"sub_{number}", now + dt.timedelta(minutes=3 * number), now) for number in range(PLANNED)
    ]

    began = time.perf_counter()
    planning.plan(bills, planning.Given(now, 90))
    planned = time.perf_counter() - began

    report.at_most(f"{PLANNED} bills planned, without reading them", planned, aim=10, unit="s", detail="pure")


def fill(count: int) -> None:
    """Add bills of as many subscriptions: some held, some late, most ready."""
    now = clock.now()
    links = AccountLink.objects.bulk_create(
        AccountLink(
            paddle_subscription_id=f"sub-{number}",
            paddle_customer_id=paddle_id("ctm"),
            m3ter_account_id=f"account-{number}",
            m3ter_account_code=f"sub-{number}",
            name=f"Harbour {number:05}",
            currency="EUR",
            paddle_status="active",
            next_billed_at=now + dt.timedelta(minutes=3 * number),
            created_at=now,
            updated_at=now,
        )
        for number in range(count)
    )
    PushedBill.objects.bulk_create(
        PushedBill(
            m3ter_bill_id=f"bill-{number}",
            m3ter_account_id=link.m3ter_account_id,
            link=link,
            serial_key=link.paddle_subscription_id,
            currency="EUR",
            renews_at=link.next_billed_at,
            state=State.HELD if number % 10 == 0 else State.READY,
            reason=PushedBill.Reason.REVIEW if number % 10 == 0 else "",
            due_at=None if number % 10 == 0 else now,
            payable=12_345,
            outstanding=12_345,
            first_seen_at=now,
            updated_at=now,
        )
        for number, link in enumerate(links)
    )
