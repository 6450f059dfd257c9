"""Usage in the console: where it is, what m3ter has counted, and what people decide about it."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from billing_bridge.models import PushedBill
from integration_project import clock
from integration_project.models import Finding, ScheduledJob
from paddle_sync.models import (
    AccountLink,
    CatalogueEntry,
    LateForBill,
    LateUsage,
    SeenMeter,
    UsageBatch,
    UsageDay,
    UsageFailure,
    UsageUid,
    UsageUpload,
)
from paddle_sync.usage import failures, seeing
from tests.builders import make_event, make_link, subscription
from tests.console.outbox_rows import make_batch, make_day, make_failure, make_late_bill, make_late_usage
from tests.console.rows import (
    Everything,
    account_page,
    confirm,
    decide,
    make_bill,
    make_entry,
    make_finding,
    page_of,
)

Browser = Callable[[str], Client]
SEEN = "/admin/paddle_sync/usageday/seen/"


# --- Usage ------------------------------------------------------------------------------------------------------------


def test_the_page_counts_measurements_by_where_they_are(browser: Browser) -> None:
    make_batch(items=1200, failed_later=3)
    make_batch(UsageBatch.State.HELD, items=40)
    make_batch(UsageBatch.State.READY, items=7)
    make_batch(UsageBatch.State.FAILED, items=2)
    make_batch(items=9999, received_at=clock.now() - dt.timedelta(days=2))

    panel = browser("Auditor").get(SEEN).context["panels"][0]

    assert {row[0]: strip_tags(row[1]) for row in panel.rows} == {
        "Received": "1,249",
        "Taken by m3ter": "1,200",
        "On the way": "7",
        "Waits for an account": "40",
        "Not taken: to be decided": "2",
        "Dropped by m3ter afterwards": "3",
        "Later than an approved bill": "0",
    }


def test_every_link_of_the_page_leads_somewhere(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    make_finding(kind=seeing.STOPPED, subject=everything.link.paddle_subscription_id)

    text = client.get(SEEN).text

    links = {part.split('"')[0].replace("&amp;", "&") for part in text.split('href="/admin/paddle_sync/')[1:]}
    assert len(links) > 10
    assert {client.get(f"/admin/paddle_sync/{link}", follow=True).status_code for link in links} == {200}


def test_usage_that_nothing_would_bill_is_listed_with_what_to_do(browser: Browser, everything: Everything) -> None:
    text = browser("Operator").get(SEEN).text

    assert page_of(everything.link) in text
    assert "Usage without a plan" in text
    assert "stray &lt;script&gt;" in text


def test_the_page_asks_the_database_as_often_for_many_accounts_as_for_few(
    browser: Browser, everything: Everything
) -> None:
    client = browser("Administrator")
    make_finding(kind=seeing.STOPPED, subject=everything.link.paddle_subscription_id)
    client.get(SEEN)
    with CaptureQueriesContext(connection) as few:
        client.get(SEEN)

    for number in range(20):
        link = make_link()
        make_day(link.m3ter_account_code, problem=UsageDay.Problem.NO_PLAN)
        make_day(f"stray-{number}", problem=UsageDay.Problem.NO_ACCOUNT)
        make_finding(kind=seeing.STOPPED, subject=link.paddle_subscription_id)
        make_batch()
    with CaptureQueriesContext(connection) as many:
        client.get(SEEN)

    assert len(many) == len(few)


def test_whoever_may_has_usage_read_again(browser: Browser) -> None:
    make_entry(CatalogueEntry.Kind.M3TER_METER, "meter-1", "API calls", code="api_calls")
    address = reverse("admin:paddle_sync_usageday_again")

    answer = browser("Finance").post(address, follow=True)

    assert "A worker reads m3ter&#x27;s usage now" in answer.text
    assert SeenMeter.objects.get().asked_at is not None
    assert browser("Auditor").post(address).status_code == 403
    assert browser("Finance").get(address).status_code == 302


def test_without_a_meter_it_says_what_to_do_first(browser: Browser) -> None:
    answer = browser("Operator").post(reverse("admin:paddle_sync_usageday_again"), follow=True)

    assert "Read the catalogue first." in answer.text


# --- An account's page ------------------------------------------------------------------------------------------------


def test_an_account_shows_its_usage_as_a_plot_beside_a_table(browser: Browser, link: AccountLink) -> None:
    make_day(link.m3ter_account_code, total="1234.5")
    make_day(link.m3ter_account_code, days_ago=3, total="-10")

    text = browser("Auditor").get(account_page(link)).text

    yesterday = clock.now().date() - dt.timedelta(days=1)
    assert text.count('class="c-bar"') == 2
    assert 'role="img"' in text
    assert f"<title>{yesterday}: 1,234.5</title>" in text
    assert '<td><span class="c-money">1,234.5</span></td>' in text


def test_an_account_asks_as_often_for_many_days_as_for_few(browser: Browser, link: AccountLink) -> None:
    client = browser("Auditor")
    make_day(link.m3ter_account_code)
    bill = make_bill(link)
    make_late_bill(bill, make_batch())
    client.get(account_page(link))
    with CaptureQueriesContext(connection) as few:
        client.get(account_page(link))

    for number in range(2, 20):
        make_day(link.m3ter_account_code, days_ago=number)
        make_day(link.m3ter_account_code, days_ago=number, field=f"field-{number}")
        make_late_bill(make_bill(link), make_batch())
    with CaptureQueriesContext(connection) as many:
        text = client.get(account_page(link)).text

    assert len(many) == len(few)
    assert "more fields are not drawn" in text


def test_an_account_without_usage_says_so(browser: Browser, link: AccountLink) -> None:
    assert "m3ter has counted nothing of this account" in browser("Auditor").get(account_page(link)).text


def test_account_bill_and_batch_show_usage_that_came_later(browser: Browser, link: AccountLink) -> None:
    bill, batch = make_bill(link), make_batch(late=3)
    late = make_late_bill(bill, batch)
    client = browser("Finance")

    for page in (account_page(link), page_of(bill), page_of(batch)):
        assert page_of(late) in client.get(page).text, page


def test_a_file_shows_the_bills_that_it_came_too_late_for(browser: Browser, link: AccountLink) -> None:
    upload = UsageUpload.objects.create(
        name="march.csv", via="console", by="olga", made_at=clock.now(), state="done", rows=3, accepted=3, late=3
    )
    late = make_late_bill(make_bill(link), make_batch(upload=upload, late=3))

    assert page_of(late) in browser("Finance").get(page_of(upload)).text


# --- Failures ---------------------------------------------------------------------------------------------------------


def test_closing_the_last_failure_of_a_group_closes_its_finding(browser: Browser) -> None:
    rows = [make_failure(whose=UsageFailure.Whose.OURS) for _ in range(2)]
    failures.tell()
    assert Finding.objects.get().state == Finding.State.OPEN
    keys = [str(row.pk) for row in rows]

    address = reverse("admin:paddle_sync_usagefailure_decide_many", args=("close",))
    browser("Operator").post(address, {"row": keys, "reason": "Sent again."})

    assert set(UsageFailure.objects.values_list("state", "closed_by", "close_reason")) == {
        (UsageFailure.State.CLOSED, "operator", "Sent again.")
    }
    assert Finding.objects.get().state == Finding.State.CLOSED


@pytest.mark.parametrize("kind", [*failures.KNOWN, "SomethingNew", "unknown_meter"])
@pytest.mark.parametrize("state", UsageFailure.State.values)
def test_every_kind_and_state_of_a_failure_is_said_in_words(browser: Browser, kind: str, state: str) -> None:
    row = make_failure(kind=kind, state=state, closed_by="olga", close_reason="Sent again.")

    story = browser("Auditor").get(page_of(row)).context["story"]

    assert story.cause.endswith((".", ":"))
    assert story.next_step or state == UsageFailure.State.CLOSED


# --- Batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", UsageBatch.State.values)
def test_every_state_of_a_batch_is_said_in_words(browser: Browser, state: str) -> None:
    batch = make_batch(state, paddle_subscription_id="sub_1")

    answer = browser("Auditor").get(page_of(batch))

    assert answer.context["story"].cause
    assert "endpoint" in answer.text


def test_a_held_batch_leads_to_the_event_it_waits_for_and_can_be_taken_back(browser: Browser) -> None:
    data = subscription()
    event = make_event("subscription.created", data, state="parked", due_at=None, waiting_for_kind="price")
    batch = make_batch(UsageBatch.State.HELD, paddle_subscription_id=data["id"])
    client = browser("Operator")
    assert page_of(event) in client.get(page_of(batch)).text

    confirm(client, decide(batch, "take_back"), {"reason": "Never to be measured."})

    batch.refresh_from_db()
    assert batch.state == UsageBatch.State.TAKEN_BACK
    assert not UsageUid.objects.filter(batch_id=batch.pk).exists()


def test_a_failed_batch_is_sent_again_with_a_reason(browser: Browser) -> None:
    batch = make_batch(UsageBatch.State.FAILED)
    client = browser("Operator")

    client.post(decide(batch, "send_again"), {"reason": ""})
    batch.refresh_from_db()
    assert batch.state == UsageBatch.State.FAILED

    confirm(client, decide(batch, "send_again"), {"reason": "m3ter has none of it."})

    batch.refresh_from_db()
    assert batch.state == UsageBatch.State.READY
    assert ScheduledJob.objects.filter(name="wake-up usage").exists() or batch.due_at is not None


# --- Late usage -------------------------------------------------------------------------------------------------------


def test_asking_for_a_bill_to_be_calculated_again_shows_how_much_came_late(browser: Browser, link: AccountLink) -> None:
    late = make_late_bill(make_bill(link), make_batch(late=3))
    client = browser("Finance")
    asked = client.get(decide(late, "recalculate")).text
    assert "3 measurements are in m3ter" in asked

    confirm(client, decide(late, "recalculate"), {"reason": "Agreed with the customer."})

    late.refresh_from_db()
    assert (late.state, late.asked_by, late.reason) == (
        LateForBill.State.ASKED,
        "finance",
        "Agreed with the customer.",
    )
    assert late.due_at is not None


def test_finance_prices_late_usage_in_the_accounts_currency(browser: Browser, link: AccountLink) -> None:
    row = make_late_usage(link, make_batch())

    answers = {"amount": "12.5", "description": "API calls of February", "reason": "Agreed."}
    confirm(browser("Finance"), decide(row, "price"), answers)

    row.refresh_from_db()
    assert (row.state, row.amount, row.exact, row.currency) == (LateUsage.State.ASKED, 1250, "12.50", link.currency)


def test_an_amount_with_too_many_decimals_is_told_and_nothing_is_asked(browser: Browser, link: AccountLink) -> None:
    row = make_late_usage(link, make_batch())

    answers = {"amount": "12.505", "description": "API calls", "reason": "Agreed."}
    answer = confirm(browser("Finance"), decide(row, "price"), answers)

    row.refresh_from_db()
    assert row.state == LateUsage.State.REVIEW
    assert "has 2 decimals; 12.505 has more" in answer.text


@pytest.mark.parametrize("state", LateUsage.State.values)
def test_every_state_of_late_usage_is_said_in_words(browser: Browser, link: AccountLink, state: str) -> None:
    row = make_late_usage(link, make_batch(), state=state, amount=100, currency="EUR", last_error="No.")

    assert browser("Auditor").get(page_of(row)).context["story"].cause


@pytest.mark.parametrize("state", LateForBill.State.values)
def test_every_state_of_a_late_bill_is_said_in_words(browser: Browser, link: AccountLink, state: str) -> None:
    row = make_late_bill(make_bill(link), make_batch())
    LateForBill.objects.update(state=state)

    assert browser("Auditor").get(page_of(row)).context["story"].cause


# --- Home -------------------------------------------------------------------------------------------------------------


def test_home_counts_usage_that_waits_for_a_person(browser: Browser, everything: Everything) -> None:
    text = browser("Operator").get(reverse("admin:index")).text

    for words in ("Not taken by m3ter", "Did not come to count", "Wait for an account", "To be priced"):
        assert f'aria-label="{words}: 1"' in text, words
    assert 'aria-label="Approved bills with later usage: 1"' in text


def test_home_asks_the_database_as_often_for_much_usage_as_for_little(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    home = reverse("admin:index")
    client.get(home)
    with CaptureQueriesContext(connection) as few:
        client.get(home)

    for state in UsageBatch.State.values:
        make_batch(state)
        make_failure()
    with CaptureQueriesContext(connection) as many:
        client.get(home)

    assert len(many) == len(few)
    assert PushedBill.objects.exists()
