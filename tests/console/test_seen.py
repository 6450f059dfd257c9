"""What is charged is what somebody saw: an answer to a page that shows something else by now changes nothing.

Whoever comes second is told what the first did, and that their own answer was not carried out.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from billing_bridge import carrying, review
from billing_bridge.models import BillRevision, CarriedEntry, PushAttempt, PushedBill
from billing_bridge.netting import Carried
from integration_project import clock
from integration_project.models import Finding, Installation
from tests.builders import make_link
from tests.console.rows import again, confirm, decide, hidden, make_bill, make_finding, make_push

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = "/admin/billing_bridge/pushedbill/"


@pytest.fixture(autouse=True)
def live(installation: Installation) -> None:
    """Bills are charged since long ago."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


def change(bill: PushedBill) -> None:
    """Let m3ter have said something else meanwhile."""
    revision = BillRevision.objects.create(
        bill=bill,
        content_hash="another",
        number=2,
        m3ter_version=2,
        currency=bill.currency,
        total="999.00",
        payable=99900,
        lines=[],
        first_seen_at=clock.now(),
    )
    PushedBill.objects.filter(pk=bill.pk).update(revision=revision, payable=99900, outstanding=99900)


@pytest.mark.parametrize(("name", "state"), [("approve", State.HELD), ("resend", State.FAILED)])
def test_what_changed_after_somebody_looked_is_not_charged_by_their_answer(
    browser: Browser, name: str, state: str
) -> None:
    bill = make_bill(make_link(), state)
    client = browser("Finance")
    asked = client.get(decide(bill, name))
    change(bill)

    answer = client.post(decide(bill, name), {"reason": "Checked.", **hidden(asked)}, follow=True)

    assert "It has changed since this was asked" in answer.text
    assert (again(bill).state, again(bill).reviewed_revision) == (state, None)


def test_of_many_bills_only_the_one_that_changed_is_left(browser: Browser) -> None:
    client = browser("Finance")
    bills = [make_bill(make_link()) for _ in range(2)]
    keys = [str(bill.pk) for bill in bills]
    asked = client.post(LIST, {"action": "approve_selected", "_selected_action": keys})
    change(bills[0])

    address = reverse("admin:billing_bridge_pushedbill_decide_many", args=("approve",))
    client.post(address, {"row": keys, "reason": "Month's end.", **hidden(asked)})

    assert [again(bill).state for bill in bills] == [State.HELD, State.READY]


def test_an_answer_that_does_not_say_what_was_shown_charges_nothing(browser: Browser) -> None:
    bill = make_bill(make_link())

    browser("Finance").post(decide(bill, "approve"), {"reason": "From a script."})

    assert again(bill).state == State.HELD


# --- Two people ------------------------------------------------------------------------------------------------------


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


@pytest.mark.parametrize(
    ("state", "first", "second", "told"),
    [
        (State.HELD, "hold", "approve", "superuser held it just now: because"),
        (State.HELD, "approve", "hold", "superuser approved it just now: because"),
        (State.HELD, "approve", "approve", "superuser approved it just now: because"),
        (State.HELD, "approve", "skip", "superuser approved it just now: because"),
        (State.HELD, "skip", "write_off", "superuser skipped it just now: because"),
        (State.HELD, "write_off", "carry", "superuser wrote off what was open of it just now: because"),
        (State.HELD, "carry", "settled_outside", "superuser had it carried to the next bills just now: because"),
        (State.HELD, "send_invoice", "send_now", "superuser approved it just now: because"),
        (State.FAILED, "resend", "send_now", "superuser had it sent again just now: because"),
        (State.UNCONFIRMED, "not_made", "made", "superuser said that it is not in Paddle just now: because"),
        (State.UNCONFIRMED, "made", "not_made", "superuser said that it is in Paddle just now: because"),
    ],
)
def test_the_second_of_two_people_is_told_what_the_first_did_and_changes_nothing(
    browser: Browser, state: str, first: str, second: str, told: str
) -> None:
    bill = make_bill(make_link(), state)
    if state == State.UNCONFIRMED:
        make_push(bill, state)
    client = browser("Finance")
    asked = client.get(decide(bill, second))
    confirm(browser("superuser"), decide(bill, first), {"reason": "because"})
    decided = again(bill)

    answer = client.post(decide(bill, second), {"reason": "I think so too.", **hidden(asked)}, follow=True)

    assert told in said(answer)
    assert "Nothing was done" in said(answer)
    after = again(bill)
    assert (after.state, after.reason, after.chosen_mode) == (decided.state, decided.reason, decided.chosen_mode)
    assert PushAttempt.objects.filter(bill=bill, step="decision").count() == 1


def test_of_many_bills_those_that_somebody_decided_meanwhile_are_told_one_by_one(browser: Browser) -> None:
    client = browser("Finance")
    held, approved, left = (make_bill(make_link()) for _ in range(3))
    keys = [str(bill.pk) for bill in (held, approved, left)]
    asked = client.post(LIST, {"action": "approve_selected", "_selected_action": keys})
    confirm(browser("superuser"), decide(held, "hold"), {"reason": "disputed"})
    confirm(browser("superuser"), decide(approved, "approve"), {"reason": "checked"})

    address = reverse("admin:billing_bridge_pushedbill_decide_many", args=("approve",))
    answer = client.post(address, {"row": keys, "reason": "Month's end.", **hidden(asked)}, follow=True)

    assert f"{held}: It has changed since this was asked. superuser held it just now: disputed." in said(answer)
    assert f"{approved}: superuser approved it just now: checked." in said(answer)
    assert [again(bill).state for bill in (held, approved, left)] == [State.HELD, State.READY, State.READY]
    assert again(held).reason == PushedBill.Reason.OPERATOR


def test_what_goes_on_by_itself_between_look_and_click_is_said_too(browser: Browser) -> None:
    bill = make_bill(make_link())
    client = browser("Finance")
    asked = client.get(decide(bill, "hold"))
    PushedBill.objects.filter(pk=bill.pk).update(state=State.READY, reason="", due_at=clock.now())

    answer = client.post(decide(bill, "hold"), {"reason": "Wait.", **hidden(asked)}, follow=True)

    assert "It has gone on by itself meanwhile. It is now ready to be charged." in said(answer)
    assert again(bill).state == State.READY


def test_what_was_decided_a_while_ago_says_when(browser: Browser) -> None:
    bill = make_bill(make_link())
    client = browser("Finance")
    asked = client.get(decide(bill, "approve"))
    confirm(browser("superuser"), decide(bill, "hold"), {"reason": "customer disputes it"})
    PushAttempt.objects.update(at=clock.now() - dt.timedelta(minutes=2, seconds=20))

    answer = client.post(decide(bill, "approve"), {"reason": "", **hidden(asked)}, follow=True)

    assert "superuser held it 2 minutes ago: customer disputes it." in said(answer)


def test_who_clicks_twice_is_told_that_it_was_they(browser: Browser) -> None:
    bill = make_bill(make_link())
    client = browser("Finance")
    asked = client.get(decide(bill, "approve"))

    for _ in range(2):
        answer = client.post(decide(bill, "approve"), {"reason": "", **hidden(asked)}, follow=True)

    assert "You approved it just now." in said(answer)
    assert again(bill).state == State.READY


def test_a_page_that_asks_again_for_a_reason_is_still_about_what_it_showed_first(browser: Browser) -> None:
    bill = make_bill(make_link())
    client = browser("Finance")
    asked = client.get(decide(bill, "skip"))
    confirm(browser("superuser"), decide(bill, "hold"), {"reason": "disputed"})

    without = client.post(decide(bill, "skip"), {"reason": "", **hidden(asked)})
    answer = client.post(decide(bill, "skip"), {"reason": "Goodwill.", **hidden(without)}, follow=True)

    assert hidden(without) == hidden(asked)
    assert "superuser held it just now: disputed." in said(answer)
    assert again(bill).state == State.HELD


def test_a_carried_entry_is_not_taken_back_by_who_saw_more_of_it(browser: Browser) -> None:
    bill = make_bill(make_link())
    review.carry(bill.pk, by="fiona", reason="small")
    entry = CarriedEntry.objects.get()
    client = browser("Finance")
    asked = client.get(decide(entry, "take_back"))
    carrying.take(bill, [Carried(entry.pk, entry.remaining - 1)], note="taken")

    answer = client.post(decide(entry, "take_back"), {"reason": "settle it", **hidden(asked)}, follow=True)

    assert "The carried balance of its account is 0.01 EUR now." in said(answer)
    assert CarriedEntry.objects.get().remaining == 1


def test_what_people_are_called_and_what_they_wrote_is_text_and_no_markup(browser: Browser) -> None:
    bill = make_bill(make_link())
    client = browser("Finance")
    asked = client.get(decide(bill, "approve"))
    User.objects.filter(username="superuser").update(username="<b>Bert</b>")
    confirm(browser("superuser"), decide(bill, "hold"), {"reason": "<i>disputed</i>"})

    answer = client.post(decide(bill, "approve"), {"reason": "", **hidden(asked)}, follow=True)

    assert "&lt;b&gt;Bert&lt;/b&gt; held it" in answer.text
    assert "<b>Bert</b>" not in answer.text
    assert "<i>disputed</i>" not in answer.text


def test_whoever_closes_a_finding_second_is_told_who_closed_it(browser: Browser) -> None:
    finding = make_finding()
    client = browser("Operator")
    client.get(decide(finding, "close"))
    browser("superuser").post(decide(finding, "close"), {"reason": "Settled by telephone."})

    answer = client.post(decide(finding, "close"), {"reason": "Me too."}, follow=True)

    assert "Closed by superuser just now: Settled by telephone." in said(answer)
    assert Finding.objects.get().close_reason == "Settled by telephone."
