"""What live subscriptions hold: the items of each one's latest snapshot, and which prices nobody has decided yet."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Subquery

from paddle_sync.models import AccountLink, CatalogueEntry, PlanMapping, SubscriptionSnapshot, WebhookEvent
from paddle_sync.resolving import PRICE

CANCELED = "canceled"
ONCE = "once"
"""How the catalogue says that a price does not recur, so that no subscription holds it."""


@dataclass(frozen=True)
class HeldItem:
    """One item that a live subscription has now."""

    link_id: int
    subscription_id: str
    price_id: str
    product_id: str


@dataclass
class Undecided:
    """A price that no mapping says anything about: how much waits for somebody to decide."""

    price_id: str
    product_id: str = ""
    events: int = 0
    since: datetime | None = None
    subscriptions: set[str] = field(default_factory=set)


def live_items() -> Iterator[HeldItem]:
    """Give every item of every live link, by one query."""
    snapshots = SubscriptionSnapshot.objects.filter(paddle_subscription_id=OuterRef("paddle_subscription_id"))
    latest = snapshots.order_by("-occurred_at", "-event_id").values("data__items")[:1]
    links = AccountLink.objects.filter(state=AccountLink.State.LIVE).exclude(paddle_status=CANCELED)
    for link_id, subscription_id, items in links.annotate(items=Subquery(latest)).values_list(
        "pk", "paddle_subscription_id", "items"
    ):
        for price_id, product_id in _prices(items):
            yield HeldItem(link_id, subscription_id, price_id, product_id)


def undecided(most: int) -> tuple[list[Undecided], int]:
    """The prices that nobody decided, those that most waits for first; and how many there are beyond these.

    What events wait for, what live subscriptions have, and what Paddle sells: a fixed number of queries, whatever the
    number of each.
    """
    found: dict[str, Undecided] = {}
    for row in _waiting():
        entry = found.setdefault(row["waiting_for_key"], Undecided(row["waiting_for_key"]))
        entry.product_id = entry.product_id or row["waiting_for_product"]
        entry.events += row["events"]
        entry.since = min(entry.since or row["since"], row["since"])
    for price_id, subscription_id in _waiting_subscriptions():
        found.setdefault(price_id, Undecided(price_id)).subscriptions.add(subscription_id)
    prices, products = _mapped()
    for item in live_items():
        if item.price_id in found or not (item.price_id in prices or item.product_id in products):
            entry = found.setdefault(item.price_id, Undecided(item.price_id))
            entry.product_id = entry.product_id or item.product_id
            entry.subscriptions.add(item.subscription_id)
    pressing = sorted(found.values(), key=lambda each: (-each.events, -len(each.subscriptions), each.price_id))
    sold = _sold_and_unmapped().exclude(vendor_id__in=list(found))
    room = max(0, most - len(pressing))
    idle = [Undecided(entry.vendor_id, entry.parent_id) for entry in sold.order_by("name", "pk")[:room]]
    shown = [*pressing[:most], *idle]
    return shown, len(pressing) + sold.count() - len(shown)


def _waiting() -> Iterable[dict[str, Any]]:
    parked = WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, waiting_for_kind=PRICE)
    counted = parked.values("waiting_for_key", "waiting_for_product").order_by()
    return [{**row} for row in counted.annotate(events=Count("pk"), since=Min("received_at"))]


def _waiting_subscriptions() -> "QuerySet[WebhookEvent, tuple[str, str]]":
    parked = WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, waiting_for_kind=PRICE)
    of_subscriptions = parked.exclude(paddle_subscription_id="").order_by()
    return of_subscriptions.values_list("waiting_for_key", "paddle_subscription_id").distinct()


def _mapped() -> tuple[set[str], set[str]]:
    """Every price and every product that some mapping decides."""
    decided: dict[int, set[str]] = defaultdict(set)
    for row in PlanMapping.objects.values_list("paddle_price_id", "paddle_product_id"):
        for place, vendor_id in enumerate(row):
            decided[place].add(vendor_id)
    return decided[0] - {""}, decided[1] - {""}


def _sold_and_unmapped() -> QuerySet[CatalogueEntry]:
    """Recurring prices that Paddle sells and that neither they nor their product are mapped."""
    by_price = PlanMapping.objects.filter(paddle_price_id=OuterRef("vendor_id"))
    by_product = PlanMapping.objects.filter(paddle_product_id=OuterRef("parent_id")).exclude(paddle_product_id="")
    prices = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.PADDLE_PRICE, active=True).exclude(interval=ONCE)
    return prices.filter(~Q(Exists(by_price)) & ~Q(Exists(by_product)))


def _prices(items: Any) -> Iterator[tuple[str, str]]:
    """Price and product of each item of a snapshot; nothing where there is none."""
    for item in items or ():
        price = item.get("price") or {}
        if price.get("id"):
            yield price["id"], price.get("product_id") or ""
