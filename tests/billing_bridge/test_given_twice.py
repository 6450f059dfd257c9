"""Whoever gives a customer money back, and however late the news: it is counted once, and charged once."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps

from billing_bridge import carrying, importing, jobs, looking, previewing, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.errors import NotPossible, VendorRejected
from integration_project.vendors.paddle.entities import NewAdjustment, NewAdjustmentItem
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.test_settled_before import corrected
from tests.billing_bridge.world import World, fresh, look_through_schedule, push_of

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
Tell = Callable[[], None]
State = PushedBill.State
Reason = PushedBill.Reason
ONE = (("API calls", "100.00"),)


def charged(world: World, tell: Tell, *, mode: str = "immediately", **policy: Any) -> PushedBill:
    """A bill of 100.00 that was charged, and paid unless it is an invoice; a change of it is looked at by a person."""
    world.complete_the_customer()
    values = {"mode": mode, "review": "never", "changed": "hold", "lock_after_days": 30, **policy}
    PushPolicy.objects.update(**values)
    bill = world.imported(ONE)
    world.work()
    tell()
    assert fresh(bill).state == State.PUSHED
    return fresh(bill)


def another(world: World, amount: str) -> PushedBill:
    bill = importing.import_bill(world.another_bill((("Storage", amount),)), world.vendors)
    assert bill is not None
    return bill


def by_hand(world: World, transaction_id: str, amount: int, action: str = "refund") -> None:
    """The support desk asks Paddle to give something back."""
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    items = (NewAdjustmentItem(line.id, amount),)
    world.vendors.paddle.create_adjustment(NewAdjustment(action, transaction_id, "goodwill", "of support", items))


def refunded_by_us(world: World, bill: PushedBill, tell: Tell) -> None:
    review.refund(bill.pk, by="fiona", reason="theirs")
    world.work()
    world.paddle.settle_adjustments()
    tell()


def credited_invoice(world: World, tell: Tell) -> tuple[PushedBill, str]:
    """A bill of 100.00 that was invoiced, and then lowered by 20.00 with a credit of ours; and the invoice's id."""
    bill = charged(world, tell, mode="invoice")
    (invoice,) = world.invoices()
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="lower")
    world.work()
    tell()
    return bill, invoice


def balance(world: World) -> int:
    return carrying.balance(world.account_id, "USD")


# --- What is ours and what is somebody else's -------------------------------------------------------------------------


def test_a_refund_of_another_bill_on_this_ones_payment_is_not_this_ones(world: World, tell: Tell) -> None:
    bill = charged(world, tell, negative="hold")
    other = another(world, "-30.00")
    refunded_by_us(world, other, tell)
    PushPolicy.objects.update(negative="carry")

    corrected(world, bill, "80.00")
    review.approve(bill.pk, by="fiona", reason="lower")
    world.work()

    assert fresh(other).credited == 3000
    assert (balance(world), fresh(bill).written_off) == (-2000, 0)


def test_a_refund_of_ours_hides_none_by_hand(world: World, tell: Tell) -> None:
    charged(world, tell, negative="hold")
    bill = another(world, "-30.00")
    refunded_by_us(world, bill, tell)
    PushPolicy.objects.update(changed="settle", negative="carry")
    corrected(world, bill, "50.00")
    world.work()
    tell()
    PushPolicy.objects.update(changed="hold")

    by_hand(world, push_of(bill).paddle_transaction_id, 2000)
    world.paddle.settle_adjustments()
    tell()
    corrected(world, bill, "30.00")
    review.approve(bill.pk, by="fiona", reason="lower")
    world.work()

    assert (balance(world), fresh(bill).outstanding) == (0, 0)


def test_a_refund_of_ours_whose_news_is_late_is_ours_all_the_same(
    world: World, tell: Tell, deliver: Run, run_jobs: Run
) -> None:
    bill = charged(world, tell)
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    world.work()
    world.paddle.settle_adjustments()
    deliver()
    WebhookEvent.objects.filter(event_type__startswith="adjustment").delete()
    run_jobs()

    by_hand(world, fresh(bill).pushes.get(ordinal=1).paddle_transaction_id, 500)
    world.paddle.settle_adjustments()
    tell()
    corrected(world, bill, "70.00")
    review.approve(bill.pk, by="fiona", reason="lower")
    world.work()

    assert balance(world) == -500


def test_a_credit_of_ours_that_paddle_reversed_and_one_by_hand_are_told_apart(world: World, tell: Tell) -> None:
    bill, invoice = credited_invoice(world, tell)
    (ours,) = world.paddle.adjustments
    world.paddle.reverse_credit(ours)
    tell()
    reversed_alone = fresh(bill).pushes.get(ordinal=1).given_by_others

    by_hand(world, invoice, 2000, "credit")
    tell()
    review.approve(bill.pk, by="fiona", reason="they have it")
    world.work()

    assert reversed_alone == 0
    assert (fresh(bill).refunded, balance(world), fresh(bill).outstanding) == (2000, 0, 0)


def test_what_came_off_a_cancelled_invoice_is_nothing_of_the_charge_made_instead(world: World, tell: Tell) -> None:
    bill = charged(world, tell, mode="invoice")
    (invoice,) = world.invoices()
    by_hand(world, invoice, 3000, "credit")
    tell()
    world.paddle.cancel_transaction(invoice)
    tell()
    review.resend(bill.pk, by="fiona", reason="again", mode="immediately")
    world.work()
    tell()

    corrected(world, bill, "70.00")
    review.approve(bill.pk, by="fiona", reason="lower")
    world.work()

    assert balance(world) == -3000


def test_a_credit_of_ours_goes_with_the_invoice_that_it_lowered(world: World, tell: Tell) -> None:
    bill, invoice = credited_invoice(world, tell)

    world.paddle.cancel_transaction(invoice)
    tell()
    lost = fresh(bill)
    review.resend(bill.pk, by="fiona", reason="again", mode="immediately")
    world.work()

    assert (lost.state, lost.credited, lost.outstanding) == (State.LOST, 0, 8000)
    assert (fresh(bill).state, fresh(bill).outstanding, world.paddle.charges[-1].subtotal) == (State.PUSHED, 0, 8000)


# --- What waits, and what is tried again ------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", ["hold", "settle"])
def test_a_refund_by_hand_that_paddle_has_not_decided_is_waited_for(world: World, tell: Tell, changed: str) -> None:
    bill = charged(world, tell, changed=changed)
    by_hand(world, push_of(bill).paddle_transaction_id, 2000)
    tell()

    held = corrected(world, bill, "80.00")
    world.work()
    for decide in (review.approve, review.refund):
        with pytest.raises(NotPossible, match="waits to be decided there: wait for that"):
            decide(bill.pk, by="fiona", reason="theirs")
    world.paddle.settle_adjustments()
    tell()
    review.approve(bill.pk, by="fiona", reason="they have it")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CHANGED)
    assert (fresh(bill).paid - fresh(bill).refunded, balance(world), fresh(bill).outstanding) == (8000, 0, 0)


def test_nothing_is_carried_while_a_refund_by_hand_is_not_decided(world: World, tell: Tell) -> None:
    bill = charged(world, tell)
    by_hand(world, push_of(bill).paddle_transaction_id, 2000)
    tell()
    corrected(world, bill, "80.00")

    with pytest.raises(NotPossible, match="wait for that"):
        review.carry(bill.pk, by="fiona", reason="with the next")

    assert balance(world) == 0


def test_a_deleted_bill_is_not_closed_while_a_refund_by_hand_is_not_decided(world: World, tell: Tell) -> None:
    bill = charged(world, tell)
    by_hand(world, push_of(bill).paddle_transaction_id, 10000)
    tell()
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    with pytest.raises(NotPossible, match="wait for that"):
        review.approve(bill.pk, by="fiona", reason="gone")
    world.paddle.settle_adjustments()
    tell()
    review.approve(bill.pk, by="fiona", reason="gone, and given back")

    assert (balance(world), fresh(bill).state, fresh(bill).outstanding) == (0, State.SUPERSEDED, 0)


def test_a_credit_that_is_found_after_its_invoice_was_cancelled_goes_with_it(
    world: World, tell: Tell, deliver: Run, run_jobs: Run
) -> None:
    bill = charged(world, tell, mode="invoice")
    (invoice,) = world.invoices()
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="lower")
    world.paddle.fault("create adjustment", "lose_answer")
    jobs.drain_bills()
    unconfirmed = fresh(bill).state
    world.paddle.cancel_transaction(invoice)
    deliver()
    WebhookEvent.objects.filter(event_type__startswith="adjustment").delete()
    run_jobs()

    look_through_schedule(bill)

    assert unconfirmed == State.UNCONFIRMED
    assert (fresh(bill).credited, fresh(bill).outstanding) == (0, 8000)


def test_a_refund_that_waits_stays_one_when_it_is_sent_again(world: World, tell: Tell) -> None:
    bill = charged(world, tell)
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")

    review.resend(bill.pk, by="fiona", reason="now")
    world.work()

    assert (fresh(bill).credited, balance(world)) == (2000, 0)


def test_what_was_given_back_by_hand_after_an_approval_stops_what_was_approved(
    world: World, tell: Tell, deliver: Run
) -> None:
    bill = charged(world, tell)
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    by_hand(world, bill.pushes.get().paddle_transaction_id, 2000)
    world.paddle.settle_adjustments()
    deliver()
    drain_events()

    world.work()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.CHANGED)
    assert len(world.paddle.adjustments) == 1


def test_a_credit_by_hand_that_is_reversed_after_it_was_counted_is_owed_again(world: World, tell: Tell) -> None:
    bill = charged(world, tell, mode="invoice")
    (invoice,) = world.invoices()
    by_hand(world, invoice, 2000, "credit")
    tell()
    corrected(world, bill, "80.00")
    review.approve(bill.pk, by="fiona", reason="they have it")
    counted = fresh(bill)
    (credit,) = world.paddle.adjustments

    world.paddle.reverse_credit(credit)
    tell()
    held = fresh(bill)
    review.refund(bill.pk, by="fiona", reason="then from us")
    world.work()
    tell()

    assert (counted.state, counted.written_off) == (State.PUSHED, -2000)
    assert (held.state, held.reason, held.written_off, held.outstanding) == (State.HELD, Reason.CHANGED, 0, -2000)
    assert (fresh(bill).credited, fresh(bill).refunded, fresh(bill).outstanding) == (2000, 2000, 0)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["lowered", "deleted"])
def test_a_bill_that_waited_for_a_refund_by_hand_says_so_no_more_once_that_is_rejected(
    world: World, tell: Tell, is_deleted: bool
) -> None:
    bill = charged(world, tell)
    by_hand(world, push_of(bill).paddle_transaction_id, 2000)
    tell()
    if is_deleted:
        world.delete_in_m3ter(bill)
        jobs.sweep_bills()
    else:
        corrected(world, bill, "80.00")
    waits = fresh(bill)

    world.paddle.settle_adjustments(reject=True)
    tell()

    assert "wait for that" in waits.reason_detail
    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, waits.reason)
    assert "wait for that" not in fresh(bill).reason_detail
    assert "is open" in fresh(bill).reason_detail


@pytest.fixture
def refused(world: World, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> PushedBill:
    """A bill of which 20.00 was to be refunded, and Paddle refused that."""
    bill = charged(world, tell)
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="theirs")
    refusal = VendorRejected("paddle", "create adjustment", 400, "some_code", "no")

    def refuse(*args: object) -> str:
        raise refusal

    with monkeypatch.context() as patched:
        patched.setattr("billing_bridge.modes.refund.Refund.send", refuse)
        world.work()
    assert (fresh(bill).state, push_of(bill).kind) == (State.FAILED, "refund")
    return fresh(bill)


def test_a_refund_that_failed_is_sent_again_as_one(world: World, refused: PushedBill) -> None:
    shown = previewing.preview(refused, world.vendors)

    review.resend(refused.pk, by="fiona", reason="again")
    world.work()

    assert shown.is_charged
    assert (shown.intent and shown.intent.mode.name, shown.first) == (push_of(refused).mode, "resend")
    assert (fresh(refused).credited, balance(world)) == (2000, 0)


def test_a_refund_that_failed_and_was_made_by_hand_is_not_sent_again(
    world: World, refused: PushedBill, tell: Tell
) -> None:
    by_hand(world, refused.pushes.get(ordinal=1).paddle_transaction_id, 2000)
    world.paddle.settle_adjustments()
    tell()

    review.resend(refused.pk, by="fiona", reason="again")
    world.work()

    assert (fresh(refused).paid - fresh(refused).refunded, balance(world)) == (8000, 0)
    assert (fresh(refused).credited, fresh(refused).outstanding) == (0, 0)


def test_what_was_refunded_of_a_negative_bill_is_owed_again_when_it_is_raised(world: World, tell: Tell) -> None:
    charged(world, tell, negative="hold")
    bill = another(world, "-30.00")
    refunded_by_us(world, bill, tell)

    corrected(world, bill, "50.00")
    review.approve(bill.pk, by="fiona", reason="50, and the 30 they got")
    world.work()

    assert (fresh(bill).outstanding, world.paddle.charges[-1].subtotal) == (0, 8000)


# --- Lost, and collected after all ------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told yet"])
def test_a_loss_that_was_carried_and_then_collected_is_charged_by_no_other_bill(
    world: World, tell: Tell, told: bool
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported(ONE)
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    review.carry(bill.pk, by="fiona", reason="with the next")
    if told:
        tell()

    following = another(world, "50.00")
    world.work()
    tell()

    assert (fresh(following).pushed, balance(world)) == (5000, 0)
    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.COLLECTED, 10000)


@pytest.mark.parametrize("decide", [review.approve, review.refund, review.carry])
def test_what_was_collected_after_a_write_off_is_not_called_never_charged(
    world: World, tell: Tell, decide: Callable[..., None]
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="settle", lock_after_days=30)
    bill = world.imported(ONE)
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    review.write_off(bill.pk, by="fiona", reason="given up")
    tell()

    corrected(world, bill, "80.00")
    with pytest.raises(NotPossible):
        decide(bill.pk, by="fiona", reason="lower")
    world.work()

    assert (fresh(bill).state, fresh(bill).written_off, balance(world)) == (State.HELD, 10000, 0)


def test_a_deleted_bill_that_was_collected_says_so(world: World, tell: Tell) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30)
    bill = world.imported(ONE)
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    tell()
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    with pytest.raises(NotPossible, match="was taken for lost, but it is in transaction"):
        review.approve(bill.pk, by="fiona", reason="gone")

    assert "Give it back in Paddle by hand, then skip it." in fresh(bill).reason_detail


@pytest.mark.parametrize("how", ["unpaid", "given back"])
def test_a_loss_whose_transaction_brought_nothing_can_be_carried(world: World, tell: Tell, how: str) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported(ONE)
    world.work()
    looking.lose(push_of(bill), "it seemed so")
    tell()
    if how == "given back":
        by_hand(world, push_of(bill).paddle_transaction_id, 10000)
        world.paddle.settle_adjustments()
        tell()
    else:
        Push.objects.update(payment="none", collected=0)
        world.paddle.transactions[push_of(bill).paddle_transaction_id]["status"] = "past_due"
    review.carry(bill.pk, by="fiona", reason="with the next")

    following = another(world, "50.00")
    world.work()

    assert fresh(following).pushed == 15000


# --- What was noted before others' refunds were told apart ------------------------------------------------------------


def test_a_refund_of_ours_is_taken_off_one_charge_of_its_transaction_once(world: World, tell: Tell) -> None:
    first = charged(world, tell)
    second = another(world, "50.00")
    world.work()
    tell()
    refunded_by_us(world, corrected(world, first, "80.00"), tell)
    charges = Push.objects.exclude(kind="refund")
    Push.objects.update(paddle_transaction_id="txn_together", given_by_others=0)
    charges.update(refunded=2000)

    importlib.import_module("billing_bridge.migrations.0016_given_by_others").tell_apart(apps, None)

    assert dict(charges.values_list("bill_id", "given_by_others")) == {first.pk: 0, second.pk: 2000}
