"""A dry run calls what the real run calls: for a subscription's changes, for its buyer, for Classic and for repairs."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from billing_bridge.models import BillEntry, Push, PushedBill
from integration_project import clock
from integration_project.events import CLASSIC_HANDLERS, HANDLERS, PADDLE_HANDLERS
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import classic as classics
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.own_events import FOUND, IMPORT, RELINK, SUBSCRIBE, SYNC
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import LIVE_SINCE, push_of
from tests.builders import make_mapping, subscription
from tests.paddle_sync.seen import CLOUD, SEATS
from tests.test_dry_runs import (
    OF_ADJUSTMENTS,
    OF_BILLS,
    OF_SUBSCRIPTIONS,
    OF_TRANSACTIONS,
    Stage,
    assert_equal,
    done,
    rehearsed,
    replayed,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
OF_PEOPLE = sorted(kind for kind in PADDLE_HANDLERS if kind.partition(".")[0] in {"customer", "address", "business"})
OF_CLASSIC = sorted(set(CLASSIC_HANDLERS) - {RELINK})
REPAIRS = (IMPORT, SUBSCRIBE)
PRO = paddle_sample.PRICE_CLOUD_PRO_EUR
BUSINESS = {"name": "Harbour Tools Ltd"}


@pytest.fixture(autouse=True)
def no_budget_in_the_way(settings: Settings) -> None:
    """Budgets have tests of their own."""
    settings.PADDLE_CALLS_PER_MINUTE = settings.M3TER_CALLS_PER_SECOND = 100_000


@pytest.fixture
def stage(paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> Stage:
    """Both simulated vendors."""
    return Stage(paddle, m3ter, vendors, run_jobs)


@pytest.fixture
def bought(stage: Stage, deliver: Run, run_jobs: Run) -> str:
    """A linked subscription of two items, whose quantities are kept in both ways."""
    make_mapping()
    make_mapping(PRO, plan=m3ter_sample.PLAN_BULK)
    make_mapping(
        paddle_sample.PRICE_SEATS_EUR,
        plan=m3ter_sample.PLAN_SEATS,
        m3ter_product=m3ter_sample.PRODUCT_SEATS,
        quantity_use="counter",
        m3ter_counter_id=m3ter_sample.COUNTER_SEATS,
    )
    made = stage.paddle.complete_checkout(
        email="ap@harbour.example", name="Harbour", items=[CLOUD, SEATS], business=BUSINESS
    )
    deliver()
    run_jobs()
    stage.paddle.clock_move(days=3)
    return str(made["subscription_id"])


def swapped(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.change_items(subscription_id, [{"price_id": PRO, "quantity": 1}, SEATS])


def more_seats(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.change_quantity(subscription_id, 25, price_id=paddle_sample.PRICE_SEATS_EUR)


def an_item_less(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.change_items(subscription_id, [CLOUD])


def paused(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.pause(subscription_id)


def paused_and_resumed(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.pause(subscription_id)
    paddle.clock_move(days=2)
    paddle.resume(subscription_id)


def cancelled(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.cancel(subscription_id)


def renewal_moved(paddle: PaddleSimulator, subscription_id: str) -> None:
    later = paddle.clock.now() + dt.timedelta(days=11)
    paddle.move_renewal(subscription_id, later.replace(microsecond=0).isoformat())


def sold_to_another(paddle: PaddleSimulator, subscription_id: str) -> None:
    paddle.move_to_customer(subscription_id, email="new@quay.example", name="Quay", business={"name": "Quay Ltd"})


@pytest.mark.parametrize(
    "change",
    [swapped, more_seats, an_item_less, paused, paused_and_resumed, cancelled, renewal_moved, sold_to_another],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("event_type", ["subscription.updated", SYNC])
def test_a_replayed_change_of_a_subscription_calls_what_its_dry_run_said(
    stage: Stage, bought: str, event_type: str, change: Callable[[PaddleSimulator, str], None]
) -> None:
    change(stage.paddle, bought)
    data = {"id": bought} if event_type == SYNC else stage.paddle.subscriptions[bought]
    event = done(event_type, data)

    foreseen = rehearsed(event, stage)

    assert [call for call in foreseen.calls if call.written]
    assert_equal(foreseen, *replayed(event, stage))


def nothing_of_it_differs(stage: Stage, subscription_id: str) -> None:
    return None


def all_of_it_changed(stage: Stage, subscription_id: str) -> None:
    now = stage.paddle.subscriptions[subscription_id]
    stage.paddle.update_customer(now["customer_id"], name="Renamed", email="other@harbour.example")
    stage.paddle.update_address(now["address_id"], city="Kiel")
    stage.paddle.update_business(now["business_id"], name="Renamed Ltd")


@pytest.mark.parametrize("happened", [nothing_of_it_differs, all_of_it_changed], ids=lambda each: each.__name__)
@pytest.mark.parametrize("part", ["handed on", "for one subscription"])
@pytest.mark.parametrize("event_type", OF_PEOPLE)
def test_a_replayed_event_of_a_buyer_calls_what_its_dry_run_said(
    stage: Stage, bought: str, event_type: str, part: str, happened: Callable[[Stage, str], None]
) -> None:
    happened(stage, bought)
    now, entity = stage.paddle.subscriptions[bought], event_type.partition(".")[0]
    data = {"id": now[f"{entity}_id"], "customer_id": now["customer_id"]}
    changes = {"subject_id": data["id"], "paddle_customer_id": now["customer_id"]}
    if part == "for one subscription":
        changes |= {"paddle_subscription_id": bought, "serial_key": bought}
    event = done(event_type, data, **changes)

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))
    assert bool(foreseen.calls) is (part == "for one subscription")


@pytest.mark.parametrize("situation", ["nothing linked yet", "linked", "another plan"])
@pytest.mark.parametrize("event_type", OF_CLASSIC)
def test_a_replayed_alert_of_classic_calls_what_its_dry_run_said(
    stage: Stage, classic: ClassicSimulator, deliver: Run, run_jobs: Run, event_type: str, situation: str
) -> None:
    classic.clock_move(days=-3)  # what is read now is later than what was bought, however fast the machine is
    made = classic.subscribe(email="kai@customer.example", quantity=3)
    if situation != "nothing linked yet":
        make_mapping(str(classic_sample.PLAN_TEAM))
        make_mapping(str(classic_sample.PLAN_STUDIO), plan=m3ter_sample.PLAN_BULK)
        deliver()
        run_jobs()
        assert AccountLink.objects.count() == 1
    if situation == "another plan":
        classic.change_plan(made["subscription_id"], classic_sample.PLAN_STUDIO)
        classic.outbox.clear()
    deliver()
    run_jobs()
    if situation == "nothing linked yet":
        make_mapping(str(classic_sample.PLAN_TEAM))
    alert = WebhookEvent.objects.get(event_type=classics.CREATED)
    WebhookEvent.objects.filter(pk=alert.pk).update(event_type=event_type, state="processed", due_at=None)
    if event_type in {SYNC, FOUND}:
        user = stage.vendors.classic.find_user(made["subscription_id"]) if stage.vendors.classic else None
        assert user is not None
        data: dict[str, Any] = {"id": made["subscription_id"]}
        if event_type == FOUND:
            data = dict(classics.of_user(user, read_at=clock.now()))
        event = done(event_type, data, source="paddle_classic", subject_id=made["subscription_id"])
    else:
        event = WebhookEvent.objects.get(pk=alert.pk)

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))


@pytest.mark.parametrize("happens", ["collected", "declined", "cancelled", "taken away"])
def test_a_replayed_alert_of_a_subscription_that_was_charged_calls_what_its_dry_run_said(
    stage: Stage, installation: Installation, classic: ClassicSimulator, deliver: Run, run_jobs: Run, happens: str
) -> None:
    Installation.objects.filter(pk=installation.pk).update(charge_from=LIVE_SINCE)
    classic.rate_limit.limit = None
    make_mapping(str(classic_sample.PLAN_TEAM))
    world = ClassicWorld.begun_in(classic, stage.paddle, stage.m3ter, stage.vendors)
    push = push_of(world.pushed())
    if happens == "taken away":
        classic.memory.modifiers.clear()
    if happens == "declined":
        classic.decline_payments(world.subscription_id)
    if happens == "cancelled":
        classic.cancel(world.subscription_id)
    else:
        world.collect()
    deliver()
    run_jobs()
    event = WebhookEvent.objects.filter(source="paddle_classic").order_by("occurred_at", "pk")[0]
    Push.objects.filter(pk=push.pk).update(state="pushed", paddle_transaction_id="", payment="none", collected=0)
    PushedBill.objects.filter(pk=push.bill_id).update(lost=0, outstanding=0, payment="none", paid=0)
    BillEntry.objects.filter(push=push, kind="lost").delete()

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))
    assert (happens == "declined") or any("modifiers" in call.path for call in foreseen.calls)


@pytest.mark.parametrize("known", [True, False], ids=["Paddle knows it", "Paddle does not"])
def test_a_replayed_wish_to_import_calls_what_its_dry_run_said(stage: Stage, known: bool) -> None:
    make_mapping()
    data = stage.bought() if known else subscription()
    event = done(IMPORT, {"id": data["id"]}, paddle_subscription_id=data["id"], serial_key=data["id"])

    foreseen = rehearsed(event, stage)

    assert [call.method for call in foreseen.calls] == ["GET"]
    assert_equal(foreseen, *replayed(event, stage))


def test_a_replayed_wish_to_subscribe_to_events_calls_what_its_dry_run_said(stage: Stage) -> None:
    (setting,) = stage.paddle.world.memory.settings.values()
    setting["subscribed_events"] = setting["subscribed_events"][:3]
    event = done(SUBSCRIBE, {"id": setting["id"]}, subject_id=setting["id"])

    foreseen = rehearsed(event, stage)

    assert [call.operation for call in foreseen.calls if call.written] == ["update notification setting"]
    assert_equal(foreseen, *replayed(event, stage))


def test_every_type_of_event_is_compared() -> None:
    compared = {
        "paddle": {*OF_SUBSCRIPTIONS, RELINK, *OF_TRANSACTIONS, *OF_ADJUSTMENTS, *OF_PEOPLE, *REPAIRS},
        "paddle_classic": {*OF_CLASSIC, RELINK},
        "m3ter": set(OF_BILLS),
    }

    assert {source: set(handlers) for source, handlers in HANDLERS.items()} == compared
