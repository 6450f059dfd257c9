"""Pages of bills ask the database as often and as much, however many bills there are and whatever happened to one."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge.models import BillEntry, BillRevision, Push, PushAttempt, PushedBill
from integration_project import clock
from tests.builders import make_link
from tests.console.rows import make_bill, make_finding, make_push

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = reverse("admin:billing_bridge_pushedbill_changelist")


def asked(client: Client, page: str) -> list[str]:
    """The queries of a page, seen before so that nothing is read for the first time."""
    client.get(page)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(page).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def make_bills(count: int, *, currency: str = "EUR") -> PushedBill:
    """So many bills, each of an account of its own, charged and paid; the last one."""
    for number in range(count):
        bill = make_bill(make_link(currency=currency), State.HELD if number % 2 else State.PUSHED, total="100")
        lengthen(bill, 1)
    return bill


def lengthen(bill: PushedBill, times: int) -> None:
    """Let so many more things have happened to a bill."""
    begin = bill.pushes.count()
    for number in range(begin, begin + times):
        push = make_push(bill, Push.State.PUSHED, push_id=f"{bill.m3ter_bill_id}-{number}", ordinal=number)
        BillEntry.objects.create(bill=bill, push=push, kind="pushed", amount=1, at=clock.now())
        PushAttempt.objects.create(bill=bill, step="decision", phase="after", at=clock.now(), by="finance")
        make_finding(subject=bill.m3ter_bill_id, key=str(number))
        values = {"m3ter_version": 1, "currency": "EUR", "total": "1", "payable": 100, "lines": []}
        BillRevision.objects.create(
            bill=bill, content_hash=f"{number}", number=number + 2, first_seen_at=clock.now(), **values
        )


@pytest.mark.parametrize(
    "query", [{}, {"state__exact": "held"}, {"q": "code-1"}, {"q": "sub_1"}, {"q": "txn_1"}, {"currency": "EUR"}]
)
def test_the_list_asks_as_often_for_fifty_bills_as_for_five(
    browser: Browser, granted: None, query: dict[str, str]
) -> None:
    client, page = browser("Finance"), f"{LIST}?{urlencode(query)}"
    make_bills(5)
    few = asked(client, page)

    make_bills(45)

    assert len(asked(client, page)) == len(few)


def test_the_page_of_a_bill_asks_as_often_when_fifty_things_happened_to_it_as_when_five_did(
    browser: Browser, granted: None
) -> None:
    client, bill = browser("Finance"), make_bills(5)
    page = reverse("admin:billing_bridge_pushedbill_change", args=(bill.pk,))
    lengthen(bill, 4)
    few = asked(client, page)

    make_bills(20)
    lengthen(bill, 45)

    assert len(asked(client, page)) == len(few)
    shown = {panel.title.partition(":")[0].partition(",")[0]: len(panel.rows) for panel in panels(client, page)}
    assert (shown["Pushes"], shown["Ledger"], shown["Revisions"], shown["Findings"]) == (50, 50, 51, 20)


def panels(client: Client, page: str) -> list[Any]:
    return [panel for panel in client.get(page).context["panels"] if hasattr(panel, "rows")]


def test_nothing_beside_the_list_reads_every_bill(browser: Browser, granted: None) -> None:
    link = make_link()
    for _ in range(51):  # more than a page
        make_bill(link)

    page = f"{LIST}?_facets=True"
    queries = [sql for sql in asked(browser("Finance"), page) if "billing_bridge_pushedbill" in sql]

    assert [sql for sql in queries if "DISTINCT" in sql] == []
    assert [sql for sql in queries if "LIMIT" not in sql and "RECURSIVE" not in sql] == []
    assert "Show counts" not in browser("Finance").get(LIST).text


def test_the_currencies_of_the_filter_are_those_of_the_bills(browser: Browser, granted: None) -> None:
    client = browser("Finance")
    none = choices(client)
    for currency in ("JPY", "EUR", "ZZZ", "EUR"):
        make_bill(make_link(currency=currency), total="100")

    assert none == []
    assert choices(client) == ["EUR", "JPY", "ZZZ"]


def choices(client: Client) -> list[str]:
    specs = client.get(LIST).context["cl"].filter_specs
    return [choice for spec in specs if spec.title == "currency" for choice, _ in spec.lookup_choices]


@pytest.mark.parametrize(
    "query",
    [
        {"state__exact": "held"},
        {"reason__exact": "mismatch"},
        {"payment__exact": "paid"},
        {"currency": "JPY"},
        {"renews": "week"},
        {"first_seen_at__gte": "2026-01-01T00:00:00+00:00"},
        {"q": "code-1"},
        {"q": "sub_1"},
        {"q": "txn_1"},
    ],
    ids=urlencode,
)
def test_whatever_the_list_is_narrowed_by_has_an_index(browser: Browser, granted: None, query: dict[str, str]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole, with or without an index; make bench has a large one")
    make_push(make_bills(3), Push.State.PUSHED, ordinal=9, paddle_transaction_id="txn_1")
    (counted,) = [
        sql for sql in asked(browser("Finance"), f"{LIST}?{urlencode(query)}") if sql.startswith("SELECT COUNT(")
    ]

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {counted}")
        plan = [row[-1] for row in cursor.fetchall()]

    assert [step for step in plan if step.startswith("SCAN") and "pushedbill" in step] == []
    assert [step for step in plan if "billing_bridge_pushedbill" in step] != []
