"""Bills in the console: both sides of every cent, decisions with a reason, the policy and the go-live date."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing_bridge.models import BillEntry, BillRevision, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding, Installation
from tests.builders import make_link
from tests.console.rows import Everything, confirm, hidden, make_bill, make_finding, make_push

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = "/admin/billing_bridge/pushedbill/"


@pytest.fixture(autouse=True)
def live(installation: Installation) -> None:
    """Bills are charged since long ago."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))


def decide(row: Any, name: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_decide", args=(row.pk, name))


def again(bill: PushedBill) -> PushedBill:
    return PushedBill.objects.get(pk=bill.pk)


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
    push = make_push(bill, Push.State.UNCONFIRMED)
    transaction = "txn_01hv8wptq8987qeep44cyrewp9"

    wrong = browser("Finance").post(decide(bill, "made"), {"reason": "Seen.", "paddle_transaction_id": "sub_1"})
    assert "Enter a valid value." in wrong.text
    assert again(bill).state == State.UNCONFIRMED
    browser("Finance").post(decide(bill, "made"), {"reason": "Seen.", "paddle_transaction_id": transaction})

    assert again(bill).state == State.PUSHED
    assert (again(bill).pushed, again(bill).outstanding) == (14345, 0)
    assert BillEntry.objects.get().amount == 14345
    assert Push.objects.get(pk=push.pk).paddle_transaction_id == transaction
    assert LogEntry.objects.get().get_change_message() == (
        f"It is in Paddle (paddle transaction id {transaction}). Reason: Seen."
    )


def test_a_charge_that_nobody_finds_in_paddle_is_sent_again(browser: Browser) -> None:
    bill = make_bill(make_link(), State.UNCONFIRMED)
    make_push(bill, Push.State.UNCONFIRMED)

    asked = browser("Finance").get(decide(bill, "not_made"))
    browser("Finance").post(decide(bill, "not_made"), {"reason": "Neither in its history nor on its next invoice."})

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
    assert right.note == f"Push {bill.m3ter_bill_id}-1, accepted by paddle."


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


# --- Policy, go-live, findings ---------------------------------------------------------------------------------------

POLICY = {
    "review": "never",
    "mode": "next_billing_period",
    "classic_mode": "classic_modifier",
    "on_payment_failure": "prevent_change",
    "payment_days": "14",
    "issue_invoices": "on",
    "grouping": "line",
    "small": "carry",
    "negative": "carry",
    "changed": "hold",
    "late": "wait",
    "far": "hold",
    "ending": "hold",
    "tax_mode": "external",
    "tax_category": "saas",
    "max_wait_days": "35",
    "lock_after_days": "0",
    "item_name": "{line}",
    "item_description": "{units} {unit}, {period}",
    "reason": "Finance trusts m3ter's approval.",
}


def everybodys() -> PushPolicy:
    return PushPolicy.objects.get(link=None)


def test_the_policy_is_changed_with_a_reason_that_history_keeps(browser: Browser) -> None:
    client = browser("Finance")

    without = client.post(page_of(everybodys()), {**POLICY, "reason": ""})
    assert everybodys().review == "always"
    answer = client.post(page_of(everybodys()), POLICY)

    assert "This field is required." in without.text
    assert answer.status_code == 302
    assert everybodys().review == "never"
    history = client.get(reverse("admin:billing_bridge_pushpolicy_history", args=(everybodys().pk,))).text
    assert "Finance trusts m3ter&#x27;s approval." in history
    assert LogEntry.objects.get().get_change_message().startswith("Changed Which bills does Finance look at")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("item_name", "{customer}", "Only these are filled in: {line}, {product}, {period}, {units}, {unit}."),
        ("item_description", "{line", "Only these are filled in"),
        ("tax_category", "SaaS!", "A tax category is a word in small letters"),
        ("max_wait_days", "0", "greater than or equal to 1"),
        ("max_wait_days", "401", "less than or equal to 400"),
    ],
)
def test_a_policy_that_could_not_work_is_refused(browser: Browser, field: str, value: str, said: str) -> None:
    answer = browser("Finance").post(page_of(everybodys()), {**POLICY, field: value})

    (words,) = answer.context["adminform"].form.errors[field]
    assert said in words
    assert everybodys().review == "always"


def test_the_texts_of_a_policy_show_what_customers_would_read(browser: Browser) -> None:
    client = browser("Finance")
    reads = reverse("admin:billing_bridge_pushpolicy_reads")

    page = client.get(page_of(everybodys())).text
    of_a_sample = client.get(reads, {"text": "{line}, {period}, {nothing}"}).json()
    bill = make_bill(make_link())
    BillRevision.objects.filter(bill=bill).update(lines=[{"description": "<b>Storage</b>", "amount": "1"}])
    of_the_bill = client.get(reads, {"text": "{line}"}).json()

    assert "Customers read: API calls" in page
    assert of_a_sample == {"reads": "Customers read: API calls, 2026-02-01 to 2026-02-28, {nothing}"}
    assert of_the_bill == {"reads": "Customers read: <b>Storage</b>"}
    assert "<b>Storage</b>" not in client.get(page_of(everybodys())).text
    assert browser("nobody").get(reads).status_code == 403


def test_a_link_gets_its_own_policy_and_loses_it_again(browser: Browser) -> None:
    client = browser("Finance")
    link = make_link()

    client.post(reverse("admin:billing_bridge_pushpolicy_add"), {**POLICY, "link": str(link.pk)})
    override = PushPolicy.objects.get(link=link)
    assert override.review == "never"
    twice = client.post(reverse("admin:billing_bridge_pushpolicy_add"), {**POLICY, "link": str(link.pk)})
    assert twice.status_code == 200
    client.post(decide(override, "drop"), {"reason": "No longer needed."})

    assert list(PushPolicy.objects.values_list("link", flat=True)) == [None]
    history = client.get(reverse("admin:billing_bridge_pushpolicy_history", args=(override.pk,))).text
    assert "No longer needed." in history


def test_everybodys_policy_cannot_be_dropped_or_made_twice(browser: Browser) -> None:
    client = browser("Finance")

    dropped = client.post(decide(everybodys(), "drop"), {"reason": "Away with it."}, follow=True)
    added = client.post(reverse("admin:billing_bridge_pushpolicy_add"), POLICY)

    assert "not possible" in dropped.text
    assert added.context["adminform"].form.errors["link"] == ["This field is required."]
    assert PushPolicy.objects.count() == 1


def test_a_reader_sees_the_questions_with_their_consequences(browser: Browser) -> None:
    answer = browser("Auditor").get(page_of(everybodys()))

    assert "Which bills does Finance look at before they are charged?" in answer.text
    assert "a customer pays twice" in answer.text
    assert 'name="review"' not in answer.text


def test_finance_sets_the_go_live_date_and_waiting_bills_are_judged_again(browser: Browser) -> None:
    Installation.objects.update(charge_from=None)
    bill = make_bill(make_link(), State.WAITING, reason=PushedBill.Reason.NOT_LIVE)
    row = Installation.objects.get()

    asked = browser("Finance").get(decide(row, "go_live"))
    browser("Finance").post(decide(row, "go_live"), {"charge_from": "2020-01-01", "reason": "Agreed start."})

    assert "are charged in Paddle" in asked.text
    assert Installation.objects.get().charge_from == dt.date(2020, 1, 1)
    assert (again(bill).state, again(bill).reason) == (State.HELD, PushedBill.Reason.REVIEW)
    assert LogEntry.objects.get().get_change_message() == (
        "Set the go-live date (charge from 2020-01-01). Reason: Agreed start."
    )


@pytest.mark.parametrize(
    ("who", "name", "answer", "column", "value"),
    [
        ("Finance", "lead_days", {"lead_days": "5"}, "lead_days", 5),
        ("Administrator", "trust_codes", {"on": "yes"}, "customer_codes_trusted", True),
        ("Administrator", "look_first", {"on": "yes"}, "look_before_first_push", True),
    ],
)
def test_other_decisions_for_everything_are_kept_with_their_reason(
    browser: Browser, who: str, name: str, answer: dict[str, str], column: str, value: object
) -> None:
    row = Installation.objects.get()

    browser(who).post(decide(row, name), {**answer, "reason": "Decided in the meeting."})

    assert getattr(Installation.objects.get(), column) == value
    assert LogEntry.objects.get().get_change_message().endswith("Reason: Decided in the meeting.")


@pytest.mark.parametrize("days", ["-1", "28", "soon", ""])
def test_impossible_lead_days_are_refused(browser: Browser, days: str) -> None:
    row = Installation.objects.get()

    answer = browser("Finance").post(decide(row, "lead_days"), {"lead_days": days, "reason": "Try."})

    assert answer.status_code == 200
    assert Installation.objects.get().lead_days == 2


def test_a_finding_is_closed_once_with_a_reason(browser: Browser) -> None:
    finding = make_finding()
    client = browser("Operator")

    client.post(decide(finding, "close"), {"reason": "Settled by telephone."})
    twice = client.post(decide(finding, "close"), {"reason": "Again."}, follow=True)

    closed = Finding.objects.get()
    assert (closed.state, closed.close_reason) == ("closed", "Settled by telephone.")
    assert closed.closed_by is not None
    assert closed.closed_by.get_username() == "operator"
    assert "not possible in the state this is in now" in twice.text
    assert LogEntry.objects.count() == 1


def test_a_finding_leads_to_what_it_is_about(browser: Browser, everything: Everything) -> None:
    finding = make_finding(subject=everything.held.m3ter_bill_id)

    answer = browser("Auditor").get(page_of(finding))

    assert [(link.label, link.url) for link in answer.context["links"]] == [("The bill", page_of(everything.held))]
