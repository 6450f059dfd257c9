"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

from collections.abc import Callable
from functools import partial

from integration_project import circuits, work
from integration_project.connections import open_rehearsal, open_vendors
from integration_project.errors import BudgetSpent
from integration_project.events import HANDLERS
from integration_project.vendors import M3TER, PADDLE
from paddle_sync import catalogue, parking, rehearsing
from paddle_sync.models import EventRehearsal
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS, REHEARSALS
from paddle_sync.rehearsing import DryRun

PURPOSE = "import"


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
