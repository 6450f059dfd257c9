"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

import logging
from functools import partial

from integration_project import circuits, wakeups, work
from integration_project.connections import open_vendors
from integration_project.errors import IntegrationError
from integration_project.events import HANDLERS
from integration_project.vendors import M3TER, PADDLE
from paddle_sync import bulk, catalogue, existing, parking
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS

logger = logging.getLogger(__name__)

PURPOSE = "import"


def drain_events() -> int:
    """Work on every event that is due; say how many were run. None is begun while no vendor may be called."""
    if all(circuits.nobody_may_call(vendor) for vendor in (PADDLE, M3TER)):
        return 0
    with open_vendors(PURPOSE) as vendors:
        return work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=HANDLERS))


def refresh_catalogue() -> str:
    """Read both vendors' catalogues for the mapping pages."""
    with open_vendors(PURPOSE) as vendors:
        return str(catalogue.refresh(vendors))


def resume_overtaken() -> int:
    """Run again what was parked in the very moment its mapping was saved."""
    return parking.resume_overtaken()


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
