"""What goes in and out of a simulator: requests, answers and refusals, with JSON that never sees a float."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import WSGIEnvironment


class AnswerLost(ConnectionAbortedError):
    """The work was done and committed, but no answer reaches the client.

    It goes through the WSGI call to whoever runs it. As a ConnectionAbortedError it makes wsgiref close the connection
    without a byte, which is just what a lost answer looks like over HTTP.
    """


def _encoded(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_encoded(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_encoded(item) for item in value) + "]"
    if isinstance(value, float):
        raise TypeError("a simulator sends Decimal, never float")
    return json.dumps(value, ensure_ascii=False)


def encode_json(value: Any) -> bytes:
    """Write JSON; a Decimal becomes a plain number with all its digits."""
    return _encoded(value).encode()


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. A body of bytes is sent as it is, None as no body, anything else as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else encode_json(self.body)

    def all_headers(self, length: int) -> dict[str, str]:
        """The headers to send for a body of this length."""
        content = {} if self.body is None else {"Content-Type": "application/json"}
        return {**content, "Content-Length": str(length), **self.headers}


class Refusal(Exception):
    """The vendor refuses the request with this answer; whatever the handler did before raising it must be nothing."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with status {answer.status}")
        self.answer = answer


@dataclass(frozen=True)
class Request:
    """One HTTP request as a handler sees it. `at` is business time, `transport_at` is real."""

    method: str
    path: str
    params: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    transport_at: datetime
    remote: str
    base_url: str
    query: str = ""
    path_params: Mapping[str, str] = field(default_factory=dict)
    client_deadline: float | None = None

    @cached_property
    def json(self) -> Any:
        """The parsed body with Decimal numbers; None without a body. Raises ValueError when it is not JSON."""
        if not self.body:
            return None
        return json.loads(self.body.decode(), parse_float=Decimal, parse_constant=_refuse_constant)

    def param(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter."""
        return self.params.get(name, (default,))[0]

    @classmethod
    def from_environ(cls, environ: WSGIEnvironment, *, at: datetime, transport_at: datetime) -> "Request":
        """Read a WSGI environment; header names become lower case."""
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            headers["content-type"] = environ["CONTENT_TYPE"]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        params: dict[str, tuple[str, ...]] = {}
        query = environ.get("QUERY_STRING", "")
        for name, value in parse_qsl(query, keep_blank_values=True):
            params[name] = (*params.get(name, ()), value)
        return cls(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace"),
            params=params,
            headers=headers,
            body=environ["wsgi.input"].read(length) if length else b"",
            at=at,
            transport_at=transport_at,
            remote=environ.get("REMOTE_ADDR") or "127.0.0.1",
            base_url=f"{environ['wsgi.url_scheme']}://{host}",
            query=query,
            client_deadline=environ.get("client.deadline"),
        )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
