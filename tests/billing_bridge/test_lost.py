"""What Paddle gave up is owed again: it can be held, skipped, sent again, and stays until a person decides."""

import pytest

from billing_bridge import importing, jobs, looking, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.errors import NotPossible
from integration_project.models import Finding
from paddle_sync.models import AccountLink
from tests.billing_bridge.world import World, fresh, push_of

State = PushedBill.State
Reason = PushedBill.Reason


@pytest.fixture
def bill(world: World) -> PushedBill:
    """A bill whose push Paddle accepted and gave up: nothing of it is pending there any more."""
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")
    return fresh(bill)


def losses() -> int:
    return Finding.objects.filter(kind=looking.LOST, state="open").count()


def test_a_lost_bill_that_was_held_can_be_approved(world: World, bill: PushedBill) -> None:
    review.hold(bill.pk, by="fiona", reason="asking the customer")

    review.approve(bill.pk, by="fiona", reason="they will pay")
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).in_paddle, fresh(bill).outstanding) == (State.PUSHED, 14345, 0)
    assert losses() == 0


def test_a_lost_bill_that_is_skipped_is_skipped_and_can_be_sent_again(world: World, bill: PushedBill) -> None:
    review.skip(bill.pk, by="fiona", reason="goodwill")
    skipped = fresh(bill)
    alarms = losses()

    review.resend(bill.pk, by="fiona", reason="it was a mistake")

    assert (skipped.state, skipped.written_off, alarms) == (State.SKIPPED, 0, 0)
    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REVIEW)


def test_a_lost_bill_that_waits_to_be_sent_again_still_does_after_it_is_read(world: World, bill: PushedBill) -> None:
    review.resend(bill.pk, by="fiona", reason="again")

    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert (fresh(bill).state, fresh(bill).reason) == (State.READY, "")


def test_a_lost_bill_that_changes_in_m3ter_is_sent_again_as_it_is_then(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=5)
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "130.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    lost = fresh(bill)
    review.resend(bill.pk, by="fiona", reason="again")
    jobs.drain_bills()

    assert (lost.state, lost.outstanding) == (State.LOST, 13000)
    assert (fresh(bill).state, fresh(bill).in_paddle) == (State.PUSHED, 13000)


def test_a_lost_bill_that_cannot_be_charged_stays_lost_with_its_alarm(world: World, bill: PushedBill) -> None:
    AccountLink.objects.update(paddle_status="canceled")

    with pytest.raises(NotPossible, match="is cancelled in Paddle"):
        review.resend(bill.pk, by="fiona", reason="the customer came back")

    assert (fresh(bill).state, losses()) == (State.LOST, 1)


def test_a_lost_bill_is_sent_again_once_the_account_has_another_subscription(world: World, bill: PushedBill) -> None:
    AccountLink.objects.update(paddle_status="canceled", state=AccountLink.State.ENDED)
    subscription_id, _ = world.subscribe(email="again@example.com")
    AccountLink.objects.filter(paddle_subscription_id=subscription_id).update(m3ter_account_id=world.account_id)

    world.import_all()
    review.resend(bill.pk, by="fiona", reason="on the new subscription")
    jobs.drain_bills()

    assert (fresh(bill).state, push_of(bill).paddle_subscription_id) == (State.PUSHED, subscription_id)
    assert losses() == 0


def test_a_lost_bill_whose_credit_was_written_off_is_charged_what_it_says_and_no_more(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=5)
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    review.skip(bill.pk, by="fiona", reason="settled by hand")
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")

    lost = fresh(bill)
    review.resend(bill.pk, by="fiona", reason="again")
    world.work()

    assert lost.outstanding == 14345
    assert (fresh(bill).state, fresh(bill).outstanding, world.paddle.charges[-1].subtotal) == (State.PUSHED, 0, 10000)


def test_a_bill_whose_difference_was_written_off_is_locked_in_m3ter(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=5)
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "200.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    PushPolicy.objects.update(lock_after_days=0)

    review.skip(bill.pk, by="fiona", reason="leave it")
    jobs.finish_bills()

    assert (fresh(bill).state, world.in_m3ter(bill.m3ter_bill_id)["locked"]) == (State.PUSHED, True)


def test_a_bill_approved_because_paddle_has_all_of_it_is_locked_in_m3ter(world: World) -> None:
    bill = world.pushed()
    PushedBill.objects.filter(pk=bill.pk).update(state=State.HELD, reason=Reason.OPERATOR, due_at=None)

    review.approve(bill.pk, by="fiona", reason="all there")
    jobs.finish_bills()

    assert (fresh(bill).state, world.in_m3ter(bill.m3ter_bill_id)["locked"]) == (State.PUSHED, True)


@pytest.mark.parametrize("amount", ["0.00", "0.10"])
def test_a_lost_bill_that_m3ter_lowers_to_what_stands_of_it_needs_nobody_any_more(
    world: World, bill: PushedBill, amount: str
) -> None:
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", amount),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    world.import_all()

    if amount == "0.00":
        assert (fresh(bill).state, fresh(bill).outstanding) == (State.CARRIED, 0)
        assert not Finding.objects.filter(kind="charge lost", state="open").exists()
    else:
        assert (fresh(bill).state, fresh(bill).outstanding) == (State.LOST, 10)
