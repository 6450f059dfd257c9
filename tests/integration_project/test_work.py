"""The engine: claims, leases, fences and serial keys."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import QuerySet

from integration_project import clock, heartbeats, pulse, wakeups, work
from integration_project.models import Heartbeat, ScheduledJob
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import CHARGES, EVENTS, LOOKS, make_row
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def finish(row: WebhookEvent) -> None:
    work.settle(row, state="processed")


def expire(row: WebhookEvent) -> None:
    WebhookEvent.objects.filter(pk=row.pk).update(lease_until=clock.now() - timedelta(seconds=1))


def test_a_claimed_row_is_running_under_a_fresh_token_and_its_attempt_is_counted() -> None:
    make_row(1)

    [row] = work.claim(EVENTS)

    stored = WebhookEvent.objects.get()
    assert (stored.state, stored.attempts, stored.lease) == ("processing", 1, row.lease)
    assert stored.leased_by == heartbeats.name()
    assert stored.lease_until is not None
    assert timedelta(seconds=29) < stored.lease_until - clock.now() <= timedelta(seconds=30)
    assert (row.state, row.attempts) == ("processing", 1)


def test_a_claimed_row_whose_attempts_somebody_reset_is_given_back_like_the_others() -> None:
    for number in (1, 2):
        make_row(number)

    def reset_the_other_and_stop(row: WebhookEvent) -> None:
        finish(row)
        WebhookEvent.objects.exclude(pk=row.pk).update(attempts=0)
        pulse.stop()

    try:
        assert work.drain(EVENTS, reset_the_other_and_stop) == 1
    finally:
        pulse.start_afresh()

    [back] = WebhookEvent.objects.exclude(state="processed")
    assert (back.state, back.attempts, back.lease) == ("received", 0, None)


def test_rows_are_claimed_oldest_due_first_and_never_before_they_are_due() -> None:
    make_row(1, due_in=-10)
    make_row(2, due_in=-20)
    make_row(3, due_in=+20)

    rows = work.claim(EVENTS)

    assert [row.event_id for row in rows] == ["evt_2", "evt_1"]
    assert work.claim(EVENTS) == []


def test_a_claim_takes_no_more_than_the_queue_allows_at_a_time() -> None:
    make_row(1)
    make_row(2)

    assert len(work.claim(CHARGES, limit=5)) == 1


def test_of_one_serial_key_the_oldest_row_runs_and_the_next_waits_for_it() -> None:
    make_row(1, due_in=-10, serial_key="sub_1")
    make_row(2, due_in=-20, serial_key="sub_1")
    make_row(3, due_in=-5, serial_key="sub_2")

    first = work.claim(EVENTS)
    meanwhile = work.claim(EVENTS)
    work.settle(first[0], state="processed")
    second = work.claim(EVENTS)

    assert [row.event_id for row in first] == ["evt_2", "evt_3"]
    assert meanwhile == []
    assert [row.event_id for row in second] == ["evt_1"]


def test_a_key_with_a_long_backlog_does_not_hide_the_rows_behind_it() -> None:
    for number in range(work.WINDOW * CHARGES.batch + 3):
        make_row(number, due_in=-100 + number, serial_key="busy")
    make_row(99, due_in=-1, serial_key="quiet")

    [busy] = work.claim(CHARGES)
    [quiet] = work.claim(CHARGES)

    assert (busy.event_id, quiet.event_id) == ("evt_0", "evt_99")
    assert work.claim(CHARGES) == []


def test_settling_ends_the_claim_and_writes_the_outcome_once() -> None:
    make_row(1)
    [row] = work.claim(EVENTS)

    settled = work.settle(row, state="processed", note="done")

    stored = WebhookEvent.objects.get()
    assert settled
    assert (stored.state, stored.note, stored.due_at) == ("processed", "done", None)
    assert (stored.lease, stored.lease_until, stored.leased_by) == (None, None, "")
    assert not work.settle(row, state="failed")
    assert WebhookEvent.objects.get().state == "processed"


def test_whoever_lost_the_lease_can_neither_renew_nor_settle() -> None:
    make_row(1)
    [late] = work.claim(EVENTS)
    expire(late)
    [owner] = work.claim(EVENTS)

    with pytest.raises(work.LeaseLost):
        work.renew(EVENTS, late)
    assert not work.settle(late, state="failed")
    assert not work.fenced(late).exists()

    assert work.settle(owner, state="processed")
    assert WebhookEvent.objects.get().attempts == 2


def test_renewing_extends_the_lease_by_its_whole_length() -> None:
    make_row(1)
    [row] = work.claim(EVENTS)
    expire(row)

    work.renew(EVENTS, row)

    until = WebhookEvent.objects.values_list("lease_until", flat=True).get()
    assert until is not None
    assert until > clock.now() + timedelta(seconds=29)


def test_an_attempt_that_never_began_is_not_counted() -> None:
    make_row(1)
    [row] = work.claim(EVENTS)
    later = clock.now() + timedelta(seconds=5)

    assert work.give_back(EVENTS, row, due_at=later, last_error="The budget is spent.")

    stored = WebhookEvent.objects.get()
    assert (stored.state, stored.attempts, stored.due_at) == ("received", 0, later)


def test_an_expired_lease_makes_the_row_due_again_and_its_attempt_stays_counted() -> None:
    make_row(1)
    [row] = work.claim(EVENTS)
    expire(row)

    assert work.release_expired(EVENTS) == 1

    stored = WebhookEvent.objects.get()
    assert (stored.state, stored.attempts, stored.lease) == ("received", 1, None)


def test_a_queue_may_say_itself_what_becomes_of_expired_leases() -> None:
    seen: list[int] = []

    def investigate(rows: QuerySet[WebhookEvent]) -> int:
        seen.extend(rows.values_list("pk", flat=True))
        return rows.update(state="parked", lease=None, lease_until=None, leased_by="")

    queue = work.Queue(
        name="test", model=WebhookEvent, ready=("received",), running="processing", job="-", expired=investigate
    )
    made = make_row(1)
    [row] = work.claim(queue)
    expire(row)

    assert work.claim(queue) == []

    assert seen == [made.pk]
    assert WebhookEvent.objects.get().state == "parked"


def test_leases_of_a_dead_worker_end_early_except_where_work_may_not_be_repeated() -> None:
    make_row(1)
    work.claim(EVENTS)
    now = clock.now()
    Heartbeat.objects.create(name=heartbeats.name(), started_at=now, seen_at=now - timedelta(seconds=16))

    dead = heartbeats.dead_workers()

    assert dead == [heartbeats.name()]
    assert work.release_dead(CHARGES, dead) == 0
    assert work.release_dead(EVENTS, dead) == 1
    assert WebhookEvent.objects.get().state == "received"


def test_a_row_may_keep_its_state_while_it_is_worked_on() -> None:
    make_row(1, state="parked")

    [row] = work.claim(LOOKS)

    assert WebhookEvent.objects.get().state == "parked"
    assert work.claim(LOOKS) == []
    expire(row)
    [again] = work.claim(LOOKS)
    assert again.lease != row.lease
    assert again.attempts == 2
    assert work.give_back(LOOKS, again, due_at=clock.now())
    assert WebhookEvent.objects.get().state == "parked"


def test_draining_runs_everything_due_and_says_how_much() -> None:
    for number in range(45):
        make_row(number)

    run = work.drain(EVENTS, finish)

    assert run == 45
    assert WebhookEvent.objects.filter(state="processed").count() == 45


def test_what_a_handler_raises_leaves_that_row_leased_and_gives_the_others_back() -> None:
    for number in range(3):
        make_row(number, due_in=-60 + number)

    def die(row: WebhookEvent) -> None:
        raise SystemExit(row.event_id)

    with pytest.raises(SystemExit, match="evt_0"):
        work.drain(EVENTS, die)

    rows = WebhookEvent.objects.order_by("event_id").values_list("state", "attempts")
    assert list(rows) == [("processing", 1), ("received", 0), ("received", 0)]


def test_a_drain_takes_no_new_row_when_its_time_is_up() -> None:
    make_row(1)

    assert work.drain(EVENTS, lambda row: None, seconds=0) == 0

    stored = WebhookEvent.objects.get()
    assert (stored.state, stored.attempts, stored.lease) == ("received", 0, None)


def test_a_drain_takes_no_new_row_when_the_worker_is_stopping() -> None:
    make_row(1)
    pulse.stop()

    try:
        assert work.drain(EVENTS, lambda row: None) == 0
    finally:
        pulse.start_afresh()

    assert WebhookEvent.objects.get().state == "received"


def test_a_row_lost_before_it_began_is_skipped() -> None:
    make_row(1, due_in=-20)
    second = make_row(2, due_in=-10)
    run: list[str] = []

    def handle(row: WebhookEvent) -> None:
        run.append(row.event_id)
        # Somebody else takes the second row while the first is under way, and this worker was away for long.
        WebhookEvent.objects.filter(pk=second.pk).update(state="processed", lease=None)
        work.settle(row, state="processed")

    queue = work.Queue(
        name="short",
        model=WebhookEvent,
        ready=("received",),
        running="processing",
        job="-",
        lease=timedelta(microseconds=1),
    )

    assert work.drain(queue, handle) == 1
    assert run == ["evt_1"]


def test_waiting_grows_with_the_attempts_up_to_an_hour_and_is_never_the_same_for_all() -> None:
    first = {work.backoff(1) for _ in range(20)}
    late = {work.backoff(50) for _ in range(20)}

    assert all(timedelta(seconds=2.5) <= wait <= timedelta(seconds=5) for wait in first)
    assert all(timedelta(minutes=30) <= wait <= timedelta(hours=1) for wait in late)
    assert len(first) > 1


def test_only_one_wake_up_of_a_queue_waits_at_a_time(django_capture_on_commit_callbacks: Callable[..., object]) -> None:
    wakeups._asked.clear()

    assert wakeups.ask_for("test events", EVENTS.job)
    wakeups._asked.clear()
    assert not wakeups.ask_for("test events", EVENTS.job)
    wakeups.taken("test events")
    wakeups._asked.clear()
    assert wakeups.ask_for("test events", EVENTS.job)

    assert ScheduledJob.objects.filter(name="wake-up test events").count() == 1


@pytest.mark.django_db(transaction=True)
def test_workers_racing_for_one_row_run_it_once() -> None:
    make_row(1)
    claimed: list[WebhookEvent] = []

    assert at_once(*[lambda: claimed.extend(work.claim(EVENTS))] * 5) == []

    assert len(claimed) == 1
    assert WebhookEvent.objects.get().attempts == 1


@pytest.mark.django_db(transaction=True)
def test_workers_racing_over_many_rows_of_few_keys_run_each_once_and_never_two_of_a_key() -> None:
    for number in range(60):
        make_row(number, due_in=-60 + number / 10, serial_key=f"sub_{number % 7}")
    guard = threading.Lock()
    running: set[str] = set()
    ran: list[str] = []
    doubled: list[str] = []

    def handle(row: WebhookEvent) -> None:
        with guard:
            if row.serial_key in running:
                doubled.append(row.event_id)
            running.add(row.serial_key)
        with guard:
            ran.append(row.event_id)
            running.discard(row.serial_key)
        work.settle(row, state="processed")

    def until_empty() -> None:
        while WebhookEvent.objects.exclude(state="processed").exists():
            work.drain(EVENTS, handle)

    assert at_once(*[until_empty] * 4) == []

    assert doubled == []
    assert sorted(ran) == sorted(f"evt_{number}" for number in range(60))
    assert set(WebhookEvent.objects.values_list("attempts", flat=True)) == {1}
