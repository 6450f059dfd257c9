"""m3ter's official SDK pointed at the simulated m3ter, every answer checked strictly: each call our client makes.

The SDK asks for a new token before every call (its expiry lies in 1970), so the simulator's limits are off here.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime

import httpx
import pytest
from m3ter import APIResponseValidationError, BadRequestError, BaseModel, ConflictError, M3ter, PermissionDeniedError
from m3ter.types import AccountPlanResponse
from pydantic import Field

from integration_project.vendors.m3ter.simulator import M3terSimulator, sample
from integration_project.vendors.simulation import BusinessClock, serve

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
START = datetime(2026, 2, 1, tzinfo=UTC)
CODE = "sub_01hv8x29kz0t586xy6zn1a62ny"


@pytest.fixture
def simulator() -> M3terSimulator:
    made = M3terSimulator(clock=BusinessClock(NOW))
    made.limit_requests(None)
    return made


@pytest.fixture
def sdk(simulator: M3terSimulator) -> Iterator[M3ter]:
    with serve(simulator) as served, httpx.Client(trust_env=False, timeout=10) as transport:
        yield M3ter(
            api_key=sample.ACCESS_KEY_ID,
            api_secret=sample.API_SECRET,
            org_id=sample.ORG_ID,
            base_url=served.url,
            max_retries=0,
            http_client=transport,
            _strict_response_validation=True,
        )


def new_account(sdk: M3ter) -> str:
    account = sdk.accounts.create(
        name="Harbour Tools Ltd",
        code=CODE,
        email_address="ap@harbour.example",
        currency="EUR",
        bill_epoch=date(2026, 3, 8),
        address={"address_line1": "4 Quay Street", "locality": "Cork", "country": "IE"},
        custom_fields={"paddleSubscriptionId": CODE},
    )
    return account.id


def subscribed(sdk: M3ter) -> str:
    account_id = new_account(sdk)
    sdk.account_plans.create(account_id=account_id, plan_id=sample.PLAN_SCALE, start_date=START, code=f"{CODE}:1")
    return account_id


def billed(sdk: M3ter, simulator: M3terSimulator) -> str:
    subscribed(sdk)
    used = {"uid": "1", "meter": "api_calls", "account": CODE, "ts": START, "measure": {"calls": 12_600}}
    sdk.usage.submit(measurements=[used])  # type: ignore[list-item]
    return str(simulator.run_bill_job([CODE])["bill_ids"][0])


def test_the_token_of_the_simulator_is_a_token_for_the_sdk(sdk: M3ter) -> None:
    basic = b64encode(f"{sample.ACCESS_KEY_ID}:{sample.API_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}

    given = sdk.authentication.get_bearer_token(grant_type="client_credentials", extra_headers=headers)

    assert given.expires_in == 18_000
    assert given.access_token


def test_the_organisation_is_read(sdk: M3ter) -> None:
    config = sdk.organization_config.retrieve()

    assert (config.timezone, config.currency, config.version) == ("UTC", "USD", 1)
    assert config.currency_conversions is not None
    assert [(each.from_, each.to, each.multiplier) for each in config.currency_conversions] == [
        ("USD", "EUR", 0.92),
        ("USD", "GBP", 0.79),
    ]


def test_accounts_are_created_found_read_and_updated(sdk: M3ter) -> None:
    account_id = new_account(sdk)

    [found] = list(sdk.accounts.list(codes=[CODE]))
    read = sdk.accounts.retrieve(account_id)
    changed = sdk.accounts.update(
        account_id, name="New name", code=CODE, email_address="new@harbour.example", version=1
    )

    assert found == read
    assert (read.bill_epoch, read.currency, read.custom_fields) == (
        date(2026, 3, 8),
        "EUR",
        {"paddleSubscriptionId": CODE},
    )
    assert (changed.version, changed.name, changed.custom_fields) == (2, "New name", {})


def test_refusals_reach_the_sdk_as_its_own_errors(sdk: M3ter) -> None:
    account_id = new_account(sdk)

    with pytest.raises(BadRequestError, match="already in use"):
        new_account(sdk)
    with pytest.raises(ConflictError, match="Version mismatch"):
        sdk.accounts.update(account_id, name="N", code=CODE, email_address="n@harbour.example", version=7)
    with pytest.raises(PermissionDeniedError):
        sdk.products.retrieve(sample.PRODUCT_CLOUD, org_id="00000000-0000-4000-8000-000000000000")


def test_account_plans_are_created_listed_and_ended(sdk: M3ter) -> None:
    account_id = subscribed(sdk)

    [plan] = list(sdk.account_plans.list(account=account_id, includeall=True))
    read = sdk.account_plans.retrieve(plan.id)
    ended = sdk.account_plans.update(
        plan.id,
        account_id=account_id,
        plan_id=sample.PLAN_SCALE,
        start_date=START,
        end_date=NOW,
        code=f"{CODE}:1",
        version=1,
    )

    assert read == plan
    assert (plan.product_id, plan.start_date, plan.code) == (sample.PRODUCT_CLOUD, START, f"{CODE}:1")
    assert (ended.version, ended.end_date) == (2, NOW)


class Replaced(BaseModel):
    """What `replace` answers with; the SDK has the entity but not this call."""

    original: AccountPlanResponse = Field(alias="originalAccountPlan")
    new: AccountPlanResponse = Field(alias="newAccountPlan")


def test_an_account_plan_is_replaced(sdk: M3ter) -> None:
    account_id = subscribed(sdk)
    [plan] = list(sdk.account_plans.list(account=account_id))

    replaced = sdk.post(
        f"/organizations/{sample.ORG_ID}/accountplans/{plan.id}/replace",
        cast_to=Replaced,
        body={"accountId": account_id, "planId": sample.PLAN_BULK, "startDate": NOW.isoformat()},
    )

    assert (replaced.original.id, replaced.original.end_date) == (plan.id, NOW)
    assert (replaced.new.plan_id, replaced.new.start_date) == (sample.PLAN_BULK, NOW)


def test_an_account_plan_is_reopened_deleted_and_an_account_ended(sdk: M3ter) -> None:
    account_id = subscribed(sdk)
    [plan] = list(sdk.account_plans.list(account=account_id))

    # The document says that the ids come in lists; its schema, and the SDK, have the outside of a Java set instead.
    with pytest.raises(APIResponseValidationError):
        sdk.accounts.end_date_billing_entities(account_id, billing_entities=["ACCOUNTPLAN"], end_date=NOW)
    ended = sdk.account_plans.retrieve(plan.id)
    reopened = sdk.account_plans.update(
        plan.id, account_id=account_id, plan_id=sample.PLAN_SCALE, start_date=START, version=2
    )
    gone = sdk.account_plans.delete(plan.id)

    assert (ended.version, ended.end_date) == (2, NOW)
    assert (reopened.version, reopened.end_date, gone.id) == (3, None, plan.id)
    assert list(sdk.account_plans.list(account=account_id, includeall=True)) == []


def test_counts_are_kept_for_an_account(sdk: M3ter) -> None:
    account_id = new_account(sdk)
    [counter] = list(sdk.counters.list(codes=["seats"]))
    made = sdk.counter_adjustments.create(
        account_id=account_id, counter_id=counter.id, date="2026-03-10", value=7, purchase_order_number="PO-1"
    )

    changed = sdk.counter_adjustments.update(
        made.id, account_id=account_id, counter_id=counter.id, date="2026-03-10", value=5, version=1
    )
    [listed] = list(sdk.counter_adjustments.list(counter_id=counter.id, account_id=account_id))
    gone = sdk.counter_adjustments.delete(made.id)

    assert (counter.name, counter.unit, counter.product_id) == ("Seats", "seats", sample.PRODUCT_SEATS)
    assert (made.value, made.date, changed.value, changed.version) == (7, date(2026, 3, 10), 5, 2)
    assert (listed, gone.id) == (changed, made.id)
    assert list(sdk.counter_adjustments.list(counter_id=counter.id)) == []


def test_counters_are_made_and_changed(sdk: M3ter) -> None:
    made = sdk.counters.create(name="Doors", unit="doors", code="doors")

    changed = sdk.counters.update(made.id, name="Gates", unit="gates", version=1)

    assert (changed.name, changed.code, changed.version) == ("Gates", None, 2)
    assert sdk.counters.retrieve(made.id) == changed
    assert sdk.counters.delete(made.id).id == made.id


def test_the_catalogue_is_listed_page_by_page(sdk: M3ter) -> None:
    assert [each.code for each in sdk.products.list(page_size=1)] == ["gauge-seats", "gauge-cloud"]
    assert [each.code for each in sdk.plans.list(page_size=2)] == ["seats-team", "bulk", "scale"]
    assert [each.currency for each in sdk.plan_templates.list()] == ["USD", "USD"]
    assert [each.name for each in sdk.plan_groups.list()] == ["Gauge Bundle"]
    assert [each.plan_id for each in sdk.plan_group_links.list(plan_group=sample.GROUP_BUNDLE)] == [
        sample.PLAN_SEATS,
        sample.PLAN_SCALE,
    ]
    assert [len(each.pricing_bands or []) for each in sdk.pricings.list(plan_id=sample.PLAN_SCALE)] == [3]
    assert [each.code for each in sdk.meters.list(codes=["api_calls"])] == ["api_calls"]
    assert [each.aggregation for each in sdk.aggregations.list()] == ["SUM"]
    assert [each.code for each in sdk.currencies.list()] == ["GBP", "USD", "EUR"]


def test_measurements_are_submitted_and_queried(sdk: M3ter, simulator: M3terSimulator) -> None:
    billed(sdk, simulator)

    answer = sdk.usage.query(start_date=START, end_date=NOW)

    assert answer.has_more_data is False
    assert answer.data is not None
    assert [row["calls"] for row in answer.data] == [12_600]


def test_a_file_of_measurements_is_uploaded(sdk: M3ter, simulator: M3terSimulator) -> None:
    new_account(sdk)
    used = {"uid": "1", "meter": "api_calls", "account": CODE, "ts": START.isoformat(), "measure": {"calls": 3}}
    content = json.dumps([used, {"uid": "2"}]).encode()

    given = sdk.usage.file_uploads.generate_upload_url(
        content_length=len(content), content_type="application/json", file_name="feb.json"
    )
    assert given.url is not None
    assert given.job_id is not None
    put = httpx.put(given.url, content=content, headers=given.headers, trust_env=False)
    simulator.finish_uploads()
    simulator.process_measurements()
    done = sdk.usage.file_uploads.jobs.retrieve(given.job_id)
    original = sdk.usage.file_uploads.jobs.get_original_download_url(given.job_id)

    assert (put.status_code, put.content) == (200, b"")
    assert (done.status, done.total_rows, done.processed_rows, done.failed_rows) == ("succeeded", 2, 2, 1)
    assert done.content_length == len(content)
    assert [job.file_name for job in sdk.usage.file_uploads.jobs.list()] == ["feb.json"]
    assert original.url is not None
    assert httpx.get(original.url, trust_env=False).content == content
    assert [(row["account"], row["count"], row["sum"]) for row in simulator.usage_totals()] == [(CODE, 1, 3)]


def test_bills_are_listed_read_approved_and_locked(sdk: M3ter, simulator: M3terSimulator) -> None:
    bill_id = billed(sdk, simulator)
    said = sdk.bills.approve(bill_ids=[bill_id])

    [listed] = list(
        sdk.bills.list(
            status="APPROVED",
            locked=False,
            bill_date_start="2026-03-01",
            bill_date_end="2026-04-01",
            exclude_line_items=True,
            include_bill_total=True,
        )
    )
    read = sdk.bills.retrieve(bill_id)
    locked = sdk.bills.lock(bill_id)

    assert said.message == "1 bills approved"
    assert (listed.id, listed.bill_total, listed.line_items) == (bill_id, read.bill_total, None)
    assert read.line_items is not None
    assert [line.line_item_type for line in read.line_items] == ["USAGE", "STANDING_CHARGE"]
    assert (read.status, read.currency, read.end_date) == ("APPROVED", "EUR", date(2026, 3, 8))
    assert (locked.locked, locked.version) == (True, 3)
    with pytest.raises(BadRequestError, match="locked"):
        sdk.bills.update_status(bill_id, status="PENDING")


def test_bill_jobs_run_and_recalculate(sdk: M3ter, simulator: M3terSimulator) -> None:
    bill_id = billed(sdk, simulator)
    job = sdk.bill_jobs.create(account_ids=[str(sdk.bills.retrieve(bill_id).account_id)], bill_date=date(2026, 3, 8))

    statuses = [sdk.bill_jobs.retrieve(job.id).status for _ in range(3)]
    again = sdk.bill_jobs.recalculate(bill_ids=[bill_id])

    assert statuses[-1] == "COMPLETE"
    assert (again.type, again.total) == ("RECALCULATE", 1)


def test_line_items_are_listed(sdk: M3ter, simulator: M3terSimulator) -> None:
    bill_id = billed(sdk, simulator)

    lines = list(sdk.bills.line_items.list(bill_id, page_size=1))

    assert [line.line_item_type for line in lines] == ["USAGE", "STANDING_CHARGE"]
    assert sdk.bills.line_items.retrieve(lines[0].id, bill_id=bill_id) == lines[0]


def test_a_charge_is_made_changed_and_billed(sdk: M3ter, simulator: M3terSimulator) -> None:
    account_id = subscribed(sdk)
    made = sdk.charges.create(
        account_id=account_id,
        code="late-1",
        name="Late usage",
        currency="USD",
        entity_type="AD_HOC",
        line_item_type="AD_HOC",
        service_period_start_date=START.isoformat(),
        service_period_end_date=NOW.isoformat(),
        amount=12.5,
        bill_date="2026-03-08",
    )
    changed = sdk.charges.update(
        made.id,
        account_id=account_id,
        code="late-1",
        name="Late usage",
        currency="USD",
        entity_type="AD_HOC",
        line_item_type="AD_HOC",
        service_period_start_date=START.isoformat(),
        service_period_end_date=NOW.isoformat(),
        units=5,
        unit_price=2,
        version=1,
    )

    (bill_id,) = simulator.run_bill_job([CODE])["bill_ids"]

    [listed] = list(sdk.charges.list(account_id=account_id, entity_type="AD_HOC"))
    assert (made.amount, changed.amount, changed.units, changed.unit_price) == (12.5, None, 5, 2)
    assert (listed.id, listed.bill_id) == (made.id, bill_id)
    assert sdk.charges.retrieve(made.id).to_dict() == listed.to_dict()
    lines = {line.line_item_type: line for line in sdk.bills.line_items.list(bill_id)}
    assert (lines["AD_HOC"].subtotal, lines["AD_HOC"].charge_id) == (10, made.id)
    with pytest.raises(BadRequestError, match="has been billed"):
        sdk.charges.delete(made.id)


def test_external_mappings_are_created_and_found_from_both_sides(sdk: M3ter) -> None:
    account_id = new_account(sdk)
    made = sdk.external_mappings.create(
        m3ter_entity="Account",
        m3ter_id=account_id,
        external_system="bridge",
        external_table="Subscription",
        external_id=CODE,
    )

    outside = sdk.external_mappings.list_by_external_entity(CODE, system="bridge", external_table="Subscription")
    inside = sdk.external_mappings.list_by_m3ter_entity(account_id, entity="Account")

    assert list(outside) == list(inside) == [made]


def test_integrations_are_listed(sdk: M3ter, simulator: M3terSimulator) -> None:
    simulator.enable_native_paddle()

    [config] = list(sdk.integration_configurations.list())

    assert (config.entity_type, config.destination, config.enabled) == ("Bill", "PADDLE", True)


def test_webhooks_and_rules_are_set_up(sdk: M3ter) -> None:
    rule = sdk.notification_configurations.create(
        name="Bill",
        description="Every change",
        code="bill",
        event_name="billing.bill.updated",
        always_fire_event=True,
        calculation="",
    )
    target = sdk.webhooks.create(
        name="Bridge",
        description="Ours",
        url="https://bridge.example/webhooks/m3ter/token/",
        credentials={"type": "M3TER_SIGNED_REQUEST", "api_key": "key", "secret": "secret"},
        active=True,
        code="bridge",
    )
    link = sdk.integration_configurations.create(
        entity_type="Notification",
        entity_id=rule.id,
        destination="Webhook",
        destination_id=target.id,
        config_data={},
        credentials={"type": "M3TER_SIGNED_REQUEST"},
        name="Bridge",
    )

    assert (rule.active, target.active, link.enabled) == (True, True, True)


def test_an_event_that_nobody_actioned_is_where_the_sdk_and_the_documentation_part(
    sdk: M3ter, simulator: M3terSimulator
) -> None:
    new_account(sdk)

    with pytest.raises(APIResponseValidationError):
        list(sdk.events.list())

    simulator.memory.events.newest_first()[0]["dtActioned"] = "2026-03-10T12:00:00.000Z"
    [event] = list(sdk.events.list(event_name="configuration.account.created"))
    assert event.event_name == "configuration.account.created"
