"""What Paddle Classic has is compared with what it said: charges that are in no list, and modifiers nobody made."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db.models import F
from pytest_django import Settings

from billing_bridge import jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors.paddle_classic.simulator import sample
from tests.billing_bridge.breaking import findings, told
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import fresh, push_of
from tests.builders import make_mapping

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Run = Callable[[], int]
DAYS = dt.timedelta(days=2)
A_BILL = "0f2a7c54-3d1e-4b8a-9c60-7e5d1a2b3c4e"


def let_days_pass() -> None:
    Push.objects.update(
        sent_at=F("sent_at") - DAYS, settled_at=F("settled_at") - DAYS, created_at=F("created_at") - DAYS
    )


def detail(kind: str) -> str:
    return Finding.objects.get(kind=kind, state="open").detail


# --- One-off charges --------------------------------------------------------------------------------------------------


@pytest.fixture
def charged(classic_world: ClassicWorld) -> PushedBill:
    """A bill that was charged at once, and that no alert has told of yet."""
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.update(classic_mode="classic_charge")
    bill = classic_world.pushed()
    assert fresh(bill).payment == Payment.PAID
    return fresh(bill)


def test_a_charge_that_an_alert_tells_of_is_not_looked_for(
    classic_world: ClassicWorld, charged: PushedBill, deliver: Run
) -> None:
    told(deliver)
    let_days_pass()

    said = jobs.look_at_classic()

    assert said == "0 modifiers read, 0 one-off charges lost"
    assert classic_world.calls("list payments", "classic") == 0
    assert push_of(charged).transaction_seen_at is not None


def test_a_charge_that_the_list_has_is_looked_for_once(classic_world: ClassicWorld, charged: PushedBill) -> None:
    jobs.look_at_classic()
    young = classic_world.calls("list payments", "classic")
    let_days_pass()

    jobs.look_at_classic()
    looked = classic_world.calls("list payments", "classic")
    jobs.look_at_classic()

    assert (young, looked > 0, classic_world.calls("list payments", "classic")) == (0, True, looked)
    assert (fresh(charged).state, fresh(charged).payment) == (State.PUSHED, Payment.PAID)


def test_a_charge_that_was_answered_and_is_in_no_list_is_lost(classic_world: ClassicWorld, charged: PushedBill) -> None:
    order = push_of(charged).paddle_transaction_id
    classic_world.classic.memory.payments.pop(classic_world.one_offs()[0].id)
    classic_world.vendors.classic_on.charge(classic_world.subscription_id, amount=Decimal("143.45"), name="By hand")
    let_days_pass()

    said = jobs.look_at_classic()

    bill = fresh(charged)
    assert said.endswith("1 one-off charges lost")
    assert (bill.state, bill.payment, bill.paid, bill.outstanding) == (State.LOST, Payment.NONE, 0, 14345)
    assert f"in order {order}, and its list of payments does not have it" in detail("charge lost")


def test_a_charge_that_was_lost_and_is_told_of_after_all_is_not_made_again(
    classic_world: ClassicWorld, charged: PushedBill, deliver: Run
) -> None:
    payment = classic_world.one_offs()[0]
    classic_world.classic.memory.payments.pop(payment.id)
    let_days_pass()
    jobs.look_at_classic()
    classic_world.classic.memory.payments[payment.id] = payment

    told(deliver)

    assert (fresh(charged).state, fresh(charged).reason) == (State.HELD, Reason.COLLECTED)
    assert fresh(charged).payment == Payment.PAID
    assert "lost and collected" in findings()


def test_a_lost_charge_that_the_list_has_by_then_is_not_made_again(
    classic_world: ClassicWorld, charged: PushedBill
) -> None:
    payment = classic_world.one_offs()[0]
    classic_world.classic.memory.payments.pop(payment.id)
    let_days_pass()
    jobs.look_at_classic()
    classic_world.classic.memory.payments[payment.id] = payment

    review.resend(charged.pk, by="finance", reason="again")
    jobs.drain_bills()

    assert (fresh(charged).state, fresh(charged).reason) == (State.HELD, Reason.COLLECTED)
    assert len(classic_world.one_offs()) == 1


def test_a_charge_that_a_person_found_without_naming_it_stands_while_it_may_be_in_the_list(
    classic_world: ClassicWorld,
) -> None:
    PushPolicy.objects.update(classic_mode="classic_charge")
    bill = classic_world.approved()
    classic_world.classic.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    review.charge_was_made(bill.pk, by="finance", reason="seen")
    let_days_pass()

    jobs.look_at_classic()

    assert (fresh(bill).state, fresh(bill).payment) == (State.PUSHED, Payment.PAID)


# --- Modifiers that carry a push id -----------------------------------------------------------------------------------


def add(world: ClassicWorld, description: str, amount: str = "10.00", subscription_id: str = "") -> str:
    """Somebody adds a modifier that we know nothing of."""
    return world.vendors.classic_on.create_modifier(
        subscription_id or world.subscription_id, amount=Decimal(amount), description=description
    )


def test_what_is_as_it_should_be_is_no_finding(classic_world: ClassicWorld) -> None:
    classic_world.pushed()
    add(classic_world, "Set-up [phase-1]")
    add(classic_world, "Discount, see [2026-1]")

    said = jobs.look_at_classic()

    assert (said, findings()) == ("3 modifiers read, 0 one-off charges lost", [])


def test_a_modifier_of_a_push_that_nobody_here_made_is_an_alarm(classic_world: ClassicWorld) -> None:
    made = add(classic_world, f"Usage [{A_BILL}-2]")

    jobs.look_at_classic()

    assert findings() == ["unknown push"]
    assert f"Push {A_BILL}-2, which this database never made" in detail("unknown push")
    assert f"modifier {made} of 10.000 USD on subscription {classic_world.subscription_id}" in detail("unknown push")


def test_two_modifiers_of_one_push_are_an_alarm_with_both_shown(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()
    made = add(classic_world, f"Usage [{push_of(bill).push_id}]", "143.45")

    jobs.look_at_classic()

    assert findings() == ["charged twice"]
    for number in (classic_world.modifiers()[0].id, made):
        assert f"modifier {number} of 143.450 USD" in detail("charged twice")


def test_a_modifier_that_waits_again_after_its_payment_is_an_alarm(classic_world: ClassicWorld, deliver: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    bill = classic_world.pushed()
    classic_world.collect()
    told(deliver)
    add(classic_world, f"Usage [{push_of(bill).push_id}]", "143.45")

    jobs.look_at_classic()

    assert "charged twice" in findings()
    assert f"Payment {push_of(bill).paddle_transaction_id} should have it, and it waits as" in detail("charged twice")


def test_a_modifier_on_another_subscription_than_its_push_is_an_alarm(classic_world: ClassicWorld) -> None:
    bill = classic_world.pushed()
    classic_world.classic.memory.modifiers.clear()
    other, _ = classic_world.subscribe_in_classic(email="other@example.com")
    add(classic_world, f"Usage [{push_of(bill).push_id}]", subscription_id=other)

    jobs.look_at_classic()

    assert findings() == ["push does not fit"]


def test_odd_modifiers_are_seen_at_a_payment_too(classic_world: ClassicWorld, deliver: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    classic_world.pushed()
    classic_world.collect()
    add(classic_world, f"Usage [{A_BILL}-1]")

    told(deliver)

    assert "unknown push" in findings()


def test_an_alarm_that_a_person_closed_stays_closed(classic_world: ClassicWorld, finance: object) -> None:
    add(classic_world, f"Usage [{A_BILL}-2]")
    jobs.look_at_classic()
    Finding.objects.update(state="closed", closed_by=finance, closed_at=clock.now(), close_reason="known")

    jobs.look_at_classic()

    assert findings() == []


def test_while_classic_is_off_nothing_is_looked_at(classic_world: ClassicWorld, settings: Settings) -> None:
    settings.PADDLE_CLASSIC_VENDOR_ID = ""

    assert jobs.look_at_classic() == "Paddle Classic is off"


def test_a_look_that_fails_says_so(classic_world: ClassicWorld) -> None:
    classic_world.classic.fault("list modifiers", "error_before", status=503)

    assert jobs.look_at_classic().startswith("not looked through: ")
