"""A simulated Paddle account called over plain HTTP: no client of ours, so that the simulator is tested on its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.simulation import BusinessClock
from integration_project.vendors.wsgi import WsgiAdapter

Json = dict[str, Any]
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
URL = "http://paddle.localhost"
WEBHOOKS = "http://127.0.0.1:9/webhooks/paddle/"
CLOUD = [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}]


class StillTime:
    """Real time that only moves when told."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def pagination(self) -> Json:
        found: Json = self.body["meta"]["pagination"]
        return found

    @property
    def refusal(self) -> tuple[int, str]:
        """The status and the code of an error."""
        return self.status, self.body["error"]["code"]

    @property
    def detail(self) -> str:
        return str(self.body["error"]["detail"])

    @property
    def fields(self) -> list[str]:
        """The fields an error names."""
        return [problem["field"] for problem in self.body["error"].get("errors", [])]


@dataclass(frozen=True)
class Webhook:
    """One webhook as it arrived."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def event(self) -> Json:
        found: Json = json.loads(self.body)
        return found


class Account:
    """A simulator on still clocks, a caller with the sample key, and a receiver of its webhooks."""

    def __init__(self, *, environment: str = "sandbox", webhook_url: str | None = WEBHOOKS) -> None:
        self.time = StillTime()
        self.received: list[Webhook] = []
        self.answers: list[int] = []
        self.simulator = PaddleSimulator(
            clock=BusinessClock(START, real=self.time),
            transport_now=self.time,
            post=self._receive,
            environment=environment,
            webhook_url=webhook_url,
        )
        self.key: str | None = sample.API_KEY
        self.session = requests.Session()
        self.session.mount(URL, WsgiAdapter(self.simulator))

    def _receive(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.received.append(Webhook(url, body, dict(headers)))
        return self.answers.pop(0) if self.answers else 200

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers: Json | None = None
    ) -> Reply:
        """One request with the account's key."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}
        if body is not None or raw is not None:
            sent["Content-Type"] = "application/json"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        url = path if path.startswith("http") else URL + path
        answer = self.session.request(method, url, data=data, headers={**sent, **(headers or {})}, timeout=30)
        return Reply(answer.status_code, answer.headers, answer.json() if answer.content else None)

    def get(self, path: str) -> Reply:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Reply:
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any) -> Reply:
        return self.call("PATCH", path, body)

    def subscribe(self, **changes: Any) -> str:
        """Complete a checkout; the id of the subscription."""
        wanted: Json = {"email": "ap@harbour.example", "name": "Harriet Harbour", "items": CLOUD, **changes}
        return str(self.simulator.complete_checkout(**wanted)["subscription_id"])

    def charge(self, subscription_id: str, **changes: Any) -> Reply:
        return self.post(f"/subscriptions/{subscription_id}/charge", charge(**changes))

    def preview(self, subscription_id: str, **changes: Any) -> Reply:
        return self.post(f"/subscriptions/{subscription_id}/charge/preview", charge(**changes))

    def history(self, subscription_id: str, action: str) -> list[Json]:
        """The details of history entries with this action, oldest first."""
        entries = self.simulator.history[subscription_id]
        return [entry["detail"] for entry in entries if entry["detail"]["action"] == action]

    def event_types(self, *, since: int = 0) -> list[str]:
        return [event["event_type"] for event in self.simulator.events[since:]]

    def renew(self, *, days: int = 32) -> list[str]:
        """Let the period end and bill it; the ids of the renewal transactions."""
        self.simulator.clock_move(days=days)
        return self.simulator.run_renewals()


def price(amount: str = "12345", *, push_id: str = "bill-1", **changes: Any) -> Json:
    """A non-catalog price as we send it."""
    return {
        "name": "API calls",
        "description": f"push {push_id}",
        "tax_mode": "external",
        "unit_price": {"amount": amount, "currency_code": "EUR"},
        "quantity": {"minimum": 1, "maximum": 1},
        "custom_data": {"push_id": push_id},
        "product": {"name": "Usage", "tax_category": "saas", "custom_data": {"push_id": push_id}},
        **changes,
    }


def charge(
    amount: str = "12345",
    *,
    effective_from: str = "next_billing_period",
    push_id: str = "bill-1",
    items: list[Json] | None = None,
    **changes: Any,
) -> Json:
    """A charge of one line as we send it."""
    lines = [{"quantity": 1, "price": price(amount, push_id=push_id)}] if items is None else items
    return {"effective_from": effective_from, "items": lines, **changes}
