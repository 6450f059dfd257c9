"""The dry run of a replay: the same handler, against vendors that are read and not written to, and nothing is kept.

The handler runs inside a transaction that is always rolled back, so our tables stay as they are and no worker is woken.
No vendor is called while it is open: a read that is not known yet ends the run, is made outside, and the handler runs
again with it. A dry run with n reads runs the handler n + 1 times.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction

from integration_project import clock, work
from integration_project.errors import BudgetSpent, NotPossible
from integration_project.vendors import Vendors
from integration_project.vendors.rehearsal import NotRehearsable, PlannedCall, ReadNeeded, Rehearsal
from paddle_sync import intake, narrating, processing
from paddle_sync.models import CatalogueEntry, EventRehearsal, WebhookEvent
from paddle_sync.processing import Handlers, Outcome
from paddle_sync.queues import REHEARSALS

logger = logging.getLogger(__name__)

MOST_READS = 500
"""A handler that asks for more does not ask for the same each time, or walks through a list without end."""
SAMPLE = 20
"""How many of many chosen events are rehearsed."""
KEPT = timedelta(days=1)
NOBODY = "dry run"
NAMED = ("planId", "planGroupId", "counterId")
"""Fields of what we write that hold the id of something people know by name."""


@dataclass(frozen=True)
class DryRun:
    """What the replay of an event would call, what would become of the event, and both in sentences."""

    calls: tuple[PlannedCall, ...]
    state: str
    note: str
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it for a row; nothing in it is personal."""
        return {**asdict(self), "calls": [asdict(call) for call in self.calls]}


def dry_run(
    event_id: int,
    *,
    vendors: Vendors,
    rehearsal: Rehearsal,
    handlers: Handlers,
    before_read: Callable[[], object] = lambda: None,
) -> DryRun:
    """Rehearse the replay of an event; NotPossible where it could not be replayed, BudgetSpent before a read.

    After BudgetSpent the same rehearsal goes on where it was, with what it has read.
    """
    while True:
        try:
            outcome = _run(event_id, vendors, rehearsal, handlers)
        except ReadNeeded as needed:
            if rehearsal.reads >= MOST_READS:
                raise NotPossible(f"It reads more than {MOST_READS} times; a dry run goes no further.") from None
            before_read()
            needed.make()
        except NotRehearsable as unknown:
            raise LookupError(str(unknown)) from None
        else:
            calls = tuple(rehearsal.calls)
            sentences = narrating.sentences(calls, outcome.state, outcome.note, _names(calls))
            return DryRun(calls, outcome.state, outcome.note, sentences)


def _run(event_id: int, vendors: Vendors, rehearsal: Rehearsal, handlers: Handlers) -> Outcome:
    """Replay the event and run its handler, as the worker would next, and let none of it have happened."""
    rehearsal.begin()
    with transaction.atomic(durable=True):
        try:
            intake.replay(event_id, by=NOBODY, reason="")
            event = WebhookEvent.objects.get(pk=event_id)
            event.attempts, event.state = 1, WebhookEvent.State.PROCESSING
            return processing.run(event, vendors, handlers)
        finally:
            transaction.set_rollback(True)


def _names(calls: Sequence[PlannedCall]) -> dict[str, str]:
    """What people call the plans, groups and counters that these calls are about."""
    bodies = [body for call in calls for body in (call.body, call.before)]
    ids = {str(body[name]) for body in bodies for name in NAMED if body.get(name)}
    return dict(CatalogueEntry.objects.filter(vendor_id__in=ids).values_list("vendor_id", "name"))


# --- Asked for in the console -----------------------------------------------------------------------------------------


def ask(event_ids: Sequence[int], *, by: str) -> uuid.UUID:
    """Have the first of these events rehearsed by a worker; gives what the answers are found under."""
    batch, now = uuid.uuid4(), clock.now()
    rows = [
        EventRehearsal(event_id=pk, batch=batch, by=by[:150], asked_at=now, due_at=now) for pk in event_ids[:SAMPLE]
    ]
    with transaction.atomic():
        EventRehearsal.objects.bulk_create(rows)
        work.wake_up(REHEARSALS)
    return batch


def carry_out(row: EventRehearsal, *, vendors: Vendors, rehearsal: Rehearsal, handlers: Handlers) -> None:
    """Make a dry run that was asked for, and write down what came of it."""
    try:
        found = dry_run(
            row.event_id,
            vendors=vendors,
            rehearsal=rehearsal,
            handlers=handlers,
            before_read=lambda: work.renew(REHEARSALS, row),
        )
    except work.LeaseLost as lost:
        logger.warning("%s: left alone, %s", row, lost)
    except BudgetSpent as spent:
        wait = max(processing.BUDGET_WAIT, timedelta(seconds=spent.retry_after or 0))
        work.give_back(REHEARSALS, row, due_at=clock.now() + wait)
    except NotPossible as impossible:
        _finish(row, {"problem": str(impossible)})
    except Exception as error:
        logger.exception("%s: a fault of this application.", row)
        _finish(row, {"problem": f"A fault of this application ({type(error).__name__}); the log has the details."})
    else:
        _finish(row, found.to_json())


def give_up(row: EventRehearsal) -> None:
    """Leave a dry run alone that ended one worker after the other."""
    _finish(row, {"problem": "Several workers in a row were lost with it; it is not tried again."})


def _finish(row: EventRehearsal, result: Mapping[str, Any]) -> None:
    work.settle(row, state=EventRehearsal.State.DONE, result=result)


def of_batch(batch: uuid.UUID) -> Iterator[EventRehearsal]:
    """Find what was asked for together, in the order of the events."""
    yield from EventRehearsal.objects.filter(batch=batch).select_related("event").order_by("event_id")


def forget_old_ones() -> int:
    """Remove dry runs of yesterday; say how many."""
    return EventRehearsal.objects.filter(asked_at__lt=clock.now() - KEPT).delete()[0]
