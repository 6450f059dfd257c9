"""How much usage came in of late, and where it is: counted over the batches, never over measurements."""

from datetime import timedelta

from django.db.models import Q, Sum

from integration_project import clock
from paddle_sync.models import UsageBatch

State = UsageBatch.State
SPAN = timedelta(days=1)
ON_THE_WAY = (State.READY, State.SENDING, State.STAGED, State.PAUSED)


def today() -> dict[str, int]:
    """Measurements of the last 24 hours, by where they are."""
    recent = UsageBatch.objects.filter(received_at__gte=clock.now() - SPAN)
    sums = recent.aggregate(
        received=Sum("items"),
        sent=Sum("items", filter=Q(state=State.SENT)),
        waiting=Sum("items", filter=Q(state__in=ON_THE_WAY)),
        held=Sum("items", filter=Q(state=State.HELD)),
        failed=Sum("items", filter=Q(state=State.FAILED)),
        dropped=Sum("failed_later"),
        late=Sum("late"),
    )
    return {name: count or 0 for name, count in sums.items()}
