"""Every answer and webhook of the simulated Paddle against Paddle's document and against the reference's fields."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contracts import contract, sample_files
from tests.vendors.paddle import presence
from tests.vendors.paddle.account import Account
from tests.vendors.paddle.tour import Stop, Tour, taken

DOCUMENT = "paddle-openapi.yaml"
NEWER_OPERATIONS = {"list subscription history", "list currencies"}
LISTS_WITHOUT_PAGES = {"list currencies", "list event types", "list credit balances"}
NEWER_EVENTS = re.compile(r"'(api_key_exposure|client_token|discount_group)\.\w+' is not one of")
"""Names of events that the document of 2025-05 does not know yet."""
ANYTHING: presence.Table = {}

ANSWERS: dict[str, presence.Table] = {
    **{f"{verb} product": presence.PRODUCT for verb in ("get", "create", "update")},
    **{f"{verb} price": presence.PRICE for verb in ("get", "create", "update")},
    **{f"{verb} customer": presence.CUSTOMER for verb in ("get", "create", "update")},
    **{f"{verb} address": presence.ADDRESS for verb in ("get", "create", "update")},
    **{f"{verb} business": presence.BUSINESS for verb in ("get", "create", "update")},
    **{
        f"{verb} subscription": presence.SUBSCRIPTION
        for verb in ("get", "update", "cancel", "pause", "resume", "activate", "charge")
    },
    **{f"{verb} transaction": presence.TRANSACTION for verb in ("get", "create", "update")},
    **{f"{verb} notification setting": presence.NOTIFICATION_SETTING for verb in ("get", "create", "update")},
    "list products": presence.PRODUCT,
    "list prices": presence.PRICE,
    "list customers": presence.CUSTOMER,
    "list addresses": presence.ADDRESS,
    "list businesses": presence.BUSINESS,
    "list credit balances": ANYTHING,
    "list subscriptions": presence.SUBSCRIPTION,
    "list subscription history": presence.HISTORY_ENTRY,
    "preview charge": presence.CHARGE_PREVIEW,
    "list transactions": presence.TRANSACTION,
    "preview transaction": presence.TRANSACTION_PREVIEW,
    "get invoice": {"url": None},
    "list adjustments": presence.ADJUSTMENT,
    "create adjustment": presence.ADJUSTMENT,
    "list currencies": presence.CURRENCY,
    "list ip addresses": {"ipv4_cidrs": None},
    "list events": presence.EVENT,
    "list event types": presence.EVENT_TYPE,
    "list notifications": presence.NOTIFICATION,
    "get notification": presence.NOTIFICATION,
    "list notification logs": presence.NOTIFICATION_LOG,
    "replay notification": {"notification_id": None},
    "list notification settings": presence.NOTIFICATION_SETTING,
}


@pytest.fixture(scope="module")
def tour() -> Tour:
    return taken()


def entities(stop: Stop) -> list[Any]:
    return list(stop.body["data"]) if isinstance(stop.body["data"], list) else [stop.body["data"]]


def every(tour: Tour, check: Callable[[Stop], Iterator[str]]) -> list[str]:
    return [f"{stop.operation}: {problem}" for stop in tour.stops if stop.body for problem in check(stop)]


# Answers


def test_the_tour_visits_every_operation(tour: Tour) -> None:
    assert {stop.operation for stop in tour.stops} == {route.operation for route in tour.account.simulator.routes}


def test_every_answer_is_valid_against_paddles_document(tour: Tour) -> None:
    document = contract(DOCUMENT)

    def problems(stop: Stop) -> Iterator[str]:
        if stop.operation not in NEWER_OPERATIONS:
            found = document.problems_of_answer(stop.method, stop.path, stop.status, stop.body)
            yield from (problem for problem in found if not NEWER_EVENTS.search(problem))

    assert every(tour, problems) == []


def test_only_the_newer_operations_are_unknown_to_the_document(tour: Tour) -> None:
    document = contract(DOCUMENT)

    unknown = {stop.operation for stop in tour.stops if not document.has(stop.method, stop.path)}

    assert unknown == NEWER_OPERATIONS


def test_no_answer_has_a_field_that_neither_document_nor_reference_knows(tour: Tour) -> None:
    document = contract(DOCUMENT)

    def problems(stop: Stop) -> Iterator[str]:
        if stop.operation in NEWER_OPERATIONS:
            return
        for field in document.unknown_fields_of_answer(stop.method, stop.path, stop.status, stop.body):
            if not presence.NEWER_THAN_THE_DOCUMENT & set(re.split(r"[.\[\]]+", field)):
                yield field

    assert every(tour, problems) == []


def test_every_answer_carries_every_field_that_the_reference_lists(tour: Tour) -> None:
    def problems(stop: Stop) -> Iterator[str]:
        for entity in entities(stop):
            yield from presence.missing(ANSWERS[stop.operation], entity)

    assert every(tour, problems) == []


def test_every_list_carries_its_pagination(tour: Tour) -> None:
    def problems(stop: Stop) -> Iterator[str]:
        if stop.operation.startswith("list ") and isinstance(stop.body["data"], list):
            if stop.operation in LISTS_WITHOUT_PAGES:
                assert "pagination" not in stop.body["meta"]
            else:
                yield from presence.missing(presence.PAGINATION, stop.body["meta"]["pagination"])

    assert every(tour, problems) == []


def test_included_entities_are_whole(tour: Tour) -> None:
    (subscription,) = [
        stop.body["data"] for stop in tour.of("get subscription") if "next_transaction" in stop.body["data"]
    ]
    transaction = tour.of("get transaction")[0].body["data"]
    product, price = tour.of("get product")[0].body["data"], tour.of("get price")[0].body["data"]

    found = [
        *presence.missing(presence.SUBSCRIPTION_WITH_INCLUDES, subscription),
        *presence.missing(presence.CUSTOMER, transaction["customer"]),
        *presence.missing(presence.ADDRESS, transaction["address"]),
        *presence.missing(presence.BUSINESS, transaction["business"]),
        *presence.missing(presence.ADJUSTMENT, transaction["adjustments"][0]),
        *presence.missing(presence.PRICE, product["prices"][0]),
        *presence.missing(presence.PRODUCT, price["product"]),
    ]

    assert found == []


def test_history_entries_carry_what_the_reference_lists_for_their_action(tour: Tour) -> None:
    entries = [entry for entries in tour.account.simulator.history.values() for entry in entries]
    tables = {
        "subscription_one_off_charge_applied": presence.CHARGE_IN_HISTORY,
        "subscription_renewed": presence.RENEWAL_IN_HISTORY,
        "subscription_payment_attempted": presence.PAYMENT_IN_HISTORY,
    }

    found = [
        problem
        for entry in entries
        for problem in presence.missing(tables.get(entry["detail"]["action"], presence.HISTORY_ENTRY), entry)
    ]
    unknown = [
        problem
        for entry in entries
        if entry["detail"]["action"] in tables
        for problem in presence.unknown(tables[entry["detail"]["action"]], entry)
    ]

    assert (found, unknown) == ([], [])
    assert set(tables) <= {entry["detail"]["action"] for entry in entries}


def test_currencies_carry_nothing_the_reference_does_not_list(tour: Tour) -> None:
    currencies = tour.of("list currencies")[0].body["data"]

    assert [problem for currency in currencies for problem in presence.unknown(presence.CURRENCY, currency)] == []


# Refusals


def test_every_refusal_is_paddles_error_object() -> None:
    document, account = contract(DOCUMENT), Account()
    subscription_id = account.subscribe()
    account.simulator.cancel(subscription_id)
    refused = [
        ("POST", f"/subscriptions/{subscription_id}/charge", account.charge(subscription_id)),
        ("POST", "/customers", account.post("/customers", {"email": 5, "x": 1})),
        ("GET", "/products/pro_none", account.get("/products/pro_none")),
    ]
    account.key = None
    refused.append(("GET", "/products", account.get("/products")))

    for method, path, reply in refused:
        assert document.problems_of_answer(method, path, reply.status, reply.body) == []
        assert list(presence.missing(presence.ERROR, reply.body)) == []
        assert set(document.unknown_fields_of_answer(method, path, reply.status, reply.body)) == set()


# Webhooks


def test_the_tour_sends_events_of_every_kind_the_simulator_knows(tour: Tour) -> None:
    assert {event["event_type"] for event in tour.account.simulator.events} >= {
        "address.created",
        "address.imported",
        "address.updated",
        "adjustment.created",
        "adjustment.updated",
        "business.created",
        "business.updated",
        "customer.created",
        "customer.imported",
        "customer.updated",
        "price.created",
        "price.updated",
        "product.created",
        "product.updated",
        "subscription.activated",
        "subscription.canceled",
        "subscription.created",
        "subscription.imported",
        "subscription.past_due",
        "subscription.paused",
        "subscription.resumed",
        "subscription.trialing",
        "subscription.updated",
        "transaction.billed",
        "transaction.canceled",
        "transaction.completed",
        "transaction.created",
        "transaction.paid",
        "transaction.past_due",
        "transaction.payment_failed",
        "transaction.ready",
        "transaction.updated",
    }


def test_every_webhook_is_valid_against_paddles_document(tour: Tour) -> None:
    document = contract(DOCUMENT)

    found = [
        f"{webhook.event['event_type']}: {problem}"
        for webhook in tour.account.received
        for problem in document.problems(document.schema(webhook.event["event_type"]), webhook.event)
    ]

    assert found == []


def test_no_webhook_has_a_field_that_neither_document_nor_reference_knows(tour: Tour) -> None:
    document = contract(DOCUMENT)

    found = {
        f"{webhook.event['event_type']}: {field}"
        for webhook in tour.account.received
        for field in document.unknown_fields(document.schema(webhook.event["event_type"]), webhook.event)
        if not presence.NEWER_THAN_THE_DOCUMENT & set(re.split(r"[.\[\]]+", field))
    }

    assert found == set()


def test_every_webhook_carries_every_field_that_the_reference_lists(tour: Tour) -> None:
    def table(event_type: str) -> presence.Table:
        if event_type == "subscription.created":
            return presence.CREATED_SUBSCRIPTION
        return presence.EVENT_DATA[event_type.partition(".")[0]]

    found = [
        f"{webhook.event['event_type']}: {problem}"
        for webhook in tour.account.received
        for problem in (
            *presence.missing(presence.ENVELOPE, webhook.event),
            *presence.missing(table(webhook.event["event_type"]), webhook.event["data"]),
        )
    ]

    assert found == []


def test_our_webhooks_carry_all_that_paddles_own_samples_carry(tour: Tour) -> None:
    samples = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sample_files("paddle-events")}
    if not samples:
        pytest.skip("Paddle's sample events are not beside the checkout (looked in ../shared/contracts)")
    sent = {webhook.event["event_type"]: webhook.event["data"] for webhook in tour.account.received}

    found = {name: set(sample) - set(sent[name]) for name, sample in samples.items()}
    details = set(samples["transaction.completed"]["details"]["totals"]) - set(
        sent["transaction.completed"]["details"]["totals"]
    )

    assert found == {name: set() for name in samples}
    assert details == set()
