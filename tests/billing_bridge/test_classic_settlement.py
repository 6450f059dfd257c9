"""Pushed is not paid on Paddle Classic either: its alerts, and what it lists, say what became of a charge."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_bridge import carrying, doubting, importing, jobs, review
from billing_bridge.admin.bill_decisions import DECISIONS
from billing_bridge.models import CarriedEntry, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.models import Finding
from integration_project.vendors.paddle_classic.simulator import sample
from paddle_sync import jobs as event_jobs
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.breaking import change
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_vouching import name_it
from tests.billing_bridge.world import fresh, push_of
from tests.builders import make_mapping

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Run = Callable[[], int]


@pytest.fixture
def bill(classic_world: ClassicWorld) -> PushedBill:
    """A bill that waits for the next payment, as a modifier."""
    make_mapping(str(sample.PLAN_TEAM))
    return classic_world.pushed()


@pytest.fixture
def tell(deliver: Run) -> Run:
    """Let Classic's alerts arrive, and the worker go through them."""

    def told() -> int:
        deliver()
        return event_jobs.drain_events()

    return told


def alarms() -> list[str]:
    return sorted(Finding.objects.filter(severity="alarm", state="open").values_list("kind", flat=True))


def open_findings(kind: str) -> int:
    return Finding.objects.filter(kind=kind, state="open").count()


def one_off(world: ClassicWorld) -> str:
    made = world.vendors.classic_on.charge(world.subscription_id, amount=Decimal(5), name="By hand")
    return made.order_id or ""


def test_the_payment_that_collects_a_modifier_makes_it_paid(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.collect()

    tell()

    payment = max(classic_world.classic.memory.payments.values(), key=lambda each: each.id)
    assert payment.amount == Decimal("178.45")
    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).paid) == (State.PUSHED, Payment.PAID, 14345)
    assert push_of(bill).paddle_transaction_id == payment.order_id
    assert alarms() == []
    assert open_findings("modifier not in payment") == 0


def test_the_same_alert_again_changes_nothing(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> None:
    classic_world.collect()
    tell()
    before = Push.objects.filter(bill=bill).values().get()
    WebhookEvent.objects.update(state="received", due_at=clock.now())

    event_jobs.drain_events()

    assert Push.objects.filter(bill=bill).values().get() == before
    assert fresh(bill).paid == 14345


def test_a_one_off_payment_collects_no_modifier(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> None:
    classic_world.classic.clock_move(days=1)
    one_off(classic_world)

    tell()

    assert (fresh(bill).payment, push_of(bill).paddle_transaction_id) == (Payment.NONE, "")
    assert alarms() == []


def test_a_modifier_that_somebody_took_away_is_lost(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> None:
    classic_world.classic.memory.modifiers.clear()
    classic_world.classic.clock_move(days=1)
    one_off(classic_world)

    tell()

    assert (fresh(bill).state, fresh(bill).outstanding, alarms()) == (State.LOST, 14345, ["charge lost"])


def test_one_that_the_list_may_not_show_yet_is_not_taken_for_gone(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.classic.fault("list modifiers", "list_lag", seconds=600)
    one_off(classic_world)

    tell()

    event = WebhookEvent.objects.get(source="paddle_classic")
    assert (event.state, "may not show it yet" in event.last_error) == ("received", True)
    assert (fresh(bill).state, fresh(bill).payment) == (State.PUSHED, Payment.NONE)


def test_a_modifier_that_its_payment_does_not_have_is_lost(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.classic.memory.modifiers.clear()
    classic_world.collect()

    tell()

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).outstanding) == (State.LOST, Payment.NONE, 14345)
    assert alarms() == ["charge lost"]
    assert "came to 35.00 USD; the plan alone costs 35.00, and 178.45" in Finding.objects.get(kind="charge lost").detail


def test_one_in_a_payment_that_somebody_lowered_below_the_plan_is_not_taken_for_lost(
    classic_world: ClassicWorld, tell: Run
) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    bill = classic_world.pushed((("API calls", "5.00"),))
    again(classic_world, "-10.00", "Goodwill of the support desk")
    classic_world.collect()

    tell()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.CANNOT_TELL, 0)
    assert "came to 30.00 USD; the plan alone costs 35.00, and 40.00 with our" in fresh(bill).reason_detail
    assert alarms() == ["modifier not in payment"]


def test_tax_on_top_hides_no_modifier_that_is_missing(classic_world: ClassicWorld, tell: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    classic_world.classic.set_tax(sample.PLAN_TEAM, "0.19")
    bill = classic_world.pushed((("API calls", "5.00"),))
    classic_world.classic.memory.modifiers.clear()
    classic_world.collect()

    tell()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.LOST, 500)


def test_of_several_modifiers_one_of_which_is_missing_a_person_says_which(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    second = classic_world.another_bill((("API calls", "50.00"),))
    other = importing.import_bill(second, classic_world.vendors)
    assert other is not None
    review.approve(other.pk, by="finance")
    jobs.drain_bills()
    classic_world.classic.memory.modifiers.pop(classic_world.modifiers()[0].id)
    classic_world.collect()

    tell()

    for each in (fresh(bill), fresh(other)):
        assert (each.state, each.reason, each.payment, each.paid) == (State.HELD, Reason.CANNOT_TELL, Payment.NONE, 0)
        assert "came to 85.00 USD; the plan alone costs 35.00, and 228.45 with our modifiers" in each.reason_detail
    assert alarms() == ["modifier not in payment"] * 2


@pytest.fixture
def in_doubt(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> PushedBill:
    """A bill whose payment comes to more than the plan alone, and to less than the plan and its modifier."""
    classic_world.modifiers()[0].amount = Decimal("100.00")
    classic_world.collect()
    tell()
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, 0)
    return fresh(bill)


def test_what_a_payment_does_not_say_a_person_says(classic_world: ClassicWorld, in_doubt: PushedBill) -> None:
    review.charge_was_made(in_doubt.pk, by="finance", reason="a coupon")

    bill = fresh(in_doubt)
    assert (bill.state, bill.payment, bill.paid, bill.outstanding) == (State.PUSHED, Payment.PAID, 14345, 0)
    assert push_of(bill).paddle_transaction_id == "480001-33002"
    assert alarms() == []


def test_the_payment_that_a_person_names_must_be_one_of_the_subscription(
    classic_world: ClassicWorld, in_doubt: PushedBill
) -> None:
    with pytest.raises(NotPossible, match="lists no payment 1-2"):
        name_it(classic_world, in_doubt, "1-2")

    after = name_it(classic_world, in_doubt, "480001-33002")

    assert (after.state, after.payment, push_of(after).paddle_transaction_id) == (
        State.PUSHED,
        Payment.PAID,
        "480001-33002",
    )


def test_what_a_person_found_in_no_payment_is_lost(classic_world: ClassicWorld, in_doubt: PushedBill) -> None:
    review.charge_was_not_made(in_doubt.pk, by="finance", reason="somebody deleted it")

    bill = fresh(in_doubt)
    assert (bill.state, bill.payment, bill.lost, bill.outstanding) == (State.LOST, Payment.NONE, 14345, 14345)
    assert alarms() == ["charge lost"]


def test_before_that_is_said_nothing_else_is_decided(
    classic_world: ClassicWorld, in_doubt: PushedBill, tell: Run
) -> None:
    with pytest.raises(NotPossible, match="Say first whether it is in Paddle"):
        review.approve(in_doubt.pk, by="finance")
    importing.import_bill(in_doubt.m3ter_bill_id, classic_world.vendors)
    classic_world.classic.memory.modifiers.clear()
    classic_world.collect()
    tell()

    assert (fresh(in_doubt).state, fresh(in_doubt).reason) == (State.HELD, Reason.CANNOT_TELL)
    offered = {each.name for each in DECISIONS if each.offered(fresh(in_doubt))}
    assert {"made", "not_made"} <= offered
    assert alarms() == ["modifier not in payment"]


@pytest.mark.parametrize(
    "decide", [review.approve, review.carry, review.write_off, review.settled_outside, review.refund, review.skip]
)
@pytest.mark.parametrize("happens", ["lowered", "deleted"])
def test_what_is_in_doubt_cannot_be_decided_away(
    classic_world: ClassicWorld, in_doubt: PushedBill, happens: str, decide: Callable[..., None]
) -> None:
    becomes_less(classic_world, in_doubt, happens)
    before = PushedBill.objects.filter(pk=in_doubt.pk).values().get()

    with pytest.raises(NotPossible, match="Say first whether it is in Paddle"):
        decide(in_doubt.pk, by="finance", reason="it became less")

    assert PushedBill.objects.filter(pk=in_doubt.pk).values().get() == before
    assert carrying.balance(classic_world.account_id, "USD") == 0
    assert doubting.is_asked(fresh(in_doubt))


def becomes_less(world: ClassicWorld, bill: PushedBill, how: str) -> None:
    """m3ter's bill is lowered or deleted, where that may still be."""
    PushPolicy.objects.update(changed="hold", lock_after_days=30)
    if how == "deleted":
        world.delete_in_m3ter(bill)
        jobs.sweep_bills()
    else:
        change(world, bill, ("API calls", "43.45"))
        world.import_all()


def test_what_it_has_left_in_the_carried_balance_is_not_taken_back_before_that_is_said(
    classic_world: ClassicWorld, in_doubt: PushedBill
) -> None:
    carrying.carry_out(in_doubt, -2000, note="Corrected", by="finance")
    (entry,) = CarriedEntry.objects.all()

    with pytest.raises(NotPossible, match="Say first whether it is in Paddle"):
        review.take_back(entry.pk, by="finance", reason="to refund it")

    assert carrying.balance(classic_world.account_id, "USD") == -2000


@pytest.mark.parametrize(("answer", "carried"), [(review.charge_was_made, -14345), (review.charge_was_not_made, 0)])
def test_a_deleted_bill_is_closed_after_that_is_said(
    classic_world: ClassicWorld, in_doubt: PushedBill, answer: Callable[..., None], carried: int
) -> None:
    becomes_less(classic_world, in_doubt, "deleted")

    answer(in_doubt.pk, by="finance", reason="looked")
    jobs.sweep_bills()
    said = (fresh(in_doubt).state, fresh(in_doubt).reason)
    review.approve(in_doubt.pk, by="finance", reason="gone")

    assert said == (State.HELD, Reason.DELETED)
    assert fresh(in_doubt).state == State.SUPERSEDED
    assert (fresh(in_doubt).outstanding, alarms()) == (0, [])
    assert carrying.balance(classic_world.account_id, "USD") == carried


def test_a_held_bill_that_nobody_is_asked_about_is_not_answered(classic_world: ClassicWorld) -> None:
    bill = classic_world.imported()

    for answer in (review.charge_was_made, review.charge_was_not_made):
        with pytest.raises(NotPossible, match="no push that waits for an answer"):
            answer(bill.pk, by="finance", reason="looked")

    assert fresh(bill).state == State.HELD


def test_the_first_payment_has_a_modifier_although_only_the_second_was_told_of(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.collect()
    classic_world.classic.outbox.clear()
    classic_world.collect()

    tell()

    first = sorted(payment.order_id for payment in classic_world.classic.memory.payments.values())[1]
    assert (fresh(bill).payment, push_of(bill).paddle_transaction_id) == (Payment.PAID, first)
    assert alarms() == []


def test_a_modifier_that_its_payment_has_twice_is_an_alarm(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    again(classic_world, "143.45", f"Usage [{push_of(bill).push_id}]")
    classic_world.collect()

    tell()

    assert fresh(bill).payment == Payment.PAID
    assert alarms() == ["charged twice"]
    assert "in payment 480001-33002 of 321.90" in Finding.objects.get(kind="charged twice").detail


def again(world: ClassicWorld, amount: str, description: str) -> None:
    """Somebody else adds a modifier."""
    world.vendors.classic_on.create_modifier(world.subscription_id, amount=Decimal(amount), description=description)


def test_a_credit_that_its_payment_does_not_have_is_owed_again(classic_world: ClassicWorld, tell: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.update(negative="credit")
    bill = classic_world.approved((("Credit", "-20.00"),))
    jobs.drain_bills()
    classic_world.classic.memory.modifiers.clear()
    classic_world.collect()

    tell()

    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.HELD, 0, -2000)
    assert alarms() == ["refund not made"]


def test_a_payment_that_the_list_does_not_have_yet_is_waited_for(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.collect()
    classic_world.classic.fault("list payments", "list_lag", times=None, seconds=86_400)

    tell()
    waits = (fresh(bill).payment, WebhookEvent.objects.get(source="paddle_classic").state)
    classic_world.classic.clear_faults()
    WebhookEvent.objects.update(due_at=clock.now())
    event_jobs.drain_events()

    assert waits == (Payment.NONE, "received")
    assert fresh(bill).payment == Payment.PAID


def test_a_declined_payment_is_past_due_and_paid_later(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.classic.decline_payments(classic_world.subscription_id)
    classic_world.collect()
    tell()
    declined = fresh(bill).payment
    classic_world.classic.accept_payments(classic_world.subscription_id)
    classic_world.classic.pay(classic_world.subscription_id)

    tell()

    assert declined == Payment.PAST_DUE
    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)


def test_alerts_in_the_wrong_order_end_paid(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> None:
    classic_world.classic.fail_payment(classic_world.subscription_id)
    classic_world.classic.clock_move(days=1)
    classic_world.classic.pay(classic_world.subscription_id)
    classic_world.classic.outbox.deliveries.reverse()

    tell()

    assert (fresh(bill).payment, fresh(bill).paid) == (Payment.PAID, 14345)


def test_a_bill_that_waited_for_a_payment_past_due_goes_on(classic_world: ClassicWorld, tell: Run) -> None:
    classic_world.classic.fail_payment(classic_world.subscription_id)
    bill = classic_world.approved()
    jobs.drain_bills()
    waits = fresh(bill).state
    classic_world.classic.pay(classic_world.subscription_id)

    tell()

    due_at = fresh(bill).due_at
    assert waits == State.WAITING
    assert due_at is not None
    assert due_at <= clock.now()


def test_a_payment_given_back_whole_is_refunded(classic_world: ClassicWorld, bill: PushedBill, tell: Run) -> None:
    classic_world.collect()
    tell()

    classic_world.classic.refund(push_of(bill).paddle_transaction_id)
    tell()

    assert (fresh(bill).payment, fresh(bill).refunded) == (Payment.REFUNDED, 14345)
    assert open_findings("given back outside") == 1


def test_what_a_cancelled_subscription_still_owed_is_lost(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.classic.cancel(classic_world.subscription_id)

    tell()

    assert (fresh(bill).state, fresh(bill).lost, fresh(bill).outstanding) == (State.LOST, 14345, 14345)
    assert classic_world.link.paddle_status == "canceled"
    assert alarms() == ["charge lost"]


def test_what_was_collected_before_the_cancellation_is_paid_and_not_lost(
    classic_world: ClassicWorld, bill: PushedBill, tell: Run
) -> None:
    classic_world.collect()
    classic_world.classic.cancel(classic_world.subscription_id)
    classic_world.classic.outbox.deliveries.reverse()

    tell()

    assert (fresh(bill).state, fresh(bill).payment) == (State.PUSHED, Payment.PAID)
    assert alarms() == []


def test_a_modifier_found_after_the_cancellation_is_lost_at_once(classic_world: ClassicWorld, tell: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    classic_world.classic.cancel(classic_world.subscription_id)
    tell()
    PushedBill.objects.update(due_at=clock.now())

    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).outstanding, alarms()) == (State.LOST, 14345, ["charge lost"])


def test_a_negative_modifier_is_given_back_with_the_payment(classic_world: ClassicWorld, tell: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.update(negative="credit")
    bill = classic_world.approved((("Credit", "-20.00"),))
    jobs.drain_bills()
    classic_world.collect()

    tell()

    assert (push_of(bill).payment, fresh(bill).credited) == (Payment.REFUNDED, 2000)
    assert open_findings("modifier not in payment") == 0


def test_a_negative_modifier_that_no_payment_will_take_is_owed_again(classic_world: ClassicWorld, tell: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.update(negative="credit")
    bill = classic_world.approved((("Credit", "-20.00"),))
    jobs.drain_bills()
    classic_world.classic.cancel(classic_world.subscription_id)

    tell()

    assert (fresh(bill).state, fresh(bill).credited, fresh(bill).outstanding) == (State.HELD, 0, -2000)
    assert alarms() == ["refund not made"]
