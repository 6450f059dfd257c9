"""What each thing that happens to a subscription costs in vendor calls, heard of at once and an hour later."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import WebhookEvent
from tests.benchmarks import report
from tests.builders import make_event, make_mapping
from tests.paddle_sync.seen import CLOUD, SEATS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
Paddle = PaddleSimulator
PRO = {"price_id": paddle_sample.PRICE_CLOUD_PRO_EUR, "quantity": 1}
DAY = dt.timedelta(days=1)
AGES = {"fresh": dt.timedelta(), "old": dt.timedelta(hours=1)}


def paused(paddle: Paddle, subscription_id: str) -> None:
    paddle.pause(subscription_id)


CHANGES: dict[str, tuple[Callable[[Paddle, str], object], Callable[[Paddle, str], object]]] = {
    "swap inside one product": (lambda paddle, key: None, lambda paddle, key: paddle.change_items(key, [PRO])),
    "item added": (lambda paddle, key: None, lambda paddle, key: paddle.change_items(key, [CLOUD, SEATS])),
    "quantity, of no interest": (lambda paddle, key: None, lambda paddle, key: paddle.change_quantity(key, 7)),
    "pause": (lambda paddle, key: None, lambda paddle, key: paddle.pause(key)),
    "resume": (paused, lambda paddle, key: paddle.resume(key)),
    "cancellation": (lambda paddle, key: None, lambda paddle, key: paddle.cancel(key)),
}
"""What happened before, and what is counted."""


@pytest.fixture
def bought(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> str:
    """A subscription of three days ago with its account and plan; it is still that day in Paddle."""
    paddle.clock_move(days=-3)
    make_mapping()
    make_mapping(paddle_sample.PRICE_CLOUD_PRO_EUR, plan=m3ter_sample.PLAN_BULK)
    make_mapping(paddle_sample.PRICE_SEATS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS)
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    worked_off(deliver, run_jobs)
    return str(made["subscription_id"])


def worked_off(deliver: Run, run_jobs: Run) -> None:
    """Let what happened arrive and be worked on."""
    deliver()
    run_jobs()


def counted(paddle: PaddleSimulator, m3ter: M3terSimulator, run_jobs: Run) -> tuple[list[str], list[str]]:
    """Work on what waits: what Paddle was asked, and what m3ter was told or asked."""
    paddle.calls.clear()
    m3ter.calls.clear()
    run_jobs()
    of_paddle = [str(call.operation) for call in paddle.calls]
    return of_paddle, [str(call.operation) for call in m3ter.calls if call.operation != "get token"]


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("change", CHANGES)
def test_calls_of_a_change(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    bought: str,
    deliver: Run,
    run_jobs: Run,
    change: str,
    age: str,
) -> None:
    before, happens = CHANGES[change]
    before(paddle, bought)
    worked_off(deliver, run_jobs)
    paddle.clock.move(3 * DAY - AGES[age])
    happens(paddle, bought)
    deliver()
    waiting = WebhookEvent.objects.filter(state="received")
    waiting.exclude(event_type__startswith="subscription.").delete()
    events = waiting.count()

    of_paddle, of_m3ter = counted(paddle, m3ter, run_jobs)

    report.say(
        f"calls of a change, {change}, {age}: {len(of_paddle) + len(of_m3ter)} for {events} events - "
        f"Paddle: {', '.join(of_paddle) or 'none'}; m3ter: {', '.join(of_m3ter) or 'none'}"
    )
    assert len(of_paddle) <= events


@pytest.mark.parametrize("age", AGES)
def test_calls_of_an_event_without_difference(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, run_jobs: Run, age: str
) -> None:
    event = make_event("subscription.updated", paddle.subscriptions[bought], occurred_at=clock.now() - AGES[age])

    of_paddle, of_m3ter = counted(paddle, m3ter, run_jobs)

    event.refresh_from_db()
    assert event.state == "ignored"
    report.at_most(
        f"calls of an event without difference, {age}",
        len(of_paddle) + len(of_m3ter),
        aim=1,
        unit="calls",
        detail=f"Paddle: {', '.join(of_paddle) or 'none'}; m3ter: {', '.join(of_m3ter) or 'none'}",
    )
    assert len(of_paddle) <= (age == "old")
    assert of_m3ter == []
