"""What the simulated m3ter measured in all, told without handing out every measurement."""

import copy
from decimal import Decimal
from typing import Any

import pytest

from integration_project.vendors import exact_json
from tests.vendors.m3ter.organisation import Organisation

MEASUREMENT: dict[str, Any] = {"meter": "api_calls", "ts": "2026-02-03T10:15:00Z", "what": {"endpoint": "search"}}


def submit(organisation: Organisation, **measurement: Any) -> None:
    body = exact_json.encode({"measurements": [{**MEASUREMENT, **measurement}]})
    organisation.call("POST", "/measurements", data=body, headers={"Content-Type": "application/json"})


@pytest.fixture
def used(organisation: Organisation) -> Organisation:
    for code in ("one", "two"):
        organisation.account(code=code, name=code)
    for uid, account, calls in (("1", "one", "0.1"), ("2", "one", "0.2"), ("2", "one", "0.2"), ("3", "two", "-7")):
        submit(organisation, uid=uid, account=account, measure={"calls": Decimal(calls)})
    organisation.sim.process_measurements()
    return organisation


def test_totals_are_those_of_the_distinct_uids(used: Organisation) -> None:
    totals = {(row["account"], row["field"]): (row["count"], row["sum"]) for row in used.sim.usage_totals()}

    assert totals == {
        ("one", "calls"): (2, Decimal("0.3")),
        ("one", "endpoint"): (2, None),
        ("two", "calls"): (1, Decimal(-7)),
        ("two", "endpoint"): (1, None),
    }


def test_totals_can_be_asked_of_one_account_and_meter(used: Organisation) -> None:
    assert [row["field"] for row in used.sim.usage_totals(account="two", meter="api_calls")] == ["endpoint", "calls"]
    assert used.sim.usage_totals(account="two", meter="other") == []


def test_totals_have_every_digit_and_derived_fields_too(organisation: Organisation) -> None:
    organisation.account(code="one")
    fields = [{"category": "MEASURE", "code": "bytes", "name": "Bytes"}]
    derived = [{"category": "MEASURE", "code": "twice", "name": "Twice", "calculation": "bytes * 2"}]
    organisation.post("/meters", {"name": "M", "code": "m", "dataFields": fields, "derivedFields": derived})
    large = Decimal("123456789012345678901234567890.125")
    for uid in ("1", "2"):
        submit(organisation, uid=uid, account="one", meter="m", measure={"bytes": large}, what={})

    organisation.sim.process_measurements()

    totals = {row["field"]: row["sum"] for row in organisation.sim.usage_totals()}
    assert totals["bytes"] == Decimal("246913578024691357802469135780.250")
    assert totals["twice"] is not None


def test_totals_are_forgotten_with_everything_else(used: Organisation) -> None:
    used.sim.reset()

    assert used.sim.usage_totals() == []


def test_the_state_shows_measurements_without_copying_them(used: Organisation) -> None:
    before = copy.deepcopy(used.sim.state()["measurements"])

    first, second = used.sim.state()["measurements"], used.sim.state()["measurements"]
    used.sim.run_bill_job(bill_date="2026-03-01")

    assert first is not second
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert before == used.sim.state()["measurements"]
