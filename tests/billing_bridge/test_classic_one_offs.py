"""Bills of Paddle Classic charged at once: paid when answered, and left to a person where it may be another's."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from billing_bridge import jobs, modes, review
from billing_bridge.composing import Composed, Marks, Owed
from billing_bridge.models import BillRevision, Push, PushAttempt, PushedBill, PushPolicy
from billing_bridge.modes import Order
from integration_project.models import Finding
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import sample
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_vouching import name_it
from tests.billing_bridge.world import fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


@pytest.fixture(autouse=True)
def at_once(classic_world: ClassicWorld) -> None:
    """Everybody is charged at once."""
    PushPolicy.objects.update(classic_mode="classic_charge")


def client(world: ClassicWorld) -> ClassicClient:
    return world.vendors.classic_on


def test_a_charge_is_paid_when_it_is_answered(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()

    (payment,) = classic_world.one_offs()
    push = push_of(bill)
    assert (payment.amount, payment.name) == (Decimal("143.45"), f"Usage {bill.m3ter_bill_id}-1")
    assert (fresh(bill).payment, fresh(bill).paid) == ("paid", 14345)
    assert (push.mode, push.paddle_transaction_id, push.collected) == ("classic_charge", payment.order_id, 14345)


def test_a_declined_charge_fails_and_is_made_again_when_it_is_sent_again(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.decline_payments(classic_world.subscription_id)
    jobs.drain_bills()
    declined = fresh(bill).state
    classic_world.classic.accept_payments(classic_world.subscription_id)

    review.resend(bill.pk, by="finance", reason="a new card")
    jobs.drain_bills()

    assert (declined, fresh(bill).state, len(classic_world.one_offs())) == (State.FAILED, State.PUSHED, 1)


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (189, State.READY, ""),
        (190, State.HELD, Reason.CONFIGURATION),
        (188, State.FAILED, ""),
        (181, State.FAILED, ""),
        (183, State.FAILED, ""),
        (186, State.HELD, Reason.BELOW_MINIMUM),
        (197, State.HELD, Reason.CANCELLED),
    ],
)
def test_a_refusal_means_what_the_table_says(classic_world: ClassicWorld, code: int, state: str, reason: str) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "refuse", code=code)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason, push_of(bill).sent_at) == (state, reason, None)
    assert classic_world.one_offs() == []


def test_after_a_lost_answer_a_person_is_shown_what_it_may_be(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    look_through_schedule(bill)
    (payment,) = classic_world.one_offs()
    waits = fresh(bill)

    name_it(classic_world, bill, payment.order_id)

    assert (waits.state, waits.due_at) == (State.UNCONFIRMED, None)
    assert f"{payment.order_id} of 143.45 USD on {payment.paid_on}" in waits.reason_detail
    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).paid) == (State.PUSHED, "paid", 14345)
    assert push_of(bill).paddle_transaction_id == payment.order_id


def test_somebody_elses_charge_of_the_same_amount_is_not_taken_for_ours(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "error_before", status=503)
    jobs.drain_bills()
    client(classic_world).charge(classic_world.subscription_id, amount=Decimal("143.45"), name="Hardware")

    look_through_schedule(bill)

    assert (fresh(bill).state, fresh(bill).paid) == (State.UNCONFIRMED, 0)
    assert "the list does not say" in fresh(bill).reason_detail


def test_the_order_that_classic_answered_with_finds_a_charge_for_certain(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()
    push = push_of(bill)
    client(classic_world).charge(classic_world.subscription_id, amount=Decimal("143.45"), name="By hand")

    found = modes.of("classic_charge").find(
        push,
        subscription_id=classic_world.subscription_id,
        since=push.created_at,
        vendors=classic_world.vendors,
    )

    assert found is not None
    assert (found.transaction_id, found.times) == (push.paddle_transaction_id, 1)


@pytest.mark.parametrize(("answer", "charges"), [(review.charge_was_made, 1), (review.charge_was_not_made, 2)])
def test_one_that_shows_before_it_would_be_sent_again_a_person_tells_too(
    classic_world: ClassicWorld, answer: Callable[..., None], charges: int
) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    classic_world.classic.fault("list payments", "list_lag", times=None, seconds=86_400)
    look_through_schedule(bill)
    classic_world.classic.clear_faults()
    jobs.drain_bills()
    held = fresh(bill)

    answer(bill.pk, by="finance", reason="looked")
    jobs.drain_bills()

    assert (held.state, held.reason) == (State.HELD, Reason.CANNOT_TELL)
    assert (fresh(bill).state, fresh(bill).paid, fresh(bill).outstanding) == (State.PUSHED, 14345, 0)
    assert len(classic_world.one_offs()) == charges


def test_one_that_was_not_made_is_not_there(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "error_before", status=503)
    jobs.drain_bills()

    look_through_schedule(bill)
    waits = (fresh(bill).state, fresh(bill).due_at)
    review.charge_was_not_made(bill.pk, by="finance", reason="looked")
    jobs.drain_bills()

    assert waits == (State.UNCONFIRMED, None)
    assert (fresh(bill).state, len(classic_world.one_offs())) == (State.PUSHED, 1)


def test_a_charge_of_another_push_is_not_taken_for_this_one(classic_world: ClassicWorld) -> None:
    first = classic_world.pushed()
    second = classic_world.another_bill()
    classic_world.import_all()
    bill = PushedBill.objects.get(m3ter_bill_id=second)
    review.approve(bill.pk, by="finance")
    classic_world.classic.fault("charge subscription", "error_before", status=503)
    jobs.drain_bills()
    make_due(bill)

    jobs.confirm_bills()

    assert (fresh(first).state, fresh(bill).state) == (State.PUSHED, State.UNCONFIRMED)
    assert PushAttempt.objects.filter(bill=bill, step="look", outcome="absent").count() == 1


@pytest.mark.parametrize("what", ["tax came on top", "somebody charged as much by hand", "somebody charged less"])
def test_what_the_list_cannot_tell_a_person_tells(classic_world: ClassicWorld, what: str) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    if what == "tax came on top":
        classic_world.classic.set_tax(sample.PLAN_TEAM, "0.19")
    bill = classic_world.approved()
    lost = "error_before" if what == "somebody charged less" else "lose_answer"
    classic_world.classic.fault("charge subscription", lost, **({"status": 503} if lost == "error_before" else {}))
    jobs.drain_bills()
    by_hand = {"somebody charged as much by hand": "143.45", "somebody charged less": "20.00"}.get(what)
    if by_hand:
        client(classic_world).charge(classic_world.subscription_id, amount=Decimal(by_hand), name="By hand")
    made = len(classic_world.one_offs())

    look_through_schedule(bill)

    left = fresh(bill)
    assert (left.state, left.due_at) == (State.UNCONFIRMED, None)
    assert "the list does not say" in left.reason_detail
    assert Finding.objects.filter(kind="charge unconfirmed", state="open").count() == 1
    assert len(classic_world.one_offs()) == made
    assert Push.objects.get(bill=bill).state == Push.State.UNCONFIRMED


def test_too_little_is_carried_before_classic_is_asked(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved((("API calls", "0.40"),))

    jobs.drain_bills()

    assert (fresh(bill).state, classic_world.calls("charge subscription", "classic")) == (State.CARRIED, 0)


def test_a_name_that_is_too_long_keeps_the_end_of_the_push_id(classic_world: ClassicWorld) -> None:
    order = Order(
        marks=Marks(f"{'b' * 64}-12", "b" * 64, 1),
        subscription_id=classic_world.subscription_id,
        currency="JPY",
        amount=1200,
        composed=Composed((), crosses=False),
        owed=Owed(BillRevision(), 1200),
        bill=PushedBill(),
        link=classic_world.link,
        policy=PushPolicy(),
    )

    amount, name = modes.of("classic_charge").request(order).body

    assert (amount, len(name), name[:7], name[-4:]) == (Decimal(1200), 50, "Usage b", "b-12")
