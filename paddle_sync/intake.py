"""What puts an event on the queue: a notification that arrives, a person who replays, a thing somebody decided."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from integration_project import clock, work
from integration_project.errors import NotPossible
from paddle_sync import parking
from paddle_sync.models import PlanMove, WebhookEvent, WebhookPayload
from paddle_sync.own_events import FOUND, IMPORT, RELINK, SUBSCRIBE, SYNC
from paddle_sync.queues import EVENTS

State = WebhookEvent.State
REPLAYABLE = (State.PROCESSED, State.IGNORED, State.PARKED, State.FAILED)
IGNORABLE = (State.RECEIVED, State.PARKED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the row of an event says about it; everything else stays in its payload."""

    event_id: str
    event_type: str
    occurred_at: datetime
    notification_id: str = ""
    paddle_subscription_id: str = ""
    paddle_customer_id: str = ""
    subject_id: str = ""
    serial_key: str = ""


def receive_notification(source: str, envelope: Envelope, body: str) -> bool:
    """Store an event and its payload once, however often it comes, and wake the worker; True when it is new."""
    now = clock.now()
    event = WebhookEvent(
        source=source,
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        notification_id=envelope.notification_id,
        occurred_at=envelope.occurred_at,
        paddle_subscription_id=envelope.paddle_subscription_id,
        paddle_customer_id=envelope.paddle_customer_id,
        subject_id=envelope.subject_id,
        serial_key=envelope.serial_key,
        received_at=now,
        due_at=now,
    )
    try:
        with transaction.atomic():
            event.save(force_insert=True)
            WebhookPayload(event=event, body=body).save(force_insert=True)
    except IntegrityError:
        stored = WebhookEvent.objects.filter(source=source, event_id=envelope.event_id)
        if not stored.exists():
            raise
        if envelope.notification_id:  # of an event that was fetched before its webhook came, only this was unknown
            stored.filter(notification_id="").update(notification_id=envelope.notification_id)
        return False
    work.wake_up(EVENTS)
    return True


def ask_to_sync(
    subscription_id: str, *, by: str, reason: str, source: str = WebhookEvent.Source.PADDLE
) -> WebhookEvent:
    """Have a subscription and its account looked at anew, in Paddle and in m3ter; who asked and why is kept."""
    return _own_event(source, SYNC, {"id": subscription_id}, by=by, reason=reason)


def ask_to_move(
    subscription_id: str,
    price_ids: Iterable[str],
    moves_at: datetime,
    *,
    by: str,
    reason: str,
    source: str = WebhookEvent.Source.PADDLE,
) -> WebhookEvent:
    """Have items follow, from a moment on, the mappings in force then, and the account looked at anew."""
    with transaction.atomic():
        for price_id in price_ids:
            PlanMove.objects.get_or_create(
                paddle_subscription_id=subscription_id,
                paddle_price_id=price_id,
                moves_at=moves_at.replace(microsecond=0),
                defaults={"created_at": clock.now(), "by": by[:150], "reason": reason},
            )
        return ask_to_sync(subscription_id, by=by, reason=reason, source=source)


def find(
    source: str, data: Mapping[str, Any], *, by: str, reason: str, occurred_at: datetime | None = None
) -> WebhookEvent:
    """Take in a subscription that Paddle lists and no event told us of; `data` is the entity in Billing's shape.

    `occurred_at` is when it was listed, now unless told: what is known of later moments goes before it.
    """
    return _own_event(source, FOUND, data, by=by, reason=reason, occurred_at=occurred_at)


def ask_to_import(
    subscription_id: str, *, by: str, reason: str, source: str = WebhookEvent.Source.PADDLE
) -> WebhookEvent:
    """Have one subscription read from Paddle and taken in as one that existed before; who asked and why is kept."""
    return _own_event(source, IMPORT, {"id": subscription_id}, by=by, reason=reason)


def ask_to_relink(
    subscription_id: str, account: str, *, by: str, reason: str, source: str = WebhookEvent.Source.PADDLE
) -> WebhookEvent:
    """Have a subscription linked to the m3ter account with this code or id; who asked and why is kept."""
    return _own_event(source, RELINK, {"id": subscription_id, "account": account}, by=by, reason=reason)


def ask_to_subscribe(setting_id: str, *, by: str, reason: str) -> WebhookEvent:
    """Have a webhook destination at Paddle told of every type of event that is needed here."""
    return _own_event(WebhookEvent.Source.PADDLE, SUBSCRIBE, {"id": setting_id}, by=by, reason=reason)


def _own_event(
    source: str,
    event_type: str,
    data: Mapping[str, Any],
    *,
    by: str,
    reason: str,
    occurred_at: datetime | None = None,
) -> WebhookEvent:
    """Put an event of our own on the queue, beside the vendor's."""
    now, subject_id = clock.now(), str(data["id"])
    subscription_id = "" if event_type == SUBSCRIBE else subject_id
    event = WebhookEvent(
        source=source,
        event_id=f"own_{uuid.uuid4().hex}",
        event_type=event_type,
        occurred_at=occurred_at or now,
        received_at=now,
        due_at=now,
        paddle_subscription_id=subscription_id,
        paddle_customer_id=str(data.get("customer_id") or ""),
        subject_id=subject_id,
        serial_key=subject_id,
    )
    with transaction.atomic():
        event.save(force_insert=True)
        WebhookPayload(event=event, body=json.dumps({"data": data}, default=str)).save(force_insert=True)
        parking.decided([event.pk], action="ask", by=by, reason=reason)
        work.wake_up(EVENTS)
    return event


def replay(event_id: int, *, by: str, reason: str) -> None:
    """Run an event again by the same function as the first time; what happened before stays on record."""
    rows = WebhookEvent.objects.filter(pk=event_id, state__in=REPLAYABLE)
    again = {**parking.FRESH_START, "due_at": clock.now(), "replays": F("replays") + 1}
    with transaction.atomic():
        if not rows.update(**again):
            raise NotPossible(_why_not(event_id, "replayed", REPLAYABLE))
        parking.decided([event_id], action="replay", by=by, reason=reason)
        work.wake_up(EVENTS)


def ignore(event_id: int, *, by: str, reason: str) -> None:
    """Leave an event undone, with the reason kept."""
    if not reason.strip():
        raise NotPossible("Say why the event is ignored; the reason is kept with it.")
    now = clock.now()
    done = {
        **parking.FRESH_START,
        "state": State.IGNORED,
        "attempts": F("attempts"),
        "due_at": None,
        "finished_at": now,
        "note": f"Ignored by {by}: {reason}",
    }
    with transaction.atomic():
        if not WebhookEvent.objects.filter(pk=event_id, state__in=IGNORABLE).update(**done):
            raise NotPossible(_why_not(event_id, "ignored", IGNORABLE))
        parking.decided([event_id], action="ignore", by=by, reason=reason)


def _why_not(event_id: int, done: str, states: tuple[WebhookEvent.State, ...]) -> str:
    state = WebhookEvent.objects.filter(pk=event_id).values_list("state", flat=True).first()
    if state is None:
        return "There is no such event any more."
    words = ", ".join(str(State(allowed).label).lower() for allowed in states)
    return f"It is {State(state).label.lower()}; only an event that is {words} can be {done}."
