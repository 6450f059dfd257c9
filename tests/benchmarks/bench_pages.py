"""Pages over long tables: what ten thousand rows cost beside a hundred, in time and in queries."""

import time

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integration_project import clock
from paddle_sync.models import AccountLink, CatalogueEntry, PlanMapping
from tests.benchmarks import report
from tests.builders import LONG_AGO, paddle_id

pytestmark = pytest.mark.django_db

FEW, MANY = 100, 10_000
ROUNDS = 9
MAPPINGS = reverse("admin:paddle_sync_planmapping_changelist")
PAGES = {
    "list of mappings": MAPPINGS,
    "form of a new mapping": reverse("admin:paddle_sync_planmapping_add"),
    "search of the plan picker": f"{MAPPINGS}choices/?side=m3ter&q=plan",
    "search of a picker that finds nothing": f"{MAPPINGS}choices/?side=m3ter&q=nothing",
    "list of accounts": reverse("admin:paddle_sync_accountlink_changelist"),
    "search in the list of accounts": reverse("admin:paddle_sync_accountlink_changelist") + "?q=Harbour+00042",
}


def fill(first: int, last: int) -> None:
    """Add plans with their prices and mappings, and links."""
    now, numbers = clock.now(), range(first, last)
    kinds = CatalogueEntry.Kind
    CatalogueEntry.objects.bulk_create(
        CatalogueEntry(kind=kind, vendor_id=f"{kind}-{n}", name=f"{word} {n:05}", code=f"c{n}", seen_at=now)
        for n in numbers
        for kind, word in ((kinds.M3TER_PLAN, "Plan"), (kinds.PADDLE_PRICE, "Price"))
    )
    PlanMapping.objects.bulk_create(
        PlanMapping(
            paddle_price_id=f"{kinds.PADDLE_PRICE}-{n}",
            effective_from=LONG_AGO,
            target=PlanMapping.Target.PLAN,
            m3ter_plan_id=f"{kinds.M3TER_PLAN}-{n}",
            m3ter_product_id="product",
        )
        for n in numbers
    )
    AccountLink.objects.bulk_create(
        AccountLink(
            paddle_subscription_id=f"sub-{n}",
            paddle_customer_id=paddle_id("ctm"),
            m3ter_account_id=f"account-{n}",
            m3ter_account_code=f"sub-{n}",
            name=f"Harbour {n:05}",
            currency="EUR",
            paddle_status="active",
            next_billed_at=now,
            created_at=now,
            updated_at=now,
        )
        for n in numbers
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def measured(client: Client) -> dict[str, tuple[float, int]]:
    """Milliseconds of the quickest of several visits of each page, and its queries."""
    return {
        name: (min(visited(client, address) for _ in range(ROUNDS)), queries(client, address))
        for name, address in PAGES.items()
    }


def visited(client: Client, address: str) -> float:
    began = time.perf_counter()
    assert client.get(address).status_code == 200
    return 1000 * (time.perf_counter() - began)


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    return len(captured)


def test_pages_over_ten_thousand_rows(client: Client) -> None:
    client.force_login(User.objects.create_superuser("superuser"))
    fill(0, FEW)
    measured(client)
    few = measured(client)
    fill(FEW, MANY)
    many = measured(client)

    for name in PAGES:
        (time_few, _), (time_many, queries_many) = few[name], many[name]
        report.at_most(
            f"{name}: time at {MANY} rows, in times at {FEW}",
            time_many / time_few,
            aim=3,
            unit="times",
            detail=f"{time_many:.0f} ms against {time_few:.0f} ms, {queries_many} queries, on {connection.vendor}",
        )
    assert {name: queries for name, (_, queries) in many.items()} == {
        name: queries for name, (_, queries) in few.items()
    }
