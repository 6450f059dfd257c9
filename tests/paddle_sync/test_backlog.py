"""A backlog of events is checked against Paddle by few calls, and each event against its own subscription."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from paddle_sync import reading_ahead
from paddle_sync.models import AccountLink, SubscriptionSnapshot, WebhookEvent
from paddle_sync.queues import EVENTS
from tests.builders import make_event, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD, SEATS, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
AN_HOUR = dt.timedelta(hours=1)


def backlog(paddle: PaddleSimulator, deliver: Run, count: int) -> list[str]:
    """Checkouts whose first events have waited for an hour."""
    paddle.rate_limit.limit = None
    items = [CLOUD, SEATS]
    bought = [
        paddle.complete_checkout(email=f"buyer{number}@harbour.example", items=[items[number % 2]])
        for number in range(count)
    ]
    deliver()
    WebhookEvent.objects.exclude(event_type="subscription.created").delete()
    WebhookEvent.objects.update(occurred_at=clock.now() - AN_HOUR)
    make_mapping()
    make_mapping(sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    return sorted(str(checkout["subscription_id"]) for checkout in bought)


def lists(paddle: PaddleSimulator) -> int:
    return operations(paddle).count("list subscriptions")


def test_the_events_of_one_claim_are_checked_by_one_call(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    ids = backlog(paddle, deliver, EVENTS.batch + 1)

    run_jobs()

    assert lists(paddle) == 2
    reads = SubscriptionSnapshot.objects.filter(event_type="read")
    assert sorted(reads.values_list("paddle_subscription_id", flat=True)) == ids
    assert all(read.data["id"] == read.paddle_subscription_id for read in reads)
    assert AccountLink.objects.count() == 11
    assert {event.attempts for event in WebhookEvent.objects.all()} == {1}


def test_a_subscription_that_paddle_does_not_know_is_told_and_keeps_no_other_back(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    backlog(paddle, deliver, 3)
    unknown = subscription()
    make_event("subscription.created", unknown, occurred_at=clock.now() - AN_HOUR)

    run_jobs()

    assert lists(paddle) == 1
    assert WebhookEvent.objects.exclude(state="processed").exclude(state="ignored").count() == 0
    assert open_findings() == [("unknown to Paddle", "")]


def test_an_id_that_paddle_would_not_take_is_asked_for_alone(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    backlog(paddle, deliver, 3)
    make_event("subscription.created", subscription("sub_1"), occurred_at=clock.now() - AN_HOUR)

    run_jobs()

    assert lists(paddle) == 2
    assert AccountLink.objects.filter(paddle_status="active").exclude(paddle_subscription_id="sub_1").count() == 2


@pytest.mark.parametrize("kind", ["html", "error_before", "truncated"])
def test_a_list_that_cannot_be_read_together_is_read_one_by_one(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, kind: str
) -> None:
    backlog(paddle, deliver, 3)
    paddle.fault("list subscriptions", kind, times=1)

    run_jobs()

    assert lists(paddle) == 4
    assert {event.attempts for event in WebhookEvent.objects.all()} == {1}


def test_a_fresh_event_among_old_ones_is_not_asked_for(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    ids = backlog(paddle, deliver, 3)
    WebhookEvent.objects.filter(paddle_subscription_id=ids[0]).update(occurred_at=clock.now())

    run_jobs()

    reads = SubscriptionSnapshot.objects.filter(event_type="read")
    assert sorted(reads.values_list("paddle_subscription_id", flat=True)) == ids[1:]


def claimed(paddle: PaddleSimulator, deliver: Run) -> WebhookEvent:
    backlog(paddle, deliver, 2)
    lease = "00000000-0000-4000-8000-000000000001"
    WebhookEvent.objects.update(state="processing", lease=lease, lease_until=clock.now() + AN_HOUR)
    return WebhookEvent.objects.order_by("pk")[0]


def test_what_was_read_for_another_claim_or_long_ago_is_read_again(
    paddle: PaddleSimulator, deliver: Run, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = claimed(paddle, deliver)
    reading_ahead.subscription(event, vendors)
    reading_ahead.subscription(WebhookEvent.objects.order_by("pk")[1], vendors)
    together = lists(paddle)

    monkeypatch.setattr(reading_ahead, "FRESH", dt.timedelta())
    reading_ahead.subscription(event, vendors)
    too_old = lists(paddle)
    monkeypatch.undo()
    WebhookEvent.objects.update(lease="00000000-0000-4000-8000-000000000002")
    event.refresh_from_db()
    reading_ahead.subscription(event, vendors)

    assert (together, too_old, lists(paddle)) == (1, 2, 3)
