"""The preview of a bill that would not be charged, or of which nobody can tell: the reason of a push, and no change."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from billing_bridge import importing, jobs, looking, review
from billing_bridge.models import CarriedEntry, PaddleCurrency, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import CallBudget, Circuit, Installation
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import AccountLink
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.conftest import classic_world, live, world
from tests.billing_bridge.world import World, fresh, push_of
from tests.builders import make_link
from tests.console.previews import ASKED, Browser, panel, press, said
from tests.console.rows import MARKUP, make_bill, make_push

__all__ = ["classic_world", "live", "world"]  # fixtures
Deliver = Callable[[], int]
State = PushedBill.State
Reason = PushedBill.Reason


# --- What would not be charged ----------------------------------------------------------------------------------------


def in_a_trial(world: World) -> None:
    AccountLink.objects.update(paddle_status="active")
    world.paddle.subscriptions[world.subscription_id]["status"] = "trialing"


def renews_within(minutes: int) -> Callable[[World], None]:
    def renew_soon(world: World) -> None:
        at = clock.now() + dt.timedelta(minutes=minutes)
        world.paddle.move_renewal(world.subscription_id, f"{at:%FT%TZ}")

    return renew_soon


def renews_far_away(world: World) -> None:
    world.paddle.move_renewal(world.subscription_id, f"{clock.now() + dt.timedelta(days=60):%FT%TZ}")


def is_ending(world: World) -> None:
    world.paddle.cancel(world.subscription_id, effective_from="next_billing_period")


def is_cancelled(world: World) -> None:
    world.paddle.cancel(world.subscription_id)


def in_euros(world: World) -> None:
    AccountLink.objects.update(currency="EUR")


def has_no_subscription(world: World) -> None:
    AccountLink.objects.update(state=AccountLink.State.ENDED)


def not_live(world: World) -> None:
    Installation.objects.update(charge_from=None)


def open_elsewhere(world: World) -> None:
    make_push(make_bill(make_link()), Push.State.UNCONFIRMED, paddle_subscription_id=world.subscription_id)


@pytest.mark.parametrize(
    ("make_so", "sentence", "effect"),
    [
        (in_a_trial, "The subscription is in trial; it is charged when the trial has ended.", "it would wait"),
        (renews_within(33), "Paddle takes no changes shortly before. It is charged with the renewal", "it would wait"),
        (renews_within(20), "Paddle takes no changes around a renewal", "it would wait"),
        (renews_far_away, "more than 35 days away.", "it would be held"),
        (is_ending, "Paddle will cancel the subscription on", "it would be held"),
        (is_cancelled, "The subscription is cancelled.", "it would be held"),
        (in_euros, "The bill is in USD, the subscription in EUR; nothing is converted.", "it would be held"),
        (has_no_subscription, "has no live link to a Paddle subscription", "it would be held"),
        (not_live, "Nothing is charged until Finance sets the go-live date.", "it would wait"),
        (open_elsewhere, "which is open on the same subscription; it goes on by itself.", "it would wait"),
    ],
)
def test_a_bill_that_would_not_be_charged_says_why_as_the_push_does(
    browser: Browser, world: World, make_so: Callable[[World], None], sentence: str, effect: str
) -> None:
    bill = world.approved()
    make_so(world)

    answer = press(browser, fresh(bill))
    shown = answer.context["story"]
    jobs.drain_bills()

    assert sentence in shown.cause
    assert effect in shown.effect
    assert "Nothing was changed by this preview." in shown.next_step
    assert world.charges_of(bill) == 0
    assert shown.cause.partition(" (")[0].rstrip(".") in fresh(bill).reason_detail


def test_what_is_too_little_is_said_to_be_carried(browser: Browser, world: World) -> None:
    bill = world.imported((("API calls", "0.30"),))

    carried = press(browser, bill)
    PushPolicy.objects.update(small="hold")
    held = press(browser, bill)

    assert carried.context["story"].cause == (
        "Once it is approved, nothing would be charged: 0.30 USD is carried to the next bill."
    )
    assert held.context["story"].cause.startswith("0.30 USD is less than the 0.70 USD that Paddle charges at least.")
    assert CarriedEntry.objects.count() == 0


def test_what_is_held_for_being_too_little_is_said_to_be_carried_as_an_approval_does(
    browser: Browser, world: World
) -> None:
    PushPolicy.objects.update(review="never", small="hold")
    bill = world.imported((("API calls", "0.30"),))
    world.work()
    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.BELOW_MINIMUM)

    shown = press(browser, fresh(bill)).context["story"].cause
    review.approve(bill.pk, by="fiona", reason="let it be carried")

    assert shown == "Once it is approved, nothing would be charged: 0.30 USD is carried to the next bill."
    assert (fresh(bill).state, fresh(bill).reason_detail) == (State.CARRIED, "0.30 USD is carried to the next bill.")


def test_of_a_lost_bill_whose_credit_was_written_off_is_charged_what_it_says(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(changed="hold")
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed((("API calls", "100.00"),))
    world.correct(bill.m3ter_bill_id, 8000)
    world.import_all()
    review.write_off(bill.pk, by="fiona", reason="they do not want it")
    looking.lose(push_of(bill), "It is in no renewal.")

    story = press(browser, fresh(bill)).context["story"]
    review.resend(bill.pk, by="fiona", reason="again")
    world.work()

    assert "80.00 USD would be charged" in story.cause, story
    assert world.paddle.charges[-1].subtotal == 8000


def test_what_only_paddle_finds_too_little_is_said_to_be_carried(browser: Browser, world: World) -> None:
    PaddleCurrency.objects.create(code="USD", decimal_places=2, minimum=20, read_at=clock.now())
    bill = world.approved((("API calls", "0.30"),))

    answer = press(browser, bill)

    assert answer.context["story"].cause.endswith("charged: 0.30 USD is carried to the next bill.")


def test_what_a_credit_pays_for_is_said(browser: Browser, world: World) -> None:
    credit = world.imported((("Goodwill", "-50.00"),))
    review.approve(credit.pk, by="finance")
    world.work()
    bill = importing.import_bill(world.another_bill((("API calls", "20.00"),)), world.vendors)
    assert bill is not None

    answer = press(browser, bill)

    assert "20.00 USD of earlier credits paid for it." in answer.context["story"].cause


def test_a_policy_that_wants_a_review_is_the_reason_of_a_ready_bill_too(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()
    PushPolicy.objects.update(review="always")

    answer = press(browser, fresh(bill))

    assert answer.context["story"].cause.startswith("Once it is approved, 143.45 USD would be charged")


def test_a_bill_that_m3ter_has_changed_since_is_not_previewed_as_it_was(browser: Browser, world: World) -> None:
    bill = world.approved()
    world.change_bill(bill.m3ter_bill_id, (("API calls", "10.00"),))
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=5))

    changed = press(browser, fresh(bill))
    world.m3ter.recalculate(bill.m3ter_bill_id)
    pending = press(browser, fresh(bill))
    world.delete_in_m3ter(bill)
    gone = press(browser, fresh(bill))

    assert changed.context["story"].cause.startswith("m3ter has changed it since it was read here.")
    assert pending.context["story"].cause.startswith("m3ter has taken its approval back")
    assert gone.context["story"].cause.startswith("It was deleted in m3ter.")
    assert world.calls("preview charge") == 0


def test_a_bill_of_which_nothing_was_read_says_so(browser: Browser, world: World) -> None:
    bill = world.imported()
    PushedBill.objects.update(revision=None)

    answer = press(browser, fresh(bill))

    assert answer.context["story"].cause == "Nothing of it has been read from m3ter yet."


def test_a_push_that_paddle_has_already_is_said_to_be_looked_for(browser: Browser, world: World) -> None:
    bill = world.pushed()
    Push.objects.update(state=Push.State.INTENDED)
    PushedBill.objects.update(state=State.READY, pushed=0, outstanding=14345)
    bill.entries.all().delete()

    answer = press(browser, fresh(bill))

    assert answer.context["story"].cause.startswith("Paddle's preview shows this push as pending already")
    assert answer.context["story"].tone == "bad"


def test_a_way_that_does_not_fit_the_subscription_leads_to_the_policys(
    browser: Browser, classic_world: ClassicWorld
) -> None:
    bill = classic_world.approved()
    PushedBill.objects.update(chosen_mode="invoice")

    answer = press(browser, fresh(bill))

    assert answer.context["story"].cause.startswith(
        "Once it is approved, 143.45 USD would be added to the next payment"
    )
    assert "is a way of Paddle Billing, and" in said(answer)


def test_a_modifier_that_would_be_taken_back_first_is_named(browser: Browser, classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(review="never", lock_after_days=3, changed="settle")
    bill = classic_world.imported()
    classic_world.work()
    classic_world.m3ter.recalculate(bill.m3ter_bill_id)
    classic_world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    classic_world.m3ter.approve_bill(bill.m3ter_bill_id)
    classic_world.import_all()
    assert fresh(bill).state == State.READY

    answer = press(browser, fresh(bill))

    assert f"push {bill.m3ter_bill_id}-1 would be taken back first" in said(answer)
    assert len(classic_world.modifiers()) == 1


# --- A vendor that does not tell --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("html", {"status": 502}, "an HTML page"),
        ("error_before", {"status": 500}, "HTTP 500"),
        ("lose_answer", {}, "no answer"),
        ("truncated", {}, "broke off"),
        ("too_many", {}, "asked too much at once; it is tried again shortly."),
    ],
)
def test_a_vendor_that_gives_no_answer_is_told_in_words(
    browser: Browser, world: World, kind: str, params: dict[str, Any], words: str
) -> None:
    bill = world.approved()
    world.paddle.fault("preview charge", kind, times=None, **params)

    answer = press(browser, bill)

    assert answer.context["story"].cause == "The vendor gave no answer that says what would happen."
    assert panel(answer, ASKED).rows[-1][0] == "Total"
    assert words in said(answer)


def test_a_refused_key_closes_paddle_and_the_next_preview_asks_nobody(browser: Browser, world: World) -> None:
    bill = world.approved()
    world.paddle.revoke_key(sample.API_KEY)

    refused = press(browser, bill)
    asked = len(world.paddle.calls)
    closed = press(browser, bill)

    for answer in (refused, closed):
        assert (
            answer.context["story"].cause == "The vendor was not asked, because nothing may be charged at this moment."
        )
    assert "Paddle refuses our key, so nobody calls it now" in said(closed)
    assert len(world.paddle.calls) == asked


def test_a_key_that_may_preview_but_not_charge_is_said_to_be_in_the_way(browser: Browser, world: World) -> None:
    bill = world.approved()
    Circuit.objects.create(
        vendor="paddle",
        operation="charge subscription",
        is_open=True,
        probe_at=clock.now() + dt.timedelta(minutes=1),
        detail="permission missing",
    )

    answer = press(browser, bill)

    assert "does not let us charge subscription" in said(answer)
    assert world.calls("preview charge") == 0


def test_a_database_that_belongs_to_another_account_asks_nobody(browser: Browser, world: World) -> None:
    bill = world.approved()
    Installation.objects.update(native_integration="Bills to Paddle")

    answer = press(browser, bill)

    assert "customers would be charged twice" in said(answer)
    assert world.calls("preview charge") == 0


def test_a_spent_budget_is_said_in_words_and_is_that_of_looking(
    browser: Browser, world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = world.approved()
    monkeypatch.setattr("integration_project.budgets.PATIENCE", 0.0)
    monkeypatch.setattr("integration_project.budgets.take.__kwdefaults__", {"patience": 0.0, "sleep": lambda _: None})
    settings.PADDLE_CALLS_PER_MINUTE = 3
    press(browser, bill)
    CallBudget.objects.filter(vendor="paddle").update(tokens=0)

    answer = press(browser, bill)

    assert answer.context["story"].cause.startswith("The vendor was not asked: the calls that it allows us are in use")
    assert "Press Preview again in a moment." in said(answer)


def test_a_preview_takes_its_calls_from_the_share_of_looking(browser: Browser, world: World) -> None:
    bill = world.approved()
    CallBudget.objects.all().delete()

    press(browser, bill)

    left = {row.purpose: row.capacity - row.tokens for row in CallBudget.objects.filter(vendor="paddle")}
    assert max(left, key=lambda purpose: left[purpose]) == "look"
    assert [left["push"], left["import"]] == [0, 0]


def test_a_refusal_of_paddles_is_told_as_what_it_means(browser: Browser, world: World) -> None:
    bill = world.approved()
    world.paddle.world.rules.approved_tax_categories = frozenset({"standard"})

    answer = press(browser, bill)

    assert answer.context["story"].cause.startswith("Paddle has not approved the tax category for this account.")
    assert "it would be held until a person decides" in said(answer)


def test_a_fault_of_ours_is_no_broken_page(browser: Browser, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = world.approved()
    monkeypatch.setattr("billing_bridge.composing.compose", lambda *args, **others: 1 / 0)

    answer = press(browser, bill)

    assert answer.context["story"].cause == "A fault of this application; the log has the details."


def test_what_vendors_write_is_shown_and_never_works(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(item_name="{line}", item_description=f"{MARKUP} {{line}}")
    for product in world.paddle.world.memory.products.values():
        product["name"] = MARKUP
    for item in world.paddle.subscriptions[world.subscription_id]["items"]:
        item["product"]["name"] = MARKUP
    AccountLink.objects.update(name=MARKUP)
    bill = world.approved(((MARKUP, "10.00"),))

    text = press(browser, bill).text

    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 4
