"""Bodies that are dear to read, come without a length, or hold more than anybody could show."""

import io
import json
import time
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.test.client import ClientHandler
from pytest_django import Settings

from integration_project.vendors.paddle.simulator import sample
from integration_project.webhooks import DEEPEST
from paddle_sync.models import WebhookEvent
from tests.builders import notification, post_raw, signed, subscription
from tests.conftest import M3TER_WEBHOOK_TOKEN

LIMIT = 1024 * 1024
PADDLE = "/webhooks/paddle/"
M3TER = f"/webhooks/m3ter/{M3TER_WEBHOOK_TOKEN}/"


@pytest.fixture(autouse=True)
def secrets(settings: Settings, db: None) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = [sample.WEBHOOK_SECRET]
    settings.M3TER_WEBHOOK_TOKENS = [M3TER_WEBHOOK_TOKEN]


class Chunks(io.RawIOBase):
    """A body as a server hands it on that decodes chunks: it ends by itself, and nobody knew where."""

    def __init__(self, chunks: Iterable[bytes], *, cut_off: bool = False) -> None:
        self.left = list(chunks)
        self.cut_off = cut_off
        self.taken = 0

    def read(self, size: int | None = -1) -> bytes:
        """Give what has come, which may be less than was asked for."""
        if not self.left and self.cut_off:
            raise OSError("the connection ended within a chunk")
        if not self.left:
            return b""
        chunk = self.left.pop(0)
        if size is not None and 0 <= size < len(chunk):
            self.left.insert(0, chunk[size:])
            chunk = chunk[:size]
        self.taken += len(chunk)
        return chunk


def post_chunked(path: str, stream: Chunks, body: bytes, **changes: Any) -> int:
    """Post a body without a length, as gunicorn calls the application; gives the status."""
    environ = RequestFactory().post(path, headers=signed(body), content_type="application/json").environ
    del environ["CONTENT_LENGTH"]
    environ.update({"wsgi.input": stream, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"})
    environ.update(changes)
    return int(ClientHandler()(environ).status_code)


@pytest.mark.parametrize("path", [PADDLE, M3TER])
def test_a_body_sent_in_chunks_is_read_whole(path: str) -> None:
    body = json.dumps(notification("x.y", {}, id="event-1")).encode()

    status = post_chunked(path, Chunks([body[:50], body[50:60], body[60:]]), body)

    assert status == 200
    assert WebhookEvent.objects.get().payload.body == body.decode()


@pytest.mark.parametrize("path", [PADDLE, M3TER])
def test_a_body_sent_in_chunks_that_grows_over_one_mebibyte_is_refused_and_read_no_further(path: str) -> None:
    body = b" " * (2 * LIMIT)
    stream = Chunks([body[:100_000]] * 30)

    status = post_chunked(path, stream, body)

    assert (status, stream.taken, WebhookEvent.objects.count()) == (413, LIMIT + 1, 0)


def test_a_body_of_exactly_one_mebibyte_is_taken_in_chunks_too() -> None:
    body = json.dumps(notification("x.y", {})).encode()
    body += b" " * (LIMIT - len(body))

    assert post_chunked(PADDLE, Chunks([body]), body) == 200


@pytest.mark.parametrize("path", [PADDLE, M3TER])
def test_chunks_that_end_too_early_are_refused(path: str) -> None:
    body = json.dumps(notification("x.y", {})).encode()

    status = post_chunked(path, Chunks([body], cut_off=True), body)

    assert (status, WebhookEvent.objects.count()) == (400, 0)


def test_without_a_length_nothing_is_read_from_a_server_that_does_not_end_the_body_itself() -> None:
    stream = Chunks([b"the next request on this connection"])

    status = post_chunked(PADDLE, stream, b"", **{"wsgi.input_terminated": False})

    assert (status, stream.taken) == (400, 0)


def test_a_name_that_stands_twice_among_many_is_found_at_once(client: Client) -> None:
    names = b",".join(b'"%d":1' % number for number in range(40_000))
    body = b'{"data": {' + names + b',"39999":1}}'
    began = time.process_time()

    response = post_raw(client, body)

    assert (response.status_code, response.json()) == (400, {"39999": ["stands twice in one object."]})
    assert time.process_time() - began < 1


def test_looking_for_half_a_character_takes_little_more_memory_than_the_body(client: Client) -> None:
    long_name = b'{"' + b"k" * 20_000 + b'": [' + b",".join([b"1"] * 5_000) + b'], "x": "\\ud83d\\ude00"}'
    tracemalloc.start()

    post_raw(client, long_name)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_the_place_of_half_a_character_deep_inside_is_still_named(client: Client) -> None:
    body = json.dumps({"data": {"a": [{"b": "fine"}, {"b": "x"}]}}).replace('"x"', '"\\ud800"').encode()

    response = post_raw(client, body)

    assert (response.status_code, list(response.json())) == (400, ["data.a.1.b"])


def nested(depth: int, kind: str) -> bytes:
    """A subscription's notification that is as deep as that in all."""
    opening, closing = ("[", "]") if kind == "lists" else ('{"x":', "}")
    inner = depth - 3  # the notification, data and custom_data are three
    filling = '{"x": ' + opening * inner + ("1" if kind == "objects" else "") + closing * inner + "}"
    body = json.dumps(notification("subscription.updated", subscription("sub_1")))
    return body.replace('"custom_data": null', f'"custom_data": {filling}').encode()


@pytest.mark.parametrize("kind", ["lists", "objects"])
@pytest.mark.parametrize("depth", [DEEPEST + 1, 500])
def test_what_is_nested_deeper_than_anything_is_refused(client: Client, kind: str, depth: int) -> None:
    response = post_raw(client, nested(depth, kind))

    assert (response.status_code, response.json()) == (400, {"body": [f"is nested more than {DEEPEST} deep."]})


@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_whatever_is_taken_can_be_shown(client: Client, admin_client: Client, kind: str) -> None:
    response = post_raw(client, nested(DEEPEST, kind))

    page = admin_client.get(f"/admin/paddle_sync/webhookevent/{WebhookEvent.objects.get().pk}/change/")

    assert (response.status_code, page.status_code) == (200, 200)


def test_many_brackets_side_by_side_are_not_deep(client: Client) -> None:
    body = json.dumps(notification("x.y", {"lines": [{"a": [number]} for number in range(1_000)]})).encode()

    assert post_raw(client, body).status_code == 200
