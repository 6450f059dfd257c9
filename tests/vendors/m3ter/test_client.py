"""The m3ter client against the simulated m3ter: every call we make, its refusals, and what is written down."""

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.http import CallRecord
from integration_project.vendors.m3ter.entities import Bill, Measurement, NewAccountPlan
from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.client_stage import (
    CODE,
    EMAIL,
    NAME,
    START,
    STREET,
    ClientStage,
    new_account,
    new_plan,
    new_stage,
    settings,
)
from tests.vendors.opening import EXTERNAL_SYSTEM, opened


@pytest.fixture
def stage() -> ClientStage:
    return new_stage()


def usage(uid: str = "use-1", *, calls: int | Decimal = 12_600, account: str = CODE) -> Measurement:
    ts = START - timedelta(days=5)
    return Measurement(uid, sample.METER_API_CALLS, account, ts, measure={sample.MEASURE_CALLS: calls})


def billed(stage: ClientStage) -> str:
    """An account with a plan since January, usage in February, and its bill."""
    account = stage.client.create_account(new_account())
    stage.client.create_account_plan(new_plan(account, start=datetime(2026, 1, 26, tzinfo=UTC)))
    stage.client.submit_measurements([usage()])
    (bill_id,) = stage.simulator.run_bill_job([CODE], "2026-02-26")["bill_ids"]
    return str(bill_id)


# Accounts


def test_an_account_is_made_read_and_found(stage: ClientStage) -> None:
    made = stage.account()

    assert (made.code, made.name, made.email_address, made.currency) == (CODE, NAME, EMAIL, "EUR")
    assert (made.version, made.bill_epoch) == (1, date(2026, 2, 26))
    assert made.custom_fields == {"paddleSubscriptionId": CODE}
    assert made.address["addressLine1"] == STREET
    assert stage.client.get_account(made.id) == made
    assert stage.client.find_account(CODE) == made
    assert not made.is_skeleton


def test_a_code_nobody_has_is_none(stage: ClientStage) -> None:
    assert stage.client.find_account("nobody") is None


def test_a_taken_code_is_a_conflict(stage: ClientStage) -> None:
    stage.account()

    with pytest.raises(errors.Conflict) as caught:
        stage.account()

    assert (caught.value.operation, caught.value.status) == ("create account", 400)


def test_ensuring_an_account_makes_it_once(stage: ClientStage) -> None:
    made, first = stage.client.ensure_account(new_account())
    found, second = stage.client.ensure_account(new_account())

    assert (made.id, first, second) == (found.id, True, False)
    assert stage.without_tokens == ["create account", "create account", "list accounts"]


def test_ensuring_an_account_whose_answer_was_lost_finds_it(stage: ClientStage) -> None:
    stage.simulator.fault("create account", "lose_answer")
    with pytest.raises(errors.Temporary):
        stage.client.ensure_account(new_account())

    account, made_now = stage.client.ensure_account(new_account())

    assert (account.code, made_now) == (CODE, False)
    assert len(list(stage.simulator.memory.accounts)) == 1


def test_ensuring_an_account_m3ter_refuses_for_another_reason_says_so(stage: ClientStage) -> None:
    with pytest.raises(errors.VendorRejected, match="code"):
        stage.client.ensure_account(new_account(" spaces around "))


def test_an_update_keeps_what_it_does_not_name(stage: ClientStage) -> None:
    account = stage.account()

    updated = stage.client.update_account(
        account, bill_epoch=date(2026, 3, 10), custom_fields={"paddleCustomerId": "c"}
    )

    assert (updated.version, updated.bill_epoch) == (2, date(2026, 3, 10))
    assert updated.custom_fields == {"paddleSubscriptionId": CODE, "paddleCustomerId": "c"}
    assert (updated.name, updated.email_address, updated.address) == (NAME, EMAIL, account.address)


def test_a_stale_update_is_read_again_and_keeps_the_other_s_change(stage: ClientStage) -> None:
    stale = stage.account()
    stage.client.update_account(stale, custom_fields={"somebody": "else"})

    updated = stage.client.update_account(stale, bill_epoch=date(2026, 3, 10))

    assert updated.version == 3
    assert updated.custom_fields == {"paddleSubscriptionId": CODE, "somebody": "else"}


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_stale_version_is_a_conflict_whatever_its_status(stage: ClientStage, status: int) -> None:
    stage.simulator.assume(version_mismatch_status=status)
    stale = stage.account()
    stage.client.update_account(stale, bill_epoch=date(2026, 3, 9))

    assert stage.client.update_account(stale, bill_epoch=date(2026, 3, 10)).version == 3


def test_an_unknown_id_is_not_found(stage: ClientStage) -> None:
    with pytest.raises(errors.NotFound):
        stage.client.get_bill("91aa91aa-8888-4b66-8000-00000000ffff")


# Account plans


def test_a_plan_is_put_on_an_account_listed_and_ended(stage: ClientStage) -> None:
    account = stage.account()
    made = stage.client.create_account_plan(new_plan(account, code="sub:gauge:1"))

    ended = stage.client.end_account_plan(made, end_date=START + timedelta(days=3))

    assert (made.account_id, made.plan_id, made.product_id) == (account.id, sample.PLAN_SCALE, sample.PRODUCT_CLOUD)
    assert (made.code, made.start_date, made.end_date) == ("sub:gauge:1", START, None)
    assert (ended.version, ended.end_date) == (2, START + timedelta(days=3))
    assert stage.client.list_account_plans(account.id) == (ended,)


def test_ended_plans_are_listed_too_on_every_page(stage: ClientStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.m3ter.calls.speaking.PAGE", 2)
    account = stage.account()
    for month in range(5):
        start = START + timedelta(days=30 * month)
        plan = stage.client.create_account_plan(new_plan(account, start=start))
        stage.client.end_account_plan(plan, end_date=start + timedelta(days=10))

    assert len(stage.client.list_account_plans(account.id)) == 5
    assert stage.operations.count("list account plans") == 3


def test_a_plan_that_overlaps_is_a_conflict(stage: ClientStage) -> None:
    account = stage.account()
    stage.client.create_account_plan(new_plan(account))

    with pytest.raises(errors.Conflict):
        stage.client.create_account_plan(new_plan(account, plan_id=sample.PLAN_BULK))


def test_a_plan_is_replaced_by_another_of_its_product(stage: ClientStage) -> None:
    account = stage.account()
    plan = stage.client.create_account_plan(new_plan(account))
    later = START + timedelta(days=10)

    replaced = stage.client.replace_account_plan(plan.id, new_plan(account, plan_id=sample.PLAN_BULK, start=later))

    assert (replaced.original.id, replaced.original.end_date) == (plan.id, later)
    assert (replaced.new.plan_id, replaced.new.start_date) == (sample.PLAN_BULK, later)


def test_a_plan_group_is_put_on_an_account(stage: ClientStage) -> None:
    account = stage.account()

    made = stage.client.create_account_plan(
        NewAccountPlan(account_id=account.id, plan_group_id=sample.GROUP_BUNDLE, start_date=START)
    )

    assert (made.plan_group_id, made.plan_id, made.product_id) == (sample.GROUP_BUNDLE, None, None)


@pytest.mark.parametrize("which", [{}, {"plan_id": "a", "plan_group_id": "b"}])
def test_an_account_plan_names_a_plan_or_a_group(which: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a plan or a plan group"):
        NewAccountPlan(account_id="a", start_date=START, **which)


def test_a_plan_is_reopened_and_keeps_the_rest(stage: ClientStage) -> None:
    plan = stage.client.create_account_plan(new_plan(stage.account(), code="sub:gauge:1"))
    ended = stage.client.update_account_plan(plan, end_date=START, custom_fields={"quantity": 3})

    reopened = stage.client.update_account_plan(ended, reopen=True)

    assert (reopened.version, reopened.end_date, reopened.code) == (3, None, "sub:gauge:1")
    assert reopened.custom_fields == {"quantity": 3}


def test_a_plan_that_changed_meanwhile_is_read_again_and_reopened(stage: ClientStage) -> None:
    plan = stage.client.create_account_plan(new_plan(stage.account()))
    stale = stage.client.end_account_plan(plan, end_date=START)
    stage.client.update_account_plan(stale, custom_fields={"somebody": "else"})

    reopened = stage.client.update_account_plan(stale, reopen=True)

    assert (reopened.version, reopened.end_date, reopened.custom_fields) == (4, None, {"somebody": "else"})


def test_a_plan_is_not_reopened_and_ended_at_once(stage: ClientStage) -> None:
    plan = stage.client.create_account_plan(new_plan(stage.account()))

    with pytest.raises(ValueError, match="has no end"):
        stage.client.update_account_plan(plan, end_date=START, reopen=True)


def test_deleting_a_plan_that_is_gone_already_is_fine(stage: ClientStage) -> None:
    account = stage.account()
    plan = stage.client.create_account_plan(new_plan(account))

    stage.client.delete_account_plan(plan)
    stage.client.delete_account_plan(plan)

    assert stage.client.list_account_plans(account.id) == ()


def test_a_plan_that_was_billed_is_not_deleted(stage: ClientStage) -> None:
    billed(stage)
    account = stage.client.find_account(CODE)
    assert account is not None
    (plan,) = stage.client.list_account_plans(account.id)

    with pytest.raises(errors.VendorRejected, match="billed"):
        stage.client.delete_account_plan(plan)


def test_a_whole_account_gets_an_end(stage: ClientStage) -> None:
    account = stage.account()
    plan = stage.client.create_account_plan(new_plan(account))
    end = START + timedelta(days=3)

    answer = stage.client.end_billing_entities(account.id, end, entities=("ACCOUNTPLAN", "PRICINGS"))

    assert dict(answer.updated) == {"ACCOUNTPLAN": (plan.id,), "PRICINGS": ()}
    assert dict(answer.failed) == {}
    assert stage.client.get_account_plan(plan.id).end_date == end


# External mappings


def ensure_mapping(stage: ClientStage, m3ter_id: str, external_id: str = CODE) -> Any:
    return stage.client.ensure_external_mapping(
        entity="Account", m3ter_id=m3ter_id, table="Subscription", external_id=external_id
    )


def test_a_mapping_is_made_once_and_found_both_ways(stage: ClientStage) -> None:
    account = stage.account()

    made, again = ensure_mapping(stage, account.id), ensure_mapping(stage, account.id)

    assert made == again
    assert (made.external_system, made.external_table, made.external_id) == (EXTERNAL_SYSTEM, "Subscription", CODE)
    assert stage.client.find_external_mapping(table="Subscription", external_id=CODE) == made
    assert stage.client.external_mappings_of(entity="Account", m3ter_id=account.id) == (made,)
    assert len(list(stage.simulator.memory.external_mappings)) == 1


def test_no_mapping_is_none(stage: ClientStage) -> None:
    assert stage.client.find_external_mapping(table="Subscription", external_id="sub_x") is None
    assert stage.client.external_mappings_of(entity="Account", m3ter_id=sample.PLAN_SCALE) == ()


# Bills


def test_a_bill_arrives_exactly(stage: ClientStage) -> None:
    bill_id = billed(stage)
    stage.simulator.approve_bill(bill_id)

    bill = stage.client.get_bill(bill_id)

    assert (bill.id, bill.account_code, bill.currency, bill.is_approved, bill.locked) == (
        bill_id,
        CODE,
        "EUR",
        True,
        False,
    )
    assert (bill.start_date, bill.end_date) == (date(2026, 1, 26), date(2026, 2, 26))
    assert bill.lines is not None
    assert {line.line_item_type for line in bill.lines} == {"USAGE", "STANDING_CHARGE"}
    assert bill.total == sum(line.converted_subtotal for line in bill.lines)
    (line,) = [line for line in bill.lines if line.line_item_type == "USAGE"]
    # 9,000 calls at 0.02 and 2,600 at 0.015 are 219 USD, at 0.92.
    assert (line.subtotal, line.converted_subtotal, line.quantity) == (Decimal(219), Decimal("201.48"), Decimal(12600))
    assert isinstance(line.subtotal, Decimal)


def test_bills_are_listed_without_their_lines(stage: ClientStage) -> None:
    bill_id = billed(stage)
    assert list(stage.client.list_bills(status="APPROVED", locked=False)) == []
    stage.simulator.approve_bill(bill_id)

    (bill,) = stage.client.list_bills(status="APPROVED", locked=False)

    assert (bill.id, bill.lines) == (bill_id, None)
    assert bill.total == stage.client.get_bill(bill_id).total
    assert list(stage.client.list_bills(bill_date_start=date(2026, 2, 27))) == []
    assert list(stage.client.list_bills(bill_date_end=date(2026, 2, 26))) == []
    assert [bill.id for bill in stage.client.list_bills(bill_date_start=date(2026, 2, 26))] == [bill_id]


def test_an_approved_bill_is_locked_and_stays_so(stage: ClientStage) -> None:
    bill_id = billed(stage)
    stage.simulator.approve_bill(bill_id)

    first, second = stage.client.lock_bill(bill_id), stage.client.lock_bill(bill_id)

    assert (first.locked, second.locked) == (True, True)
    assert list(stage.client.list_bills(status="APPROVED", locked=False)) == []


def test_locking_after_a_lost_answer_is_done(stage: ClientStage) -> None:
    bill_id = billed(stage)
    stage.simulator.approve_bill(bill_id)
    stage.simulator.fault("lock bill", "lose_answer")
    with pytest.raises(errors.Temporary):
        stage.client.lock_bill(bill_id)

    assert stage.client.lock_bill(bill_id).locked


def test_a_pending_bill_is_not_locked(stage: ClientStage) -> None:
    bill_id = billed(stage)

    with pytest.raises(errors.VendorRejected):
        stage.client.lock_bill(bill_id)

    assert not stage.client.get_bill(bill_id).locked


def test_odd_bills_are_read_too(stage: ClientStage) -> None:
    bill_id = billed(stage)
    stage.simulator.change_bill(bill_id, status="HELD_TOMORROW", billTotal=Decimal("-0.00001"))

    bill = stage.client.get_bill(bill_id)

    assert (bill.status, bill.total, bill.is_approved) == ("HELD_TOMORROW", Decimal("-0.00001"), False)


# Catalogue and usage


def test_the_catalogue_is_read(stage: ClientStage) -> None:
    products = {product.id: product.code for product in stage.client.list_products()}
    plans = {plan.id: plan for plan in stage.client.list_plans()}
    templates = {template.id: template for template in stage.client.list_plan_templates()}
    (group,) = stage.client.list_plan_groups()
    links = {(link.plan_group_id, link.plan_id) for link in stage.client.list_plan_group_links()}

    assert products == {sample.PRODUCT_CLOUD: "gauge-cloud", sample.PRODUCT_SEATS: "gauge-seats"}
    assert plans[sample.PLAN_SCALE].product_id == sample.PRODUCT_CLOUD
    assert templates[plans[sample.PLAN_SCALE].plan_template_id].currency == "USD"
    assert templates[sample.TEMPLATE_CLOUD].bill_frequency == "MONTHLY"
    assert (group.id, group.account_id) == (sample.GROUP_BUNDLE, None)
    assert links == {(group.id, sample.PLAN_SCALE), (group.id, sample.PLAN_SEATS)}


def test_the_organisation_says_its_timezone(stage: ClientStage) -> None:
    configuration = stage.client.get_organization_config()

    assert (configuration.timezone, configuration.currency) == ("UTC", "USD")
    assert configuration.month_epoch == date(2022, 1, 1)


def test_the_native_integration_of_bills_to_paddle_is_seen(stage: ClientStage) -> None:
    assert [config.sends_bills_to_paddle for config in stage.client.list_integration_configs()] == []

    stage.simulator.enable_native_paddle()
    assert [config.sends_bills_to_paddle for config in stage.client.list_integration_configs()] == [True]

    stage.simulator.enable_native_paddle(enabled=False)
    assert [config.sends_bills_to_paddle for config in stage.client.list_integration_configs()] == [False]


def test_usage_is_sent_digit_for_digit(stage: ClientStage) -> None:
    stage.account()
    stage.client.submit_measurements([usage(calls=Decimal("0.1")), usage("use-2", calls=3)])

    body = stage.simulator.calls[-1].body
    assert b'"measure":{"calls":0.1}' in body
    assert b'"ts":"2026-02-24T09:00:00.000Z"' in body
    assert stage.simulator.process_measurements()["stored"] == 2


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_a_wrong_size_is_not_sent(stage: ClientStage, count: int) -> None:
    with pytest.raises(errors.Permanent, match=f"not {count} in"):
        stage.client.submit_measurements([usage(f"use-{number}") for number in range(count)])

    assert stage.operations == []


def test_a_batch_of_too_many_bytes_is_not_sent(stage: ClientStage) -> None:
    heavy = Measurement("u", "api_calls", CODE, START, metadata={"note": "x" * 520_000})

    with pytest.raises(errors.Permanent, match="less than 512000 bytes"):
        stage.client.submit_measurements([heavy])

    assert stage.operations == []


# What is written down


def test_personal_data_is_not_in_a_repr(stage: ClientStage) -> None:
    account = stage.account()

    for private in (EMAIL, NAME, STREET):
        assert private not in repr(account) + repr(new_account())


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A m3ter that answers with what it was sent."""
    if environ["PATH_INFO"] == "/oauth/token":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"access_token": "a.b.c", "expires_in": 18000}']
    start_response("400 Bad Request", [("Content-Type", "application/json")])
    return [f'{{"message": "No: {NAME.upper()}, {EMAIL}, {STREET}, T12 X000"}}'.encode()]


def test_what_m3ter_says_back_of_a_person_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    records: list[CallRecord] = []
    vendors = opened(settings(), m3ter=echo)

    with vendors.listening(after=records.append), pytest.raises(errors.VendorRejected) as caught:
        vendors.m3ter.create_account(new_account())

    assert caught.value.detail == "No: [hidden], [e-mail], [hidden], [hidden]"
    written = f"{caught.value} {caught.value!r} {records} {[line.__dict__ for line in caplog.records]}"
    for private in (EMAIL, NAME, NAME.upper(), STREET, "T12 X000"):
        assert private not in written


def test_no_call_writes_a_secret_or_a_person_into_the_log(stage: ClientStage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    account = stage.account()
    stage.client.update_account(account, name="Harriet Harbour-Smith")
    stage.client.find_account(CODE)
    stage.simulator.refuse_key()
    with pytest.raises(errors.VendorClosed) as caught:
        stage.client.get_account(account.id)

    written = f"{caught.value!r}" + "".join(repr(line.__dict__) for line in caplog.records)
    for private in (EMAIL, "Harriet", STREET, sample.API_SECRET, sample.ACCESS_KEY_ID, "Bearer", "Basic"):
        assert private not in written


def test_a_bill_without_its_required_parts_is_unreadable() -> None:
    with pytest.raises(ValueError, match="version is not a whole number"):
        Bill.from_m3ter({"id": "b"})
