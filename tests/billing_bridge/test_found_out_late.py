"""What Paddle tells late: after a charge was prepared, after a credit was carried, after a bill was closed."""

from collections.abc import Callable
from functools import partial

import pytest

from billing_bridge import carrying, drafting, importing, jobs, looking, pushing, review
from billing_bridge.journal import Journal
from billing_bridge.models import CarriedEntry, PushedBill, PushPolicy
from billing_bridge.queues import PUSH
from integration_project import work
from integration_project.errors import NotPossible
from integration_project.models import Finding
from integration_project.vendors import Vendors
from paddle_sync.jobs import drain_events
from tests.billing_bridge import truth
from tests.billing_bridge.test_settled_before import corrected
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of
from tests.builders import make_event

pytestmark = pytest.mark.django_db
Tell = Callable[[], None]
State = PushedBill.State
Reason = PushedBill.Reason


def another(world: World, amount: str) -> PushedBill:
    bill = importing.import_bill(world.another_bill((("Storage", amount),)), world.vendors)
    assert bill is not None
    return bill


def balance(world: World) -> int:
    return carrying.balance(world.account_id, "USD")


def _push_once(world: World) -> None:
    work.drain(PUSH, partial(pushing.push_bill, vendors=world.vendors), limit=1)


def charged(world: World) -> PushedBill:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    return fresh(bill)


def lost_and_carried(world: World) -> PushedBill:
    """A bill that was charged at once and taken for lost before the news of its payment came, and then carried."""
    bill = charged(world)
    looking.lose(push_of(bill), "it seemed so")
    review.carry(bill.pk, by="fiona", reason="with the next")
    return fresh(bill)


# --- A loss that was carried ------------------------------------------------------------------------------------------


def test_a_carried_loss_of_which_the_news_comes_while_the_next_bill_is_prepared_is_not_charged(
    world: World, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = lost_and_carried(world)
    following = another(world, "50.00")
    preview = pushing._preview

    def overtaken(owned: PushedBill, intent: drafting.Intent, vendors: Vendors, journal: Journal) -> drafting.Intent:
        tell()
        return preview(owned, intent, vendors, journal)

    with monkeypatch.context() as patched:
        patched.setattr(pushing, "_look_for_what_was_carried", lambda *_: None)
        patched.setattr(pushing, "_preview", overtaken)
        _push_once(world)
    world.work()

    assert (fresh(following).state, fresh(following).pushed, balance(world)) == (State.PUSHED, 5000, 0)
    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.COLLECTED, 10000)
    assert truth.net(world.paddle, following.m3ter_bill_id) == 5000


def test_a_carried_loss_that_is_known_to_be_collected_is_called_in_without_another_look(
    world: World, tell: Tell
) -> None:
    bill = lost_and_carried(world)
    CarriedEntry.objects.update(reserved_by=push_of(bill))  # as by a push that came to nothing since
    tell()
    CarriedEntry.objects.update(reserved_by=None)
    following = another(world, "50.00")
    asked = world.calls("list transactions")

    world.work()

    assert (fresh(following).pushed, balance(world)) == (5000, 0)
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, 10000)
    assert world.calls("list transactions") == asked


def test_a_loss_that_was_carried_is_taken_back_when_its_deleted_bill_is_closed(world: World) -> None:
    bill = lost_and_carried(world)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.approve(bill.pk, by="fiona", reason="gone")

    assert (fresh(bill).state, fresh(bill).carried, fresh(bill).outstanding) == (State.SUPERSEDED, 0, 0)
    assert not CarriedEntry.objects.exclude(remaining=0).exists()


@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted", "lowered"])
def test_a_loss_that_was_carried_is_not_refunded_on_the_payment_of_another_bill(
    world: World, tell: Tell, is_deleted: bool
) -> None:
    charged(world)
    tell()
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = another(world, "100.00")
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    review.carry(bill.pk, by="fiona", reason="with the next")
    if is_deleted:
        world.delete_in_m3ter(bill)
        jobs.sweep_bills()
        review.refund(bill.pk, by="fiona", reason="gone")
    else:
        corrected(world, bill, "20.00")
        with pytest.raises(NotPossible, match="left in the carried balance"):
            review.refund(bill.pk, by="fiona", reason="less")
    world.work()

    assert world.paddle.adjustments == {}
    assert balance(world) == (0 if is_deleted else 10000)


@pytest.mark.parametrize("is_told_first", [False, True], ids=["closed", "not closed yet"])
def test_a_loss_that_was_carried_and_deleted_and_then_collected_is_held(
    world: World, tell: Tell, is_told_first: bool
) -> None:
    bill = lost_and_carried(world)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    if not is_told_first:
        review.approve(bill.pk, by="fiona", reason="gone")
        assert (fresh(bill).state, balance(world)) == (State.SUPERSEDED, 0)

    tell()

    held = fresh(bill)
    assert (held.state, held.reason, held.outstanding, balance(world)) == (State.HELD, Reason.DELETED, 0, 0)
    assert "was taken for lost, but it is in transaction" in held.reason_detail
    assert "Give it back in Paddle by hand, then skip it." in held.reason_detail
    review.skip(bill.pk, by="fiona", reason="given back")


def test_of_a_deleted_loss_that_was_collected_the_credit_that_was_used_is_not_given_back_too(
    world: World, tell: Tell
) -> None:
    bill = lost_and_carried(world)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    CarriedEntry.objects.update(reserved_by=push_of(bill))  # as by a push that came to nothing since
    review.approve(bill.pk, by="fiona", reason="gone")
    CarriedEntry.objects.update(reserved_by=None)
    CarriedEntry.objects.filter(amount__lt=0).update(remaining=-4000)

    tell()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, 6000)
    assert "less the 60.00 USD" in fresh(bill).reason_detail


def test_a_deleted_loss_that_nobody_had_carried_is_held_once_when_it_is_collected(world: World, tell: Tell) -> None:
    bill = charged(world)
    looking.lose(push_of(bill), "it seemed so")
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    review.approve(bill.pk, by="fiona", reason="gone")
    closed = fresh(bill)

    tell()
    held = fresh(bill)
    review.skip(bill.pk, by="fiona", reason="given back")
    make_event("transaction.updated", world.vendors.paddle.get_transaction(push_of(bill).paddle_transaction_id).raw)
    drain_events()

    assert closed.state == State.SUPERSEDED
    assert (held.state, held.reason, held.outstanding) == (State.HELD, Reason.DELETED, 0)
    assert fresh(bill).state == State.SKIPPED


def test_a_loss_that_was_collected_charged_back_and_charged_again_is_an_alarm_when_the_bank_takes_that_back(
    world: World, tell: Tell
) -> None:
    bill = charged(world)
    looking.lose(push_of(bill), "it seemed so")
    tell()
    transaction_id = push_of(bill).paddle_transaction_id
    world.refund_by_hand(transaction_id)
    world.paddle.settle_adjustments()
    (back,) = world.paddle.adjustments.values()
    back.update(action="chargeback", reason="chargeback")
    tell()
    review.carry(bill.pk, by="fiona", reason="they owe it again")
    Finding.objects.all().delete()

    reversal = {**back, "id": "adj_01reversal", "action": "chargeback_reverse"}
    back["status"] = "reversed"
    world.paddle.adjustments[reversal["id"]] = reversal
    make_event("adjustment.created", reversal)
    drain_events()

    assert Finding.objects.filter(kind=looking.COLLECTED, state="open").count() == 1
    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.COLLECTED, 10000)


# --- A credit that was carried ----------------------------------------------------------------------------------------


@pytest.fixture
def given_by_hand(world: World, tell: Tell) -> PushedBill:
    """A bill of 100.00 that was paid, and lowered to 80.00; the 20.00 went back by hand, of which the news is late."""
    bill = charged(world)
    tell()
    corrected(world, bill, "80.00")
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 2000)
    return fresh(bill)


def test_a_credit_that_was_carried_is_taken_back_when_it_had_gone_back_by_hand(
    world: World, tell: Tell, given_by_hand: PushedBill
) -> None:
    world.paddle.settle_adjustments()
    review.approve(given_by_hand.pk, by="fiona", reason="with the next")
    world.work()
    carried = balance(world)

    tell()

    bill = fresh(given_by_hand)
    assert carried == -2000
    assert (bill.state, bill.outstanding, bill.written_off, balance(world)) == (State.PUSHED, 0, -2000, 0)


def test_a_credit_is_given_twice_at_most_once_however_much_had_gone_back_by_hand(world: World, tell: Tell) -> None:
    bill = charged(world)
    tell()
    corrected(world, bill, "150.00")
    review.approve(bill.pk, by="fiona", reason="50 more")
    world.work()
    tell()
    corrected(world, bill, "130.00")
    for push in bill.pushes.all():
        world.refund_by_hand(push.paddle_transaction_id, 2000)
    world.paddle.settle_adjustments()
    review.approve(bill.pk, by="fiona", reason="with the next")
    another(world, "50.00")
    world.work()

    tell()

    assert (fresh(bill).state, fresh(bill).written_off, fresh(bill).outstanding) == (State.HELD, -2000, 2000)


def test_a_credit_that_was_given_twice_and_is_left_so_is_asked_about_once(
    world: World, tell: Tell, given_by_hand: PushedBill
) -> None:
    world.paddle.settle_adjustments()
    review.approve(given_by_hand.pk, by="fiona", reason="with the next")
    another(world, "50.00")
    world.work()
    tell()
    review.skip(given_by_hand.pk, by="fiona", reason="goodwill")

    (adjustment,) = world.paddle.adjustments.values()
    make_event("adjustment.updated", adjustment)
    drain_events()

    assert (fresh(given_by_hand).state, fresh(given_by_hand).outstanding) == (State.PUSHED, 0)


@pytest.mark.parametrize("rejected", [False, True], ids=["given", "rejected"])
def test_a_credit_that_was_carried_waits_for_a_refund_by_hand_to_be_decided(
    world: World, tell: Tell, given_by_hand: PushedBill, rejected: bool
) -> None:
    review.approve(given_by_hand.pk, by="fiona", reason="with the next")
    world.work()

    tell()
    waits = fresh(given_by_hand)
    world.paddle.settle_adjustments(reject=rejected)
    tell()
    review.approve(given_by_hand.pk, by="fiona", reason="decided")
    world.work()

    assert (waits.state, waits.reason, waits.outstanding) == (State.HELD, Reason.CHANGED, -2000)
    assert "waits to be decided there: wait for that" in waits.reason_detail
    assert (fresh(given_by_hand).outstanding, balance(world)) == (0, -2000 if rejected else 0)


def test_a_credit_that_a_later_bill_has_used_and_that_had_gone_back_by_hand_is_left_to_a_person(
    world: World, tell: Tell, given_by_hand: PushedBill
) -> None:
    world.paddle.settle_adjustments()
    review.approve(given_by_hand.pk, by="fiona", reason="with the next")
    world.work()
    following = another(world, "50.00")
    world.work()

    tell()

    bill = fresh(given_by_hand)
    assert fresh(following).pushed == 3000
    assert (bill.state, bill.reason, bill.outstanding) == (State.HELD, Reason.CHANGED, 2000)
    assert "20.00 USD" in bill.reason_detail
    assert "Later bills have used 20.00 USD of that." in bill.reason_detail
    world.import_all()
    assert fresh(bill).state == State.HELD
    review.approve(bill.pk, by="fiona", reason="charge it")
    world.work()
    assert (fresh(bill).state, world.paddle.charges[-1].subtotal) == (State.PUSHED, 2000)


def test_a_deleted_bill_that_was_carried_and_had_gone_back_by_hand_leaves_no_credit(world: World, tell: Tell) -> None:
    bill = charged(world)
    tell()
    world.refund_by_hand(push_of(bill).paddle_transaction_id)
    world.paddle.settle_adjustments()
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    review.approve(bill.pk, by="fiona", reason="gone")
    carried = balance(world)

    tell()

    assert (carried, balance(world), fresh(bill).state, fresh(bill).outstanding) == (-10000, 0, State.SUPERSEDED, 0)


def test_what_is_given_by_hand_after_a_credit_was_carried_takes_nothing_back(world: World, tell: Tell) -> None:
    bill = charged(world)
    tell()
    corrected(world, bill, "80.00")
    review.approve(bill.pk, by="fiona", reason="with the next")
    world.work()
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 2000)
    world.paddle.settle_adjustments()

    tell()

    assert (fresh(bill).state, fresh(bill).outstanding, balance(world)) == (State.PUSHED, 0, -2000)


def test_a_refund_of_which_the_news_of_one_by_hand_comes_just_before_it_is_sent_is_not_made(
    world: World, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = charged(world)
    tell()
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    preview = pushing._preview

    def overtaken(owned: PushedBill, intent: drafting.Intent, vendors: Vendors, journal: Journal) -> drafting.Intent:
        seen = preview(owned, intent, vendors, journal)
        world.refund_by_hand(fresh(bill).pushes.get(ordinal=1).paddle_transaction_id, 2000)
        world.paddle.settle_adjustments()
        tell()
        return seen

    with monkeypatch.context() as patched:
        patched.setattr(pushing, "_preview", overtaken)
        _push_once(world)
    world.work()

    assert (fresh(bill).state, fresh(bill).reason, len(world.paddle.adjustments)) == (State.HELD, Reason.CHANGED, 1)
    assert "20.00 USD of that was refunded or discounted in Paddle already" in fresh(bill).reason_detail


# --- A refund in parts ------------------------------------------------------------------------------------------------


@pytest.fixture
def in_two_parts(world: World, tell: Tell) -> PushedBill:
    """A bill paid with 100.00 and 50.00, of which 120.00 goes back: 50.00 was asked for, the rest is not answered."""
    bill = charged(world)
    tell()
    corrected(world, bill, "150.00")
    review.approve(bill.pk, by="fiona", reason="50 more")
    world.work()
    tell()
    corrected(world, bill, "30.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    _push_once(world)
    assert (fresh(bill).state, fresh(bill).credited) == (State.READY, 5000)
    world.paddle.fault("create adjustment", "lose_answer")
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED
    return fresh(bill)


@pytest.mark.parametrize("changed", ["hold", "settle"])
def test_a_part_of_a_refund_that_is_rejected_while_the_next_is_under_way_needs_a_person(
    world: World, tell: Tell, in_two_parts: PushedBill, changed: str
) -> None:
    PushPolicy.objects.update(changed=changed)
    first = next(iter(world.paddle.adjustments))
    world.paddle.reject_refund(first)
    looking.lose(in_two_parts.pushes.get(ordinal=3), f"Paddle's adjustment {first} is rejected.")

    make_due(in_two_parts)
    world.work()

    bill = fresh(in_two_parts)
    assert (bill.state, bill.credited, bill.outstanding) == (State.HELD, 7000, -5000)
    assert (len(world.paddle.adjustments), balance(world)) == (2, 0)
    review.refund(bill.pk, by="fiona", reason="once more")
    world.work()
    assert (fresh(bill).outstanding, len(world.paddle.adjustments)) == (0, 3)


def test_a_part_that_was_not_made_is_not_asked_for_with_what_was_rejected_meanwhile(
    world: World, in_two_parts: PushedBill
) -> None:
    last = list(world.paddle.adjustments)[-1]
    del world.paddle.adjustments[last]
    first = next(iter(world.paddle.adjustments))
    world.paddle.reject_refund(first)
    looking.lose(in_two_parts.pushes.get(ordinal=3), f"Paddle's adjustment {first} is rejected.")
    look_through_schedule(in_two_parts)

    review.charge_was_not_made(in_two_parts.pk, by="fiona", reason="not there")
    world.work()

    assert (fresh(in_two_parts).state, len(world.paddle.adjustments)) == (State.HELD, 1)
