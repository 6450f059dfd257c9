"""The worker's settings and parts: what must be longer than what, and what the cluster is made of."""

from typing import Any

import pytest
from django.conf import settings
from django.utils.module_loading import import_string
from django_q.conf import Conf

from integration_project import pulse, queues, scheduling, ticker, worker
from integration_project.budgets import PATIENCE
from integration_project.cluster import StopSign, TaskQueue
from integration_project.vendors.http import CHARGE_DEADLINE, DEADLINE

TASK: dict[str, Any] = settings.Q_CLUSTER


def test_each_span_outlives_what_it_must_outlive() -> None:
    by_name = {queue.name: queue for queue in queues.all_queues()}
    events, bills = by_name["events"].lease.total_seconds(), by_name["bills"].lease.total_seconds()

    # An event's lease is renewed before each call, so it must outlive one wait for the budget and one call.
    assert events > PATIENCE + DEADLINE
    # A bill's lease is never renewed while its charge is under way.
    assert bills > PATIENCE + CHARGE_DEADLINE
    assert max(events, bills) < TASK["timeout"] < TASK["retry"]
    # A drain that takes its last row at the end of its time still ends before the task's timeout.
    assert 60 + bills < TASK["timeout"]
    assert scheduling.RUNNING.total_seconds() > TASK["timeout"]
    assert worker.STOP_PATIENCE > PATIENCE + CHARGE_DEADLINE + DEADLINE
    assert ticker.UNTAKEN < ticker.QUIET


def test_settings_of_the_cluster_are_those_that_were_found_to_be_safe() -> None:
    expected = {
        "orm": "default",  # rows are the queue, so no broker that could lose or double them
        "queue_limit": 1,  # a task's lock starts when it is fetched, not when it begins
        "bulk": 1,
        "timeout": 240,
        "retry": 600,
        "ack_failures": True,  # a task that fails is done: its row says what happens next
        "max_attempts": 1,
        "save_limit": -1,  # keeping every success costs three quarters of the throughput
        "poll": 0.2,
        "guard_cycle": 0.5,  # smaller ones never count the timeout down to exactly nothing
        "recycle": 500,
        "catch_up": False,
        "scheduler": False,  # one unreadable row of its table would stop all, and a row could name any function
    }

    assert {name: TASK[name] for name in expected} == expected
    assert not Conf.SCHEDULER


def test_every_queue_names_a_job_that_exists() -> None:
    names = [queue.name for queue in queues.all_queues()]

    assert len(names) == len(set(names))
    assert all(callable(import_string(queue.job)) for queue in queues.all_queues())


def test_charges_are_claimed_one_at_a_time_and_never_freed_early() -> None:
    [bills] = [queue for queue in queues.all_queues() if queue.name == "bills"]

    assert (bills.batch, bills.freed_early, bills.expired is not None) == (1, False, True)


def test_a_task_can_be_taken_while_nobody_holds_the_lock() -> None:
    tasks = TaskQueue(maxsize=1)

    tasks.put({"id": "1"})

    assert tasks.get() == {"id": "1"}
    assert tasks.empty()
    tasks.close()
    tasks.join_thread()


def test_the_stop_sign_ends_a_wait_at_once() -> None:
    rounds: list[int] = []
    sign = StopSign(lambda: rounds.append(1))
    pulse.start_afresh()

    assert not sign.wait(0.0)
    sign.set()

    try:
        assert sign.wait(3600.0)
        assert rounds == [1, 1]
    finally:
        pulse.start_afresh()


@pytest.mark.parametrize(("busy", "stuck"), [(1, False), (0, True)])
def test_the_sentinel_says_what_it_sees(busy: int, stuck: bool) -> None:
    pulse.start_afresh()

    pulse.crew(busy=busy, stuck=stuck)

    assert pulse.busy() == busy
    assert (pulse.seconds_stuck() > 0) == stuck
    pulse.start_afresh()
