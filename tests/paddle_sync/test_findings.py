"""What happens to a subscription later and is not carried into m3ter yet: told to a person, once."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink
from tests.builders import make_event, make_mapping, stamp, subscription, subscription_item
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


def test_a_removed_item_leaves_its_plan_and_tells_a_person(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )
    both = [
        subscription_item(paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRODUCT_CLOUD),
        subscription_item(paddle_sample.PRICE_INSIGHTS_EUR, paddle_sample.PRODUCT_INSIGHTS),
    ]
    data = subscription(items=both)
    make_event("subscription.created", data)
    run_jobs()

    make_event("subscription.updated", {**data, "items": both[:1]})
    run_jobs()

    assert told() == [("item removed", paddle_sample.PRICE_INSIGHTS_EUR)]
    assert len(list(m3ter.memory.account_plans)) == 2


def test_a_finding_closes_when_it_no_longer_holds(run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    run_jobs()
    make_event("subscription.paused", {**data, "status": "paused"})
    run_jobs()
    before = told()

    make_event("subscription.resumed", data)
    run_jobs()

    assert before == [("subscription paused", "")]
    assert told() == []
    assert Finding.objects.get(kind="subscription paused").close_reason == "It no longer holds."


def test_what_a_person_closed_is_not_opened_again_for_the_same_reason(operator: User, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    make_event("subscription.paused", {**data, "status": "paused"})
    run_jobs()
    Finding.objects.update(state="closed", closed_by=operator, closed_at=clock.now(), close_reason="known")

    make_event("subscription.updated", {**data, "status": "paused"})
    run_jobs()

    assert told() == []


def test_a_change_of_an_item_that_is_not_metered_concerns_nobody(run_jobs: Run) -> None:
    make_mapping()
    make_mapping(paddle_sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    data = subscription()
    seats = subscription_item(paddle_sample.PRICE_SEATS_EUR, paddle_sample.PRODUCT_CLOUD)
    make_event("subscription.created", data)
    run_jobs()

    make_event("subscription.updated", {**data, "items": [*data["items"], seats]})
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
