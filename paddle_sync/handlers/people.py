"""Events of customers, addresses and businesses: one row for each subscription concerned, which then follows.

None of it believes the payload: Paddle is read as it is when the row's turn comes, so that order, repetition and delay
make no difference, and no personal data is copied from row to row.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import OuterRef, Subquery

from integration_project import clock, installation, work
from integration_project.errors import Ignored
from integration_project.vendors import Vendors
from paddle_sync import people
from paddle_sync.models import AccountLink, EventAttempt, SubscriptionSnapshot, WebhookEvent, WebhookPayload
from paddle_sync.queues import EVENTS
from paddle_sync.story import SubscriptionStory

LONGEST_EVENT_ID = 100
PARTS = {"address": "paddle_address_id", "business": "paddle_business_id"}
"""What only some of a customer's subscriptions have -> the column of their links that says so."""


def changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A customer, an address or a business began or changed: hand it on to subscriptions, or follow it for one."""
    installation.require_match(installation.current())
    if event.paddle_subscription_id:
        _follow(event, vendors)
    else:
        _hand_on(event)


# --- From the vendor's event to a row for each subscription ----------------------------------------------------------


def _hand_on(event: WebhookEvent) -> None:
    subscriptions = _concerned(event)
    if not subscriptions:
        raise Ignored("Nothing to do: no account in m3ter is linked to a subscription that this concerns.")
    with transaction.atomic():
        _store([_for_one(event, subscription_id) for subscription_id in subscriptions], event)
        work.wake_up(EVENTS)
    count = len(subscriptions)
    event.note = f"Handed on to {count} subscription{'' if count == 1 else 's'}."


def _concerned(event: WebhookEvent) -> list[str]:
    """List the customer's live subscriptions that have the thing, and those whose account is being made just now.

    An account that is made later than now, or tried again, is made from what Paddle says then.
    """
    if not event.paddle_customer_id:
        return []
    snapshots = SubscriptionSnapshot.objects.filter(paddle_subscription_id=OuterRef("paddle_subscription_id"))
    links = AccountLink.objects.filter(
        source=event.source, state=AccountLink.State.LIVE, paddle_customer_id=event.paddle_customer_id
    ).annotate(latest=Subquery(snapshots.order_by("-occurred_at", "-event_id").values("data")[:1]))
    linked = [link.paddle_subscription_id for link in links.order_by("pk") if _has(link, event)]
    others_work = WebhookEvent.objects.filter(
        source=event.source,
        state=WebhookEvent.State.PROCESSING,
        event_type__startswith="subscription.",
        paddle_customer_id=event.paddle_customer_id,
    ).exclude(lease=event.lease)  # what this worker claimed with this event, it has not begun
    being_made = others_work.order_by("pk").values_list("paddle_subscription_id", flat=True)
    return list(dict.fromkeys([*linked, *being_made]))


def _has(link: AccountLink, event: WebhookEvent) -> bool:
    """Say whether the subscription has the address or business that the event is about, or nobody knows what it has."""
    part = event.event_type.partition(".")[0]
    if part not in PARTS:
        return True
    latest = getattr(link, "latest", None)
    if latest is None:
        return getattr(link, PARTS[part]) in {"", event.subject_id}
    return bool(latest.get(f"{part}_id") == event.subject_id)


def _for_one(event: WebhookEvent, subscription_id: str) -> WebhookEvent:
    now = clock.now()
    return WebhookEvent(
        source=event.source,
        event_id=_child_id(event, subscription_id),
        event_type=event.event_type,
        occurred_at=event.occurred_at,
        received_at=now,
        due_at=now,
        paddle_subscription_id=subscription_id,
        paddle_customer_id=event.paddle_customer_id,
        subject_id=event.subject_id,
        serial_key=subscription_id,
    )


def _child_id(event: WebhookEvent, subscription_id: str) -> str:
    """The same whenever the event runs, and another one for each time that somebody has it run again."""
    suffix = f"/{subscription_id}" + (f"/{event.replays}" if event.replays else "")
    if len(event.event_id) + len(suffix) <= LONGEST_EVENT_ID:
        return event.event_id + suffix
    return hashlib.sha256((event.event_id + suffix).encode()).hexdigest()


def _store(children: Sequence[WebhookEvent], event: WebhookEvent) -> None:
    """Insert what is not there yet, each with a payload that says where it comes from and nothing of anybody."""
    WebhookEvent.objects.bulk_create(children, ignore_conflicts=True, batch_size=500)
    ids = [child.event_id for child in children]
    stored = WebhookEvent.objects.filter(source=event.source, event_id__in=ids)
    WebhookPayload.objects.bulk_create(
        [WebhookPayload(event=child, body=_body(child, event)) for child in stored],
        ignore_conflicts=True,
        batch_size=500,
    )


def _body(child: WebhookEvent, event: WebhookEvent) -> str:
    return json.dumps(
        {
            "event_id": child.event_id,
            "event_type": child.event_type,
            "handed_on_from": event.event_id,
            "data": {
                "id": child.subject_id,
                "customer_id": child.paddle_customer_id,
                "subscription_id": child.paddle_subscription_id,
            },
        }
    )


# --- For one subscription --------------------------------------------------------------------------------------------


def _follow(event: WebhookEvent, vendors: Vendors) -> None:
    subscription_id = event.paddle_subscription_id
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is None:
        raise Ignored("Nothing to do: there is no account yet, and one is made from what Paddle says then.")
    if link.state == AccountLink.State.ENDED:
        raise Ignored("Nothing to do: the subscription has ended, and its account is left as it is.")
    if _was_made_later(link, event.received_at):
        raise Ignored("Nothing to do: the account was made after this, from what Paddle said then.")
    story = SubscriptionStory.stored(subscription_id)
    subscription = story.latest.subscription if story.snapshots else vendors.paddle.get_subscription(subscription_id)
    if not people.bring_up_to_date(link, subscription, vendors):
        raise Ignored("Nothing changed: the account already says what Paddle knows of the buyer.")
    event.note = "The account says of its buyer what Paddle says now."


def _was_made_later(link: AccountLink, moment: datetime) -> bool:
    """Say whether the attempt that made the account, and read its buyer for that, began after this moment."""
    if not link.buyer_known or link.created_at <= moment:
        return False
    made_it = EventAttempt.objects.filter(
        event__paddle_subscription_id=link.paddle_subscription_id,
        started_at__lte=link.created_at,
        finished_at__gte=link.created_at,
    )
    began = made_it.order_by("started_at").values_list("started_at", flat=True).first()
    return began is not None and began > moment
