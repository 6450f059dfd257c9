"""Items that a person had follow a later mapping: old subscriptions keep their plan unless somebody moves them."""

from datetime import datetime

from paddle_sync.models import PlanMove


def moves_of(subscription_id: str) -> dict[str, list[datetime]]:
    """From which moments on the items of a subscription follow the mapping in force then, by price."""
    moves: dict[str, list[datetime]] = {}
    for price_id, moment in (
        PlanMove.objects.filter(paddle_subscription_id=subscription_id)
        .order_by("moves_at")
        .values_list("paddle_price_id", "moves_at")
    ):
        moves.setdefault(price_id, []).append(moment)
    return moves
