"""What happens when an event comes off the queue: its handler runs, and what came of it is recorded exactly once.

Only this module turns an error into a state (the table in integration_project/errors.py). Whoever killed the process in
between left the row leased: it runs again, and its handler finds what the first attempt did.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from integration_project import clock, work
from integration_project.errors import (
    BudgetSpent,
    Ignored,
    IntegrationError,
    MappingMissing,
    NeedsConfiguration,
    OutcomeUnknown,
    Permanent,
    Temporary,
    VendorClosed,
)
from integration_project.vendors import Vendors
from integration_project.vendors.http import CallRecord
from paddle_sync import buyers_ahead
from paddle_sync.models import EventAttempt, WebhookEvent
from paddle_sync.queues import EVENTS

logger = logging.getLogger(__name__)

State = WebhookEvent.State
FailureKind = WebhookEvent.FailureKind
Handler = Callable[[WebhookEvent, Vendors], None]
Handlers = Mapping[str, Mapping[str, Handler]]
"""Source of an event -> type -> the function that does its work."""

MOST_ATTEMPTS = 42
"""With waits that grow to an hour this is about a day; an event that kills its worker each time ends here too."""
NOBODY_MAY_CALL = timedelta(seconds=60)
BUDGET_WAIT = timedelta(seconds=2)


@dataclass(frozen=True)
class Outcome:
    """Where an event goes from here, and why."""

    state: WebhookEvent.State
    note: str
    failure_kind: str = FailureKind.NONE
    due_at: datetime | None = None
    counted: bool = True
    waiting_for: tuple[str, str, str] = ("", "", "")


@dataclass
class Attempt:
    """One run of one event, as it will be written down."""

    event: WebhookEvent
    started_at: datetime
    calls: list[CallRecord] = dataclass_field(default_factory=list)


def process_event(event: WebhookEvent, *, vendors: Vendors, handlers: Handlers) -> None:
    """Run the handler of a claimed event and record the outcome; of a row lost meanwhile nothing is recorded."""
    attempt = Attempt(event, clock.now())
    try:
        with (
            vendors.listening(before=lambda operation: work.renew(EVENTS, event), after=attempt.calls.append),
            buyers_ahead.working_on(event),
        ):
            outcome = run(event, vendors, handlers)
    except work.LeaseLost as lost:
        logger.warning("Event %s: left alone, %s", event.event_id, lost)
        return
    record(attempt, outcome)


def run(event: WebhookEvent, vendors: Vendors, handlers: Handlers) -> Outcome:
    """Turn what an event's handler does, or raises, into where the event goes; nothing is written down of it here."""
    if event.attempts > MOST_ATTEMPTS:
        return _exhausted(f"Gave up after {MOST_ATTEMPTS} attempts. The last problem: {event.last_error or 'unknown'}")
    handler = handlers.get(event.source, {}).get(event.event_type)
    if handler is None:
        return Outcome(State.IGNORED, f"Stored; nothing is done for events of the type {event.event_type}.")
    event.note = ""
    try:
        handler(event, vendors)
    except IntegrationError as error:
        return judge(error, event)
    except work.LeaseLost:
        raise
    except (OperationalError, InterfaceError) as error:
        logger.warning("Event %s: the database did not do its part: %s", event.event_id, error)
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()  # the outcome is written down through one that works
        words = f"The database could not do its part just now ({type(error).__name__}); the log has the details."
        return judge(Temporary(words), event)
    except Exception as error:
        logger.exception("Event %s (%s): a fault of this application.", event.event_id, event.event_type)
        fault = f"A fault of this application ({type(error).__name__}); the log has the details. Replay it once fixed."
        return Outcome(State.FAILED, fault, FailureKind.INTERNAL)
    return Outcome(State.PROCESSED, event.note or "Done.")


def judge(error: IntegrationError, event: WebhookEvent) -> Outcome:
    """Say what becomes of an event whose handler raised this."""
    now, note = clock.now(), str(error)
    match error:
        case Ignored():
            return Outcome(State.IGNORED, note)
        case NeedsConfiguration():
            product = error.product if isinstance(error, MappingMissing) else ""
            return Outcome(State.PARKED, note, waiting_for=(error.kind[:40], error.key[:120], product))
        case Permanent():
            return Outcome(State.FAILED, note, FailureKind.PERMANENT)
        case VendorClosed():
            return Outcome(State.RECEIVED, note, due_at=now + NOBODY_MAY_CALL, counted=False)
        case BudgetSpent():
            wait = max(BUDGET_WAIT, timedelta(seconds=error.retry_after or 0))
            return Outcome(State.RECEIVED, note, due_at=now + wait, counted=False)
        case Temporary() | OutcomeUnknown() if event.attempts < MOST_ATTEMPTS:
            asked = timedelta(seconds=getattr(error, "retry_after", None) or 0)
            return Outcome(State.RECEIVED, note, due_at=now + max(work.backoff(event.attempts), asked))
        case Temporary() | OutcomeUnknown():
            return _exhausted(f"Gave up after {event.attempts} attempts. The last problem: {note}")
        case _:
            return Outcome(State.FAILED, note, FailureKind.PERMANENT)


def record(attempt: Attempt, outcome: Outcome) -> None:
    """Write state and history in one transaction, unless somebody else owns the row by now.

    An attempt that does not count, and that says what the last one said, leaves no further trace.
    """
    event, now = attempt.event, clock.now()
    is_news = outcome.counted or (bool(attempt.calls) and event.last_error != outcome.note)
    finished = outcome.state in {State.PROCESSED, State.IGNORED, State.FAILED}
    columns: dict[str, Any] = {
        "failure_kind": outcome.failure_kind,
        "note": outcome.note,
        "last_error": "" if outcome.state in {State.PROCESSED, State.IGNORED} else outcome.note,
        "waiting_for_kind": outcome.waiting_for[0],
        "waiting_for_key": outcome.waiting_for[1],
        "waiting_for_product": outcome.waiting_for[2],
        "finished_at": now if finished else None,
    }
    with transaction.atomic():
        if outcome.counted:
            ours = work.settle(event, state=outcome.state, due_at=outcome.due_at, **columns)
        else:
            ours = work.give_back(EVENTS, event, due_at=outcome.due_at or now, **columns)
        if ours and is_news:
            _append(attempt, outcome, now)
    logger.info("Event %s (%s): %s. %s", event.event_id, event.event_type, outcome.state, outcome.note)


def _append(attempt: Attempt, outcome: Outcome, now: datetime) -> None:
    EventAttempt.objects.create(
        event=attempt.event,
        number=EventAttempt.objects.filter(event=attempt.event).count() + 1,
        started_at=attempt.started_at,
        finished_at=now,
        outcome=outcome.state,
        detail=outcome.note,
        calls=[_call(call) for call in attempt.calls],
    )


def _call(call: CallRecord) -> dict[str, str | int | None]:
    return {
        "vendor": call.vendor,
        "operation": call.operation,
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "duration_ms": call.duration_ms,
        "request_id": call.request_id,
        "outcome": call.outcome,
    }


def _exhausted(note: str) -> Outcome:
    return Outcome(State.FAILED, note, FailureKind.EXHAUSTED)
