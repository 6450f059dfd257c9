"""A bill that ends every worker that takes it: it stops by itself, nothing is charged twice, and people know."""

import pytest

from billing_bridge import jobs, review
from billing_bridge.models import PushedBill
from billing_bridge.queues import CONFIRM, FINISH, PUSH
from integration_project import work
from integration_project.models import Finding
from tests.billing_bridge.world import World, end_lease, fresh, make_due, push_of

pytestmark = pytest.mark.django_db

State = PushedBill.State


def lose_workers(queue: work.Queue[PushedBill], bill: PushedBill) -> None:
    """Let as many workers be lost with the bill as it takes."""
    for _ in range(work.MOST_DEATHS):
        make_due(bill)
        assert [row.pk for row in work.claim(queue)] == [bill.pk]
        end_lease(bill)
        work.release_expired(queue)
    make_due(bill)


def unconfirmed(world: World) -> PushedBill:
    world.paddle.fault("charge subscription", "lose_answer")
    bill = world.approved()
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED
    return bill


def test_a_bill_that_workers_are_lost_with_is_held_and_reported(world: World) -> None:
    bill = world.approved()
    lose_workers(PUSH, bill)

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.reason, bill.due_at, bill.lease) == (State.HELD, "workers lost", None, None)
    assert world.charges_of(bill) == 0
    found = Finding.objects.get(kind="workers lost")
    assert (found.subject, found.state) == (bill.m3ter_bill_id, "open")


def test_a_bill_held_for_lost_workers_stays_held_when_bills_are_read_again_and_is_charged_once_approved(
    world: World,
) -> None:
    bill = world.approved()
    lose_workers(PUSH, bill)
    jobs.drain_bills()

    world.import_all()
    assert fresh(bill).state == State.HELD
    review.approve(bill.pk, by="finance", reason="the workers have more memory")
    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    assert world.charges_of(bill) == 1


def test_an_unconfirmed_bill_that_workers_are_lost_with_is_left_to_a_person(world: World) -> None:
    bill = unconfirmed(world)
    lose_workers(CONFIRM, bill)

    jobs.confirm_bills()

    bill = fresh(bill)
    assert (bill.state, bill.due_at, bill.lease) == (State.UNCONFIRMED, None, None)
    found = Finding.objects.get(kind="charge unconfirmed")
    assert (found.subject, found.severity) == (push_of(bill).push_id, Finding.Severity.ALARM)


def test_a_pushed_bill_that_workers_are_lost_with_stays_pushed_and_is_not_finished(world: World) -> None:
    bill = world.pushed()
    lose_workers(FINISH, bill)

    jobs.finish_bills()

    bill = fresh(bill)
    assert (bill.state, bill.due_at, bill.lease) == (State.PUSHED, None, None)
    assert Finding.objects.get(kind="bill not finished in m3ter").subject == bill.m3ter_bill_id


@pytest.mark.parametrize("queue", [PUSH, CONFIRM, FINISH], ids=lambda queue: str(queue.name))
def test_one_worker_less_than_that_changes_nothing(world: World, queue: work.Queue[PushedBill]) -> None:
    bill = {PUSH: world.approved, CONFIRM: lambda: unconfirmed(world), FINISH: world.pushed}[queue]()
    PushedBill.objects.filter(pk=bill.pk).update(deaths=work.MOST_DEATHS - 1)
    make_due(bill)

    jobs.drain_bills()
    jobs.confirm_bills()
    jobs.finish_bills()

    assert (fresh(bill).state, fresh(bill).deaths) == (State.PUSHED, 0)
    assert not Finding.objects.filter(state="open").exists()
