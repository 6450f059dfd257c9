"""Counters and counter adjustments of the simulated m3ter."""

from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import Organisation

NOWHERE = "00000000-0000-4000-8000-000000000000"


def ids(page: Any) -> list[str]:
    return [row["id"] for row in page["data"]]


def count(account: Any, value: Any = 7, day: str = "2026-03-01", **fields: Any) -> dict[str, Any]:
    body = {"accountId": account["id"], "counterId": sample.COUNTER_SEATS, "date": day, "value": value}
    return {**body, **fields}


# Counters.


def test_the_sample_counter_belongs_to_the_seats(organisation: Organisation) -> None:
    counter = organisation.get(f"/counters/{sample.COUNTER_SEATS}")

    assert (counter["code"], counter["unit"], counter["productId"]) == ("seats", "seats", sample.PRODUCT_SEATS)


def test_counters_are_filtered_by_code_and_product(organisation: Organisation) -> None:
    doors = organisation.post("/counters", {"name": "Doors", "unit": "doors", "code": "doors"})

    assert ids(organisation.get("/counters")) == [doors["id"], sample.COUNTER_SEATS]
    assert ids(organisation.get("/counters", codes="doors,gates")) == [doors["id"]]
    assert ids(organisation.get("/counters", productId=sample.PRODUCT_SEATS)) == [sample.COUNTER_SEATS]
    assert ids(organisation.get("/counters", ids=doors["id"])) == [doors["id"]]
    assert len(organisation.get("/counters", pageSize=200)["data"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": None},
        {"unit": ""},
        {"unit": None},
        {"code": " x"},
        {"code": "seats"},
        {"productId": NOWHERE},
        {"colour": "red"},
    ],
)
def test_a_wrong_counter_is_refused(organisation: Organisation, wrong: dict[str, Any]) -> None:
    body = {"name": "Doors", "unit": "doors", "code": "doors", **wrong}

    organisation.refusal("POST", "/counters", body)

    assert ids(organisation.get("/counters")) == [sample.COUNTER_SEATS]


def test_a_counter_with_counts_stays(organisation: Organisation) -> None:
    adjustment = organisation.post("/counteradjustments", count(organisation.account()))

    message = organisation.refusal("DELETE", f"/counters/{sample.COUNTER_SEATS}")
    organisation.call("DELETE", f"/counteradjustments/{adjustment['id']}")

    assert message == "Counter is used by a CounterAdjustment"
    assert organisation.call("DELETE", f"/counters/{sample.COUNTER_SEATS}")["id"] == sample.COUNTER_SEATS


# Counter adjustments.


def test_a_count_is_kept_changed_whole_and_deleted(organisation: Organisation) -> None:
    account = organisation.account()
    made = organisation.post("/counteradjustments", count(account, purchaseOrderNumber="PO-1"))
    path = f"/counteradjustments/{made['id']}"

    changed = organisation.put(path, {**count(account, 0), "version": 1})

    assert (made["version"], made["value"], made["date"]) == (1, 7, "2026-03-01")
    assert (changed["version"], changed["value"], "purchaseOrderNumber" in changed) == (2, 0, False)
    assert organisation.call("DELETE", path) == changed
    organisation.refusal("GET", path, status=404)


def test_a_count_changes_with_the_version_last_read_only(organisation: Organisation) -> None:
    account = organisation.account()
    path = f"/counteradjustments/{organisation.post('/counteradjustments', count(account))['id']}"

    organisation.refusal("PUT", path, {**count(account, 9), "version": 2}, status=409)
    organisation.refusal("PUT", path, count(account, 9))

    assert organisation.get(path)["value"] == 7


@pytest.mark.parametrize(
    "wrong",
    [{"value": value} for value in (-1, 1.5, "7", None, True, 2**31)]
    + [{"date": day} for day in ("01/03/2026", "2026-02-30", "2026-03-01T00:00:00Z", None)]
    + [{"counterId": counter} for counter in (NOWHERE, "seats", None)]
    + [{"accountId": account} for account in (NOWHERE, "harbour-tools", None)]
    + [{"purchaseOrderNumber": "p" * 101}, {"colour": "red"}, {"version": 1}],
)
def test_a_wrong_count_is_refused(organisation: Organisation, wrong: dict[str, Any]) -> None:
    account = organisation.account()

    message = organisation.refusal("POST", "/counteradjustments", count(account, **wrong))

    assert next(iter(wrong)) in message
    assert organisation.sim.state()["counter_adjustments"] == []


def test_a_day_has_one_count_of_a_counter_and_an_account(organisation: Organisation) -> None:
    account, other = organisation.account(), organisation.account(code="other")
    doors = organisation.post("/counters", {"name": "Doors", "unit": "doors"})["id"]
    organisation.post("/counteradjustments", count(account))

    message = organisation.refusal("POST", "/counteradjustments", count(account, 8))
    organisation.post("/counteradjustments", count(account, counterId=doors))
    organisation.post("/counteradjustments", count(other))
    later = organisation.post("/counteradjustments", count(account, day="2026-03-02"))
    moved = {**count(account, day="2026-03-01"), "version": 1}

    assert message == "Account already has a CounterAdjustment for this Counter on 2026-03-01"
    organisation.refusal("PUT", f"/counteradjustments/{later['id']}", moved)
    organisation.put(f"/counteradjustments/{later['id']}", {**moved, "date": "2026-03-02"})


def test_counts_are_listed_by_counter_account_and_day(organisation: Organisation) -> None:
    account, other = organisation.account(), organisation.account(code="other")
    made = [
        organisation.post("/counteradjustments", count(whose, day=day))["id"]
        for whose, day in ((account, "2026-03-01"), (account, "2026-03-05"), (other, "2026-03-01"))
    ]
    seats = {"counterId": sample.COUNTER_SEATS}
    ours = {**seats, "accountId": account["id"]}

    def listed(**params: str) -> list[str]:
        return ids(organisation.get("/counteradjustments", **params))

    assert listed(**seats) == made[::-1]
    assert listed(**ours) == [made[1], made[0]]
    assert listed(**ours, date="2026-03-05") == [made[1]]
    assert listed(**ours, dateStart="2026-03-05") == [made[1]]
    assert listed(**ours, dateEnd="2026-03-05") == [made[0]]
    assert listed(**seats, endDateStart="2026-03-02", endDateEnd="2026-03-06") == [made[1]]
    assert listed(counterId=NOWHERE) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "counterId is required"),
        ({"accountId": NOWHERE}, "counterId is required"),
        ({"counterId": NOWHERE, "date": "2026-03-01"}, "date must be used together with accountId"),
        ({"counterId": NOWHERE, "dateStart": "2026-03-01"}, "dateStart must be used together with accountId"),
        ({"counterId": NOWHERE, "dateEnd": "2026-03-01"}, "dateEnd must be used together with accountId"),
        ({"counterId": NOWHERE, "sortOrder": "ASC"}, "sortOrder is not simulated"),
        ({"counterId": NOWHERE, "pageSize": "101"}, "pageSize must be between 1 and 100"),
    ],
)
def test_counts_are_not_listed_otherwise(organisation: Organisation, params: dict[str, str], said: str) -> None:
    assert organisation.refusal("GET", "/counteradjustments", params=params) == said


def test_counts_and_counters_are_told_as_events(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.post("/counters", {"name": "Doors", "unit": "doors"})
    made = organisation.post("/counteradjustments", count(account))
    organisation.put(f"/counteradjustments/{made['id']}", {**count(account, 5), "version": 1})
    organisation.call("DELETE", f"/counteradjustments/{made['id']}")

    names = [event["eventName"] for event in organisation.get("/events")["data"]][:4]
    changes = ["deleted", "updated", "created"]
    assert names == [*(f"billing.counteradjustment.{change}" for change in changes), "configuration.counter.created"]


def test_an_account_with_counts_stays(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.post("/counteradjustments", count(account))

    message = organisation.refusal("DELETE", f"/accounts/{account['id']}")

    assert message == "Account is used by a CounterAdjustment"
