"""What follows when an operator has decided about a price or product."""

from paddle_sync import parking
from paddle_sync.models import PlanMapping


def saved(mapping: PlanMapping, *, by: str) -> int:
    """Run again what waits for this mapping's price or product; say how many events that are."""
    return parking.resume(parking.waiting_for_mapping(mapping), by=by, reason=f"mapping saved: {mapping}")
