"""A subscription's story: what it was at every moment we know of, in the order it happened, without personal data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from integration_project import clock
from integration_project.errors import Permanent
from integration_project.vendors import Vendors, reading
from integration_project.vendors.paddle.entities import Subscription
from integration_project.vendors.reading import Unreadable
from paddle_sync import classic, reading_ahead
from paddle_sync.models import SubscriptionSnapshot, WebhookEvent
from paddle_sync.own_events import FOUND, WITHOUT_SNAPSHOT
from paddle_sync.reading_ahead import FRESH

FOUNDING = ("subscription.created", "subscription.imported", FOUND, classic.CREATED)
"""The events that say a subscription exists from now on."""
EXISTING = ("subscription.imported", FOUND)
"""Those that say it existed before: nobody knows its past, and its past is settled."""
READ = "read"
LONGEST_ID = 64
MOST_WAITING = 100
LARGEST_QUANTITY = 10**12
"""Of one item. Paddle's own limit is far below; beyond it the items of one plan could no longer be added up."""
CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
CODE_IN_CUSTOM_DATA = "m3ter_account_code"
"""The key of a subscription's custom data that may name the account's code, where an Administrator trusts it."""
KEPT = (
    "status",
    "currency_code",
    "customer_id",
    "address_id",
    "business_id",
    "transaction_id",
    "collection_mode",
    "created_at",
    "updated_at",
    "started_at",
    "first_billed_at",
    "next_billed_at",
    "paused_at",
    "canceled_at",
)
KEPT_OF_ITEM = ("status", "quantity", "created_at", "next_billed_at", "previously_billed_at")
KEPT_PARTS = {
    "current_billing_period": ("starts_at", "ends_at"),
    "billing_cycle": ("interval", "frequency"),
    "scheduled_change": ("action", "effective_at", "resume_at"),
    "import_meta": ("external_id", "imported_from"),
}


@dataclass(frozen=True)
class Item:
    """One recurring thing a subscription is for; its price identifies it."""

    price_id: str
    price_name: str
    product_id: str
    product_name: str
    quantity: int
    created_at: datetime | None = None

    def __str__(self) -> str:
        name = ", ".join(part for part in (self.product_name, self.price_name) if part)
        return f'"{name}" ({self.price_id})' if name else self.price_id


@dataclass(frozen=True)
class Snapshot:
    """What a subscription was at one moment."""

    event_id: str
    event_type: str
    occurred_at: datetime
    subscription: Subscription
    items: tuple[Item, ...]
    imported_id: str
    custom_code: str
    updated_at: datetime | None = None
    """Paddle's own time of its last change; tells which event a read has the content of."""
    stored: int = 0
    """Rises with the order in which we came to know the snapshots."""

    @property
    def is_founding(self) -> bool:
        """True when the subscription began with this event."""
        return self.event_type in FOUNDING

    @property
    def is_existing(self) -> bool:
        """True for a subscription that existed before this application, or this Paddle account, knew it."""
        return self.event_type in EXISTING


@dataclass(frozen=True)
class SubscriptionStory:
    """Every snapshot of one subscription, oldest first."""

    subscription_id: str
    snapshots: tuple[Snapshot, ...]
    known_to_paddle: bool | None = None
    """Whether Paddle, asked again, knew such a subscription; None while nobody asked."""
    codes_trusted: bool = False
    """Whether an account code in custom data counts; it is not even kept otherwise."""

    @classmethod
    def of(cls, event: WebhookEvent, *, codes_trusted: bool) -> "SubscriptionStory":
        """Keep what this event says of its subscription, and all that others say that wait; give the whole story."""
        _keep_event(event, codes_trusted=codes_trusted)
        _keep_waiting(event, codes_trusted=codes_trusted)
        return replace(cls.stored(event.paddle_subscription_id), codes_trusted=codes_trusted)

    @classmethod
    def stored(cls, subscription_id: str) -> "SubscriptionStory":
        """Give the story as far as it is stored."""
        rows = SubscriptionSnapshot.objects.filter(paddle_subscription_id=subscription_id)
        return cls(subscription_id, tuple(_snapshot(row) for row in rows.order_by("occurred_at", "event_id")))

    @property
    def latest(self) -> Snapshot:
        """What the subscription is now, as far as we know."""
        return self.snapshots[-1]

    @property
    def founding(self) -> Snapshot | None:
        """How the subscription began; None while that event has not arrived."""
        return next((snapshot for snapshot in self.snapshots if snapshot.is_founding), None)

    @property
    def existing(self) -> Snapshot | None:
        """How an existing subscription came to be known, where that is how it came to be known; None for any other.

        What first told of it decides for good: a later import never cuts the past of a checkout that we saw, and a
        checkout that turns up late does not bill the time before an import.
        """
        first = min((s for s in self.snapshots if s.is_founding), key=lambda s: s.stored, default=None)
        return first if first is not None and first.is_existing else None

    def is_fresh(self, event: WebhookEvent) -> bool:
        """Say whether what we know is as good as a read: first attempt, event and newest knowledge under a minute old.

        An event that does not say all of what its subscription is has to be followed by a read.
        """
        if all(snapshot.event_id != event.event_id for snapshot in self.snapshots):
            return False
        first_time = event.attempts <= 1 and event.replays == 0
        return first_time and clock.now() - min(event.occurred_at, self.latest.occurred_at) < FRESH

    def with_read(self, event: WebhookEvent, vendors: Vendors) -> "SubscriptionStory":
        """Read the subscription again and take that into the story; one that Paddle does not know adds nothing."""
        found = reading_ahead.subscription(event, vendors)
        if found is None:
            return replace(self, known_to_paddle=False)
        self._keep_read(found)
        stored = self.stored(self.subscription_id)
        return replace(stored, known_to_paddle=True, codes_trusted=self.codes_trusted)

    def _keep_read(self, raw: Mapping[str, Any]) -> None:
        """Place a read after all that was known before it: whatever we know of had happened by then."""
        data = reduced(raw, codes_trusted=self.codes_trusted)
        updated_at = reading.optional_moment(raw, "updated_at") or clock.now()
        name = f"{READ}:{updated_at.isoformat()}"
        if self._has_latest(data):
            return
        occurred_at = max(updated_at, self.latest.occurred_at) if self.snapshots else updated_at
        snapshot = SubscriptionSnapshot(
            paddle_subscription_id=self.subscription_id,
            event_id=name,
            occurred_at=occurred_at,
            event_type=READ,
            data=data,
        )
        SubscriptionSnapshot.objects.bulk_create(
            [snapshot],
            update_conflicts=True,
            unique_fields=["paddle_subscription_id", "event_id"],
            update_fields=["occurred_at", "event_type", "data"],
        )

    def _has_latest(self, data: Mapping[str, Any]) -> bool:
        """Say whether the newest snapshot that is stored says just this."""
        rows = SubscriptionSnapshot.objects.filter(paddle_subscription_id=self.subscription_id)
        newest = rows.order_by("-occurred_at", "-event_id").values_list("data", flat=True).first()
        return newest == data


def _keep_event(event: WebhookEvent, *, codes_trusted: bool) -> None:
    """Keep the snapshot that an event carries; one that does not say it all, or asks only to look again, has none."""
    is_classic = event.source == WebhookEvent.Source.PADDLE_CLASSIC
    data = classic.subscription_of(event) if is_classic else event.payload.entity()
    if data is None or event.event_type in WITHOUT_SNAPSHOT:
        return
    keep(
        event.paddle_subscription_id,
        data,
        occurred_at=event.occurred_at,
        event_id=event.event_id,
        event_type=event.event_type,
        codes_trusted=codes_trusted,
    )


def _keep_waiting(event: WebhookEvent, *, codes_trusted: bool) -> None:
    """Keep what other events of the subscription say that are stored and not worked on yet.

    So the first of a backlog brings about what all of it calls for, and no state in between is carried into m3ter. One
    that cannot be read says so when its own turn comes.
    """
    waiting = WebhookEvent.objects.filter(
        source=event.source,
        paddle_subscription_id=event.paddle_subscription_id,
        state=WebhookEvent.State.RECEIVED,
        event_type__startswith="subscription",
    ).exclude(pk=event.pk)
    for other in waiting.select_related("payload").order_by("occurred_at", "event_id")[:MOST_WAITING]:
        try:
            _keep_event(other, codes_trusted=codes_trusted)
        except (Permanent, WebhookEvent.payload.RelatedObjectDoesNotExist):
            continue


def keep(
    subscription_id: str,
    data: Mapping[str, Any],
    *,
    occurred_at: datetime,
    event_id: str,
    event_type: str,
    codes_trusted: bool,
) -> None:
    """Store a snapshot once, however often its event runs; again only where codes came to be trusted, or no longer."""
    kept = reduced(data, codes_trusted=codes_trusted)
    snapshot, is_new = SubscriptionSnapshot.objects.get_or_create(
        paddle_subscription_id=subscription_id,
        event_id=event_id,
        defaults={"occurred_at": occurred_at, "event_type": event_type, "data": kept},
    )
    if not is_new and snapshot.data.get("custom_code") != kept["custom_code"]:
        snapshot.data = kept
        snapshot.save(update_fields=["data"])


def reduced(data: Mapping[str, Any], *, codes_trusted: bool) -> dict[str, Any]:
    """The part of a subscription that decides about plans; Permanent when it cannot be read or is beyond all sense."""
    try:
        subscription = Subscription.from_paddle(data)
        reading.optional_moment(data, "updated_at")
        _short(subscription.customer_id, "customer_id")
        if not CURRENCY.fullmatch(subscription.currency_code):
            raise Unreadable("currency_code is not a currency's three letters")
        return {
            "id": reading.identifier(data),
            **{name: _plain(data, name) for name in KEPT},
            **{name: _part(data, name, fields) for name, fields in KEPT_PARTS.items()},
            "custom_code": _custom_code(data) if codes_trusted else "",
            "items": [_reduced_item(item) for item in reading.entries(data, "items")],
        }
    except Unreadable as problem:
        raise Permanent(f"Paddle's subscription could not be read: {problem}.") from None


def _reduced_item(item: Mapping[str, Any]) -> dict[str, Any]:
    price = reading.mapping(item.get("price"), "price")
    product = reading.optional_mapping(item, "product") or {}
    price_id = _short(reading.identifier(price), "a price's id")
    if not 0 <= reading.whole(item, "quantity") <= LARGEST_QUANTITY:
        raise Unreadable(f"quantity is not between 0 and {LARGEST_QUANTITY}")
    return {
        **{name: _plain(item, name) for name in KEPT_OF_ITEM},
        "price": {
            "id": price_id,
            "product_id": _short(reading.optional_text(price, "product_id") or "", "a product's id"),
            "name": (reading.optional_text(price, "name") or reading.optional_text(price, "description") or "")[:200],
            "unit_price": _part(price, "unit_price", ("amount", "currency_code")),
        },
        "product": {"name": (reading.optional_text(product, "name") or "")[:200]},
    }


def _part(data: Mapping[str, Any], name: str, fields: tuple[str, ...]) -> dict[str, Any] | None:
    part = reading.optional_mapping(data, name)
    return None if part is None else {field: _plain(part, field) for field in fields}


def _plain(data: Mapping[str, Any], name: str) -> str | int | None:
    """The text or whole number under a name that is kept as it stands."""
    value = data.get(name)
    if value is not None and not isinstance(value, str | int):
        raise Unreadable(f"{name} is neither a text nor a whole number")
    return value


def _custom_code(data: Mapping[str, Any]) -> str:
    """An account code that the checkout's custom data names, if it could be one and is nobody's e-mail address."""
    custom = data.get("custom_data")
    code = custom.get(CODE_IN_CUSTOM_DATA) if isinstance(custom, dict) else None
    usable = isinstance(code, str) and 0 < len(code) <= 80 and code == code.strip() and code.isprintable()
    return str(code) if usable and "@" not in str(code) else ""


def _short(text: str, what: str) -> str:
    if len(text) > LONGEST_ID:
        raise Unreadable(f"{what} has more than {LONGEST_ID} characters")
    return text


def _snapshot(row: SubscriptionSnapshot) -> Snapshot:
    meta = row.data.get("import_meta") or {}
    return Snapshot(
        event_id=row.event_id,
        event_type=row.event_type,
        occurred_at=row.occurred_at.astimezone(UTC),
        subscription=Subscription.from_paddle(row.data),
        items=tuple(_item(item) for item in row.data["items"]),
        imported_id=str(meta.get("external_id") or ""),
        custom_code=row.data.get("custom_code", ""),
        updated_at=reading.optional_moment(row.data, "updated_at"),
        stored=row.pk,
    )


def _item(data: Mapping[str, Any]) -> Item:
    price = data["price"]
    return Item(
        price_id=price["id"],
        price_name=price["name"],
        product_id=price["product_id"],
        product_name=data["product"]["name"],
        quantity=data["quantity"],
        created_at=reading.optional_moment(data, "created_at"),
    )
