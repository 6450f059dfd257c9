"""Webhooks on their way out: built afresh at each attempt, retried on the vendor's schedule, on the transport clock."""

import http.client
import ipaddress
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends one webhook and gives the status it was answered with; 0 stands for no answer at all."""
Schedule = Callable[[int], float | None]
"""Seconds to wait after so many failed attempts; None when the vendor gives up."""
Sign = Callable[["Delivery", datetime], Mapping[str, str]]
"""The headers of one attempt, signature included."""


def is_loopback(host: str | None) -> bool:
    """True for localhost and loopback addresses, the only places a simulator ever posts to."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def post_on_loopback(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post over real HTTP, to loopback only, waiting five seconds as Paddle does."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not is_loopback(parts.hostname):
        raise ValueError("a simulator posts webhooks to loopback addresses only")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    try:
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@dataclass(frozen=True)
class Attempt:
    """One try to deliver a webhook."""

    at: datetime
    status: int


@dataclass
class Delivery:
    """One webhook to one address; `due_at` None means nothing more will be tried."""

    id: str
    url: str
    body: bytes
    due_at: datetime | None
    destination: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    delivered_at: datetime | None = None
    given_up: bool = False
    in_flight: bool = False


class Outbox:
    """All webhooks of one simulator."""

    def __init__(self, *, schedule: Schedule, sign: Sign) -> None:
        self._schedule = schedule
        self._sign = sign
        self.deliveries: list[Delivery] = []

    def add(self, delivery: Delivery) -> None:
        """Put one webhook on its way."""
        self.deliveries.append(delivery)

    def claim(self, now: datetime, *, even_if_not_due: bool = False) -> list[Delivery]:
        """The deliveries to try now, oldest first; nobody else gets them until they are settled."""
        due = [
            delivery
            for delivery in self.deliveries
            if delivery.due_at is not None and not delivery.in_flight and (even_if_not_due or delivery.due_at <= now)
        ]
        for delivery in due:
            delivery.in_flight = True
        return due

    def headers(self, delivery: Delivery, now: datetime) -> dict[str, str]:
        """The headers for an attempt made now."""
        return {"Content-Type": "application/json", **self._sign(delivery, now)}

    def settle(self, delivery: Delivery, *, status: int, now: datetime) -> None:
        """Record an attempt: delivered on 200, otherwise tried again as the schedule says, or given up."""
        delivery.in_flight = False
        delivery.attempts.append(Attempt(now, status))
        if status == 200:
            delivery.delivered_at, delivery.due_at = now, None
            return
        wait = self._schedule(len(delivery.attempts))
        delivery.due_at = None if wait is None else now + timedelta(seconds=wait)
        delivery.given_up = wait is None

    def clear(self) -> None:
        """Forget everything."""
        self.deliveries.clear()


def disordered(deliveries: list[Delivery]) -> list[Delivery]:
    """The same deliveries in another order: reversed for two, shuffled for more."""
    if len(deliveries) <= 2:
        return deliveries[::-1]
    return random.sample(deliveries, len(deliveries))
