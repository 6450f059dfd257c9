"""The ticker and the schedule: one host looks after everything, each job runs when due and once at a time."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django_q.models import OrmQ

from integration_project import clock, heartbeats, pulse, queues, scheduling, ticker, wakeups, work
from integration_project.errors import Temporary
from integration_project.models import Heartbeat, ScheduledJob
from integration_project.schedules import SCHEDULES, Schedule
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import EVENTS, make_row

pytestmark = pytest.mark.django_db

ran: list[str] = []


def good_job() -> str:
    ran.append("good")
    return "3 things done"


def closed_job() -> None:
    raise Temporary("Paddle does not answer.")


def broken_job() -> None:
    raise KeyError("a fault")


HERE = "tests.integration_project.test_ticker"
GOOD = Schedule("good", timedelta(hours=1), f"{HERE}.good_job")
CLOSED = Schedule("closed", timedelta(hours=1), f"{HERE}.closed_job")
BROKEN = Schedule("broken", timedelta(seconds=60), f"{HERE}.broken_job")


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the tables hold the test's own queue and jobs, which they are written down for."""
    monkeypatch.setattr(queues, "all_queues", lambda: (EVENTS,))
    monkeypatch.setattr(scheduling, "SCHEDULES", (GOOD, CLOSED, BROKEN))
    monkeypatch.setattr(wakeups, "_asked", {})
    ran.clear()
    pulse.start_afresh()
    yield
    pulse.start_afresh()


def token_of(name: str) -> str:
    lease = ScheduledJob.objects.get(name=name).lease
    assert lease is not None
    return lease.hex


def minutes_until_due(name: str) -> float:
    return (ScheduledJob.objects.get(name=name).due_at - clock.now()).total_seconds() / 60


def test_every_tick_says_that_this_worker_is_alive() -> None:
    ticker.Ticker().tick()

    beat = Heartbeat.objects.get()
    assert beat.name == heartbeats.name()
    assert clock.now() - beat.seen_at < timedelta(seconds=5)


def test_what_is_due_is_woken_up_for_once() -> None:
    make_row(1)
    scheduling.hand_out_due()
    OrmQ.objects.all().delete()
    keeper = ticker.Ticker()

    keeper.tick()
    keeper.tick()

    assert OrmQ.objects.count() == 1


def test_nothing_is_woken_up_for_what_is_due_later() -> None:
    make_row(1, due_in=+5)
    scheduling.hand_out_due()
    OrmQ.objects.all().delete()

    ticker.Ticker().tick()

    assert not OrmQ.objects.exists()


def test_only_one_host_looks_after_the_queues_until_it_leaves() -> None:
    first, second = ticker.Ticker(), ticker.Ticker()
    first.tick()
    first.tick()
    make_row(1)
    OrmQ.objects.all().delete()

    second.tick()
    assert not OrmQ.objects.exists()

    first.leave()
    second.tick()
    assert OrmQ.objects.count() == 1


def test_a_host_that_died_in_office_is_replaced() -> None:
    first, second = ticker.Ticker(), ticker.Ticker()
    first.tick()
    first.tick()
    ScheduledJob.objects.filter(name=ticker.OFFICE).update(lease_until=clock.now() - timedelta(seconds=1))
    make_row(1)
    OrmQ.objects.all().delete()

    second.tick()

    assert OrmQ.objects.count() == 1


def test_rows_of_a_worker_whose_heartbeat_stopped_go_on() -> None:
    make_row(1)
    work.claim(EVENTS)
    WebhookEvent.objects.update(leased_by="host:dead")
    old = clock.now() - timedelta(seconds=16)
    Heartbeat.objects.create(name="host:dead", started_at=old, seen_at=old)

    ticker.look_after_everything()

    assert WebhookEvent.objects.get().state == "received"


def test_a_ping_is_sent_only_when_nothing_moved_for_long_and_no_task_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = ticker.Ticker()
    keeper.tick()
    keeper.tick()
    OrmQ.objects.all().delete()

    keeper.tick()
    assert not OrmQ.objects.exists()

    monkeypatch.setattr(pulse, "seconds_since_moved", lambda: 31.0)
    keeper.tick()
    keeper.tick()
    assert OrmQ.objects.count() == 1


def test_a_cluster_hangs_when_tasks_wait_and_idle_workers_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    OrmQ.objects.create(key="paddle-m3ter", payload="-", lock=clock.now() - timedelta(seconds=21))

    assert not ticker.nobody_takes_tasks()
    monkeypatch.setattr(pulse, "seconds_since_moved", lambda: 21.0)
    assert ticker.nobody_takes_tasks()
    monkeypatch.setattr(pulse, "busy", lambda: 2)
    assert not ticker.nobody_takes_tasks()


def test_a_job_that_is_due_is_handed_out_once_and_its_result_is_kept() -> None:
    assert scheduling.hand_out_due() == ["good", "closed", "broken"]
    assert scheduling.hand_out_due() == []

    scheduling.run("good", token_of("good"))

    job = ScheduledJob.objects.get(name="good")
    assert (job.result, job.lease) == ("3 things done", None)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert minutes_until_due("good") == pytest.approx(60, abs=1)
    assert ran == ["good"]


def test_a_job_that_was_lost_is_handed_out_again_and_the_late_task_does_nothing() -> None:
    scheduling.hand_out_due()
    late = token_of("good")
    OrmQ.objects.all().delete()
    ScheduledJob.objects.filter(name="good").update(lease_until=clock.now() - timedelta(seconds=1))

    assert scheduling.hand_out_due() == ["good"]
    scheduling.run("good", late)

    assert ran == []
    scheduling.run("good", token_of("good"))
    scheduling.run("good", late)
    assert ran == ["good"]


def test_a_job_that_fails_says_why_and_runs_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    scheduling.hand_out_due()

    scheduling.run("closed", token_of("closed"))
    scheduling.run("broken", token_of("broken"))

    assert ScheduledJob.objects.get(name="closed").result == "failed: Paddle does not answer."
    assert ScheduledJob.objects.get(name="broken").result == "failed: KeyError: 'a fault'"
    assert minutes_until_due("closed") == pytest.approx(5, abs=0.5)
    assert minutes_until_due("broken") == pytest.approx(1, abs=0.5)
    assert [record.exc_info is not None for record in caplog.records if "Scheduled job" in record.message] == [
        False,
        True,
    ]


def test_every_job_of_the_real_table_is_there_and_takes_no_arguments() -> None:
    from django.utils.module_loading import import_string

    names = [schedule.name for schedule in SCHEDULES]

    assert len(names) == len(set(names))
    assert all(callable(import_string(schedule.job)) for schedule in SCHEDULES)
