"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

from functools import partial

from integration_project import circuits, work
from integration_project.connections import open_vendors
from integration_project.events import HANDLERS
from integration_project.vendors import M3TER, PADDLE
from paddle_sync import catalogue, parking
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS

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
