"""One vendor call: gate, request under a total deadline, answer to value or exception, one redacted log line.

Nothing here is repeated, except that a refused token is renewed once. Repetition belongs to our rows.
"""

import enum
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar, overload
from urllib.parse import urlencode

import requests

from integration_project import errors
from integration_project.vendors import exact_json, words
from integration_project.vendors.reading import Unreadable
from integration_project.vendors.transport import Body, NotSent, Unanswered, send

T = TypeVar("T")
logger = logging.getLogger("integration_project.vendors")

DEADLINE = 15.0
"""Seconds that any call may take in all, charges and invoices excepted."""
CHARGE_DEADLINE = 75.0
LARGEST_ANSWER = 20 * 1024 * 1024
LONGEST_WAIT = 3600.0
"""A vendor's Retry-After is believed up to here."""
NAMES = {"paddle": "Paddle", "paddle_classic": "Paddle Classic", "m3ter": "m3ter"}


class Policy(enum.StrEnum):
    """What a vendor's refusal means for whoever made the call."""

    LATER = "later"  # it was not done; the same call may succeed later
    LOOK_FIRST = "look first"  # it may have been done
    PERSON = "person"  # it was not done, and a person must decide something first
    PERMANENT = "permanent"  # it was not done and never will be
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    CONFIGURATION = "configuration"  # a setting, ours or in the vendor's console
    KEY_REFUSED = "key refused"
    PERMISSION_MISSING = "permission missing"


@dataclass(frozen=True)
class Ruling:
    """How one answer was judged; `words` are the vendor's, not yet made safe."""

    policy: Policy
    code: str
    words: str
    wait: float | None = None
    certain: bool = True
    """False where the vendor may not have spoken at all: what cannot be repeated may have been done all the same."""


@dataclass(frozen=True)
class Answer:
    """What a vendor sent back, whole. `json` is None when it is not JSON, `problem` says why it is not all there."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    json: Any = field(repr=False)
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """True for an answer that says the work was done."""
        return 200 <= self.status < 300

    @property
    def kind(self) -> str:
        """What sort of body it has, for a sentence."""
        if not self.body:
            return "an empty body"
        media_type = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        return {"text/html": "an HTML page", "application/json": "unreadable JSON"}.get(
            media_type, "a body that is not JSON"
        )

    @property
    def in_words(self) -> str:
        """What it was, where it has no words of its own."""
        if 300 <= self.status < 400:
            return "it answered with a redirect, which is never followed"
        return self.problem or f"it answered with {self.kind}"


@dataclass(frozen=True)
class CallRecord:
    """One request as it is written down; `outcome` is "ok" or says in words what went wrong."""

    vendor: str
    operation: str
    method: str
    path: str
    status: int | None
    duration_ms: int
    request_id: str
    outcome: str


class Gate(Protocol):
    """Budget and circuit of one vendor, handed in by whoever keeps them."""

    def enter(self, operation: str) -> None:
        """Take one call out of the budget; raises BudgetSpent or VendorClosed instead."""

    def refused(self, operation: str, *, whole_vendor: bool, detail: str) -> None:
        """The key is refused (whole vendor), or lacks the permission for this operation."""

    def answered(self, operation: str) -> None:
        """A normal answer came, so key and permission are good."""


class OpenGate:
    """A gate that lets everything through: for clients on their own."""

    def enter(self, operation: str) -> None:
        """Let it through."""

    def refused(self, operation: str, *, whole_vendor: bool, detail: str) -> None:
        """Remember nothing."""

    def answered(self, operation: str) -> None:
        """Remember nothing."""


@dataclass
class Listeners:
    """Who wants to know of every request: before it (the operation's name), and after it (its record)."""

    before: list[Callable[[str], None]] = field(default_factory=list)
    after: list[Callable[[CallRecord], None]] = field(default_factory=list)


class Authorise(Protocol):
    """Gives the Authorization header; `fresh` asks for one made after the last was refused."""

    def __call__(self, *, fresh: bool) -> str: ...


Judge = Callable[[Answer], Ruling]
Credentials = Callable[[], Mapping[str, str]]
"""Gives the fields that say who is calling, where a vendor wants them in the form itself."""


def is_refusal(answer: Answer) -> bool:
    """Say whether a vendor refuses, where its status tells."""
    return not answer.ok


def real_now() -> datetime:
    """The machine's time, for a Retry-After that is a date."""
    return datetime.fromtimestamp(time.time(), UTC)


class VendorHTTP:
    """Speaks HTTP with one vendor address and turns every answer into a value or into an error of our tree."""

    def __init__(
        self,
        *,
        vendor: str,
        base_url: str,
        session: Callable[[], requests.Session],
        gate: Gate,
        judge: Judge,
        authorise: Authorise | None = None,
        credentials: Credentials | None = None,
        refuses: Callable[[Answer], bool] = is_refusal,
        listeners: Listeners | None = None,
        renewable: bool = False,
        deadline: float = DEADLINE,
        max_bytes: int = LARGEST_ANSWER,
        headers: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = real_now,
    ) -> None:
        self.vendor = vendor
        self.listeners = listeners or Listeners()
        self._base_url = base_url.rstrip("/")
        self._session = session
        self._gate = gate
        self._authorise = authorise
        self._credentials = credentials
        self._judge = judge
        self._refuses = refuses
        self._renewable = renewable
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._headers = {"Accept": "application/json", "User-Agent": "integration-project", **(headers or {})}
        self._now = now

    @property
    def before(self) -> list[Callable[[str], None]]:
        """Called with the operation's name before every request."""
        return self.listeners.before

    @property
    def after(self) -> list[Callable[[CallRecord], None]]:
        """Called with the record of every request, failed ones too."""
        return self.listeners.after

    @overload
    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        repeatable: bool = ...,
        params: Mapping[str, str] | None = ...,
        json: object = ...,
        encoded: bytes | None = ...,
        form: Mapping[str, str] | None = ...,
        deadline: float | None = ...,
        private: Sequence[str] = ...,
    ) -> Any: ...

    @overload
    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        read: Callable[[Any], T],
        repeatable: bool = ...,
        params: Mapping[str, str] | None = ...,
        json: object = ...,
        encoded: bytes | None = ...,
        form: Mapping[str, str] | None = ...,
        deadline: float | None = ...,
        private: Sequence[str] = ...,
    ) -> T: ...

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        read: Callable[[Any], Any] = lambda value: value,
        repeatable: bool = True,
        params: Mapping[str, str] | None = None,
        json: object = None,
        encoded: bytes | None = None,
        form: Mapping[str, str] | None = None,
        deadline: float | None = None,
        private: Sequence[str] = (),
    ) -> Any:
        """Make one call and give what `read` makes of its JSON; raises only errors of our tree.

        What is sent is `json`, or JSON that is `encoded` already and goes out byte for byte, or a `form`.
        `repeatable` False turns everything that leaves the outcome open into OutcomeUnknown. `private` are texts of
        the request that must not come back in the vendor's words.
        """
        request = Outgoing(
            operation=operation,
            method=method,
            path=path,
            params=params,
            body=encoded if json is None else exact_json.encode(json),
            form=form,
            repeatable=repeatable,
            deadline=deadline or self._deadline,
            private=tuple(private),
        )
        return self._made(request, read)

    def _made(self, request: "Outgoing", read: Callable[[Any], Any]) -> Any:
        outcome = self._attempt(request, read, fresh=False)
        if outcome.policy is Policy.KEY_REFUSED and self._renewable:
            outcome = self._attempt(request, read, fresh=True)
        self._tell_gate(request, outcome)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def _attempt(self, request: "Outgoing", read: Callable[[Any], Any], *, fresh: bool) -> "_Outcome":
        self._gate.enter(request.operation)
        headers = dict(self._headers)
        if self._authorise is not None:
            headers["Authorization"] = self._authorise(fresh=fresh)
        if request.form is not None:
            request = self._with_credentials(request, request.form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif request.body is not None:
            headers["Content-Type"] = "application/json"
        headers.update(request.headers)
        started = time.monotonic()
        for listener in self.listeners.before:
            listener(request.operation)
        answer: Answer | None = None
        try:
            answer = self._send(request, headers, begun=started)
            outcome = self._judged(request, answer, read)
        except NotSent as error:
            outcome = _Outcome(error=errors.Temporary(self._sentence(request, str(error))))
        except Unanswered as error:
            outcome = _Outcome(error=self._open_outcome(request, str(error)))
        self._write_down(request, answer, outcome, time.monotonic() - started)
        return outcome

    def _with_credentials(self, request: "Outgoing", form: Mapping[str, str]) -> "Outgoing":
        """The request with its body, which says who is calling; the vendor's words must not say it again."""
        ours = {} if self._credentials is None else dict(self._credentials())
        body = urlencode({**form, **ours}).encode("ascii")
        return replace(request, body=body, private=(*request.private, *ours.values()))

    def _send(self, request: "Outgoing", headers: Mapping[str, str], *, begun: float) -> Answer:
        received = send(
            self._session(),
            request.method,
            request.address or self._base_url + request.path,
            headers=headers,
            params=request.params,
            body=request.body,
            deadline=request.deadline,
            max_bytes=self._max_bytes,
            begun=begun,
        )
        problem, parsed = received.problem, None
        if problem is None and received.body:
            try:
                parsed = exact_json.decode(received.body)
            except Unreadable:
                parsed = None
        return Answer(received.status, received.headers, received.body, parsed, problem)

    def _judged(self, request: "Outgoing", answer: Answer, read: Callable[[Any], Any]) -> "_Outcome":
        if self._refuses(answer):
            return self._refusal(request, answer)
        if answer.json is None:
            return _Outcome(error=self._open_outcome(request, answer.problem or f"the answer was {answer.kind}"))
        try:
            return _Outcome(value=read(answer.json))
        except Unreadable as error:
            what = f"the answer could not be read: {error}"
            if request.repeatable:
                return _Outcome(error=errors.Unreadable(self._sentence(request, what)))
            return _Outcome(error=self._open_outcome(request, what))

    def _refusal(self, request: "Outgoing", answer: Answer) -> "_Outcome":
        """Turn what the vendor's table says of an answer into an error; the only place that does."""
        ruling = self._judge(answer)
        said = words.safe(ruling.words, private=request.private)
        sentence = self._sentence(request, f"{said} ({ruling.code + ', ' if ruling.code else ''}HTTP {answer.status})")
        error: errors.IntegrationError
        policy = ruling.policy if ruling.certain or request.repeatable else Policy.LOOK_FIRST
        match policy:
            case Policy.LATER:
                wait = _retry_after(answer.headers, self._now())
                retry_after = ruling.wait if wait is None else wait
                error = errors.Temporary(sentence, retry_after=retry_after, code=ruling.code)
            case Policy.LOOK_FIRST:
                error = self._open_outcome(request, f"{said} (HTTP {answer.status})")
            case Policy.CONFIGURATION:
                error = errors.NeedsConfiguration(f"{self.vendor} setting", ruling.code or request.operation, sentence)
            case Policy.KEY_REFUSED:
                error = errors.VendorClosed(self.vendor, sentence)
            case Policy.PERMISSION_MISSING:
                error = errors.VendorClosed(self.vendor, sentence, operation=request.operation)
            case _:
                kind = REJECTIONS.get(policy, errors.VendorRejected)
                error = kind(self.vendor, request.operation, answer.status, ruling.code, said, policy=policy.value)
        return _Outcome(error=error, policy=policy)

    def _open_outcome(self, request: "Outgoing", what: str) -> errors.IntegrationError:
        if request.repeatable:
            return errors.Temporary(self._sentence(request, what))
        return errors.OutcomeUnknown(self._sentence(request, f"{what}; it may have happened"))

    def _sentence(self, request: "Outgoing", what: str) -> str:
        return f"{NAMES.get(self.vendor, self.vendor)}, {request.operation}: {what}"

    def _tell_gate(self, request: "Outgoing", outcome: "_Outcome") -> None:
        if outcome.policy in {Policy.KEY_REFUSED, Policy.PERMISSION_MISSING}:
            whole_vendor = outcome.policy is Policy.KEY_REFUSED
            self._gate.refused(request.operation, whole_vendor=whole_vendor, detail=str(outcome.error))
        elif outcome.error is None or isinstance(outcome.error, errors.VendorRejected):
            self._gate.answered(request.operation)

    def _write_down(self, request: "Outgoing", answer: Answer | None, outcome: "_Outcome", seconds: float) -> None:
        record = CallRecord(
            vendor=self.vendor,
            operation=request.operation,
            method=request.method,
            path=request.path,
            status=None if answer is None else answer.status,
            duration_ms=round(seconds * 1000),
            request_id="" if answer is None else _request_id(answer),
            outcome="ok" if outcome.error is None else str(outcome.error),
        )
        logger.log(
            logging.INFO if outcome.error is None else logging.WARNING,
            "%s %s %s: %s in %d ms, %s",
            record.vendor,
            record.method,
            record.path,
            "no status" if record.status is None else record.status,
            record.duration_ms,
            record.outcome,
            extra={"call": asdict(record)},
        )
        for listener in self.listeners.after:
            listener(record)


REJECTIONS: Mapping[Policy, type[errors.VendorRejected]] = {
    Policy.NOT_FOUND: errors.NotFound,
    Policy.CONFLICT: errors.Conflict,
}


@dataclass(frozen=True)
class Outgoing:
    """One request before it is sent. What `path` says is written down; an `address` takes its place and is not."""

    operation: str
    method: str
    path: str
    params: Mapping[str, str] | None
    body: bytes | Body | None = field(repr=False)
    form: Mapping[str, str] | None = field(repr=False)
    repeatable: bool
    deadline: float
    private: tuple[str, ...] = field(repr=False)
    address: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Outcome:
    value: Any = None
    error: errors.IntegrationError | None = None
    policy: Policy | None = None


def _request_id(answer: Answer) -> str:
    """The vendor's name for this request, for a question to its support."""
    return words.safe(answer.headers.get("Request-Id", ""))[:100]


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that Retry-After asks to wait, as a number or a date, within reason; None when it says nothing."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT)
