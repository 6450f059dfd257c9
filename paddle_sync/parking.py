"""Events that wait for a decision of a person: which they are, and how they run again once it was made."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from integration_project import clock, work
from paddle_sync.models import EventAttempt, EventDecision, PlanMapping, SubscriptionSnapshot, WebhookEvent
from paddle_sync.queues import EVENTS
from paddle_sync.resolving import ABOUT_PLANS, PRICE, PRODUCT

State = WebhookEvent.State
SCHEDULE = "schedule"
LOOK_BACK = timedelta(days=1)
MARGIN = timedelta(minutes=2)
"""How long after a mapping's own time an attempt may have begun without seeing it: it stood in a transaction still
open, or the clocks of two machines differ."""
FRESH_START = {
    "state": State.RECEIVED,
    "failure_kind": WebhookEvent.FailureKind.NONE,
    "waiting_for_kind": "",
    "waiting_for_key": "",
    "waiting_for_product": "",
    "attempts": 0,
    "finished_at": None,
}


def waiting_for(kind: str, *keys: str) -> QuerySet[WebhookEvent]:
    """Parked events that wait for one of these very things; for products, those too that wait for a price of theirs."""
    waiting = Q(waiting_for_kind=kind, waiting_for_key__in=keys)
    if kind == PRODUCT:
        waiting |= Q(waiting_for_kind=PRICE, waiting_for_product__in=keys)
    return WebhookEvent.objects.filter(waiting, state=State.PARKED)


def waiting_for_mapping(mapping: PlanMapping) -> QuerySet[WebhookEvent]:
    """Parked events that this mapping may let go on: by its price, its product, or as its plans are the matter."""
    return waiting_for_mappings([mapping])


def waiting_for_mappings(mappings: Iterable[PlanMapping]) -> QuerySet[WebhookEvent]:
    """Parked events that any of these mappings may let go on."""
    decided_about = list(mappings)
    prices = {mapping.paddle_price_id for mapping in decided_about} - {""}
    products = {mapping.paddle_product_id for mapping in decided_about} - {""}
    direct = waiting_for(PRICE, *prices) | waiting_for(PRODUCT, *products)
    conflicts = WebhookEvent.objects.filter(state=State.PARKED, waiting_for_kind__in=ABOUT_PLANS)
    subscriptions = dict(conflicts.values_list("pk", "paddle_subscription_id"))
    concerned = _subscriptions_with(prices, products, set(subscriptions.values()))
    return direct | conflicts.filter(
        pk__in=[pk for pk, subscription in subscriptions.items() if subscription in concerned]
    )


def resume(parked: QuerySet[WebhookEvent], *, by: str, reason: str) -> int:
    """Run these parked events again, by one UPDATE; say how many there were."""
    with transaction.atomic():
        ids = list(parked.filter(state=State.PARKED).values_list("pk", flat=True))
        again = {**FRESH_START, "due_at": clock.now(), "replays": F("replays") + 1}
        resumed = WebhookEvent.objects.filter(pk__in=ids, state=State.PARKED).update(**again) if ids else 0
        if resumed:
            decided(ids, action="resume", by=by, reason=reason)
            work.wake_up(EVENTS)
    return resumed


def resume_subscription(subscription_id: str, *, by: str, reason: str) -> int:
    """Run a subscription's parked events again: what they waited for together is solved."""
    parked = WebhookEvent.objects.filter(paddle_subscription_id=subscription_id, event_type__startswith="subscription")
    return resume(parked, by=by, reason=reason)


def resume_overtaken() -> int:
    """Run again what was parked while the mapping it waits for was just being saved; say how many events that were."""
    if not WebhookEvent.objects.filter(
        state=State.PARKED, waiting_for_kind__in=(PRICE, PRODUCT, *ABOUT_PLANS)
    ).exists():
        return 0
    recent = PlanMapping.objects.filter(updated_at__gte=clock.now() - LOOK_BACK)
    return sum(_resume_overtaken(mapping) for mapping in recent)


def decided(ids: list[int], *, action: str, by: str, reason: str) -> None:
    """Write down who decided what about these events, and why."""
    now = clock.now()
    EventDecision.objects.bulk_create(
        [EventDecision(event_id=pk, at=now, action=action, by=by[:150], reason=reason) for pk in ids], batch_size=500
    )


def _resume_overtaken(mapping: PlanMapping) -> int:
    """An attempt that began before the mapping was to be seen may have missed it.

    Whoever runs this sees it, and so does every attempt that begins later: each event is run again once for one saving.
    """
    reason = f"mapping saved at {mapping.updated_at.isoformat(timespec='milliseconds')}: {mapping}"
    attempts = EventAttempt.objects.filter(event=OuterRef("pk")).order_by("-pk")
    tried = EventDecision.objects.filter(event=OuterRef("pk"), by=SCHEDULE, reason=reason)
    waiting = waiting_for_mapping(mapping).annotate(began=Subquery(attempts.values("started_at")[:1]))
    overtaken = waiting.filter(~Exists(tried), began__lte=mapping.updated_at + MARGIN).values_list("pk", flat=True)
    return resume(WebhookEvent.objects.filter(pk__in=list(overtaken)), by=SCHEDULE, reason=reason)


def _subscriptions_with(prices: set[str], products: set[str], subscriptions: set[str]) -> set[str]:
    """Say which of these subscriptions ever had one of these prices, or a price of one of these products."""
    snapshots = SubscriptionSnapshot.objects.filter(paddle_subscription_id__in=subscriptions)
    return {
        snapshot.paddle_subscription_id
        for snapshot in snapshots
        for item in snapshot.data.get("items", ())
        if item["price"]["id"] in prices or item["price"]["product_id"] in products
    }
