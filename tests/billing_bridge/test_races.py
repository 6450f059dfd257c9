"""Several workers at once, each in a thread with a connection of its own, charge every bill once."""

import pytest

from billing_bridge import jobs, settlement
from billing_bridge.models import BillEntry, PushedBill
from tests.billing_bridge.world import World, fresh, make_due
from tests.builders import make_event
from tests.threads import at_once

State = PushedBill.State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_two_workers_race_for_one_bill_and_charge_it_once(world: World) -> None:
    bill = world.approved()

    raised = at_once(jobs.drain_bills, jobs.drain_bills, jobs.drain_bills)

    assert raised == []
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert world.calls("charge subscription") == 1


def test_workers_that_drain_together_charge_every_bill_once(world: World) -> None:
    accounts = [world.account_id] + [world.subscribe(email=f"buyer{n}@example.com")[1] for n in range(5)]
    bills = [world.approved(account_id=account_id) for account_id in accounts]

    raised = at_once(*[jobs.drain_bills] * 4)

    assert raised == []
    assert [fresh(bill).state for bill in bills] == [State.PUSHED] * 6
    assert [world.charges_of(bill) for bill in bills] == [1] * 6


def test_looking_twice_at_once_records_the_charge_once(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    make_due(bill)

    raised = at_once(jobs.confirm_bills, jobs.confirm_bills)

    assert raised == []
    assert (fresh(bill).state, BillEntry.objects.filter(bill=bill).count()) == (State.PUSHED, 1)


def test_the_poll_of_two_workers_imports_a_bill_once(world: World) -> None:
    bill_id = world.make_bill()

    raised = at_once(jobs.import_new_bills, jobs.import_new_bills)

    assert raised == []
    assert PushedBill.objects.filter(m3ter_bill_id=bill_id).count() == 1
    assert PushedBill.objects.get().revisions.count() == 1


def test_a_charge_recorded_while_its_cancellation_is_told_is_lost_whoever_comes_first(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    world.paddle.cancel(world.subscription_id)
    event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])
    make_due(bill)

    raised = at_once(jobs.confirm_bills, lambda: settlement.subscription_changed(event, world.vendors))

    assert raised == []
    assert (fresh(bill).state, fresh(bill).lost) == (State.LOST, 14345)
