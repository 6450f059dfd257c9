"""The address of Paddle's notifications: what it refuses, with which words, and that refusing changes nothing."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integration_project import clock
from integration_project.models import WebhookRefusal
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import WebhookEvent, WebhookPayload
from tests.builders import notification, post_notification, post_raw, signed, subscription

ADDRESS = "/webhooks/paddle/"
GOOD = {"event_id": "evt_1", "event_type": "x.y", "occurred_at": "2026-03-01T10:00:00Z", "data": {}}


@pytest.fixture(autouse=True)
def secret(settings: Settings, db: None) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = [sample.WEBHOOK_SECRET]


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()


def changed(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def of_subscription(**fields: Any) -> bytes:
    return changed(event_type="subscription.updated", data={**subscription("sub_1"), **fields})


BAD = {
    "nothing": (b"", "body"),
    "not UTF-8": (b'{"event_id": "\xff"}', "body"),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), "body"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "body"),
    "not JSON": (b"event_id=evt_1", "body"),
    "JSON cut off": (json.dumps(GOOD).encode()[:-5], "body"),
    "two values": (b"{} {}", "body"),
    "a list": (b"[]", "body"),
    "a text": (b'"evt_1"', "body"),
    "null": (b"null", "body"),
    "no number": (b'{"event_id": NaN}', "body"),
    "infinite": (b'{"event_id": -Infinity}', "body"),
    "a number of 5000 digits": (b'{"event_id": ' + b"9" * 5000 + b"}", "body"),
    "nested too deep": (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    "a name twice": (b'{"event_id": "evt_1", "event_id": "evt_2"}', "event_id"),
    "a name twice, deep inside": (changed(data={"a": [{"b": 1}]}).replace(b'{"b": 1}', b'{"b": 1, "b": 2}'), "b"),
    "NUL, raw": (b'{"event_id": "evt\x00"}', "body"),
    "NUL, escaped": (changed(event_id="evt\0_1"), "event_id"),
    "NUL, deep inside": (changed(data={"customer": {"names": ["a", "b\0"]}}), "data.customer.names.1"),
    "NUL in a name": (changed(data={"a\0b": 1}), "data"),
    "half a character": (b'{"event_id": "evt_\\ud800"}', "event_id"),
    "no event_id": (without("event_id"), "event_id"),
    "no event_type": (without("event_type"), "event_type"),
    "no occurred_at": (without("occurred_at"), "occurred_at"),
    "no data": (without("data"), "data"),
    "event_id null": (changed(event_id=None), "event_id"),
    "event_id a number": (changed(event_id=1), "event_id"),
    "event_id true": (changed(event_id=True), "event_id"),
    "event_id a list": (changed(event_id=["evt_1"]), "event_id"),
    "event_id empty": (changed(event_id=""), "event_id"),
    "event_id too long": (changed(event_id="e" * 101), "event_id"),
    "event_type a number": (changed(event_type=5), "event_type"),
    "event_type too long": (changed(event_type="t" * 101), "event_type"),
    "notification_id too long": (changed(notification_id="n" * 101), "notification_id"),
    "notification_id an object": (changed(notification_id={}), "notification_id"),
    "occurred_at a number": (changed(occurred_at=1_700_000_000), "occurred_at"),
    "occurred_at no time": (changed(occurred_at="yesterday"), "occurred_at"),
    "occurred_at only a date": (changed(occurred_at="2026-03-01"), "occurred_at"),
    "occurred_at without zone": (changed(occurred_at="2026-03-01T10:00:00"), "occurred_at"),
    "occurred_at impossible": (changed(occurred_at="2026-02-30T10:00:00Z"), "occurred_at"),
    "occurred_at before time": (changed(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at"),
    "data a list": (changed(data=[]), "data"),
    "data a text": (changed(data="x"), "data"),
    "data null": (changed(data=None), "data"),
    "a subscription without id": (of_subscription(id=None), "data.id"),
    "a subscription whose id is a number": (of_subscription(id=7), "data.id"),
    "a subscription whose id is empty": (of_subscription(id=""), "data.id"),
    "a subscription whose id is too long": (of_subscription(id="s" * 65), "data.id"),
    "a customer's id too long": (of_subscription(customer_id="c" * 65), "data.customer_id"),
    "a customer's id an object": (of_subscription(customer_id={"id": "ctm_1"}), "data.customer_id"),
    "a transaction of no text": (
        changed(event_type="transaction.paid", data={"id": "txn_1", "subscription_id": 5}),
        "data.subscription_id",
    ),
}


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=BAD.keys())
def test_a_body_that_cannot_be_believed_is_refused_by_naming_the_field(client: Client, body: bytes, field: str) -> None:
    response = post_raw(client, body)

    assert response.status_code == 400
    assert list(response.json()) == [field]
    assert WebhookEvent.objects.count() == 0


REFUSED_SIGNATURES = {
    "missing header": {},
    "malformed header": {"Paddle-Signature": "h1=abc"},
    "too old": signed(b"{}", at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
    "too new": signed(b"{}", at=dt.datetime(2099, 1, 1, tzinfo=dt.UTC)),
}


@pytest.mark.parametrize(("reason", "headers"), REFUSED_SIGNATURES.items(), ids=REFUSED_SIGNATURES.keys())
def test_a_request_that_paddle_did_not_sign_now_is_refused_and_counted_by_reason(
    client: Client, reason: str, headers: Mapping[str, str]
) -> None:
    statuses = [post_raw(client, b"{}", headers).status_code for _ in range(2)]

    assert statuses == [401, 401]
    assert list(WebhookRefusal.objects.values_list("source", "reason", "count")) == [("paddle", reason, 2)]
    assert WebhookEvent.objects.count() == 0


def test_another_secret_is_refused_in_words_that_tell_nothing_else(client: Client) -> None:
    body = json.dumps(notification("x.y", {})).encode()

    response = post_raw(client, body, signed(body, secret="pdl_ntfset_another"))

    assert (response.status_code, response.json()) == (401, {"detail": "no secret matched"})
    assert WebhookRefusal.objects.get().reason == "no secret matched"


def test_one_changed_byte_is_refused(client: Client) -> None:
    body = json.dumps(notification("x.y", {})).encode()

    response = post_raw(client, body + b" ", signed(body))

    assert response.status_code == 401


def test_any_of_several_secrets_is_believed(client: Client, settings: Settings) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = ["pdl_ntfset_new", sample.WEBHOOK_SECRET]

    response = post_notification(client, notification("x.y", {}))

    assert response.status_code == 200


def test_without_a_secret_nobody_is_believed_and_nothing_is_counted(client: Client, settings: Settings) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = []

    response = post_notification(client, notification("x.y", {}))

    assert response.status_code == 503
    assert (WebhookEvent.objects.count(), WebhookRefusal.objects.count()) == (0, 0)


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_post_is_answered(client: Client, method: str) -> None:
    response = getattr(client, method)(ADDRESS)

    assert response.status_code == 405


def test_a_body_over_one_mebibyte_is_refused_unread(client: Client) -> None:
    body = b" " * (1024 * 1024 + 1)

    response = post_raw(client, body)

    assert response.status_code == 413
    assert WebhookRefusal.objects.count() == 0


def test_a_body_of_exactly_one_mebibyte_is_taken(client: Client) -> None:
    body = json.dumps(notification("x.y", {"padding": ""})).encode()
    body = body.replace(b'"padding": ""', b'"padding": "' + b"x" * (1024 * 1024 - len(body)) + b'"')

    response = post_raw(client, body)

    assert (len(body), response.status_code) == (1024 * 1024, 200)


def test_a_notification_is_stored_as_it_came_and_due_at_once(client: Client) -> None:
    data = subscription("sub_1", customer_id="ctm_1")
    envelope = notification("subscription.updated", data, occurred_at="2026-03-01T09:00:01.123456789Z")
    before = clock.now()

    response = post_notification(client, envelope)

    event = WebhookEvent.objects.get()
    assert (response.status_code, response.json()) == (200, {"event_id": envelope["event_id"]})
    assert (event.source, event.event_id, event.event_type) == ("paddle", envelope["event_id"], "subscription.updated")
    assert event.occurred_at == dt.datetime(2026, 3, 1, 9, 0, 1, 123456, tzinfo=dt.UTC)
    assert (event.paddle_subscription_id, event.paddle_customer_id) == ("sub_1", "ctm_1")
    assert (event.subject_id, event.serial_key, event.state) == ("sub_1", "sub_1", "received")
    assert event.due_at is not None
    assert before <= event.due_at <= clock.now()
    assert json.loads(event.payload.body) == envelope


def test_a_second_delivery_and_a_replay_by_paddle_change_nothing(client: Client) -> None:
    envelope = notification("subscription.updated", subscription("sub_1"))
    post_notification(client, envelope)
    WebhookEvent.objects.update(state="processed", due_at=None)

    again = post_notification(client, {**envelope, "notification_id": "ntf_of_the_replay"})

    event = WebhookEvent.objects.get()
    assert again.status_code == 200
    assert (event.state, event.due_at, event.notification_id) == ("processed", None, envelope["notification_id"])
    assert WebhookPayload.objects.count() == 1


def test_an_unknown_type_is_stored_whatever_its_data_holds(client: Client) -> None:
    envelope = notification("galaxy.exploded", {"id": 42, "customer_id": ["odd"]})

    response = post_notification(client, envelope)

    assert response.status_code == 200
    assert WebhookEvent.objects.get().subject_id == ""


def test_an_event_from_the_future_is_taken(client: Client) -> None:
    response = post_notification(client, notification("x.y", {}, occurred_at="2099-01-01T00:00:00Z"))

    assert response.status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_any_content_type_and_any_accept_header_is_taken(client: Client, content_type: str) -> None:
    body = json.dumps(notification("x.y", {})).encode()

    response = client.post(
        ADDRESS, data=body, content_type=content_type, headers={**signed(body), "Accept": "text/html"}
    )

    assert response.status_code == 200
    assert WebhookEvent.objects.count() == 1


def test_a_backslash_before_u0000_is_text_and_not_a_nul(client: Client) -> None:
    body = changed(data={"path": "C:\\u0000"})

    response = post_raw(client, body)

    assert response.status_code == 200
