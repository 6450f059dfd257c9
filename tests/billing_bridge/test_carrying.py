"""What a bill leaves to the next is taken by the next, once: small amounts, credits, differences."""

import pytest
from django.db import IntegrityError, transaction

from billing_bridge import jobs, looking, review
from billing_bridge.models import (
    BillEntry,
    CarriedEntry,
    PaddleCurrency,
    ProductRule,
    Push,
    PushedBill,
    PushPolicy,
)
from integration_project import clock
from integration_project.errors import NotPossible
from tests.billing_bridge.breaking import another, balance
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of

pytestmark = pytest.mark.django_db
State = PushedBill.State
Reason = PushedBill.Reason


@pytest.fixture(autouse=True)
def nobody_reviews() -> None:
    PushPolicy.objects.update(review="never", lock_after_days=3)


def settled(world: World, *lines: tuple[str, str]) -> PushedBill:
    """A new bill of these lines, when nothing is due any more."""
    bill = world.imported(lines)
    world.work()
    return fresh(bill)


def ledger_of(bill: PushedBill) -> list[tuple[str, int]]:
    return list(bill.entries.order_by("id").values_list("kind", "amount"))


def test_what_is_too_little_is_carried_and_charged_with_the_next_bill(world: World) -> None:
    small = settled(world, ("API calls", "0.69"))
    kept = balance(world)

    following = another(world, ("API calls", "10.00"))

    assert (small.state, small.carried, small.outstanding, kept) == (State.CARRIED, 69, 0, 69)
    assert "0.69 USD is carried to the next bill." in small.reason_detail
    assert (following.state, following.payable, following.pushed, following.carried) == (State.PUSHED, 1000, 1069, -69)
    assert ledger_of(following) == [("pushed", 1069), ("carried_in", 69)]
    assert [charge.subtotal for charge in world.paddle.charges] == [1069]
    assert balance(world) == 0


def test_seventy_cents_are_charged_and_sixty_nine_are_not_even_asked_for(world: World) -> None:
    settled(world, ("API calls", "0.69"))
    asked = world.calls("preview charge")

    bill = another(world, ("API calls", "0.70"))

    assert asked == 0
    assert bill.pushed == 139


def test_paddles_own_list_of_minimums_is_believed_first(world: World) -> None:
    PaddleCurrency.objects.create(code="USD", decimal_places=2, minimum=500, read_at=clock.now())

    bill = settled(world, ("API calls", "4.99"))

    assert bill.state == State.CARRIED
    assert jobs.read_currencies() == "33 currencies read"
    assert PaddleCurrency.objects.get(code="USD").minimum == 70


def test_a_refusal_for_too_little_is_carried_too(world: World) -> None:
    PaddleCurrency.objects.create(code="USD", decimal_places=2, minimum=10, read_at=clock.now())

    bill = settled(world, ("API calls", "0.15"))

    assert (bill.state, bill.carried, balance(world)) == (State.CARRIED, 15, 15)
    assert world.calls("preview charge") == 1
    assert push_of(bill).state == Push.State.INTENDED
    assert world.paddle.charges == []


def test_a_credit_lowers_the_next_bills_oldest_first(world: World) -> None:
    credit = settled(world, ("Goodwill", "-15.00"))

    first = another(world, ("API calls", "10.00"))
    second = another(world, ("API calls", "20.00"))

    assert (credit.state, credit.carried) == (State.CARRIED, -1500)
    assert (first.state, first.pushed, first.carried) == (State.CARRIED, 0, 1000)
    assert (second.state, second.pushed, second.carried) == (State.PUSHED, 1500, 500)
    assert [charge.subtotal for charge in world.paddle.charges] == [1500]
    assert balance(world) == 0


def test_what_is_left_below_the_minimum_after_a_credit_is_carried(world: World) -> None:
    settled(world, ("Goodwill", "-9.70"))

    bill = another(world, ("API calls", "10.00"))

    assert (bill.state, bill.carried, balance(world)) == (State.CARRIED, 1000, 30)
    assert ledger_of(bill) == [("carried_in", -970), ("carried_out", 30)]


def test_negative_lines_are_netted_inside_the_bill(world: World) -> None:
    bill = settled(world, ("API calls", "50.00"), ("Goodwill", "-10.00"))

    assert (bill.state, bill.pushed, bill.outstanding) == (State.PUSHED, 4000, 0)
    (item,) = push_of(bill).items
    assert item["price"]["unit_price"]["amount"] == "4000"
    assert "50.00 USD less credits (Goodwill -10.00 USD)" in item["price"]["description"]


def test_policy_can_have_credits_and_small_amounts_decided_by_a_person(world: World) -> None:
    PushPolicy.objects.update(negative="hold", small="hold")

    credit = settled(world, ("Goodwill", "-15.00"))
    small = another(world, ("API calls", "0.20"))
    review.approve(credit.pk, by="fiona", reason="a goodwill")
    review.carry(small.pk, by="fiona", reason="next month")
    world.work()

    assert (credit.state, credit.reason) == (State.HELD, Reason.NEGATIVE)
    assert (small.state, small.reason) == (State.HELD, Reason.BELOW_MINIMUM)
    assert (fresh(credit).state, fresh(small).state, balance(world)) == (State.CARRIED, State.CARRIED, -1480)


def test_what_a_person_approves_although_it_is_too_little_is_carried(world: World) -> None:
    PushPolicy.objects.update(small="hold")
    small = settled(world, ("API calls", "0.20"))

    review.approve(small.pk, by="fiona", reason="next month")
    world.work()

    assert (small.state, small.reason) == (State.HELD, Reason.BELOW_MINIMUM)
    assert (fresh(small).state, fresh(small).carried, balance(world)) == (State.CARRIED, 20, 20)
    assert CarriedEntry.objects.get().tax_category == "saas"
    assert world.paddle.charges == []


def test_what_was_too_little_and_is_enough_with_the_balance_by_now_is_charged_when_approved(world: World) -> None:
    PushPolicy.objects.update(small="hold")
    small = settled(world, ("API calls", "0.20"))
    other = another(world, ("API calls", "0.60"))
    review.approve(other.pk, by="fiona", reason="next month")

    review.approve(small.pk, by="fiona", reason="together")
    world.work()

    assert (fresh(small).state, fresh(small).pushed, balance(world)) == (State.PUSHED, 80, 0)


def test_a_push_reserves_what_it_takes_and_frees_it_when_refused(world: World) -> None:
    settled(world, ("API calls", "0.50"))
    world.paddle.fault("charge subscription", "refuse", code="invalid_field")

    bill = another(world, ("API calls", "10.00"))

    assert (bill.state, bill.carried, balance(world)) == (State.FAILED, 0, 50)
    assert CarriedEntry.objects.get().reserved_by is None
    review.resend(bill.pk, by="fiona", reason="put right")
    world.work()
    assert (fresh(bill).pushed, fresh(bill).carried, balance(world)) == (1050, -50, 0)
    assert len(world.paddle.charges) == 1


def test_what_is_reserved_stays_so_while_nobody_knows_whether_it_was_charged(world: World) -> None:
    settled(world, ("API calls", "0.50"))
    world.paddle.fault("charge subscription", "lose_answer")

    bill = another(world, ("API calls", "10.00"))
    reserved = CarriedEntry.objects.get().reserved_by
    unconfirmed = bill.state
    make_due(bill)
    world.work()

    assert (unconfirmed, reserved) == (State.UNCONFIRMED, push_of(bill))
    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).carried) == (State.PUSHED, 1050, -50)
    assert (balance(world), len(world.paddle.charges)) == (0, 1)


def test_proved_absent_frees_what_was_reserved(world: World) -> None:
    settled(world, ("API calls", "0.50"))
    world.paddle.fault("charge subscription", "error_before", status=503)
    bill = another(world, ("API calls", "10.00"))

    look_through_schedule(bill)
    review.charge_was_not_made(bill.pk, by="fiona", reason="looked myself")

    assert CarriedEntry.objects.get().reserved_by is None
    world.work()
    assert (fresh(bill).pushed, balance(world), len(world.paddle.charges)) == (1050, 0, 1)


def test_a_lower_bill_after_the_charge_is_a_credit_for_the_next(world: World) -> None:
    PushPolicy.objects.update(changed="settle")
    bill = settled(world, ("API calls", "50.00"))
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "30.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    world.import_all()
    world.work()
    following = another(world, ("API calls", "45.00"))

    assert (fresh(bill).state, fresh(bill).carried, fresh(bill).outstanding) == (State.PUSHED, -2000, 0)
    assert (following.pushed, following.carried) == (2500, 2000)


def test_a_deleted_bill_that_was_charged_is_a_credit_once_it_is_reviewed(world: World) -> None:
    bill = settled(world, ("API calls", "50.00"))
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()
    held = fresh(bill)

    review.approve(bill.pk, by="fiona", reason="it was wrong altogether")

    assert (held.state, held.reason, held.payable, held.outstanding) == (State.HELD, Reason.DELETED, 0, -5000)
    assert (fresh(bill).state, fresh(bill).carried, balance(world)) == (State.SUPERSEDED, -5000, -5000)


def test_a_remainder_is_written_off_with_its_reason(world: World) -> None:
    PushPolicy.objects.update(small="hold")
    bill = settled(world, ("API calls", "0.20"))

    review.write_off(bill.pk, by="fiona", reason="not worth it")

    assert (fresh(bill).state, fresh(bill).written_off, fresh(bill).outstanding) == (State.CARRIED, 20, 0)
    assert ledger_of(bill) == [("written_off", 20)]


def test_what_was_carried_can_be_taken_back_and_settled_otherwise(world: World) -> None:
    bill = settled(world, ("API calls", "0.20"))
    entry = CarriedEntry.objects.get()

    review.take_back(entry.pk, by="fiona", reason="the customer leaves")
    held = fresh(bill)
    review.settled_outside(bill.pk, by="fiona", reason="paid in cash")

    assert (held.state, held.reason, held.outstanding, balance(world)) == (State.HELD, Reason.CHANGED, 20, 0)
    assert ledger_of(bill) == [("carried_out", 20), ("carried_in", 20), ("written_off", 20)]
    assert bill.entries.get(kind=BillEntry.Kind.WRITTEN_OFF).note == "Settled outside. paid in cash"
    with pytest.raises(NotPossible, match=r"Nothing is left of it\. fiona took it just now: Taken back: the customer"):
        review.take_back(entry.pk, by="george", reason="me too")
    with pytest.raises(NotPossible, match=r"Nothing is left of it\. You took it"):
        review.take_back(entry.pk, by="fiona", reason="again")


def test_what_a_later_bill_took_cannot_be_taken_back_and_the_bill_is_named(world: World) -> None:
    settled(world, ("API calls", "0.20"))
    later = another(world, ("API calls", "10.00"))

    with pytest.raises(NotPossible, match=rf"Nothing is left of it\. Bill {later.m3ter_bill_id} took it just now"):
        review.take_back(CarriedEntry.objects.get().pk, by="fiona", reason="too late")


def test_what_a_charge_under_way_takes_cannot_be_taken_back(world: World) -> None:
    settled(world, ("API calls", "0.20"))
    world.paddle.fault("charge subscription", "lose_answer")
    another(world, ("API calls", "10.00"))

    with pytest.raises(NotPossible, match="under way"):
        review.take_back(CarriedEntry.objects.get().pk, by="fiona", reason="changed my mind")


def test_a_lost_charge_that_took_something_is_owed_whole_again(world: World) -> None:
    settled(world, ("API calls", "0.50"))
    bill = another(world, ("API calls", "10.00"))

    looking.lose(push_of(bill), "Paddle forgave it.")

    assert (fresh(bill).state, fresh(bill).outstanding, fresh(bill).lost) == (State.LOST, 1050, 1050)
    assert balance(world) == 0


def test_a_credit_across_tax_categories_needs_a_person(world: World) -> None:
    ProductRule.objects.create(accounting_product="product-of-books", tax_category="ebooks")
    bill = world.imported((("API calls", "50.00"), ("Goodwill", "-10.00")))
    row = world.in_m3ter(bill.m3ter_bill_id)
    row["lineItems"][0]["accountingProductId"] = "product-of-books"
    world.m3ter.change_bill(bill.m3ter_bill_id, lineItems=row["lineItems"])
    world.import_all()

    world.work()
    held = fresh(bill)
    review.approve(bill.pk, by="fiona", reason="the tax is right so")
    world.work()

    assert (held.state, held.reason) == (State.HELD, Reason.NEGATIVE)
    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 4000)


def test_no_more_can_be_left_of_an_entry_than_it_had(world: World) -> None:
    settled(world, ("API calls", "0.50"))

    for remaining in (51, -1):
        with pytest.raises(IntegrityError), transaction.atomic():
            CarriedEntry.objects.update(remaining=remaining)
