"""The preview of a bill: what a push would do at this moment, read from the vendors, with nothing at all changed."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge import importing, jobs, looking, previewing, review
from billing_bridge.admin import bill_preview
from billing_bridge.models import CarriedEntry, ProductRule, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.paddle.simulator import sample
from tests.billing_bridge.breaking import told
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.conftest import classic_world, live, world
from tests.billing_bridge.world import World, fresh, make_due, push_of
from tests.builders import make_link
from tests.console.previews import (
    ASKED,
    COMES_TO,
    Browser,
    address,
    everything_kept,
    panel,
    plain,
    press,
    said,
)
from tests.console.rows import make_bill, make_push, page_of

__all__ = ["classic_world", "live", "world"]  # fixtures
Deliver = Callable[[], int]
State = PushedBill.State
Reason = PushedBill.Reason


# --- What would be charged --------------------------------------------------------------------------------------------


def test_a_held_bill_shows_what_its_approval_would_bring_about(browser: Browser, world: World) -> None:
    bill = world.imported()

    answer = press(browser, bill)

    renews_at = world.vendors.paddle.get_subscription(world.subscription_id).next_billed_at
    assert renews_at is not None
    story = answer.context["story"]
    assert story.tone == "good"
    assert story.cause == (
        f"Once it is approved, 143.45 USD would be charged with the renewal on {renews_at:%Y-%m-%d %H:%M} UTC."
    )
    assert "Now it is held: Approved in m3ter; waits for Finance to approve it here." in story.effect
    assert "Paddle adds 27.26 USD tax: the customer pays 170.71 USD for it." in story.effect
    assert story.next_step.startswith("Approve it to have that done")
    assert [button["label"] for button in answer.context["buttons"]] == ["Approve"]
    assert plain(panel(answer, ASKED).rows) == [
        (
            "API calls",
            f"{push_text(world, bill, 0)} [{bill.m3ter_bill_id}-1]",
            "Gauge Cloud (saas)",
            "added to it",
            "123.45 USD",
        ),
        (
            "Standing Charge",
            f"{push_text(world, bill, 1)} [{bill.m3ter_bill_id}-1]",
            "Gauge Cloud (saas)",
            "added to it",
            "20.00 USD",
        ),
        ("Total", "", "", "", "143.45 USD"),
    ]


def push_text(world: World, bill: PushedBill, number: int) -> str:
    """The text of a line as it is sent, without the push id."""
    found = previewing.preview(bill, world.vendors)
    assert found.intent is not None
    text: str = found.intent.request.items[number]["price"]["description"]
    return text.partition(" [")[0]


def test_what_else_is_on_the_renewal_is_told_from_what_is_ours(browser: Browser, world: World) -> None:
    earlier = world.pushed((("Storage", "7.00"),))
    bill = importing.import_bill(world.another_bill(), world.vendors)
    assert bill is not None

    answer = press(browser, bill)

    assert plain(panel(answer, COMES_TO).rows) == [
        ("This bill", "143.45 USD", "0.00 USD", "27.26 USD", "170.71 USD"),
        ("What else is on the renewal", *plan_and(700)),
        ("All of the transaction", *plan_and(700 + 14345, tax=2726 + 133)),
    ]
    of = [row[1] for row in panel(answer, "Line by line").rows]
    assert of == ["this bill", "this bill", sample.PRICE_CLOUD_USD, f"push {earlier.m3ter_bill_id}-1"]


def plan_and(more: int, *, tax: int = 133) -> tuple[str, ...]:
    """What the plan costs, with as much more and the tax on that; in Germany."""
    price = 5500
    plan_tax = (price * 19 + 50) // 100
    sums = (price + more, 0, plan_tax + tax, price + more + plan_tax + tax)
    return tuple(f"{amount // 100}.{amount % 100:02} USD" for amount in sums)


def test_a_bill_that_is_charged_at_once_shows_its_own_transaction(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(mode="immediately")
    bill = world.approved()

    answer = press(browser, bill)

    assert answer.context["story"].cause == "143.45 USD would be charged at once, with the stored payment method."
    assert "Nothing to do: a worker charges it by itself" in answer.context["story"].next_step
    assert plain(panel(answer, COMES_TO).rows) == [
        ("This bill", "143.45 USD", "0.00 USD", "27.26 USD", "170.71 USD"),
        ("All of the transaction", "143.45 USD", "0.00 USD", "27.26 USD", "170.71 USD"),
    ]


def test_an_invoice_is_previewed_as_a_transaction_of_its_own(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(mode="invoice", payment_days=30, issue_invoices=False)
    world.complete_the_customer()
    bill = world.approved()

    answer = press(browser, bill)

    cause = answer.context["story"].cause
    assert cause.startswith(
        "143.45 USD would be drafted as an invoice that a person issues in Paddle, to be paid 30 days"
    )
    assert plain(panel(answer, COMES_TO).rows)[0] == ("This bill", "143.45 USD", "0.00 USD", "27.26 USD", "170.71 USD")
    assert world.calls("preview transaction") == 1


def test_amounts_that_include_tax_say_how_much_of_them_is_tax(browser: Browser, world: World) -> None:
    PushPolicy.objects.update(tax_mode="internal", mode="immediately")
    bill = world.approved()

    answer = press(browser, bill)

    assert "Paddle counts 22.90 USD of it as tax: the customer pays 143.45 USD for it." in said(answer)
    assert "tax included" in panel(answer, ASKED).note


@pytest.mark.parametrize(
    ("mode", "words", "untold"),
    [
        ("classic_modifier", "143.45 USD would be added to the next payment on ", "what tax the payment will bear"),
        ("classic_charge", "143.45 USD would be charged at once, as a one-off", "what tax comes with the charge"),
    ],
)
def test_classic_has_no_preview_and_the_page_says_so(
    browser: Browser, classic_world: ClassicWorld, mode: str, words: str, untold: str
) -> None:
    PushPolicy.objects.update(classic_mode=mode)
    bill = classic_world.approved()

    answer = press(browser, bill)

    assert answer.context["story"].cause.startswith(words)
    assert f"Paddle Classic has no preview: {untold}" in answer.context["story"].effect
    assert [each.title for each in answer.context["panels"]][1:] == [ASKED]
    assert classic_world.charges_of(bill) == 0


def test_what_is_taken_of_the_carried_balance_is_said(browser: Browser, world: World) -> None:
    small = world.imported((("API calls", "0.30"),))
    review.approve(small.pk, by="finance")
    world.work()
    assert fresh(small).state == State.CARRIED
    bill = importing.import_bill(world.another_bill(), world.vendors)
    assert bill is not None

    answer = press(browser, bill)

    assert answer.context["story"].cause.startswith("Once it is approved, 143.75 USD would be charged")
    assert "0.30 USD of it comes from the carried balance." in panel(answer, ASKED).note
    assert CarriedEntry.objects.get().reserved_by is None


def test_more_items_than_fit_are_shown_in_one(browser: Browser, world: World) -> None:
    bill = world.approved(tuple((f"Line {number}", "1.00") for number in range(100)))

    answer = press(browser, bill)

    assert len(panel(answer, ASKED).rows) == 2
    assert "do not fit on the subscription one by one" in panel(answer, ASKED).note


def test_a_bill_that_failed_shows_what_sending_it_again_would_do(browser: Browser, world: World) -> None:
    world.paddle.fault("charge subscription", "error_before", status=400)
    PushPolicy.objects.update(mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.approved()
    world.work()
    assert fresh(bill).state == State.FAILED, fresh(bill).reason_detail

    answer = press(browser, bill)

    assert answer.context["story"].cause.startswith("Once it is sent again, 143.45 USD would be charged at once")
    assert "Now it is failed: " in answer.context["story"].effect
    assert [button["label"] for button in answer.context["buttons"]] == ["Resend"]


def test_a_lost_bill_says_that_paddle_is_searched_first(browser: Browser, world: World) -> None:
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")
    subscription_id = world.subscribe_again()

    answer = press(browser, fresh(bill))

    assert answer.context["story"].cause.startswith("Once it is sent again, 143.45 USD would be charged with")
    assert f"Paddle is searched for push {bill.m3ter_bill_id}-1; where it is found" in said(answer)
    assert f"on {subscription_id}, as push {bill.m3ter_bill_id}-2" in panel(answer, ASKED).note


# --- The preview and the push -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"grouping": "bill"},
        {"grouping": "product", "item_name": "{product} {period}"},
        {"mode": "immediately"},
        {"mode": "invoice"},
        {"tax_mode": "internal"},
        {"far": "immediately", "max_wait_days": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "lines", [(("API calls", "123.45"), ("Credit", "-3.10")), (("Tiny", "0.004"), ("More", "9.999"))]
)
def test_what_is_previewed_is_what_the_push_then_sends(
    browser: Browser, world: World, policy: dict[str, Any], lines: tuple[tuple[str, str], ...]
) -> None:
    PushPolicy.objects.update(**policy)
    world.complete_the_customer()
    ProductRule.objects.create(accounting_product="Standing", paddle_product_id="", tax_category="standard")
    bill = world.approved(lines)
    shown = press(browser, bill)

    found = previewing.preview(fresh(bill), world.vendors)
    assert (world.paddle.charges, world.invoices()) == ([], [])
    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED, fresh(bill).reason_detail
    push = push_of(bill)
    assert found.intent is not None
    assert list(found.intent.request.items) == push.items
    assert (found.intent.request.amount, found.intent.mode.name) == (push.amount, push.mode)
    names = [item["price"]["name"] for item in push.items]
    assert [row[0] for row in panel(shown, ASKED).rows[:-1]] == names
    if push.mode != "invoice":
        assert [dict(item) for item in world.paddle.charges[-1].items] == push.items


@pytest.mark.parametrize("mode", ["classic_modifier", "classic_charge"])
def test_what_is_previewed_is_what_the_push_then_sends_to_classic(
    browser: Browser, classic_world: ClassicWorld, mode: str
) -> None:
    PushPolicy.objects.update(classic_mode=mode)
    bill = classic_world.approved()
    shown = press(browser, bill)

    classic_world.work()

    push = push_of(bill)
    (item,) = push.items
    assert (fresh(bill).state, push.amount) == (State.PUSHED, 14345)
    assert panel(shown, ASKED).rows[0][0] in item.values()


def test_a_refund_shows_on_which_transaction_it_would_be(browser: Browser, world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(mode="immediately", lock_after_days=3)
    bill = world.pushed()
    told(deliver)
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    world.work()
    review.refund(bill.pk, by="fiona", reason="it was too much")

    answer = press(browser, fresh(bill))
    world.work()

    push = push_of(bill)
    assert answer.context["story"].cause.startswith("43.45 USD would be given back in Paddle")
    assert plain(panel(answer, ASKED).rows)[0][0] == f"Refund on {push.paddle_transaction_id}"
    assert plain(panel(answer, ASKED).rows)[0][-1] == "43.45 USD"
    assert (push.kind, push.amount) == (Push.Kind.REFUND, 4345)


def test_what_was_written_off_before_is_not_given_back_as_an_approval_has_it(browser: Browser, world: World) -> None:
    bill = world.imported()
    review.write_off(bill.pk, by="fiona", reason="goodwill")
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "163.45"), ("Standing Charge", "-40.00")))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, -2000)

    answer = press(browser, fresh(bill))
    review.approve(bill.pk, by="fiona")

    assert "20.00 USD of that was written off here and never charged." in said(answer)
    assert answer.context["story"].cause == "Nothing of it is open any more."
    assert (fresh(bill).outstanding, world.charges_of(bill)) == (0, 0)


# --- Who may, and how -------------------------------------------------------------------------------------------------


def test_whoever_decides_about_bills_may_preview_them_and_nobody_else(browser: Browser, world: World) -> None:
    bill = world.approved()
    world.paddle.calls.clear()

    answers = {
        who: browser(who).post(address(bill)).status_code
        for who in ("Operator", "Auditor", "nobody", "Finance", "Administrator")
    }
    buttons = {
        who: "Preview</button>" in browser(who).get(page_of(bill)).text
        for who in ("Operator", "Auditor", "Finance", "Administrator")
    }

    assert answers == {"Operator": 403, "Auditor": 403, "nobody": 403, "Finance": 200, "Administrator": 200}
    assert buttons == {"Operator": False, "Auditor": False, "Finance": True, "Administrator": True}
    assert world.calls("preview charge") == 2
    assert bill_preview.PERMISSION == "billing_bridge.review_pushedbill"


def test_a_link_alone_asks_nothing(browser: Browser, world: World) -> None:
    bill = world.approved()

    answer = browser("Finance").get(address(bill))

    assert (answer.status_code, answer["Location"]) == (302, page_of(bill))
    assert world.calls("preview charge") == 0


def test_another_site_cannot_press_the_button(people: Any, world: World) -> None:
    bill = world.approved()
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["Finance"])

    forged = client.post(address(bill)).status_code
    form = client.get(page_of(bill)).text.partition(f'action="{address(bill)}"')[2].partition("</form>")[0]
    token = form.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    pressed = client.post(address(bill), {"csrfmiddlewaretoken": token}).status_code

    assert (forged, pressed) == (403, 200)


def test_somebody_without_a_session_is_sent_to_log_in(world: World) -> None:
    answer = Client().post(address(world.approved()))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("made_up", ["no number", "99999999", "9" * 30])
def test_a_made_up_row_is_answered(browser: Browser, world: World, made_up: str) -> None:
    made_up_address = reverse("admin:billing_bridge_pushedbill_preview", args=(made_up,))

    assert browser("Finance").post(made_up_address).status_code == 404


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (State.HELD, True),
        (State.READY, True),
        (State.WAITING, True),
        (State.FAILED, True),
        (State.PUSHING, False),
        (State.UNCONFIRMED, False),
        (State.PUSHED, False),
        (State.CARRIED, False),
        (State.SKIPPED, False),
        (State.SUPERSEDED, False),
    ],
)
def test_the_button_fits_the_state_and_so_does_the_answer(
    browser: Browser, world: World, state: str, offered: bool
) -> None:
    reason = {State.WAITING: Reason.PAST_DUE, State.SKIPPED: Reason.OPERATOR}.get(State(state))
    bill = make_bill(make_link(), state, **({"reason": reason} if reason else {}))
    client = browser("Finance")
    before = everything_kept()

    answer = client.post(address(bill), follow=True)

    assert ("Preview</button>" in client.get(page_of(bill)).text) is offered
    assert ("There is nothing to preview: " in answer.text) is not offered
    assert {name: rows for name, rows in everything_kept().items() if rows != before[name]} == {}


def test_a_bill_with_an_open_push_offers_no_preview(browser: Browser, world: World) -> None:
    bill = make_bill(make_link(), State.HELD)
    make_push(bill, Push.State.UNCONFIRMED)

    assert "Preview</button>" not in browser("Finance").get(page_of(bill)).text
    assert "under way or unconfirmed" in browser("Finance").post(address(bill), follow=True).text


def test_preview_stands_first_among_the_buttons(browser: Browser, world: World) -> None:
    text = browser("Finance").get(page_of(world.imported())).text

    buttons = text.partition('aria-label="What you can do"')[2]
    assert buttons.index("Preview</button>") < buttons.index(">Approve</a>")


def test_a_preview_asks_the_database_as_often_for_many_lines_and_bills_as_for_few(
    browser: Browser, world: World
) -> None:
    few_lines = world.approved()
    make_due(few_lines)
    client = browser("Finance")
    client.post(address(few_lines))
    with CaptureQueriesContext(connection) as few:
        client.post(address(few_lines))
    for _ in range(5):
        make_bill(world.link)
    many_lines = importing.import_bill(
        world.another_bill(tuple((f"Line {number}", "1.00") for number in range(40))), world.vendors
    )
    assert many_lines is not None
    review.approve(many_lines.pk, by="finance")
    with CaptureQueriesContext(connection) as many:
        answer = client.post(address(many_lines))

    assert len(panel(answer, ASKED).rows) == 41
    assert len(many) == len(few)


def test_a_preview_makes_no_call_that_could_change_anything(browser: Browser, world: World) -> None:
    bill = world.approved()
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=5))
    world.paddle.calls.clear()
    world.m3ter.calls.clear()

    press(browser, fresh(bill))

    assert [call.operation for call in world.paddle.calls] == ["preview charge"]
    assert {call.operation for call in world.m3ter.calls} - {"get token"} == {"get bill"}
