"""A mounted application behaves as if it stood at the other end of a network."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration_project.vendors.wsgi import WsgiAdapter


def session(app: Any) -> requests.Session:
    mounted = requests.Session()
    mounted.mount("http://", WsgiAdapter(app))
    return mounted


def test_method_path_query_headers_and_body_arrive() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read())
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-A", "1"), ("X-A", "2")])
        return [b"he", b"", b"llo"]

    response = session(app).post("http://vendor.localhost:81/a%20b/c?x=1&y=%2B", json={"k": 1}, headers={"X-B": "c"})

    assert (seen["REQUEST_METHOD"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("POST", "/a b/c", "x=1&y=%2B")
    assert (seen["HTTP_HOST"], seen["SERVER_PORT"], seen["HTTP_X_B"]) == ("vendor.localhost:81", "81", "c")
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"], seen["body"]) == ("application/json", "8", b'{"k": 1}')
    assert (response.status_code, response.text, response.headers["X-A"]) == (201, "hello", "1, 2")


def test_a_lost_answer_is_a_broken_connection() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ConnectionAbortedError("lost")

    with pytest.raises(requests.ConnectionError, match="the answer was lost"):
        session(app).get("http://vendor.localhost/")


def test_an_application_s_own_fault_is_not_hidden() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        session(app).get("http://vendor.localhost/")


def test_an_answer_shorter_than_it_says_is_noticed() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        return [b"short"]

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session(app).get("http://vendor.localhost/")


def test_the_body_is_read_only_as_far_as_it_is_wanted_and_then_closed() -> None:
    yielded: list[int] = []
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(1000):
                yielded.append(number)
                yield b"x" * 1024

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Body:
        start_response("200 OK", [])
        return Body()

    with session(app).get("http://vendor.localhost/", stream=True) as response:
        assert next(response.iter_content(1024)) == b"x" * 1024

    assert len(yielded) < 100
    assert closed == [True]
