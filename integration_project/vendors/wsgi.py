"""Runs a WSGI application in this process under a `requests` session: this mounts a simulator under a real client."""

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.client import responses
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.types import WSGIApplication

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter


class WsgiAdapter(BaseAdapter):
    """A transport whose other end is a WSGI application.

    The body is read as the application yields it, so drips, truncation and size are the client's to notice. A
    ConnectionError out of the application is an answer that was lost: what it did stays done.
    """

    def __init__(self, app: WSGIApplication) -> None:
        super().__init__()
        self.app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Call the application and give its answer as if it had come over the network."""
        deadline = _seconds(timeout)
        started = time.monotonic()
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            begun[:] = [(status, headers)]
            return lambda data: None

        try:
            chunks = self.app(_environ(request, deadline), start_response)
            body = _Chunks(chunks)
        except ConnectionError:
            raise requests.ConnectionError("the answer was lost", request=request) from None
        if deadline is not None and time.monotonic() - started > deadline:
            body.close()
            raise requests.ReadTimeout("the answer came too late", request=request)
        status, headers = begun[0]
        return _response(request, status, headers, body)

    def close(self) -> None:
        """Nothing to close: there is no connection."""


class _Chunks(io.RawIOBase):
    """What a WSGI application yields, as a stream of bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = chunks
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = next(self._chunks, b"")  # an application that is a generator begins, and fails, here

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken = min(len(buffer), len(self._rest))
        buffer[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
            super().close()


def _response(
    request: requests.PreparedRequest, status: str, headers: list[tuple[str, str]], body: io.RawIOBase
) -> requests.Response:
    code = int(status.split(" ", 1)[0])
    raw = urllib3.HTTPResponse(
        body=body,
        headers=urllib3.HTTPHeaderDict(headers),
        status=code,
        reason=responses.get(code, ""),
        preload_content=False,
        decode_content=False,
        request_method=request.method,
    )
    return HTTPAdapter().build_response(request, raw)


def _seconds(timeout: Any) -> float | None:
    if isinstance(timeout, urllib3.Timeout):
        return timeout.total if isinstance(timeout.total, int | float) else None
    if isinstance(timeout, tuple):
        return timeout[1]  # type: ignore[no-any-return]
    return timeout if isinstance(timeout, int | float) else None


def _environ(request: requests.PreparedRequest, deadline: float | None) -> dict[str, Any]:
    parts = urlsplit(request.url or "")
    body: Any = request.body or b""
    body = body.read() if hasattr(body, "read") else body
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(parts.path, "latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "client.deadline": deadline,  # lets a simulator be slow without anybody waiting
        "HTTP_HOST": parts.netloc,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = _latin(value)
    return environ


def _latin(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
