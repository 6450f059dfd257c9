"""Reconciliations in the console: begun with a reason by Finance, what has no reason on top, taken away as a file."""

import re
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge import reconciliation
from billing_bridge.models import ReconciliationRun
from integration_project import clock
from paddle_sync.models import AccountLink
from tests.console.rows import Everything, make_bill, make_reconciliation

Browser = Callable[[str], Client]
RUNS = "/admin/billing_bridge/reconciliationrun/"
ROWS = "/admin/billing_bridge/reconciliationrow/"


def page_of(run: ReconciliationRun) -> str:
    return reverse("admin:billing_bridge_reconciliationrun_change", args=(run.pk,))


def asked() -> dict[str, str]:
    return {"first_day": "2026-01-01", "last_day": "2026-01-31", "account_code": "", "reason": "Month's end."}


def test_finance_begins_one_with_a_reason(browser: Browser) -> None:
    client = browser("Finance")

    answer = client.post(f"{RUNS}reconcile/", asked())

    run = ReconciliationRun.objects.get()
    assert answer["Location"] == page_of(run)
    assert (run.by, run.reason, str(run.first_day), str(run.last_day)) == (
        "finance",
        "Month's end.",
        "2026-01-01",
        "2026-01-31",
    )
    assert LogEntry.objects.get().get_change_message().endswith("Reason: Month's end.")
    page = client.get(page_of(run))
    assert (page["Refresh"], page.context["story"].cause) == ("3", "0 of 0 bills are compared.")


def test_the_days_asked_for_are_filled_in_as_browsers_read_them(browser: Browser) -> None:
    today = clock.now().date()

    page = browser("Finance").get(f"{RUNS}reconcile/").content.decode()

    filled = {field: re.search(rf'name="{field}" value="([^"]*)"', page) for field in ("first_day", "last_day")}
    assert {field: found and found[1] for field, found in filled.items()} == {
        "first_day": str(today - reconciliation.SPAN),
        "last_day": str(today),
    }


@pytest.mark.parametrize("role", ["Operator", "Auditor", "nobody"])
def test_nobody_else_begins_one(browser: Browser, role: str) -> None:
    client = browser(role)

    statuses = {client.get(f"{RUNS}reconcile/").status_code, client.post(f"{RUNS}reconcile/", asked()).status_code}

    assert statuses == {403}
    assert ReconciliationRun.objects.count() == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reason": ""}, "This field is required."),
        ({"account_code": "nowhere"}, "No account with the code nowhere"),
        ({"last_day": "2025-12-31"}, "the last day is before the first"),
    ],
)
def test_what_cannot_be_reconciled_is_said_on_the_form(browser: Browser, changed: dict[str, str], words: str) -> None:
    answer = browser("Finance").post(f"{RUNS}reconcile/", {**asked(), **changed})

    assert answer.status_code == 200
    assert words in answer.text
    assert ReconciliationRun.objects.count() == 0


def test_a_run_says_first_what_has_no_reason(browser: Browser, everything: Everything) -> None:
    run = ReconciliationRun.objects.get()
    ReconciliationRun.objects.filter(pk=run.pk).update(bills=2, unknown=2, new_unknown=1, solved=3, previous=run)

    page = browser("Auditor").get(page_of(run))

    assert page.context["story"].cause == "2 of 2 bills have a difference without a reason."
    assert page.context["story"].effect == "Since these bills were compared last, 1 are new and 3 are solved."
    assert page.context["panels"][0].title == "Without a reason"
    assert len(page.context["panels"][0].rows) == 2
    assert page.context["buttons"] == []


def test_those_without_a_reason_stand_on_top_of_the_list(browser: Browser, link: AccountLink) -> None:
    run = make_reconciliation(*(make_bill(link, total=total) for total in ("10.00", "30.00", "20.00")))
    explained = run.rows.get(m3ter=3000)
    run.rows.filter(pk=explained.pk).update(unknown=0, is_unknown=False, parts=[], reasons="")

    client = browser("Auditor")
    listed = client.get(ROWS)
    filtered = client.get(f"{ROWS}?why=unknown&of=latest&run__id__exact={run.pk}")

    assert [row.m3ter for row in listed.context["cl"].result_list] == [2000, 1000, 3000]
    assert [row.m3ter for row in filtered.context["cl"].result_list] == [2000, 1000]


def test_a_row_leads_to_its_bill_and_to_the_run_before(browser: Browser, link: AccountLink) -> None:
    bill = make_bill(link)
    before, run = make_reconciliation(bill), make_reconciliation(bill)
    ReconciliationRun.objects.filter(pk=run.pk).update(previous=before)

    page = browser("Finance").get(reverse("admin:billing_bridge_reconciliationrow_change", args=(run.rows.get().pk,)))

    assert [each.label for each in page.context["links"]] == ["The bill", "The run", "The same in the run before"]
    assert page.context["story"].cause == "Something about this bill has no reason."


def test_anybody_with_a_role_takes_a_run_away_as_a_file(browser: Browser, link: AccountLink) -> None:
    run = make_reconciliation(make_bill(link))
    address = reverse("admin:billing_bridge_reconciliationrun_export", args=(run.pk,))

    answer = browser("Auditor").get(address)

    assert answer["Content-Type"].startswith("text/csv")
    header, row = b"".join(answer).decode().splitlines()
    assert header.startswith("subject,account,customer,")
    assert row.startswith(run.rows.get().subject)
    assert browser("nobody").get(address).status_code == 403
    assert browser("Auditor").get(address.replace(str(run.pk), "99999")).status_code == 404


def test_the_page_of_a_run_asks_the_database_as_often_for_many_rows_as_for_few(
    browser: Browser, link: AccountLink
) -> None:
    few, many = make_reconciliation(make_bill(link)), make_reconciliation(*(make_bill(link) for _ in range(20)))
    totals = reconciliation.totals(many.rows.iterator())
    ReconciliationRun.objects.update(totals=totals, finished_at=clock.now())
    client = browser("Auditor")
    client.get(page_of(few))

    counts = []
    for run in (few, many):
        with CaptureQueriesContext(connection) as queries:
            client.get(page_of(run))
        counts.append(len(queries))

    assert counts[0] == counts[1]
