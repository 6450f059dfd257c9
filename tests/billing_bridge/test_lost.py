"""What Paddle gave up is owed again: it can be held, skipped, sent again, and stays until a person decides."""

from collections.abc import Callable

import pytest

from billing_bridge import doubting, importing, jobs, looking, previewing, review
from billing_bridge.admin.bill_decisions import DECISIONS
from billing_bridge.models import CarriedEntry, Push, PushedBill, PushPolicy
from integration_project.errors import NotPossible
from integration_project.models import Finding
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink
from tests.billing_bridge.breaking import another
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_settled_before import corrected
from tests.billing_bridge.world import World, fresh, push_of
from tests.builders import make_event

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


def test_a_loss_that_was_collected_and_given_back_whole_can_be_charged_again(
    world: World, tell: Callable[[], None]
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    tell()
    collected = fresh(bill)
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 10000)
    world.paddle.settle_adjustments()
    tell()

    review.approve(bill.pk, by="fiona", reason="they have it back, and owe it")
    world.work()

    assert (collected.state, collected.reason) == (State.HELD, Reason.COLLECTED)
    assert (fresh(bill).state, fresh(bill).outstanding, len(world.paddle.charges)) == (State.PUSHED, 0, 2)


def test_later_news_of_a_loss_that_was_given_back_whole_calls_nothing_in(
    world: World, tell: Callable[[], None]
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    tell()
    transaction_id = push_of(bill).paddle_transaction_id
    world.refund_by_hand(transaction_id, 10000)
    world.paddle.settle_adjustments()
    tell()
    review.carry(bill.pk, by="fiona", reason="they have it back, and owe it")

    make_event("transaction.updated", world.vendors.paddle.get_transaction(transaction_id).raw)
    drain_events()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.CARRIED, 0)
    assert CarriedEntry.objects.get().remaining == 10000


def test_a_loss_that_was_carried_and_still_waits_for_the_renewal_is_charged_by_no_other_bill(world: World) -> None:
    PushPolicy.objects.update(review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    review.carry(bill.pk, by="fiona", reason="with the next")

    following = importing.import_bill(world.another_bill((("Storage", "50.00"),)), world.vendors)
    assert following is not None
    shown = previewing.preview(following, world.vendors)
    world.work()
    held = fresh(following)
    review.take_back(CarriedEntry.objects.get().pk, by="fiona", reason="it is on the renewal")
    review.approve(following.pk, by="fiona", reason="its own alone")
    world.work()

    assert shown.verdict is not None
    assert shown.verdict.detail == held.reason_detail
    assert (held.state, held.reason) == (State.HELD, Reason.COLLECTED)
    assert f"Push {push_of(bill).push_id} was taken for lost, but it is still pending" in held.reason_detail
    assert (fresh(following).pushed, [charge.subtotal for charge in world.paddle.charges]) == (5000, [10000, 5000])


def test_a_loss_that_was_carried_and_still_waits_in_classic_is_charged_by_no_other_bill(
    classic_world: ClassicWorld,
) -> None:
    PushPolicy.objects.update(review="never", changed="hold", lock_after_days=30)
    bill = classic_world.imported()
    classic_world.work()
    looking.lose(push_of(bill), "it seemed so")
    review.carry(bill.pk, by="fiona", reason="with the next")

    following = another(classic_world, ("Storage", "50.00"))
    classic_world.work()

    assert (fresh(following).state, fresh(following).reason) == (State.HELD, Reason.COLLECTED)
    assert len(classic_world.modifiers()) == 1


@pytest.fixture
def lost_in_part(classic_world: ClassicWorld) -> PushedBill:
    """A bill of Paddle Classic raised from 100.00 to 150.00: the first is lost, and what came on top is in doubt."""
    PushPolicy.objects.update(review="never", changed="settle", lock_after_days=30)
    bill = classic_world.imported((("API calls", "100.00"),))
    classic_world.work()
    corrected(classic_world, bill, "150.00")
    classic_world.work()
    first, second = Push.objects.filter(bill=bill).order_by("ordinal")
    looking.lose(first, "Its modifier is gone.")
    doubting.note(second, "480001-33002", "It may be in that payment.")
    assert fresh(bill).state == State.LOST
    return fresh(bill)


def test_of_a_lost_bill_a_person_says_whether_the_rest_is_in_paddle_and_then_chooses(
    lost_in_part: PushedBill,
) -> None:
    asked = {each.name for each in DECISIONS if each.offered(lost_in_part)} & {"made", "not_made"}

    review.charge_was_made(lost_in_part.pk, by="fiona", reason="a coupon")

    assert asked == {"made", "not_made"}
    bill = fresh(lost_in_part)
    assert (bill.state, bill.paid, bill.outstanding, losses()) == (State.LOST, 5000, 10000, 1)
    review.resend(bill.pk, by="fiona", reason="again")
    assert fresh(bill).state == State.READY


def test_of_a_lost_bill_of_which_nothing_is_in_paddle_all_is_lost(lost_in_part: PushedBill) -> None:
    review.charge_was_not_made(lost_in_part.pk, by="fiona", reason="in no payment")

    assert (fresh(lost_in_part).state, fresh(lost_in_part).outstanding, losses()) == (State.LOST, 15000, 2)


def test_a_lost_bill_that_is_lowered_to_what_is_in_doubt_still_asks_about_it(
    classic_world: ClassicWorld, lost_in_part: PushedBill
) -> None:
    lowered = corrected(classic_world, lost_in_part, "50.00")
    review.charge_was_made(lowered.pk, by="fiona", reason="a coupon")

    assert (lowered.state, lowered.outstanding) == (State.LOST, 0)
    assert (fresh(lowered).state, fresh(lowered).paid, losses()) == (State.PUSHED, 5000, 0)
