"""Sends one request and reads the whole answer: under a total deadline, up to a size, following nothing.

`requests` applies its timeout to each socket read, so an answer that drips lasts for ever. Here the read timeout is
what is left of the call's deadline, for the headers and the body together.
"""

import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, BinaryIO

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LONGEST_CONNECT = 10.0
CHUNK = 65536


class NotSent(Exception):
    """No byte of the request reached the vendor, provably."""


class Unanswered(Exception):
    """The request may have reached the vendor; no answer came."""


@dataclass(frozen=True)
class Received:
    """An answer's status and headers, and as much of its body as came; `problem` says why that is not all of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    problem: str | None


class BodyChanged(Exception):
    """What was to be sent is not as long as was announced. The vendor has only part of it, so it has nothing."""


class Body:
    """So many bytes of a stream, read while they are sent. One that is shorter or longer is not sent to its end."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._length = length
        self._left = length
        self.ends_at: float | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """Read on. The last bytes are given only when nothing follows them."""
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            raise TimeoutError("timed out")
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._stream.read(wanted) if wanted else b""
        self._left -= len(chunk)
        if len(chunk) < wanted and (not chunk or size < 0):
            raise BodyChanged(f"it ended {self._left} bytes early")
        if chunk and not self._left and self._stream.read(1):
            raise BodyChanged("it is longer than it was")
        return chunk


def send(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None,
    body: bytes | Body | None,
    deadline: float,
    max_bytes: int,
    begun: float | None = None,
) -> Received:
    """Send one request and read its answer; raises NotSent or Unanswered with words that name no address or value.

    `begun` is when the caller made sure that it may send, by the monotonic clock: a process that stood still for the
    whole deadline since then may have lost its claim to another one, and sends nothing.

    The adapter is called directly: a session reads a redirect's whole body even where it is told not to follow it.
    """
    now = time.monotonic()
    ends_at = now + deadline
    if begun is not None and now - begun > deadline:
        raise NotSent(f"the process stood still for more than {deadline:g} seconds before it could be sent")
    if isinstance(body, Body):
        body.ends_at = ends_at
    failure: NotSent | Unanswered
    try:
        request = session.prepare_request(
            requests.Request(method, url, headers=dict(headers), params=dict(params or {}), data=body)
        )
        response = session.get_adapter(url).send(
            request,
            stream=True,
            timeout=urllib3.Timeout(connect=min(LONGEST_CONNECT, deadline), total=deadline),  # type: ignore[arg-type]
            verify=True,
            cert=None,
            proxies={},
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        failure = _failure(error, deadline)
    else:
        return _read(response, ends_at=ends_at, deadline=deadline, max_bytes=max_bytes)
    raise failure  # outside the handler, so that the library's error, which quotes the address, is not chained to it


def _failure(error: Exception, deadline: float) -> NotSent | Unanswered:
    """Say which of the two it is; what cannot be proved counts as possibly sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return NotSent("its address could not be looked up")
    if isinstance(error, requests.ConnectTimeout):
        return NotSent("no connection was made in time")
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return NotSent("it could not be connected to")
    if isinstance(reason, urllib3.exceptions.SSLError) and _is_certificate(reason):
        return NotSent("its certificate is not trusted")
    if isinstance(error, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL | UnicodeError):
        return NotSent("the request could not be written; look for unusual characters in the address or the key")
    if isinstance(error, requests.Timeout | TimeoutError):
        return Unanswered(f"no answer within {deadline:g} seconds")
    return Unanswered("the connection broke before an answer came")


def _is_certificate(error: urllib3.exceptions.SSLError) -> bool:
    return bool(error.args) and isinstance(error.args[0], ssl.SSLCertVerificationError)


def _read(response: requests.Response, *, ends_at: float, deadline: float, max_bytes: int) -> Received:
    body = bytearray()
    problem = None
    whole = False
    try:
        for chunk in response.raw.stream(CHUNK, decode_content=True):
            body += chunk
            if len(body) > max_bytes:
                problem = f"the answer is larger than {max_bytes} bytes"
                break
            if time.monotonic() > ends_at:
                problem = f"the answer was not complete within {deadline:g} seconds"
                break
        else:
            whole = True
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
        problem = f"the answer was not complete within {deadline:g} seconds"
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
        problem = "the answer broke off"
    finally:
        _let_go(response, whole=whole)
    return Received(response.status_code, response.headers, bytes(body[:max_bytes]), problem)


def _let_go(response: requests.Response, *, whole: bool) -> None:
    """Give the connection back after a whole answer; after anything else it is of no more use."""
    if whole:
        response.raw.release_conn()
    else:
        response.raw.close()


class Sessions:
    """One session per process, thread and vendor, made when first asked for, so that a fork shares no socket."""

    def __init__(self, adapter: BaseAdapter | None = None) -> None:
        self._adapter = adapter
        self._local = threading.local()

    def get(self, vendor: str) -> requests.Session:
        """The calling thread's session for this vendor."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.pid = os.getpid()
            self._local.sessions = {}
        sessions: dict[str, requests.Session] = self._local.sessions
        if vendor not in sessions:
            sessions[vendor] = new_session(self._adapter or DeadlineAdapter())
        return sessions[vendor]


def new_session(adapter: BaseAdapter) -> requests.Session:
    """Make a session that takes nothing from this machine: no proxy, no netrc, no cookie."""
    session = requests.Session()
    session.trust_env = False  # a netrc file would replace our Authorization header, a proxy variable our route
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, giving each read no more than what is left of one deadline for them all."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        seconds = sock.gettimeout()
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends_at is not None:
            left = self._ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, sock))


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse


class _DeadlineSecureConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineSecurePool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineSecureConnection


class DeadlineAdapter(HTTPAdapter):
    """The real transport: never retries, and its read timeout covers the whole answer."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Make the pools out of connections that keep one deadline per answer."""
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool, "https": _DeadlineSecurePool}
