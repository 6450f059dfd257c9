"""Existing subscriptions by the thousand are taken in although every part of the import is killed on the way."""

import datetime as dt
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings
from requests import PreparedRequest, Response

from integration_project import clock, work
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync import bulk, existing, jobs
from paddle_sync.models import AccountLink, AccountPlanLink, BulkItem, BulkRun, WebhookEvent
from paddle_sync.queues import EVENTS
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation"), pytest.mark.timeout(1_200)]

TIMES_THE_LIMIT = 10
WHY: dict[str, Any] = {"by": "ann", "reason": "go-live"}
PAST = dt.timedelta(seconds=-1)


class Killed(BaseException):
    """The process is gone: nothing between here and the test may catch this."""


class Fate:
    """Counts the points of one kind that a process passes, and ends it at one of them."""

    def __init__(self, kind: str, at: int) -> None:
        self.kind, self.at, self.passed, self.over = kind, at, 0, False

    def passes(self, kind: str) -> None:
        """Pass a point, or die there; what the database undoes afterwards, it undoes."""
        self.passed += kind == self.kind
        if self.passed == self.at and kind == self.kind and not self.over:
            self.over = True
            raise Killed


@contextmanager
def fated(fate: Fate, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Live until the fate says otherwise: at a statement, ahead of a call, or with its answer unread."""
    send = WsgiAdapter.send

    def mortal_send(adapter: WsgiAdapter, request: PreparedRequest, *rest: Any, **options: Any) -> Response:
        fate.passes("call")
        response = send(adapter, request, *rest, **options)
        fate.passes("answer")
        return response

    def mortal_execute(execute: Callable[..., Any], *arguments: Any) -> Any:
        fate.passes("statement")
        return execute(*arguments)

    with monkeypatch.context() as patched, connection.execute_wrapper(mortal_execute), suppress(Killed):
        patched.setattr(WsgiAdapter, "send", mortal_send)
        yield


def a_minute_passes() -> None:
    """Let the claims of whoever is gone run out, as they do by themselves."""
    BulkRun.objects.update(lease_until=clock.now() + PAST)
    WebhookEvent.objects.filter(state="processing").update(lease_until=clock.now() + PAST)
    work.release_expired(EVENTS)


def killed(fate: Fate, job: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker do a job again and again until it is killed at it, and a minute pass."""
    while not fate.over:
        with fated(fate, monkeypatch):
            job()
    a_minute_passes()


def subscribed(paddle: PaddleSimulator, count: int, chance: random.Random) -> None:
    """Subscriptions whose billing periods began at any time in the last month."""
    for number in range(count):
        began_at = clock.now() - dt.timedelta(days=chance.randint(2, 27), seconds=number)
        paddle.import_subscription(
            email=f"buyer{number}@harbour.example",
            items=[CLOUD],
            imported_from="elsewhere",
            started_at=began_at.isoformat(),
            next_billed_at=(began_at + dt.timedelta(days=30)).isoformat(),
        )


@pytest.mark.parametrize("count", [500, pytest.param(2_000, marks=pytest.mark.chaos)])
def test_every_subscription_is_taken_in_once_although_every_part_is_killed_on_the_way(
    paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    chance = random.Random(20_260_301)
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)  # each of thousands of calls would be told
    settings.PADDLE_CALLS_PER_MINUTE *= TIMES_THE_LIMIT
    settings.M3TER_CALLS_PER_SECOND *= TIMES_THE_LIMIT
    limits: list[Any] = [paddle.rate_limit, m3ter.access.per_organisation, *m3ter.access.per_address.values()]
    for limit in limits:
        limit.limit *= TIMES_THE_LIMIT
    subscribed(paddle, count, chance)
    make_mapping()
    go_live = clock.now().date() - dt.timedelta(days=10)
    Installation.objects.update(charge_from=go_live)
    run = existing.ask(**WHY)

    killed(Fate("answer", chance.randint(2, 3)), jobs.carry_on_bulk_runs, monkeypatch)
    listed = BulkItem.objects.count()
    while BulkRun.objects.get().state == "preparing":
        jobs.carry_on_bulk_runs()
    foreseen = Counter(BulkItem.objects.values_list("verdict", flat=True))
    bulk.start(run.pk, **WHY)
    killed(Fate("statement", chance.randint(50, 3_000)), jobs.carry_on_bulk_runs, monkeypatch)
    fed = WebhookEvent.objects.count()
    killed(Fate("call", chance.randint(50, 500)), jobs.drain_events, monkeypatch)
    made = len(m3ter.memory.accounts.newest_first())
    while BulkRun.objects.get().state == "running":
        jobs.carry_on_bulk_runs()
        jobs.drain_events()

    assert 0 < listed < count
    assert 0 < fed < bulk.MOST_AT_ONCE
    assert 0 < made < fed
    assert foreseen == {"create": count}
    assert dict(bulk.progress(run).counts) == {"changed": count}
    assert WebhookEvent.objects.filter(event_type="subscription.found", state="processed").count() == count
    accounts, plans = list(m3ter.memory.accounts), list(m3ter.memory.account_plans)
    assert sorted(account["code"] for account in accounts) == sorted(paddle.subscriptions)
    assert (len(plans), len({plan["accountId"] for plan in plans})) == (count, count)
    assert (AccountLink.objects.count(), AccountPlanLink.objects.count()) == (count, count)
    refused = [call.status for call in (*paddle.calls, *m3ter.calls) if call.status != 200]
    assert 429 not in refused
    assert len(refused) <= 2  # what a killed worker had made already is refused once, and then found
    assert operations(paddle).count("list subscriptions") < 2 * count / EVENTS.batch

    midnight = dt.datetime.combine(go_live, dt.time(), tzinfo=dt.UTC)
    codes = {account["id"]: account["code"] for account in accounts}
    starts = {codes[plan["accountId"]]: dt.datetime.fromisoformat(plan["startDate"]) for plan in plans}
    periods = {
        key: dt.datetime.fromisoformat(each["current_billing_period"]["starts_at"]).replace(microsecond=0)
        for key, each in paddle.subscriptions.items()
    }
    assert starts == {key: max(midnight, period) for key, period in periods.items()}
    at_go_live = sum(start == midnight for start in starts.values())
    assert count / 10 < at_go_live < count * 9 / 10
