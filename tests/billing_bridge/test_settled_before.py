"""What was written off, or went back outside, is neither owed to the customer nor asked of them a second time."""

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge import carrying, deciding, importing, jobs, owed, review
from billing_bridge.models import BillEntry, CarriedEntry, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink
from tests.billing_bridge import truth
from tests.billing_bridge.world import World, fresh, push_of
from tests.builders import make_event

pytestmark = pytest.mark.django_db
Deliver = Callable[[], int]
State = PushedBill.State
Reason = PushedBill.Reason
WHOLE = 14345
AMOUNTS = st.integers(-1_000, 1_000)


def corrected(world: World, bill: PushedBill, amount: str, **fields: str) -> PushedBill:
    """m3ter calculates the bill again; that is approved there and read here."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", amount),), **fields)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    return fresh(bill)


def settle_by_itself() -> None:
    PushPolicy.objects.update(review="never", changed="settle")


def stands(world: World, bill: PushedBill) -> tuple[int, int]:
    """What Paddle has of a bill, and what its account has carried."""
    return truth.net(world.paddle, bill.m3ter_bill_id), carrying.balance(world.account_id, "USD")


# --- The rule ---------------------------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS, st.integers(0, 1_000))
def test_what_was_settled_before_is_a_part_of_what_is_open_and_the_rest_has_its_sign(
    outstanding: int, written_off: int, gone_outside: int
) -> None:
    settled = owed.settled_before(outstanding, written_off=written_off, gone_outside=gone_outside)

    rest = outstanding - settled.write_off
    assert min(settled.never_charged, settled.given_back, settled.never_given) >= 0
    assert abs(rest) <= abs(outstanding)
    assert rest * outstanding >= 0
    again = owed.settled_before(rest, written_off=written_off + settled.write_off, gone_outside=gone_outside)
    assert not again


@given(AMOUNTS, AMOUNTS)
def test_a_written_off_amount_is_never_turned_into_money(outstanding: int, written_off: int) -> None:
    settled = owed.settled_before(outstanding, written_off=written_off, gone_outside=0)

    rest, left = outstanding - settled.write_off, written_off + settled.write_off
    assert rest * left >= 0, "what is still open and what is still written off are both owed by the same side"
    assert abs(left) <= abs(written_off)


# --- Written off ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "left"), [("100.00", 10000), ("0.10", 10), ("0.00", 0)])
def test_what_was_written_off_and_never_charged_becomes_no_credit(world: World, amount: str, left: int) -> None:
    bill = world.imported()
    review.write_off(bill.pk, by="fiona", reason="goodwill")
    settle_by_itself()

    held = corrected(world, bill, amount)
    world.work()
    words = fresh(bill).reason_detail
    review.approve(bill.pk, by="fiona", reason="of course")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CHANGED)
    assert "was written off here and never charged" in words
    assert stands(world, bill) == (0, 0)
    assert (fresh(bill).written_off, fresh(bill).outstanding) == (left, 0)
    assert sum(BillEntry.objects.filter(bill=bill, kind="written_off").values_list("amount", flat=True)) == left


def test_of_a_charge_and_a_write_off_only_the_charge_comes_back(world: World) -> None:
    bill = world.pushed()
    corrected(world, bill, "200.00")
    review.write_off(bill.pk, by="fiona", reason="goodwill")
    settle_by_itself()

    corrected(world, bill, "100.00")
    review.approve(bill.pk, by="fiona", reason="the rest is theirs")
    world.work()

    assert stands(world, bill) == (WHOLE, 10000 - WHOLE)
    assert (fresh(bill).written_off, fresh(bill).outstanding) == (0, 0)


def test_a_credit_that_was_written_off_is_not_charged_when_the_bill_is_raised_again(world: World) -> None:
    bill = world.pushed()
    corrected(world, bill, "100.00")
    review.write_off(bill.pk, by="fiona", reason="they do not want it")
    settle_by_itself()

    held = corrected(world, bill, "150.00")
    review.approve(bill.pk, by="fiona", reason="what is new")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CHANGED)
    assert "is a credit that was written off here and never given" in held.reason_detail
    assert stands(world, bill)[0] == 15000
    assert (fresh(bill).written_off, fresh(bill).outstanding) == (0, 0)


def test_a_deleted_bill_that_was_written_off_is_closed_without_a_credit(world: World) -> None:
    bill = world.imported()
    review.settled_outside(bill.pk, by="fiona", reason="by bank transfer")
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.approve(bill.pk, by="fiona", reason="gone")

    assert (fresh(bill).state, fresh(bill).written_off, fresh(bill).outstanding) == (State.SUPERSEDED, 0, 0)
    assert carrying.balance(world.account_id, "USD") == 0


# --- Given back outside -----------------------------------------------------------------------------------------------


@pytest.fixture
def refunded(world: World, deliver: Deliver, run_jobs: Deliver) -> PushedBill:
    """A bill that was paid, and of which somebody refunded 20.00 in Paddle's console."""
    PushPolicy.objects.update(mode="immediately", lock_after_days=30)
    bill = world.pushed()
    deliver()
    run_jobs()
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 1000)  # of each line
    world.paddle.settle_adjustments()
    deliver()
    run_jobs()
    assert fresh(bill).pushes.get().refunded == 2000
    return fresh(bill)


def test_what_was_refunded_outside_is_not_carried_too(world: World, refunded: PushedBill) -> None:
    settle_by_itself()
    held = corrected(world, refunded, "110.00")

    review.approve(refunded.pk, by="fiona", reason="the rest is theirs")
    world.work()

    assert "20.00 USD of that was refunded or discounted in Paddle already" in held.reason_detail
    assert carrying.balance(world.account_id, "USD") == -1345
    assert (fresh(refunded).written_off, fresh(refunded).outstanding) == (-2000, 0)

    corrected(world, refunded, "100.00")
    world.work()  # it counts once
    assert carrying.balance(world.account_id, "USD") == -2345


def test_a_refunded_bill_that_is_deleted_says_so_and_gives_back_the_rest_alone(
    world: World, refunded: PushedBill
) -> None:
    world.delete_in_m3ter(refunded)
    jobs.sweep_bills()
    words = fresh(refunded).reason_detail

    review.approve(refunded.pk, by="fiona", reason="gone")

    assert "20.00 USD of that was refunded or discounted in Paddle already" in words
    assert carrying.balance(world.account_id, "USD") == 2000 - WHOLE
    assert (fresh(refunded).state, fresh(refunded).written_off) == (State.SUPERSEDED, -2000)


def test_what_went_back_outside_is_owed_again_when_the_bill_is_raised(world: World, refunded: PushedBill) -> None:
    settle_by_itself()
    corrected(world, refunded, "123.45")
    review.approve(refunded.pk, by="fiona", reason="it was refunded")

    corrected(world, refunded, "143.45")
    world.work()

    assert (fresh(refunded).state, fresh(refunded).outstanding, fresh(refunded).pushed) == (State.PUSHED, 0, 16345)


# --- Another currency -------------------------------------------------------------------------------------------------


def now_in_euros(world: World, bill: PushedBill, amount: str) -> PushedBill:
    AccountLink.objects.update(currency="EUR")
    world.paddle.subscriptions[world.subscription_id]["currency_code"] = "EUR"
    return corrected(world, bill, amount, currency="EUR")


@pytest.mark.parametrize("amount", ["230.00", "130.00", "143.45", "0.00"])
def test_a_charged_bill_that_comes_in_another_currency_is_held_and_nothing_is_computed(
    world: World, amount: str
) -> None:
    bill = world.pushed()
    settle_by_itself()

    held = now_in_euros(world, bill, amount)
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.CURRENCY)
    assert f"{amount} EUR" in held.reason_detail
    assert (held.currency, held.payable, held.pushed, held.outstanding) == ("USD", WHOLE, WHOLE, 0)
    assert stands(world, bill) == (WHOLE, 0)
    world.import_all()
    jobs.sweep_bills()
    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.CURRENCY)
    for decide in (review.approve, review.carry, review.write_off, review.refund):
        with pytest.raises(NotPossible):
            decide(bill.pk, by="fiona", reason="try")
    assert BillEntry.objects.filter(bill=bill).count() == 1
    review.skip(bill.pk, by="fiona", reason="settled by hand in both")
    assert (fresh(bill).state, BillEntry.objects.filter(bill=bill).count()) == (State.PUSHED, 1)


def test_back_in_its_own_currency_it_is_compared_again(world: World) -> None:
    bill = world.pushed()
    settle_by_itself()
    now_in_euros(world, bill, "230.00")

    AccountLink.objects.update(currency="USD")
    world.paddle.subscriptions[world.subscription_id]["currency_code"] = "USD"
    corrected(world, bill, "150.00", currency="USD")
    world.work()

    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).outstanding) == (State.PUSHED, 15000, 0)
    assert stands(world, bill) == (15000, 0)


def test_a_bill_of_which_nothing_stands_may_change_its_currency(world: World) -> None:
    bill = world.imported()
    settle_by_itself()

    now_in_euros(world, bill, "230.00")
    world.work()

    assert (fresh(bill).currency, fresh(bill).state, fresh(bill).pushed) == ("EUR", State.PUSHED, 23000)


def test_what_may_have_been_sent_in_one_currency_is_not_sent_in_another(world: World) -> None:
    settle_by_itself()
    PushPolicy.objects.update(resend_when_absent=True)
    bill = world.imported()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    for _ in range(6):
        PushedBill.objects.update(due_at=clock.now(), m3ter_read_at=clock.now() - dt.timedelta(minutes=5))
        jobs.confirm_bills()
    assert fresh(bill).state == State.READY

    now_in_euros(world, bill, "230.00")
    world.work()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).currency) == (State.HELD, Reason.CURRENCY, "USD")
    assert world.paddle.charges == []


# --- While m3ter calculates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decide", [review.carry, review.write_off, review.settled_outside])
def test_nothing_is_entered_for_a_bill_that_m3ter_is_calculating(world: World, decide: Callable[..., None]) -> None:
    bill = world.approved((("API calls", "50.00"),))
    world.m3ter.recalculate(bill.m3ter_bill_id)
    jobs.sweep_bills()
    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.PENDING)

    with pytest.raises(NotPossible, match="m3ter calculates it again"):
        decide(bill.pk, by="fiona", reason="later")

    assert BillEntry.objects.count() == 0
    review.skip(bill.pk, by="fiona", reason="not this one")
    assert fresh(bill).state == State.SKIPPED


@pytest.mark.parametrize("reason", [Reason.WORKERS_LOST, Reason.MODE, Reason.CONFIGURATION, Reason.RENEWAL_TOO_FAR])
def test_what_a_person_must_put_right_stays_held_when_the_same_content_is_approved_again(
    world: World, reason: str
) -> None:
    settle_by_itself()
    bill = world.imported()
    PushedBill.objects.update(state=State.HELD, reason=reason, reason_detail="as it was", due_at=None)
    lines = world.in_m3ter(bill.m3ter_bill_id)["lineItems"]

    world.m3ter.recalculate(bill.m3ter_bill_id)
    jobs.sweep_bills()
    world.in_m3ter(bill.m3ter_bill_id)["lineItems"] = lines
    world.in_m3ter(bill.m3ter_bill_id)["billTotal"] = bill.revision.exact_total if bill.revision else None
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()

    assert (fresh(bill).state, fresh(bill).reason_detail) == (State.HELD, "as it was")


def test_a_deleted_bill_is_nothing_to_compare_the_next_one_with(world: World) -> None:
    bill = world.imported()
    before = deciding._last_payable(fresh(bill))
    PushedBill.objects.filter(pk=bill.pk).update(
        m3ter_status="deleted", payable=0, outstanding=0, period_end=dt.date(2026, 1, 1)
    )
    following = importing.import_bill(world.another_bill(), world.vendors)
    assert following is not None

    assert (before, deciding._last_payable(fresh(following))) == (None, None)


def test_what_goes_back_between_the_look_and_the_click_is_told_and_nothing_is_done(
    world: World, deliver: Deliver, run_jobs: Deliver
) -> None:
    PushPolicy.objects.update(mode="immediately", lock_after_days=30)
    bill = world.pushed()
    deliver()
    run_jobs()
    bill = corrected(world, bill, "123.45")
    seen = review.what_is_seen(bill)
    world.refund_by_hand(push_of(bill).paddle_transaction_id, 1000)
    world.paddle.settle_adjustments()
    deliver()
    run_jobs()

    with pytest.raises(NotPossible, match=r"20\.00 USD of it was refunded or discounted in Paddle by now"):
        review.approve(bill.pk, by="fiona", reason="it is carried", seen=seen)

    assert (fresh(bill).state, fresh(bill).outstanding, fresh(bill).written_off) == (State.HELD, -2000, 0)
    assert carrying.balance(world.account_id, "USD") == 0


# --- Discounted -------------------------------------------------------------------------------------------------------


@pytest.fixture
def discounted(world: World, deliver: Deliver, run_jobs: Deliver) -> PushedBill:
    """119.00 with 19 % tax inside, less 10 %: 100.00 - 10.00 and the tax on that, 107.10, was collected."""
    PushPolicy.objects.update(mode="immediately", tax_mode="internal", lock_after_days=30)
    bill = world.pushed((("API calls", "119.00"),))
    charged = next(row for row in world.paddle.transactions.values() if row["origin"] == "subscription_charge")
    totals = {"subtotal": "10000", "discount": "1000", "tax": "1710", "total": "10710"}
    charged["details"]["line_items"][0]["totals"] = totals
    make_event("transaction.updated", world.vendors.paddle.get_transaction(charged["id"]).raw)
    drain_events()
    deliver()
    run_jobs()
    push = push_of(bill)
    assert (push.collected, push.discounted, push.amount) == (10710, 1190, 11900)
    return fresh(bill)


def test_a_discount_on_an_amount_with_tax_in_it_took_off_the_tax_too(world: World, discounted: PushedBill) -> None:
    world.delete_in_m3ter(discounted)
    jobs.sweep_bills()
    review.approve(discounted.pk, by="fiona", reason="gone")

    assert (fresh(discounted).paid, carrying.balance(world.account_id, "USD")) == (10710, -10710)


def test_a_discounted_charge_with_tax_in_it_is_refunded_as_far_as_it_was_paid(
    world: World, discounted: PushedBill, deliver: Deliver, run_jobs: Deliver
) -> None:
    world.delete_in_m3ter(discounted)
    jobs.sweep_bills()
    review.refund(discounted.pk, by="fiona", reason="gone")
    for _ in range(3):
        world.work()
        world.paddle.settle_adjustments()
        deliver()
        run_jobs()

    assert (fresh(discounted).outstanding, fresh(discounted).credited) == (0, 10710)


# --- A deleted bill's credit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tax_mode", ["external", "internal"])
def test_the_credit_of_a_deleted_bill_lowers_the_next_one_that_is_taxed_as_it_was(world: World, tax_mode: str) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30, tax_mode=tax_mode)
    gone = world.imported((("API calls", "100.00"),))
    following = world.another_bill((("API calls", "300.00"),), approve=False)
    world.work()
    world.delete_in_m3ter(gone)
    jobs.sweep_bills()
    review.approve(gone.pk, by="fiona", reason="gone")

    world.m3ter.approve_bill(following)
    bill = importing.import_bill(following, world.vendors)
    assert bill is not None
    world.work()

    entry = CarriedEntry.objects.get(source_bill=gone)
    assert (entry.tax_category, entry.tax_mode, entry.remaining) == ("saas", tax_mode, 0)
    assert (fresh(bill).state, push_of(bill).amount) == (State.PUSHED, 20000)


@pytest.mark.parametrize("is_taken", [False, True], ids=["free", "taken"])
def test_the_credit_that_a_deleted_bill_was_is_not_given_unless_another_bill_has_it_already(
    world: World, is_taken: bool
) -> None:
    PushPolicy.objects.update(mode="immediately", review="never", lock_after_days=30, negative="carry")
    gone = world.imported((("API calls", "-30.00"),))
    following = world.another_bill((("API calls", "100.00"),), approve=is_taken)
    world.work()
    if is_taken:
        importing.import_bill(following, world.vendors)
        world.work()
    world.delete_in_m3ter(gone)
    jobs.sweep_bills()

    if is_taken:
        with pytest.raises(NotPossible, match=r"30\.00 USD is open of a bill that is gone"):
            review.approve(gone.pk, by="fiona", reason="gone")
    else:
        review.approve(gone.pk, by="fiona", reason="gone")

    assert fresh(gone).state == (State.HELD if is_taken else State.SUPERSEDED)
    assert (fresh(gone).outstanding, carrying.balance(world.account_id, "USD")) == (3000 if is_taken else 0, 0)
