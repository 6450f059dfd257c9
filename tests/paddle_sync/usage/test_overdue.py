"""Usage that was accepted and does not move by itself is told to people, until it moves."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.models import Finding, Installation
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import parking
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, UsageBatch, WebhookEvent
from paddle_sync.usage import jobs, outbox, overdue
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER
from tests.paddle_sync.usage.metered import accept, item

pytestmark = pytest.mark.django_db

Run = Callable[[], int]


def open_ones() -> list[tuple[str, str]]:
    """What is told now, and about what."""
    return list(Finding.objects.filter(state="open", kind__in=overdue.KINDS).values_list("kind", "subject"))


def test_usage_that_waits_for_an_account_for_a_day_is_told_until_it_goes(
    paddle: PaddleSimulator, installation: Installation, deliver: Run, run_jobs: Run
) -> None:
    refresh_catalogue()
    subscription_id = paddle.complete_checkout(**{**BUYER, "email": "b@example.com"})["subscription_id"]
    deliver()
    run_jobs()
    accept(item(None, "a", paddle_subscription_id=subscription_id, ts=clock.now().isoformat()))

    jobs.tell_of_overdue()
    assert open_ones() == []

    UsageBatch.objects.update(received_at=clock.now() - dt.timedelta(days=1, hours=1))
    jobs.tell_of_overdue()
    assert open_ones() == [("usage waiting", subscription_id)]
    assert "parked" in Finding.objects.get(kind="usage waiting").detail

    make_mapping()
    parking.resume(WebhookEvent.objects.all(), by="anna", reason="mapped")
    run_jobs()
    jobs.release_held()
    jobs.tell_of_overdue()
    assert open_ones() == []


def test_usage_that_was_given_up_is_told_until_somebody_decides(link: AccountLink) -> None:
    accept(item(link, "a"), item(link, "b"))
    batch = UsageBatch.objects.get()
    UsageBatch.objects.update(state=UsageBatch.State.FAILED, due_at=None, note="m3ter refuses all of it.")

    jobs.tell_of_overdue()
    assert open_ones() == [("usage not sent", "usage")]
    assert "2 measurements" in Finding.objects.get(kind="usage not sent").detail

    outbox.take_as_sent(batch.pk, by="anna", reason="it is in m3ter")
    jobs.tell_of_overdue()
    assert open_ones() == []
