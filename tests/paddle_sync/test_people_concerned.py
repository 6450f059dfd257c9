"""Whom an event of a customer, an address or a business concerns, and how it is handed on to each."""

import datetime as dt
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import intake
from paddle_sync.models import AccountLink, EventAttempt, WebhookEvent, WebhookPayload
from tests.builders import make_event, notification, post_notification
from tests.paddle_sync.people_rows import (
    BUYER,
    FOLLOWED,
    NOT_CONCERNED,
    Row,
    account_of,
    all_changed,
    edit,
    last,
    rename,
    told_of,
    written_down,
)
from tests.paddle_sync.seen import operations
from tests.paddle_sync.test_faults import due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


# --- Whom it concerns -----------------------------------------------------------------------------------------------


def test_every_live_subscription_of_the_customer_follows(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    second = paddle.complete_checkout(**BUYER)
    deliver()
    run_jobs()

    rename(paddle, bought, "Anna Other")
    deliver()
    run_jobs()

    event = last("customer.updated")
    assert event.note == "Handed on to 2 subscriptions."
    assert told_of(event.event_id) == [("processed", FOLLOWED)] * 2
    assert {account_of(m3ter, one)["name"] for one in (bought, second)} == {"Anna Other"}


def test_an_address_concerns_the_subscriptions_that_have_it(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    second = paddle.complete_checkout(**BUYER)
    deliver()
    run_jobs()
    path = f"/customers/{second['customer_id']}/addresses/{second['address_id']}"

    edit(paddle, "PATCH", path, first_line="5 Pier Road")
    deliver()
    run_jobs()

    event = last("address.updated")
    assert event.note == "Handed on to 1 subscription."
    lines = [account_of(m3ter, one)["address"]["addressLine1"] for one in (bought, second)]
    assert lines == ["4 Quay Street", "5 Pier Road"]


@pytest.mark.parametrize(("known", "count"), [("", 1), ("add_of_this", 1), ("add_of_another", 0)])
def test_a_link_of_whose_subscription_nothing_is_stored_is_asked_itself(
    client: Client, bought: Row, run_jobs: Run, known: str, count: int
) -> None:
    data = {"id": "add_of_this", "customer_id": "ctm_made_up"}
    AccountLink.objects.update(
        paddle_subscription_id="sub_bare", paddle_customer_id="ctm_made_up", paddle_address_id=known
    )
    envelope = notification("address.updated", data)
    post_notification(client, envelope)

    run_jobs()

    assert len(told_of(envelope["event_id"])) == count


def test_a_customer_without_subscription_concerns_nobody(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    stranger = edit(paddle, "POST", "/customers", email="x@y.example", name="Somebody")
    calls = len(operations(m3ter)), len(operations(paddle))
    edit(paddle, "POST", f"/customers/{stranger['id']}/addresses", country_code="IE")
    deliver()
    run_jobs()

    assert [(last(t).state, last(t).note) for t in ("customer.created", "address.created")] == [
        ("ignored", NOT_CONCERNED),
        ("ignored", NOT_CONCERNED),
    ]
    assert (len(operations(m3ter)), len(operations(paddle))) == (calls[0], calls[1] + 1)


def test_the_account_of_a_subscription_that_ended_is_left_alone(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    before = account_of(m3ter, bought)
    rename(paddle, bought, "Anna Other")
    deliver()
    WebhookEvent.objects.filter(state="received").update(due_at=clock.now() + dt.timedelta(hours=1))
    handed_on_to = make_event(
        "customer.updated",
        {"id": bought["customer_id"], "subscription_id": bought["subscription_id"]},
        paddle_subscription_id=bought["subscription_id"],
    )
    AccountLink.objects.update(state="ended")
    run_jobs()
    due_again()
    run_jobs()

    handed_on_to.refresh_from_db()
    assert (handed_on_to.state, last("customer.updated").state) == ("ignored", "ignored")
    assert "has ended" in handed_on_to.note
    assert account_of(m3ter, bought) == before


def test_a_fresh_checkout_is_handed_on_to_nobody_and_costs_no_call_more(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought_for: Row
) -> None:
    assert not WebhookEvent.objects.filter(event_id__contains="/").exists()
    assert operations(paddle) == ["get transaction"]
    assert len(operations(m3ter)) == 4


def test_an_account_that_another_worker_is_just_making_is_looked_at_again(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, bought: Row, run_jobs: Run
) -> None:
    """The other worker read the buyer before the change, and links the account after the event of it has run."""
    made_by = WebhookEvent.objects.get(event_type="subscription.created")
    link = AccountLink.objects.get()
    lease = {"lease": uuid.uuid4(), "lease_until": clock.now() + dt.timedelta(minutes=1)}
    WebhookEvent.objects.filter(pk=made_by.pk).update(state="processing", **lease)
    AccountLink.objects.update(paddle_customer_id="ctm_nobody_knows_yet")
    rename(paddle, bought, "Anna Other")
    post_notification(client, paddle.events[-1])
    run_jobs()
    waiting = told_of(paddle.events[-1]["event_id"])

    WebhookEvent.objects.filter(pk=made_by.pk).update(state="processed", lease=None)
    AccountLink.objects.update(paddle_customer_id=link.paddle_customer_id, created_at=clock.now())
    EventAttempt.objects.filter(event=made_by).update(finished_at=clock.now())
    run_jobs()

    assert waiting == [("received", "")]
    assert told_of(paddle.events[-1]["event_id"]) == [("processed", FOLLOWED)]
    assert account_of(m3ter, bought)["name"] == "Anna Other"


def test_an_account_that_was_begun_after_the_change_is_not_looked_at_again(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, bought: Row, run_jobs: Run
) -> None:
    made_by = EventAttempt.objects.get(event__event_type="subscription.created")
    event = make_event(
        "customer.updated",
        {"id": bought["customer_id"], "subscription_id": bought["subscription_id"]},
        received_at=made_by.started_at - dt.timedelta(milliseconds=1),
    )
    calls = len(operations(paddle)), len(operations(m3ter))

    run_jobs()

    event.refresh_from_db()
    assert (event.state, "made after this" in event.note) == ("ignored", True)
    assert (len(operations(paddle)), len(operations(m3ter))) == calls


# --- Rows, repeats and replays --------------------------------------------------------------------------------------


def test_an_event_that_runs_again_after_a_kill_hands_nothing_on_twice(
    paddle: PaddleSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    rename(paddle, bought, "Anna Other")
    deliver()
    run_jobs()

    WebhookEvent.objects.filter(event_id=last("customer.updated").event_id).update(state="received")
    WebhookPayload.objects.filter(event__event_id__contains="/").delete()
    due_again()
    run_jobs()

    event = last("customer.updated")
    assert (event.note, len(told_of(event.event_id))) == ("Handed on to 1 subscription.", 1)
    assert WebhookPayload.objects.filter(event__event_id__contains="/").count() == 1


def test_a_replay_hands_on_anew(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    rename(paddle, bought, "Anna Other")
    deliver()
    run_jobs()
    account = vendors.m3ter.get_account(AccountLink.objects.get().m3ter_account_id)
    vendors.m3ter.update_account(account, name="By mistake")

    intake.replay(last("customer.updated").pk, by="anna", reason="somebody changed it in m3ter")
    run_jobs()

    assert told_of(last("customer.updated").event_id) == [("processed", FOLLOWED)] * 2
    assert account_of(m3ter, bought)["name"] == "Anna Other"


def test_an_id_as_long_as_it_may_be_is_handed_on_too(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, bought: Row, run_jobs: Run
) -> None:
    rename(paddle, bought, "Anna Other")
    data = paddle.customers[bought["customer_id"]]
    post_notification(client, notification("customer.updated", data, event_id="e" * 100))

    run_jobs()

    assert [
        event_id for event_id in WebhookEvent.objects.values_list("event_id", flat=True) if len(event_id) > 100
    ] == []
    assert account_of(m3ter, bought)["name"] == "Anna Other"


def test_nothing_personal_is_written_down_on_the_way(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought_for: Row, deliver: Run, run_jobs: Run, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    all_changed(paddle, bought_for)
    m3ter.fault("update account", "error_before")
    deliver()
    run_jobs()
    due_again()
    run_jobs()

    child_bodies = WebhookPayload.objects.filter(event__event_id__contains="/").values_list("body", flat=True)
    findings = json.dumps(list(Finding.objects.values()), default=str)
    everywhere = written_down() + "".join(child_bodies) + caplog.text + findings
    assert account_of(m3ter, bought_for)["name"] == "Harbour Works"
    assert [word for word in ("Anna", "Harbour", "harbour.example", "Quay", "Pier", "Cork") if word in everywhere] == []
