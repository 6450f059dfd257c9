"""Every request our clients can make is one that the vendor's published document describes."""

import importlib
import inspect
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from pkgutil import iter_modules
from types import ModuleType
from urllib.parse import parse_qs

import pytest

from integration_project.vendors import exact_json
from integration_project.vendors.m3ter import calls as m3ter_calls
from integration_project.vendors.m3ter.entities import (
    BY_ACCOUNT,
    BY_DAY,
    AccountAddress,
    Measurement,
    NewAccountPlan,
    NewCharge,
    NewCounterAdjustment,
    UsageAggregation,
)
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle import client as paddle_client
from integration_project.vendors.paddle.entities import Charge, ChargeItem
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.simulation import Call
from tests.contracts import Contract, contract
from tests.vendors.m3ter import client_stage as m3ter_stage
from tests.vendors.paddle import stage as paddle_stage

NEWER_THAN_THE_DOCUMENT = {"list subscription history", "list currencies"}
"""Paddle's operations of 2026; its document here is of 2025."""
SIGNED = {"download failed ingest", "upload measurements file"}
"""What is asked of addresses that m3ter signed: no part of its API, and out of no budget."""
NEWER_PARAMETERS = {("list events", "event_type")}


VERBS = "|".join(
    "cancel charge create delete download end find generate get list lock preview query recalculate replace submit "
    "update upload".split()
)
"""What an operation may begin with."""


def operations(client: ModuleType) -> set[str]:
    """The operations that a client's module, or a package of such, names."""
    parts = [importlib.import_module(f"{client.__name__}.{part.name}") for part in iter_modules(_folders(client))]
    sources = "".join(inspect.getsource(module) for module in (client, *parts))
    return set(re.findall(rf'"((?:{VERBS}) [a-z ]+)"', sources))


def _folders(client: ModuleType) -> Iterable[str]:
    return getattr(client, "__path__", ())


def problems(document: Contract, calls: Iterable[Call]) -> list[str]:
    """What the document has against these calls, each with the operation it is about."""
    found = []
    for call in calls:
        body = json.loads(call.body, parse_float=Decimal) if call.body else None
        names = [name for name in parse_qs(call.query) if (call.operation, name) not in NEWER_PARAMETERS]
        wrong = document.problems_of_parameters(call.method, call.path, names)
        if body is not None:
            wrong += document.problems_of_request(call.method, call.path, body)
            operation = document.document["paths"][document.template(call.path)][call.method.lower()]
            schema = document.resolved(operation["requestBody"])["content"]["application/json"]["schema"]
            wrong += [f"{name} is unknown" for name in document.unknown_fields(schema, body)]
        found += [f"{call.operation}: {problem}" for problem in wrong]
    return found


def test_every_call_of_the_paddle_client_is_in_paddle_s_document(monkeypatch: pytest.MonkeyPatch) -> None:
    document = contract("paddle-openapi.yaml")
    monkeypatch.setattr("integration_project.vendors.paddle.client.PAGE", 2)
    stage = paddle_stage.new_stage()
    client, subscription_id = stage.client, stage.subscription_id
    read = client.get_subscription(subscription_id, include=("next_transaction", "recurring_transaction_details"))
    assert read.address_id is not None
    assert read.business_id is not None
    item = ChargeItem("n", "text", 900, "EUR", "internal", {"push_id": "p"}, product_id=paddle_sample.PRODUCT_USAGE)
    client.get_customer(read.customer_id)
    list(client.list_customers(ids=(read.customer_id,)))
    client.get_address(read.customer_id, read.address_id)
    client.get_business(read.customer_id, read.business_id)
    client.preview_charge(subscription_id, paddle_stage.charge(amounts=(500, 700)))
    client.charge_subscription(subscription_id, paddle_stage.charge(amounts=(500, 700)))
    client.charge_subscription(subscription_id, Charge("immediately", (item,), "prevent_change"))
    client.find_charge(paddle_stage.PUSH, subscription_id=subscription_id, since=stage.simulator.clock.now())
    invoice = stage.new_invoice(amounts=(500, 700), business_id=read.business_id, purchase_order_number="PO 7")
    client.preview_invoice(invoice)
    issued = client.create_invoice(invoice)
    assert client.find_invoice(paddle_stage.PUSH, customer_id=read.customer_id, since=stage.simulator.clock.now())
    stage.refund(100, action="credit", transaction_id=issued.id)
    client.cancel_transaction(stage.invoice(issue=False).id)
    stage.refund(None)
    assert client.find_adjustment(paddle_stage.PUSH, transaction_ids=(stage.transaction_id,))
    assert len(list(client.list_adjustments(subscription_id=subscription_id))) == 1
    list(client.subscription_history(subscription_id))
    list(client.list_subscriptions(ids=(subscription_id,), status=("active", "past_due")))
    list(client.list_transactions(ids=(stage.transaction_id,), status=("completed",), include=("customer",)))
    client.get_transaction(stage.transaction_id, include=("customer", "address", "business"))
    list(client.list_products())
    list(client.list_prices())
    client.list_currencies()
    list(client.list_events(event_types=("subscription.created",)))
    list(client.list_notification_settings())
    stage.simulator.send_webhooks_to("http://127.0.0.1/webhooks/paddle/")
    client.subscribe_destination(paddle_sample.NOTIFICATION_SETTING_ID, ["subscription.created"])

    calls = [call for call in stage.simulator.calls if call.operation not in NEWER_THAN_THE_DOCUMENT]
    assert problems(document, calls) == []
    assert {call.status for call in stage.simulator.calls} == {200, 201}
    assert set(stage.gate.entered) == operations(paddle_client)


def test_every_call_of_the_m3ter_client_is_in_m3ter_s_document(monkeypatch: pytest.MonkeyPatch) -> None:
    document = contract("m3ter-openapi.yaml")
    monkeypatch.setattr("integration_project.vendors.m3ter.calls.speaking.PAGE", 2)
    stage = m3ter_stage.new_stage()
    stage.simulator.limit_requests(None)
    client, start = stage.client, m3ter_stage.START
    account, _ = client.ensure_account(m3ter_stage.new_account())
    client.find_account(m3ter_stage.CODE)
    client.update_account(
        client.get_account(account.id),
        name="Harbour Ltd",
        email_address="new@harbour.example",
        address=AccountAddress(line1="5 Quay Street", line2="2nd", region="Munster", country="IE"),
        currency="EUR",
        bill_epoch=date(2026, 2, 26),
        custom_fields={"paddleCustomerId": "ctm_1", "weight": Decimal("1.5")},
    )
    first = client.create_account_plan(
        m3ter_stage.new_plan(account, start=start - timedelta(days=40), code="sub:gauge:1")
    )
    replacement = m3ter_stage.new_plan(account, plan_id=m3ter_sample.PLAN_BULK, start=start - timedelta(days=35))
    replaced = client.replace_account_plan(first.id, replacement)
    client.get_account_plan(first.id)
    client.update_account_plan(replaced.new, bill_epoch=date(2026, 2, 26), custom_fields={"a": "b"})
    client.list_account_plans(account.id)
    seats = client.create_account_plan(
        NewAccountPlan(
            account_id=account.id,
            plan_id=m3ter_sample.PLAN_SEATS,
            start_date=start,
            end_date=start + timedelta(days=90),
            bill_epoch=date(2026, 2, 26),
            custom_fields={"a": "b"},
        )
    )
    client.update_account_plan(client.end_account_plan(seats, end_date=start + timedelta(days=5)), reopen=True)
    client.delete_account_plan(seats)
    assert len(list(client.list_accounts(codes=(m3ter_stage.CODE, "nobody")))) == 1
    assert len(list(client.list_accounts(ids=(account.id,)))) == 1
    seated = NewCounterAdjustment(account.id, m3ter_sample.COUNTER_SEATS, start.date(), 7)
    count = client.create_counter_adjustment(seated)
    client.update_counter_adjustment(client.get_counter_adjustment(count.id), value=5)
    assert len(client.list_counter_adjustments(account.id)) == 1
    client.delete_counter_adjustment(count)
    for _ in range(2):
        client.ensure_external_mapping(entity="Account", m3ter_id=account.id, table="Subscription", external_id="sub_1")
    mapping = client.find_external_mapping(table="Subscription", external_id="sub_1")
    assert mapping is not None
    client.external_mappings_of(entity="Account", m3ter_id=account.id)
    client.delete_external_mapping(client.update_external_mapping(mapping, m3ter_id=account.id))
    when = start - timedelta(days=10)
    usage = Measurement(
        "use-1",
        m3ter_sample.METER_API_CALLS,
        m3ter_stage.CODE,
        when,
        ets=when + timedelta(hours=1),
        what={"endpoint": "search"},
        measure={"calls": Decimal("125.5")},
    )
    client.submit_measurements([usage])
    client.submit_measurements([replace(usage, uid="use-2", meter="unknown")])
    stage.simulator.process_measurements()
    (failure,) = client.list_ingest_failures()
    assert client.get_ingest_failure(failure.file).uid == "use-2"
    content = b"[" + exact_json.encode(replace(usage, uid="use-3", meter="unknown").to_m3ter()) + b"]"
    where = client.generate_upload_url(file_name="feb.json", content_length=len(content))
    client.upload_measurements_file(where, BytesIO(content))
    assert client.get_upload_job(where.job_id).was_uploaded
    summed = UsageAggregation(m3ter_sample.METER, m3ter_sample.MEASURE_CALLS)
    found = client.query_usage(
        start=when,
        end=start,
        meter_ids=(m3ter_sample.METER,),
        account_ids=(account.id,),
        aggregations=(summed,),
        groups=(BY_ACCOUNT, BY_DAY),
        limit=10,
    )
    assert [row.number(summed) for row in found.rows] == [Decimal("125.5")]
    (bill_id,) = stage.simulator.run_bill_job([m3ter_stage.CODE], "2026-02-26")["bill_ids"]
    late = NewCharge(
        code="late-1",
        name="Late usage",
        account_id=account.id,
        currency="USD",
        service_period_start=when,
        service_period_end=start,
        units=Decimal("1.5"),
        unit_price=Decimal(-2),
        bill_date=date(2026, 2, 26),
        description="Calls of January",
        accounting_product_id=m3ter_sample.PRODUCT_CLOUD,
        notes="Ticket 7",
    )
    assert client.ensure_charge(late)[1]
    assert not client.ensure_charge(late)[1]
    assert not client.recalculate_bills([bill_id]).is_over
    for _ in range(3):
        stage.simulator.tick()
    stage.simulator.approve_bill(bill_id)
    client.get_bill(bill_id)
    dates = {"bill_date_start": date(2026, 2, 1), "bill_date_end": date(2026, 3, 1)}
    assert len(list(client.list_bills(status="APPROVED", locked=False, account_id=account.id, **dates))) == 1
    client.lock_bill(bill_id)
    job = client.create_bill_job(account_id=account.id, last_day=date(2026, 3, 9))
    assert not client.get_bill_job(job.id).is_over
    client.end_billing_entities(account.id, start + timedelta(days=60))
    client.get_organization_config()
    for catalogue in (
        client.list_products,
        client.list_plans,
        client.list_plan_templates,
        client.list_plan_groups,
        client.list_plan_group_links,
        client.list_counters,
        client.list_meters,
        client.list_integration_configs,
    ):
        list(catalogue())

    calls = [call for call in stage.simulator.calls if call.operation not in SIGNED]
    assert problems(document, calls) == []
    refused = [call.operation for call in stage.simulator.calls if call.status != 200]
    assert refused == ["create external mapping"]
    assert set(stage.gate.entered) - {"get token"} == operations(m3ter_calls) - SIGNED
