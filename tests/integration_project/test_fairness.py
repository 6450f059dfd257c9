"""A slow backlog of one queue keeps no other queue and no scheduled job from the workers."""

import time
from collections import Counter
from datetime import timedelta

import pytest
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.tasks import async_task

from integration_project import clock, queues, scheduling, ticker, waiting, wakeups, work
from integration_project.models import ScheduledJob
from integration_project.schedules import Schedule
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import EVENTS, make_row

pytestmark = pytest.mark.django_db

ran: list[str] = []


def good_job() -> str:
    ran.append("good")
    return "done"


GOOD = Schedule("good", timedelta(hours=1), f"{__name__}.good_job")


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tables hold one queue and one job."""
    monkeypatch.setattr(queues, "all_queues", lambda: (EVENTS,))
    monkeypatch.setattr(scheduling, "SCHEDULES", (GOOD,))
    monkeypatch.setattr(wakeups, "QUIET", 0.0)
    ran.clear()


def minutes_pass() -> None:
    """Let every lease of the schedule table run out, while tasks still wait for a worker."""
    ScheduledJob.objects.filter(lease_until__isnull=False).update(lease_until=clock.now() - timedelta(seconds=1))


def tasks_waiting() -> Counter[str]:
    return Counter(str(row.task.get("func")).rsplit(".", 1)[-1] for row in OrmQ.objects.all())


def fetch_all() -> None:
    """Let a worker's cluster take every task out, as it does before it runs it."""
    OrmQ.objects.update(lock=clock.now() + timedelta(seconds=600))


def test_no_wake_up_and_no_job_is_sent_again_while_the_first_still_waits_for_a_worker() -> None:
    make_row(1)

    for _ in range(5):
        ticker.look_after_everything()
        minutes_pass()

    assert tasks_waiting() == {"nothing": 1, "run": 1}


def test_a_wake_up_and_a_job_that_were_fetched_and_never_began_are_sent_again() -> None:
    make_row(1)
    ticker.look_after_everything()
    fetch_all()
    minutes_pass()

    ticker.look_after_everything()

    assert tasks_waiting() == {"nothing": 2, "run": 2}


def test_a_job_that_waited_long_for_a_worker_runs_all_the_same_and_once() -> None:
    scheduling.hand_out_due()
    lease = ScheduledJob.objects.get(name="good").lease
    assert lease is not None
    minutes_pass()

    scheduling.run("good", lease.hex)
    scheduling.run("good", lease.hex)

    assert ran == ["good"]
    job = ScheduledJob.objects.get(name="good")
    assert (job.result, job.lease, job.lease_until) == ("done", None, None)


def test_a_late_job_leaves_alone_what_another_was_given() -> None:
    scheduling.hand_out_due()
    late = ScheduledJob.objects.get(name="good").lease
    assert late is not None
    fetch_all()
    minutes_pass()
    scheduling.hand_out_due()

    scheduling.run("good", late.hex)

    assert ran == []


def test_a_drain_ends_when_its_turn_is_over_and_asks_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        make_row(number)
    begun_at = time.monotonic()

    def finish_slowly(row: WebhookEvent) -> None:
        work.settle(row, state="processed")
        monkeypatch.setattr(time, "monotonic", lambda: begun_at + 3600.0)

    run = work.drain(EVENTS, finish_slowly)

    assert run == 1
    assert tasks_waiting() == {"nothing": 1}
    assert WebhookEvent.objects.filter(state="received", attempts=0, lease=None).count() == 2


def test_a_turn_is_short_beside_what_a_job_waits_for_a_worker() -> None:
    assert scheduling.QUEUED.total_seconds() > 4 * work.TURN


def test_only_the_asked_for_task_counts_as_waiting() -> None:
    async_task("integration_project.scheduling.run", "good", "token")
    OrmQ.objects.create(key="paddle-m3ter", payload="unreadable", lock=clock.now())

    assert waiting.waits("integration_project.scheduling.run")
    assert waiting.waits("integration_project.scheduling.run", "good")
    assert not waiting.waits("integration_project.scheduling.run", "another")
    assert not waiting.waits("integration_project.ticker.ping")


def test_the_oldest_task_is_fetched_first_wherever_the_table_keeps_it() -> None:
    broker = get_broker()
    for number in (3, 1, 2):
        OrmQ.objects.create(pk=number, key=broker.list_key, payload="-", lock=clock.now() - timedelta(seconds=1))

    assert [broker.dequeue()[0][0] for _ in range(3)] == [1, 2, 3]
