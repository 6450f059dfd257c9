"""The sentence on top of a bill's page: what happened in words that Finance understands, and nothing that is not so."""

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.admin import amounts, bill_story
from billing_bridge.deciding import policy_for
from billing_bridge.models import ProductRule, PushedBill, PushPolicy
from integration_project.showing import Panel
from tests.billing_bridge.conftest import live, world
from tests.billing_bridge.world import World, fresh
from tests.builders import make_link
from tests.console.previews import ASKED, Browser, panel, press
from tests.console.rows import make_bill

__all__ = ["live", "world"]  # fixtures
pytestmark = pytest.mark.django_db
State = PushedBill.State
Reason = PushedBill.Reason


def corrected(world: World, amount: int) -> PushedBill:
    """A bill of 143.45 that was charged, and that m3ter has changed since."""
    PushPolicy.objects.update(review="never", changed="settle", lock_after_days=30)
    bill = world.imported()
    jobs.drain_bills()
    world.correct(bill.m3ter_bill_id, amount)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    return fresh(bill)


def test_a_refused_charge_is_told_as_finance_understands_it(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(review="never", mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()

    jobs.drain_bills()

    words = "The customer's payment was declined, and nothing was charged. Ask the customer, then resend."
    story = bill_story.story(fresh(bill))
    assert fresh(bill).state == State.FAILED
    assert story.cause.startswith(words)
    assert "subscription_payment_declined" in story.cause  # the vendor's own words stand behind ours
    assert f"Now it is failed: {words}" in press(browser, bill).context["story"].effect


def test_a_charge_that_is_tried_again_is_told_so_too(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()
    world.paddle.fault("charge subscription", "refuse", code="concurrent_modification", status=409)

    jobs.drain_bills()

    story = bill_story.story(fresh(bill))
    assert fresh(bill).state == State.READY
    assert story.cause.startswith(
        "The last attempt did not work: Something else was changing there at the same moment; it is tried again"
    )


def test_what_waits_of_a_bill_charged_in_part_is_not_all_of_it(world: World) -> None:
    bill = corrected(world, 20000)
    world.paddle.subscriptions[world.subscription_id]["status"] = "past_due"

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.WAITING, Reason.PAST_DUE)
    assert bill_story.story(fresh(bill)).effect.startswith("56.55 USD is open.")


def test_what_a_customer_is_owed_will_not_be_charged(world: World) -> None:
    bill = corrected(world, 10000)

    assert bill.state == State.READY
    assert bill_story.story(bill).effect == "The customer is owed 43.45 USD, which is settled now."


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("next_billing_period", "It is not paid yet. The renewal in 4 days collects it."),
        ("immediately", "It is not paid yet."),
        ("invoice", "It is not paid yet. The customer pays its invoice by the terms on it"),
    ],
)
def test_only_what_a_renewal_carries_is_said_to_be_collected_by_it(world: World, mode: str, said: str) -> None:
    PushPolicy.objects.update(review="never", mode=mode)
    world.complete_the_customer()
    bill = world.imported()

    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    assert fresh(bill).renews_at is not None
    effect = bill_story.story(fresh(bill)).effect
    assert effect.startswith(said)
    assert ("renewal" in effect) is (mode == "next_billing_period")


@pytest.mark.parametrize("payment", sorted(set(PushedBill.Payment) - {"none", "paid"}))
def test_a_payment_that_did_not_simply_happen_says_what_comes_next(payment: str) -> None:
    story = bill_story.story(make_bill(make_link(), State.PUSHED, payment=payment))

    assert story.effect == f"Payment: {payment}."
    assert story.next_step


def test_a_bill_that_m3ter_lowers_to_what_was_carried_says_where_it_went(world: World) -> None:
    PushPolicy.objects.update(review="never", lock_after_days=30)
    bill = world.imported((("API calls", "0.50"),))
    jobs.drain_bills()
    world.correct(bill.m3ter_bill_id, 40)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)
    world.correct(bill.m3ter_bill_id, 50)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert (fresh(bill).state, fresh(bill).reason_detail) == (State.CARRIED, "")
    assert bill_story.story(fresh(bill)).effect == "0.50 USD is settled by the carried balance."


# --- What Paddle gets, beside m3ter's lines ---------------------------------------------------------------------------


def asked(bill: PushedBill) -> Panel:
    """The side of Paddle, on the bill's page."""
    return amounts.left_and_right(fresh(bill), policy_for(fresh(bill).link))[1]


@pytest.mark.parametrize(
    ("grouping", "rule"),
    [
        ("line", "One item per line of the bill, as the push policy says. Product rules: Gauge Cloud."),
        ("bill", "One item for the whole bill, as the push policy says. Product rules: Gauge Cloud."),
    ],
)
def test_the_rule_that_joined_lines_and_items_is_said(browser: Browser, world: World, grouping: str, rule: str) -> None:
    PushPolicy.objects.update(grouping=grouping)
    ProductRule.objects.create(accounting_product="Gauge Cloud", tax_category="standard")
    bill = world.imported()

    before = asked(bill).note
    previewed = panel(press(browser, bill), ASKED).note
    review.approve(bill.pk, by="finance")
    jobs.drain_bills()

    items = {"line": "2 items", "bill": "1 item"}[grouping]
    assert before.startswith(rule)
    assert rule in previewed
    assert asked(bill).note.endswith(f"accepted by Paddle. 2 lines of m3ter in {items}.")


def test_more_lines_than_fit_are_said_to_be_joined_for_that(world: World) -> None:
    bill = world.imported(tuple((f"Line {number}", "1.00") for number in range(101)))

    assert asked(bill).note.startswith(
        "One item for the whole bill, because the lines do not fit on the subscription one by one."
    )


def test_what_was_refused_is_shown_as_it_would_be_sent_now(world: World) -> None:
    PushPolicy.objects.update(review="never", mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()
    jobs.drain_bills()
    assert fresh(bill).state == State.FAILED

    PushPolicy.objects.update(mode="next_billing_period", grouping="bill", item_name="Everything")

    shown = asked(bill)
    assert shown.title == "What Paddle would be asked to charge"
    assert [row[0] for row in shown.rows] == ["Everything", "Total"]


# --- Advice -----------------------------------------------------------------------------------------------------------

NEVER_HELD = {
    *(Reason.NONE, Reason.NOT_LIVE, Reason.RENEWAL_LOCK, Reason.PAST_DUE, Reason.TRIAL, Reason.ANOTHER_PUSH),
    *(Reason.CHARGE_LIMIT, Reason.PENDING, Reason.BEFORE_GO_LIVE, Reason.ZERO, Reason.EXCLUDED),
}
"""What a bill only waits or is skipped for."""


@pytest.mark.parametrize("reason", sorted(set(Reason) - NEVER_HELD))
def test_every_reason_for_holding_a_bill_has_its_own_advice(reason: str) -> None:
    story = bill_story.story(make_bill(make_link(), reason=reason))

    assert story.next_step == bill_story.HELD_NEXT[reason]
