"""The m3ter client against the simulated m3ter: bills calculated again, with late usage and with charges."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from integration_project import errors
from integration_project.vendors.m3ter.entities import Bill, BillJob, Measurement
from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.client_stage import CODE, START, ClientStage, new_account, new_plan, new_stage
from tests.vendors.rehearsing import new_rehearsing


@pytest.fixture
def stage() -> ClientStage:
    """An account with a plan since January and usage in February."""
    stage = new_stage()
    account = stage.client.create_account(new_account())
    stage.client.create_account_plan(new_plan(account, start=datetime(2026, 1, 26, tzinfo=UTC)))
    use(stage, "use-1", 12_600)
    return stage


def use(stage: ClientStage, uid: str, calls: int) -> None:
    measured = Measurement(
        uid, sample.METER_API_CALLS, CODE, START - timedelta(days=5), measure={sample.MEASURE_CALLS: calls}
    )
    stage.client.submit_measurements([measured])


def approved(stage: ClientStage) -> Bill:
    (bill_id,) = stage.simulator.run_bill_job([CODE], "2026-02-26")["bill_ids"]
    stage.simulator.approve_bill(bill_id)
    return stage.client.get_bill(bill_id)


def finished(stage: ClientStage, job: BillJob) -> BillJob:
    while not job.is_over:
        stage.simulator.process_measurements()
        job = stage.client.get_bill_job(job.id)
    return job


def used(bill: Bill) -> list[Decimal | None]:
    return [line.quantity for line in bill.lines or () if line.line_item_type == "USAGE"]


def test_a_bill_that_is_calculated_again_has_late_usage_and_is_pending(stage: ClientStage) -> None:
    bill = approved(stage)
    use(stage, "use-2", 400)

    job = stage.client.recalculate_bills([bill.id])
    at_once = stage.client.get_bill(bill.id)
    done = finished(stage, job)

    again = stage.client.get_bill(bill.id)
    assert (job.status, done.status) == ("PENDING", "COMPLETE")
    assert (used(at_once), at_once.is_approved) == ([Decimal(12_600)], True)
    assert (used(again), again.is_approved) == ([Decimal(13_000)], False)


def test_a_locked_bill_stays_as_it_is(stage: ClientStage) -> None:
    bill = approved(stage)
    locked = stage.client.lock_bill(bill.id)
    use(stage, "use-2", 400)

    finished(stage, stage.client.recalculate_bills([bill.id]))

    again = stage.client.get_bill(bill.id)
    assert (again.version, again.locked, used(again)) == (locked.version, True, [Decimal(12_600)])


def test_a_bill_that_nobody_has_is_refused(stage: ClientStage) -> None:
    with pytest.raises(errors.VendorRejected, match="does not exist"):
        stage.client.recalculate_bills(["91aa91aa-8888-4b66-8000-000000000008"])


def test_a_dry_run_asks_for_no_recalculation() -> None:
    stage = new_rehearsing()

    job = stage.run(lambda vendors: vendors.m3ter.recalculate_bills(["bill-1"]))

    assert (job.status, stage.operations) == ("PENDING", ["recalculate bills"])
    assert stage.m3ter.memory.bill_jobs.first() is None
