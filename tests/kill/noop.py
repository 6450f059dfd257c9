"""Work for the engine alone: events whose handler notes that it ran; noop_worker.py runs it."""

import os
import time
from datetime import timedelta
from pathlib import Path

from integration_project import work
from paddle_sync.models import WebhookEvent

TRACE_VARIABLE = "NOOP_TRACE"
LEASE_VARIABLE = "NOOP_LEASE"

EVENTS = work.Queue(
    name="noop",
    model=WebhookEvent,
    ready=("received",),
    running="processing",
    job="tests.kill.noop.drain_events",
    lease=timedelta(seconds=float(os.environ.get(LEASE_VARIABLE, "30"))),
)


def drain_events() -> str:
    """Do what is due."""
    return f"{work.drain(EVENTS, handle)} events"


def handle(event: WebhookEvent) -> None:
    """Note that work on the event began, take the time its type asks for, settle it, and note that too."""
    trace(f"began {event.event_id}")
    if event.event_type.startswith("slow"):
        time.sleep(float(event.event_type.removeprefix("slow ")))
    if work.settle(event, state="processed"):
        trace(f"settled {event.event_id}")


def trace(line: str) -> None:
    """Append a line in one write, so that lines of several processes never mix."""
    path = os.environ.get(TRACE_VARIABLE)
    if path:
        with Path(path).open("ab", buffering=0) as file:
            file.write(f"{line} {os.getpid()}\n".encode())
