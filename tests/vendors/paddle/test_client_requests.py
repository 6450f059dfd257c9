"""Every request our Paddle client makes, against Paddle's document: what is sent, not only what comes back."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle.entities import Charge, ChargeItem, NewInvoice, Period
from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import Call
from tests.contracts import contract
from tests.vendors.paddle.stage import PUSH, START, Stage, charge, new_stage

DOCUMENT = "paddle-openapi.yaml"
NEWER_OPERATIONS = {"list subscription history", "list currencies"}
NEWER_PARAMETERS = {"list events": {"event_type"}}
INCLUDES = ("next_transaction", "recurring_transaction_details")
PARTS = ("customer", "address", "business")


def charge_everything(stage: Stage) -> None:
    for body in charges():
        stage.client.preview_charge(stage.subscription_id, body)
        stage.client.charge_subscription(stage.subscription_id, body)


def list_transactions(stage: Stage) -> None:
    since = stage.simulator.clock.now()
    list(stage.client.list_transactions(subscription_id=stage.subscription_id, origin=["web"], created_since=since))
    list(stage.client.list_transactions(ids=[stage.transaction_id], status=["completed"]))


def list_events(stage: Stage) -> None:
    first = next(iter(stage.client.list_events()))
    list(stage.client.list_events(after=first.event_id, event_types=["subscription.created"]))


def invoice_everything(stage: Stage) -> None:
    for number, body in enumerate(invoices(stage)):
        stage.client.preview_invoice(body)
        made = stage.client.create_invoice(body)
        if number:
            stage.client.cancel_transaction(made.id)


def adjust_everything(stage: Stage) -> None:
    stage.refund(1000)
    stage.simulator.settle_adjustments()
    stage.refund(None, tax_mode="internal")
    stage.refund(None, action="credit", transaction_id=stage.invoice(push_id="another-1").id)


def list_adjustments(stage: Stage) -> None:
    list(stage.client.list_adjustments(subscription_id=stage.subscription_id))
    list(stage.client.list_adjustments(transaction_ids=[stage.transaction_id, "txn_01hv0000000000000000000000"]))


def part(stage: Stage, name: str) -> str:
    return str(stage.simulator.subscriptions[stage.subscription_id][f"{name}_id"])


def subscribe_destination(stage: Stage) -> object:
    stage.simulator.send_webhooks_to("http://127.0.0.1/webhooks/paddle/")
    return stage.client.subscribe_destination(sample.NOTIFICATION_SETTING_ID, ["subscription.created"])


CALLS: Mapping[str, Callable[[Stage], object]] = {
    "get_subscription": lambda stage: stage.client.get_subscription(stage.subscription_id, include=INCLUDES),
    "list_subscriptions": lambda stage: list(
        stage.client.list_subscriptions(ids=[stage.subscription_id], status=["active", "past_due"])
    ),
    "get_transaction": lambda stage: stage.client.get_transaction(stage.transaction_id, include=PARTS),
    "find_transaction": lambda stage: stage.client.find_transaction(stage.transaction_id, include=PARTS),
    "list_transactions": list_transactions,
    "get_customer": lambda stage: stage.client.get_customer(stage.customer_id),
    "find_customer": lambda stage: stage.client.find_customer(stage.customer_id),
    "get_address": lambda stage: stage.client.get_address(stage.customer_id, part(stage, "address")),
    "find_address": lambda stage: stage.client.find_address(stage.customer_id, part(stage, "address")),
    "get_business": lambda stage: stage.client.get_business(stage.customer_id, part(stage, "business")),
    "find_business": lambda stage: stage.client.find_business(stage.customer_id, part(stage, "business")),
    "preview_charge": charge_everything,
    "charge_subscription": charge_everything,
    "subscription_history": lambda stage: list(
        stage.client.subscription_history(
            stage.subscription_id, action="subscription_created", since=stage.simulator.clock.now()
        )
    ),
    "find_charge": lambda stage: stage.find(),
    "preview_invoice": invoice_everything,
    "create_invoice": invoice_everything,
    "cancel_transaction": invoice_everything,
    "find_invoice": lambda stage: stage.find_invoice(),
    "create_adjustment": adjust_everything,
    "list_adjustments": list_adjustments,
    "find_adjustment": lambda stage: stage.find_refund(),
    "list_products": lambda stage: list(stage.client.list_products()),
    "list_prices": lambda stage: list(stage.client.list_prices()),
    "list_currencies": lambda stage: stage.client.list_currencies(),
    "list_events": list_events,
    "look_through_subscriptions": lambda stage: list(stage.client.look_through_subscriptions()),
    "list_customers": lambda stage: list(stage.client.list_customers(ids=[stage.customer_id])),
    "subscribe_destination": subscribe_destination,
    "list_notification_settings": lambda stage: list(stage.client.list_notification_settings()),
}
"""Every method of the client, called in every shape we use."""


def charges() -> Iterator[Charge]:
    yield charge()
    yield charge("immediately", amounts=(12345, 99), on_payment_failure="apply_change")
    item = ChargeItem(
        name="x" * 400,
        description="y" * 4000,
        amount_minor=10**11,
        currency="EUR",
        tax_mode="internal",
        custom_data={"push_id": PUSH},
        product_id=sample.PRODUCT_USAGE,
    )
    yield Charge("next_billing_period", (item,), "prevent_change")


def invoices(stage: Stage) -> Iterator[NewInvoice]:
    yield stage.new_invoice()
    month = Period(START, START + timedelta(days=31))
    yield stage.new_invoice(
        amounts=(900, 10**11),
        business_id=part(stage, "business"),
        issue=False,
        enable_checkout=True,
        purchase_order_number="P" * 100,
        additional_information="x" * 2000,
        billing_period=month,
    )


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    stage = new_stage()
    for call in dict.fromkeys(CALLS.values()):
        call(stage)
    return stage.simulator.calls


def test_every_method_of_the_client_is_called_here() -> None:
    methods = {name for name, _ in inspect.getmembers(PaddleClient, inspect.isfunction) if not name.startswith("_")}

    assert set(CALLS) == methods


def test_every_request_is_answered_with_success(calls: list[Call]) -> None:
    assert {call.status for call in calls} == {200, 201}


def test_every_body_is_valid_against_paddles_document(calls: list[Call]) -> None:
    document = contract(DOCUMENT)

    found = [
        f"{call.operation}: {problem}"
        for call in calls
        if call.operation not in NEWER_OPERATIONS
        for problem in document.problems_of_request(
            call.method, call.path, json.loads(call.body) if call.body else None
        )
    ]

    assert found == []


def test_every_body_has_only_fields_paddle_knows(calls: list[Call]) -> None:
    document = contract(DOCUMENT)
    schemas = {
        "update notification setting": "notification_setting-update",
        "create transaction": "transaction-create",
        "preview transaction": "transaction-preview-create-paddle-ids",
        "update transaction": "transaction-update",
        "create adjustment": "adjustment-create",
    }

    unknown = {
        field
        for call in calls
        if call.body
        for field in document.unknown_fields(
            document.schema(schemas.get(str(call.operation), "subscription-charge")), json.loads(call.body)
        )
    }

    assert unknown == set()


def test_every_query_has_only_parameters_paddle_knows(calls: list[Call]) -> None:
    document = contract(DOCUMENT)

    found = {
        f"{call.operation}: {name}"
        for call in calls
        if call.operation not in NEWER_OPERATIONS
        for name in document.problems_of_parameters(call.method, call.path, [key for key, _ in parse_qsl(call.query)])
        if name not in NEWER_PARAMETERS.get(str(call.operation), set())
    }

    assert found == set()
