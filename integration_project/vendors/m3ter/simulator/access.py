"""Who may call: tokens, the organisation in the path, rate limits, and the firewall in front of it all."""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qs, unquote_plus

from integration_project.vendors.m3ter.simulator.memory import Memory, refusal
from integration_project.vendors.simulation import Answer, RateLimit, Refusal, Request

TOKEN_SECONDS = 18000
LARGEST_BODY = 512_000
REQUESTS_PER_SECOND = 50
REQUESTS_PER_ADDRESS = 20_000
INGEST_PER_ADDRESS = 5_000
ADDRESS_WINDOW = 300.0
EXPLORER_BURST = 10
FIREWALL_PAGE = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    b"</body>\r\n</html>\r\n"
)
PATTERNS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "an element of a page": (("<",), r"<\s*/?\s*(script|iframe|img|svg|object|embed|body|style)\b"),
    "an address that is a script": (("javascript:",), r"javascript:"),
    "a handler of a page's element": (("onerror", "onload", "onclick"), r"\bon(error|load|click)\s*="),
    "union select": (("union",), r"\bunion\s+(all\s+)?select\b"),
    "select ... from": (("select",), r"\bselect\b[^\"]{1,80}\bfrom\b"),
    "drop table": (("drop",), r"\bdrop\s+(table|database)\b"),
    "insert into": (("insert",), r"\binsert\s+into\b"),
    "delete from": (("delete",), r"\bdelete\s+from\b"),
    "' or 1=1": (("'",), r"'\s*or\s+'?\w+'?\s*=\s*'?\w"),
    "a comment that cuts a statement": ((";",), r";\s*--"),
    "a path upwards": (("../",), r"\.\./\.\./"),
}
"""What the firewall takes for SQL or markup, in a body or a query: a guess, off with `firewall_reads_text=False`.

Before each pattern stands what a text must contain for it: half a megabyte is looked through for that first.
"""
SUSPICIOUS = [(hints, re.compile(pattern, re.IGNORECASE)) for hints, pattern in PATTERNS.values()]


def is_suspicious(text: str) -> bool:
    """Say whether the firewall takes a text for SQL or markup."""
    folded = text.casefold()
    return any(pattern.search(text) for hints, pattern in SUSPICIOUS if any(hint in folded for hint in hints))


def firewall_block() -> Refusal:
    """What the firewall answers: not JSON."""
    return Refusal(Answer(403, FIREWALL_PAGE, {"Content-Type": "text/html"}))


class PerSecond:
    """At most so many requests of one caller in a second of the clock; the excess waits for the next."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._second: dict[str, tuple[int, int]] = {}

    def hit(self, caller: str, now: datetime) -> bool:
        """Count one request; whether it is one too many."""
        second = int(now.timestamp())
        seen_second, seen = self._second.get(caller, (second, 0))
        seen = seen + 1 if seen_second == second else 1
        self._second[caller] = (second, seen)
        return self.limit is not None and seen > self.limit

    def forget(self) -> None:
        """Start counting anew."""
        self._second.clear()


class _Bucket:
    """One a second, with a burst."""

    def __init__(self, burst: int) -> None:
        self._burst = burst
        self._level: float = burst
        self._at: datetime | None = None

    def take(self, now: datetime) -> bool:
        if self._at is not None:
            self._level = min(self._burst, self._level + (now - self._at).total_seconds())
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Access:
    """Decides whether a request reaches the organisation."""

    def __init__(self, memory: Memory, *, keys: dict[str, str], transport_now: Callable[[], datetime]) -> None:
        self.memory = memory
        self.keys = dict(keys)
        self._first_keys = dict(keys)
        self._now = transport_now
        self._tokens: dict[str, datetime] = {}
        self.per_organisation = PerSecond(REQUESTS_PER_SECOND)
        self.per_address = {
            "config": RateLimit(limit=REQUESTS_PER_ADDRESS, seconds=ADDRESS_WINDOW),
            "ingest": RateLimit(limit=INGEST_PER_ADDRESS, seconds=ADDRESS_WINDOW),
        }
        self._explorer = _Bucket(EXPLORER_BURST)

    def clear(self) -> None:
        """Forget tokens and counts; the first keys are valid again."""
        self.keys = dict(self._first_keys)
        self._tokens.clear()
        self.per_organisation.forget()
        for limit in self.per_address.values():
            limit.forget()
        self._explorer = _Bucket(EXPLORER_BURST)

    def expire_tokens(self) -> None:
        """All tokens issued so far are refused from now on."""
        self._tokens.clear()

    # The token endpoint.

    def token(self, request: Request) -> Answer:
        """POST /oauth/token: Basic credentials and a grant, as JSON or as a form."""
        key, secret = _basic(request.headers.get("authorization", ""))
        if key is None or not secrets.compare_digest(self.keys.get(key, "").encode(), secret.encode()) or not secret:
            raise refusal(self.memory.guesses.bad_credentials_status, "Unauthorized")
        grant = _grant(request)
        if grant != "client_credentials":
            raise refusal(400, "grant_type must be client_credentials")
        token = _signed(key)
        self._tokens[token] = self._now() + timedelta(seconds=TOKEN_SECONDS)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": None}
        return Answer(200, body)

    # Every other call.

    def firewall(self, request: Request) -> None:
        """Block bodies over the limit and text that looks like SQL or markup."""
        if len(request.body) > LARGEST_BODY:
            raise firewall_block()
        if not self.memory.guesses.firewall_reads_text:
            return
        text = request.body.decode(errors="replace").replace('\\"', "'")
        if is_suspicious(text) or is_suspicious(unquote_plus(request.query)):
            raise firewall_block()

    def check(self, request: Request, org_id: str | None, *, surface: str, explores: bool) -> None:
        """Refuse a bad token, an unknown organisation, and too many requests."""
        wait = self.per_address[surface].hit(request.remote, request.transport_at)
        if wait is not None:
            raise refusal(429, "Too many requests from this address")
        if org_id is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        until = self._tokens.get(token)
        if scheme.lower() != "bearer" or until is None or request.transport_at >= until:
            raise refusal(self.memory.guesses.expired_token_status, "Unauthorized")
        if org_id != self.memory.org_id:
            raise refusal(403, "Forbidden")
        if self.per_organisation.hit(surface, request.transport_at):
            raise refusal(429, "Too many requests for this organisation")
        if explores and not self._explorer.take(request.transport_at):
            raise refusal(429, "Too many Data Explorer queries")


def _basic(header: str) -> tuple[str | None, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None, ""
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, ""
    return key, secret


def _grant(request: Request) -> object:
    try:
        body = json.loads(request.body)
    except ValueError:
        return parse_qs(request.body.decode(errors="replace")).get("grant_type", [None])[0]
    return body.get("grant_type") if isinstance(body, dict) else None


def _signed(key: str) -> str:
    """Something that looks like a JSON web token."""
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": key})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, secrets.token_urlsafe(24)))
