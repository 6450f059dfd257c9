"""Histories that may break what must hold: every amount once, to the cent, or where Finance sees it."""

import contextlib
import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_bridge import carrying, importing, jobs, looking, review
from billing_bridge.admin.bill_decisions import DECISIONS
from billing_bridge.composing import Marks
from billing_bridge.models import CarriedEntry, ProductRule, Push, PushedBill, PushPolicy
from billing_bridge.queues import FINISH, PUSH
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
from integration_project.vendors.paddle.simulator import guesses
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink, WebhookEvent
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


def told(deliver: Deliver) -> None:
    deliver()
    drain_events()


def findings() -> list[str]:
    return sorted(Finding.objects.filter(state="open").values_list("kind", flat=True))


def balance(world: World) -> int:
    return carrying.balance(world.account_id, "USD")


def change(world: World, bill: PushedBill, *lines: tuple[str, str]) -> None:
    """m3ter calculates a bill anew and approves it."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, lines)
    world.m3ter.approve_bill(bill.m3ter_bill_id)


def another(world: World, *lines: tuple[str, str]) -> PushedBill:
    bill = importing.import_bill(world.another_bill(lines), world.vendors)
    assert bill is not None
    world.work()
    return fresh(bill)


def conserved(world: World) -> bool:
    of_bills = sum(PushedBill.objects.filter(m3ter_account_id=world.account_id).values_list("carried", flat=True))
    return of_bills == balance(world)


# --- 1. READY and never due -------------------------------------------------------------------------------------------


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
    from billing_bridge.finishing import finish_bill

    finish_bill(claimed, world.vendors)

    after = fresh(bill)
    assert after.state == State.READY
    assert after.due_at is not None and after.due_at <= clock.now() + dt.timedelta(minutes=1), after.due_at


# --- 2. taken back, then charged by itself ----------------------------------------------------------------------------


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


# --- 3. given back by hand and by us ----------------------------------------------------------------------------------


def refund_by_hand(world: World, transaction_id: str, amount: int) -> None:
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment(
            action="refund",
            transaction_id=transaction_id,
            push_id="goodwill",
            explanation="of the support desk",
            items=(NewAdjustmentItem(line.id, amount),),
        )
    )
    world.paddle.settle_adjustments()


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


# --- 4. news in any order ---------------------------------------------------------------------------------------------


def lowered_and_paid(world: World, deliver: Deliver) -> PushedBill:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "143.45"),))
    world.work()
    told(deliver)
    change(world, bill, ("API calls", "100.00"))
    world.import_all()
    world.work()
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, -4345)
    return fresh(bill)


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


# --- 5. after a restore -----------------------------------------------------------------------------------------------


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


# --- 6. the way of charging -------------------------------------------------------------------------------------------


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

    assert tried == (State.FAILED, "next_billing_period", True)
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


# --- 7. without review ------------------------------------------------------------------------------------------------


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


def test_a_credit_carried_after_the_cancellation_is_a_finding(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    told(deliver)
    world.paddle.cancel(world.subscription_id)
    told(deliver)
    change(world, bill, ("API calls", "60.00"))
    world.import_all()

    review.carry(bill.pk, by="fiona", reason="as a credit")
    told(deliver)

    assert balance(world) == -4000
    assert "carried balance left" in findings()


def test_what_was_lost_and_collected_is_not_carried_to_be_charged_again(world: World) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    looking.lose(push_of(bill), "Paddle forgave it.")
    Push.objects.update(payment=Payment.PAID, paddle_transaction_id="txn_01")
    review.hold(bill.pk, by="fiona", reason="look")
    PushedBill.objects.filter(pk=bill.pk).update(reason=Reason.COLLECTED)
    with pytest.raises(NotPossible):
        review.approve(bill.pk, by="fiona", reason="again")

    with contextlib.suppress(NotPossible):
        review.carry(bill.pk, by="fiona", reason="next month")

    assert balance(world) == 0


def test_a_large_amount_that_paddle_calls_too_little_is_seen_by_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Paddle compares is the balance due, so a discount or a credit balance can make 5,000.00 too little."""
    monkeypatch.setitem(guesses.MINIMUM_AMOUNTS, "USD", 1_000_000)
    bill = world.imported((("API calls", "5000.00"),))
    world.work()

    assert fresh(bill).state == State.HELD, (fresh(bill).state, balance(world))


def test_a_credit_of_another_tax_category_settles_nothing_without_review(world: World) -> None:
    ProductRule.objects.create(accounting_product="product-of-books", tax_category="ebooks")
    bill = world.imported((("Goodwill", "-50.00"),))
    row = world.in_m3ter(bill.m3ter_bill_id)
    row["lineItems"][0]["accountingProductId"] = "product-of-books"
    world.m3ter.change_bill(bill.m3ter_bill_id, lineItems=row["lineItems"])
    world.import_all()
    world.work()
    category = CarriedEntry.objects.get().tax_category

    following = another(world, ("API calls", "20.00"))

    assert category == "ebooks"
    assert (following.state, following.reason) == (State.HELD, Reason.NEGATIVE), following.state


def test_a_refund_that_waits_for_paddle_goes_on_after_the_sweep(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    told(deliver)
    line = world.vendors.paddle.get_transaction(push_of(bill).paddle_transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment(
            "refund", push_of(bill).paddle_transaction_id, "goodwill", "of support", (NewAdjustmentItem(line.id, 1000),)
        )
    )
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    review.refund(bill.pk, by="fiona", reason="it never was")
    world.work()
    waiting = fresh(bill)

    jobs.sweep_bills()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.REFUND)
    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.REFUND), fresh(bill).reason


def test_two_bills_of_one_catalogue_product_wait_for_one_renewal(world: World) -> None:
    product_id = paddle_sample.PRODUCT_USAGE
    name = "API calls"
    first = world.imported((("API calls", "100.00"), ("Storage", "50.00")))
    row = world.in_m3ter(first.m3ter_bill_id)
    key = row["lineItems"][0].get("accountingProductId") or row["lineItems"][0].get("accountingProductName")
    assert key, row["lineItems"][0]
    ProductRule.objects.create(accounting_product=key, paddle_product_id=product_id, tax_category="saas")
    world.work()
    second = another(world, ("API calls", "100.00"), ("Storage", "50.00"))

    assert (fresh(first).state, fresh(first).pushed) == (State.PUSHED, 15000), (fresh(first).reason_detail, name)
    assert (second.state, second.pushed) == (State.PUSHED, 15000), second.reason_detail


# --- what should hold -------------------------------------------------------------------------------------------------


def test_own_carried_entry_and_differences_are_conserved(world: World) -> None:
    PushPolicy.objects.update(changed="settle")
    bill = world.imported((("API calls", "0.50"),))
    world.work()
    seen = [fresh(bill).carried]
    for amount in ("10.00", "3.00", "0.10", "25.00", "0.00", "7.77"):
        change(world, bill, ("API calls", amount))
        world.import_all()
        world.work()
        seen.append(fresh(bill).outstanding)
        assert conserved(world)
        known = fresh(bill)
        assert (known.outstanding, known.payable) == (0, int(Decimal(amount) * 100)), (
            amount,
            known.state,
            known.reason_detail,
        )
    assert CarriedEntry.objects.filter(reserved_by__isnull=False).count() == 0


def test_the_lock_of_carried_and_reserved_entries_after_a_death_before_sending(world: World) -> None:
    bill = world.imported((("API calls", "0.50"),))
    world.work()
    importing.import_bill(world.another_bill((("API calls", "10.00"),)), world.vendors)
    (claimed,) = work.claim(PUSH)
    from billing_bridge import intending
    from billing_bridge.journal import Journal

    intending.write_intent(claimed, Journal(claimed))
    reserved = CarriedEntry.objects.get().reserved_by
    PushedBill.objects.filter(pk=claimed.pk).update(lease_until=clock.now() - dt.timedelta(seconds=1))
    work.release_expired(PUSH)
    assert reserved is not None
    assert CarriedEntry.objects.get().reserved_by is None
    world.work()
    assert (fresh(claimed).pushed, balance(world)) == (1050, 0)
    assert fresh(bill).state == State.CARRIED


def test_a_hundred_and_fifty_lines_of_three_tax_categories(world: World) -> None:
    for number, category in enumerate(("ebooks", "saas", "standard")):
        ProductRule.objects.create(accounting_product=f"p{number}", tax_category=category)
    lines = [(f"Line {number} " + "x" * 300, "1.01") for number in range(300)]
    bill = world.imported(lines)
    row = world.in_m3ter(bill.m3ter_bill_id)
    for number, line in enumerate(row["lineItems"]):
        line["accountingProductId"] = f"p{number % 3}"
    world.m3ter.change_bill(bill.m3ter_bill_id, lineItems=row["lineItems"])
    world.import_all()
    world.work()
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 30300), fresh(bill).reason_detail
    assert len(push_of(bill).items) == 3


def test_five_thousand_lines(world: World) -> None:
    bill = world.imported([(f"Line {number}", "0.011") for number in range(5000)])
    begun = dt.datetime.now(dt.UTC)
    world.work()
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 5500), fresh(bill).reason_detail
    assert (dt.datetime.now(dt.UTC) - begun).total_seconds() < 20


# --- second round -----------------------------------------------------------------------------------------------------


def test_a_lost_push_after_a_written_off_credit_is_not_carried_for_more_than_the_bill(world: World) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    change(world, bill, ("API calls", "60.00"))
    world.import_all()
    review.write_off(bill.pk, by="fiona", reason="the customer agreed to leave it")
    looking.lose(push_of(bill), "Paddle forgave it.")
    lost = fresh(bill)
    with pytest.raises(NotPossible, match="settle it in Paddle by hand"):
        review.resend(bill.pk, by="fiona", reason="again")

    with contextlib.suppress(NotPossible):
        review.carry(bill.pk, by="fiona", reason="with the next bill")

    assert (lost.payable, lost.outstanding) == (6000, 10000)
    assert balance(world) <= 6000


def test_what_is_approved_is_what_was_seen_with_what_it_takes(world: World) -> None:
    PushPolicy.objects.update(review="always")
    bill = world.imported((("API calls", "10.00"),))
    other = importing.import_bill(world.another_bill((("API calls", "500.00"),)), world.vendors)
    assert other is not None
    seen = review.what_is_seen(fresh(bill))
    review.carry(other.pk, by="finn", reason="later")

    with contextlib.suppress(NotPossible):
        review.approve(bill.pk, by="fiona", reason="ten dollars", seen=seen)
    world.work()

    assert [charge.subtotal for charge in world.paddle.charges] in ([], [1000])


def test_review_above_an_amount_looks_at_what_is_charged(world: World) -> None:
    PushPolicy.objects.update(review="always")
    other = world.imported((("API calls", "500.00"),))
    review.carry(other.pk, by="finn", reason="later")
    PushPolicy.objects.update(review="above", review_above=Decimal(100))

    following = another(world, ("API calls", "10.00"))

    assert following.state == State.HELD, (following.state, following.pushed)


def test_a_charge_at_once_is_not_lost_because_the_subscription_is_cancelled_since(world: World) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "100.00"),))
    from billing_bridge import pushing

    made = pushing._accepted

    def cancelled_first(*args: object) -> None:
        looking.note_cancellation(world.subscription_id)
        made(*args)  # type: ignore[arg-type]

    pushing._accepted = cancelled_first  # type: ignore[assignment]
    try:
        jobs.drain_bills()
    finally:
        pushing._accepted = made
    assert (fresh(bill).state, findings()) == (State.PUSHED, [])


def test_an_invoice_is_found_though_the_subscription_has_another_customer_now(world: World) -> None:
    PushPolicy.objects.update(mode="invoice")
    world.complete_the_customer()
    world.paddle.fault("create transaction", "lose_answer")
    bill = world.imported((("API calls", "100.00"),))
    jobs.drain_bills()
    checkout = world.paddle.complete_checkout(
        email="new@example.com", items=[{"price_id": paddle_sample.PRICE_CLOUD_USD, "quantity": 1}], currency="USD"
    )
    new = world.paddle.subscriptions[checkout["subscription_id"]]
    world.paddle.subscriptions[world.subscription_id]["customer_id"] = new["customer_id"]
    world.paddle.subscriptions[world.subscription_id]["address_id"] = new["address_id"]

    look_through_schedule(bill)

    assert fresh(bill).state == State.PUSHED, fresh(bill).reason_detail


def test_absent_refund_that_paddle_shows_does_not_go_round_for_ever(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    bill = lowered_and_paid(world, deliver)
    transaction_id = push_of(bill).paddle_transaction_id
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment(
            "refund", transaction_id, f"{bill.m3ter_bill_id}-2", "bill corrected", (NewAdjustmentItem(line.id, 4345),)
        )
    )
    review.refund(bill.pk, by="fiona", reason="it was too much")
    for _ in range(3):
        make_due(bill)
        jobs.drain_bills()
        look_through_schedule(bill)

    assert fresh(bill).state == State.PUSHED, (fresh(bill).state, push_of(bill).attempt, findings())


def test_the_rest_of_a_changed_bill_keeps_its_tax_categories(world: World) -> None:
    PushPolicy.objects.update(changed="settle")
    ProductRule.objects.create(accounting_product="product-of-books", tax_category="ebooks")
    bill = world.imported((("Books", "10.00"), ("API calls", "10.00")))

    def books_first() -> None:
        row = world.in_m3ter(bill.m3ter_bill_id)
        row["lineItems"][0]["accountingProductId"] = "product-of-books"
        world.m3ter.change_bill(bill.m3ter_bill_id, lineItems=row["lineItems"])

    books_first()
    world.import_all()
    world.work()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("Books", "10.00"), ("API calls", "110.00")))
    books_first()
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.work()

    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 12000), fresh(bill).reason_detail
    (item,) = push_of(bill).items
    assert item["price"]["product"]["tax_category"] == "saas", item["price"]["product"]


def test_two_subscriptions_of_one_account_take_an_entry_once(world: World) -> None:
    from billing_bridge import intending
    from billing_bridge.journal import Journal

    world.imported((("API calls", "0.50"),))
    world.work()
    first = importing.import_bill(world.another_bill((("API calls", "10.00"),)), world.vendors)
    assert first is not None
    (claimed,) = work.claim(PUSH)
    intending.write_intent(claimed, Journal(claimed))
    world.subscribe_again()
    second = importing.import_bill(world.another_bill((("API calls", "20.00"),)), world.vendors)
    assert second is not None
    world.work()

    assert fresh(second).pushed == 2000, (fresh(second).state, fresh(second).reason)
    assert CarriedEntry.objects.get().remaining == 50


@pytest.mark.parametrize("total", ["0", "0.00"])
def test_nothing_to_charge_and_a_carried_debit(world: World, total: str) -> None:
    world.imported((("API calls", "0.50"),))
    world.work()
    bill = another(world, ("API calls", total))
    assert (bill.state, bill.reason, balance(world)) == (State.SKIPPED, Reason.ZERO, 50)


def test_a_person_is_told_who_comes_second(world: World) -> None:
    PushPolicy.objects.update(review="always")
    bill = world.imported((("API calls", "10.00"),))
    seen = review.what_is_seen(bill)
    review.carry(bill.pk, by="a", reason="x", seen=seen)
    for act in (review.carry, review.write_off, review.settled_outside, review.approve):
        with pytest.raises(NotPossible):
            act(bill.pk, by="b", reason="y", seen=seen)


def test_a_credit_bill_that_becomes_a_charge(world: World) -> None:
    PushPolicy.objects.update(changed="settle")
    bill = world.imported((("Goodwill", "-15.00"),))
    world.work()
    following = another(world, ("API calls", "10.00"))
    change(world, bill, ("Goodwill", "20.00"))
    world.import_all()
    world.work()
    assert (following.state, following.carried) == (State.CARRIED, 1000)
    assert (fresh(bill).state, fresh(bill).outstanding, fresh(bill).pushed) == (State.PUSHED, 0, 3000)
    assert conserved(world)


@pytest.mark.parametrize("kind", ["adjustment.created", "adjustment.updated"])
def test_a_dry_run_of_an_adjustment_leaves_no_trace(world: World, deliver: Deliver, kind: str) -> None:
    from paddle_sync import intake
    from paddle_sync import jobs as sync_jobs
    from paddle_sync.models import EventAttempt

    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    told(deliver)
    refund_by_hand(world, push_of(bill).paddle_transaction_id, 5000)
    row = dict(next(iter(world.paddle.adjustments.values())))
    event = make_event(kind, row, state="processed", due_at=None, attempts=1)
    before = (push_of(bill).refunded, Finding.objects.count())
    run = sync_jobs.dry_run(event.pk, wait=lambda seconds: None)
    planned = [(call.vendor, call.method, call.path) for call in run.calls]
    assert (push_of(bill).refunded, Finding.objects.count()) == before
    intake.replay(event.pk, by="operator", reason="to compare")
    sync_jobs.drain_events()
    made = [
        (call["vendor"], call["method"], call["path"])
        for call in EventAttempt.objects.filter(event=event).latest("number").calls
    ]
    assert planned == made
    assert push_of(bill).refunded == 5000


# --- third round ------------------------------------------------------------------------------------------------------


def test_news_of_a_late_invoice_keeps_the_bill_from_being_charged_again(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="invoice")
    world.complete_the_customer()
    world.paddle.fault("create transaction", "lose_answer")
    world.paddle.fault(
        "list transactions", "list_lag", seconds=3600, times=6
    )  # five look-ups, and the one before sending
    bill = world.imported((("API calls", "100.00"),))
    jobs.drain_bills()
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="looked myself")
    world.paddle.fault("preview charge", "error_before", status=400)
    review.send(bill.pk, by="fiona", reason="with the renewal then", mode="next_billing_period")
    jobs.drain_bills()  # refused at the preview: nothing was sent on the subscription
    told(deliver)  # and now Paddle tells of the invoice, which carries this push
    review.resend(bill.pk, by="fiona", reason="put right")
    world.work()

    assert world.charges_of(bill) + len(world.invoices()) == 1, (fresh(bill).state, findings())


def test_a_deleted_bill_that_was_never_collected_leaves_no_debt(world: World) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    change(world, bill, ("API calls", "60.00"))
    world.import_all()
    review.write_off(bill.pk, by="fiona", reason="the customer agreed to leave it")
    looking.lose(push_of(bill), "Paddle forgave it.")
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    with contextlib.suppress(NotPossible):
        review.approve(bill.pk, by="fiona", reason="gone", seen=review.what_is_seen(fresh(bill)))

    assert balance(world) <= 0


def test_a_refund_waits_for_its_own_payment_before_it_takes_another(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately")
    other = world.imported((("API calls", "200.00"),))
    world.work()
    bill = another(world, ("API calls", "100.00"))
    told(deliver)
    own = push_of(bill).paddle_transaction_id
    line = world.vendors.paddle.get_transaction(own).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment("refund", own, "goodwill", "of support", (NewAdjustmentItem(line.id, 1000),))
    )
    change(world, bill, ("API calls", "60.00"))
    world.import_all()

    review.refund(bill.pk, by="fiona", reason="too much")
    world.work()

    asked = [row["transaction_id"] for row in world.paddle.adjustments.values() if "goodwill" not in row["reason"]]
    assert push_of(other).paddle_transaction_id not in asked


def test_the_finding_of_what_was_left_over_closes_when_a_later_bill_takes_it(world: World, deliver: Deliver) -> None:
    world.imported((("Goodwill", "-15.00"),))
    world.work()
    world.paddle.cancel(world.subscription_id)
    told(deliver)
    before = findings()
    world.subscribe_again()
    importing.import_bill(world.another_bill((("API calls", "20.00"),)), world.vendors)
    world.work()

    assert "carried balance left" in before
    assert (balance(world), "carried balance left" in findings()) == (0, False)


def test_a_refund_of_amounts_that_include_tax(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(tax_mode="internal")
    bill = lowered_and_paid(world, deliver)
    world.paddle.fault("create adjustment", "lose_answer")
    review.refund(bill.pk, by="fiona", reason="too much")
    jobs.drain_bills()
    make_due(bill)
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)
    assert (fresh(bill).credited, fresh(bill).outstanding, fresh(bill).refunded) == (4345, 0, 4345)
