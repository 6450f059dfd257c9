"""Rows and queues for tests of the engine: webhook events whose handlers do nothing."""

from datetime import timedelta
from typing import Any

from integration_project import clock
from integration_project.work import Queue
from paddle_sync.models import WebhookEvent

EVENTS = Queue(
    name="test events",
    model=WebhookEvent,
    ready=("received",),
    running="processing",
    job="tests.integration_project.work_rows.nothing",
)
LOOKS = Queue(
    name="test looks",
    model=WebhookEvent,
    ready=("parked",),
    running=None,
    job="tests.integration_project.work_rows.nothing",
)
CHARGES = Queue(
    name="test charges",
    model=WebhookEvent,
    ready=("received",),
    running="processing",
    job="tests.integration_project.work_rows.nothing",
    lease=timedelta(seconds=150),
    batch=1,
    freed_early=False,
)


def nothing() -> None:
    """Do what a job with nothing to do does."""


def make_row(number: int, *, due_in: float = -60.0, **columns: Any) -> WebhookEvent:
    """Store one event that was due `due_in` seconds from now."""
    now = clock.now()
    values = {
        "source": "paddle",
        "event_id": f"evt_{number}",
        "event_type": "test.happened",
        "occurred_at": now,
        "received_at": now,
        "due_at": now + timedelta(seconds=due_in),
        **columns,
    }
    return WebhookEvent.objects.create(**values)
