"""Bills in the console: both sides of every cent, and decisions with a reason."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing_bridge import jobs
from billing_bridge.models import BillEntry, BillRevision, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from tests.billing_bridge.world import World
from tests.builders import make_link
from tests.console.rows import again, confirm, decide, hidden, make_bill, make_push, page_of

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = "/admin/billing_bridge/pushedbill/"


@pytest.fixture(autouse=True)
def live(installation: Installation) -> None:
    """Bills are charged since long ago."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


def change_revision(bill: PushedBill) -> None:
    """Let m3ter have approved something else since."""
    revision = BillRevision.objects.get(bill=bill)
    revision.pk, revision.number, revision.content_hash = None, 2, "another"
    revision.save()
    PushedBill.objects.filter(pk=bill.pk).update(revision=revision)


def labels(answer: Any) -> list[str]:
    return [button["label"] for button in answer.context["buttons"]]


def panel(answer: Any, title: str) -> Any:
    (found,) = (each for each in answer.context["panels"] if each.title.startswith(title))
    return found


OTHERWISE = (
    "Send now",
    "Invoice it",
    "Carry to the next bill",
    "Mark settled outside",
    "Write off remainder",
)
"""What can be done with what is open of a bill instead of what policy says, which is to charge it with the renewal."""


@pytest.mark.parametrize(
    ("state", "values", "offered"),
    [
        (State.HELD, {}, ["Approve", *OTHERWISE, "Hold", "Skip"]),
        (State.HELD, {"reason": "operator"}, ["Approve", *OTHERWISE, "Skip"]),
        (State.WAITING, {"reason": "past due"}, [*OTHERWISE, "Hold", "Skip"]),
        (State.READY, {}, [*OTHERWISE, "Hold", "Skip"]),
        (State.PUSHING, {}, []),
        (State.UNCONFIRMED, {}, ["It is in Paddle", "It is not in Paddle"]),
        (State.UNCONFIRMED, {"due_at": clock.now()}, ["It is in Paddle"]),
        (State.PUSHED, {}, []),
        (State.FAILED, {}, ["Resend", *OTHERWISE, "Hold", "Skip"]),
        (State.LOST, {}, ["Resend", *OTHERWISE, "Hold", "Skip"]),
        (State.SKIPPED, {"reason": "operator"}, ["Resend"]),
        (State.SUPERSEDED, {}, []),
    ],
)
def test_the_buttons_fit_the_state(browser: Browser, state: str, values: dict[str, Any], offered: list[str]) -> None:
    bill = make_bill(make_link(), state, **values)

    answer = browser("Finance").get(page_of(bill))

    assert labels(answer) == offered
    assert answer.context["story"].cause


@pytest.mark.parametrize(
    ("source", "offered"),
    [
        ("paddle", ["Approve", "Invoice it", "Carry to the next bill"]),
        ("paddle_classic", ["Approve", "Carry to the next bill"]),
    ],
)
def test_a_cancelled_subscription_is_offered_only_what_it_can_still_take(
    browser: Browser, source: str, offered: list[str]
) -> None:
    link = make_link(source=source, paddle_status="canceled")
    bill = make_bill(link, reason="cancelled")

    buttons = labels(browser("Finance").get(page_of(bill)))

    assert buttons == [*offered, "Mark settled outside", "Write off remainder", "Hold", "Skip"]


def test_approving_a_bill_makes_it_ready_and_keeps_who_and_why(browser: Browser) -> None:
    bill = make_bill(make_link())

    answer = confirm(browser("Finance"), decide(bill, "approve"), {"reason": "Checked."})

    assert again(bill).state == State.READY
    assert again(bill).reviewed_revision == again(bill).revision
    assert "1 bill approved." in answer.text
    step = PushAttempt.objects.get(bill=bill)
    assert (step.step, step.outcome, step.by, step.detail) == ("decision", "approve", "finance", "Checked.")
    history = browser("Finance").get(reverse("admin:billing_bridge_pushedbill_history", args=(bill.pk,)))
    assert "Approve. Reason: Checked." in history.text


def test_what_cannot_be_approved_says_why_and_leaves_no_trace(browser: Browser) -> None:
    bill = make_bill(make_link(currency="CLP"), total="100.00")

    answer = confirm(browser("Finance"), decide(bill, "approve"), {"reason": "Try."})

    assert "Whether Paddle counts CLP with decimals is not certain enough to charge." in answer.text
    assert again(bill).state == State.HELD
    assert PushAttempt.objects.count() == 0
    assert LogEntry.objects.count() == 0


def test_many_bills_are_approved_after_a_look_at_what_they_come_to(browser: Browser) -> None:
    client = browser("Finance")
    bills = [make_bill(make_link(), total=f"{number}0.00") for number in range(1, 4)]
    keys = [str(bill.pk) for bill in bills]

    asked = client.post(LIST, {"action": "approve_selected", "_selected_action": keys})
    assert "Approve: 3 bills" in asked.text
    assert sorted(line.partition(": ")[2] for line in asked.context["sample"]) == [
        "10.00 EUR, held: a person must decide",
        "20.00 EUR, held: a person must decide",
        "30.00 EUR, held: a person must decide",
    ]
    assert {again(bill).state for bill in bills} == {State.HELD}

    address = reverse("admin:billing_bridge_pushedbill_decide_many", args=("approve",))
    answered = client.post(address, {"row": keys, "reason": "Month's end.", **hidden(asked)}, follow=True)
    assert "3 bills approved." in answered.text
    assert {again(bill).state for bill in bills} == {State.READY}
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize(
    ("name", "state", "becomes"), [("hold", State.READY, State.HELD), ("skip", State.HELD, State.SKIPPED)]
)
def test_a_bill_is_held_or_skipped_with_a_reason(browser: Browser, name: str, state: str, becomes: str) -> None:
    bill = make_bill(make_link(), state)

    confirm(browser("Finance"), decide(bill, name), {"reason": "The customer disputes it."})

    assert again(bill).state == becomes
    assert "The customer disputes it." in again(bill).reason_detail
    assert LogEntry.objects.get().get_change_message().endswith("Reason: The customer disputes it.")


def test_a_refused_bill_is_sent_again(browser: Browser) -> None:
    bill = make_bill(make_link(), State.FAILED, last_error="Tax category not enabled.")

    confirm(browser("Finance"), decide(bill, "resend"), {"reason": "Enabled now."})

    assert again(bill).state == State.READY
    assert PushAttempt.objects.get(bill=bill).outcome == "resend"


def test_a_charge_that_somebody_saw_in_paddle_counts_as_made(browser: Browser) -> None:
    bill = make_bill(make_link(), State.UNCONFIRMED)
    make_push(bill, Push.State.UNCONFIRMED)

    confirm(browser("Finance"), decide(bill, "made"), {"reason": "Seen.", "paddle_transaction_id": ""})

    assert again(bill).state == State.PUSHED
    assert (again(bill).pushed, again(bill).outstanding) == (14345, 0)
    assert BillEntry.objects.get().amount == 14345
    assert LogEntry.objects.get().get_change_message() == "It is in Paddle. Reason: Seen."


@pytest.mark.parametrize(
    ("transaction", "said"),
    [("sub_1", "Enter a valid value."), ("txn_01hv8wptq8987qeep44cyrewp9", "Paddle has no transaction txn_01hv")],
)
def test_a_transaction_that_paddle_does_not_know_is_not_believed(browser: Browser, transaction: str, said: str) -> None:
    bill = make_bill(make_link(), State.UNCONFIRMED)
    make_push(bill, Push.State.UNCONFIRMED)

    answer = confirm(
        browser("Finance"), decide(bill, "made"), {"reason": "Seen.", "paddle_transaction_id": transaction}
    )

    assert said in answer.text
    assert again(bill).state == State.UNCONFIRMED
    assert (BillEntry.objects.count(), LogEntry.objects.count()) == (0, 0)


def test_a_transaction_that_carries_the_charge_is_written_down(
    browser: Browser, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    PushPolicy.objects.update(mode="immediately")
    world = World.begun(paddle, m3ter, vendors)
    bill = world.approved()
    paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    transaction = str(paddle.charges[0].transaction_id)

    answers = {"reason": "Seen.", "paddle_transaction_id": transaction}
    confirm(browser("Finance"), decide(bill, "made"), answers)

    assert (again(bill).state, again(bill).pushed) == (State.PUSHED, 14345)
    assert Push.objects.get().paddle_transaction_id == transaction
    assert LogEntry.objects.get().get_change_message() == (
        f"It is in Paddle (paddle transaction id {transaction}). Reason: Seen."
    )


def test_a_charge_that_nobody_finds_in_paddle_is_sent_again(browser: Browser) -> None:
    bill = make_bill(make_link(), State.UNCONFIRMED)
    make_push(bill, Push.State.UNCONFIRMED)
    client = browser("Finance")

    asked = client.get(decide(bill, "not_made"))
    answers = {"reason": "Neither in its history nor on its next invoice.", **hidden(asked)}
    client.post(decide(bill, "not_made"), answers)

    assert "the customer pays twice" in " ".join(asked.text.split())
    assert again(bill).state == State.READY
    assert BillEntry.objects.count() == 0


# --- What pages show -------------------------------------------------------------------------------------------------


def test_a_bill_shows_what_m3ter_left_and_what_paddle_would_get(browser: Browser) -> None:
    bill = make_bill(make_link())

    answer = browser("Auditor").get(page_of(bill))

    left, right = panel(answer, "m3ter's bill"), panel(answer, "What Paddle would be asked")
    assert [str(row[5]) for row in left.rows] == [
        '<span class="c-money">143.45 EUR</span>',
        '<span class="c-money">0.00 EUR</span>',
        '<span class="c-money">143.45 EUR</span>',
    ]
    assert len(right.rows) == 2  # the line that comes to nothing is left out; then the total
    assert str(right.rows[-1][-1]) == '<span class="c-money">143.45 EUR</span>'
    assert "nothing has been sent" in right.note


def test_amounts_have_the_currencys_own_decimals(browser: Browser) -> None:
    bill = make_bill(make_link(currency="JPY"), State.PUSHED, total="15400")

    answer = browser("Finance").get(f"{LIST}?currency=JPY")

    assert "15400 JPY" in answer.text
    assert "154.00" not in answer.text
    assert "15400 JPY" in browser("Finance").get(page_of(bill)).text


def test_a_bill_in_a_currency_nobody_knows_opens(browser: Browser) -> None:
    bill = make_bill(make_link(currency="ZZZ"))

    answer = browser("Finance").get(page_of(bill))

    assert panel(answer, "What Paddle would").rows == ()
    assert "smallest units of ZZZ" in answer.text


def test_a_sent_push_is_shown_as_it_was_sent(browser: Browser) -> None:
    bill = make_bill(make_link(), State.PUSHED)
    make_push(bill, Push.State.PUSHED)

    right = panel(browser("Finance").get(page_of(bill)), "What Paddle was asked to charge")

    assert right.rows[0][0].startswith("API calls")
    assert right.note == f"Push {bill.m3ter_bill_id}-1, accepted by Paddle. 2 lines of m3ter in 1 item."


def test_what_would_be_sent_bears_the_id_that_it_will_have(browser: Browser) -> None:
    first, changed, refused = (make_bill(make_link()) for _ in range(3))
    make_push(changed, Push.State.PUSHED)
    change_revision(changed)
    make_push(refused, Push.State.FAILED, sent_at=None, items=[])

    texts = [
        panel(browser("Finance").get(page_of(bill)), "What Paddle w").rows[0][1] for bill in (first, changed, refused)
    ]

    numbers = [text.rpartition("[")[2].rstrip("]") for text in texts]
    assert numbers == [f"{first.m3ter_bill_id}-1", f"{changed.m3ter_bill_id}-2", f"{refused.m3ter_bill_id}-1"]


def test_a_near_renewal_is_said_first(browser: Browser) -> None:
    bill = make_bill(make_link(), renews_at=clock.now() + dt.timedelta(hours=3, minutes=1))

    story = browser("Finance").get(page_of(bill)).context["story"]

    assert story.tone == "bad"
    assert story.effect.startswith("The subscription renews in 3 hours")


@pytest.mark.parametrize("word", ["bill", "account", "subscription", "transaction"])
def test_a_bill_is_found_by_every_id_of_it(browser: Browser, word: str) -> None:
    bill = make_bill(make_link(), State.PUSHED)
    make_push(bill, Push.State.PUSHED, paddle_transaction_id="txn_1")
    make_bill(make_link())
    assert bill.link is not None
    words = {
        "bill": bill.m3ter_bill_id,
        "account": bill.m3ter_account_id,
        "subscription": bill.link.paddle_subscription_id,
        "transaction": "txn_1",
    }

    answer = browser("Finance").get(LIST, {"q": words[word]})

    assert list(answer.context["cl"].result_list) == [bill]


def test_bills_that_renew_soon_and_are_not_in_paddle_are_a_view(browser: Browser) -> None:
    soon = make_bill(make_link(), renews_at=clock.now() + dt.timedelta(hours=5))
    make_bill(make_link(), renews_at=clock.now() + dt.timedelta(days=5))
    make_bill(make_link(), State.PUSHED, renews_at=clock.now() + dt.timedelta(hours=5))

    answer = browser("Finance").get(f"{LIST}?renews=day")

    assert list(answer.context["cl"].result_list) == [soon]


def test_the_saved_view_that_is_open_is_marked_and_no_other(browser: Browser) -> None:
    page = reverse("admin:billing_bridge_pushedbill_changelist")

    def marked(query: str) -> list[str]:
        return re.findall(
            r'<a href="[^"]*" class="c-strong" aria-current="page">([^<]*)</a>',
            browser("Finance").get(page + query).text,
        )

    assert marked("") == []
    assert marked("?state__exact=held&reason__exact=review&o=1") == ["To review"]
    assert marked("?state__in=held%2Cunconfirmed%2Cfailed%2Clost") == ["Needs attention"]
    assert marked("?state__exact=held") == []
