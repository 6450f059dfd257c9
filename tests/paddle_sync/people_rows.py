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
