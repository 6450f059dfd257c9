"""Events that cannot go on just now: they wait without spending calls, without a trace each time, and long enough."""

import datetime as dt
from collections.abc import Callable
from functools import partial

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from integration_project import clock, work
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import EventAttempt, WebhookEvent
from paddle_sync.processing import MOST_ATTEMPTS, process_event
from paddle_sync.queues import EVENTS
from tests.builders import make_event, make_mapping, notification, post_notification, stamp, subscription
from tests.paddle_sync.seen import operations
from tests.paddle_sync.test_faults import due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


@pytest.mark.parametrize(
    ("age", "reads"),
    [
        (dt.timedelta(), ["list customers", "get customer"]),
        (dt.timedelta(hours=1), ["list subscriptions", "list customers", "get customer"]),
    ],
    ids=["fresh", "old"],
)
def test_while_m3ter_refuses_the_key_waiting_events_cost_paddle_nothing(
    client: Client, paddle: PaddleSimulator, m3ter: M3terSimulator, run_jobs: Run, age: dt.timedelta, reads: list[str]
) -> None:
    make_mapping()
    m3ter.refuse_key()
    for _ in range(3):
        envelope = notification("subscription.created", subscription(), occurred_at=stamp(clock.now() - age))
        post_notification(client, envelope)
    run_jobs()
    first = list(operations(paddle))

    for _ in range(5):
        due_again()
        run_jobs()

    assert operations(paddle) == first == reads
    assert set(WebhookEvent.objects.values_list("state", "attempts")) == {("received", 0)}
    assert "m3ter refuses our key" in all_notes()


def test_an_event_that_needs_no_account_goes_on_while_m3ter_refuses_the_key(
    client: Client, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping()
    m3ter.refuse_key()
    post_notification(client, notification("subscription.created", subscription()))
    run_jobs()
    WebhookEvent.objects.all().delete()
    old = clock.now() - dt.timedelta(hours=1)

    make_event("subscription.updated", subscription(), occurred_at=old)
    run_jobs()

    event = WebhookEvent.objects.get()
    assert (event.state, "a finding was opened: subscription not linked" in event.note.lower()) == ("processed", True)


def test_what_repeats_without_being_counted_is_written_down_once(vendors: Vendors, m3ter: M3terSimulator) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        vendors.m3ter.get_organization_config()

    make_event("x.y", {"id": "1"})
    m3ter.refuse_key()
    for _ in range(3):
        due_again()
        work.drain(EVENTS, partial(process_event, vendors=vendors, handlers={"paddle": {"x.y": handler}}))

    event = WebhookEvent.objects.get()
    assert (event.state, event.attempts, EventAttempt.objects.count()) == ("received", 0, 1)


@pytest.mark.parametrize("problem", [OperationalError("deadlock detected"), InterfaceError("connection closed")])
def test_what_the_database_could_not_do_just_now_is_tried_again(vendors: Vendors, problem: Exception) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        if event.attempts == 1:
            raise problem
        event.note = "Done at last."

    make_event("x.y", {"id": "1"})
    drain = partial(process_event, vendors=vendors, handlers={"paddle": {"x.y": handler}})
    work.drain(EVENTS, drain)
    waiting = WebhookEvent.objects.get()
    due_again()
    work.drain(EVENTS, drain)

    event = WebhookEvent.objects.get()
    assert (waiting.state, waiting.failure_kind, waiting.attempts) == ("received", "", 1)
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now() - dt.timedelta(seconds=1)
    assert "database" in waiting.note
    assert "deadlock" not in waiting.note
    assert (event.state, event.note) == ("processed", "Done at last.")


def test_a_database_that_never_can_exhausts_an_event_like_a_vendor(vendors: Vendors) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        raise OperationalError

    make_event("x.y", {"id": "1"}, attempts=MOST_ATTEMPTS - 1)
    work.drain(EVENTS, partial(process_event, vendors=vendors, handlers={"paddle": {"x.y": handler}}))

    event = WebhookEvent.objects.get()
    assert (event.state, event.failure_kind) == ("failed", "exhausted")


def test_events_are_tried_for_a_whole_day() -> None:
    longest = [min(work.LONGEST_WAIT, work.SHORTEST_WAIT * 2**number) for number in range(MOST_ATTEMPTS - 1)]

    assert dt.timedelta(days=1) < sum(longest, dt.timedelta()) * 0.75 < dt.timedelta(days=2)


def all_notes() -> str:
    return " ".join(WebhookEvent.objects.values_list("note", flat=True))
