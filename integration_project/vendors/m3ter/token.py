"""m3ter's bearer token: in memory per process, renewed a little early, and once more when it is refused."""

import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.http import VendorHTTP

EARLY = 300.0
"""Seconds before its end from which a token is not used any more."""


@dataclass(frozen=True)
class Token:
    """A bearer token as m3ter gave it."""

    value: str = field(repr=False)
    lifetime: int

    @classmethod
    def from_m3ter(cls, answer: Any) -> Self:
        """Read the answer to a token request."""
        data = reading.mapping(answer, "the answer")
        value = reading.identifier(data, "access_token")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise reading.Unreadable("access_token has unusual characters")
        return cls(value, reading.whole(data, "expires_in"))


class TokenStore:
    """One process's token for one access key. A forked child starts without one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._usable_until = 0.0

    def current(self, ask: Callable[[], Token], *, fresh: bool) -> str:
        """The token to use; asks for a new one when there is none, when it is about to end, or when told to.

        Threads that find none at the same time wait for the first of them to ask.
        """
        if self._pid != os.getpid():
            self._begin()
        refused = self._token
        with self._lock:
            told_to = fresh and self._token is refused
            if self._token is None or told_to or self._clock() >= self._usable_until:
                self._token = None
                self._keep(ask())
            return self._token.value if self._token is not None else ""

    def _keep(self, token: Token) -> None:
        self._token = token
        self._usable_until = self._clock() + max(token.lifetime - EARLY, token.lifetime / 2)


class TokenRequest:
    """Asks m3ter for a token."""

    def __init__(self, http: VendorHTTP) -> None:
        self._http = http

    def __call__(self) -> Token:
        """Trade the access key for a bearer token."""
        grant = {"grant_type": "client_credentials"}
        return self._http.call("get token", "POST", "/oauth/token", read=Token.from_m3ter, json=grant)


def basic(access_key_id: str, api_secret: str) -> str:
    """The Authorization header of a token request."""
    return "Basic " + b64encode(f"{access_key_id}:{api_secret}".encode()).decode("ascii")
