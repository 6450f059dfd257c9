"""Bills of the simulated m3ter: their life cycle, the jobs that make them, and how they are read."""

from decimal import Decimal
from typing import Any

import pytest

from tests.vendors.m3ter.organisation import Organisation


def test_an_approved_bill_says_when_and_by_whom(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    organisation.post("/bills/approve", {"billIds": [bill["id"]]})

    approved = organisation.get(f"/bills/{bill['id']}")
    assert (approved["status"], approved["version"]) == ("APPROVED", 2)
    assert approved["dtApproved"] == "2026-03-10T12:00:00.000Z"
    assert approved["approvedBy"]


def test_approving_answers_with_a_sentence_only(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    assert organisation.post("/bills/approve", {"billIds": [bill["id"]]}) == {"message": "1 bills approved"}


def test_approving_twice_changes_nothing(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])

    assert organisation.sim.approve_bill(bill["id"])["version"] == 2


@pytest.mark.parametrize("body", [{}, {"billIds": []}, {"billIds": ["nobody"]}, {"billIds": "x"}])
def test_a_wrong_approval_is_refused(organisation: Organisation, body: Any) -> None:
    organisation.refusal("POST", "/bills/approve", body)


def test_an_approval_can_be_taken_back(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    path = f"/bills/{bill['id']}/status"
    organisation.put(path, {"status": "APPROVED"})

    pending = organisation.put(path, {"status": "PENDING"})

    assert (pending["status"], pending["version"]) == ("PENDING", 3)
    assert "dtApproved" not in pending
    organisation.refusal("PUT", path, {"status": "PAID"})


def test_recalculating_an_approved_bill_moves_it_back_to_pending(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])
    organisation.use(2_000)

    recalculated = organisation.sim.recalculate(bill["id"])

    assert (recalculated["status"], recalculated["version"], recalculated["billTotal"]) == ("PENDING", 3, Decimal(40))
    assert "approvedBy" not in recalculated


def test_a_bill_job_that_includes_an_approved_bill_does_the_same(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])

    assert organisation.bill()["status"] == "PENDING"


def test_recalculation_through_the_api_takes_its_steps(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])

    job = organisation.post("/billjobs/recalculate", {"billIds": [bill["id"]]})
    statuses = [organisation.get(f"/billjobs/{job['id']}")["status"] for _ in range(4)]

    assert (job["status"], job["type"], job["total"]) == ("PENDING", "RECALCULATE", 1)
    assert statuses == ["INITIALIZING", "RUNNING", "COMPLETE", "COMPLETE"]
    assert organisation.get(f"/bills/{bill['id']}")["status"] == "PENDING"


def test_a_pending_bill_cannot_be_locked(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    assert organisation.refusal("PUT", f"/bills/{bill['id']}/lock") == "Bill is PENDING and cannot be locked"
    assert organisation.get(f"/bills/{bill['id']}")["locked"] is False


def test_a_locked_bill_is_out_of_reach(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])
    locked = organisation.put(f"/bills/{bill['id']}/lock", None)
    organisation.use(5_000)

    organisation.sim.recalculate(bill["id"])
    organisation.sim.run_bill_job(bill_date="2026-03-01")
    organisation.refusal("PUT", f"/bills/{bill['id']}/status", {"status": "PENDING"})
    organisation.refusal("PUT", f"/bills/{bill['id']}/lock")
    organisation.refusal("DELETE", f"/bills/{bill['id']}")

    assert (locked["locked"], locked["version"], bool(locked["dtLocked"])) == (True, 3, True)
    assert organisation.get(f"/bills/{bill['id']}") == locked


def test_locking_twice_can_be_assumed_harmless(organisation: Organisation, subscribed: Any) -> None:
    organisation.sim.assume(locking_twice_is_refused=False)
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])
    locked = organisation.put(f"/bills/{bill['id']}/lock", None)

    assert organisation.put(f"/bills/{bill['id']}/lock", None) == locked


def test_a_deleted_bill_is_gone(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    organisation.call("DELETE", f"/bills/{bill['id']}")

    organisation.refusal("GET", f"/bills/{bill['id']}", status=404)
    assert organisation.get("/bills")["data"] == []


def test_a_lock_date_locks_what_ended_and_moving_it_back_unlocks(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.refusal("PUT", "/billconfig", {"version": 1, "billLockDate": "2026-03-01"})
    organisation.sim.approve_bill(bill["id"])

    organisation.put("/billconfig", {"version": 1, "billLockDate": "2026-03-01"})
    locked = organisation.get(f"/bills/{bill['id']}")["locked"]
    organisation.put("/billconfig", {"version": 2, "billLockDate": "2026-02-01"})

    assert (locked, organisation.get(f"/bills/{bill['id']}")["locked"]) == (True, False)


def test_bills_approve_themselves_after_the_grace_period(organisation: Organisation, subscribed: Any) -> None:
    config = organisation.sim.memory.organization_config
    config.update(autoApproveBillsGracePeriod=2, autoApproveBillsGracePeriodUnit="HOURS")
    bill = organisation.bill()

    organisation.sim.clock_move(hours=1)
    organisation.sim.tick()
    early = organisation.get(f"/bills/{bill['id']}")["status"]
    organisation.sim.clock_move(hours=1)
    organisation.sim.tick()

    assert (early, organisation.get(f"/bills/{bill['id']}")["status"]) == ("PENDING", "APPROVED")


def test_the_organisation_s_own_job_runs_at_its_interval(organisation: Organisation, subscribed: Any) -> None:
    organisation.sim.memory.organization_config["scheduledBillInterval"] = Decimal("0.25")
    organisation.sim.tick()
    [bill] = organisation.get("/bills")["data"]
    organisation.sim.approve_bill(bill["id"])
    organisation.sim.clock_move(minutes=14)
    organisation.sim.tick()
    early = organisation.get(f"/bills/{bill['id']}")["status"]

    organisation.sim.clock_move(minutes=1)
    organisation.sim.tick()

    assert (early, organisation.get(f"/bills/{bill['id']}")["status"]) == ("APPROVED", "PENDING")


# Bill jobs.


def test_a_job_walks_through_its_states_and_bills_at_the_end(organisation: Organisation, subscribed: Any) -> None:
    job = organisation.post("/billjobs", {"billDate": "2026-03-01", "accountIds": [subscribed["id"]]})

    seen: list[Any] = []
    while not seen or seen[-1]["status"] != "COMPLETE":
        assert organisation.get("/bills")["data"] == []
        seen.append(organisation.get(f"/billjobs/{job['id']}"))

    assert [job["status"], *(each["status"] for each in seen)] == ["PENDING", "INITIALIZING", "RUNNING", "COMPLETE"]
    assert (job["type"], job["total"], job["pending"], seen[-1]["pending"]) == ("CREATE", 1, 1, 0)
    assert seen[-1]["billIds"] == [organisation.get("/bills")["data"][0]["id"]]
    assert None not in job.values()


def test_ten_jobs_may_run_at_once_and_no_more(organisation: Organisation) -> None:
    jobs = [organisation.post("/billjobs", {}) for _ in range(10)]

    assert organisation.refusal("POST", "/billjobs", {}, status=429) == "Too many bill jobs are running"

    organisation.post(f"/billjobs/{jobs[0]['id']}/cancel", {})
    organisation.post("/billjobs", {})
    assert len(organisation.get("/billjobs", active="true", pageSize=100)["data"]) == 10
    assert [job["id"] for job in organisation.get("/billjobs", status="CANCELLED")["data"]] == [jobs[0]["id"]]


def test_a_finished_job_cannot_be_cancelled(organisation: Organisation) -> None:
    job = organisation.sim.run_bill_job()

    organisation.refusal("POST", f"/billjobs/{job['id']}/cancel")


def test_a_job_can_bill_in_another_currency(organisation: Organisation, subscribed: Any) -> None:
    job = organisation.post("/billjobs", {"billDate": "2026-03-01", "targetCurrency": "GBP"})
    for _ in range(3):
        organisation.get(f"/billjobs/{job['id']}")

    assert [
        (bill["currency"], bill["billTotal"]) for bill in organisation.get("/bills", includeBillTotal="true")["data"]
    ] == [("GBP", Decimal("15.80"))]


# Reading.


@pytest.fixture
def three(organisation: Organisation) -> list[Any]:
    """Bills of February, March and April; the first approved, the second approved and locked."""
    organisation.plan_on(organisation.account())
    organisation.sim.clock_set("2026-05-05T00:00:00Z")
    first, second, third = organisation.sim.run_bill_job()["bill_ids"]
    organisation.sim.approve_bill(first)
    organisation.sim.approve_bill(second)
    organisation.put(f"/bills/{second}/lock", None)
    return [first, second, third]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [2, 1, 0]),
        ({"status": "APPROVED"}, [1, 0]),
        ({"status": "APPROVED", "locked": "false"}, [0]),
        ({"locked": "true"}, [1]),
        ({"billDate": "2026-04-01"}, [1]),
        ({"billDateStart": "2026-04-01"}, [2, 1]),
        ({"billDateEnd": "2026-04-01"}, [0]),
        ({"externalInvoiceDateStart": "2026-03-02", "externalInvoiceDateEnd": "2026-05-01"}, [1]),
        ({"billingFrequency": "ANNUALLY"}, []),
        ({"accountId": "nobody"}, []),
    ],
)
def test_bills_are_filtered(
    organisation: Organisation, three: list[Any], params: dict[str, str], found: list[int]
) -> None:
    bills = organisation.get("/bills", **params)["data"]

    assert [three.index(bill["id"]) for bill in bills] == found


def test_bills_are_found_by_id_and_job(organisation: Organisation, three: list[Any]) -> None:
    job = organisation.get("/billjobs")["data"][0]

    by_id = organisation.get("/bills", ids=f"{three[0]},{three[2]}")["data"]
    by_job = organisation.get("/bills", billJobId=job["id"])["data"]

    assert ([bill["id"] for bill in by_id], len(by_job)) == ([three[2], three[0]], 3)


@pytest.mark.parametrize("params", [{"status": "PAID"}, {"billDateStart": "March"}, {"locked": "maybe"}])
def test_a_wrong_filter_is_refused(organisation: Organisation, three: list[Any], params: dict[str, str]) -> None:
    organisation.refusal("GET", "/bills", params=params)


def test_a_list_has_lines_and_totals_only_as_asked(organisation: Organisation, three: list[Any]) -> None:
    plain = organisation.get("/bills")["data"][0]
    asked = organisation.get("/bills", excludeLineItems="true", includeBillTotal="true")["data"][0]

    assert ("lineItems" in plain, "billTotal" in plain) == (True, False)
    assert ("lineItems" in asked, asked["billTotal"]) == (False, Decimal(20))


def test_the_latest_bill_and_all_bills_of_an_account(organisation: Organisation, three: list[Any]) -> None:
    account_id = organisation.get(f"/bills/{three[0]}")["accountId"]

    latest = organisation.get(f"/bills/latest/{account_id}")
    every = organisation.get(f"/bills/accountid/{account_id}")["data"]

    assert (latest["id"], len(every)) == (three[2], 3)
    organisation.refusal("GET", "/bills/latest/nobody", status=404)


def test_bills_are_searched(organisation: Organisation, three: list[Any]) -> None:
    found = organisation.get("/bills/search", searchQuery="locked:false$billDate>=2026-03-02")["data"]

    assert [bill["id"] for bill in found] == [three[2]]


def test_lines_are_read_page_by_page_and_one_by_one(organisation: Organisation, subscribed: Any) -> None:
    organisation.use(2_000)
    bill = organisation.bill()
    path = f"/bills/{bill['id']}/lineitems"

    first = organisation.get(path, pageSize=1)
    second = organisation.get(path, pageSize=1, nextToken=first["nextToken"])
    line = organisation.get(f"{path}/{first['data'][0]['id']}")

    assert [each["lineItemType"] for each in first["data"] + second["data"]] == ["USAGE", "STANDING_CHARGE"]
    assert line == first["data"][0]
    assert (line["billId"], len(line["bandUsage"])) == (bill["id"], 2)
    organisation.refusal("GET", f"{path}/nothing", status=404)


def test_a_bill_can_be_bent_for_a_rehearsal(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    bent = organisation.sim.change_bill(bill["id"], currency="XAU", billTotal=Decimal("-3.10"))

    assert (bent["currency"], bent["billTotal"], bent["version"]) == ("XAU", Decimal("-3.10"), 2)
