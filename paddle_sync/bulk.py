"""Bulk runs: one thing done to many subscriptions or events, a few hundred at a time, by the ordinary queue of events.

    prepare   items are added, and where the kind has a preview, each gets a verdict; nothing is changed anywhere
    start     a person has seen what would happen and wants it
    feed      begins the next items: each puts one event on the queue, in one short transaction with the note of it
    settle    reads what became of an item from its event
    pause, go on, cancel    no item is begun meanwhile, or ever; what was begun goes on

Whoever is killed in between leaves an item waiting or begun, never half of it, and any number of feeders may work side
by side: an item is begun by the one whose conditional UPDATE found it waiting.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet

from integration_project import clock, pulse, wakeups
from integration_project.errors import NotPossible
from paddle_sync import intake
from paddle_sync.models import BulkItem, BulkRun, WebhookEvent

logger = logging.getLogger(__name__)

State = BulkRun.State
Outcome = BulkItem.Outcome
Kind = BulkRun.Kind
NAME = "bulk runs"
JOB = "paddle_sync.jobs.carry_on_bulk_runs"
MOST_AT_ONCE = 400
"""Items of a run that may be begun and unfinished: enough to keep every worker busy, few enough to pause soon."""
TURN = 10.0
"""Seconds after which a feeder ends, so that no run keeps other work from the worker."""
MOST_IN_A_RUN = 50_000
"""Events that are chosen at once; a request has to write them down while somebody waits."""
BATCH = 500
UNFINISHED = (State.PREPARING, State.PREVIEWED, State.RUNNING, State.PAUSED)
OPEN = (Outcome.WAITING, Outcome.BEGUN)
OUTCOMES: Mapping[str, BulkItem.Outcome] = {
    WebhookEvent.State.PROCESSED: Outcome.CHANGED,
    WebhookEvent.State.IGNORED: Outcome.UNCHANGED,
    WebhookEvent.State.PARKED: Outcome.PARKED,
    WebhookEvent.State.FAILED: Outcome.FAILED,
}
"""What an item's event says about the item; an event in any other state is still to be worked on."""
STALE = timedelta(days=1)
"""For how long what an import found may be acted upon."""
NOTHING_TO_DO = (BulkItem.Verdict.RIGHT,)
"""Verdicts whose items are done when the run begins."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: how many of its items had which outcome."""

    total: int
    counts: Mapping[str, int]

    def of(self, *outcomes: str) -> int:
        """Say how many items had one of these outcomes."""
        return sum(self.counts.get(outcome, 0) for outcome in outcomes)

    @property
    def done(self) -> int:
        """Items that are through, whatever became of them."""
        return self.total - self.of(*OPEN)

    @property
    def left_for_a_person(self) -> int:
        """Items that wait for somebody, or failed."""
        return self.of(Outcome.PARKED, Outcome.FAILED)

    def __str__(self) -> str:
        parts = [f"{self.of(outcome)} {outcome.label.lower()}" for outcome in Outcome if self.of(outcome)]
        return f"{self.done} of {self.total} done: {', '.join(parts)}" if parts else "nothing to do"


# --- Making one, and what people decide about it ----------------------------------------------------------------------


def create(kind: BulkRun.Kind, title: str, *, by: str, reason: str, params: Mapping[str, Any] | None = None) -> BulkRun:
    """Make a run without items, which somebody is to prepare."""
    return BulkRun.objects.create(
        kind=kind, title=title[:200], by=by[:150], reason=reason, params=dict(params or {}), created_at=clock.now()
    )


def add(
    run: BulkRun,
    entries: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    after: int = 0,
    notes: Mapping[str, str] | None = None,
) -> int:
    """Add items, each subject once; `after` is how many there are already. Gives how many there are then.

    `notes` say in words what would be done, by subject.
    """
    position, words = after, notes or {}
    items = []
    for subject, params in entries:
        position += 1
        note = words.get(subject, "")
        items.append(BulkItem(run=run, position=position, subject=subject, params=dict(params), note=note))
    BulkItem.objects.bulk_create(items, batch_size=BATCH, ignore_conflicts=True)
    return position


def prepared(run: BulkRun) -> None:
    """Say that a run has all its items and waits for a person's decision."""
    BulkRun.objects.filter(pk=run.pk, state=State.PREPARING).update(
        state=State.PREVIEWED, listed_at=clock.now(), lease=None, lease_until=None
    )


def replay(events: QuerySet[WebhookEvent], *, by: str, reason: str = "") -> BulkRun:
    """Make a run that replays these events, as far as they can be; it waits for a person's decision."""
    chosen = events.filter(state__in=intake.REPLAYABLE).order_by("pk")
    words = chosen.values_list("pk", "event_type", "event_id", "state")[: MOST_IN_A_RUN + 1]
    with transaction.atomic():
        run = create(Kind.REPLAY, "Replay of events", by=by, reason=reason)
        items = [
            BulkItem(run=run, position=place, subject=str(pk), event_id=pk, note=f"{kind} {event_id}, {state}")
            for place, (pk, kind, event_id, state) in enumerate(words.iterator(chunk_size=2_000), start=1)
        ]
        if not items:
            raise NotPossible("None of these events can be replayed in the state it is in.")
        if len(items) > MOST_IN_A_RUN:
            raise NotPossible(f"More than {MOST_IN_A_RUN} events are chosen. Narrow the choice; nothing was done.")
        BulkItem.objects.bulk_create(items, batch_size=BATCH)
        BulkRun.objects.filter(pk=run.pk).update(title=f"Replay of {len(items)} events")
        prepared(run)
    run.refresh_from_db()
    return run


def start(run_id: int, *, by: str, reason: str) -> None:
    """Begin a run that a person has looked at; its items with nothing to do are done at once.

    NotPossible for one that was listed long ago: its plans would begin with periods that are over by now.
    """
    run = BulkRun.objects.filter(pk=run_id, kind=Kind.IMPORT).first()
    if run is not None and run.listed_at is not None and clock.now() - run.listed_at > STALE:
        raise NotPossible(
            f"It was listed on {run.listed_at:%d %B %Y, %H:%M} UTC, and subscriptions have lived on since. Look again,"
            " then begin it."
        )
    begun = {"state": State.RUNNING, "by": by[:150], "reason": reason, "started_at": clock.now(), "note": ""}
    with transaction.atomic():
        _change(run_id, (State.PREVIEWED,), "begun", **begun)
        right = BulkItem.objects.filter(run=run_id, outcome=Outcome.WAITING, verdict__in=NOTHING_TO_DO)
        right.update(outcome=Outcome.UNCHANGED, params={})
    wake_up()


def pause(run_id: int, *, by: str, reason: str) -> None:
    """Begin no further item until somebody lets the run go on."""
    _change(run_id, (State.RUNNING,), "paused", state=State.PAUSED)


def go_on(run_id: int, *, by: str, reason: str) -> None:
    """Let a paused run go on."""
    _change(run_id, (State.PAUSED,), "continued", state=State.RUNNING)
    wake_up()


def cancel(run_id: int, *, by: str, reason: str) -> None:
    """Begin no further item, ever; those that wait are skipped, those begun go on."""
    words = f"Cancelled by {by}: {reason}" if reason.strip() else f"Cancelled by {by}."
    with transaction.atomic():
        _change(run_id, UNFINISHED, "cancelled", state=State.CANCELLED, note=words, finished_at=clock.now())
        waiting = BulkItem.objects.filter(run=run_id, outcome=Outcome.WAITING)
        waiting.update(outcome=Outcome.SKIPPED, params={})


def wake_up() -> None:
    """Have a worker carry the runs on as soon as what was decided is committed; the schedule does so anyway."""
    transaction.on_commit(lambda: wakeups.ask_for(NAME, JOB), robust=True)


def progress(run: BulkRun) -> Progress:
    """Count the run's items by what became of them."""
    counts = dict(run.items.order_by("outcome").values_list("outcome").annotate(count=Count("pk")))
    return Progress(sum(counts.values()), counts)


def _change(run_id: int, states: tuple[BulkRun.State, ...], done: str, **columns: Any) -> None:
    if not BulkRun.objects.filter(pk=run_id, state__in=states).update(**columns):
        state = BulkRun.objects.filter(pk=run_id).values_list("state", flat=True).first()
        is_now = f"It is {State(state).label.lower()} by now" if state else "There is no such run any more"
        raise NotPossible(f"{is_now}; it cannot be {done}.")


# --- Carrying them on -------------------------------------------------------------------------------------------------


def feed(*, seconds: float = TURN) -> int:
    """Begin the next items of every run that is under way, and end the runs that are through; say how many began."""
    end = time.monotonic() + seconds
    settle(begun_only=True)
    began = 0
    for run in BulkRun.objects.filter(state=State.RUNNING).order_by("pk"):
        began += _feed(run, end)
        _end_if_through(run)
    return began


def settle(*, begun_only: bool = False) -> int:
    """Take each item's outcome from its event; say how many had another one before.

    An item that was parked or failed is looked at again: its event may have run since.
    """
    followed = (Outcome.BEGUN,) if begun_only else (Outcome.BEGUN, Outcome.PARKED, Outcome.FAILED)
    changed = 0
    for state, outcome in OUTCOMES.items():
        # Never by a join: it would move the item's own condition into a sub-query, which is not looked at again when
        # another settler had the row locked.
        said = Exists(WebhookEvent.objects.filter(pk=OuterRef("event_id"), state=state))
        items = BulkItem.objects.filter(said, outcome__in=[each for each in followed if each != outcome])
        changed += items.update(outcome=outcome)
    gone = BulkItem.objects.filter(outcome=Outcome.BEGUN, event=None)
    return changed + gone.update(outcome=Outcome.FAILED, note="Its event was deleted before it was done.")


def _feed(run: BulkRun, end: float) -> int:
    room = MOST_AT_ONCE - run.items.filter(outcome=Outcome.BEGUN).count()
    if room <= 0:
        return 0
    began = 0
    for item in run.items.filter(outcome=Outcome.WAITING).order_by("position")[:room]:
        if pulse.stopping() or time.monotonic() >= end:
            wake_up()
            break
        item.run = run
        began += _begin(item)
    return began


def _begin(item: BulkItem) -> bool:
    """Put the item's event on the queue, and note which, in one transaction; False: somebody else was faster."""
    under_way = Exists(BulkRun.objects.filter(pk=OuterRef("run_id"), state=State.RUNNING))
    waiting = BulkItem.objects.filter(under_way, pk=item.pk, outcome=Outcome.WAITING)
    try:
        with transaction.atomic():
            if not waiting.update(outcome=Outcome.BEGUN):
                return False
            event_id = BEGIN[Kind(item.run.kind)](item)
            BulkItem.objects.filter(pk=item.pk).update(event_id=event_id, params={})
    except NotPossible as impossible:
        waiting.update(outcome=Outcome.SKIPPED, note=str(impossible))
        return False
    except (OperationalError, InterfaceError):  # the database's trouble is no item's fault
        raise
    except Exception as error:
        logger.exception("Bulk run %s: %s could not be begun: a fault of this application.", item.run_id, item.subject)
        fault = f"A fault of this application ({type(error).__name__}); the log has the details."
        waiting.update(outcome=Outcome.FAILED, note=fault)
        return False
    return True


def _end_if_through(run: BulkRun) -> None:
    still = BulkItem.objects.filter(run=OuterRef("pk"), outcome__in=OPEN)
    through = BulkRun.objects.filter(~Exists(still), pk=run.pk, state=State.RUNNING)
    if through.update(state=State.DONE, finished_at=clock.now()):
        logger.info("Bulk run %s (%s): %s.", run.pk, run.title, progress(run))


def _find(item: BulkItem) -> int:
    """Take in a subscription that Paddle listed."""
    params, run = item.params, item.run
    read_at = datetime.fromisoformat(params["read_at"])
    return intake.find(params["source"], params["data"], by=run.by, reason=run.reason, occurred_at=read_at).pk


def _replay(item: BulkItem) -> int:
    """Run a stored event again."""
    event_id = int(item.subject)
    intake.replay(event_id, by=item.run.by, reason=item.run.reason)
    return event_id


def _move(item: BulkItem) -> int:
    """Have a subscription's prices follow the mappings in force at a moment, and its account looked at anew."""
    run, params = item.run, item.params
    source = params.get("source", WebhookEvent.Source.PADDLE)
    moves_at = datetime.fromisoformat(params["moves_at"])
    return intake.ask_to_move(
        item.subject, params["price_ids"], moves_at, by=run.by, reason=run.reason, source=source
    ).pk


BEGIN: Mapping[BulkRun.Kind, Callable[[BulkItem], int]] = {
    Kind.IMPORT: _find,
    Kind.REPLAY: _replay,
    Kind.MOVE: _move,
}
"""What beginning an item of a kind does; each gives the number of the event it put on the queue."""


def waiting(kind: BulkRun.Kind) -> QuerySet[BulkItem]:
    """Items of runs of a kind that are to be begun, or may be."""
    return BulkItem.objects.filter(run__in=unfinished(kind), outcome=Outcome.WAITING)


def unfinished(kind: BulkRun.Kind) -> QuerySet[BulkRun]:
    """Runs of a kind that wait for somebody or are under way, the newest first."""
    return BulkRun.objects.filter(kind=kind, state__in=UNFINISHED).order_by("-pk")
