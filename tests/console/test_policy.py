"""The push policy and the decisions for everything, in the console: plain questions, each change with its reason."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing_bridge.models import BillRevision, ProductRule, PushedBill, PushPolicy
from integration_project.models import Installation
from tests.builders import make_link
from tests.console.rows import again, decide, make_bill, page_of

Browser = Callable[[str], Client]
State = PushedBill.State


@pytest.fixture(autouse=True)
def live(installation: Installation) -> None:
    """Bills are charged since long ago."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


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


def test_accounts_are_named_one_a_line_and_unknown_ones_are_warned_of(browser: Browser) -> None:
    link = make_link(m3ter_account_code="Acme EU")
    make_bill(make_link(), m3ter_account_code="Tokyo Gauge")
    named = f" Acme EU \r\n\r\nTokyo Gauge\r\n{link.m3ter_account_id}\r\nEU\r\nAcme, EU"

    answer = browser("Finance").post(page_of(everybodys()), {**POLICY, "excluded_accounts": named}, follow=True)

    assert everybodys().excluded == {"Acme EU", "Tokyo Gauge", link.m3ter_account_id, "EU", "Acme, EU"}
    (warning, _) = (str(message) for message in answer.context["messages"])
    assert 'no account here has the code or id "Acme, EU", "EU".' in warning


def test_an_account_is_not_both_let_in_and_left_out(browser: Browser) -> None:
    lists = {"allowed_accounts": "Acme EU\r\nAcme", "excluded_accounts": "EU\r\nAcme EU"}

    answer = browser("Finance").post(page_of(everybodys()), {**POLICY, **lists})

    assert answer.context["adminform"].form.errors["excluded_accounts"] == ["Named in both lists: Acme EU."]


def test_the_policy_shows_the_lead_days_and_where_they_are_changed(browser: Browser) -> None:
    Installation.objects.update(lead_days=5)
    link = make_link()
    override = PushPolicy.objects.create(link=link)

    (panel,) = browser("Auditor").get(page_of(everybodys())).context["panels"]

    assert panel.rows[0][:2] == ("How long before the renewal does a bill period end?", "5 days")
    assert panel.more.url == page_of(Installation.objects.get())
    assert browser("Auditor").get(page_of(override)).context["panels"] == ()


def test_a_product_rule_says_whether_its_amounts_include_tax_or_leaves_it_to_the_policy(browser: Browser) -> None:
    client = browser("Finance")
    rule = {"accounting_product": "Shop", "paddle_product_id": "", "tax_category": "saas", "reason": "As agreed."}

    for mode in ("internal", ""):
        ProductRule.objects.all().delete()
        client.post(reverse("admin:billing_bridge_productrule_add"), {**rule, "tax_mode": mode})

        assert ProductRule.objects.get().tax_mode == mode


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
