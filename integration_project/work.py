"""Rows are the queue: the columns every piece of work carries, and the one engine that claims, runs and settles them.

    claim    due rows become leased: a fresh token, attempts + 1, at most one row of a serial key, in the queue's order
    renew    the lease goes on; LeaseLost when somebody else owns the row by now
    settle   one conditional UPDATE by id and token; nothing updated means that somebody else owns the row: discard
    drain    claim, run and settle until nothing is due or the time is up; what a django-q2 task does
    wake_up  asks for a drain after commit; carries no data, is coalesced, and may be lost: the ticker finds the rows

On PostgreSQL rows are locked with SKIP LOCKED, so workers pass each other by; SQLite ignores that, and its IMMEDIATE
transactions make the same code right. No lock and no transaction is ever held while a row is worked on.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Generic, TypeVar

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Concat, Greatest
from django.db.models.lookups import In
from django.utils.module_loading import import_string

from integration_project import clock, heartbeats, pulse, wakeups
from integration_project.work_item import WorkItem as WorkItem

logger = logging.getLogger(__name__)

WINDOW = 8
"""Candidates looked at per row wanted, so that workers who claim at the same moment find different rows."""
RACES = 5
"""A claim that lost this many races for a serial key gives up; the next one will see who won."""
TURN = 10.0
"""Seconds after which a drain asks for another one and ends, so that no backlog keeps other work from the workers."""
MOST_DEATHS = 10
"""A row that so many workers in a row were lost with is given up, where its queue says how."""
BY_AGE: tuple[str | Combinable, ...] = ("due_at",)
SHORTEST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)


Row = TypeVar("Row", bound=WorkItem)


class LeaseLost(Exception):
    """Somebody else owns the row now: stop, and write nothing about it."""


@dataclass(frozen=True)
class Queue(Generic[Row]):
    """Which rows of a table are work of one kind, and how they are claimed."""

    name: str
    model: type[Row]
    ready: tuple[str, ...]
    """States a row may be claimed in; the first is where a row goes whose lease ran out."""
    running: str | None
    """State while leased; None: rows keep their state."""
    job: str
    """Dotted path of the job that drains this queue."""
    lease: timedelta = timedelta(seconds=30)
    batch: int = 20
    expired: Callable[[QuerySet[Row]], int] | None = None
    """Moves on the rows whose lease ran out, by conditional updates; None: they are due again."""
    give_up: str = ""
    """Dotted path of what settles a row that ended MOST_DEATHS workers in a row; empty: it is run all the same."""
    order: tuple[str | Combinable, ...] = BY_AGE
    """Which due row comes first; equal ones by their keys. An index must serve it, and no value in it may be null."""
    freed_early: bool = True
    """Whether leases of a worker whose heartbeat stopped end at once. Never where work may not be repeated."""


def claim(queue: Queue[Row], *, limit: int | None = None) -> list[Row]:
    """Lease due rows in the queue's order; empty when nothing is due or others were faster."""
    wanted = min(limit or queue.batch, queue.batch)
    for _ in range(RACES):
        candidates = _candidates(queue, wanted)
        if not candidates:
            if not release_expired(queue):
                return []
            continue
        try:
            rows = _lease(queue, candidates, wanted)
        except IntegrityError:  # another worker began a row of the same serial key in between
            continue
        if rows:
            return rows
    return []


def renew(queue: Queue[Row], row: Row) -> None:
    """Extend the lease by its full length from now, or raise LeaseLost."""
    until = clock.now() + queue.lease
    if not fenced(row).update(lease_until=until):
        raise LeaseLost(f"{queue.name}: row {row.pk} belongs to another worker now.")
    row.lease_until = until


def settle(row: WorkItem, *, state: str | None = None, due_at: datetime | None = None, **columns: Any) -> bool:
    """End the claim and write the outcome in one conditional UPDATE; False: somebody else owns the row, so discard."""
    outcome = {**columns, **_UNLEASED, "due_at": due_at, "deaths": 0}
    if state is not None:
        outcome["state"] = state
    if not fenced(row).update(**outcome):
        logger.warning("%s: outcome discarded, because another worker owns the row by now.", row)
        return False
    for name, value in outcome.items():
        if not hasattr(value, "resolve_expression"):
            setattr(row, name, value)
    return True


def settle_together(rows: Sequence[WorkItem], **columns: Any) -> int:
    """End the claim of rows that were claimed together, with one outcome for all; say how many were still ours.

    `columns` may name `state` and `due_at`; without `due_at` nothing more is to be done with them.
    """
    if not rows:
        return 0
    ours = _rows(type(rows[0])).filter(pk__in=[row.pk for row in rows], lease=rows[0].lease)
    settled = ours.update(**{"due_at": None, **columns, **_UNLEASED, "deaths": 0})
    if settled < len(rows):
        logger.warning("%s of %s outcomes discarded: others own the rows by now.", len(rows) - settled, len(rows))
    return settled


def give_back(queue: Queue[Row], row: Row, *, due_at: datetime, **columns: Any) -> bool:
    """End the claim as if the attempt had never begun: the budget was spent, the vendor closed, or the time was up."""
    if not settle(row, state=_resting_state(queue), due_at=due_at, attempts=UNCOUNTED, **columns):
        return False
    row.attempts = max(row.attempts - 1, 0)
    return True


def fenced(row: Row) -> QuerySet[Row]:
    """Select the row as long as this claim owns it, for further conditional updates."""
    rows = _rows(type(row))
    # Without a lease nobody owns the row: Django would take None for "has no lease".
    return rows.none() if row.lease is None else rows.filter(pk=row.pk, lease=row.lease)


def drain(queue: Queue[Row], handle: Callable[[Row], None], *, seconds: float = TURN, limit: int | None = None) -> int:
    """Run `handle` on due rows until none is left or the turn is over; say how many were run.

    `handle` settles its row. What it raises comes out of here and leaves that row leased, as a killed process would;
    rows claimed but not begun go back at once.
    """
    end = time.monotonic() + seconds
    wakeups.taken(queue.name)
    run = 0
    while limit is None or run < limit:
        rows = claim(queue, limit=None if limit is None else limit - run)
        if not rows:
            return run
        waiting = list(rows)
        try:
            while waiting:
                if pulse.stopping():
                    return run
                if time.monotonic() >= end:
                    wakeups.ask_for(queue.name, queue.job)
                    return run
                row = waiting.pop(0)
                if _still_ours(queue, row):
                    run += 1
                    _handler(queue, row, handle)(row)
        finally:
            if waiting:
                not_begun(queue, waiting)
    return run


def release_expired(queue: Queue[Row]) -> int:
    """Move on the rows whose lease ran out; say how many."""
    return _release(queue, Q(lease_until__lte=clock.now()))


def release_dead(queue: Queue[Row], workers: Sequence[str]) -> int:
    """Free the leases of workers that are known to be dead, where work may be repeated; say how many."""
    if not workers or not queue.freed_early:
        return 0
    return _release(queue, Q(leased_by__in=workers))


def has_due(queue: Queue[Any], *, since: datetime) -> bool:
    """Say whether a row waits that was due at `since`."""
    return _due(queue, since).exists()


def wake_up(queue: Queue[Any]) -> None:
    """Ask for a drain once the transaction is committed."""
    transaction.on_commit(lambda: wakeups.ask_for(queue.name, queue.job), robust=True)


def backoff(attempts: int) -> timedelta:
    """Wait longer after every attempt, up to an hour, and never all at the same moment."""
    doublings: int = min(max(attempts - 1, 0), 20)
    return min(LONGEST_WAIT, SHORTEST_WAIT * (1 << doublings)) * random.uniform(0.5, 1.0)


_UNLEASED: dict[str, Any] = {"lease": None, "lease_until": None, "leased_by": ""}
UNCOUNTED = Greatest(F("attempts") - 1, 0)
"""One attempt less; somebody who decided about the row meanwhile may have set them back to none."""


def _rows(model: type[Row]) -> QuerySet[Row]:
    return model._default_manager.get_queryset()


def _resting_state(queue: Queue[Any]) -> str | None:
    return queue.ready[0] if queue.running else None


def _due(queue: Queue[Row], now: datetime, *, to_be_ordered: bool = False) -> QuerySet[Row]:
    """Select rows that are due and that nobody works on.

    To be put in an order of the queue's own, SQLite is shown their state as an expression: only the index of that
    order can serve it then, where it would rather sort the whole backlog for every claim. PostgreSQL chooses that index
    by itself, and would not if it could not count the states.
    """
    due = _rows(queue.model).filter(due_at__lte=now)
    if to_be_ordered and queue.order != BY_AGE and connection.vendor == "sqlite":
        due = due.filter(In(Concat("state", Value("")), queue.ready))
    else:
        due = due.filter(state__in=queue.ready)
    if queue.running is None:
        due = due.filter(Q(lease__isnull=True) | Q(lease_until__lte=now))
    return due


def _held_keys(queue: Queue[Row], keys: set[str], now: datetime) -> set[str]:
    """Say which of these serial keys belong to a row that is worked on."""
    if queue.running is None:
        working = _rows(queue.model).filter(state__in=queue.ready, lease_until__gt=now)
    else:
        working = _rows(queue.model).filter(state=queue.running)
    return set(working.filter(serial_key__in=keys - {""}).exclude(serial_key="").values_list("serial_key", flat=True))


def _candidates(queue: Queue[Row], wanted: int) -> list[Any]:
    """List ids of the first due row of each key that nobody holds, read without locks.

    Rows that another worker is just claiming still stand here, so a later row of their key is not taken for the
    first: with locks alone it would be, and two workers would then wait for each other on the unique index. Keys are
    looked up after the rows, so that a row which began in between is seen. Two plain queries, because joined they
    would read the whole backlog for every claim.
    """
    now = clock.now()
    held: set[str] = set()
    while True:
        due = _due(queue, now, to_be_ordered=True)
        due = due.exclude(serial_key__in=held) if held else due
        window = list(due.order_by(*queue.order, "pk").values_list("pk", "serial_key")[: wanted * WINDOW])
        held |= _held_keys(queue, {key for _, key in window}, now)
        first: dict[Any, Any] = {}
        for pk, key in window:
            if key not in held:
                first.setdefault(key or (pk,), pk)
        if first or len(window) < wanted * WINDOW:
            return list(first.values())


def _lease(queue: Queue[Row], candidates: list[Any], wanted: int) -> list[Row]:
    """Lock those still due, as many as wanted, and mark them as ours.

    A row that a worker was lost with comes alone: if it was the reason, nobody else shares its fate.
    """
    now = clock.now()
    leased = {"lease": uuid.uuid4(), "lease_until": now + queue.lease, "leased_by": heartbeats.name()}
    if queue.running is not None:
        leased["state"] = queue.running
    with transaction.atomic():
        due = _due(queue, now).filter(pk__in=candidates).order_by(*queue.order, "pk")
        locked = list(due.select_for_update(skip_locked=True, of=("self",))[:wanted])
        rows = list(takewhile(lambda row: not _was_lost(row), locked)) or locked[:1]
        claimed = _rows(queue.model).filter(pk__in=[row.pk for row in rows])
        lost = 1 if rows and rows[0].lease is not None else 0  # its lease ran out, and nobody has released it yet
        claimed.update(**leased, attempts=F("attempts") + 1, deaths=F("deaths") + lost)
    for row in rows:
        row.attempts += 1
        row.deaths += lost
        for name, value in leased.items():
            setattr(row, name, value)
    return rows


def _was_lost(row: WorkItem) -> bool:
    """Say whether the last worker that held the row was lost with it."""
    return row.deaths > 0 or row.lease is not None


def _release(queue: Queue[Row], which: Q) -> int:
    """Move on leased rows of the queue: by its own rule, else they are due again, later after each lost worker."""
    if queue.running is not None and queue.expired is not None:
        return queue.expired(_rows(queue.model).filter(which, state=queue.running))
    if queue.running is None:
        leased = _rows(queue.model).filter(which, state__in=queue.ready, lease__isnull=False)
    else:
        leased = _rows(queue.model).filter(which, state=queue.running)
    released = 0
    for deaths in set(leased.values_list("deaths", flat=True)):
        due_at = clock.now() + (backoff(deaths) if deaths else timedelta(0))
        state = {} if queue.running is None else {"state": queue.ready[0]}
        released += leased.filter(deaths=deaths).update(**_UNLEASED, **state, due_at=due_at, deaths=deaths + 1)
    return released


def _handler(queue: Queue[Row], row: Row, handle: Callable[[Row], None]) -> Callable[[Row], None]:
    """Give up what only ends workers; run everything else."""
    if not queue.give_up or row.deaths < MOST_DEATHS:
        return handle
    logger.error("%s: %s is given up, because %s workers in a row were lost with it.", queue.name, row, row.deaths)
    give_up: Callable[[Row], None] = import_string(queue.give_up)
    return give_up


def _still_ours(queue: Queue[Row], row: Row) -> bool:
    """Renew the lease as the row begins, unless it is so young that nobody can have taken it."""
    if row.lease_until is not None and row.lease_until - clock.now() > queue.lease * 2 / 3:
        return True
    try:
        renew(queue, row)
    except LeaseLost:
        return False
    return True


def not_begun(queue: Queue[Row], rows: Sequence[Row]) -> None:
    """Give back rows that were claimed with others and never begun."""
    back = {**_UNLEASED, "attempts": UNCOUNTED}
    if queue.running is not None:
        back["state"] = queue.ready[0]
    _rows(queue.model).filter(pk__in=[row.pk for row in rows], lease=rows[0].lease).update(**back)
