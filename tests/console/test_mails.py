"""The pages of mails: who may decide who is mailed about what, and what they show."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from billing_bridge.models import PushPolicy
from integration_project import clock, jobs
from integration_project.models import Finding, Mail, MailedFinding, MailRule
from tests.console.rows import confirm
from tests.integration_project.mail_rows import a_minute, make_rule, open_one

Browser = Callable[[str], Client]

ADD = "/admin/integration_project/mailrule/add/"
LIST = "/admin/integration_project/mailrule/"
PEOPLE = ("Operator", "Finance", "Auditor", "Administrator", "nobody")
TOPICS = ("bills", "events", "connections", "usage", "everything")
DECIDED_BY = {
    "Operator": {"events", "connections", "usage"},
    "Finance": {"bills"},
    "Auditor": set(),
    "Administrator": set(TOPICS),
    "nobody": set(),
}


def page_of(rule: MailRule) -> str:
    return reverse("admin:integration_project_mailrule_change", args=(rule.pk,))


def answers(*topics: str, **changes: Any) -> dict[str, Any]:
    values = {"addresses": "a@example.com", "topics": topics, "severity": "problem", "active": "on", "reason": "Asked."}
    return {**values, **changes}


@pytest.mark.parametrize("who", PEOPLE)
def test_each_role_makes_rules_about_its_own_topics_only(browser: Browser, who: str) -> None:
    client = browser(who)

    for topic in TOPICS:
        client.post(ADD, answers(topic))

    assert {rule.topics[0] for rule in MailRule.objects.all()} == DECIDED_BY[who]


@pytest.mark.parametrize("who", PEOPLE)
def test_each_role_changes_rules_about_its_own_topics_only(browser: Browser, who: str) -> None:
    client = browser(who)
    rules = {topic: make_rule(topics=[topic]) for topic in TOPICS}

    statuses = {
        topic: client.post(page_of(rule), answers(topic, addresses="thief@example.com")).status_code
        for topic, rule in rules.items()
    }

    changed = {rule.topics[0] for rule in MailRule.objects.filter(addresses="thief@example.com")}
    assert changed == DECIDED_BY[who]
    assert {topic for topic, status in statuses.items() if status == 302} == DECIDED_BY[who]
    assert {status for topic, status in statuses.items() if topic not in DECIDED_BY[who]} <= {403}


def test_nobody_widens_a_rule_beyond_their_own_topics(browser: Browser) -> None:
    rule = make_rule(topics=["events"])

    answer = browser("Operator").post(page_of(rule), answers("events", "bills"))

    assert answer.status_code == 200
    assert "Select a valid choice. bills is not one of the available choices." in answer.text
    rule.refresh_from_db()
    assert rule.topics == ["events"]


def test_a_rule_of_both_is_read_by_all_and_changed_by_administrators(browser: Browser) -> None:
    rule = make_rule(topics=["events", "bills"])

    pages = {who: browser(who).get(page_of(rule)) for who in ("Operator", "Finance", "Auditor", "Administrator")}

    assert {who for who, page in pages.items() if 'name="reason"' in page.text} == {"Administrator"}
    assert all("Charging and bills, Events and mappings" in pages[who].text for who in ("Operator", "Auditor"))
    assert browser("nobody").get(page_of(rule)).status_code == 403
    assert browser("nobody").get(LIST).status_code == 403


@pytest.mark.parametrize(
    ("addresses", "kept"),
    [
        ("a@example.com", "a@example.com"),
        (" a@example.com ,b@example.com;\r\nA@example.com\n", "a@example.com\nb@example.com"),
        ("\n".join(f"a{number}@example.com" for number in range(11)), None),
        ("nobody", None),
        ("a@example.com\r\nBcc: b@example.com", None),
        ("Jo <a@example.com>", None),
        ("jö@example.com", None),
        ("a@example.com\x00b@example.com", None),
        ("   ", None),
    ],
)
def test_only_addresses_are_taken_each_once(browser: Browser, addresses: str, kept: str | None) -> None:
    answer = browser("Operator").post(ADD, answers("events", addresses=addresses))

    assert answer.status_code == (200 if kept is None else 302)
    assert list(MailRule.objects.values_list("addresses", flat=True)) == ([] if kept is None else [kept])


@pytest.mark.parametrize("missing", ["reason", "topics", "severity", "addresses"])
def test_a_rule_without_an_answer_is_not_made(browser: Browser, missing: str) -> None:
    given = answers("events")
    del given[missing]

    answer = browser("Operator").post(ADD, given)

    assert answer.context["adminform"].form.errors == {missing: ["This field is required."]}
    assert not MailRule.objects.exists()


def test_a_rule_made_in_the_console_does_not_mail_what_is_open(browser: Browser) -> None:
    open_one("plan missing")
    browser("Operator").post(ADD, answers("events"))

    assert a_minute() == []
    assert MailedFinding.objects.get().state == "known"
    open_one("plan missing")
    assert [each.to for each in a_minute()] == [["a@example.com"]]


def test_every_change_is_in_history_with_its_reason(browser: Browser) -> None:
    client = browser("Finance")
    client.post(ADD, answers("bills"))
    rule = MailRule.objects.get()
    changed = {key: value for key, value in answers("bills", addresses="b@example.com").items() if key != "active"}
    client.post(page_of(rule), {**changed, "reason": "She left."})

    history = client.get(reverse("admin:integration_project_mailrule_history", args=(rule.pk,))).text

    assert "addresses: a@example.com → b@example.com" in history
    assert "active: True → False" in history
    assert "She left." in history
    messages = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert messages == ["Added. Reason: Asked.", "Changed Whom to mail, Mail by this rule. Reason: She left."]


def test_a_test_mail_is_confirmed_sent_and_seen(browser: Browser) -> None:
    rule = make_rule(topics=["bills"])
    client = browser("Finance")
    address = reverse("admin:integration_project_mailrule_decide", args=(rule.pk, "test"))

    client.get(address)
    assert not Mail.objects.exists()
    answer = confirm(client, address, {"reason": "New address."})
    jobs.send_mails()

    assert "1 mail rule given a test mail, which goes out in a moment." in answer.text
    assert [each.subject for each in mail.outbox] == ["[SANDBOX] Test mail of the console"]
    page = client.get(page_of(rule)).text
    assert "Test mail</a>" in page
    assert ">Sent<" in page


def test_while_mail_is_off_the_pages_say_so(browser: Browser, settings: Settings) -> None:
    rule = make_rule(topics=["events"])
    client = browser("Operator")
    on = [client.get(address).text for address in (LIST, page_of(rule))]
    settings.MAIL_IS_ON = False

    off = [client.get(address).text for address in (LIST, page_of(rule))]
    refused = confirm(
        client, reverse("admin:integration_project_mailrule_decide", args=(rule.pk, "test")), {"reason": "Try."}
    )

    said = "Mail is off: EMAIL_URL is not set. Nobody is mailed about anything."
    assert [said in text.replace("</p>\n            <p>", " ") for text in on] == [False, False]
    assert said in off[0]
    assert "Mail is off: EMAIL_URL is not set." in off[1]
    assert "Mail is off: EMAIL_URL is not set." in refused.text
    assert not Mail.objects.exists()


def test_the_page_names_the_mail_server_and_not_its_password(browser: Browser, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_HOST_PASSWORD = "mail.example.com", "hidden-word"

    text = browser("Auditor").get(LIST).text

    assert "To the mail server mail.example.com, from " in text
    assert "hidden-word" not in text


def test_a_mail_shows_what_it_said_and_to_whom(browser: Browser) -> None:
    make_rule(addresses="a@example.com\nb@example.com")
    open_one("plan missing", "sub_1")
    a_minute()
    row = Mail.objects.get()

    text = browser("Auditor").get(reverse("admin:integration_project_mail_change", args=(row.pk,))).text

    assert "[SANDBOX] 1 problem opened: plan missing" in text
    assert "- sub_1, opened" in text
    assert "a@example.com" in text
    assert "b@example.com" in text


def test_a_mail_that_was_given_up_is_sent_again_from_its_page(browser: Browser) -> None:
    rule = make_rule()
    values = {"rule": rule, "about": "opened", "kind": "plan missing", "created_at": clock.now()}
    row = Mail.objects.create(state="failed", last_error="550 nobody of that name", attempts=30, **values)
    told = Finding.objects.get(pk=open_one("plan missing").pk)
    MailedFinding.objects.create(rule=rule, finding=told, state="unsent", mail=row)
    client = browser("Operator")
    page = client.get(reverse("admin:integration_project_mail_change", args=(row.pk,)))

    answer = confirm(client, reverse("admin:integration_project_mail_decide", args=(row.pk, "again")), {"reason": ""})
    jobs.send_mails()

    assert "550 nobody of that name" in page.text
    assert [button["label"] for button in page.context["buttons"]] == ["Send again"]
    assert "1 mail on its way again." in answer.text
    assert [each.subject for each in mail.outbox] == ["[SANDBOX] 1 problem opened: plan missing"]
    row.refresh_from_db()
    assert row.state == "sent"


def test_everybodys_policy_leads_to_who_is_mailed(browser: Browser) -> None:
    policy = PushPolicy.objects.get(link=None)

    page = browser("Finance").get(reverse("admin:billing_bridge_pushpolicy_change", args=(policy.pk,)))

    assert [(link.label, link.url) for link in page.context["links"]] == [("Who is mailed about what", LIST)]
