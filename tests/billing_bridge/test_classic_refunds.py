"""What somebody gives back in Paddle Classic is remembered, so that a correction does not give it back once more."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_bridge import carrying, jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors.paddle_classic.simulator import sample
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.breaking import another, change, findings, told
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_vouching import name_it
from tests.billing_bridge.world import fresh, look_through_schedule, push_of
from tests.builders import make_mapping

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Run = Callable[[], int]


def paid(world: ClassicWorld, deliver: Run) -> PushedBill:
    """A bill that a payment has collected, and that m3ter may still change."""
    PushPolicy.objects.update(review="never", changed="settle", lock_after_days=30)
    make_mapping(str(sample.PLAN_TEAM))
    bill = world.imported()
    world.work()
    world.collect()
    told(deliver)
    assert fresh(bill).payment == Payment.PAID
    world.classic.clock_set(clock.now())
    return fresh(bill)


def give_back(world: ClassicWorld, deliver: Run, bill: PushedBill, amount: str) -> None:
    """Somebody refunds a part of the bill's payment in Paddle Classic's console."""
    world.classic.refund(Push.objects.get(bill=bill, kind="charge").paddle_transaction_id, amount=amount)
    told(deliver)


@pytest.mark.parametrize("negative", ["carry", "credit"])
def test_a_bill_corrected_after_a_partial_refund_gives_nothing_back_twice(
    classic_world: ClassicWorld, deliver: Run, negative: str
) -> None:
    PushPolicy.objects.update(negative=negative)
    bill = paid(classic_world, deliver)
    give_back(classic_world, deliver, bill, "43.45")

    change(classic_world, bill, ("API calls", "100.00"))
    classic_world.import_all()
    classic_world.work()

    after = fresh(bill)
    assert (after.payment, after.refunded, after.outstanding) == (Payment.PAID, 4345, -4345)
    assert (after.state, after.reason) == (State.HELD, Reason.CHANGED)
    assert "43.45 USD of that was refunded or discounted in Paddle already." in after.reason_detail
    assert carrying.balance(classic_world.account_id, "USD") == 0
    assert len(classic_world.modifiers()) == 1
    assert "43.45 USD is counted" in Finding.objects.get(kind="given back outside").detail


def test_approving_a_correction_gives_only_what_the_refund_did_not(classic_world: ClassicWorld, deliver: Run) -> None:
    bill = paid(classic_world, deliver)
    give_back(classic_world, deliver, bill, "20.00")
    change(classic_world, bill, ("API calls", "100.00"))
    classic_world.import_all()

    review.approve(bill.pk, by="finance", reason="corrected")
    classic_world.work()

    assert (fresh(bill).outstanding, fresh(bill).written_off) == (0, -2000)
    assert carrying.balance(classic_world.account_id, "USD") == -2345


def test_the_same_news_of_a_refund_counts_once_and_another_one_too(classic_world: ClassicWorld, deliver: Run) -> None:
    bill = paid(classic_world, deliver)
    give_back(classic_world, deliver, bill, "10.00")
    WebhookEvent.objects.filter(source="paddle_classic").update(state="received", due_at=clock.now())
    drain_events()
    once = fresh(bill).refunded

    give_back(classic_world, deliver, bill, "5.00")

    assert (once, fresh(bill).refunded) == (1000, 1500)


def test_no_more_is_counted_than_was_collected_and_the_rest_of_it_makes_it_refunded(
    classic_world: ClassicWorld, deliver: Run
) -> None:
    bill = paid(classic_world, deliver)
    give_back(classic_world, deliver, bill, "150.00")
    part = (fresh(bill).payment, fresh(bill).refunded)

    give_back(classic_world, deliver, bill, "28.45")

    assert part == (Payment.PAID, 14345)
    assert (fresh(bill).payment, fresh(bill).refunded) == (Payment.REFUNDED, 14345)


@pytest.mark.parametrize(("inclusive", "counted"), [(False, 1000), (True, 1190)])
def test_a_refund_is_counted_as_the_charge_was(
    classic_world: ClassicWorld, deliver: Run, inclusive: bool, counted: int
) -> None:
    classic_world.classic.set_tax(sample.PLAN_TEAM, "0.19", inclusive=inclusive)
    bill = paid(classic_world, deliver)

    give_back(classic_world, deliver, bill, "11.90")

    assert fresh(bill).refunded == counted


def test_what_was_taken_off_a_payment_does_not_hide_what_somebody_refunded(
    classic_world: ClassicWorld, deliver: Run
) -> None:
    bill = paid(classic_world, deliver)
    change(classic_world, bill, ("API calls", "100.00"))
    PushPolicy.objects.update(changed="hold", max_wait_days=90)
    classic_world.import_all()
    review.refund(bill.pk, by="finance", reason="corrected")
    classic_world.work()
    classic_world.collect()
    told(deliver)
    assert push_of(bill).payment == Payment.REFUNDED
    PushPolicy.objects.update(changed="settle")
    give_back(classic_world, deliver, bill, "43.45")

    change(classic_world, bill, ("API calls", "56.55"))
    classic_world.import_all()
    classic_world.work()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, -4345)
    assert "43.45 USD of that was refunded or discounted in Paddle already" in fresh(bill).reason_detail


@pytest.mark.parametrize(
    ("answer", "amount", "refunded", "payment"),
    [
        (review.charge_was_made, "43.45", 4345, Payment.PAID),
        (review.charge_was_made, None, 14345, Payment.REFUNDED),
        (review.charge_was_not_made, "43.45", 0, Payment.NONE),
    ],
)
def test_what_was_given_back_while_a_charge_was_in_doubt_counts_when_it_was_collected(
    classic_world: ClassicWorld,
    deliver: Run,
    answer: Callable[..., None],
    amount: str | None,
    refunded: int,
    payment: str,
) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    bill = classic_world.pushed()
    classic_world.modifiers()[0].amount = Decimal("100.00")
    classic_world.collect()
    told(deliver)
    classic_world.classic.refund(push_of(bill).paddle_transaction_id, amount=amount)
    told(deliver)
    in_doubt = (fresh(bill).reason, fresh(bill).refunded, "given back outside" in findings())

    answer(bill.pk, by="finance", reason="looked")

    assert in_doubt == (Reason.CANNOT_TELL, 0, False)
    assert (fresh(bill).refunded, fresh(bill).payment) == (refunded, payment)
    assert ("given back outside" in findings()) is bool(refunded)


def test_what_was_given_back_before_a_person_found_the_charge_counts_once(
    classic_world: ClassicWorld, deliver: Run
) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.update(classic_mode="classic_charge")
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    (payment,) = classic_world.one_offs()
    classic_world.classic.refund(payment.order_id, amount="20.00")
    told(deliver)
    look_through_schedule(bill)
    unconfirmed = (fresh(bill).state, fresh(bill).refunded)

    name_it(classic_world, bill, payment.order_id)
    found = (fresh(bill).paid, fresh(bill).refunded)
    WebhookEvent.objects.filter(source="paddle_classic").update(state="received", due_at=clock.now())
    drain_events()

    assert (unconfirmed, found) == ((State.UNCONFIRMED, 0), (14345, 2000))
    assert (fresh(bill).state, fresh(bill).refunded) == (State.PUSHED, 2000)


@pytest.mark.parametrize(
    ("given", "lowered", "carried"),
    [
        ("20.00", "80.00", -2000),
        ("30.00", "80.00", -1000),
        ("60.00", "80.00", 0),
        ("150.00", "0.00", -5000),
        (None, "0.00", 0),
    ],
)
def test_what_was_given_back_of_a_payment_counts_once_over_the_bills_in_it(
    classic_world: ClassicWorld, deliver: Run, given: str | None, lowered: str, carried: int
) -> None:
    bills = two_in_one_payment(classic_world, deliver)
    classic_world.classic.refund(push_of(bills[0]).paddle_transaction_id, amount=given)
    told(deliver)
    for bill in bills:
        change(classic_world, bill, ("API calls", lowered))
    classic_world.import_all()
    waits = [(fresh(bill).state, fresh(bill).reason) for bill in bills]

    for bill in bills:
        review.approve(bill.pk, by="finance", reason="corrected")
        classic_world.work()

    assert waits == [(State.HELD, Reason.CHANGED)] * 2
    assert [fresh(bill).outstanding for bill in bills] == [0, 0]
    assert carrying.balance(classic_world.account_id, "USD") == carried


def two_in_one_payment(world: ClassicWorld, deliver: Run) -> list[PushedBill]:
    """Two bills of 100.00 that one payment has collected, and that m3ter may still change."""
    PushPolicy.objects.update(review="never", changed="hold", lock_after_days=30)
    make_mapping(str(sample.PLAN_TEAM))
    bills = [world.imported((("API calls", "100.00"),))]
    world.work()
    bills.append(another(world, ("API calls", "100.00")))
    world.collect()
    told(deliver)
    world.classic.clock_set(clock.now())
    assert [fresh(bill).payment for bill in bills] == [Payment.PAID] * 2
    return bills


def test_a_credit_that_was_written_off_before_a_refund_has_used_nothing_of_it(
    classic_world: ClassicWorld, deliver: Run
) -> None:
    first, second = two_in_one_payment(classic_world, deliver)
    change(classic_world, first, ("API calls", "80.00"))
    classic_world.import_all()
    review.write_off(first.pk, by="finance", reason="agreed with the customer")
    classic_world.classic.refund(push_of(second).paddle_transaction_id, amount="20.00")
    told(deliver)
    change(classic_world, second, ("API calls", "80.00"))
    classic_world.import_all()

    review.approve(second.pk, by="finance", reason="corrected")
    classic_world.work()

    assert (fresh(second).outstanding, fresh(second).written_off) == (0, -2000)
    assert carrying.balance(classic_world.account_id, "USD") == 0


def test_what_other_bills_in_a_payment_used_of_a_refund_is_not_used_by_a_second_correction_either(
    classic_world: ClassicWorld, deliver: Run
) -> None:
    first, second = two_in_one_payment(classic_world, deliver)
    classic_world.classic.refund(push_of(first).paddle_transaction_id, amount="30.00")
    told(deliver)

    for bill, amount in ((first, "80.00"), (second, "90.00"), (first, "70.00")):
        change(classic_world, bill, ("API calls", amount))
        classic_world.import_all()
        review.approve(bill.pk, by="finance", reason="corrected")
        classic_world.work()

    assert (fresh(first).written_off, fresh(second).written_off) == (-2000, -1000)
    assert carrying.balance(classic_world.account_id, "USD") == -1000
