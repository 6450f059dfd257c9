"""Alerts of Paddle Classic that never arrived are found in its history, and none is taken twice."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.errors import IntegrationError
from integration_project.events import needed_of
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from paddle_sync import gaps, jobs
from paddle_sync.models import AccountLink, ListPosition, WebhookEvent
from tests.builders import make_mapping

Run = Callable[[], int]
NEEDED = needed_of("paddle_classic")


@pytest.fixture(autouse=True)
def _a_day_back(classic: ClassicSimulator, installation: Installation) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    Installation.objects.update(pinned_at=clock.now() - dt.timedelta(days=4))
    classic.clock.move(-dt.timedelta(days=2, hours=5))


def types() -> list[str]:
    return list(WebhookEvent.objects.order_by("pk").values_list("event_type", flat=True))


def test_alerts_of_days_without_an_address_are_fetched_in_their_order_and_run(
    classic: ClassicSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example", name="Kai")
    classic.clock.move(dt.timedelta(days=1))
    classic.change_quantity(made["subscription_id"], 7)
    classic.outbox.clear()

    said = jobs.fetch_missed_events()
    run_jobs()

    assert types() == ["subscription_created", "subscription_payment_succeeded", "subscription_updated"]
    assert said.endswith("3 events listed, 3 of them fetched because no webhook had come")
    assert AccountLink.objects.get().paddle_subscription_id == made["subscription_id"]
    assert Finding.objects.get(kind="webhooks missing").subject == "Paddle Classic's alerts"


def test_what_arrived_is_not_taken_twice(classic: ClassicSimulator, vendors: Vendors, deliver: Run) -> None:
    classic.subscribe(email="kai@customer.example", name="Kai")
    deliver()
    before = types()

    looked = gaps.fetch(vendors, gaps.CLASSIC, NEEDED)

    assert (looked.listed, looked.fetched) == (2, 0)
    assert types() == before


def test_an_alert_whose_history_has_another_id_is_recognised_by_what_it_says(
    classic: ClassicSimulator, vendors: Vendors, deliver: Run
) -> None:
    classic.subscribe(email="kai@customer.example", name="Kai")
    deliver()
    for event in WebhookEvent.objects.all():
        WebhookEvent.objects.filter(pk=event.pk).update(event_id=f"9{event.event_id}")
    before = types()

    gaps.fetch(vendors, gaps.CLASSIC, NEEDED)

    assert types() == before


def test_a_quiet_history_is_not_read_from_the_beginning_each_time(classic: ClassicSimulator, vendors: Vendors) -> None:
    gaps.fetch(vendors, gaps.CLASSIC, NEEDED)
    first = len(classic.calls)

    gaps.fetch(vendors, gaps.CLASSIC, NEEDED)

    assert (first, len(classic.calls) - first) == (5, 1)
    position = dt.datetime.fromisoformat(ListPosition.objects.get().position)
    assert gaps.OVERLAP - dt.timedelta(minutes=1) < clock.now() - position < gaps.OVERLAP + dt.timedelta(minutes=2)


@pytest.mark.parametrize(
    "harm", [lambda paddle: paddle.revoke_key(), lambda paddle: paddle.fault("list events", "error_before")]
)
def test_classics_alerts_are_fetched_though_billings_list_cannot_be_read(
    classic: ClassicSimulator, paddle: PaddleSimulator, vendors: Vendors, harm: Callable[[PaddleSimulator], object]
) -> None:
    classic.subscribe(email="kai@customer.example")
    classic.outbox.clear()
    harm(paddle)

    with pytest.raises(IntegrationError):
        jobs.fetch_missed_events()

    assert types() == ["subscription_created", "subscription_payment_succeeded"]
