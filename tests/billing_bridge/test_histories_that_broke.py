"""Histories that once broke what must hold: the carried balance, refunds, and news in any order."""

import contextlib
import datetime as dt
from collections.abc import Callable

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.admin.bill_decisions import DECISIONS
from billing_bridge.composing import Marks
from billing_bridge.finishing import finish_bill
from billing_bridge.models import CarriedEntry, Push, PushedBill, PushPolicy
from billing_bridge.queues import FINISH
from integration_project import clock, work
from integration_project.errors import NotPossible
from integration_project.models import Finding, Installation
from integration_project.vendors.paddle.entities import (
    Charge,
    ChargeItem,
    NewAdjustment,
    NewAdjustmentItem,
    NewInvoice,
    PaymentTerms,
)
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink, WebhookEvent
from tests.billing_bridge.breaking import (
    another,
    balance,
    change,
    findings,
    lowered_and_paid,
    refund_by_hand,
    told,
)
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of
from tests.builders import make_event

pytestmark = pytest.mark.django_db
State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Deliver = Callable[[], int]


@pytest.fixture(autouse=True)
def nobody_reviews() -> None:
    PushPolicy.objects.update(review="never", lock_after_days=3)


def test_a_change_that_locking_finds_is_charged_or_seen(world: World) -> None:
    PushPolicy.objects.update(changed="settle", lock_after_days=0)
    bill = world.imported((("API calls", "50.00"),))
    jobs.drain_bills()
    change(world, bill, ("API calls", "80.00"))  # approved anew, and no poll has seen it yet

    jobs.finish_bills()
    after = fresh(bill)
    world.import_all()
    world.work()

    assert (after.state, after.outstanding) == (State.READY, 3000)
    assert (fresh(bill).pushed, fresh(bill).outstanding) == (8000, 0), (fresh(bill).state, fresh(bill).due_at)


def test_a_change_that_is_read_while_the_bill_is_being_finished_is_charged(world: World) -> None:
    PushPolicy.objects.update(changed="settle", lock_after_days=3)
    bill = world.imported((("API calls", "50.00"),))
    jobs.drain_bills()
    change(world, bill, ("API calls", "80.00"))

    (claimed,) = work.claim(FINISH)
    world.import_all()  # another worker polls

    finish_bill(claimed, world.vendors)

    after = fresh(bill)
    assert after.state == State.READY
    assert after.due_at is not None
    assert after.due_at <= clock.now() + dt.timedelta(minutes=1), after.due_at


def test_what_a_person_took_back_waits_for_a_person(world: World) -> None:
    PushPolicy.objects.update(small="hold")
    bill = world.imported((("API calls", "100.00"),))
    review.carry(bill.pk, by="fiona", reason="next month")
    review.take_back(CarriedEntry.objects.get().pk, by="fiona", reason="it was paid by bank transfer")
    held = fresh(bill)

    importing.import_bill(bill.m3ter_bill_id, world.vendors)  # any notice of m3ter
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CHANGED)
    assert (fresh(bill).state, world.paddle.charges) == (State.HELD, [])


def test_a_bill_corrected_after_a_refund_by_hand_is_not_given_back_twice(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately", changed="settle")
    bill = world.imported((("API calls", "143.45"),))
    world.work()
    told(deliver)
    refund_by_hand(world, push_of(bill).paddle_transaction_id, 4345)
    told(deliver)
    next_step = Finding.objects.get(kind="given back outside").next_step

    change(world, bill, ("API calls", "100.00"))  # which is what the finding says
    world.import_all()
    world.work()

    assert "correct it in m3ter" in next_step
    assert balance(world) == 0, f"the customer has 43.45 back, and {balance(world)} again"


def test_a_refund_after_one_by_hand_gives_back_no_more_than_was_paid(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    other = world.imported((("API calls", "200.00"),))
    world.work()
    bill = another(world, ("API calls", "100.00"))
    told(deliver)
    refund_by_hand(world, push_of(bill).paddle_transaction_id, 10000)
    told(deliver)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.refund(bill.pk, by="fiona", reason="it never was")
    world.work()

    given = sum(int(row["totals"]["subtotal"]) for row in world.paddle.adjustments.values())
    assert given <= 10000, (given, push_of(bill).paddle_transaction_id == push_of(other).paddle_transaction_id)


def test_a_discount_is_not_given_back(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    other = world.imported((("API calls", "200.00"),))
    world.work()
    bill = another(world, ("API calls", "100.00"))
    paid_by = next(
        row
        for row in world.paddle.transactions.values()
        if row["origin"] == "subscription_charge" and row["details"]["line_items"][0]["totals"]["subtotal"] == "10000"
    )
    for line in paid_by["details"]["line_items"]:
        line["totals"]["discount"], line["totals"]["total"] = "1000", str(int(line["totals"]["total"]) - 1000)
    told(deliver)
    make_event("transaction.updated", world.vendors.paddle.get_transaction(paid_by["id"]).raw)
    drain_events()
    paid = fresh(bill).paid
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.refund(bill.pk, by="fiona", reason="it never was")
    for _ in range(4):
        world.work()
        world.paddle.settle_adjustments()
        told(deliver)
        make_due(bill) if fresh(bill).state == State.WAITING else None

    given = sum(int(row["totals"]["subtotal"]) for row in world.paddle.adjustments.values())
    assert paid == 9000
    assert given <= paid, (given, paid, fresh(bill).state, fresh(other).refunded)


def test_a_rejection_that_comes_before_the_refund_is_known_is_not_forgotten(world: World, deliver: Deliver) -> None:
    bill = lowered_and_paid(world, deliver)
    world.paddle.fault("create adjustment", "lose_answer")
    review.refund(bill.pk, by="fiona", reason="it was too much")
    jobs.drain_bills()
    unconfirmed = fresh(bill).state
    world.paddle.settle_adjustments(reject=True)
    deliver()
    events = list(WebhookEvent.objects.filter(event_type__startswith="adjustment.").order_by("id"))
    assert [event.event_type for event in events] == ["adjustment.created", "adjustment.updated"]

    for event in reversed(events):
        WebhookEvent.objects.exclude(pk=event.pk).filter(state="received").update(due_at=None)
        WebhookEvent.objects.filter(pk=event.pk).update(due_at=clock.now())
        drain_events()
    world.work()

    assert unconfirmed == State.UNCONFIRMED
    assert next(iter(world.paddle.adjustments.values()))["status"] == "rejected"
    assert fresh(bill).credited == 0, (fresh(bill).state, fresh(bill).credited, findings())


def test_a_refund_by_hand_before_the_charge_is_known_shows_in_the_end(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    world.paddle.fault("charge subscription", "lose_answer")
    bill = world.imported((("API calls", "100.00"),))
    jobs.drain_bills()
    (transaction_id,) = [
        row["id"] for row in world.paddle.transactions.values() if row["origin"] == "subscription_charge"
    ]
    refund_by_hand(world, transaction_id, 10000)
    deliver()
    of_refunds = WebhookEvent.objects.filter(event_type__startswith="adjustment.")
    ids = list(of_refunds.values_list("pk", flat=True))
    WebhookEvent.objects.exclude(pk__in=ids).filter(state="received").update(due_at=None)
    drain_events()
    WebhookEvent.objects.filter(state="received").update(due_at=clock.now())
    drain_events()
    make_due(bill)
    world.work()

    assert (fresh(bill).state, fresh(bill).paid) == (State.PUSHED, 10000)
    assert fresh(bill).refunded == 10000, (fresh(bill).payment, findings())


def test_a_credit_that_is_reversed_was_not_given(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="invoice")
    world.complete_the_customer()
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    told(deliver)
    transaction_id = push_of(bill).paddle_transaction_id
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    made = world.vendors.paddle.create_adjustment(
        NewAdjustment("credit", transaction_id, "goodwill", "of support", (NewAdjustmentItem(line.id, 4000),))
    )
    told(deliver)
    credited = push_of(bill).refunded
    world.paddle.reverse_credit(made.id)
    told(deliver)

    assert credited == 4000
    assert push_of(bill).refunded == 0


def test_a_restored_copy_does_not_refund_again_what_the_original_refunded(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    other = world.imported((("API calls", "200.00"),))
    world.work()
    bill = another(world, ("API calls", "100.00"))
    told(deliver)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    transaction_id = push_of(bill).paddle_transaction_id
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(  # what the original made, after this copy was taken
        NewAdjustment(
            "refund", transaction_id, f"{bill.m3ter_bill_id}-2", "bill corrected", (NewAdjustmentItem(line.id),)
        )
    )
    world.paddle.settle_adjustments()
    told(deliver)
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=clock.now())

    review.refund(bill.pk, by="fiona", reason="it never was")
    world.work()

    assert len(world.paddle.adjustments) == 1, (
        push_of(bill).state,
        push_of(bill).paddle_transaction_id == push_of(other).paddle_transaction_id,
    )


def test_a_restored_copy_settles_the_refund_that_it_sees(world: World, deliver: Deliver) -> None:
    bill = lowered_and_paid(world, deliver)
    transaction_id = push_of(bill).paddle_transaction_id
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment(
            "refund", transaction_id, f"{bill.m3ter_bill_id}-2", "bill corrected", (NewAdjustmentItem(line.id, 4345),)
        )
    )
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=clock.now())
    review.refund(bill.pk, by="fiona", reason="it was too much")
    jobs.drain_bills()
    first = fresh(bill).state
    look_through_schedule(bill)

    assert len(world.paddle.adjustments) == 1
    assert (fresh(bill).state, fresh(bill).credited) == (State.PUSHED, 4345), (first, fresh(bill).reason_detail)


def test_a_charge_of_the_original_is_no_refund_of_the_copy(world: World, deliver: Deliver) -> None:
    bill = lowered_and_paid(world, deliver)  # the copy sees it lowered; the original charged "-2" while it was higher
    item = ChargeItem(
        name="Usage",
        description=f"rest [{bill.m3ter_bill_id}-2]",
        amount_minor=5000,
        currency="USD",
        tax_mode="external",
        custom_data=Marks(f"{bill.m3ter_bill_id}-2", bill.m3ter_bill_id, 1).of_price,
        product_name="Usage",
        tax_category="saas",
        product_custom_data=Marks(f"{bill.m3ter_bill_id}-2", bill.m3ter_bill_id, 1).of_product,
    )
    world.vendors.paddle.charge_subscription(world.subscription_id, Charge("immediately", (item,), "prevent_change"))
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=clock.now())

    review.refund(bill.pk, by="fiona", reason="it was too much")
    jobs.drain_bills()

    # Paddle has 143.45 + 50.00 of a bill of 100.00
    assert fresh(bill).outstanding == 10000 - 14345 - 5000, (
        fresh(bill).state,
        fresh(bill).pushed,
        fresh(bill).credited,
    )


def test_an_invoice_that_shows_late_is_found_though_another_way_was_tried_since(world: World) -> None:
    PushPolicy.objects.update(mode="invoice")
    world.complete_the_customer()
    world.paddle.fault("create transaction", "error_before", status=503)
    bill = world.imported((("API calls", "100.00"),))
    jobs.drain_bills()
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="looked myself")
    PushPolicy.objects.update(mode="next_billing_period")
    world.paddle.fault("preview charge", "error_before", status=400)
    jobs.drain_bills()
    tried = (fresh(bill).state, push_of(bill).mode, push_of(bill).sent_at is not None)
    subscription = world.vendors.paddle.get_subscription(world.subscription_id)
    marks = Marks(push_of(bill).push_id, bill.m3ter_bill_id, 1)
    item = ChargeItem(
        name="Usage",
        description="late",
        amount_minor=10000,
        currency="USD",
        tax_mode="external",
        custom_data=marks.of_price,
        product_name="Usage",
        tax_category="saas",
        product_custom_data=marks.of_product,
    )
    world.vendors.paddle.create_invoice(
        NewInvoice(
            customer_id=subscription.customer_id,
            address_id=subscription.address_id or "",
            business_id=None,
            currency="USD",
            items=(item,),
            custom_data=marks.of_price,
            payment_terms=PaymentTerms("day", 14),
            issue=True,
            purchase_order_number="",
        )
    )

    review.resend(bill.pk, by="fiona", reason="put right")
    world.work()

    assert tried == (State.FAILED, "invoice", True)
    assert world.charges_of(bill) + len(world.invoices()) == 1, fresh(bill).state


def test_a_stale_choice_of_refund_refunds_no_later_difference(world: World, deliver: Deliver) -> None:
    bill = lowered_and_paid(world, deliver)
    Push.objects.update(payment=Payment.NONE)  # nothing to refund from now
    review.refund(bill.pk, by="fiona", reason="it was too much")
    world.work()
    held = fresh(bill)
    review.carry(bill.pk, by="fiona", reason="then as a credit")
    Push.objects.update(payment=Payment.PAID)
    PushPolicy.objects.update(changed="settle")

    change(world, bill, ("API calls", "60.00"))  # policy: carry the difference
    world.import_all()
    world.work()

    assert held.reason == Reason.REFUND
    assert (world.paddle.adjustments, balance(world)) == ({}, -8345), (fresh(bill).chosen_mode, fresh(bill).credited)


def test_a_refund_asked_for_one_difference_is_not_made_for_another(world: World, deliver: Deliver) -> None:
    bill = lowered_and_paid(world, deliver)
    PushPolicy.objects.update(changed="settle")
    review.refund(bill.pk, by="fiona", reason="43.45 too much", seen=review.what_is_seen(bill))
    change(world, bill, ("API calls", "20.00"))
    world.import_all()
    world.work()

    given = [int(row["totals"]["subtotal"]) for row in world.paddle.adjustments.values()]
    assert given in ([], [4345]), given


def test_a_cancelled_subscription_under_the_invoice_policy_can_still_be_invoiced(
    world: World, deliver: Deliver
) -> None:
    PushPolicy.objects.update(mode="invoice")
    world.complete_the_customer()
    world.paddle.cancel(world.subscription_id)
    told(deliver)
    AccountLink.objects.update(paddle_status="canceled")
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    held = fresh(bill)

    offered = {decision.name for decision in DECISIONS if decision.offered(held)}
    with pytest.raises(NotPossible):
        review.approve(bill.pk, by="fiona", reason="invoice it")

    assert (held.state, held.reason) == (State.HELD, Reason.CANCELLED)
    assert "send_invoice" in offered


def test_a_bill_that_was_deleted_refunded_and_is_back_needs_a_review(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="always", mode="immediately")
    bill = world.approved((("API calls", "100.00"),))
    world.work()
    told(deliver)
    row = world.in_m3ter(bill.m3ter_bill_id)
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    review.refund(bill.pk, by="fiona", reason="it is gone")
    world.work()
    refunded = fresh(bill)
    world.m3ter.memory.bills.add(row)

    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    world.work()

    assert (refunded.state, refunded.credited) == (State.SUPERSEDED, 10000)
    assert (fresh(bill).state, len(world.paddle.charges)) == (State.HELD, 1)


@pytest.mark.parametrize("how", ["excluded", "go-live"])
def test_what_a_customer_is_owed_is_not_hidden_as_skipped(world: World, how: str) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    if how == "excluded":
        PushPolicy.objects.update(excluded_accounts=world.account_id)
    else:
        Installation.objects.update(charge_from=clock.now().date() + dt.timedelta(days=60))

    change(world, bill, ("API calls", "60.00"))
    world.import_all()
    world.work()

    assert fresh(bill).outstanding == -4000
    assert fresh(bill).state == State.HELD, (fresh(bill).state, fresh(bill).reason)


def test_skipping_writes_off_only_what_was_seen(world: World) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    change(world, bill, ("API calls", "99.00"))
    world.import_all()
    page = fresh(bill)  # fiona looks: one dollar to write off
    change(world, bill, ("API calls", "900.00"))
    world.import_all()
    decision = next(decision for decision in DECISIONS if decision.name == "skip")

    seen = {"seen": decision.seen(page)} if decision.seen is not None else {}
    with contextlib.suppress(NotPossible):
        decision.decide(bill.pk, by="fiona", reason="not worth it", **seen)

    assert fresh(bill).written_off in (0, -100), fresh(bill).written_off
