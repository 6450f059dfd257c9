"""What a mapping would mean for a subscription we know: which items it decides, what they get, what is missing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from typing import Any

from integration_project import clock, installation
from integration_project.errors import NotPossible, Permanent
from integration_project.models import Installation
from integration_project.vendors import reading
from integration_project.vendors.reading import Unreadable
from paddle_sync import choosing, classic, mappings
from paddle_sync.mappings import deciding, target_of
from paddle_sync.models import PlanMapping, SubscriptionSnapshot, WebhookEvent

SUBSCRIPTION = "subscription"
"""How the types of a subscription's events begin, in Billing and in Classic."""
FOUND_TYPES = ("subscription.imported", "subscription.found")
"""Subscriptions that existed before: their plans begin at go-live, or with the current billing period."""
QuantityUse = PlanMapping.QuantityUse


@dataclass(frozen=True)
class SeenItem:
    """One item that a subscription had at a moment, and since when."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    began: datetime
    decided: datetime
    """The mapping of this day decides; where there was none yet, that of the day on which its metering begins."""


@dataclass(frozen=True)
class Seen:
    """A subscription as an event, or its latest snapshot, showed it."""

    title: str
    subscription_id: str
    status: str
    items: tuple[SeenItem, ...]


@dataclass(frozen=True)
class Foreseen:
    """What would become of one item."""

    item: SeenItem
    mapping: PlanMapping | None
    by_candidate: bool


def foresee(candidate: PlanMapping, others: Iterable[PlanMapping], seen: Seen, zone: tzinfo) -> tuple[Foreseen, ...]:
    """Say which mapping would decide each item if the candidate stood beside the others. Pure."""
    beside = [mapping for mapping in others if mapping.pk != candidate.pk]
    found = []
    for item in seen.items:
        days = [moment.astimezone(zone).date() for moment in (item.decided, item.began)]
        in_force = (deciding([candidate, *beside], item.price_id, item.product_id, day) for day in days)
        chosen = next((mapping for mapping in in_force if mapping is not None), None)
        found.append(Foreseen(item, chosen, chosen is candidate))
    return tuple(found)


def conflicts(outcomes: Sequence[Foreseen]) -> tuple[tuple[Foreseen, Foreseen], ...]:
    """Pairs of items that ask for two plans of one m3ter product, which m3ter does not allow."""
    first: dict[str, tuple[Foreseen, str]] = {}
    found = []
    for each in outcomes:
        if each.mapping is None or not each.mapping.m3ter_product_id:
            continue
        target = target_of(each.mapping)
        other, its_target = first.setdefault(each.mapping.m3ter_product_id, (each, target))
        if its_target != target:
            found.append((other, each))
    return tuple(found)


def try_out(candidate: PlanMapping, about: str) -> tuple[Seen, tuple[Foreseen, ...]]:
    """Foresee what a mapping, saved or not, means for an event or a subscription; NotPossible says why it cannot."""
    row = installation.current()
    zone = installation.zone(row)
    seen = look_at(about, row)
    others = mappings.about({item.price_id for item in seen.items}, {item.product_id for item in seen.items})
    return seen, foresee(candidate, others, seen, zone)


def look_at(about: str, row: Installation) -> Seen:
    """Find what an event id or a subscription id stands for, from what is stored; no vendor is asked."""
    about = about.strip()
    event = WebhookEvent.objects.filter(event_id=about, source__startswith="paddle").select_related("payload").first()
    subscription_id = event.paddle_subscription_id if event else about
    snapshots = list(
        SubscriptionSnapshot.objects.filter(paddle_subscription_id=subscription_id).order_by("occurred_at", "event_id")
        if subscription_id
        else ()
    )
    if event is not None:
        return _of_event(event, snapshots, row)
    if not snapshots:
        raise NotPossible(f"No event and no subscription called {about!r} is stored here. Paste the id of one that is.")
    latest = snapshots[-1]
    title = f"{subscription_id} as it was at {latest.occurred_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return _seen(title, subscription_id, latest.data, snapshots, row)


def recent(candidate: PlanMapping, most: int) -> list[WebhookEvent]:
    """The newest events of subscriptions to try it with: those that wait for its price or product stand first."""
    about = WebhookEvent.objects.filter(source__startswith="paddle", event_type__startswith=SUBSCRIPTION)
    key = {"waiting_for_key": candidate.paddle_price_id} if candidate.paddle_price_id else {}
    key = key or {"waiting_for_product": candidate.paddle_product_id}
    waiting = list(about.filter(state=WebhookEvent.State.PARKED, **key).order_by("-pk")[:most])
    others = about.exclude(pk__in=[event.pk for event in waiting]).exclude(payload__isnull=True)
    return [*waiting, *others.order_by("-pk")[: most - len(waiting)]]


def sentence(outcome: Foreseen, names: choosing.Names) -> str:
    """Say what an item would get, and what becomes of its quantity."""
    mapping, item = outcome.mapping, outcome.item
    if mapping is None:
        return "Nobody has decided about it: the event would wait for a mapping."
    if mapping.target == PlanMapping.Target.NOT_METERED:
        return "Not metered: nothing happens in m3ter."
    starts = "its trial's end" if mapping.metering_starts == PlanMapping.MeteringStarts.TRIAL_END else ""
    since = f"{item.began.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    when = f"from {since}, or from {starts} where it has a trial" if starts else f"from {since}"
    return f"Gets {names.quoted(target_of(mapping))} {when}. {_quantity(mapping, item, names)}"


def _quantity(mapping: PlanMapping, item: SeenItem, names: choosing.Names) -> str:
    if mapping.quantity_use == QuantityUse.CUSTOM_FIELD:
        return f"Its quantity, {item.quantity}, is written to the custom field {mapping.quantity_field}."
    if mapping.quantity_use == QuantityUse.COUNTER:
        return f"Its quantity, {item.quantity}, is kept by the counter {names.quoted(mapping.m3ter_counter_id)}."
    return f"Its quantity, {item.quantity}, is ignored."


def _of_event(event: WebhookEvent, snapshots: Sequence[SubscriptionSnapshot], row: Installation) -> Seen:
    if not event.event_type.startswith(SUBSCRIPTION):
        raise NotPossible(
            f"{event.event_id} is a {event.event_type}, which has no items of a subscription. Choose an event whose "
            "type begins with subscription."
        )
    known = [each for each in snapshots if each.occurred_at <= event.occurred_at]
    stored = next((each.data for each in known if each.event_id == event.event_id), None)
    data = stored or _payload(event) or (known[-1].data if known else None)
    if data is None or not data.get("items"):
        raise NotPossible(f"What {event.event_id} said of its items is not kept. Paste the subscription's id instead.")
    title = f"{event.event_type} {event.event_id} of {event.paddle_subscription_id}"
    return _seen(title, event.paddle_subscription_id, data, known, row, event=event)


def _payload(event: WebhookEvent) -> Mapping[str, Any] | None:
    """What an event itself says its subscription is; None where it says nothing of its items."""
    if getattr(event, "payload", None) is None:
        return None
    try:
        is_classic = event.source == WebhookEvent.Source.PADDLE_CLASSIC
        data = classic.subscription_of(event) if is_classic else event.payload.entity()
    except (ValueError, KeyError, Permanent):
        return None
    return data if isinstance(data, Mapping) and data.get("items") else None


def _seen(
    title: str,
    subscription_id: str,
    data: Mapping[str, Any],
    known: Sequence[SubscriptionSnapshot],
    row: Installation,
    *,
    event: WebhookEvent | None = None,
) -> Seen:
    types = [each.event_type for each in known] + ([event.event_type] if event else [])
    found = any(each in FOUND_TYPES for each in types)
    try:
        beginning = _beginning(data, found=found, row=row)
        items = tuple(_item(item, known, beginning, found=found) for item in reading.entries(data, "items"))
    except Unreadable as problem:
        raise NotPossible(f"Its items could not be read: {problem}.") from None
    return Seen(title, subscription_id, str(data.get("status") or ""), items)


def _item(data: Any, known: Sequence[SubscriptionSnapshot], beginning: datetime, *, found: bool) -> SeenItem:
    price = reading.mapping(data.get("price"), "price")
    price_id = reading.identifier(price)
    product = reading.optional_mapping(data, "product") or {}
    names = (product.get("name"), price.get("name") or price.get("description"))
    came = _began(price_id, known)
    created = reading.optional_moment(data, "created_at") if found and came is None else None
    return SeenItem(
        price_id=price_id,
        product_id=reading.optional_text(price, "product_id") or "",
        name=", ".join(str(name) for name in names if name),
        quantity=reading.whole(data, "quantity"),
        began=came or beginning,
        decided=created or came or beginning,
    )


def _began(price_id: str, known: Sequence[SubscriptionSnapshot]) -> datetime | None:
    """When the item came to the subscription last; None when it was there from the beginning."""
    came = None
    for snapshot in reversed(known):
        if not any((item.get("price") or {}).get("id") == price_id for item in snapshot.data.get("items", ())):
            return came
        came = snapshot.occurred_at
    return None


def _beginning(data: Mapping[str, Any], *, found: bool, row: Installation) -> datetime:
    """When the subscription began, as far as metering goes; its past before go-live is settled."""
    moments = (reading.optional_moment(data, name) for name in ("started_at", "first_billed_at", "created_at"))
    began = next((moment for moment in moments if moment is not None), None) or clock.now()
    if not found:
        return began
    period = reading.optional_mapping(data, "current_billing_period")
    start = (reading.optional_moment(period, "starts_at") if period else None) or began
    if row.charge_from is None:
        return start
    return max(start, datetime.combine(row.charge_from, time.min, tzinfo=installation.zone(row)))
