"""Odd things that a subscription lives through: together at once, half done, decided late, in a charged period."""

import dataclasses
import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.errors import Ignored
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import intake, moving, parking, wanted
from paddle_sync.models import AccountLink, PlanMapping, WebhookEvent
from paddle_sync.wanted import WantedPlan
from tests.builders import make_event, make_mapping, stamp, subscription
from tests.paddle_sync.seen import CLOUD, SEATS, open_findings
from tests.paddle_sync.test_lifecycle import Run, bought, deliver_alone, go_on, moment, plans_in, writes

__all__ = ["bought", "go_on"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

CLOUD_PRICE, PRO_PRICE = paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRICE_CLOUD_PRO_EUR
PRO = {"price_id": PRO_PRICE, "quantity": 1}


def pro_goes_to(plan: str, product: str = m3ter_sample.PRODUCT_CLOUD) -> PlanMapping:
    return make_mapping(PRO_PRICE, plan=plan, m3ter_product=product)


def test_a_plan_of_somebody_else_stands_for_one_stretch_only(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    (plan,) = m3ter.memory.account_plans
    m3ter.memory.account_plans.change(plan, {"code": "made-by-hand"})
    paddle.pause(bought)
    paused = moment(paddle.subscriptions[bought]["paused_at"])
    paddle.clock_move(days=5)
    paddle.resume(bought)

    go_on()

    resumed = moment(paddle.subscriptions[bought]["current_billing_period"]["starts_at"])
    assert [plan[1:] for plan in plans_in(m3ter)] == [(plans_in(m3ter)[0][1], paused), (resumed, None)]


def test_a_move_on_the_day_an_item_began_takes_effect(m3ter: M3terSimulator, bought: str, run_jobs: Run) -> None:
    began = plans_in(m3ter)[0][1]
    PlanMapping.objects.update(m3ter_plan_id=m3ter_sample.PLAN_BULK)
    moves_at = began + dt.timedelta(seconds=1)

    intake.ask_to_move(bought, [CLOUD_PRICE], moves_at, by="anna", reason="mapped wrongly")
    run_jobs()

    assert [(plan[0], plan[2]) for plan in plans_in(m3ter)] == [
        (m3ter_sample.PLAN_SCALE, moves_at),
        (m3ter_sample.PLAN_BULK, None),
    ]


def test_only_the_quantities_that_a_field_is_for_are_added_in_it(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None]
) -> None:
    make_mapping()
    make_mapping(paddle_sample.PRICE_SEATS_EUR, quantity_use="custom_field", quantity_field="seats")
    paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, SEATS])

    go_on()

    assert [plan["customFields"] for plan in m3ter.memory.account_plans] == [{"seats": 10}]


def test_a_plan_that_was_ended_for_one_that_m3ter_refused_goes_on_where_both_prices_come_to_one_plan(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    mapping = pro_goes_to("00000000-aaaa-4a01-8a01-00000000dead", m3ter_sample.PRODUCT_SEATS)
    paddle.change_items(bought, [PRO])
    go_on()
    parked = WebhookEvent.objects.filter(state="parked", waiting_for_kind="plan refused").count()
    mapping.m3ter_plan_id, mapping.m3ter_product_id = m3ter_sample.PLAN_SCALE, m3ter_sample.PRODUCT_CLOUD
    mapping.save()
    intake.replay(
        WebhookEvent.objects.get(event_type="subscription.updated").pk, by="anna", reason="the mapping is corrected"
    )

    go_on()

    assert parked == 1
    assert [(plan[0], plan[2]) for plan in plans_in(m3ter)] == [(m3ter_sample.PLAN_SCALE, None)]


def test_a_swap_that_m3ter_refuses_waits_for_another_mapping(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    pro_goes_to("00000000-aaaa-4a01-8a01-00000000dead")
    paddle.change_items(bought, [PRO])

    go_on()

    event = WebhookEvent.objects.get(event_type="subscription.updated")
    assert (event.state, event.waiting_for_kind) == ("parked", "plan refused")


def test_a_cancellation_leaves_no_plan_running_although_a_move_is_to_come_and_a_mapping_is_missing(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    today = clock.now().date()
    make_mapping(effective_from=today + dt.timedelta(days=20), plan=m3ter_sample.PLAN_BULK)
    moves_at = (clock.now() + dt.timedelta(days=25)).replace(microsecond=0)
    intake.ask_to_move(bought, [CLOUD_PRICE], moves_at, by="anna", reason="next period")
    go_on()
    running = [(plan[0], plan[2]) for plan in plans_in(m3ter)]
    paddle.change_items(bought, [CLOUD, PRO])
    paddle.clock_move(hours=1)
    paddle.cancel(bought)
    ended = moment(paddle.subscriptions[bought]["canceled_at"])

    go_on()

    assert running == [(m3ter_sample.PLAN_SCALE, moves_at), (m3ter_sample.PLAN_BULK, None)]
    assert [plan for plan in plans_in(m3ter) if plan[2] is None or plan[2] > max(ended, plan[1])] == []


@pytest.mark.parametrize(
    "operation",
    ["replace account plan", "update account plan", "end account billing entities", "create counter adjustment"],
)
@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
@pytest.mark.parametrize("lagging", [False, True])
def test_what_was_written_and_not_answered_is_there_once(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    bought: str,
    go_on: Callable[[], None],
    operation: str,
    fault: str,
    lagging: bool,
) -> None:
    pro_goes_to(m3ter_sample.PLAN_BULK)
    make_mapping(
        paddle_sample.PRICE_SEATS_EUR,
        plan=m3ter_sample.PLAN_SEATS,
        m3ter_product=m3ter_sample.PRODUCT_SEATS,
        quantity_use="counter",
        m3ter_counter_id=m3ter_sample.COUNTER_SEATS,
    )
    m3ter.fault(operation, fault)
    if lagging:
        m3ter.fault("list account plans", "list_lag", times=1)
        m3ter.fault("list counter adjustments", "list_lag", times=2)
    paddle.change_items(bought, [PRO, SEATS])
    swapped = moment(paddle.subscriptions[bought]["updated_at"])
    go_on()
    for _ in range(4):
        WebhookEvent.objects.filter(state="received").update(due_at=clock.now())
        go_on()
    paddle.clock_move(days=1)
    paddle.cancel(bought)
    ended = moment(paddle.subscriptions[bought]["canceled_at"])
    go_on()
    for _ in range(4):
        WebhookEvent.objects.filter(state="received").update(due_at=clock.now())
        go_on()

    assert sorted(plan[0] + str(plan[1:]) for plan in plans_in(m3ter)) == sorted(
        plan[0] + str(plan[1:])
        for plan in [
            (m3ter_sample.PLAN_SCALE, plans_in(m3ter)[0][1], swapped),
            (m3ter_sample.PLAN_BULK, swapped, ended),
            (m3ter_sample.PLAN_SEATS, swapped, ended),
        ]
    )
    assert sorted(row["value"] for row in m3ter.memory.counter_adjustments) == [0, 10]
    assert set(WebhookEvent.objects.values_list("state", flat=True)) <= {"processed", "ignored"}


def test_what_was_told_of_a_charged_period_stays_told_while_something_waits_for_a_mapping(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str
) -> None:
    pro_goes_to(m3ter_sample.PLAN_BULK)
    charged_until = (paddle.clock.now() + dt.timedelta(days=10)).replace(microsecond=0)
    AccountLink.objects.update(charged_until=charged_until)
    paddle.change_items(bought, [PRO])
    deliver_alone(paddle, bought)
    before = open_findings()
    paddle.clock_move(hours=1)
    paddle.change_items(bought, [PRO, SEATS])

    with pytest.raises(Exception, match="No m3ter plan"):
        deliver_alone(paddle, bought)

    assert ("charged period changed", "") in before
    assert open_findings() == before


def test_seats_that_changed_in_a_charged_period_count_from_the_next_one_and_are_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None]
) -> None:
    make_mapping(paddle_sample.PRICE_SEATS_EUR, quantity_use="counter", m3ter_counter_id=m3ter_sample.COUNTER_SEATS)
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[SEATS])
    go_on()
    charged_until = (paddle.clock.now() + dt.timedelta(days=10)).replace(microsecond=0)
    AccountLink.objects.update(charged_until=charged_until)
    paddle.clock_move(days=2)
    paddle.change_quantity(made["subscription_id"], 25)

    deliver_alone(paddle, made["subscription_id"])

    counts = sorted((row["date"], row["value"]) for row in m3ter.memory.counter_adjustments)
    assert counts[1:] == [(charged_until.date().isoformat(), 25)]
    assert [kind for kind, _ in open_findings()] == ["charged period changed"]


def test_what_was_scheduled_for_a_subscription_is_no_longer_told_once_another_has_its_account(
    paddle: PaddleSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    paddle.cancel(bought, effective_from="next_billing_period")
    go_on()
    before = open_findings()
    AccountLink.objects.update(state="ended")
    paddle.clock_move(days=40)
    paddle.run_renewals()

    go_on()

    assert before == [("change scheduled", "cancel")]
    assert open_findings() == []


def test_a_plan_that_could_only_be_ended_is_left_alone_from_then_on(
    m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    (plan,) = m3ter.memory.account_plans
    m3ter.memory.account_plans.add(
        {
            **plan,
            "id": "00000000-aaaa-4a01-8a01-000000000bad",
            "planId": m3ter_sample.PLAN_SEATS,
            "productId": m3ter_sample.PRODUCT_SEATS,
            "code": f"{bought}:{m3ter_sample.PRODUCT_SEATS}:1",
        }
    )
    line = {"planId": m3ter_sample.PLAN_SEATS, "servicePeriodStartDate": plan["startDate"]}
    m3ter.memory.bills.add({"accountId": plan["accountId"], "lineItems": [line]})
    for _ in range(2):
        m3ter.calls.clear()
        intake.ask_to_sync(bought, by="anna", reason="look")
        go_on()

    assert writes(m3ter) == []


@pytest.mark.parametrize("now_on", [m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS])
def test_what_the_subscription_before_changed_in_the_period_that_is_taken_over_counts_for_nothing(
    classic: ClassicSimulator,
    m3ter: M3terSimulator,
    go_on: Callable[[], None],
    run_jobs: Run,
    now_on: str,
) -> None:
    product = {m3ter_sample.PLAN_SEATS: m3ter_sample.PRODUCT_SEATS}.get(now_on, m3ter_sample.PRODUCT_CLOUD)
    make_mapping(plan=now_on, m3ter_product=product)
    make_mapping(str(classic_sample.PLAN_TEAM), plan=m3ter_sample.PLAN_SCALE)
    make_mapping(str(classic_sample.PLAN_TEAM_YEARLY), plan=m3ter_sample.PLAN_BULK)
    old = classic.subscribe(email="ap@harbour.example")["subscription_id"]
    go_on()
    began = plans_in(m3ter)[0][1]
    classic.clock_move(days=2)
    classic.change_plan(old, classic_sample.PLAN_TEAM_YEARLY)
    go_on()
    taken_at = began + dt.timedelta(days=1)
    period = {"starts_at": stamp(taken_at), "ends_at": stamp(taken_at + dt.timedelta(days=30))}
    meta = {"external_id": old, "imported_from": "paddle_classic"}

    make_event("subscription.imported", subscription(current_billing_period=period, import_meta=meta))
    run_jobs()

    running = [plan for plan in plans_in(m3ter) if plan[2] is None]
    lasting = [plan for plan in plans_in(m3ter) if plan[2] is None or plan[2] > plan[1]]
    assert [plan[0] for plan in running] == [now_on]
    assert len(lasting) <= 2
    assert WebhookEvent.objects.get(event_type="subscription.imported").state == "processed"


def test_a_cancellation_inside_a_charged_period_leaves_the_period_as_it_was_charged(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str
) -> None:
    start = plans_in(m3ter)[0][1]
    charged_until = (paddle.clock.now() + dt.timedelta(days=10)).replace(microsecond=0)
    AccountLink.objects.update(charged_until=charged_until)
    paddle.cancel(bought)
    deliver_alone(paddle, bought)
    m3ter.calls.clear()

    with pytest.raises(Ignored):
        deliver_alone(paddle, bought)

    assert plans_in(m3ter) == [(m3ter_sample.PLAN_SCALE, start, charged_until)]
    assert writes(m3ter) == []
    assert ("charged period changed", "") in open_findings()


def test_a_classic_event_that_waits_goes_on_once_the_account_is_linked() -> None:
    waiting = make_event("subscription_updated", {"id": "480001"}, source="paddle_classic", state="parked")
    WebhookEvent.objects.update(paddle_subscription_id="480001", waiting_for_kind="account conflict")

    resumed = parking.resume_subscription("480001", by="another event", reason="its account was linked")

    waiting.refresh_from_db()
    assert (resumed, waiting.state) == (1, "received")


def test_a_plan_keeps_the_quantity_of_one_field_and_says_so_where_two_are_named(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None]
) -> None:
    make_mapping(quantity_use="custom_field", quantity_field="sites")
    make_mapping(paddle_sample.PRICE_SEATS_EUR, quantity_use="custom_field", quantity_field="seats")
    paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, SEATS])

    go_on()

    event = WebhookEvent.objects.get(event_type="subscription.created")
    assert (event.state, event.waiting_for_kind) == ("parked", "plan conflict")
    assert "sites and seats" in event.note or "seats and sites" in event.note
    assert list(m3ter.memory.accounts) == []


def test_what_was_charged_for_a_plan_that_should_not_have_been_is_told() -> None:
    start, until = clock.now() - dt.timedelta(days=20), clock.now()
    ran = WantedPlan("plan", "", "product", start, 1, ("pri_1",), ends_at=until)
    group = WantedPlan("", "group", "", start, 1, ("pri_2",), group_product_ids=("a",), ends_at=until)

    (told,) = wanted.changes_in_charged([], [ran], until)

    assert told.detail.startswith("The subscription's story calls for nothing.")
    assert wanted.changes_in_charged([group], [dataclasses.replace(group, group_product_ids=())], until) == ()


def test_an_item_is_not_moved_to_before_it_follows_its_plan(bought: str) -> None:
    decided_at = AccountLink.objects.get().decisions.get().decided_at
    newer = make_mapping(effective_from=decided_at.date() - dt.timedelta(days=9), plan=m3ter_sample.PLAN_BULK)

    refused = [
        [move.refused for move in moving.moves_of(newer, decided_at + dt.timedelta(seconds=seconds))]
        for seconds in (0, 1)
    ]

    assert refused[0][0].startswith("It follows its plan since")
    assert refused[1] == [""]


def test_a_plan_that_cannot_go_on_because_of_somebody_elses_is_a_conflict_to_be_solved(
    m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    (plan,) = m3ter.memory.account_plans
    until = stamp(clock.now() + dt.timedelta(days=30))
    m3ter.memory.account_plans.change(plan, {"code": "this-year", "endDate": until})
    m3ter.memory.account_plans.add(
        {**plan, "id": "00000000-aaaa-4a01-8a01-00000000beef", "code": "next-year", "startDate": until, "endDate": None}
    )
    m3ter.calls.clear()

    intake.ask_to_sync(bought, by="anna", reason="look")
    go_on()

    event = WebhookEvent.objects.get(event_type="subscription.sync")
    assert (event.state, event.waiting_for_kind) == ("parked", "plan conflict")
    assert ("plan conflict", m3ter_sample.PRODUCT_CLOUD) in open_findings()
    assert writes(m3ter) == []


# --- What is not metered ----------------------------------------------------------------------------------------------


def test_what_was_decided_as_not_metered_is_not_metered_from_its_beginning_one_day(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    mapping = make_mapping(target="not_metered", plan="", m3ter_product="")
    paddle.clock_move(days=-40)
    bought = paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])["subscription_id"]
    deliver()
    run_jobs()
    PlanMapping.objects.filter(pk=mapping.pk).update(
        target="plan", m3ter_plan_id=m3ter_sample.PLAN_SCALE, m3ter_product_id=m3ter_sample.PRODUCT_CLOUD
    )

    paddle.clock_move(days=32)
    paddle.run_renewals()
    deliver()
    run_jobs()

    assert list(m3ter.memory.accounts) == []
    assert open_findings() == [("mapped otherwise", paddle_sample.PRICE_CLOUD_EUR)]
    moved = clock.now().replace(microsecond=0)
    intake.ask_to_move(bought, [paddle_sample.PRICE_CLOUD_EUR], moved, by="anna", reason="metered from now on")
    run_jobs()
    (plan,) = m3ter.memory.account_plans
    assert dt.datetime.fromisoformat(plan["startDate"]) == moved
    assert open_findings() == []
