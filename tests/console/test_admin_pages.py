"""Every page of the console opens for whom it should, escapes what vendors wrote, and stays as quick as it is."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge.models import BillEntry, Push, PushedBill, PushPolicy, ReconciliationRow, ReconciliationRun
from integration_project import roles
from integration_project.models import ApiKey, Finding, Mail, MailRule
from integration_project.pages import home
from paddle_sync.models import (
    AccountLink,
    BulkItem,
    BulkRun,
    CatalogueEntry,
    LateForBill,
    LateUsage,
    PlanMapping,
    UsageBatch,
    UsageDay,
    UsageFailure,
    UsageUpload,
    WebhookEvent,
)
from tests.builders import make_link
from tests.console.outbox_rows import make_batch, make_day, make_failure, make_late_bill, make_late_usage
from tests.console.rows import (
    MARKUP,
    Everything,
    make_api_key,
    make_bill,
    make_entry,
    make_finding,
    make_parked,
    make_push,
    make_reconciliation,
    make_run,
)
from tests.console.usage_rows import make_usage_file

ROLES = tuple(roles.ROLES)
MODELS = tuple(admin.site._registry)
PAGES = ("changelist", "change", "history")
PEOPLE_PAGES = ("auth.user", "auth.group")
MAY_ADD = {
    "paddle_sync.planmapping": {"Operator", "Administrator"},
    "billing_bridge.pushpolicy": {"Finance", "Administrator"},
    "billing_bridge.productrule": {"Finance", "Administrator"},
    "integration_project.mailrule": {"Operator", "Finance", "Administrator"},
    "integration_project.apikey": {"Operator", "Administrator"},
    "paddle_sync.usageupload": {"Operator", "Administrator"},
    "auth.user": {"Administrator"},
}


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def may_see(role: str, model: type[Model]) -> bool:
    return model._meta.label_lower not in PEOPLE_PAGES or role in {"Auditor", "Administrator"}


def name_of(model: type[Model]) -> str:
    return model._meta.label_lower


@pytest.mark.parametrize("role", ROLES)
def test_every_list_and_page_opens_for_whom_it_should(
    browser: Callable[[str], Client], everything: Everything, role: str
) -> None:
    client = browser(role)
    rows = {model: model._default_manager.order_by("pk").first() for model in MODELS}
    assert [name_of(model) for model, row in rows.items() if row is None] == []

    statuses = {
        (name_of(model), page): client.get(url(model, page, *args), follow=True).status_code
        for model, row in rows.items()
        if row is not None
        for page, args in (("changelist", ()), ("change", (row.pk,)), ("history", (row.pk,)))
    }

    expected = {(name_of(model), page): 200 if may_see(role, model) else 403 for model in MODELS for page in PAGES}
    assert statuses == expected


@pytest.mark.parametrize("made_up", ["no number", "99999999", "9" * 30])
def test_an_address_of_a_row_that_never_was_is_answered_and_breaks_nothing(
    browser: Callable[[str], Client], made_up: str
) -> None:
    client = browser("Administrator")

    statuses = {
        (name_of(model), page): client.get(url(model, page, made_up), follow=True).status_code
        for model in MODELS
        for page in ("change", "history")
    }

    assert {key: status for key, status in statuses.items() if status not in (200, 404)} == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_empty_list_says_what_to_do(browser: Callable[[str], Client], role: str) -> None:
    client = browser(role)
    empty = [model for model in MODELS if may_see(role, model) and not model._default_manager.exists()]

    silent = [name_of(model) for model in empty if "Nothing yet." not in client.get(url(model, "changelist")).text]

    assert silent == []
    assert len(empty) >= 15


@pytest.mark.parametrize("role", ROLES)
def test_forms_to_add_open_for_those_who_may_add(browser: Callable[[str], Client], role: str) -> None:
    client = browser(role)

    opened = {name_of(model) for model in MODELS if client.get(url(model, "add")).status_code != 403}

    assert opened == {label for label, allowed in MAY_ADD.items() if role in allowed}


def test_nobody_deletes_rows(browser: Callable[[str], Client], everything: Everything) -> None:
    client = browser("Administrator")
    rows = {model: set(model._default_manager.values_list("pk", flat=True)) for model in MODELS}

    answers = {
        client.post(url(model, "delete", key), {"post": "yes"}).status_code
        for model, keys in rows.items()
        for key in keys
    }

    assert answers == {403}
    assert [name_of(model) for model, keys in rows.items() if model._default_manager.count() < len(keys)] == []


def test_vendors_markup_is_shown_and_never_works(browser: Callable[[str], Client], everything: Everything) -> None:
    client = browser("superuser")
    pages = [reverse("admin:index")]
    for model in MODELS:
        pages.append(url(model, "changelist"))
        for key in model._default_manager.values_list("pk", flat=True):
            pages += [url(model, "change", key), url(model, "history", key)]
    pages.append(url(PlanMapping, "add") + "?paddle_price_id=pri_unmapped")
    pages.append(url(PlanMapping, "add") + f"?paddle_price_id={MARKUP}")
    pages.append(url(PushedBill, "decide", everything.held.pk, "approve"))

    answers = {page: client.get(page, follow=True).text for page in pages}

    assert [page for page, text in answers.items() if "<script>alert" in text] == []
    assert "&lt;script&gt;alert" in answers[url(WebhookEvent, "change", everything.parked.pk)]


GROWN: dict[type[Model], Callable[[Everything, int], object]] = {
    WebhookEvent: lambda rows, number: make_parked(),
    PushedBill: lambda rows, number: make_bill(rows.link),
    Push: lambda rows, number: make_push(make_bill(rows.link), Push.State.FAILED),
    BillEntry: lambda rows, number: BillEntry.objects.create(
        bill=make_bill(rows.link), kind="credited", amount=1, at=rows.held.first_seen_at
    ),
    Finding: lambda rows, number: make_finding(),
    MailRule: lambda rows, number: MailRule.objects.create(addresses=f"a{number}@example.com", topics=["bills"]),
    Mail: lambda rows, number: Mail.objects.create(
        rule=rows.mail_rule, about="test", state="sent", created_at=rows.held.first_seen_at
    ),
    ApiKey: lambda rows, number: make_api_key(client=f"Client {number}"),
    UsageUpload: lambda rows, number: make_usage_file("sending"),
    CatalogueEntry: lambda rows, number: make_entry(CatalogueEntry.Kind.PADDLE_PRICE, f"pri_{number}", "A price"),
    BulkRun: lambda rows, number: make_run(),
    BulkItem: lambda rows, number: make_run(),
    ReconciliationRun: lambda rows, number: make_reconciliation(rows.held),
    ReconciliationRow: lambda rows, number: make_reconciliation(rows.held),
    UsageBatch: lambda rows, number: make_batch(),
    UsageFailure: lambda rows, number: make_failure(batch=rows.usage.failed),
    UsageDay: lambda rows, number: make_day(f"code-{number}"),
    LateUsage: lambda rows, number: make_late_usage(rows.link, make_batch()),
    LateForBill: lambda rows, number: make_late_bill(make_bill(rows.link), rows.usage.failed),
    PlanMapping: lambda rows, number: PlanMapping.objects.create(
        paddle_price_id=f"pri_{number}", effective_from="2026-01-01", target="not_metered"
    ),
    AccountLink: lambda rows, number: AccountLink.objects.create(
        paddle_subscription_id=f"sub_{number}",
        paddle_customer_id="ctm_1",
        m3ter_account_id=f"account-{number}",
        m3ter_account_code=f"code-{number}",
        currency="EUR",
        created_at=rows.held.first_seen_at,
        updated_at=rows.held.first_seen_at,
    ),
    PushPolicy: lambda rows, number: PushPolicy.objects.create(
        link=AccountLink.objects.create(
            paddle_subscription_id=f"sub_{number}",
            paddle_customer_id="ctm_1",
            m3ter_account_id=f"account-{number}",
            m3ter_account_code=f"code-{number}",
            currency="EUR",
            created_at=rows.held.first_seen_at,
            updated_at=rows.held.first_seen_at,
        )
    ),
}


@pytest.mark.parametrize("model", GROWN, ids=name_of)
def test_a_list_asks_the_database_as_often_for_many_rows_as_for_few(
    browser: Callable[[str], Client], everything: Everything, model: type[Model]
) -> None:
    client = browser("Administrator")
    page = url(model, "changelist")
    client.get(page)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(page)

    for number in range(20):
        GROWN[model](everything, number)
    with CaptureQueriesContext(connection) as many:
        client.get(page)

    assert len(many) == len(few)


def test_no_list_counts_a_whole_table(browser: Callable[[str], Client], everything: Everything) -> None:
    client = browser("Administrator")

    with CaptureQueriesContext(connection) as asked:
        client.get(url(WebhookEvent, "changelist"))

    counts = [query["sql"] for query in asked.captured_queries if "COUNT(" in query["sql"]]
    assert [sql for sql in counts if "LIMIT" not in sql and "parked" not in sql] == []


def test_a_list_without_a_match_offers_to_clear_the_filters(
    browser: Callable[[str], Client], everything: Everything
) -> None:
    answer = browser("Operator").get(url(WebhookEvent, "changelist") + "?q=evt_nowhere")

    assert "Nothing matches." in answer.text
    assert "Clear search and filters" in answer.text


@pytest.mark.parametrize("role", ROLES)
def test_home_shows_numbers_that_lead_to_the_lists_behind_them(
    browser: Callable[[str], Client], everything: Everything, role: str
) -> None:
    client = browser(role)

    answer = client.get(reverse("admin:index"))

    assert answer.status_code == 200
    links = {link for link in _links(answer.text) if "?" in link}
    assert len(links) >= 15
    assert {client.get(link, follow=True).status_code for link in links} == {200}


def test_bills_held_for_another_reason_than_the_review_are_listed_without_those_to_review(
    browser: Callable[[str], Client],
) -> None:
    for reason in ("review", "review", "currency", "below minimum"):
        make_bill(make_link(), reason=reason)

    (item,) = [
        item
        for section in home.sections(User.objects.get(username="finance"))
        for card in section.cards
        for item in card.items
        if item.text == "Held for another reason"
    ]

    assert item.value == browser("Finance").get(item.url).context["cl"].result_count == 2


def test_a_number_of_home_is_the_number_of_rows_behind_it(
    browser: Callable[[str], Client], everything: Everything
) -> None:
    make_parked()
    client = browser("Operator")

    answer = client.get(reverse("admin:index"))

    (link,) = (link for link in _links(answer.text) if "waiting_for_key=pri_unmapped" in link)
    listed = client.get(link)
    assert listed.context["cl"].result_count == 2
    assert f'href="{link.replace("&", "&amp;")}" aria-label="Waiting for price Pro, monthly' in answer.text


def test_somebody_without_a_role_is_told_so(browser: Callable[[str], Client], everything: Everything) -> None:
    answer = browser("nobody").get(reverse("admin:index"))

    assert answer.status_code == 200
    assert "You have no role yet." in answer.text
    assert "Needs attention" not in answer.text


@pytest.mark.parametrize("path", ["/admin/", "/admin/paddle_sync/webhookevent/", "/admin/billing_bridge/pushedbill/1/"])
def test_nobody_sees_anything_without_logging_in(granted: None, path: str) -> None:
    answer = Client().get(path)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_the_environment_is_on_every_page_in_words(
    browser: Callable[[str], Client], everything: Everything, settings: Any
) -> None:
    client = browser("Operator")
    pages = [reverse("admin:index"), url(WebhookEvent, "changelist"), url(PushedBill, "change", everything.held.pk)]
    sandbox = [client.get(page).text for page in pages] + [Client().get(reverse("admin:login")).text]

    settings.PADDLE_ENVIRONMENT = "live"
    live = [client.get(page).text for page in pages] + [Client().get(reverse("admin:login")).text]

    assert all("SANDBOX" in text and "No real money moves." in text for text in sandbox)
    assert all("LIVE" in text and "Real customers are charged." in text for text in live)
    assert not any("SANDBOX" in text for text in live)


def test_no_page_asks_anybody_outside(browser: Callable[[str], Client], everything: Everything) -> None:
    client = browser("Administrator")
    pages = [reverse("admin:index"), url(WebhookEvent, "changelist"), url(PushedBill, "change", everything.held.pk)]

    texts = [client.get(page).text for page in pages]

    assert not any(
        source in text for text in texts for source in ('src="http', 'src="//', 'rel="stylesheet" href="http')
    )
    assert Client().get("/favicon.ico").status_code == 302


def _links(text: str) -> list[str]:
    return [
        part.split('"')[0].replace("&amp;", "&")
        for part in text.split('class="c-value')[1:]
        for part in part.split('href="')[1:2]
    ]
