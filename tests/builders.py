"""Makes the things tests begin with. Everything has a default; a test names only what it is about."""

import datetime as dt
import itertools
import json
from collections.abc import Mapping
from typing import Any

from django.test import Client

from integration_project import clock
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle import signature
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink, PlanMapping, WebhookEvent, WebhookPayload

LONG_AGO = dt.date(2020, 1, 1)
_numbers = itertools.count(1)


def paddle_id(prefix: str, number: int | None = None) -> str:
    """An id as Paddle makes them: prefix, underscore, 26 characters."""
    return f"{prefix}_{next(_numbers) if number is None else number:026d}"


def stamp(moment: dt.datetime) -> str:
    """A moment as Paddle writes it."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def notification(event_type: str, data: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """An envelope as Paddle sends it, of something that happened just now unless told."""
    envelope = {
        "event_id": paddle_id("evt"),
        "event_type": event_type,
        "occurred_at": stamp(clock.now()),
        "notification_id": paddle_id("ntf"),
        "data": dict(data),
    }
    return {**envelope, **changes}


def signed(body: bytes, *, secret: str = paddle_sample.WEBHOOK_SECRET, at: dt.datetime | None = None) -> dict[str, str]:
    """The header of a body signed now."""
    return {"Paddle-Signature": signature.sign(body, secret, at or clock.now())}


def post_raw(client: Client, body: bytes, headers: Mapping[str, str] | None = None) -> Any:
    """Post bytes to Paddle's address, signed unless headers are given."""
    given = dict(signed(body)) if headers is None else dict(headers)
    return client.post("/webhooks/paddle/", data=body, content_type="application/json", headers=given)


def post_notification(client: Client, envelope: Mapping[str, Any]) -> Any:
    """Post an envelope to Paddle's address, signed."""
    return post_raw(client, json.dumps(envelope).encode())


def subscription_item(price_id: str, product_id: str, **changes: Any) -> dict[str, Any]:
    """An item of a subscription as a notification carries it."""
    now = stamp(clock.now())
    item = {
        "status": "active",
        "quantity": 1,
        "recurring": True,
        "created_at": now,
        "updated_at": now,
        "previously_billed_at": now,
        "next_billed_at": stamp(clock.now() + dt.timedelta(days=30)),
        "trial_dates": None,
        "price": {
            "id": price_id,
            "product_id": product_id,
            "name": f"Price {price_id[-4:]}",
            "description": "monthly",
            "unit_price": {"amount": "4900", "currency_code": "EUR"},
        },
        "product": {"id": product_id, "name": f"Product {product_id[-4:]}"},
    }
    return {**item, **changes}


def subscription(subscription_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """A subscription as a notification carries it; one month, one item of the sample's cloud price."""
    start = clock.now().replace(microsecond=0)
    period = {"starts_at": stamp(start), "ends_at": stamp(start + dt.timedelta(days=30))}
    data = {
        "id": subscription_id or paddle_id("sub"),
        "status": "active",
        "customer_id": paddle_id("ctm"),
        "address_id": paddle_id("add"),
        "business_id": None,
        "currency_code": "EUR",
        "collection_mode": "automatic",
        "created_at": stamp(start),
        "updated_at": stamp(start),
        "started_at": stamp(start),
        "first_billed_at": stamp(start),
        "next_billed_at": period["ends_at"],
        "paused_at": None,
        "canceled_at": None,
        "scheduled_change": None,
        "current_billing_period": period,
        "billing_cycle": {"interval": "month", "frequency": 1},
        "custom_data": None,
        "import_meta": None,
        "items": [subscription_item(paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRODUCT_CLOUD)],
    }
    return {**data, **changes}


def make_event(event_type: str, data: Mapping[str, Any], **changes: Any) -> WebhookEvent:
    """A stored event of Paddle, received and due."""
    envelope = notification(event_type, data)
    now = clock.now()
    subscription_id = data["id"] if event_type.startswith("subscription.") else data.get("subscription_id") or ""
    columns: dict[str, Any] = {
        "source": WebhookEvent.Source.PADDLE,
        "event_id": envelope["event_id"],
        "event_type": event_type,
        "notification_id": envelope["notification_id"],
        "occurred_at": now,
        "received_at": now,
        "due_at": now,
        "paddle_subscription_id": subscription_id,
        "paddle_customer_id": data.get("customer_id") or "",
        "subject_id": data.get("id") or "",
        "serial_key": subscription_id,
    }
    event = WebhookEvent.objects.create(**{**columns, **changes})
    WebhookPayload.objects.create(event=event, body=json.dumps(envelope))
    return event


def make_mapping(
    price_id: str = paddle_sample.PRICE_CLOUD_EUR,
    *,
    product: str = "",
    plan: str = m3ter_sample.PLAN_SCALE,
    m3ter_product: str = m3ter_sample.PRODUCT_CLOUD,
    **changes: Any,
) -> PlanMapping:
    """A decision about a price, or with `product` about a product, that holds since long ago."""
    values: dict[str, Any] = {
        "paddle_price_id": "" if product else price_id,
        "paddle_product_id": product,
        "effective_from": LONG_AGO,
        "target": PlanMapping.Target.PLAN,
        "m3ter_plan_id": plan,
        "m3ter_product_id": m3ter_product,
    }
    return PlanMapping.objects.create(**{**values, **changes})


def make_link(subscription_id: str | None = None, **changes: Any) -> AccountLink:
    """A live link of a subscription to an account with its id as code."""
    subscription_id = subscription_id or paddle_id("sub")
    now = clock.now()
    values: dict[str, Any] = {
        "paddle_subscription_id": subscription_id,
        "paddle_customer_id": paddle_id("ctm"),
        "m3ter_account_id": f"account-of-{subscription_id}",
        "m3ter_account_code": subscription_id,
        "name": "Harbour Tools",
        "currency": "EUR",
        "paddle_status": "active",
        "next_billed_at": now + dt.timedelta(days=10),
        "created_at": now,
        "updated_at": now,
    }
    return AccountLink.objects.create(**{**values, **changes})
