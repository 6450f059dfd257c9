"""Customers, addresses and businesses that change: the account follows, whatever the order, and says nothing twice."""

import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.test import Client
from pytest_django import Settings

from integration_project import clock
from integration_project.events import PADDLE_HANDLERS
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.entities import Subscription
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync import people
from paddle_sync.models import AccountLink, WebhookEvent
from tests.builders import make_mapping, notification, post_notification
from tests.paddle_sync.people_rows import (
    BUYER,
    FOLLOWED,
    HARBOUR,
    NOT_CONCERNED,
    NOTHING_CHANGED,
    Row,
    account_of,
    all_changed,
    edit,
    last,
    rename,
    says,
    told_of,
)
from tests.paddle_sync.seen import operations
from tests.paddle_sync.test_contract_events import needs_files, payload
from tests.paddle_sync.test_faults import due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
TYPES = [f"{what}.{how}" for what in ("customer", "address", "business") for how in ("created", "updated", "imported")]


CHANGES = {
    "a new name": ("customer", {"name": "Anna Other"}, "name", "Anna Other"),
    "no name": ("customer", {"name": None}, "name", None),
    "a new e-mail address": (
        "customer",
        {"email": "a.other@harbour.example"},
        "emailAddress",
        "a.other@harbour.example",
    ),
    "another street": ("address", {"first_line": "5 Pier Road"}, "address", {"addressLine1": "5 Pier Road"}),
    "another country": ("address", {"country_code": "FR"}, "address", {"country": "FR"}),
}


@pytest.mark.parametrize(("what", "fields", "field", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_what_a_buyer_changes_follows_into_the_account(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    bought: Row,
    deliver: Run,
    run_jobs: Run,
    what: str,
    fields: Row,
    field: str,
    expected: Any,
) -> None:
    before, calls = account_of(m3ter, bought), len(operations(m3ter))
    customer = f"/customers/{bought['customer_id']}"
    edit(paddle, "PATCH", customer if what == "customer" else f"{customer}/addresses/{bought['address_id']}", **fields)

    deliver()
    run_jobs()

    wanted = expected or bought["subscription_id"]
    after = account_of(m3ter, bought)
    changed = {**before[field], **wanted} if isinstance(wanted, dict) else wanted
    assert {name for name in after if after[name] != before[name]} - {"dtLastModified"} == {field, "version"}
    assert (after[field], after["version"]) == (changed, before["version"] + 1)
    assert operations(m3ter)[calls:] == ["get account", "update account"]
    event = last(f"{what}.updated")
    assert (event.state, event.note) == ("processed", "Handed on to 1 subscription.")
    assert told_of(event.event_id) == [("processed", FOLLOWED)]
    assert AccountLink.objects.get().name == after["name"]


def test_the_name_of_the_business_counts_before_the_buyer_s(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought_for: Row, deliver: Run, run_jobs: Run
) -> None:
    rename(paddle, bought_for, "Anna Other")
    deliver()
    run_jobs()
    business = f"/customers/{bought_for['customer_id']}/businesses/{bought_for['business_id']}"
    first = account_of(m3ter, bought_for)["name"]

    edit(paddle, "PATCH", business, name="Harbour Tools & Sons")
    deliver()
    run_jobs()

    assert (first, account_of(m3ter, bought_for)["name"]) == ("Harbour Tools Ltd", "Harbour Tools & Sons")
    assert told_of(last("customer.updated").event_id) == [("ignored", NOTHING_CHANGED)]
    assert AccountLink.objects.get().name == "Harbour Tools & Sons"


def test_what_people_at_m3ter_added_to_the_account_stays(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    (row,) = m3ter.memory.accounts
    row |= {"purchaseOrderNumber": "PO-7", "customFields": {**row["customFields"], "region": "south"}}
    rename(paddle, bought, "Anna Other")

    deliver()
    run_jobs()

    after = account_of(m3ter, bought)
    assert (after["name"], after["purchaseOrderNumber"], after["customFields"]["region"]) == (
        "Anna Other",
        "PO-7",
        "south",
    )


# --- Any order, any number ------------------------------------------------------------------------------------------


ORDERS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "in order": lambda events: events,
    "backwards": lambda events: events[::-1],
    "each of them twice": lambda events: [event for event in events for _ in range(2)],
    "all of them, and all again": lambda events: events + events,
    "the first alone": lambda events: events[:1],
    "the address alone": lambda events: events[2:3],
    "the business alone": lambda events: events[3:4],
}


@pytest.mark.parametrize("one_by_one", [False, True], ids=["together", "one by one"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_in_any_order_and_number_the_account_ends_as_paddle_is(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    client: Client,
    bought_for: Row,
    run_jobs: Run,
    order: Callable[[list[Row]], list[Row]],
    one_by_one: bool,
) -> None:
    events = order(all_changed(paddle, bought_for))
    for event in events:
        post_notification(client, event)
        if one_by_one:
            run_jobs()

    run_jobs()

    assert says(account_of(m3ter, bought_for)) == (
        "Harbour Works",
        "second@harbour.example",
        {"addressLine1": "5 Pier Road", "postCode": "T12 X000", "country": "IE"},
    )
    assert operations(m3ter).count("update account") == 1
    assert not WebhookEvent.objects.exclude(state__in=("processed", "ignored")).exists()


@pytest.mark.parametrize("event_type", TYPES)
def test_an_event_is_believed_only_as_far_as_paddle_says_the_same(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, bought_for: Row, run_jobs: Run, event_type: str
) -> None:
    before = account_of(m3ter, bought_for)
    what = event_type.partition(".")[0]
    stale = {
        "id": bought_for[f"{what}_id"],
        "customer_id": bought_for["customer_id"],
        "name": "Stale",
        "email": "s@s.s",
    }
    envelope = notification(event_type, stale)
    post_notification(client, envelope)

    run_jobs()

    assert told_of(envelope["event_id"]) == [("ignored", NOTHING_CHANGED)]
    assert account_of(m3ter, bought_for) == before


@needs_files
@pytest.mark.parametrize("event_type", ["customer.created", "customer.updated", "address.created", "business.created"])
def test_a_published_payload_is_handed_on_to_its_customer_s_subscription(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, bought_for: Row, run_jobs: Run, event_type: str
) -> None:
    what, data = event_type.partition(".")[0], payload(event_type)
    own = {"id": bought_for[f"{what}_id"]} | ({} if what == "customer" else {"customer_id": bought_for["customer_id"]})
    table = {"customer": "customers", "address": "addresses", "business": "businesses"}[what]
    getattr(paddle.world.memory, table)[own["id"]].update({**data, **own})
    envelope = notification(event_type, {**data, **own})
    post_notification(client, envelope)

    run_jobs()

    expected = {"customer": ("emailAddress", "jo@example.com"), "business": ("name", "Uplift Inc.")}
    field, value = expected.get(what, ("address", None))
    account = account_of(m3ter, bought_for)
    assert told_of(envelope["event_id"]) == [("processed", FOLLOWED)]
    assert account[field] == value or account["address"]["addressLine1"] == "4050 Jefferson Plaza, 41st Floor"


def test_every_type_of_these_events_has_its_function() -> None:
    assert {
        event_type
        for event_type in PADDLE_HANDLERS
        if event_type.partition(".")[0] in {"customer", "address", "business"}
    } == set(TYPES)


# --- Somebody else changes the account at that moment ---------------------------------------------------------------


class Meddler(WsgiAdapter):
    """Somebody else who saves the account right before the given number of our writes."""

    def __init__(self, m3ter: M3terSimulator, times: int) -> None:
        super().__init__(m3ter)
        self.m3ter = m3ter
        self.times = times

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        if request.method == "PUT" and "/accounts/" in str(request.url) and self.times:
            self.times -= 1
            for row in self.m3ter.memory.accounts:
                row |= {"version": row["version"] + 1, "purchaseOrderNumber": "PO-8"}
        return super().send(request, *args, **options)


@pytest.mark.parametrize(("times", "state"), [(1, "processed"), (2, "received")])
def test_a_version_conflict_is_settled_at_once_and_a_second_one_later(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    settings: Settings,
    bought: Row,
    deliver: Run,
    run_jobs: Run,
    times: int,
    state: str,
) -> None:
    rename(paddle, bought, "Anna Other")
    settings.VENDOR_TRANSPORTS = {**settings.VENDOR_TRANSPORTS, "m3ter": Meddler(m3ter, times)}

    deliver()
    run_jobs()
    first = told_of(last("customer.updated").event_id)[0][0]
    due_again()
    run_jobs()

    account = account_of(m3ter, bought)
    assert first == state
    assert told_of(last("customer.updated").event_id) == [("processed", FOLLOWED)]
    assert (account["name"], account["purchaseOrderNumber"]) == ("Anna Other", "PO-8")


def test_a_lost_answer_is_found_to_be_written(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    rename(paddle, bought, "Anna Other")
    m3ter.fault("update account", "lose_answer")

    deliver()
    run_jobs()
    due_again()
    run_jobs()

    assert operations(m3ter).count("update account") == 1
    assert (account_of(m3ter, bought)["name"], AccountLink.objects.get().name) == ("Anna Other", "Anna Other")


# --- Another buyer --------------------------------------------------------------------------------------------------


def test_a_subscription_that_goes_to_another_customer_takes_nothing_of_the_first_along(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: Row
) -> None:
    other = edit(paddle, "POST", "/customers", email="b@other.example", name="Berta Other")
    moved = {**paddle.subscriptions[bought["subscription_id"]], "customer_id": other["id"], "address_id": None}
    link = AccountLink.objects.get()

    first = people.bring_up_to_date(link, Subscription.from_paddle(moved), vendors)
    second = people.bring_up_to_date(link, Subscription.from_paddle(moved), vendors)

    account = account_of(m3ter, bought)
    assert (first, second) == (True, False)
    assert says(account) == ("Berta Other", "b@other.example", {})
    assert account["customFields"]["paddleCustomerId"] == other["id"]
    link.refresh_from_db()
    assert (link.name, link.paddle_customer_id, link.paddle_address_id) == ("Berta Other", other["id"], "")


def test_a_business_that_is_added_gives_the_account_its_name(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: Row, deliver: Run, run_jobs: Run
) -> None:
    business = edit(paddle, "POST", f"/customers/{bought['customer_id']}/businesses", **HARBOUR)
    deliver()
    run_jobs()
    concerned_nobody = last("business.created").note
    edit(paddle, "PATCH", f"/subscriptions/{bought['subscription_id']}", business_id=business["id"])
    subscription = vendors.paddle.get_subscription(bought["subscription_id"])

    changed = people.bring_up_to_date(AccountLink.objects.get(), subscription, vendors)
    named = account_of(m3ter, bought)["name"]
    deliver()
    run_jobs()
    path = f"/customers/{bought['customer_id']}/businesses/{business['id']}"
    edit(paddle, "PATCH", path, name="Harbour Works")
    deliver()
    run_jobs()

    assert (concerned_nobody, changed, named) == (NOT_CONCERNED, True, "Harbour Tools Ltd")
    assert account_of(m3ter, bought)["name"] == "Harbour Works"
    assert AccountLink.objects.get().paddle_business_id == business["id"]


def test_a_customer_whom_paddle_does_not_know_changes_nothing(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: Row
) -> None:
    before = account_of(m3ter, bought)
    subscription = vendors.paddle.get_subscription(bought["subscription_id"])
    paddle.customers.clear()

    assert people.bring_up_to_date(AccountLink.objects.get(), subscription, vendors) is False
    assert account_of(m3ter, bought) == before


ADOPTED = list(itertools.product((False, True), (False, True)))


@pytest.mark.parametrize(("late", "renamed"), ADOPTED)
def test_an_account_that_was_there_before_takes_the_buyer_s_name(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    deliver: Run,
    run_jobs: Run,
    late: bool,
    renamed: bool,
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(**BUYER)
    account = vendors.m3ter.create_account(
        NewAccount(code=bought["subscription_id"], name="Harbour as it was", email_address="old@harbour.example")
    )
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=bought["subscription_id"]
    )
    if renamed:
        rename(paddle, bought, "Anna Other")
    deliver()
    if late:
        soon = clock.now() + dt.timedelta(hours=1)
        WebhookEvent.objects.filter(event_type__startswith="customer.").update(due_at=soon)
    run_jobs()
    due_again()
    run_jobs()

    after = account_of(m3ter, bought)
    assert (after["name"], after["emailAddress"]) == ("Anna Other" if renamed else "Anna Person", BUYER["email"])
    assert (after["id"], AccountLink.objects.get().adopted) == (account.id, True)
