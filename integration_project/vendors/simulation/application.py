"""The WSGI application a simulator is: routes, refusals, faults, a log of calls and the control interface."""

import inspect
import json
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar
from wsgiref.types import StartResponse, WSGIEnvironment

from integration_project.vendors.simulation import faults as kinds
from integration_project.vendors.simulation.clocks import BusinessClock, parse_time, real_now, rfc3339
from integration_project.vendors.simulation.control_page import control_page
from integration_project.vendors.simulation.faults import Fault, Faults
from integration_project.vendors.simulation.outbox import Delivery, Outbox, Post, disordered, post_on_loopback
from integration_project.vendors.simulation.wire import Answer, AnswerLost, Refusal, Request

Handler = Callable[[Request], Answer]
Method = TypeVar("Method", bound=Callable[..., Any])
CONTROL_PREFIX = "/_control/"


class ControlError(ValueError):
    """A control was asked for something that makes no sense; its words go back to the caller with 400."""


def control(method: Method) -> Method:
    """Mark a method as reachable by POST /_control/<name> with a JSON body of keyword arguments."""
    method.__dict__["is_control"] = True
    return method


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


@dataclass(frozen=True)
class Route:
    """One operation of the vendor's API."""

    method: str
    template: str
    operation: str
    handler: Handler
    permission: str | None = None

    def match(self, path: str) -> dict[str, str] | None:
        """The path's parameters, or None when the path is another one."""
        found = _pattern(self.template).fullmatch(path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True)
class Call:
    """One request as the vendor saw it; no status means that the answer was lost."""

    method: str
    path: str
    operation: str | None
    status: int | None
    query: str
    body: bytes
    at: datetime


class Simulator(ABC):
    """A vendor in memory, thread-safe by one lock. Subclasses give it routes, guards, refusals and controls."""

    vendor: ClassVar[str] = "vendor"
    own_fault_kinds: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        clock: BusinessClock | None = None,
        transport_now: Callable[[], datetime] = real_now,
        post: Post = post_on_loopback,
    ) -> None:
        self.clock = clock or BusinessClock()
        self.transport_now = transport_now
        self.post = post
        self.lock = threading.RLock()
        self.faults = Faults()
        self.calls: list[Call] = []
        self.outbox = self.make_outbox()
        self.routes: tuple[Route, ...] = tuple(self.make_routes())

    # What a vendor's simulator supplies.

    @abstractmethod
    def make_routes(self) -> Sequence[Route]:
        """The vendor's operations."""

    @abstractmethod
    def make_outbox(self) -> Outbox:
        """Where webhooks wait, with the vendor's retry schedule and signature."""

    @abstractmethod
    def guard(self, request: Request, route: Route) -> None:
        """Raise a Refusal unless this caller may do this now: key, permission, rate."""

    @abstractmethod
    def error(self, status: int, *, retry_after: int | None = None) -> Answer:
        """The vendor's own error answer for a status: 404, 405, 429 and 5xx are asked for."""

    @abstractmethod
    def unreadable(self, request: Request) -> Answer:
        """The vendor's answer to a body that is not JSON."""

    def read(self, request: Request) -> None:
        """Read the body, so that one that is not JSON is refused before any handler; ValueError when it is not."""
        request.json  # noqa: B018 - parsed and kept by reading it

    @abstractmethod
    def forget(self) -> None:
        """Empty the vendor's memory and put the sample catalogue back; called with the lock held."""

    @abstractmethod
    def contents(self) -> dict[str, Any]:
        """Everything the vendor remembers, for GET /_control/state."""

    # WSGI.

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request.from_environ(environ, at=self.clock.now(), transport_at=self.transport_now())
        if request.path.startswith(CONTROL_PREFIX):
            return self._send(self._controlled(request), start_response)
        route, request = self._routed(request)
        operation = route.operation if route else None
        fault = self._fault_for(operation)
        try:
            answer, body = self._answered(request, route, fault)
        except AnswerLost:
            self._log(request, operation, None)
            raise
        self._log(request, operation, answer.status)
        return self._send(answer, start_response, body=body, fault=fault)

    def _routed(self, request: Request) -> tuple[Route | None, Request]:
        for route in self.routes:
            if route.method == request.method:
                found = route.match(request.path)
                if found is not None:
                    return route, replace(request, path_params=found)
        return None, request

    def _fault_for(self, operation: str | None) -> Fault | None:
        if operation is None:
            return None
        with self.lock:
            return self.faults.take(operation, kinds.BEFORE | kinds.AFTER | kinds.SLOW)

    def _answered(self, request: Request, route: Route | None, fault: Fault | None) -> tuple[Answer, bytes]:
        too_late = fault is not None and fault.kind == "slow" and self._be_slow(request, fault)
        if fault is not None and fault.kind in kinds.BEFORE:
            answer = self._instead(request, fault)
            return answer, answer.encoded()
        with self.lock:
            answer = self._handled(request, route)
            body = answer.encoded()
        if too_late or (fault is not None and fault.kind == "lose_answer"):
            raise AnswerLost(f"the answer to {request.method} {request.path} is lost")
        if fault is not None and fault.kind == "error_after":
            answer = self.error(int(fault.params.get("status", 500)))
            body = answer.encoded()
        return answer, body

    @staticmethod
    def _be_slow(request: Request, fault: Fault) -> bool:
        """Wait; or, mounted under a client that says how long it waits, tell at once whether it gave up by then."""
        seconds = fault.seconds(1)
        if request.client_deadline is None:
            time.sleep(seconds)
            return False
        return seconds >= request.client_deadline

    def _instead(self, request: Request, fault: Fault) -> Answer:
        if fault.kind == "html":
            status = int(fault.params.get("status", 502))
            return Answer(status, kinds.HTML_PAGE, {"Content-Type": "text/html"})
        if fault.kind == "redirect":
            location = str(fault.params.get("location", "https://login.example/"))
            return Answer(int(fault.params.get("status", 302)), None, {"Location": location})
        if fault.kind == "too_many":
            return self.error(429, retry_after=int(fault.params.get("retry_after", 60)))
        return self.error(int(fault.params.get("status", 503)))

    def _handled(self, request: Request, route: Route | None) -> Answer:
        try:
            if route is None:
                known = any(other.match(request.path) is not None for other in self.routes)
                return self.error(405 if known else 404)
            self.guard(request, route)
            try:
                self.read(request)
            except ValueError:
                return self.unreadable(request)
            return route.handler(request)
        except Refusal as refusal:
            return refusal.answer

    def _log(self, request: Request, operation: str | None, status: int | None) -> None:
        with self.lock:
            self.calls.append(
                Call(request.method, request.path, operation, status, request.query, request.body, request.transport_at)
            )

    def _send(
        self,
        answer: Answer,
        start_response: StartResponse,
        *,
        body: bytes | None = None,
        fault: Fault | None = None,
    ) -> Iterable[bytes]:
        sent = answer.encoded() if body is None else body
        headers = answer.all_headers(len(sent))
        chunks: Iterable[bytes] = [sent]
        if fault is not None and fault.kind == "truncated":
            chunks = [sent[: len(sent) // 2]]
        elif fault is not None and fault.kind == "drip":
            chunks = kinds.dripped(sent, seconds=fault.seconds(1))
        elif fault is not None and fault.kind == "huge":
            headers.pop("Content-Length")
            chunks = kinds.endless(int(fault.params.get("size", 64 * 1024 * 1024)))
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Unknown"
        start_response(f"{answer.status} {phrase}", list(headers.items()))
        return chunks

    # The control interface.

    def control_names(self) -> list[str]:
        """The controls there are."""
        return sorted(name for name, method in inspect.getmembers(type(self)) if getattr(method, "is_control", False))

    def _controlled(self, request: Request) -> Answer:
        name = request.path.removeprefix(CONTROL_PREFIX)
        if request.method == "GET" and not name and "text/html" in request.headers.get("accept", ""):
            controls = {known: getattr(self, known) for known in self.control_names()}
            page = control_page(vendor=self.vendor, now=rfc3339(self.clock.now()), controls=controls)
            return Answer(200, page, {"Content-Type": "text/html; charset=utf-8"})
        if request.method == "GET" and name in ("", "state"):
            return Answer(200, self.state() if name else {"controls": self.control_names()})
        if name not in self.control_names():
            return Answer(404, {"error": f"There is no control {name!r}.", "controls": self.control_names()})
        if request.method != "POST":
            return Answer(405, {"error": "Controls are posted."})
        try:
            arguments = json.loads(request.body or b"{}")
            if not isinstance(arguments, dict):
                raise ControlError("The body is a JSON object of keyword arguments.")
            method = getattr(self, name)
            inspect.signature(method).bind(**arguments)
            return Answer(200, {"result": method(**arguments)})
        except (ValueError, TypeError) as problem:
            return Answer(400, {"error": str(problem)})

    @control
    def reset(self) -> None:
        """Forget everything and start again with the sample catalogue; the business clock stays where it is."""
        with self.lock:
            self.faults.clear()
            self.calls.clear()
            self.outbox.clear()
            self.forget()

    @control
    def clock_set(self, moment: str | datetime) -> str:
        """Set the business clock."""
        self.clock.set(parse_time(moment))
        return rfc3339(self.clock.now())

    @control
    def clock_move(self, *, days: int = 0, hours: int = 0, minutes: int = 0, seconds: int = 0) -> str:
        """Move the business clock on, or back when negative."""
        self.clock.move(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
        return rfc3339(self.clock.now())

    @control
    def fault(self, operation: str, kind: str, times: int | None = 1, **params: Any) -> None:
        """Let the next calls of an operation go wrong; `*` is any operation, `webhooks` what the vendor sends."""
        operations = {route.operation for route in self.routes} | {kinds.ANY, kinds.WEBHOOK_OPERATION}
        if operation not in operations:
            raise ControlError(f"There is no operation {operation!r}; there are {', '.join(sorted(operations))}.")
        known = kinds.GENERIC | self.own_fault_kinds
        if kind not in known:
            raise ControlError(f"There is no fault {kind!r}; there are {', '.join(sorted(known))}.")
        with self.lock:
            self.faults.add(Fault(operation, kind, times, params, self.transport_now()))

    @control
    def clear_faults(self) -> None:
        """Forget all faults."""
        with self.lock:
            self.faults.clear()

    @control
    def state(self) -> dict[str, Any]:
        """Everything: the clock, the calls seen, the faults waiting, and what the vendor remembers."""
        with self.lock:
            return {
                "vendor": self.vendor,
                "now": rfc3339(self.clock.now()),
                "calls": [
                    {"method": call.method, "path": call.path, "operation": call.operation, "status": call.status}
                    for call in self.calls
                ],
                "faults": [fault.summary() for fault in self.faults],
                **self.contents(),
            }

    @control
    def deliver_webhooks(self, *, even_if_not_due: bool = False) -> dict[str, int]:
        """Send the webhooks that are due (or all that wait) now, in this thread; tells how many were taken and not."""
        with self.lock:
            now = self.transport_now()
            late = self.faults.take(kinds.WEBHOOK_OPERATION, {"delay"})
            due = [] if late else self.outbox.claim(now, even_if_not_due=even_if_not_due)
            if late:
                self._put_off(now, late.seconds(60))
            if due and self.faults.take(kinds.WEBHOOK_OPERATION, {"shuffle"}):
                due = disordered(due)
        statuses = [self._deliver(delivery) for delivery in due]
        return {"delivered": statuses.count(200), "refused": len(statuses) - statuses.count(200)}

    def _put_off(self, now: datetime, seconds: float) -> None:
        for delivery in self.outbox.deliveries:
            if delivery.due_at is not None and delivery.due_at <= now:
                delivery.due_at = now + timedelta(seconds=seconds)

    def _deliver(self, delivery: Delivery) -> int:
        with self.lock:
            double = self.faults.take(kinds.WEBHOOK_OPERATION, {"duplicate"})
            copies = int(double.params.get("copies", 2)) if double else 1
        status = 0
        try:
            for _ in range(copies):  # the lock is free here: whoever receives may call this simulator before answering
                status = self.post(delivery.url, delivery.body, self.outbox.headers(delivery, self.transport_now()))
        finally:
            with self.lock:
                self.outbox.settle(delivery, status=status, now=self.transport_now())
                self.delivered(delivery)
        return status

    def delivered(self, delivery: Delivery) -> None:  # noqa: B027 - not every vendor lists what it sent
        """Called after each attempt with the lock held: a vendor that lists its notifications updates them here."""
