"""Bills of Paddle Classic's subscriptions become modifiers of the next payment, each exactly once."""

import datetime as dt
from decimal import Decimal

import pytest
from pytest_django import Settings

from billing_bridge import deciding, importing, jobs, review, vouching
from billing_bridge.admin import amounts
from billing_bridge.models import CarriedEntry, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.models import Finding, Installation
from paddle_sync.models import AccountLink
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def correct(world: ClassicWorld, bill: PushedBill, amount: str) -> PushedBill:
    """m3ter changes a bill, and Finance approves that."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", amount),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    review.approve(bill.pk, by="finance")
    return fresh(bill)


def alarms() -> list[str]:
    return sorted(Finding.objects.filter(severity="alarm", state="open").values_list("kind", flat=True))


# --- Charging ---------------------------------------------------------------------------------------------------------


def test_a_bill_becomes_one_modifier_of_the_next_payment(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()

    (modifier,) = classic_world.modifiers()
    push = push_of(bill)
    assert (modifier.amount, modifier.is_recurring, modifier.is_paid) == (Decimal("143.45"), False, False)
    assert modifier.description.startswith("Usage, 20")
    assert modifier.description.endswith(f" [{bill.m3ter_bill_id}-1]")
    assert (push.mode, push.amount, push.payment) == ("classic_modifier", 14345, "none")
    assert push.expected_renewal_at is not None
    assert push.expected_renewal_at.date() == classic_world.subscription.next_bill
    assert (fresh(bill).pushed, fresh(bill).outstanding) == (14345, 0)
    assert classic_world.paddle.calls == []


def test_the_page_shows_the_one_amount_before_and_after(classic_world: ClassicWorld) -> None:
    bill = classic_world.imported()
    policy = deciding.policy_for(classic_world.link)
    before = amounts.left_and_right(bill, policy)[1]
    review.approve(bill.pk, by="finance")
    jobs.drain_bills()

    after = amounts.left_and_right(fresh(bill), policy)[1]

    (row,) = before.rows
    assert f"[{bill.m3ter_bill_id}-1]" in str(row[0])
    assert "143.45 USD" in str(row[-1])
    assert "With the next payment, as a modifier" in before.note
    assert (str(after.rows[0][0]), "143.45 USD" in str(after.rows[0][-1])) == (str(row[0]), True)


def test_what_is_too_little_for_a_charge_is_not_for_a_modifier(classic_world: ClassicWorld) -> None:
    classic_world.pushed((("API calls", "0.07"),))

    assert [modifier.amount for modifier in classic_world.modifiers()] == [Decimal("0.07")]


def test_what_is_carried_goes_into_the_one_modifier(classic_world: ClassicWorld) -> None:
    first = classic_world.approved((("Credit", "-20.00"),))
    jobs.drain_bills()

    second = classic_world.another_bill((("API calls", "50.00"),))
    importing.import_bill(second, classic_world.vendors)
    bill = PushedBill.objects.get(m3ter_bill_id=second)
    review.approve(bill.pk, by="finance")
    jobs.drain_bills()

    (modifier,) = classic_world.modifiers()
    assert (fresh(first).state, fresh(bill).state) == (State.CARRIED, State.PUSHED)
    assert modifier.amount == Decimal("30.00")
    assert "with -20.00 USD carried from earlier bills" in modifier.description


@pytest.mark.parametrize(
    ("happens", "state", "reason"),
    [
        ("cancel", State.HELD, Reason.CANCELLED),
        ("fail_payment", State.WAITING, Reason.PAST_DUE),
        ("pause", State.HELD, Reason.PAUSED),
    ],
)
def test_a_subscription_that_cannot_be_charged_is_not(
    classic_world: ClassicWorld, happens: str, state: str, reason: str
) -> None:
    bill = classic_world.approved()
    getattr(classic_world.classic, happens)(classic_world.subscription_id)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (state, reason)
    assert classic_world.modifiers() == []


def test_on_the_day_of_the_payment_nothing_is_added(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.reschedule(classic_world.subscription_id, clock.now().date().isoformat())

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.RENEWAL_LOCK)
    assert classic_world.calls("create modifier", "classic") == 0


def test_what_arrives_late_is_charged_at_once_where_policy_says_so(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(late="immediately")
    bill = classic_world.approved()
    classic_world.classic.reschedule(classic_world.subscription_id, clock.now().date().isoformat())
    jobs.drain_bills()
    waits = fresh(bill).chosen_mode
    classic_world.classic.run_payments()
    make_due(bill)

    jobs.drain_bills()

    assert waits == "classic_charge"
    assert (fresh(bill).state, push_of(bill).mode) == (State.PUSHED, "classic_charge")


def test_while_classic_is_off_its_bills_stay_ready(classic_world: ClassicWorld, settings: Settings) -> None:
    bill = classic_world.approved()
    settings.PADDLE_CLASSIC_VENDOR_ID = ""

    jobs.drain_bills()

    assert (fresh(bill).state, "Paddle Classic is off" in fresh(bill).last_error) == (State.READY, True)


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (146, State.READY, ""),
        (151, State.READY, ""),
        (119, State.HELD, Reason.CANCELLED),
        (187, State.HELD, Reason.CANCELLED),
        (197, State.HELD, Reason.CANCELLED),
        (190, State.HELD, Reason.CONFIGURATION),
        (194, State.WAITING, Reason.PAUSED),
        (199, State.WAITING, Reason.PAST_DUE),
        (155, State.FAILED, ""),
        (116, State.FAILED, ""),
        (186, State.HELD, Reason.BELOW_MINIMUM),
        (107, State.READY, ""),
        (120, State.UNCONFIRMED, ""),
    ],
)
def test_a_refusal_means_what_the_table_says(classic_world: ClassicWorld, code: int, state: str, reason: str) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "refuse", code=code)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (state, reason)
    assert classic_world.modifiers() == []
    sent = push_of(bill).sent_at is not None
    assert sent is (state == State.UNCONFIRMED)


def test_a_failed_one_is_sent_again_under_its_id(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "refuse", code=155)
    jobs.drain_bills()

    review.resend(bill.pk, by="finance", reason="corrected")
    jobs.drain_bills()

    (modifier,) = classic_world.modifiers()
    assert fresh(bill).state == State.PUSHED
    assert modifier.description.endswith(f"[{bill.m3ter_bill_id}-1]")


# --- Lost answers -----------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_found_in_the_list(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    unconfirmed = fresh(bill).state
    make_due(bill)

    jobs.confirm_bills()

    assert (unconfirmed, fresh(bill).state) == (State.UNCONFIRMED, State.PUSHED)
    assert (fresh(bill).pushed, len(classic_world.modifiers())) == (14345, 1)


def test_one_that_was_not_made_waits_for_a_person_after_the_schedule(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "error_before", status=503)
    jobs.drain_bills()

    look_through_schedule(bill)
    waits = (fresh(bill).state, fresh(bill).due_at, alarms())
    review.charge_was_not_made(bill.pk, by="finance", reason="looked")
    jobs.drain_bills()

    assert waits == (State.UNCONFIRMED, None, ["charge unconfirmed"])
    assert (fresh(bill).state, len(classic_world.modifiers())) == (State.PUSHED, 1)


def test_after_a_payment_an_empty_list_proves_nothing_and_a_person_decides(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    classic_world.collect()

    look_through_schedule(bill)

    left = fresh(bill)
    assert (left.state, left.due_at, alarms()) == (State.UNCONFIRMED, None, ["charge unconfirmed"])
    assert "may have collected it" in left.reason_detail
    assert PushAttempt.objects.filter(bill=bill, step="look", outcome="cannot tell").count() == 5
    assert not PushAttempt.objects.filter(bill=bill, step="look", outcome="absent").exists()
    assert classic_world.calls("create modifier", "classic") == 1


def test_what_a_person_says_about_it_is_done(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(max_wait_days=90)
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "error_before", status=503)
    jobs.drain_bills()
    classic_world.collect()
    look_through_schedule(bill)

    review.charge_was_not_made(bill.pk, by="finance", reason="it is in no payment")
    jobs.drain_bills()

    assert (fresh(bill).state, len(classic_world.modifiers())) == (State.PUSHED, 1)


def test_a_person_may_name_the_payment_that_has_it(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    classic_world.collect()
    look_through_schedule(bill)

    payment = list(classic_world.classic.memory.payments.values())[-1]
    named = str(payment.order_id)
    found = vouching.vouch(bill.pk, named, classic_world.vendors)
    review.charge_was_made(bill.pk, by="finance", reason="seen", paddle_transaction_id=named, found=found)

    assert (fresh(bill).state, fresh(bill).payment, fresh(bill).paid) == (State.PUSHED, "paid", 14345)
    assert len(classic_world.modifiers()) == 1


def test_a_modifier_that_is_there_already_is_not_made_again(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()
    Push.objects.filter(bill=bill).update(state="intended", sent_at=None)
    bill.entries.all().delete()
    PushedBill.objects.filter(pk=bill.pk).update(
        state="ready", due_at=clock.now(), pushed=0, outstanding=14345, m3ter_locked=False
    )

    jobs.drain_bills()
    make_due(bill)
    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).pushed, len(classic_world.modifiers())) == (State.PUSHED, 14345, 1)
    assert classic_world.calls("create modifier", "classic") == 1


# --- Corrections ------------------------------------------------------------------------------------------------------


@pytest.fixture
def unlocked(classic_world: ClassicWorld) -> PushedBill:
    """A pushed bill that m3ter may still change."""
    PushPolicy.objects.update(lock_after_days=5)
    return classic_world.pushed()


def test_a_bill_that_became_more_gets_a_second_modifier(classic_world: ClassicWorld, unlocked: PushedBill) -> None:
    correct(classic_world, unlocked, "150.00")
    jobs.drain_bills()

    assert [modifier.amount for modifier in classic_world.modifiers()] == [Decimal("143.45"), Decimal("6.55")]
    assert (fresh(unlocked).state, fresh(unlocked).in_paddle) == (State.PUSHED, 15000)


def test_a_bill_that_became_less_has_its_modifier_replaced(classic_world: ClassicWorld, unlocked: PushedBill) -> None:
    correct(classic_world, unlocked, "100.00")
    jobs.drain_bills()

    (modifier,) = classic_world.modifiers()
    bill = fresh(unlocked)
    assert (modifier.amount, modifier.description[-3:]) == (Decimal("100.00"), "-2]")
    assert (bill.state, bill.pushed, bill.lost, bill.outstanding) == (State.PUSHED, 24345, 14345, 0)
    assert not CarriedEntry.objects.exists()
    assert alarms() == []


def test_a_bill_that_became_nothing_has_its_modifier_taken_back(
    classic_world: ClassicWorld, unlocked: PushedBill
) -> None:
    correct(classic_world, unlocked, "0.00")
    jobs.drain_bills()

    assert classic_world.modifiers() == []
    assert (fresh(unlocked).in_paddle, fresh(unlocked).outstanding) == (0, 0)
    assert fresh(unlocked).state in {State.SKIPPED, State.CARRIED}


def test_what_a_payment_has_collected_is_carried_instead(classic_world: ClassicWorld, unlocked: PushedBill) -> None:
    classic_world.collect()

    correct(classic_world, unlocked, "100.00")
    jobs.drain_bills()

    assert [modifier.amount for modifier in classic_world.modifiers()] == [Decimal("143.45")]
    assert CarriedEntry.objects.get().remaining == -4345
    assert classic_world.calls("delete modifier", "classic") == 0


def test_one_that_is_collected_while_it_is_taken_back_stands(classic_world: ClassicWorld, unlocked: PushedBill) -> None:
    classic_world.classic.fault("delete modifier", "refuse", code=124)

    correct(classic_world, unlocked, "100.00")
    jobs.drain_bills()

    assert (fresh(unlocked).lost, CarriedEntry.objects.get().remaining) == (0, -4345)


def test_taking_back_is_settled_by_looking_when_its_answer_is_lost(
    classic_world: ClassicWorld, unlocked: PushedBill
) -> None:
    classic_world.classic.fault("delete modifier", "lose_answer")

    correct(classic_world, unlocked, "100.00")
    jobs.drain_bills()
    tried = fresh(unlocked).state
    make_due(unlocked)
    jobs.drain_bills()

    assert (tried, fresh(unlocked).state) == (State.READY, State.PUSHED)
    assert [modifier.amount for modifier in classic_world.modifiers()] == [Decimal("100.00")]
    assert fresh(unlocked).lost == 14345


def test_whether_a_payment_was_faster_than_taking_back_a_person_finds_out(
    classic_world: ClassicWorld, unlocked: PushedBill
) -> None:
    classic_world.classic.fault("delete modifier", "error_before", status=503)
    correct(classic_world, unlocked, "100.00")
    jobs.drain_bills()
    classic_world.collect()
    make_due(unlocked)

    jobs.drain_bills()

    assert (fresh(unlocked).state, fresh(unlocked).reason) == (State.HELD, Reason.CANNOT_TELL)
    assert len(classic_world.modifiers()) == 1


# --- What the customer is owed ----------------------------------------------------------------------------------------


def test_what_is_owed_is_taken_off_the_next_payment_when_a_person_says_so(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(negative="hold")
    bill = classic_world.imported((("Credit", "-20.00"),))

    review.refund(bill.pk, by="finance", reason="goodwill")
    jobs.drain_bills()

    (modifier,) = classic_world.modifiers()
    assert (modifier.amount, modifier.is_recurring) == (Decimal("-20.00"), False)
    assert (fresh(bill).credited, fresh(bill).outstanding) == (2000, 0)
    assert (push_of(bill).kind, push_of(bill).mode, push_of(bill).amount) == ("refund", "classic_credit", 2000)


def test_what_is_owed_is_taken_off_where_policy_says_so(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(negative="credit")

    bill = classic_world.approved((("Credit", "-20.00"),))
    jobs.drain_bills()

    assert [modifier.amount for modifier in classic_world.modifiers()] == [Decimal("-20.00")]
    assert (fresh(bill).credited, fresh(bill).outstanding) == (2000, 0)


def test_a_negative_modifier_whose_answer_was_lost_is_found(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(negative="credit")
    bill = classic_world.approved((("Credit", "-20.00"),))
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    make_due(bill)

    jobs.confirm_bills()

    assert (fresh(bill).credited, fresh(bill).outstanding, len(classic_world.modifiers())) == (2000, 0, 1)


def test_two_modifiers_of_one_push_are_an_alarm_that_names_both(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    classic_world.classic.fault("create modifier", "lose_answer")
    jobs.drain_bills()
    (first,) = classic_world.modifiers()
    second = classic_world.vendors.classic_on.create_modifier(
        classic_world.subscription_id, amount=first.amount, description=first.description
    )
    make_due(bill)

    jobs.confirm_bills()

    assert alarms() == ["charged twice"]
    assert f"2 times: in modifier {first.id} and modifier {second}." in Finding.objects.get(kind="charged twice").detail


# --- What people choose -----------------------------------------------------------------------------------------------


def test_a_way_of_the_other_product_is_refused(classic_world: ClassicWorld) -> None:
    bill = classic_world.imported()

    with pytest.raises(NotPossible, match=r"is a way of Paddle Billing, and .* is a subscription of Paddle Classic"):
        review.send(bill.pk, by="finance", reason="now", mode="immediately")
    with pytest.raises(NotPossible, match=r"Paddle Classic keeps subscription .* and has no way to invoice"):
        review.send_invoice(bill.pk, by="finance", reason="now")

    assert (fresh(bill).state, fresh(bill).chosen_mode) == (State.HELD, "")


def test_a_way_that_was_chosen_before_the_account_moved_is_held(classic_world: ClassicWorld) -> None:
    bill = classic_world.imported()
    review.send_now(bill.pk, by="finance", reason="now")
    AccountLink.objects.update(source="paddle")

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.MODE)
    assert classic_world.one_offs() == []


def test_send_now_and_send_with_renewal_are_those_of_classic(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(classic_mode="classic_charge")
    first = classic_world.imported()
    second = importing.import_bill(classic_world.another_bill(), classic_world.vendors)
    assert second is not None

    review.send_with_renewal(first.pk, by="finance", reason="with the payment")
    jobs.drain_bills()
    review.send_now(second.pk, by="finance", reason="now")
    jobs.drain_bills()

    assert (push_of(first).mode, push_of(second).mode) == ("classic_modifier", "classic_charge")
    assert (len(classic_world.modifiers()), len(classic_world.one_offs())) == (1, 1)


def test_a_copy_of_the_database_finds_what_the_original_made(classic_world: ClassicWorld) -> None:
    bill = classic_world.approved()
    assert classic_world.vendors.classic is not None
    classic_world.vendors.classic.create_modifier(
        classic_world.subscription_id, amount=Decimal("143.45"), description=f"Usage [{bill.m3ter_bill_id}-1]"
    )
    Installation.objects.update(look_before_first_push=True, restore_confirmed_at=clock.now() - dt.timedelta(minutes=1))
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).pushed, len(classic_world.modifiers())) == (State.PUSHED, 14345, 1)
