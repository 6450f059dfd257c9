"""Who may decide what: the whole table of roles and decisions, held at the server and not only by hidden buttons."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from billing_bridge.models import CarriedEntry, PushAttempt, PushedBill, PushPolicy
from integration_project import clock, fixes, roles
from integration_project.ledger_admin import LedgerAdmin
from integration_project.models import ApiKey, Finding, Installation, Mail, MailRule
from paddle_sync.models import (
    AccountLink,
    BulkRun,
    CatalogueEntry,
    EventDecision,
    LateForBill,
    LateUsage,
    PlanMapping,
    UsageBatch,
    UsageFailure,
    UsageUpload,
    WebhookEvent,
)
from tests.builders import make_link
from tests.console.rows import Everything, confirm, make_bill, make_parked
from tests.console.usage_rows import make_usage_file

OPERATORS = {"Operator", "Administrator"}
FINANCIERS = {"Finance", "Administrator"}
WHO_MAY: dict[tuple[type[Model], str], set[str]] = {
    (WebhookEvent, "replay"): OPERATORS,
    (WebhookEvent, "ignore"): OPERATORS,
    (WebhookEvent, "use_account"): OPERATORS,
    (WebhookEvent, "reveal"): {*OPERATORS, "Auditor"},
    (PlanMapping, "remove"): OPERATORS,
    (BulkRun, "begin"): OPERATORS,
    (BulkRun, "look_again"): OPERATORS,
    (BulkRun, "pause"): OPERATORS,
    (BulkRun, "continue"): OPERATORS,
    (BulkRun, "cancel"): OPERATORS,
    (AccountLink, "sync"): OPERATORS,
    (UsageUpload, "send_good"): OPERATORS,
    (UsageUpload, "check_again"): OPERATORS,
    (UsageUpload, "pause"): OPERATORS,
    (UsageUpload, "continue"): OPERATORS,
    (UsageUpload, "discard"): OPERATORS,
    (AccountLink, "relink"): OPERATORS,
    (PushedBill, "approve"): FINANCIERS,
    (PushedBill, "send_now"): FINANCIERS,
    (PushedBill, "send_with_renewal"): FINANCIERS,
    (PushedBill, "send_invoice"): FINANCIERS,
    (PushedBill, "refund"): FINANCIERS,
    (PushedBill, "carry"): FINANCIERS,
    (PushedBill, "settled_outside"): FINANCIERS,
    (PushedBill, "write_off"): FINANCIERS,
    (CarriedEntry, "take_back"): FINANCIERS,
    (PushedBill, "hold"): FINANCIERS,
    (PushedBill, "skip"): FINANCIERS,
    (PushedBill, "resend"): FINANCIERS,
    (PushedBill, "made"): FINANCIERS,
    (PushedBill, "not_made"): FINANCIERS,
    (PushPolicy, "drop"): FINANCIERS,
    (Finding, "close"): {*OPERATORS, *FINANCIERS},
    (Finding, "acknowledge"): {*OPERATORS, *FINANCIERS},
    (Finding, "sync"): OPERATORS,
    (Finding, "import"): OPERATORS,
    (Finding, "subscribe"): OPERATORS,
    (Finding, "move"): OPERATORS,
    (Finding, "run_again"): OPERATORS,
    (Finding, "make_again"): OPERATORS,
    (Finding, "use_account"): OPERATORS,
    (UsageBatch, "send_again"): OPERATORS,
    (UsageBatch, "take_as_sent"): OPERATORS,
    (UsageBatch, "take_back"): OPERATORS,
    (UsageFailure, "close"): OPERATORS,
    (LateForBill, "recalculate"): FINANCIERS,
    (LateForBill, "leave"): FINANCIERS,
    (LateUsage, "price"): FINANCIERS,
    (LateUsage, "write_off"): FINANCIERS,
    (MailRule, "test"): {*OPERATORS, *FINANCIERS},
    (Mail, "again"): {*OPERATORS, *FINANCIERS},
    (ApiKey, "revoke"): OPERATORS,
    (ApiKey, "replace"): OPERATORS,
    (Installation, "go_live"): FINANCIERS,
    (Installation, "lead_days"): FINANCIERS,
    (Installation, "trust_codes"): {"Administrator"},
    (Installation, "look_first"): {"Administrator"},
}
PEOPLE = (*roles.ROLES, "nobody")
ANSWERS = {
    "reason": "Because.",
    "account": "another",
    "charge_from": "2026-01-01",
    "lead_days": "3",
    "on": "yes",
    "amount": "1.50",
    "description": "API calls",
}


def name_of(case: tuple[type[Model], str]) -> str:
    return f"{case[0]._meta.model_name}.{case[1]}"


def row_for(everything: Everything, model: type[Model], decision: str) -> Any:
    """A row that the decision fits."""
    fitting = {
        WebhookEvent: everything.parked,
        PlanMapping: everything.mapping,
        AccountLink: everything.link,
        PushPolicy: everything.override,
        Finding: everything.finding,
        Installation: everything.installation,
        MailRule: everything.mail_rule,
        Mail: everything.failed_mail,
        UsageFailure: everything.usage.failure,
        UsageBatch: everything.usage.held if decision == "take_back" else everything.usage.failed,
        LateForBill: everything.usage.late_bill,
        LateUsage: everything.usage.late,
        ApiKey: everything.api_key,
        UsageUpload: everything.usage_file,
    }
    if decision == "relink":
        return make_link()
    if decision == "use_account" and model is WebhookEvent:
        return make_parked(waiting_for_kind="account conflict")
    if model is Finding:
        return finding_for(everything, decision)
    if model is PushedBill and decision == "refund":
        return make_bill(make_link(), total="-5.00")
    if decision == "send_with_renewal":
        PushPolicy.objects.filter(link=None).update(mode=PushPolicy.Mode.IMMEDIATELY)
        return make_bill(make_link())
    if model is PushedBill:
        return {
            "made": everything.unconfirmed,
            "not_made": everything.unconfirmed,
            "resend": everything.failed_bill,
        }.get(decision, everything.held)
    if model is UsageUpload and decision in {"pause", "continue"}:
        return make_usage_file({"pause": "sending", "continue": "paused"}[decision])
    if model is CarriedEntry:
        return CarriedEntry.objects.get()
    if model is BulkRun:
        return {"pause": everything.running, "continue": everything.paused}.get(decision, everything.previewed)
    return fitting[model]


def finding_for(everything: Everything, decision: str) -> Finding:
    """An open finding of a kind that the decision is for, about something that it can be carried out on."""
    kinds = {entry.name: kind for kind, entry in fixes.TABLE.items() if isinstance(entry, fixes.Fix)}
    kinds |= {each.name: kind for kind, beside in fixes.BESIDE.items() for each in beside}
    kinds |= {"close": "plan missing", "acknowledge": "charge lost"}
    subject = everything.parked.paddle_subscription_id
    if decision == "make_again":
        subject = make_link().paddle_subscription_id
    key, moments = f"pri_{decision}", {"opened_at": clock.now(), "seen_at": clock.now()}
    values = {"severity": Finding.Severity.PROBLEM, "detail": "It differs.", **moments}
    return Finding.objects.create(kind=kinds[decision], subject=subject, key=key, **values)


def decide_url(row: Model, decision: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_decide", args=(row.pk, decision))


def decide_many_url(model: type[Model], decision: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_decide_many", args=(decision,))


def everything_decided() -> list[Any]:
    """All traces that a decision could leave."""
    return [
        list(model._default_manager.order_by("pk").values())
        for model in (
            WebhookEvent,
            EventDecision,
            PlanMapping,
            BulkRun,
            PushedBill,
            PushAttempt,
            PushPolicy,
            Finding,
            Installation,
            MailRule,
            Mail,
            ApiKey,
            UsageUpload,
            LogEntry,
        )
    ]


def test_the_table_names_every_decision_of_the_console() -> None:
    decisions = {
        (model, each.name)
        for model, model_admin in admin.site._registry.items()
        if isinstance(model_admin, LedgerAdmin)
        for each in model_admin.decisions
    }

    assert decisions == set(WHO_MAY)


@pytest.mark.parametrize("case", WHO_MAY, ids=name_of)
def test_a_decision_is_open_to_its_roles_and_to_nobody_else(
    browser: Callable[[str], Client], everything: Everything, case: tuple[type[Model], str]
) -> None:
    model, decision = case
    row = row_for(everything, model, decision)

    opened = {who for who in PEOPLE if browser(who).get(decide_url(row, decision)).status_code == 200}

    assert opened == WHO_MAY[case]


@pytest.mark.parametrize("case", WHO_MAY, ids=name_of)
def test_whoever_posts_a_decision_without_its_role_changes_nothing(
    browser: Callable[[str], Client], everything: Everything, case: tuple[type[Model], str]
) -> None:
    model, decision = case
    row = row_for(everything, model, decision)
    before = everything_decided()
    strangers = [who for who in PEOPLE if who not in WHO_MAY[case]]

    answers = {
        browser(who).post(address, {**ANSWERS, "row": [str(row.pk)]}).status_code
        for who in strangers
        for address in (decide_url(row, decision), decide_many_url(model, decision))
    }

    assert answers == {403}
    assert everything_decided() == before


@pytest.mark.parametrize("case", WHO_MAY, ids=name_of)
def test_a_decision_leaves_who_and_why_in_history(
    browser: Callable[[str], Client], everything: Everything, case: tuple[type[Model], str]
) -> None:
    model, decision = case
    row = row_for(everything, model, decision)
    (who, *_) = sorted(WHO_MAY[case])
    LogEntry.objects.all().delete()

    answer = confirm(browser(who), decide_url(row, decision), {**ANSWERS, "reason": "Agreed with the customer."})

    assert answer.status_code in {200, 302}
    (entry,) = LogEntry.objects.filter(
        object_id=str(row.pk), content_type__model=model._meta.model_name, content_type__app_label=model._meta.app_label
    )
    assert entry.user.get_username() == who.lower()
    assert entry.get_change_message().endswith("Reason: Agreed with the customer.")


@pytest.mark.parametrize("case", WHO_MAY, ids=name_of)
def test_a_decision_without_a_reason_is_not_taken(
    browser: Callable[[str], Client], everything: Everything, case: tuple[type[Model], str]
) -> None:
    model, decision = case
    row = row_for(everything, model, decision)
    before = everything_decided()

    answer = browser("Administrator").post(decide_url(row, decision), {**ANSWERS, "reason": "  "})

    if decision in {"approve", "again"}:  # an approval explains itself, and so does a mail's second attempt
        assert answer.status_code == 302
    else:
        assert "This field is required." in answer.text
        assert everything_decided() == before


def test_the_auditor_is_offered_nothing_that_changes_anything(
    browser: Callable[[str], Client], everything: Everything
) -> None:
    client = browser("Auditor")
    rows = [row_for(everything, model, decision) for model, decision in WHO_MAY]

    buttons = {
        button["label"]
        for row in rows
        for button in client.get(
            reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))
        ).context["buttons"]
    }

    assert buttons == {"Reveal personal data"}


def test_migrations_leave_the_groups_as_the_table_says(granted: None) -> None:
    held = {
        group.name: {f"{each.content_type.app_label}.{each.codename}" for each in group.permissions.all()}
        for group in Group.objects.prefetch_related("permissions__content_type")
    }

    assert held == {name: set(permissions) for name, permissions in roles.ROLES.items()}


def test_every_permission_of_the_table_exists(db: None) -> None:
    existing = {
        f"{each.content_type.app_label}.{each.codename}" for each in Permission.objects.select_related("content_type")
    }

    assert {name for permissions in roles.ROLES.values() for name in permissions} - existing == set()


def test_the_auditor_holds_no_permission_to_change(granted: None) -> None:
    verbs = {name.partition(".")[2].partition("_")[0] for name in roles.ROLES["Auditor"]}

    assert verbs == {"view", "reveal"}


def test_an_administrator_makes_no_superuser_and_touches_none(
    browser: Callable[[str], Client], people: dict[str, User]
) -> None:
    client = browser("Administrator")
    address = reverse("admin:auth_user_change", args=(people["superuser"].pk,))

    answer = client.post(address, {"username": "taken-over", "is_superuser": "on"})
    own = client.post(
        reverse("admin:auth_user_change", args=(people["Administrator"].pk,)),
        {
            "username": "administrator",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "groups": [],
            "reason": "x",
        },
    )

    assert answer.status_code == 403
    assert own.status_code == 302
    assert list(User.objects.filter(is_superuser=True).values_list("username", flat=True)) == ["superuser"]


def test_an_administrator_changes_no_superusers_password(
    browser: Callable[[str], Client], people: dict[str, User]
) -> None:
    address = reverse("admin:auth_user_password_change", args=(people["superuser"].pk,))
    passwords = {"password1": "a-long-enough-one", "password2": "a-long-enough-one"}

    answer = browser("Administrator").post(address, {**passwords, "usable_password": "true"})

    assert answer.status_code == 403


def test_an_administrator_adds_a_user_with_a_role(browser: Callable[[str], Client], people: dict[str, User]) -> None:
    group = Group.objects.get(name="Finance")
    form = {
        "username": "new.colleague",
        "usable_password": "true",
        "password1": "a-long-enough-one",
        "password2": "a-long-enough-one",
        "is_staff": "on",
        "groups": [group.pk],
        "reason": "Joined the finance team.",
    }
    client = browser("Administrator")

    without = client.post(reverse("admin:auth_user_add"), {**form, "reason": ""})
    answer = client.post(reverse("admin:auth_user_add"), form)

    assert without.context["adminform"].form.errors == {"reason": ["This field is required."]}
    assert answer.status_code == 302
    assert LogEntry.objects.get().get_change_message() == "Added. Reason: Joined the finance team."
    added = User.objects.get(username="new.colleague")
    assert added.has_perm("billing_bridge.review_pushedbill")
    assert not added.is_superuser


def test_a_changed_role_and_a_changed_password_are_in_history(
    browser: Callable[[str], Client], people: dict[str, User]
) -> None:
    client = browser("Administrator")
    person = people["Operator"]
    form = {"username": "operator", "is_active": "on", "groups": [], "reason": "Left the company."}
    passwords = {"password1": "a-long-enough-one", "password2": "a-long-enough-one", "usable_password": "true"}

    client.post(reverse("admin:auth_user_change", args=(person.pk,)), form)
    client.post(reverse("admin:auth_user_password_change", args=(person.pk,)), passwords)

    assert not User.objects.get(pk=person.pk).is_staff
    assert User.objects.get(pk=person.pk).check_password("a-long-enough-one")
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == [
        "Changed Staff status, Groups. Reason: Left the company.",
        "Changed the password.",
    ]


def test_whoever_may_not_is_told_so_in_words(browser: Callable[[str], Client], granted: None) -> None:
    answer = browser("Operator").get(reverse("admin:auth_user_changelist"))

    assert answer.status_code == 403
    assert "Your role does not include it. Nothing was changed." in answer.text


def test_only_operators_ask_for_the_catalogues(browser: Callable[[str], Client], granted: None) -> None:
    address = reverse("admin:paddle_sync_catalogueentry_refresh")

    answers = {who: browser(who).post(address).status_code for who in PEOPLE}

    assert answers == {"Operator": 302, "Finance": 403, "Auditor": 403, "Administrator": 302, "nobody": 403}
    assert CatalogueEntry.objects.count() == 0
