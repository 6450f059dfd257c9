"""The console's pages of bills with half a million of them: what they cost beside five hundred, in time and queries.

On SQLite it is a hundred thousand.

Bills are written by the database itself, one for every link and month, each with its revision, push, ledger entry and
step, because half a million rows of each through the models would take longer than everything that is measured.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge.models import BillEntry, BillRevision, Push, PushAttempt, PushedBill
from integration_project import clock
from paddle_sync.models import AccountLink
from tests.benchmarks import report
from tests.builders import make_link
from tests.console.rows import make_bill, make_push

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(1800)]

MONTHS = 25
FEW = 500
MANY = 500_000 if connection.vendor == "postgresql" else 100_000
"""SQLite is the demo's database; it takes long to write more."""
ROUNDS = 15
LIST = reverse("admin:billing_bridge_pushedbill_changelist")
YARDSTICK = reverse("admin:paddle_sync_planmapping_add")


def fill(bills: int) -> None:
    """Let there be so many bills; three months in twenty-five are still held, the others pushed."""
    links = bills // MONTHS + 1  # that of the bill that is copied has no other
    have = AccountLink.objects.count()
    now = clock.now()
    AccountLink.objects.bulk_create(
        (
            AccountLink(
                paddle_subscription_id=f"sub_{number:06}",
                paddle_customer_id=f"ctm_{number:06}",
                m3ter_account_id=f"account-{number:06}",
                m3ter_account_code=f"code-{number:06}",
                name=f"Harbour {number:06}",
                currency="JPY" if number % 3 == 0 else "EUR",
                created_at=now,
                updated_at=now,
            )
            for number in range(have, links)
        ),
        batch_size=2_000,
    )
    first = AccountLink.objects.order_by("pk").values_list("pk", flat=True)[have]
    newest = PushedBill.objects.order_by("-pk").values_list("pk", flat=True)[0]
    held = "months.month >= 22"
    copy(
        PushedBill,
        {
            "m3ter_bill_id": "link.m3ter_account_id || '-' || months.month",
            "m3ter_account_id": "link.m3ter_account_id",
            "m3ter_account_code": "link.m3ter_account_code",
            "link_id": "link.id",
            "currency": "link.currency",
            "state": f"CASE WHEN {held} THEN 'held' ELSE 'pushed' END",
            "reason": f"CASE WHEN {held} THEN 'review' ELSE '' END",
            "payment": f"CASE WHEN {held} THEN 'none' ELSE 'paid' END",
            "pushed": f"CASE WHEN {held} THEN 0 ELSE one.payable END",
            "outstanding": f"CASE WHEN {held} THEN one.payable ELSE 0 END",
        },
        "CROSS JOIN months CROSS JOIN paddle_sync_accountlink link "
        f"WHERE link.id >= {int(first)} AND one.id = {PushedBill.objects.earliest('pk').pk} "
        "ORDER BY months.month, link.id",
    )
    beside(newest)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def beside(newest: int) -> None:
    """Give every bill that is newer than this one a revision, and a push, an entry and a step."""
    new = f"CROSS JOIN billing_bridge_pushedbill bill WHERE bill.id > {int(newest)} AND one.id = "
    bill = {"bill_id": "bill.id"}
    copy(BillRevision, bill, f"{new}{BillRevision.objects.earliest('pk').pk}")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_bridge_pushedbill SET revision_id = (SELECT revision.id FROM billing_bridge_billrevision "
            "revision WHERE revision.bill_id = billing_bridge_pushedbill.id) WHERE id > %s",
            [newest],
        )
    pushed = {"push_id": "bill.m3ter_bill_id || '-1'", "revision_id": "bill.revision_id"}
    about = {"paddle_transaction_id": "'txn_' || bill.m3ter_bill_id", "state": "'pushed'"}
    copy(Push, {**bill, **pushed, **about}, f"{new}{Push.objects.earliest('pk').pk} AND bill.state = 'pushed'")
    of_push = f"CROSS JOIN billing_bridge_push push WHERE push.bill_id > {int(newest)} AND one.id = "
    whose = {"bill_id": "push.bill_id", "push_id": "push.id"}
    copy(BillEntry, whose, f"{of_push}{BillEntry.objects.earliest('pk').pk}")
    copy(PushAttempt, whose, f"{of_push}{PushAttempt.objects.earliest('pk').pk}")


def copy(model: type[Model], changed: Mapping[str, str], source: str) -> None:
    """Write copies of one row, `one`, with other values in some columns."""
    columns = [str(field.column) for field in model._meta.concrete_fields if not field.primary_key]
    months = (
        f"WITH RECURSIVE months(month) AS (SELECT 0 UNION ALL SELECT month + 1 FROM months WHERE month < {MONTHS - 1})"
    )
    values = ", ".join(changed.get(column, f"one.{column}") for column in columns)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) {months} SELECT {values} FROM {table} one {source}")


def pages() -> dict[str, str]:
    """Addresses of what is measured: a bill in the middle, the account of the newest."""
    some = PushedBill.objects.filter(state="pushed").order_by("-pk")[FEW // 5]
    return {
        "list of bills": LIST,
        "bills that are held": f"{LIST}?state__exact=held",
        "search by account code": f"{LIST}?q={some.m3ter_account_code}",
        "search by subscription": f"{LIST}?q=sub_{some.m3ter_account_code.removeprefix('code-')}",
        "search that finds nothing": f"{LIST}?q=nothing",
        "bills of one currency": f"{LIST}?currency=JPY",
        "bills for a reason that none has": f"{LIST}?reason__exact=mismatch",
        "bills that have renewed": f"{LIST}?renews=past",
        "page of a bill": reverse("admin:billing_bridge_pushedbill_change", args=(some.pk,)),
    }


@dataclass(frozen=True)
class Cost:
    """Milliseconds of a page's quickest visit, and of the yardstick's in the same minute; the page's queries."""

    time: float
    yardstick: float
    queries: int


def measured(client: Client) -> dict[str, Cost]:
    """Visit each page several times, in turn with a page that has nothing to do with bills.

    Minutes lie between the two measurements, and a machine that does something else meanwhile slows both pages alike.
    """
    costs = {}
    for name, address in pages().items():
        visits = [(visited(client, address), visited(client, YARDSTICK)) for _ in range(ROUNDS)]
        quickest, yardstick = (min(times) for times in zip(*visits, strict=True))
        costs[name] = Cost(quickest, yardstick, queries(client, address))
    return costs


def visited(client: Client, address: str) -> float:
    began = time.perf_counter()
    assert client.get(address).status_code == 200
    return 1000 * (time.perf_counter() - began)


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    return len(captured)


@pytest.fixture
def client(client: Client) -> Client:
    """Somebody who may see and decide everything, and the rows that all others are copies of."""
    client.force_login(User.objects.create_superuser("superuser"))
    first = make_bill(make_link(), PushedBill.State.PUSHED)
    push = make_push(first, Push.State.PUSHED)
    BillEntry.objects.create(bill=first, push=push, kind="pushed", amount=first.payable, at=clock.now())
    return client


def exported(client: Client) -> tuple[float, float]:
    """Milliseconds until a file of every bill begins, and bills a second until it ends."""
    began = time.perf_counter()
    pieces = iter(client.get(f"{LIST}export.csv"))
    first = next(pieces)
    at_first = time.perf_counter()
    lines = first.count(b"\n") + sum(piece.count(b"\n") for piece in pieces)
    return 1000 * (at_first - began), (lines - 1) / (time.perf_counter() - began)


def test_pages_over_half_a_million_bills(client: Client) -> None:
    fill(FEW)
    measured(client)
    few = measured(client)
    began = time.perf_counter()
    fill(MANY)
    report.say(f"{MANY} bills written in {time.perf_counter() - began:.0f} s, on {connection.vendor}")
    many = measured(client)
    begin, rate = exported(client)

    report.say(f"CSV of {MANY} bills: begins after {begin:.0f} ms, {rate:.0f} bills a second, on {connection.vendor}")
    for name, cost in many.items():
        before = few[name]
        slower = cost.yardstick / before.yardstick
        report.at_most(
            f"{name}: time with {MANY} bills, in times with {FEW}",
            cost.time / before.time / slower,
            aim=2,
            unit="times",
            detail=f"{cost.time:.0f} ms against {before.time:.0f} ms while another took {slower:.1f} times as long; "
            f"{cost.queries} queries, on {connection.vendor}",
        )
    assert {name: cost.queries for name, cost in many.items()} == {name: cost.queries for name, cost in few.items()}
