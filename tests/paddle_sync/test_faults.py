"""Bad days of the vendors, and a worker that dies at every point: in the end one account, its plan, its mapping."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import requests
from django.db import connection

from integration_project import clock, work
from integration_project.connections import _configuration
from integration_project.events import HANDLERS
from integration_project.vendors import Vendors, connect
from integration_project.vendors.http import CallRecord, OpenGate
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.models import AccountLink, AccountPlanLink, EventAttempt, WebhookEvent
from paddle_sync.processing import MOST_ATTEMPTS, process_event
from paddle_sync.queues import EVENTS
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, INSIGHTS, created, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
WRITES = ("create account", "create account plan", "create external mapping")
CALLS = ("get transaction", "get token", *WRITES)


class Killed(BaseException):
    """Nothing catches this, as nothing catches SIGKILL."""


def both_are_mapped() -> None:
    make_mapping()
    make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )


def bought(paddle: PaddleSimulator, deliver: Run) -> str:
    """A checkout of two items whose events have arrived; all but the first of the subscription are left out."""
    checkout = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, INSIGHTS])
    deliver()
    WebhookEvent.objects.exclude(event_type="subscription.created").delete()
    return str(checkout["subscription_id"])


def due_again() -> None:
    """The wait is over, and so is the lease of whoever died."""
    past = clock.now() - dt.timedelta(seconds=1)
    WebhookEvent.objects.filter(state="received").update(due_at=past)
    WebhookEvent.objects.filter(state="processing").update(lease_until=past)


def assert_all_is_there_once(m3ter: M3terSimulator, subscription_id: str) -> None:
    (account,) = [row for row in m3ter.memory.accounts if row["code"] == subscription_id]
    plans = [row for row in m3ter.memory.account_plans if row["accountId"] == account["id"]]
    mappings = [row for row in m3ter.memory.external_mappings if row["m3terId"] == account["id"]]
    link = AccountLink.objects.get(paddle_subscription_id=subscription_id)
    assert sorted(plan["planId"] for plan in plans) == sorted([m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS])
    assert [mapping["externalId"] for mapping in mappings] == [subscription_id]
    assert (link.m3ter_account_id, link.external_mapping_id) == (account["id"], mappings[0]["id"])
    recorded = AccountPlanLink.objects.filter(link=link).values_list("m3ter_account_plan_id", flat=True)
    assert sorted(recorded) == sorted(plan["id"] for plan in plans)


# --- The vendors' bad days ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("kind", ["lose_answer", "error_after", "truncated", "error_before", "html", "redirect"])
def test_a_write_whose_outcome_is_open_is_made_exactly_once(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, operation: str, kind: str
) -> None:
    both_are_mapped()
    subscription_id = bought(paddle, deliver)
    m3ter.fault(operation, kind)

    run_jobs()
    first = created()
    due_again()
    run_jobs()

    assert (first.state, first.attempts) == ("received", 1)
    assert first.due_at is not None
    assert first.due_at > first.received_at
    assert created().state == "processed"
    assert_all_is_there_once(m3ter, subscription_id)


def test_what_the_vendor_said_is_kept_with_each_attempt(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    m3ter.fault("create account plan", "html", status=502)

    run_jobs()

    attempt = EventAttempt.objects.get()
    assert attempt.outcome == "received"
    assert "create account plan" in attempt.detail
    assert [(call["operation"], call["status"]) for call in attempt.calls][-1] == ("create account plan", 502)
    assert created().last_error == attempt.detail


def test_a_vendor_that_asks_to_wait_is_given_that_time(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    m3ter.fault("create account", "too_many", retry_after=120)

    run_jobs()

    event = created()
    assert event.due_at is not None
    assert event.due_at - clock.now() > dt.timedelta(seconds=110)


def test_a_refused_key_leaves_the_event_where_it_is_and_counts_no_attempt(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    m3ter.refuse_key()

    run_jobs()

    assert (created().state, created().attempts) == ("received", 0)
    assert created().last_error


def test_a_firewall_in_front_of_m3ter_parks_this_event_only(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    m3ter.fault("create account", "firewall", times=None)

    run_jobs()

    assert (created().state, created().waiting_for_kind) == ("parked", "m3ter setting")


def test_an_outage_that_does_not_end_exhausts_the_event_visibly(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    m3ter.fault("create account", "error_before", times=None)
    WebhookEvent.objects.update(attempts=MOST_ATTEMPTS - 1)

    run_jobs()

    assert (created().state, created().failure_kind, created().attempts) == ("failed", "exhausted", MOST_ATTEMPTS)


def test_an_event_that_kills_its_worker_each_time_ends_too(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    both_are_mapped()
    bought(paddle, deliver)
    WebhookEvent.objects.update(attempts=MOST_ATTEMPTS)

    run_jobs()

    assert (created().state, created().failure_kind) == ("failed", "exhausted")
    assert operations(m3ter) == []


def test_a_fault_of_our_own_is_recorded_logged_and_visible(
    paddle: PaddleSimulator, vendors: Vendors, deliver: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: WebhookEvent, vendors: Vendors) -> None:
        raise ZeroDivisionError("a personal detail")

    bought(paddle, deliver)
    handlers = {"paddle": {"subscription.created": broken}}

    work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=handlers))

    event = created()
    assert (event.state, event.failure_kind) == ("failed", "internal")
    assert "ZeroDivisionError" in event.note
    assert "a personal detail" not in event.note
    assert any(record.exc_info for record in caplog.records)


# --- A worker that dies ---------------------------------------------------------------------------------------------


class Mortal(WsgiAdapter):
    """A transport in whose middle the process can die: before the vendor hears of it, or right after it acted."""

    def __init__(self, inner: WsgiAdapter, dies: Callable[[str], bool]) -> None:
        super().__init__(inner.app)
        self.dies = dies

    def send(self, *args: Any, **options: Any) -> requests.Response:
        if self.dies("before"):
            raise Killed
        response = super().send(*args, **options)
        if self.dies("after"):
            raise Killed
        return response


def drain(vendors: Vendors) -> None:
    work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=HANDLERS))


@pytest.mark.parametrize("phase", ["before", "after", "after its answer"])
@pytest.mark.parametrize("position", range(1, 7))
def test_a_worker_killed_at_a_vendor_call_leaves_nothing_half_done_or_twice(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    adapters: dict[str, WsgiAdapter],
    deliver: Run,
    phase: str,
    position: int,
) -> None:
    both_are_mapped()
    subscription_id = bought(paddle, deliver)
    begun: list[str] = []

    def is_now(moment: str) -> bool:
        return moment == phase and len(begun) == position

    def answered(record: CallRecord) -> None:
        if is_now("after its answer"):
            raise Killed

    mortal = {name: Mortal(adapter, is_now) for name, adapter in adapters.items()}
    dying = mounted(mortal)
    with dying.listening(before=begun.append, after=answered), pytest.raises(Killed):
        drain(dying)
    died_as = created().state
    due_again()
    drain(vendors)

    assert died_as == "processing"
    assert created().state == "processed"
    assert_all_is_there_once(m3ter, subscription_id)


def mounted(adapters: Mapping[str, WsgiAdapter]) -> Vendors:
    """Clients over these transports, which may die."""
    return connect(_configuration(), gate_for=lambda vendor: OpenGate(), transports=adapters)


@contextmanager
def killed_at_statement(position: int, *, done: bool) -> Iterator[list[str]]:
    """Die at the given write to the database: before it, or when it is done and not yet committed with its others."""
    written: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            return execute(sql, params, many, context)
        written.append(sql)
        if len(written) == position and not done:
            raise Killed
        result = execute(sql, params, many, context)
        if len(written) == position:
            raise Killed
        return result

    with connection.execute_wrapper(watch):
        yield written


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
def test_a_worker_killed_at_any_write_to_the_database_leaves_nothing_half_done_or_twice(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, done: bool
) -> None:
    both_are_mapped()
    paddle.rate_limit.limit = None
    m3ter.limit_requests(None)
    deaths = 0
    for position in range(1, 100):
        WebhookEvent.objects.all().delete()
        subscription_id = bought(paddle, deliver)

        try:
            with killed_at_statement(position, done=done):
                drain(vendors)
        except Killed:
            deaths += 1
        survived = deaths < position
        due_again()
        drain(vendors)

        assert created().state in {"processed", "ignored"}
        assert_all_is_there_once(m3ter, subscription_id)
        if survived:
            break

    assert deaths >= 15
