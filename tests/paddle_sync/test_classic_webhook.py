"""The address of Paddle Classic's alerts: what it takes, what it refuses, and that refusing changes nothing."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integration_project.models import WebhookRefusal
from integration_project.vendors.paddle_classic import signature
from paddle_sync.models import WebhookEvent, WebhookPayload
from tests.contracts import sample_files
from tests.vendors.paddle_classic.signing import PUBLIC_KEY, body_of, signed

ADDRESS = "/webhooks/paddle-classic/"
FORM = "application/x-www-form-urlencoded"
FILES = sample_files("paddle-classic-alerts")
needs_files = pytest.mark.skipif(not FILES, reason="the raw alerts (contracts/paddle-classic-alerts) are not here")
GOOD = {
    "alert_id": "80011",
    "alert_name": "subscription_created",
    "event_time": "2026-05-01 10:00:00",
    "subscription_id": "501",
    "user_id": "9",
    "email": "zoë@customer.example",
    "passthrough": "",
}


@pytest.fixture(autouse=True)
def key(settings: Settings, db: None) -> None:
    settings.PADDLE_CLASSIC_PUBLIC_KEY = PUBLIC_KEY


def post(client: Client, body: bytes, content_type: str = FORM) -> Any:
    return client.post(ADDRESS, data=body, content_type=content_type)


def raw_fields(file: Path) -> dict[str, str]:
    return signature.decoded(file.read_bytes().strip())


def changed(text: str) -> str:
    """The same text with one byte that differs, or with one more where it is empty."""
    middle = len(text) // 2
    other = "8" if text[middle : middle + 1] != "8" else "9"
    return text[:middle] + other + text[middle + 1 :]


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_raw_alert_signed_again_is_taken_and_kept_as_it_came(client: Client, file: Path) -> None:
    body = body_of(signed(raw_fields(file)))

    response = post(client, body)

    event = WebhookEvent.objects.get()
    fields = raw_fields(file)
    assert (response.status_code, response.json()) == (200, {"alert_id": fields["alert_id"]})
    assert (event.source, event.event_type, event.state) == ("paddle_classic", fields["alert_name"], "received")
    assert (event.event_id, event.paddle_subscription_id) == (fields["alert_id"], fields["subscription_id"])
    assert event.payload.body.encode() == body


@needs_files
def test_there_are_all_six_raw_alerts() -> None:
    assert len(FILES) == 6


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_raw_alert_with_one_byte_changed_in_any_field_is_refused(client: Client, file: Path) -> None:
    fields = signed(raw_fields(file))
    names = list(fields)

    statuses = {name: post(client, body_of({**fields, name: changed(fields[name])})).status_code for name in names}
    renamed = {name: post(client, _renamed(fields, name)).status_code for name in names}

    assert statuses == dict.fromkeys(names, 401)
    assert renamed == dict.fromkeys(names, 401)
    assert (WebhookEvent.objects.count(), WebhookPayload.objects.count()) == (0, 0)


def _renamed(fields: Mapping[str, str], which: str) -> bytes:
    return body_of({changed(name) if name == which else name: value for name, value in fields.items()})


@needs_files
def test_a_raw_alert_as_paddle_signed_it_is_refused_for_it_was_another_key(client: Client) -> None:
    statuses = [post(client, file.read_bytes().strip()).status_code for file in FILES]

    assert statuses == [401] * len(FILES)
    assert WebhookRefusal.objects.get().reason == "key did not match"


def test_an_alert_is_stored_with_what_its_row_needs(client: Client) -> None:
    response = post(client, body_of(signed({**GOOD, "subscription_payment_id": "77"})))

    event = WebhookEvent.objects.get()
    assert response.status_code == 200
    assert event.occurred_at == dt.datetime(2026, 5, 1, 10, tzinfo=dt.UTC)
    assert (event.paddle_customer_id, event.subject_id, event.serial_key) == ("9", "77", "501")


def test_a_second_delivery_changes_nothing(client: Client) -> None:
    body = body_of(signed(GOOD))

    statuses = [post(client, body).status_code for _ in range(2)]

    assert statuses == [200, 200]
    assert (WebhookEvent.objects.count(), WebhookPayload.objects.count()) == (1, 1)


def test_an_alert_of_a_name_we_do_not_know_is_kept(client: Client) -> None:
    fields = {"alert_id": "1", "alert_name": "galaxy_exploded", "event_time": "2026-05-01 10:00:00", "odd": "é"}

    response = post(client, body_of(signed(fields)))

    assert response.status_code == 200
    assert WebhookEvent.objects.get().event_type == "galaxy_exploded"


def test_of_a_field_that_stands_twice_the_last_value_counts(client: Client) -> None:
    body = b"subscription_id=500&" + body_of(signed(GOOD))

    assert post(client, body).status_code == 200
    assert WebhookEvent.objects.get().paddle_subscription_id == "501"


def test_a_value_added_after_the_one_that_was_signed_is_refused(client: Client) -> None:
    assert post(client, body_of(signed(GOOD)) + b"&subscription_id=500").status_code == 401
    assert WebhookEvent.objects.count() == 0


def test_a_plus_and_a_percent_twenty_are_both_a_space(client: Client) -> None:
    body = body_of(signed({**GOOD, "passthrough": "a b"}))

    assert b"passthrough=a+b" in body
    assert post(client, body.replace(b"passthrough=a+b", b"passthrough=a%20b")).status_code == 200


def without(name: str) -> dict[str, str]:
    return {field: value for field, value in GOOD.items() if field != name}


BAD_FIELDS = {
    "no alert_id": (without("alert_id"), "alert_id"),
    "alert_id empty": ({**GOOD, "alert_id": ""}, "alert_id"),
    "alert_id too long": ({**GOOD, "alert_id": "1" * 101}, "alert_id"),
    "no alert_name": (without("alert_name"), "alert_name"),
    "alert_name too long": ({**GOOD, "alert_name": "n" * 101}, "alert_name"),
    "no event_time": (without("event_time"), "event_time"),
    "event_time no time": ({**GOOD, "event_time": "soon"}, "event_time"),
    "event_time impossible": ({**GOOD, "event_time": "2026-02-30 10:00:00"}, "event_time"),
    "event_time before time": ({**GOOD, "event_time": "0001-01-01 00:00:00"}, "event_time"),
    "no subscription_id": (without("subscription_id"), "subscription_id"),
    "subscription_id of Billing": ({**GOOD, "subscription_id": "sub_01"}, "subscription_id"),
    "subscription_id too long": ({**GOOD, "subscription_id": "5" * 65}, "subscription_id"),
    "user_id no number": ({**GOOD, "user_id": "kai"}, "user_id"),
}


@pytest.mark.parametrize(("fields", "field"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_a_signed_alert_that_cannot_be_stored_is_refused_by_naming_the_field(
    client: Client, fields: dict[str, str], field: str
) -> None:
    response = post(client, body_of(signed(fields)))

    assert (response.status_code, list(response.json())) == (400, [field])
    assert WebhookEvent.objects.count() == 0


BAD_BODIES = {
    "not UTF-8": b"alert_id=%ff&p_signature=x",
    "raw bytes that are not UTF-8": b"alert_id=\xff&p_signature=x",
    "NUL": b"alert_id=%00&p_signature=x",
    "a value without a name": b"=1&p_signature=x",
    "too many fields": b"&".join(b"a%d=" % number for number in range(1001)),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_no_form_is_refused(client: Client, body: bytes) -> None:
    response = post(client, body)

    assert (response.status_code, list(response.json())) == (400, ["body"])
    assert WebhookEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "missing p_signature"),
        (b'{"alert_id": "1"}', "missing p_signature"),
        (b"alert_id=1", "missing p_signature"),
        (b"alert_id=1&p_signature=", "missing p_signature"),
        (b"alert_id=1&p_signature=abc", "malformed p_signature"),
        (b"alert_id=1&p_signature=YWJj", "key did not match"),
    ],
)
def test_what_paddle_did_not_sign_is_refused_and_counted_by_reason(client: Client, body: bytes, reason: str) -> None:
    response = post(client, body)

    assert (response.status_code, response.json()) == (401, {"detail": reason})
    assert list(WebhookRefusal.objects.values_list("source", "reason", "count")) == [("paddle_classic", reason, 1)]


def test_while_classic_is_off_nobody_is_believed_and_nothing_is_counted(client: Client, settings: Settings) -> None:
    settings.PADDLE_CLASSIC_PUBLIC_KEY = ""

    response = post(client, body_of(signed(GOOD)))

    assert response.status_code == 503
    assert (WebhookEvent.objects.count(), WebhookRefusal.objects.count()) == (0, 0)


def test_a_body_over_one_mebibyte_is_refused_unread(client: Client) -> None:
    assert post(client, b"a" * (1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_only_post_is_answered(client: Client, method: str) -> None:
    assert getattr(client, method)(ADDRESS).status_code == 405


@pytest.mark.parametrize("content_type", [FORM, "text/plain", "application/json", f"{FORM}; charset=utf-8"])
def test_any_content_type_is_taken(client: Client, content_type: str) -> None:
    assert post(client, body_of(signed(GOOD)), content_type).status_code == 200
