"""Bills as a file: exactly those listed or selected, each with its whole sum, and on record who took them."""

import csv
import datetime as dt
import io
import logging
import re
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing_bridge.admin import bill_export
from billing_bridge.models import Push, PushedBill
from integration_project import spreadsheets
from paddle_sync.models import AccountLink
from tests.builders import make_link
from tests.console.rows import make_bill, make_push

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = reverse("admin:billing_bridge_pushedbill_changelist")
ADDED = ("Pushed", "Carried", "Written off", "Difference")
TAKEN_OFF = ("Lost", "Credited")
# What the address of a list asks for, and how many of the 62 bills that is.
LISTED = {
    "": 62,
    "o=3": 62,
    "state__exact=held": 60,
    "state__exact=failed&state__exact=pushed": 2,
    "payment__exact=paid": 1,
    "currency=JPY": 31,
    "renews=week&state__in=held,failed": 61,
    "q=code-of-one": 1,
    "q=txn_1": 1,
}


def body(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def as_csv(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body(answer).decode(), newline="")))


def as_sheet(answer: Any) -> list[dict[str, Any]]:
    headings, *rows = openpyxl.load_workbook(io.BytesIO(body(answer))).active.values
    return [dict(zip(headings, row, strict=True)) for row in rows]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["m3ter bill"] for row in rows]


def test_the_file_holds_each_bill_with_its_sum_its_states_and_its_ids(browser: Browser, granted: None) -> None:
    link = make_link(name="=Harbour")
    renewal = dt.datetime(2026, 4, 1, 2, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    seen = dt.datetime(2026, 3, 2, 7, 8, 9, tzinfo=dt.UTC)
    sums = {"pushed": 900, "lost": 100, "carried": 150, "credited": 50, "written_off": 25, "outstanding": 75}
    bill = make_bill(
        link,
        State.FAILED,
        payment="paid",
        paid=800,
        refunded=200,
        total="10.00",
        period_start=dt.date(2026, 2, 1),
        period_end=dt.date(2026, 3, 1),
        renews_at=renewal,
        first_seen_at=seen,
        **sums,
    )
    make_push(bill, Push.State.LOST, paddle_transaction_id="txn_1", push_id="first")
    make_push(bill, Push.State.PUSHED, paddle_transaction_id="txn_2", ordinal=2)
    make_push(bill, Push.State.INTENDED, ordinal=3, push_id="third")

    (row,) = as_csv(browser("Auditor").get(f"{LIST}export.csv"))

    assert row == {
        "Customer": "'=Harbour",
        "Period, first day": "2026-02-01",
        "Period, last day": "2026-02-28",
        "Currency": "EUR",
        "Bill total": "10.00",
        "Pushed": "9.00",
        "Lost": "1.00",
        "Credited": "0.50",
        "Carried": "1.50",
        "Written off": "0.25",
        "Difference": "0.75",
        "Paid, before tax": "8.00",
        "Refunded, before tax": "2.00",
        "State": "failed",
        "Reason": "",
        "Payment": "paid",
        "Renews at (UTC)": "2026-04-01T00:30:00Z",
        "First seen at (UTC)": "2026-03-02T07:08:09Z",
        "m3ter bill": bill.m3ter_bill_id,
        "m3ter account": link.m3ter_account_id,
        "m3ter account code": link.m3ter_account_code,
        "Paddle customer": link.paddle_customer_id,
        "Paddle subscription": link.paddle_subscription_id,
        "Paddle transactions": "txn_1 txn_2",
    }
    added, taken_off = (sum(Decimal(row[column]) for column in columns) for columns in (ADDED, TAKEN_OFF))
    assert Decimal(row["Bill total"]) == added - taken_off


def test_amounts_are_numbers_with_the_currencys_decimals_in_both_files(browser: Browser, granted: None) -> None:
    make_bill(make_link(), total="-3.20", reason="negative")
    make_bill(make_link(currency="JPY"), total="15400")
    make_bill(make_link(currency="CLP"), total="100.00")
    client = browser("Finance")

    table = as_csv(client.get(f"{LIST}export.csv"))
    sheet = as_sheet(client.get(f"{LIST}export.xlsx"))

    assert [(row["Currency"], row["Bill total"]) for row in table] == [
        ("CLP", "10000 smallest units of CLP"),
        ("JPY", "15400"),
        ("EUR", "-3.20"),
    ]
    assert [row["Bill total"] for row in sheet] == ["10000 smallest units of CLP", 15400, -3.2]
    assert [list(row) for row in sheet] == [list(row) for row in table]
    assert [row["Customer"] for row in sheet] == [row["Customer"] for row in table]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("query", LISTED)
def test_the_file_holds_exactly_the_bills_of_the_list_in_its_order(
    browser: Browser, granted: None, kind: str, query: str
) -> None:
    euro, yen = make_link(), make_link(currency="JPY")
    for number in range(60):  # more than a page of the list
        make_bill(euro if number % 2 else yen, total=f"{90 - number}00", m3ter_account_code=f"code-{number}")
    make_bill(yen, State.FAILED, m3ter_account_code="code-of-one", total="500")
    paid = make_bill(euro, State.PUSHED, payment="paid")
    make_push(paid, Push.State.PUSHED, paddle_transaction_id="txn_1")
    client = browser("Auditor")
    page = client.get(f"{LIST}?{query}{'&p=2' if LISTED[query] > 50 else ''}")
    listed = [bill.m3ter_bill_id for bill in page.context["cl"].queryset]
    address = re.findall(rf'href="([^"]*export\.{kind}[^"]*)"', page.text)

    answer = client.get(address[0].replace("&amp;", "&"))

    assert ids(as_csv(answer) if kind == "csv" else as_sheet(answer)) == listed
    assert len(listed) == LISTED[query]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_selected_bills_are_exported_and_no_others(browser: Browser, granted: None, kind: str) -> None:
    bills = [make_bill(make_link()) for _ in range(3)]
    keys = [str(bill.pk) for bill in (bills[0], bills[2])]

    answer = browser("Auditor").post(LIST, {"action": f"export_{kind}", "_selected_action": keys})

    found = ids(as_csv(answer) if kind == "csv" else as_sheet(answer))
    assert found == [bills[2].m3ter_bill_id, bills[0].m3ter_bill_id]
    assert LogEntry.objects.get().get_change_message().endswith(": 2 selected by hand.")


def test_all_pages_of_a_filtered_list_may_be_selected(browser: Browser, granted: None) -> None:
    link = make_link()
    held = [make_bill(link) for _ in range(60)]
    make_bill(link, State.PUSHED)
    selected = {"action": "export_csv", "_selected_action": [str(held[0].pk)], "select_across": "1"}

    answer = browser("Auditor").post(f"{LIST}?state__exact=held", selected)

    assert len(as_csv(answer)) == 60
    assert LogEntry.objects.get().get_change_message() == "Exported as CSV: state__exact held."


def test_who_took_which_bills_is_on_record_and_in_the_log(
    browser: Browser, granted: None, caplog: pytest.LogCaptureFixture
) -> None:
    make_bill(make_link())
    make_bill(make_link(), State.PUSHED)
    caplog.set_level(logging.INFO, "integration_project.list_exports")

    body(browser("Auditor").get(f"{LIST}export.csv?state__exact=held&q=&p=0"))

    kept = LogEntry.objects.get()
    assert (kept.user.get_username(), kept.object_repr) == ("auditor", "bills as CSV")
    assert kept.get_change_message() == "Exported as CSV: state__exact held."
    assert caplog.messages == ["auditor exported bills as CSV (state__exact held): 1 rows, whole."]
    history = browser("Administrator").get(reverse("admin:admin_logentry_changelist")).text
    assert "Exported as CSV: state__exact held." in history


def test_the_log_says_of_a_file_that_somebody_broke_off_how_far_it_came(
    browser: Browser, granted: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheets, "PIECE", 1)
    link = make_link()
    for _ in range(3):
        make_bill(link)
    caplog.set_level(logging.INFO, "integration_project.list_exports")

    answer: Any = browser("Auditor").get(f"{LIST}export.csv")
    pieces = iter(answer.streaming_content)
    for _ in ("headings", "first", "second"):
        next(pieces)
    answer.close()

    assert caplog.messages == ["auditor exported bills as CSV (all of them): 2 rows, broken off."]


def test_what_somebody_typed_cannot_begin_a_line_of_the_log(
    browser: Browser, granted: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "integration_project.list_exports")

    body(browser("Auditor").get(f"{LIST}export.csv?q=one%0D%0Atwo&state__exact=held&state__exact=failed"))

    said = "auditor exported bills as CSV (q one two, state__exact held or failed): 0 rows, whole."
    assert caplog.messages == [said]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_whoever_may_not_see_bills_gets_no_file(browser: Browser, granted: None, kind: str) -> None:
    bill = make_bill(make_link())
    client = browser("nobody")

    by_link = client.get(f"{LIST}export.{kind}")
    by_action = client.post(LIST, {"action": f"export_{kind}", "_selected_action": [str(bill.pk)]})

    assert (by_link.status_code, by_action.status_code) == (403, 403)
    assert LogEntry.objects.count() == 0
    assert Client().get(f"{LIST}export.{kind}").status_code == 302


def test_filters_that_are_not_understood_export_nothing_rather_than_everything(browser: Browser, granted: None) -> None:
    make_bill(make_link())

    answer = browser("Auditor").get(f"{LIST}export.csv?first_seen_at__gte=yesterday", follow=True)

    assert answer.redirect_chain == [(LIST, 302)]
    assert "nothing was exported" in answer.text
    assert LogEntry.objects.count() == 0


def test_there_is_no_other_kind_of_file(browser: Browser, granted: None) -> None:
    assert browser("Auditor").get(f"{LIST}export.json").status_code == 404


def test_an_empty_list_offers_no_file(browser: Browser, granted: None) -> None:
    assert "export.csv" not in browser("Auditor").get(LIST).text


def test_a_long_list_takes_no_more_memory_than_a_short_one(
    browser: Browser, granted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill_export, "CHUNK", 50)
    client, link = browser("Auditor"), make_link()
    add_bills(link, 200)
    body(client.get(f"{LIST}export.csv"))
    short = memory_of(client)

    add_bills(link, 1_800)

    assert memory_of(client) < short * 1.5


def add_bills(link: AccountLink, count: int) -> None:
    one = make_bill(link)
    numbers = range(PushedBill.objects.count(), PushedBill.objects.count() + count)
    values = {field.attname: getattr(one, field.attname) for field in PushedBill._meta.concrete_fields[1:]}
    PushedBill.objects.bulk_create(
        PushedBill(**{**values, "m3ter_bill_id": f"bill-{number}", "id": None}) for number in numbers
    )


def memory_of(client: Client) -> int:
    """The most memory that is held at a time while all bills leave, piece by piece."""
    tracemalloc.start()
    try:
        for _ in client.get(f"{LIST}export.csv"):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
