"""What people decide is carried out once, kept with who and why, and refused with a reason where it cannot be."""

import re
from collections.abc import Callable

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import BillEntry, PushAttempt, PushedBill, PushPolicy
from integration_project.errors import NotPossible
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def unanswered(world: World) -> PushedBill:
    """A bill whose charge left no trace after the whole schedule."""
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    look_through_schedule(bill)
    return fresh(bill)


def decisions(bill: PushedBill) -> list[tuple[str, str, str]]:
    return list(
        PushAttempt.objects.filter(bill=bill, step="decision").order_by("id").values_list("outcome", "by", "detail")
    )


def test_approving_makes_a_bill_ready_and_says_who_and_why(world: World) -> None:
    bill = world.imported()

    review.approve(bill.pk, by="fiona", reason="checked")

    assert (fresh(bill).state, fresh(bill).reviewed_revision_id) == (State.READY, bill.revision_id)
    assert fresh(bill).due_at is not None
    assert decisions(bill) == [("approve", "fiona", "checked")]


def test_approving_twice_is_refused_and_changes_nothing(world: World) -> None:
    bill = world.approved()

    with pytest.raises(NotPossible, match="ready to be charged"):
        review.approve(bill.pk, by="fiona")

    assert len(decisions(bill)) == 1


def test_approving_checks_everything_else_again(world: World) -> None:
    bill = world.imported((("API calls", "50.00"),), total="60.00")

    with pytest.raises(NotPossible, match="more than rounding"):
        review.approve(bill.pk, by="fiona")

    assert (fresh(bill).state, fresh(bill).reviewed_revision) == (State.HELD, None)
    assert decisions(bill) == []


def test_a_bill_held_by_a_person_stays_held_until_somebody_approves_it(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()

    review.hold(bill.pk, by="fiona", reason="the customer complains")
    world.import_all()
    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    jobs.drain_bills()
    held = fresh(bill)
    review.approve(bill.pk, by="fiona", reason="settled")
    jobs.drain_bills()

    assert (held.state, held.reason) == (State.HELD, Reason.OPERATOR)
    assert "the customer complains" in held.reason_detail
    assert fresh(bill).state == State.PUSHED


def test_a_skipped_bill_is_not_charged_even_when_it_changes(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()
    review.skip(bill.pk, by="fiona", reason="goodwill")
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "999.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    world.import_all()
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.OPERATOR)
    assert "goodwill" in fresh(bill).reason_detail
    assert world.charges_of(bill) == 0


def test_skipping_is_reversible(world: World) -> None:
    bill = world.imported()
    review.skip(bill.pk, by="fiona", reason="by mistake")

    review.resend(bill.pk, by="fiona", reason="it was a mistake")

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REVIEW)


def test_skipping_is_reversible_although_somebody_locked_the_bill_in_m3ter_meanwhile(world: World) -> None:
    bill = world.imported()
    review.skip(bill.pk, by="fiona", reason="by mistake")
    PushedBill.objects.filter(pk=bill.pk).update(m3ter_locked=True)

    review.resend(bill.pk, by="fiona", reason="it was a mistake")

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.LOCKED_ELSEWHERE)


def test_skipping_a_changed_bill_writes_the_difference_off(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()

    review.skip(bill.pk, by="fiona", reason="refunded by hand")

    after = fresh(bill)
    assert (after.state, after.written_off, after.outstanding) == (State.PUSHED, -4345, 0)
    entry = BillEntry.objects.get(bill=bill, kind="written_off")
    assert (entry.by, entry.amount) == ("fiona", -4345)


def test_a_changed_bill_says_both_amounts_and_its_difference_is_charged_once_approved(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.work()
    held = fresh(bill)

    review.approve(bill.pk, by="fiona")
    world.work()

    assert (held.state, held.reason, world.charges_of(bill)) == (State.HELD, Reason.CHANGED, 2)
    assert re.search(r"150\.00 USD.*143\.45 USD.*6\.55 USD", held.reason_detail)
    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).outstanding) == (State.PUSHED, 15000, 0)
    push = push_of(bill)
    assert (push.kind, push.amount, push.push_id) == ("correction", 655, f"{bill.m3ter_bill_id}-2")


def test_a_deleted_bill_that_was_never_charged_is_closed_by_approving(world: World) -> None:
    bill = world.imported()
    world.delete_in_m3ter(bill)
    jobs.sweep_bills()

    review.approve(bill.pk, by="fiona", reason="deleted on purpose")

    assert fresh(bill).state == State.SUPERSEDED


def test_the_charge_was_not_made_sends_it_again_under_the_same_id_after_one_more_look(world: World) -> None:
    bill = unanswered(world)
    looks = world.calls("list transactions")

    review.charge_was_not_made(bill.pk, by="fiona", reason="not in Paddle")
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert (push_of(bill).ordinal, push_of(bill).attempt) == (1, 2)
    assert world.calls("list transactions") == looks + 1


def test_a_resend_whose_answer_is_lost_is_looked_for_like_any_other(world: World) -> None:
    bill = unanswered(world)
    world.paddle.fault("charge subscription", "lose_answer")
    review.charge_was_not_made(bill.pk, by="fiona", reason="not in Paddle")
    jobs.drain_bills()
    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_the_charge_was_made_records_it_and_sends_nothing(world: World) -> None:
    bill = unanswered(world)

    review.charge_was_made(bill.pk, by="fiona", reason="seen in Paddle")
    world.work()

    assert (fresh(bill).state, fresh(bill).pushed) == (State.PUSHED, 14345)
    assert world.calls("charge subscription") == 1


def test_nobody_can_say_that_it_was_not_made_while_paddle_is_still_searched(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()

    with pytest.raises(NotPossible, match="still being searched"):
        review.charge_was_not_made(bill.pk, by="fiona", reason="in a hurry")

    assert fresh(bill).state == State.UNCONFIRMED


@pytest.mark.parametrize("decide", [review.approve, review.hold, review.skip, review.resend])
def test_nothing_is_decided_over_an_open_charge(world: World, decide: Callable[..., None]) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()

    with pytest.raises(NotPossible, match="under way or unconfirmed"):
        decide(bill.pk, by="fiona", reason="now")

    assert fresh(bill).state == State.UNCONFIRMED


@pytest.mark.parametrize("decide", [review.charge_was_made, review.charge_was_not_made])
def test_the_two_answers_are_for_unconfirmed_bills_only(world: World, decide: Callable[..., None]) -> None:
    bill = world.pushed()

    with pytest.raises(NotPossible):
        decide(bill.pk, by="fiona", reason="now")

    assert fresh(bill).pushed == 14345


def test_a_pushed_bill_cannot_be_sent_again(world: World) -> None:
    bill = world.pushed()

    with pytest.raises(NotPossible):
        review.resend(bill.pk, by="fiona", reason="once more")

    assert world.charges_of(bill) == 1
