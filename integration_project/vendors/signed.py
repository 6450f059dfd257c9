"""Addresses that a vendor signed for us: whoever has one may use it for a few minutes, without any key.

So our key never goes there, and the address is a secret of its own: it is in no log line and in no error.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from integration_project import errors
from integration_project.vendors.http import Answer, Listeners, OpenGate, Outgoing, Policy, Ruling, VendorHTTP
from integration_project.vendors.rehearsal import NotRehearsable
from integration_project.vendors.transport import Body, BodyChanged

T = TypeVar("T")

OURS = frozenset({"authorization", "content-length", "host", "transfer-encoding"})
"""Headers that say who we are, or how much is sent where: never what somebody else says."""
PLACE = "(a signed address)"
"""What is written down instead of the address."""


class SignedHTTP(VendorHTTP):
    """Speaks with addresses that one vendor signed: no key, no share of its budget, else the rules of every call."""

    def __init__(
        self, *, vendor: str, session: Callable[[], requests.Session], listeners: Listeners, rehearsed: bool = False
    ) -> None:
        super().__init__(vendor=vendor, base_url="", session=session, gate=OpenGate(), judge=judge, listeners=listeners)
        self._rehearsed = rehearsed

    def get(self, operation: str, address: str, *, read: Callable[[Any], T]) -> T:
        """Read what is at a signed address, which is JSON."""
        value: T = self._made(self._outgoing(operation, "GET", address), read)
        return value

    def put(self, operation: str, address: str, *, body: Body, headers: Mapping[str, str], deadline: float) -> None:
        """Put bytes at a signed address, with the headers that were signed; what is answered has no body."""
        outgoing = replace(
            self._outgoing(operation, "PUT", address),
            body=body,
            headers={name: value for name, value in headers.items() if name.lower() not in OURS},
            deadline=deadline,
        )
        try:
            self._made(outgoing, lambda value: None)
        except BodyChanged as problem:
            raise errors.Permanent(
                f"{self.vendor}, {operation}: what was sent changed meanwhile: {problem}; nothing of it counts."
            ) from None

    def _judged(self, request: Outgoing, answer: Answer, read: Callable[[Any], Any]) -> Any:
        is_put = request.method == "PUT" and answer.ok and answer.problem is None
        return super()._judged(request, replace(answer, json={}) if is_put else answer, read)

    def _outgoing(self, operation: str, method: str, address: str) -> Outgoing:
        if self._rehearsed:
            raise NotRehearsable(f"{self.vendor}, {operation}: a dry run uses no signed address.")
        problem = why_unusable(address)
        if problem:
            raise errors.Permanent(f"{self.vendor}, {operation}: the address it gave {problem}, so it is not used.")
        return Outgoing(
            operation=operation,
            method=method,
            path=PLACE,
            params=None,
            body=None,
            form=None,
            repeatable=True,
            deadline=self._deadline,
            private=(address,),
            address=address,
        )


def judge(answer: Answer) -> Ruling:
    """Say what a refusal means: the address is too old, mostly, and the vendor gives a new one."""
    said = "the signed address is refused; it may be too old"
    if answer.status >= 500 or answer.status < 400:
        return Ruling(Policy.LOOK_FIRST, "", answer.in_words)
    return Ruling(Policy.NOT_FOUND, "", "there is nothing") if answer.status == 404 else Ruling(Policy.LATER, "", said)


def why_unusable(address: str) -> str:
    """Say why nothing may be sent to an address; empty where it may."""
    try:
        parts = urlsplit(address)
        host, has_credentials = parts.hostname, parts.username is not None or parts.password is not None
    except ValueError:
        return "cannot be read"
    if not host or parts.scheme not in {"http", "https"}:
        return "is none"
    if has_credentials:
        return "carries a user name or a password"
    if parts.scheme != "https" and not _is_here(host):
        return "does not begin with https://"
    return ""


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
