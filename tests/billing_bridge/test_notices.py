"""m3ter's notices: believed by their token, stored once, and answered by reading the bill they name."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ
from pytest_django import Settings

from billing_bridge.models import PushedBill
from integration_project import clock
from integration_project.models import WebhookRefusal
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent, WebhookPayload
from tests.billing_bridge.world import World, let_time_pass
from tests.conftest import M3TER_WEBHOOK_TOKEN

pytestmark = pytest.mark.django_db


def post(client: Client, body: Any, *, token: str = M3TER_WEBHOOK_TOKEN) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/webhooks/m3ter/{token}/", data=data, content_type="application/json")


def notice(bill_id: str = "bill-1", event_id: str = "event-1", **changes: Any) -> dict[str, Any]:
    body = {
        "id": event_id,
        "eventName": "billing.bill.updated",
        "eventTime": "2026-03-02T08:30:01.100Z",
        "dtActioned": None,
        "m3terEvent": {"eventData": {"newDto": {"id": bill_id, "status": "APPROVED"}}},
    }
    return {**body, **changes}


@pytest.fixture(autouse=True)
def token(settings: Settings) -> None:
    settings.M3TER_WEBHOOK_TOKENS = ["o" * 32, M3TER_WEBHOOK_TOKEN]


def test_a_notice_is_stored_with_the_bill_it_names(client: Client) -> None:
    response = post(client, notice())

    event = WebhookEvent.objects.get()
    assert (response.status_code, response.json()) == (200, {"event_id": "event-1"})
    assert (event.source, event.event_type, event.subject_id) == ("m3ter", "billing.bill.updated", "bill-1")
    assert event.serial_key == "bill:bill-1"
    assert event.occurred_at.isoformat() == "2026-03-02T08:30:01.100000+00:00"
    assert json.loads(WebhookPayload.objects.get().body) == notice()


@pytest.mark.parametrize("spelt", ["2026-03-02T08:30Z", "2026-03-02T08:30:00+0000", "20260302T093000+01:00"])
def test_a_notice_s_time_may_be_spelt_in_any_way_of_iso_8601(client: Client, spelt: str) -> None:
    response = post(client, notice(eventTime=spelt))

    assert response.status_code == 200
    assert WebhookEvent.objects.get().occurred_at.isoformat() == "2026-03-02T08:30:00+00:00"


def test_any_of_several_tokens_is_believed(client: Client) -> None:
    assert post(client, notice(), token="o" * 32).status_code == 200


@pytest.mark.parametrize("wrong", ["x", "t" * 39, "t" * 41, "T" * 40, "tö"])
def test_a_wrong_token_is_answered_as_if_there_were_no_page(client: Client, wrong: str) -> None:
    response = post(client, notice(), token=wrong)

    assert response.status_code == 404
    assert WebhookEvent.objects.count() == 0
    assert WebhookRefusal.objects.get().reason == "wrong token"


def test_without_any_token_nobody_is_believed(client: Client, settings: Settings) -> None:
    settings.M3TER_WEBHOOK_TOKENS = []

    assert post(client, notice()).status_code == 503
    assert WebhookEvent.objects.count() == 0


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    assert getattr(client, method)(f"/webhooks/m3ter/{M3TER_WEBHOOK_TOKEN}/").status_code == 405


def test_the_same_event_is_stored_once(client: Client) -> None:
    answers = [post(client, notice()).status_code for _ in range(5)]

    assert answers == [200] * 5
    assert WebhookEvent.objects.count() == 1


def test_a_notice_without_an_id_is_told_apart_by_its_body(client: Client) -> None:
    one = {key: value for key, value in notice().items() if key != "id"}

    post(client, one)
    post(client, one)
    post(client, {**one, "eventTime": "2026-03-02T08:30:02.100Z"})

    assert WebhookEvent.objects.count() == 2
    assert all(event.event_id.startswith("body:") for event in WebhookEvent.objects.all())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"no json", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff\xfe", "body"),
        (b'{"id": "a", "id": "b"}', "id"),
        (b'{"id": "a\\u0000b"}', "id"),
        (b'{"id": NaN}', "body"),
        (b"[" * 5000 + b"]" * 5000, "body"),
        (notice(id=7), "id"),
        (notice(id="x" * 101), "id"),
        (notice(id={}), "id"),
        (notice(eventName=["a"]), "eventName"),
        (notice(eventName="x" * 101), "eventName"),
        (notice(eventTime="yesterday"), "eventTime"),
        (notice(eventTime="2026-03-02T08:30:01"), "eventTime"),
        (notice(eventTime="2026-13-02T08:30:01Z"), "eventTime"),
        (notice(eventTime=5), "eventTime"),
        (notice(eventTime="9999-12-31T23:59:59-05:00"), "eventTime"),
        (notice(m3terEvent="text"), "m3terEvent"),
        (notice(m3terEvent={"eventData": []}), "m3terEvent.eventData"),
        (notice(m3terEvent={"eventData": {"newDto": 5}}), "m3terEvent.eventData.newDto"),
        (notice(bill_id="x" * 65), "m3terEvent.eventData.newDto.id"),
        (notice(m3terEvent={"eventData": {"newDto": {"id": 5}}}), "m3terEvent.eventData.newDto.id"),
    ],
)
def test_a_bad_body_is_refused_and_the_field_named(client: Client, body: Any, field: str) -> None:
    response = post(client, body)

    assert response.status_code == 400
    assert list(response.json()) == [field]
    assert WebhookEvent.objects.count() == 0


def test_a_body_over_one_mebibyte_is_refused(client: Client) -> None:
    assert post(client, b'{"id": "' + b"x" * 1024 * 1024 + b'"}').status_code == 413


def test_a_notice_of_something_else_is_stored_and_ignored(world: World, client: Client) -> None:
    post(client, notice(eventName="configuration.account.updated"))

    drain_events()

    event = WebhookEvent.objects.get()
    assert (event.state, event.subject_id) == ("ignored", "")


# --- What becomes of it -----------------------------------------------------------------------------------------------


def test_a_notice_imports_the_bill_it_names(world: World, deliver: Callable[[], int]) -> None:
    bill_id = world.make_bill()

    deliver()
    drain_events()

    bill = PushedBill.objects.get()
    assert (bill.m3ter_bill_id, bill.reason) == (bill_id, "review")
    assert "processed" in set(WebhookEvent.objects.values_list("state", flat=True))


def test_a_notice_is_a_hint_and_never_data(world: World, client: Client) -> None:
    bill_id = world.make_bill(approve=False)

    post(
        client,
        notice(
            bill_id=bill_id, m3terEvent={"eventData": {"newDto": {"id": bill_id, "status": "APPROVED", "billTotal": 1}}}
        ),
    )
    drain_events()

    assert PushedBill.objects.count() == 0
    assert WebhookEvent.objects.get().state == "processed"


def test_many_notices_of_one_bill_read_it_at_most_once_in_five_seconds(world: World, client: Client) -> None:
    bill_id = world.make_bill()
    before = world.calls("get bill", "m3ter")
    for number in range(20):
        post(client, notice(bill_id=bill_id, event_id=f"event-{number}"))

    drain_events()

    assert world.calls("get bill", "m3ter") - before == 1
    states = list(WebhookEvent.objects.values_list("state", flat=True))
    assert sorted(set(states)) == ["ignored", "processed"]
    assert states.count("processed") == 1


def test_a_notice_that_comes_right_after_a_read_waits_and_is_not_lost(world: World, client: Client) -> None:
    bill_id = world.make_bill()
    post(client, notice(bill_id=bill_id, event_id="first"))
    drain_events()
    post(client, notice(bill_id=bill_id, event_id="second"))
    before = world.calls("get bill", "m3ter")

    drain_events()
    waiting = WebhookEvent.objects.get(event_id="second")
    reads_at_once = world.calls("get bill", "m3ter") - before
    let_time_pass(seconds=6)
    drain_events()

    assert (waiting.state, reads_at_once) == ("received", 0)
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now()
    assert world.calls("get bill", "m3ter") - before == 1


def test_a_notice_of_a_deleted_bill_holds_it(world: World, client: Client) -> None:
    bill = world.imported()
    world.delete_in_m3ter(bill)
    event_data = {"oldDto": {"id": bill.m3ter_bill_id}}

    post(client, notice(eventName="billing.bill.deleted", m3terEvent={"eventData": event_data}))
    drain_events()

    assert PushedBill.objects.get().reason == "deleted"


def test_a_notice_that_names_no_bill_has_all_unfinished_ones_looked_through(world: World, client: Client) -> None:
    post(client, {"anything": "at all"})

    drain_events()

    event = WebhookEvent.objects.get()
    assert (event.event_type, event.state) == ("notice", "processed")
    assert "billing_bridge.jobs.import_new_bills" in [task.task["func"] for task in OrmQ.objects.all()]


def test_a_vendors_nonsense_is_said_in_words_and_tried_again(world: World, client: Client) -> None:
    bill_id = world.make_bill()
    world.m3ter.fault("get bill", "html")
    post(client, notice(bill_id=bill_id))

    drain_events()

    event = WebhookEvent.objects.get()
    assert event.state == "received"
    assert "HTML" in event.last_error
