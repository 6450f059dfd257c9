"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

from datetime import datetime
from functools import partial

from integration_project import circuits, work
from integration_project.connections import open_vendors
from integration_project.events import HANDLERS
from integration_project.vendors import M3TER, PADDLE
from paddle_sync import catalogue, moving, parking
from paddle_sync.models import PlanMapping
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


def move_subscriptions(mapping_id: int, moves_at: str, by: str, reason: str) -> str:
    """Move what a mapping's page showed; begun again after a kill it goes on with those that are left."""
    mapping = PlanMapping.objects.filter(pk=mapping_id).first()
    if mapping is None:
        return "The mapping is gone; nothing was moved."
    moves = moving.moves_of(mapping, datetime.fromisoformat(moves_at) if moves_at else None)
    return f"{moving.move_all(moves, by=by, reason=reason)} items moved to {mapping}."


def resume_overtaken() -> int:
    """Run again what was parked in the very moment its mapping was saved."""
    return parking.resume_overtaken()
