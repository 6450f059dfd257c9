"""After the charge the bill is locked and mapped in m3ter; failing at this never changes the push."""

import datetime as dt

import pytest

from billing_bridge import jobs
from billing_bridge.models import PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding
from tests.billing_bridge.world import World, fresh, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def locked_in_m3ter(world: World, bill: PushedBill) -> bool:
    return bool(world.in_m3ter(bill.m3ter_bill_id)["locked"])


def mappings(world: World, bill: PushedBill) -> list[tuple[str, str, str]]:
    return [
        (row["externalSystem"], row["externalTable"], row["externalId"])
        for row in world.m3ter.memory.external_mappings
        if row["m3terId"] == bill.m3ter_bill_id
    ]


def test_a_pushed_bill_is_locked_and_mapped_to_its_push(world: World) -> None:
    bill = world.pushed()

    jobs.finish_bills()

    after = fresh(bill)
    assert locked_in_m3ter(world, bill)
    assert mappings(world, bill) == [("PaddleBridge", "SubscriptionCharge", f"{bill.m3ter_bill_id}-1")]
    assert (after.m3ter_locked, after.due_at, after.state) == (True, None, State.PUSHED)
    assert after.locked_at is not None
    assert after.external_mapping_id


def test_a_policy_may_lock_days_later(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()

    jobs.finish_bills()
    waiting = fresh(bill)
    settled_at = push_of(bill).settled_at
    assert settled_at is not None
    bill.pushes.update(settled_at=settled_at - dt.timedelta(days=3))
    make_due(bill)
    jobs.finish_bills()

    assert waiting.due_at == settled_at + dt.timedelta(days=3)
    assert len(mappings(world, bill)) == 1
    assert locked_in_m3ter(world, bill)


@pytest.mark.parametrize("operation", ["lock bill", "create external mapping"])
@pytest.mark.parametrize("kind", ["lose_answer", "error_after", "error_before", "html", "truncated", "too_many"])
def test_a_fault_while_finishing_leaves_the_push_alone_and_is_tried_again(
    world: World, operation: str, kind: str
) -> None:
    bill = world.pushed()
    world.m3ter.fault(operation, kind)

    jobs.finish_bills()
    between = fresh(bill)
    make_due(bill)
    jobs.finish_bills()

    assert (between.state, between.pushed) == (State.PUSHED, 14345)
    assert between.last_error
    assert locked_in_m3ter(world, bill)
    assert len(mappings(world, bill)) == 1
    assert (fresh(bill).due_at, fresh(bill).last_error) == (None, "")


def test_a_bill_that_m3ter_is_calculating_again_is_locked_when_that_is_done(world: World) -> None:
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id)

    jobs.finish_bills()
    waiting = fresh(bill)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    make_due(bill)
    jobs.finish_bills()

    assert (waiting.state, waiting.m3ter_status) == (State.PUSHED, "PENDING")
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now() + dt.timedelta(minutes=5)
    assert locked_in_m3ter(world, bill)


def test_what_turns_out_changed_when_it_is_locked_is_held(world: World) -> None:
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    jobs.finish_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.CHANGED, 655)


def test_what_cannot_be_finished_for_long_is_a_finding(world: World) -> None:
    bill = world.pushed()
    world.m3ter.fault("lock bill", "error_before", times=None)

    for _ in range(6):
        make_due(bill)
        jobs.finish_bills()

    assert Finding.objects.get(kind="bill not finished in m3ter").subject == bill.m3ter_bill_id
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 14345)
    assert PushAttempt.objects.filter(bill=bill, step="finish", outcome="not done").count() == 6


def test_a_bill_that_is_another_when_it_is_locked_goes_on_by_itself(world: World) -> None:
    PushPolicy.objects.update(review="never", changed="settle")
    bill = world.imported()
    jobs.drain_bills()
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))

    jobs.finish_bills()
    found = fresh(bill)
    world.work()

    assert (found.state, found.outstanding, found.lease) == (State.READY, 655, None)
    assert found.due_at is not None
    assert found.locked_at is not None
    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).outstanding) == (State.PUSHED, 15000, 0)
