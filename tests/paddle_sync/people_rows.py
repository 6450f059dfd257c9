"""Buyers as the tests of this app change them: in the simulated Paddle, by its own API."""

import json
from collections.abc import Mapping
from typing import Any

import requests

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.models import EventAttempt, WebhookEvent
from tests.paddle_sync.seen import CLOUD

Row = dict[str, Any]
BUYER: Row = {
    "email": "ap@harbour.example",
    "name": "Anna Person",
    "items": [CLOUD],
    "country": "IE",
    "address": {"first_line": "4 Quay Street", "city": "Cork", "postal_code": "T12 X000"},
}
HARBOUR = {"name": "Harbour Tools Ltd"}
FOLLOWED = "The account says of its buyer what Paddle says now."
NOTHING_CHANGED = "Nothing changed: the account already says what Paddle knows of the buyer."
NOT_CONCERNED = "Nothing to do: no account in m3ter is linked to a subscription that this concerns."


def last(event_type: str) -> WebhookEvent:
    """The newest event of Paddle's of a type."""
    events = WebhookEvent.objects.filter(event_type=event_type, event_id__startswith="evt_")
    return events.exclude(event_id__contains="/").order_by("-pk")[0]


def edit(paddle: PaddleSimulator, method: str, path: str, **fields: Any) -> Row:
    """Change something in Paddle, which tells everybody."""
    session = requests.Session()
    session.mount("http://", WsgiAdapter(paddle))
    headers = {"Authorization": f"Bearer {sample.API_KEY}"}
    response = session.request(method, f"http://paddle.localhost{path}", json=fields, headers=headers)
    assert response.ok, response.text
    data: Row = response.json()["data"]
    return data


def rename(paddle: PaddleSimulator, bought: Mapping[str, Any], name: str | None) -> None:
    edit(paddle, "PATCH", f"/customers/{bought['customer_id']}", name=name)


def account_of(m3ter: M3terSimulator, bought: Mapping[str, Any]) -> Row:
    (account,) = [row for row in m3ter.memory.accounts if row["code"] == bought["subscription_id"]]
    return dict(account)


def says(account: Mapping[str, Any]) -> tuple[str, str, Row]:
    """What an account says of its buyer."""
    return account["name"], account["emailAddress"], dict(account.get("address") or {})


def told_of(event_id: str) -> list[tuple[str, str]]:
    """State and note of the rows that an event was handed on to."""
    rows = WebhookEvent.objects.filter(event_id__startswith=f"{event_id}/").order_by("pk")
    return list(rows.values_list("state", "note"))


def written_down() -> str:
    """Everything that was written down about events, their payloads as they came excepted."""
    events = list(WebhookEvent.objects.values())
    attempts = list(EventAttempt.objects.values())
    return json.dumps([events, attempts], default=str)


def all_changed(paddle: PaddleSimulator, bought: Row) -> list[Row]:
    """Everything about a buyer changes, some of it twice; the events of it, not delivered yet."""
    before = len(paddle.events)
    customer = f"/customers/{bought['customer_id']}"
    rename(paddle, bought, "Anna Other")
    edit(paddle, "PATCH", customer, email="first@harbour.example")
    edit(paddle, "PATCH", f"{customer}/addresses/{bought['address_id']}", first_line="5 Pier Road", city=None)
    edit(paddle, "PATCH", f"{customer}/businesses/{bought['business_id']}", name="Harbour Works")
    edit(paddle, "PATCH", customer, email="second@harbour.example")
    return [dict(event) for event in paddle.events[before:]]
