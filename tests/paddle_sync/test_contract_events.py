"""Paddle's own published payloads go through the whole way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from paddle_sync import mappings
from paddle_sync.models import AccountLink, AccountPlanLink, WebhookEvent
from tests.builders import make_mapping, notification, post_notification
from tests.contracts import sample_files
from tests.paddle_sync.seen import created, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

FILES = sample_files("paddle-events")
SEAT_PRICE, ADDON_PRICE = "pri_01gsz8x8sawmvhz1pv30nge1ke", "pri_01h1vjfevh5etwq3rb416a23h2"
SUPPORT_PRICE, TRIAL_PRICE = "pri_01gsz95g2zrkagg294kpstx54r", "pri_01hv0vax6rv18t4tamj848ne4d"
SUBSCRIPTION = "sub_01hv8x29kz0t586xy6zn1a62ny"
needs_files = pytest.mark.skipif(not FILES, reason="the published payloads (contracts/paddle-events) are not here")


def payload(event_type: str) -> dict[str, Any]:
    (file,) = [file for file in FILES if file.stem == event_type]
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return data


def decide_both() -> None:
    make_mapping(SEAT_PRICE)
    make_mapping(ADDON_PRICE, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS)


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_published_payload_is_stored_and_answered(client: Client, file: Path) -> None:
    data = json.loads(file.read_text(encoding="utf-8"))

    response = post_notification(client, notification(file.stem, data))

    event = WebhookEvent.objects.get()
    assert response.status_code == 200
    assert (event.event_type, event.subject_id, event.state) == (file.stem, data["id"], "received")


@needs_files
def test_two_decided_items_are_one_account_and_their_plans(
    client: Client, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    decide_both()
    post_notification(client, notification("subscription.created", payload("subscription.created")))

    run_jobs()

    assert created().state == "processed"
    assert [account["code"] for account in m3ter.memory.accounts] == [SUBSCRIPTION]
    assert {plan["planId"] for plan in m3ter.memory.account_plans} == {m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS}
    quantities = AccountPlanLink.objects.values_list("m3ter_plan_id", "quantity")
    assert dict(quantities) == {m3ter_sample.PLAN_SCALE: 10, m3ter_sample.PLAN_SEATS: 1}
    assert AccountLink.objects.get().currency == "USD"


@needs_files
def test_an_event_of_years_ago_gives_the_same(
    client: Client, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    decide_both()
    old = notification(
        "subscription.created", payload("subscription.created"), occurred_at="2024-04-12T10:18:49.621022Z"
    )
    post_notification(client, old)

    run_jobs()

    assert created().state == "processed"
    assert (len(list(m3ter.memory.accounts)), len(list(m3ter.memory.account_plans))) == (1, 2)


@needs_files
def test_one_undecided_item_parks_all_and_writes_nothing_until_it_is_decided(
    client: Client, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    make_mapping(SEAT_PRICE)
    post_notification(client, notification("subscription.created", payload("subscription.created")))
    run_jobs()
    before = (created().state, created().waiting_for_key, operations(m3ter))

    addon = make_mapping(ADDON_PRICE, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS)
    mappings.saved(addon, by="anna")
    run_jobs()

    assert before == ("parked", ADDON_PRICE, [])
    assert (len(list(m3ter.memory.accounts)), len(list(m3ter.memory.account_plans))) == (1, 2)


@needs_files
def test_no_published_payload_fails(client: Client, m3ter: M3terSimulator, run_jobs: Callable[[], int]) -> None:
    decide_both()
    for price in (SUPPORT_PRICE, TRIAL_PRICE):
        make_mapping(price, target="not_metered", plan="", m3ter_product="")
    for file in FILES:
        post_notification(client, notification(file.stem, json.loads(file.read_text(encoding="utf-8"))))

    run_jobs()

    assert list(WebhookEvent.objects.filter(state="failed").values_list("event_type", "note")) == []
    assert [account["code"] for account in m3ter.memory.accounts] == [SUBSCRIPTION]
