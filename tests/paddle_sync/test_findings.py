"""What a person should know of a subscription: told once, closed when it no longer holds."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import AccountLink
from tests.builders import make_event, make_mapping, stamp, subscription
from tests.paddle_sync.seen import operations, told

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def test_an_event_before_the_first_is_kept_and_told_until_the_first_comes(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    began = clock.now() - dt.timedelta(seconds=5)
    make_event("subscription.updated", data)
    run_jobs()
    before = (told(), AccountLink.objects.count(), operations(m3ter))

    make_event("subscription.created", data, occurred_at=began)
    run_jobs()

    assert before == ([("subscription not linked", "")], 0, [])
    assert ("subscription not linked", "") not in told()
    assert AccountLink.objects.count() == 1


def to_be_cancelled() -> dict[str, object]:
    day = stamp(clock.now() + dt.timedelta(days=30))
    return {"action": "cancel", "effective_at": day, "resume_at": None}


def test_a_scheduled_cancellation_is_told_and_closes_when_it_is_taken_back(run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    run_jobs()
    make_event("subscription.updated", {**data, "scheduled_change": to_be_cancelled()})
    run_jobs()
    before, link = told(), AccountLink.objects.get()

    make_event("subscription.updated", data)
    run_jobs()

    assert before == [("change scheduled", "cancel")]
    assert (link.scheduled_action, link.scheduled_at is not None) == ("cancel", True)
    assert told() == []
    assert Finding.objects.get(kind="change scheduled").close_reason == "It no longer holds."
    link.refresh_from_db()
    assert (link.scheduled_action, link.scheduled_at) == ("", None)


def test_what_a_person_closed_is_not_opened_again_for_the_same_reason(operator: User, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    change = to_be_cancelled()
    make_event("subscription.created", data)
    make_event("subscription.updated", {**data, "scheduled_change": change})
    run_jobs()
    Finding.objects.update(state="closed", closed_by=operator, closed_at=clock.now(), close_reason="known")

    make_event("subscription.updated", {**data, "scheduled_change": change})
    run_jobs()

    assert told() == []


def test_status_and_renewal_follow_paddle(run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    run_jobs()
    renewal = clock.now().replace(microsecond=0) + dt.timedelta(days=60)

    make_event("subscription.past_due", {**data, "status": "past_due", "next_billed_at": stamp(renewal)})
    run_jobs()

    link = AccountLink.objects.get()
    assert (link.paddle_status, link.next_billed_at) == ("past_due", renewal)


def test_an_event_that_changes_nothing_is_ignored_and_calls_nobody(
    paddle: PaddleSimulator, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    run_jobs()
    calls = (len(paddle.calls), len(m3ter.calls))

    event = make_event("subscription.activated", data)
    run_jobs()

    event.refresh_from_db()
    assert event.state == "ignored"
    assert (len(paddle.calls), len(m3ter.calls)) == calls
