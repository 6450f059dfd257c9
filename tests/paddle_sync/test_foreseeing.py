"""What the test of a mapping against a past event foresees is what the handler then does."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import foreseeing
from paddle_sync.models import AccountPlanLink, WebhookEvent
from tests.builders import make_event, make_mapping, stamp, subscription

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def existing_subscription() -> str:
    """One that began a year ago, whose current period began ten days ago; nothing of it was worked on yet."""
    now = clock.now()
    data = subscription(started_at=stamp(now - dt.timedelta(days=365)))
    data["items"][0]["created_at"] = stamp(now - dt.timedelta(days=365))
    data["current_billing_period"] = {
        "starts_at": stamp(now - dt.timedelta(days=10)),
        "ends_at": stamp(now + dt.timedelta(days=20)),
    }
    return make_event("subscription.found", data).event_id


def test_an_existing_subscription_follows_the_mapping_of_the_day_its_item_began(run_jobs: Run) -> None:
    make_mapping(plan=m3ter_sample.PLAN_SCALE)
    about = existing_subscription()
    newer = make_mapping(plan=m3ter_sample.PLAN_SEATS, effective_from=clock.now().date() - dt.timedelta(days=30))

    _, (foreseen,) = foreseeing.try_out(newer, about)
    run_jobs()

    assert foreseen.mapping is not None
    assert foreseen.mapping.m3ter_plan_id == AccountPlanLink.objects.get().m3ter_plan_id == m3ter_sample.PLAN_SCALE
    assert not foreseen.by_candidate


def test_an_existing_subscription_that_is_older_than_every_mapping_follows_the_one_its_metering_begins_under(
    run_jobs: Run,
) -> None:
    about = existing_subscription()
    only = make_mapping(effective_from=clock.now().date() - dt.timedelta(days=30))

    _, (foreseen,) = foreseeing.try_out(only, about)
    run_jobs()

    assert foreseen.by_candidate
    assert AccountPlanLink.objects.get().m3ter_plan_id == only.m3ter_plan_id


def test_an_alert_of_classic_can_be_tried_too(
    classic: ClassicSimulator, deliver: Run, installation: Installation
) -> None:
    classic.subscribe(email="kai@customer.example", quantity=3)
    deliver()
    mapping = make_mapping(str(classic_sample.PLAN_TEAM))
    alert = WebhookEvent.objects.get(event_type="subscription_created")

    seen, (foreseen,) = foreseeing.try_out(mapping, alert.event_id)

    assert alert in foreseeing.recent(mapping, 5)
    assert foreseen.by_candidate
    assert (seen.subscription_id, foreseen.item.quantity) == (alert.paddle_subscription_id, 3)
