"""Histories that once broke what must hold: ways of charging, reviews, deleted bills, restored copies."""

import contextlib
import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_bridge import importing, intending, jobs, looking, pushing, review
from billing_bridge.journal import Journal
from billing_bridge.models import CarriedEntry, ProductRule, Push, PushedBill, PushPolicy
from billing_bridge.queues import PUSH
from integration_project import clock, work
from integration_project.errors import NotPossible
from integration_project.models import Finding
from integration_project.vendors.paddle.entities import (
    NewAdjustment,
    NewAdjustmentItem,
)
from integration_project.vendors.paddle.simulator import guesses
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import intake
from paddle_sync import jobs as sync_jobs
from paddle_sync.models import EventAttempt
from tests.billing_bridge.breaking import (
    another,
    balance,
    change,
    conserved,
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


def test_a_lost_push_after_a_written_off_credit_is_not_carried_for_more_than_the_bill(world: World) -> None:
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    change(world, bill, ("API calls", "60.00"))
    world.import_all()
    review.write_off(bill.pk, by="fiona", reason="the customer agreed to leave it")
    looking.lose(push_of(bill), "Paddle forgave it.")
    lost = fresh(bill)

    review.carry(bill.pk, by="fiona", reason="with the next bill")

    assert (lost.payable, lost.outstanding) == (6000, 10000)
    assert balance(world) == 6000


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

    held = fresh(bill)
    review.approve(bill.pk, by="fiona", reason="all of it is for calls")
    world.work()

    assert (held.state, held.reason, held.pushed) == (State.HELD, Reason.CHANGED, 2000)
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 12000), fresh(bill).reason_detail
    (item,) = push_of(bill).items
    assert item["price"]["product"]["tax_category"] == "saas", item["price"]["product"]


def test_two_subscriptions_of_one_account_take_an_entry_once(world: World) -> None:

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
    with contextlib.suppress(NotPossible):  # it is pushed by now
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

    other_id = world.another_bill((("API calls", "20.00"),))
    row = world.in_m3ter(other_id)
    row["lineItems"][0]["accountingProductId"] = "product-of-calls"
    world.m3ter.change_bill(other_id, lineItems=row["lineItems"])
    following = importing.import_bill(other_id, world.vendors)
    assert following is not None
    world.work()
    following = fresh(following)

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
