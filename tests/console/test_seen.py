"""What is charged is what somebody saw: an answer to a page that shows something else by now changes nothing."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from billing_bridge.models import BillRevision, PushedBill
from integration_project import clock
from integration_project.models import Installation
from tests.builders import make_link
from tests.console.rows import hidden, make_bill

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = "/admin/billing_bridge/pushedbill/"


@pytest.fixture(autouse=True)
def live(installation: Installation) -> None:
    """Bills are charged since long ago."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


def decide(bill: PushedBill, name: str) -> str:
    return reverse("admin:billing_bridge_pushedbill_decide", args=(bill.pk, name))


def again(bill: PushedBill) -> PushedBill:
    return PushedBill.objects.get(pk=bill.pk)


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
