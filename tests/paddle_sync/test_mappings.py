"""What operators decide about prices: followed, waited for, and acted on when it is saved."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import mappings, subscribed
from paddle_sync.models import AccountLink, AccountPlanLink, PlanMapping, WebhookEvent
from tests.builders import make_event, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD, INSIGHTS, SEATS, created, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def test_a_price_wins_over_its_product(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping(product=paddle_sample.PRODUCT_CLOUD, plan=m3ter_sample.PLAN_BULK)
    make_mapping(plan=m3ter_sample.PLAN_SCALE)
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])

    deliver()
    run_jobs()

    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]


def test_the_latest_mapping_that_has_begun_is_followed(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    today = clock.now().date()
    make_mapping(plan=m3ter_sample.PLAN_BULK)
    make_mapping(plan=m3ter_sample.PLAN_SCALE, effective_from=today - dt.timedelta(days=1))
    make_mapping(plan=m3ter_sample.PLAN_BULK, effective_from=today + dt.timedelta(days=1))
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])

    deliver()
    run_jobs()

    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]


def test_one_undecided_price_parks_the_event_before_anything_is_written(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, INSIGHTS])

    deliver()
    run_jobs()

    event = created()
    assert event.state == "parked"
    assert (event.waiting_for_kind, event.waiting_for_key) == ("price", paddle_sample.PRICE_INSIGHTS_EUR)
    assert event.note == (
        f'No m3ter plan is mapped to Paddle price "Gauge Insights, Monthly" ({paddle_sample.PRICE_INSIGHTS_EUR}).'
        " Nothing was created in m3ter. Map the price or its product, or mark it as not metered; this event and all"
        " others that wait for it will then run by themselves."
    )
    assert (operations(paddle), operations(m3ter)) == ([], [])
    assert AccountLink.objects.count() == 0


def test_all_undecided_prices_are_named(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> None:
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, INSIGHTS])

    deliver()
    run_jobs()

    assert paddle_sample.PRICE_CLOUD_EUR in created().note
    assert paddle_sample.PRICE_INSIGHTS_EUR in created().note


@pytest.mark.parametrize("by_product", [False, True])
def test_saving_the_mapping_of_a_price_or_its_product_lets_the_event_go_on(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, by_product: bool
) -> None:
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])
    deliver()
    run_jobs()
    parked = WebhookEvent.objects.filter(state="parked").count()
    mapping = make_mapping(product=paddle_sample.PRODUCT_CLOUD) if by_product else make_mapping()

    resumed = mappings.saved(mapping, by="anna")
    run_jobs()

    event = created()
    assert (parked, resumed) == (2, 2)
    assert (event.state, event.replays, event.waiting_for_kind) == ("processed", 1, "")
    decision = event.decisions.get()
    assert (decision.action, decision.by) == ("resume", "anna")
    assert len(list(m3ter.memory.accounts)) == 1
    assert [attempt.outcome for attempt in event.history.order_by("number")] == ["parked", "processed"]


def test_saving_the_mapping_of_another_price_resumes_nothing(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])
    deliver()
    run_jobs()

    resumed = mappings.saved(make_mapping(paddle_sample.PRICE_INSIGHTS_EUR), by="anna")

    assert (resumed, created().state) == (0, "parked")


def test_a_mapping_that_begins_too_late_is_named_as_the_reason(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    tomorrow = clock.now().date() + dt.timedelta(days=1)
    make_mapping(effective_from=tomorrow)
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])

    deliver()
    run_jobs()

    assert f"A mapping of {paddle_sample.PRICE_CLOUD_EUR} begins on {tomorrow}" in created().note


def test_two_plans_of_one_product_park_the_event_until_a_mapping_changes(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    second = make_mapping(paddle_sample.PRICE_SEATS_EUR, plan=m3ter_sample.PLAN_BULK)
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, SEATS])
    deliver()
    run_jobs()
    before = (created().state, created().waiting_for_kind, created().waiting_for_key, operations(m3ter))

    PlanMapping.objects.filter(pk=second.pk).update(m3ter_plan_id=m3ter_sample.PLAN_SCALE)
    second.refresh_from_db()
    resumed = mappings.saved(second, by="anna")
    run_jobs()

    assert before == ("parked", "plan conflict", m3ter_sample.PRODUCT_CLOUD, [])
    assert (resumed, created().state) == (2, "processed")
    assert AccountPlanLink.objects.get().quantity == 11


def test_a_price_that_comes_to_be_waited_for_while_the_undecided_are_counted_ends_no_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_event(
        "subscription.created", subscription(), state="parked", waiting_for_kind="price", waiting_for_key="pri_1"
    )
    monkeypatch.setattr(subscribed, "_waiting", list)  # as if it was parked a moment after

    found, _ = subscribed.undecided(5)

    assert [each.price_id for each in found] == ["pri_1"]
