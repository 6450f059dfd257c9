"""What becomes of a bill with two pushes: one that shows late while the other is open, one taken for lost too early."""

from collections.abc import Callable

import pytest

from billing_bridge import drafting, importing, jobs, looking, pushing, review
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.queues import CONFIRM
from integration_project import work
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import NewAdjustment, NewAdjustmentItem
from tests.billing_bridge import truth
from tests.billing_bridge.test_sent_elsewhere import sent_and_left
from tests.billing_bridge.test_settled_before import corrected
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def alarms() -> list[str]:
    open_ones = Finding.objects.filter(state="open", severity=Finding.Severity.ALARM)
    return sorted(open_ones.values_list("kind", flat=True))


def show_first(bill: PushedBill, owner: PushedBill | None = None) -> bool:
    """Paddle bills the push that was left behind and given up."""
    first = Push.objects.get(bill=bill, ordinal=1)
    return looking.record_made(first, amount=first.amount, detail="Billed.", owner=owner, transaction_id="txn_first")


def released(world: World) -> PushedBill:
    """A bill whose first push was left behind without a trace, and which a person released to the new subscription."""
    bill, _ = sent_and_left(world, "error_before")
    jobs.drain_bills()
    review.approve(bill.pk, by="fiona", reason="the old subscription has no such charge")
    return bill


def both_sent(world: World, fault: str) -> PushedBill:
    """A bill of which the second push is open too, and then the first one is in a transaction after all."""
    bill = released(world)
    world.paddle.fault("charge subscription", fault)
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED
    due_at = fresh(bill).due_at
    show_first(bill)
    assert fresh(bill).due_at == due_at
    return fresh(bill)


# --- One shows late ---------------------------------------------------------------------------------------------------


def test_a_push_that_shows_late_is_booked_and_leaves_the_bill_to_the_open_one(world: World) -> None:
    bill = both_sent(world, "error_before")

    first, second = Push.objects.filter(bill=bill).order_by("ordinal")
    assert (bill.state, bill.pushed, bill.outstanding) == (State.UNCONFIRMED, 14345, 0)
    assert (first.state, second.state) == (Push.State.PUSHED, Push.State.UNCONFIRMED)
    assert alarms() == ["another charge open"]
    alarm = Finding.objects.get(kind=looking.ANOTHER_OPEN)
    assert (alarm.subject, first.push_id in alarm.detail, bool(alarm.next_step)) == (second.push_id, True, True)


def test_the_open_one_is_found_and_the_bill_is_held_for_being_charged_too_much(world: World) -> None:
    bill = both_sent(world, "lose_answer")

    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.CHANGED, -14345)
    assert push_of(bill).state == Push.State.PUSHED
    assert alarms() == ["another charge open"]


def test_the_open_one_was_not_made_and_the_bill_is_pushed_without_another_charge(world: World) -> None:
    bill = both_sent(world, "error_before")
    look_through_schedule(bill)
    asked = world.calls("charge subscription")

    review.charge_was_not_made(bill.pk, by="fiona", reason="not there")
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.PUSHED, "", 0)
    assert world.calls("charge subscription") == asked
    assert alarms() == []


def test_a_difference_to_the_one_that_showed_is_not_charged_by_itself(world: World) -> None:
    bill = both_sent(world, "error_before")
    look_through_schedule(bill)
    asked = world.calls("charge subscription")
    review.charge_was_not_made(bill.pk, by="fiona", reason="not there")
    world.change_bill(bill.m3ter_bill_id, (("API calls", "200.00"),))
    PushedBill.objects.filter(pk=bill.pk).update(m3ter_read_at=None)
    PushPolicy.objects.update(review="never")

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).outstanding) == (State.HELD, Reason.CHANGED, 5655)
    assert world.calls("charge subscription") == asked


def test_the_next_bill_of_the_subscription_is_charged_once_the_open_one_is_settled(world: World) -> None:
    bill = both_sent(world, "error_before")
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="not there")
    jobs.drain_bills()

    world.m3ter.memory.bills.add({**world.in_m3ter(bill.m3ter_bill_id), "id": "the-following-bill"})
    following = importing.import_bill("the-following-bill", world.vendors)
    assert following is not None
    review.approve(following.pk, by="fiona")
    jobs.drain_bills()

    assert (fresh(following).state, world.charges_of(following)) == (State.PUSHED, 1)
    assert push_of(following).paddle_subscription_id == push_of(bill).paddle_subscription_id


def test_a_push_that_is_lost_again_leaves_the_bill_to_the_open_one(world: World) -> None:
    bill = both_sent(world, "lose_answer")

    looking.lose(Push.objects.get(bill=bill, ordinal=1), "Paddle cancelled its transaction.")
    lost = fresh(bill)
    make_due(bill)
    jobs.confirm_bills()

    assert (lost.state, lost.due_at, lost.outstanding) == (State.UNCONFIRMED, bill.due_at, 14345)
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, 0)


def test_whoever_records_as_the_owner_of_the_bill_owns_it_no_more(world: World) -> None:
    bill = released(world)
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    make_due(bill)
    (owner,) = work.claim(CONFIRM)

    show_first(bill, owner)

    assert (fresh(bill).state, fresh(bill).lease) == (State.UNCONFIRMED, None)
    assert fresh(bill).due_at is not None


def test_what_shows_just_before_the_request_keeps_it_from_being_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = released(world)
    asked = world.calls("charge subscription")
    preview = pushing._preview

    def overtaken(owned: PushedBill, intent: drafting.Intent, vendors: Vendors, journal: Journal) -> drafting.Intent:
        show_first(bill)
        return preview(owned, intent, vendors, journal)

    monkeypatch.setattr(pushing, "_preview", overtaken)
    jobs.drain_bills()

    assert world.calls("charge subscription") == asked
    assert (fresh(bill).state, fresh(bill).outstanding, fresh(bill).lease) == (State.PUSHED, 0, None)
    assert push_of(bill).state == Push.State.INTENDED
    assert alarms() == []


# --- One is taken for lost too early ----------------------------------------------------------------------------------


def test_a_lost_push_that_is_still_pending_is_not_charged_again(world: World) -> None:
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")
    review.resend(bill.pk, by="fiona", reason="again")

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.COLLECTED)
    assert f"Push {bill.m3ter_bill_id}-1 was taken for lost, but it is still pending" in fresh(bill).reason_detail
    assert (world.charges_of(bill), push_of(bill).state) == (1, Push.State.INTENDED)


def test_it_stays_held_when_it_is_read_again_and_when_it_is_approved_too_early(world: World) -> None:
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")
    review.resend(bill.pk, by="fiona", reason="again")
    jobs.drain_bills()

    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    review.approve(bill.pk, by="fiona", reason="I have not looked")
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.COLLECTED)
    assert world.charges_of(bill) == 1


# --- One is of another kind than the next -----------------------------------------------------------------------------


@pytest.fixture
def paid(world: World, tell: Callable[[], None]) -> PushedBill:
    """A bill of 100.00 that was charged at once and paid."""
    PushPolicy.objects.update(mode="immediately", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    tell()
    return fresh(bill)


def not_made(world: World, bill: PushedBill, operation: str) -> None:
    """What was sent for the bill has no answer and leaves no trace, and a person says that it was not made."""
    world.paddle.fault(operation, "error_before")
    jobs.drain_bills()
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="not there")


def test_a_refund_that_was_not_made_does_not_keep_the_bill_from_being_charged_more(
    world: World, paid: PushedBill
) -> None:
    corrected(world, paid, "80.00")
    review.refund(paid.pk, by="fiona", reason="theirs")
    not_made(world, paid, "create adjustment")

    corrected(world, paid, "120.00")
    review.approve(paid.pk, by="fiona", reason="20 more")
    world.work()
    asked = fresh(paid)
    review.charge_was_not_made(paid.pk, by="fiona", reason="no refund there")
    world.work()

    assert (asked.state, asked.reason) == (State.HELD, Reason.CANNOT_TELL)
    assert (fresh(paid).state, fresh(paid).outstanding) == (State.PUSHED, 0)
    assert truth.net(world.paddle, paid.m3ter_bill_id) == 12000


def test_a_charge_that_was_not_made_does_not_keep_the_bill_from_being_refunded(world: World, paid: PushedBill) -> None:
    corrected(world, paid, "120.00")
    review.approve(paid.pk, by="fiona", reason="20 more")
    not_made(world, paid, "charge subscription")

    corrected(world, paid, "80.00")
    review.refund(paid.pk, by="fiona", reason="theirs")
    world.work()
    asked = fresh(paid)
    review.charge_was_not_made(paid.pk, by="fiona", reason="no charge there")
    world.work()

    assert (asked.state, asked.reason) == (State.HELD, Reason.CANNOT_TELL)
    assert (fresh(paid).state, fresh(paid).credited) == (State.PUSHED, 2000)
    assert truth.net(world.paddle, paid.m3ter_bill_id) == 8000


def test_a_refund_that_was_made_after_all_is_found_before_the_bill_is_charged_more(
    world: World, paid: PushedBill
) -> None:
    corrected(world, paid, "80.00")
    review.refund(paid.pk, by="fiona", reason="theirs")
    not_made(world, paid, "create adjustment")
    refund, charge = push_of(paid), world.vendors.paddle.get_transaction(push_of(paid).paddle_transaction_id)
    items = (NewAdjustmentItem(charge.lines[0].id, 2000),)
    world.vendors.paddle.create_adjustment(
        NewAdjustment("refund", charge.id, refund.push_id, f"bill {paid.m3ter_bill_id} corrected", items)
    )

    corrected(world, paid, "120.00")
    review.approve(paid.pk, by="fiona", reason="20 more")
    world.work()
    found = fresh(paid)
    review.approve(paid.pk, by="fiona", reason="40 more, then")
    world.work()

    assert (found.state, found.credited, found.outstanding) == (State.HELD, 2000, 4000)
    assert (fresh(paid).state, truth.net(world.paddle, paid.m3ter_bill_id)) == (State.PUSHED, 12000)


def test_a_credit_that_was_not_made_does_not_keep_a_cancelled_invoice_from_being_made_again(
    world: World, tell: Callable[[], None]
) -> None:
    world.complete_the_customer()
    PushPolicy.objects.update(mode="invoice", review="never", changed="hold", lock_after_days=30)
    bill = world.imported((("API calls", "100.00"),))
    world.work()
    tell()
    (invoice,) = world.invoices()
    corrected(world, bill, "80.00")
    review.refund(bill.pk, by="fiona", reason="lower")
    world.paddle.fault("create adjustment", "error_before")
    jobs.drain_bills()
    world.paddle.cancel_transaction(invoice)
    tell()
    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="not there")
    world.work()

    for _ in range(2):
        review.approve(bill.pk, by="fiona", reason="again, and no credit is there")
        world.work()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, 0)
    assert truth.net(world.paddle, bill.m3ter_bill_id) == 8000
