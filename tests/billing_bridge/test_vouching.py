"""A transaction that a person names for a charge is believed where Paddle says that it carries that charge."""

import re
from decimal import Decimal

import pytest

from billing_bridge import importing, jobs, review, vouching
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.errors import NotPossible
from integration_project.vendors.paddle.simulator import sample
from tests.billing_bridge.breaking import Deliver, told
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import World, fresh, push_of

State = PushedBill.State


def name_it(world: World, bill: PushedBill, transaction_id: str) -> PushedBill:
    """Say that a bill's charge is in a transaction, as the console does; gives what became of the bill."""
    found = vouching.vouch(bill.pk, transaction_id, world.vendors)
    review.charge_was_made(bill.pk, by="fiona", reason="seen", paddle_transaction_id=transaction_id, found=found)
    return fresh(bill)


def unanswered(world: World, *, mode: str = "immediately", lost: str = "lose_answer") -> PushedBill:
    """A bill whose charge was sent, and maybe made."""
    PushPolicy.objects.update(review="never", mode=mode)
    operation = "create transaction" if mode == "invoice" else "charge subscription"
    world.paddle.fault(operation, lost)
    bill = importing.import_bill(
        world.another_bill() if PushedBill.objects.exists() else world.make_bill(), world.vendors
    )
    assert bill is not None
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED
    return bill


def charged_at_once(world: World) -> str:
    (transaction,) = (row for row in world.paddle.transactions.values() if row["origin"] == "subscription_charge")
    return str(transaction["id"])


def test_the_transaction_that_carries_it_is_believed(world: World) -> None:
    bill = unanswered(world)
    transaction_id = charged_at_once(world)

    after = name_it(world, bill, transaction_id)

    assert (after.state, after.pushed, push_of(bill).paddle_transaction_id) == (State.PUSHED, 14345, transaction_id)
    assert world.calls("get transaction") == 1


def test_an_invoice_that_carries_it_is_believed(world: World) -> None:
    world.complete_the_customer()
    bill = unanswered(world, mode="invoice")
    (transaction_id,) = (row["id"] for row in world.paddle.transactions.values() if row["origin"] == "api")

    after = name_it(world, bill, transaction_id)

    assert (after.state, push_of(bill).paddle_transaction_id) == (State.PUSHED, transaction_id)


def test_the_renewal_that_carries_it_beside_another_bill_is_believed(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never")
    first = importing.import_bill(world.make_bill(), world.vendors)
    world.work()
    bill = unanswered(world, mode="next_billing_period")
    world.paddle.clock_move(days=6)
    (transaction_id,) = world.paddle.run_renewals()
    Push.objects.filter(bill=first).update(paddle_transaction_id=transaction_id)

    after = name_it(world, bill, transaction_id)

    assert (after.state, push_of(bill).paddle_transaction_id) == (State.PUSHED, transaction_id)


def test_the_transaction_of_another_bill_is_refused_and_says_which(world: World, deliver: Deliver) -> None:
    first = unanswered(world)
    transaction_id = charged_at_once(world)
    name_it(world, first, transaction_id)
    second = unanswered(world, lost="error_before")
    reads = world.calls("get transaction")

    with pytest.raises(
        NotPossible, match=f"already that of push {push_of(first).push_id} of bill {first.m3ter_bill_id}"
    ):
        name_it(world, second, transaction_id)

    assert (fresh(second).state, push_of(second).paddle_transaction_id) == (State.UNCONFIRMED, "")
    assert world.calls("get transaction") == reads


def test_a_renewal_that_does_not_carry_it_is_refused_and_says_whose_it_is(world: World, deliver: Deliver) -> None:
    first = unanswered(world)
    transaction_id = charged_at_once(world)
    name_it(world, first, transaction_id)
    second = unanswered(world, mode="next_billing_period", lost="error_before")

    with pytest.raises(NotPossible, match=f"does not carry the mark.*of bill {first.m3ter_bill_id}.*leave the"):
        name_it(world, second, transaction_id)

    assert fresh(second).state == State.UNCONFIRMED


def test_a_transaction_without_the_mark_is_refused(world: World) -> None:
    bill = unanswered(world, lost="error_before")
    bought = next(row["id"] for row in world.paddle.transactions.values() if row["origin"] == "web")

    with pytest.raises(NotPossible, match=f"{bought} does not carry the mark of push {bill.m3ter_bill_id}-1"):
        name_it(world, bill, bought)

    assert fresh(bill).state == State.UNCONFIRMED


def test_the_transaction_of_another_subscription_is_refused(world: World) -> None:
    bill = unanswered(world)
    transaction_id = charged_at_once(world)
    world.paddle.transactions[transaction_id]["subscription_id"] = "sub_another"

    with pytest.raises(NotPossible, match=f"of subscription sub_another; .* was sent to {world.subscription_id}"):
        name_it(world, bill, transaction_id)

    assert fresh(bill).state == State.UNCONFIRMED


def test_a_transaction_that_paddle_does_not_have_is_refused(world: World) -> None:
    bill = unanswered(world)

    with pytest.raises(NotPossible, match="Paddle has no transaction txn_seen"):
        name_it(world, bill, "txn_seen")

    assert fresh(bill).state == State.UNCONFIRMED


def test_a_cancelled_transaction_is_refused(world: World) -> None:
    bill = unanswered(world)
    transaction_id = charged_at_once(world)
    world.paddle.transactions[transaction_id]["status"] = "canceled"

    with pytest.raises(NotPossible, match="is cancelled in Paddle"):
        name_it(world, bill, transaction_id)

    assert fresh(bill).state == State.UNCONFIRMED


def test_nothing_is_believed_while_paddle_cannot_be_asked(world: World) -> None:
    bill = unanswered(world)
    transaction_id = charged_at_once(world)
    world.paddle.withhold_permission("transaction.read", key=sample.API_KEY)

    with pytest.raises(NotPossible, match=r"Paddle could not say whether txn_.*Try again\. If you have seen"):
        name_it(world, bill, transaction_id)

    assert fresh(bill).state == State.UNCONFIRMED


def test_a_transaction_that_paddle_was_not_asked_about_is_refused(world: World) -> None:
    bill = unanswered(world)

    with pytest.raises(NotPossible, match="Paddle was not asked whether txn_1 has push"):
        review.charge_was_made(bill.pk, by="fiona", reason="seen", paddle_transaction_id="txn_1")

    assert fresh(bill).state == State.UNCONFIRMED


def test_who_is_sure_and_knows_no_transaction_leaves_it_empty(world: World) -> None:
    bill = unanswered(world, mode="next_billing_period")

    review.charge_was_made(bill.pk, by="fiona", reason="it is on the next renewal")

    assert (fresh(bill).state, push_of(bill).paddle_transaction_id) == (State.PUSHED, "")


def test_a_refund_is_looked_for_among_the_adjustments_of_the_transaction(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never", mode="immediately", lock_after_days=3)
    bill = importing.import_bill(world.make_bill(), world.vendors)
    assert bill is not None
    world.work()
    told(deliver)
    transaction_id = push_of(bill).paddle_transaction_id
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.paddle.fault("create adjustment", "lose_answer")
    review.refund(bill.pk, by="fiona", reason="too much")
    jobs.drain_bills()
    unknown = fresh(bill).state
    other = next(row["id"] for row in world.paddle.transactions.values() if row["origin"] == "web")

    with pytest.raises(NotPossible, match=f"{other} has no refund with the mark of push {bill.m3ter_bill_id}-2"):
        name_it(world, bill, other)
    after = name_it(world, bill, transaction_id)

    assert unknown == State.UNCONFIRMED
    assert (after.state, after.credited, after.outstanding) == (State.PUSHED, 4345, 0)


# --- Paddle Classic --------------------------------------------------------------------------------------------------


def charged_without_answer(world: ClassicWorld) -> PushedBill:
    PushPolicy.objects.update(classic_mode="classic_charge")
    bill = world.approved()
    world.classic.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    return bill


def test_a_one_off_charge_of_classic_is_believed_where_it_is_the_subscriptions(classic_world: ClassicWorld) -> None:
    bill = charged_without_answer(classic_world)
    (payment,) = classic_world.one_offs()

    after = name_it(classic_world, bill, str(payment.order_id))

    assert (after.state, after.payment, push_of(bill).paddle_transaction_id) == (State.PUSHED, "paid", payment.order_id)


def test_an_order_that_classic_does_not_list_is_refused(classic_world: ClassicWorld) -> None:
    bill = charged_without_answer(classic_world)

    with pytest.raises(
        NotPossible, match=f"lists no one-off charge 1-2 on subscription {classic_world.subscription_id}"
    ):
        name_it(classic_world, bill, "1-2")

    assert fresh(bill).state == State.UNCONFIRMED


def test_a_charge_of_classic_that_is_too_little_is_refused(classic_world: ClassicWorld) -> None:
    bill = charged_without_answer(classic_world)
    client = classic_world.vendors.classic_on
    client.charge(classic_world.subscription_id, amount=Decimal("20.00"), name="By hand")
    by_hand = classic_world.one_offs()[-1]

    with pytest.raises(NotPossible, match=re.escape("is of 20.00 USD; push")):
        name_it(classic_world, bill, str(by_hand.order_id))

    assert fresh(bill).state == State.UNCONFIRMED


def test_a_modifier_that_still_waits_is_in_no_payment(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()

    with pytest.raises(NotPossible, match="still waits for a payment: leave the payment empty"):
        name_it(classic_world, bill, "480001-33002")

    assert fresh(bill).state == State.UNCONFIRMED
