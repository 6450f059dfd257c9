"""The buyers of a backlog are read by few calls, and each account gets its own buyer."""

import datetime as dt
from collections.abc import Callable
from functools import partial

import pytest

from integration_project import clock, work
from integration_project.events import HANDLERS
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
AN_HOUR = dt.timedelta(hours=1)


def backlog(paddle: PaddleSimulator, deliver: Run, count: int, *, imported: bool = False) -> dict[str, str]:
    """First events that have waited for an hour; gives each subscription's e-mail."""
    paddle.rate_limit.limit = None
    begin = paddle.import_subscription if imported else paddle.complete_checkout
    emails = [f"buyer{number}@harbour.example" for number in range(count)]
    bought = {str(begin(email=email, name="Harbour", items=[CLOUD])["subscription_id"]): email for email in emails}
    deliver()
    WebhookEvent.objects.exclude(event_type__in=("subscription.created", "subscription.imported")).delete()
    WebhookEvent.objects.update(occurred_at=clock.now() - AN_HOUR)
    make_mapping()
    return bought


def calls(*simulators: PaddleSimulator | M3terSimulator) -> int:
    return sum(len(operations(simulator)) for simulator in simulators)


def test_a_created_event_of_a_backlog_costs_hardly_more_than_its_three_writes(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run
) -> None:
    m3ter.limit_requests(None)
    bought = backlog(paddle, deliver, 2 * EVENTS.batch)

    # One turn, however slow the machine: what is given back at a turn's end is read again.
    work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=HANDLERS), seconds=600)

    assert AccountLink.objects.count() == len(bought)
    assert operations(paddle) == ["list subscriptions", "list transactions"] * 2
    assert calls(paddle, m3ter) / len(bought) < 3.2
    assert {account["code"]: account["emailAddress"] for account in m3ter.memory.accounts} == bought


def test_what_a_lagging_list_does_not_show_is_read_alone(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = backlog(paddle, deliver, 3)
    paddle.fault("list transactions", "list_lag", seconds=600)

    run_jobs()

    assert operations(paddle) == ["list subscriptions", "list transactions"] + ["get transaction"] * 3
    assert {account["code"]: account["emailAddress"] for account in m3ter.memory.accounts} == bought


@pytest.mark.parametrize("kind", ["html", "error_before", "truncated"])
def test_buyers_that_cannot_be_read_together_are_read_one_by_one(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, kind: str
) -> None:
    bought = backlog(paddle, deliver, 3)
    paddle.fault("list transactions", kind, times=1)

    run_jobs()

    assert operations(paddle) == ["list subscriptions", "list transactions"] + ["get transaction"] * 3
    assert {event.attempts for event in WebhookEvent.objects.all()} == {1}
    assert {account["code"]: account["emailAddress"] for account in m3ter.memory.accounts} == bought


def test_buyers_of_subscriptions_from_elsewhere_are_read_together_and_their_addresses_where_paddle_lists_them(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = backlog(paddle, deliver, 4, imported=True)
    renewed, *others = bought
    paddle.subscriptions[renewed]["next_billed_at"] = paddle.world.stamp(clock.now() - AN_HOUR)
    paddle.run_renewals()

    run_jobs()

    assert operations(paddle) == [
        "list subscriptions",
        "list customers",
        "list transactions",
        *["get address"] * len(others),
    ]
    assert {account["code"]: account["emailAddress"] for account in m3ter.memory.accounts} == bought
    assert {account["address"]["country"] for account in m3ter.memory.accounts} == {"DE"}


def test_buyers_read_for_one_claim_serve_no_other(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    backlog(paddle, deliver, EVENTS.batch + 2)

    run_jobs()

    assert operations(paddle).count("list transactions") == 2
