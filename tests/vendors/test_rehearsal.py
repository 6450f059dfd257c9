"""The vendors of a dry run: reads happen, writes are written down and answered as the vendor would."""

import ast
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration_project.errors import Conflict, NotFound, VendorClosed, VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.http import OpenGate, VendorHTTP
from integration_project.vendors.m3ter import rehearsed as m3ter_rehearsed
from integration_project.vendors.m3ter.entities import (
    AccountAddress,
    AccountPlan,
    Measurement,
    NewAccount,
    NewAccountPlan,
)
from integration_project.vendors.m3ter.errors import judge
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle import rehearsed as paddle_rehearsed
from integration_project.vendors.paddle.entities import (
    Charge,
)
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.rehearsal import (
    MASK,
    NotRehearsable,
    Table,
    WriteRefused,
    reads_only,
)
from integration_project.vendors.transport import Sessions
from integration_project.vendors.wsgi import WsgiAdapter
from tests.vendors.rehearsing import Rehearsing, new_rehearsing

ROOT = Path(__file__).resolve().parent.parent.parent / "integration_project/vendors"
TABLES = {"m3ter": m3ter_rehearsed.TABLE, "paddle": paddle_rehearsed.TABLE}
NOW = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
ANNA = NewAccount(
    code="sub_1",
    name="Anna Person",
    email_address="anna@example.com",
    currency="EUR",
    address=AccountAddress(line1="1 Quay", country="IE"),
)


@pytest.fixture
def closed() -> set[str]:
    """Operations for which nobody may call."""
    return set()


@pytest.fixture
def stage(closed: set[str]) -> Rehearsing:
    """Fresh simulators, and clients of both kinds."""
    return new_rehearsing(closed)


def new_plan(account_id: str, plan_id: str = m3ter_sample.PLAN_SCALE) -> NewAccountPlan:
    return NewAccountPlan(account_id=account_id, plan_id=plan_id, start_date=NOW, code="sub_1:product:1")


# --- Nothing is written -----------------------------------------------------------------------------------------------


def test_a_write_is_answered_and_not_sent(stage: Rehearsing) -> None:
    account = stage.run(lambda vendors: vendors.m3ter.create_account(ANNA))

    assert (account.id, account.version, account.code, account.name) == ("new-account-1", 1, "sub_1", "Anna Person")
    assert stage.operations == ["create account"]
    assert stage.real.m3ter.find_account("sub_1") is None


def test_personal_data_in_what_would_be_written_is_masked(stage: Rehearsing) -> None:
    stage.run(lambda vendors: vendors.m3ter.create_account(ANNA))

    (call,) = stage.written
    assert call.body["code"] == "sub_1"
    assert (call.body["name"], call.body["emailAddress"]) == (MASK, MASK)
    assert call.body["address"] == {"addressLine1": MASK, "country": "IE"}


def test_what_was_there_before_is_masked_too(stage: Rehearsing) -> None:
    made = stage.real.m3ter.create_account(ANNA)

    def rename(vendors: Vendors) -> None:
        vendors.m3ter.update_account(vendors.m3ter.get_account(made.id), name="Bea Person")

    stage.run(rename)

    (call,) = stage.written
    assert (call.before["name"], call.body["name"], call.changed) == (MASK, MASK, ("name",))
    assert "Person" not in str(call)


@pytest.mark.parametrize(
    ("vendor", "method", "path"),
    [
        ("m3ter", "POST", "/organizations/o/accounts"),
        ("m3ter", "PUT", "/organizations/o/accounts/1"),
        ("m3ter", "DELETE", "/organizations/o/accountplans/1"),
        ("paddle", "POST", "/subscriptions/sub_1/charge"),
        ("paddle", "PATCH", "/subscriptions/sub_1"),
        ("paddle", "POST", "/transactions"),
        ("paddle", "POST", "/transactions/preview/more"),
        ("paddle", "PATCH", "/transactions/txn_1"),
        ("paddle", "POST", "/adjustments"),
        ("paddle", "POST", "/subscriptions/sub_1/charge/preview/more"),
    ],
)
def test_the_transport_itself_sends_no_write(vendor: str, method: str, path: str) -> None:
    simulator = M3terSimulator() if vendor == "m3ter" else PaddleSimulator()
    sessions = Sessions(WsgiAdapter(simulator))
    http = VendorHTTP(
        vendor=vendor,
        base_url="http://vendor.localhost",
        session=reads_only(lambda: sessions.get(vendor), TABLES[vendor]),
        gate=OpenGate(),
        authorise=lambda fresh: "Bearer x",
        judge=judge,
    )

    with pytest.raises(WriteRefused):
        http.call("anything", method, path, json={})

    assert simulator.calls == []


def test_a_preview_is_a_read_although_it_is_a_post(stage: Rehearsing) -> None:
    subscription_id = "sub_01h04vsc0qhwtsbsxh3422wjs4"

    with pytest.raises(VendorRejected):
        stage.run(lambda vendors: vendors.paddle.preview_charge(subscription_id, Charge("next_billing_period", ())))

    (call,) = stage.rehearsal.calls
    assert (call.operation, call.method, call.written) == ("preview charge", "POST", False)


# --- Every write has an answer ----------------------------------------------------------------------------------------


def writes_of(vendor: str) -> Iterator[str]:
    """Every operation in a client's code that is called by another verb than GET."""
    sources = [ROOT / vendor / "client.py", *(ROOT / vendor / "calls").glob("*.py")]
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    for call in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and len(call.args) >= 2:
            operation, verb = call.args[:2]
            if isinstance(verb, ast.Constant) and verb.value in {"POST", "PUT", "PATCH", "DELETE"}:
                assert isinstance(operation, ast.Constant), ast.unparse(call)
                yield str(operation.value)


@pytest.mark.parametrize("vendor", TABLES)
def test_every_write_of_a_client_can_be_rehearsed(vendor: str) -> None:
    writes, table = set(writes_of(vendor)), TABLES[vendor]

    assert writes
    assert writes - set(table.writes) - set(table.reading_posts) == set()


def test_a_write_that_nobody_described_ends_the_dry_run_loudly(
    stage: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TABLES["m3ter"]
    some = {name: each for name, each in table.writes.items() if name != "create account"}
    monkeypatch.setattr(stage.vendors.m3ter._http, "table", Table(writes=some))

    with pytest.raises(NotRehearsable, match="m3ter, create account"):
        stage.run(lambda vendors: vendors.m3ter.create_account(ANNA))


def test_a_charge_is_answered_with_the_subscription_and_never_made(stage: Rehearsing) -> None:
    items = [{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]
    subscription_id = stage.paddle.complete_checkout(email="a@example.com", items=items)["subscription_id"]

    charge = Charge("next_billing_period", ())
    answered = stage.run(lambda vendors: vendors.paddle.charge_subscription(subscription_id, charge))

    assert answered.id == subscription_id
    assert stage.operations == ["charge subscription"]
    assert stage.paddle.charges == []


@pytest.mark.parametrize(
    "operation", [name for name in TABLES["m3ter"].writes if name.startswith(("update ", "delete "))]
)
def test_what_is_there_is_changed_or_taken_away(stage: Rehearsing, operation: str) -> None:
    method, body, expected = {
        "update": ("PUT", {"version": 4, "value": 7}, {"id": "1", "version": 5, "value": 7}),
        "delete": ("DELETE", None, {"id": "1"}),
    }[operation.split()[0]]

    answer = stage.run(lambda vendors: vendors.m3ter._http.call(operation, method, "/organizations/o/x/1", json=body))

    assert answer == expected
    assert stage.operations == [operation]


def test_what_would_be_gone_is_gone(stage: Rehearsing) -> None:
    account = stage.real.m3ter.create_account(ANNA)
    plan = stage.real.m3ter.create_account_plan(new_plan(account.id))
    path = f"/organizations/{m3ter_sample.ORG_ID}/accountplans/{plan.id}"

    def work(vendors: Vendors) -> tuple[Any, ...]:
        vendors.m3ter.get_account_plan(plan.id)
        vendors.m3ter._http.call("delete account plan", "DELETE", path)
        return vendors.m3ter.list_account_plans(account.id)

    listed = stage.run(work)
    with pytest.raises(NotFound):
        stage.run(lambda vendors: (work(vendors), vendors.m3ter.get_account_plan(plan.id)))

    assert listed == ()
    assert stage.written[0].before["planId"] == m3ter_sample.PLAN_SCALE
    assert stage.real.m3ter.get_account_plan(plan.id) == plan


def test_the_end_of_everything_on_an_account_is_answered_as_m3ter_does(stage: Rehearsing) -> None:
    path = "/organizations/o/accounts/a-1/enddatebillingentities"
    body = {"billingEntities": ["ACCOUNTPLAN"], "endDate": "2026-03-01T09:00:00Z"}

    answer = stage.run(lambda vendors: vendors.m3ter._http.call("end account billing entities", "PUT", path, json=body))

    assert answer == {"statusMessage": "Success", "updatedEntities": {"ACCOUNTPLAN": []}, "failedEntities": {}}


def test_plans_are_put_ended_replaced_on_an_account_that_is_not_there_yet(stage: Rehearsing) -> None:
    def work(vendors: Vendors) -> tuple[AccountPlan, ...]:
        account = vendors.m3ter.create_account(ANNA)
        first = vendors.m3ter.create_account_plan(new_plan(account.id))
        vendors.m3ter.replace_account_plan(first.id, new_plan(account.id, m3ter_sample.PLAN_BULK))
        seats = vendors.m3ter.create_account_plan(new_plan(account.id, m3ter_sample.PLAN_SEATS))
        vendors.m3ter.end_account_plan(seats, end_date=NOW)
        return vendors.m3ter.list_account_plans(account.id)

    plans = stage.run(work)

    assert [(plan.plan_id, plan.product_id, plan.version, plan.end_date) for plan in plans] == [
        (m3ter_sample.PLAN_SCALE, m3ter_sample.PRODUCT_CLOUD, 2, NOW),
        (m3ter_sample.PLAN_BULK, m3ter_sample.PRODUCT_CLOUD, 1, None),
        (m3ter_sample.PLAN_SEATS, m3ter_sample.PRODUCT_SEATS, 2, NOW),
    ]
    assert stage.operations == [
        "create account",
        "create account plan",
        "replace account plan",
        "create account plan",
        "update account plan",
        "list account plans",
    ]
    assert stage.rehearsal.reads == 4  # whether the code is taken, and three plans; nobody is asked for the new account


def test_what_would_have_been_changed_is_read_so_by_itself_and_in_a_list(stage: Rehearsing) -> None:
    account = stage.real.m3ter.create_account(ANNA)
    plan = stage.real.m3ter.create_account_plan(new_plan(account.id))

    def work(vendors: Vendors) -> tuple[Any, ...]:
        (listed,) = vendors.m3ter.list_account_plans(account.id)
        ended = vendors.m3ter.end_account_plan(listed, end_date=NOW)
        vendors.m3ter.create_account_plan(new_plan(account.id, m3ter_sample.PLAN_SEATS))
        again = vendors.m3ter.list_account_plans(account.id)
        return ended, vendors.m3ter.get_account_plan(plan.id), again

    ended, read, again = stage.run(work)

    assert (ended.end_date, ended.version, ended.product_id) == (NOW, plan.version + 1, plan.product_id)
    assert read == ended
    assert [each.plan_id for each in again] == [m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS]
    assert again[0].end_date == NOW
    assert [plan.end_date for plan in stage.real.m3ter.list_account_plans(account.id)] == [None]


def test_an_external_mapping_is_found_after_it_would_have_been_made(stage: Rehearsing) -> None:
    def work(vendors: Vendors) -> tuple[Any, ...]:
        account = vendors.m3ter.create_account(ANNA)
        made = vendors.m3ter.create_external_mapping(
            entity="Account", m3ter_id=account.id, table="Subscription", external_id="sub_1"
        )
        found = vendors.m3ter.find_external_mapping(table="Subscription", external_id="sub_1")
        other = vendors.m3ter.find_external_mapping(table="Subscription", external_id="sub_2")
        return made, found, other, vendors.m3ter.external_mappings_of(entity="Account", m3ter_id=account.id)

    made, found, other, of_account = stage.run(work)

    assert (found, other, of_account) == (made, None, (made,))


def test_usage_is_accepted_and_a_bill_is_locked(stage: Rehearsing) -> None:
    measurement = Measurement(uid="1", meter="api_calls", account="sub_1", ts=NOW)
    stage.run(lambda vendors: vendors.m3ter.submit_measurements([measurement]))

    assert stage.operations == ["submit measurements"]
    with pytest.raises(NotFound):
        stage.run(lambda vendors: vendors.m3ter.lock_bill("00000000-0000-0000-0000-000000000000"))


# --- What the vendor would refuse -------------------------------------------------------------------------------------


def test_a_code_that_is_taken_is_refused_and_the_account_found(stage: Rehearsing) -> None:
    there = stage.real.m3ter.create_account(ANNA)

    account, made_now = stage.run(lambda vendors: vendors.m3ter.ensure_account(ANNA))

    assert (account.id, made_now) == (there.id, False)
    assert stage.operations == ["create account", "find account"]
    assert stage.rehearsal.reads == 1


def test_a_plan_that_m3ter_does_not_have_is_refused(stage: Rehearsing) -> None:
    with pytest.raises(VendorRejected) as refusal:
        stage.run(lambda vendors: vendors.m3ter.create_account_plan(new_plan("a-1", "no-such-plan")))

    assert not isinstance(refusal.value, NotFound)
    assert stage.operations == ["create account plan"]


def test_the_same_mapping_twice_is_refused(stage: Rehearsing) -> None:
    account = stage.real.m3ter.create_account(ANNA)
    same = {"entity": "Account", "m3ter_id": account.id, "table": "Subscription", "external_id": "sub_1"}
    there = stage.real.m3ter.create_external_mapping(**same)

    with pytest.raises(Conflict):
        stage.run(lambda vendors: vendors.m3ter.create_external_mapping(**same))
    found = stage.run(lambda vendors: vendors.m3ter.ensure_external_mapping(**same))

    assert found == there


def test_where_nobody_may_write_the_call_is_not_made(stage: Rehearsing, closed: set[str]) -> None:
    closed.add("create account")

    with pytest.raises(VendorClosed):
        stage.run(lambda vendors: vendors.m3ter.create_account(ANNA))

    assert stage.rehearsal.calls == []


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_each_read_is_made_once_however_often_the_work_runs(stage: Rehearsing) -> None:
    runs = []

    def work(vendors: Vendors) -> None:
        runs.append(1)
        vendors.m3ter.get_organization_config()
        vendors.m3ter.find_account("sub_1")
        vendors.m3ter.get_organization_config()

    stage.run(work)

    assert (len(runs), stage.rehearsal.reads) == (3, 2)
    assert stage.operations == ["get organization config", "find account", "get organization config"]


def test_a_refusal_is_an_answer_like_any_other(stage: Rehearsing) -> None:
    found = stage.run(lambda vendors: vendors.paddle.find_customer("ctm_01h04vsc0qhwtsbsxh3422wjs4"))

    assert found is None
    assert [(call.method, call.path) for call in stage.rehearsal.calls] == [
        ("GET", "/customers/ctm_01h04vsc0qhwtsbsxh3422wjs4")
    ]
