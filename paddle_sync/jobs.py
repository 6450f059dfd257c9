"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from integration_project import circuits, clock, installation, wakeups, work
from integration_project.connections import open_rehearsal, open_vendors
from integration_project.errors import BudgetSpent, IntegrationError, VendorClosed
from integration_project.events import HANDLERS, needed_of
from integration_project.vendors import M3TER, PADDLE
from paddle_sync import bulk, catalogue, destinations, drift, existing, gaps, parking, rehearsing
from paddle_sync.models import EventRehearsal, WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS, REHEARSALS
from paddle_sync.rehearsing import DryRun

logger = logging.getLogger(__name__)

PURPOSE = "import"
ROUND = timedelta(days=1)
"""How often everything is compared."""
MOST_STEPS = 300
"""Links compared, or pages of subscriptions read, in one run of the comparison; the next run goes on."""
LONGEST_RUN = 120.0
"""Seconds after which a run of the comparison stops, well before its task would be ended."""


def drain_events() -> int:
    """Work on every event that is due; say how many were run. None is begun while no vendor may be called."""
    if all(circuits.nobody_may_call(vendor) for vendor in (PADDLE, M3TER)):
        return 0
    with open_vendors(PURPOSE) as vendors:
        return work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=HANDLERS))


def drain_rehearsals() -> int:
    """Make the dry runs that people wait for; say how many were made."""
    return work.drain(REHEARSALS, _rehearse)


def _rehearse(row: EventRehearsal) -> None:
    with open_rehearsal(PURPOSE) as (vendors, rehearsal):
        rehearsing.carry_out(row, vendors=vendors, rehearsal=rehearsal, handlers=HANDLERS)


def dry_run(event_id: int, *, wait: Callable[[float], object]) -> DryRun:
    """Rehearse one event now; `wait` is called with the seconds to wait each time our share of calls is used up."""
    with open_rehearsal(PURPOSE) as (vendors, rehearsal):
        while True:
            try:
                return rehearsing.dry_run(event_id, vendors=vendors, rehearsal=rehearsal, handlers=HANDLERS)
            except BudgetSpent as spent:
                wait(spent.retry_after or 1.0)


def forget_rehearsals() -> str:
    """Forget the dry runs that nobody looks at any more."""
    return f"{rehearsing.forget_old_ones()} dry runs forgotten"


def refresh_catalogue() -> str:
    """Read both vendors' catalogues for the mapping pages."""
    with open_vendors(PURPOSE) as vendors:
        return str(catalogue.refresh(vendors))


def resume_overtaken() -> int:
    """Run again what was parked in the very moment its mapping was saved."""
    return parking.resume_overtaken()


def fetch_missed_events() -> str:
    """Fetch what Paddle lists and no webhook brought; one list that cannot be read keeps nobody from the others."""
    installation.require_match(installation.current())
    said: list[str] = []
    problems: list[IntegrationError] = []
    with open_vendors(PURPOSE) as vendors:
        for source in gaps.SOURCES:
            if not source.is_on(vendors):
                continue
            try:
                said.append(str(gaps.fetch(vendors, source, needed_of(source.source))))
            except IntegrationError as error:
                problems.append(error)
                if not isinstance(error, BudgetSpent | VendorClosed):
                    gaps.not_read(source, str(error))
    if problems:
        raise problems[0]
    return "; ".join(said)


def check_destination() -> str:
    """See whether Paddle has a destination that leads here and tells us of everything we need."""
    installation.require_match(installation.current())
    with open_vendors(PURPOSE) as vendors:
        return (
            " ".join(destinations.check(vendors, needed_of(WebhookEvent.Source.PADDLE)))
            or "Paddle tells us everything we need"
        )


def check_drift() -> str:
    """Go on with comparing Paddle, our links and m3ter; begin anew when the last round is a day old."""
    installation.require_match(installation.current())
    end = time.monotonic() + LONGEST_RUN
    with open_vendors(PURPOSE) as vendors:
        again = drift.look_again(vendors)
        if not drift.is_due(clock.now() - ROUND):
            return f"{again} looked at again; the last round is young enough"
        try:
            compared = drift.check(vendors, most_steps=MOST_STEPS, stop=lambda: time.monotonic() > end)
        except BudgetSpent as error:
            return f"goes on later: {error}"
    return str(compared)


def carry_on_bulk_runs() -> str:
    """Begin the next items of every bulk run that is under way, and prepare those that wait for it."""
    wakeups.taken(bulk.NAME)
    began = bulk.feed()
    waiting = existing.to_prepare()
    for run_id in waiting:
        with open_vendors(PURPOSE) as vendors:
            try:
                existing.prepare(run_id, vendors)
            except IntegrationError as problem:  # it stands at the run, for people to see
                logger.warning("Bulk run %s could not be prepared further: %s", run_id, problem)
    return f"{began} items begun, {len(waiting)} runs prepared"


def follow_bulk_runs() -> str:
    """See what became of what bulk runs left parked or failed."""
    return f"{bulk.settle()} items went on"
