"""What a subscription lives through, one change at a time: what m3ter has after it, and what that cost in calls."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock
from integration_project.connections import open_vendors
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import intake
from paddle_sync.handlers import subscriptions
from paddle_sync.models import AccountLink, AccountPlanLink, PlanMove, WebhookEvent
from tests.builders import make_event, make_mapping, stamp, subscription
from tests.paddle_sync.seen import CLOUD, SEATS, created, open_findings, operations, told

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
PRO = paddle_sample.PRICE_CLOUD_PRO_EUR


@pytest.fixture
def bought(paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run) -> str:
    """A subscription of the cloud price with its account and plan; the calls made for it are forgotten."""
    make_mapping()
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    deliver()
    run_jobs()
    paddle.calls.clear()
    m3ter.calls.clear()
    paddle.clock_move(days=3)
    return str(made["subscription_id"])


@pytest.fixture
def go_on(deliver: Run, run_jobs: Run) -> Callable[[], None]:
    """Let what happened arrive and be worked on."""

    def on() -> None:
        deliver()
        run_jobs()

    return on


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(microsecond=0)


def plans_in(m3ter: M3terSimulator) -> list[tuple[str, dt.datetime, dt.datetime | None]]:
    return sorted(
        (
            (plan["planId"], moment(plan["startDate"]), moment(plan["endDate"]) if plan.get("endDate") else None)
            for plan in m3ter.memory.account_plans
        ),
        key=lambda plan: plan[1],
    )


def writes(m3ter: M3terSimulator) -> list[str]:
    return [str(call.operation) for call in m3ter.calls if call.method != "GET" and call.operation != "get token"]


def test_a_swap_inside_one_product_replaces_the_plan_at_the_changes_moment(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    make_mapping(PRO, plan=m3ter_sample.PLAN_BULK)
    start = plans_in(m3ter)[0][1]

    paddle.change_items(bought, [{"price_id": PRO, "quantity": 1}])
    go_on()

    swapped = moment(paddle.subscriptions[bought]["updated_at"])
    assert plans_in(m3ter) == [
        (m3ter_sample.PLAN_SCALE, start, swapped),
        (m3ter_sample.PLAN_BULK, swapped, None),
    ]
    assert writes(m3ter) == ["replace account plan"]
    links = AccountPlanLink.objects.order_by("starts_at").values_list("m3ter_plan_id", "starts_at", "ends_at")
    assert list(links) == plans_in(m3ter)


def test_an_added_and_a_removed_item_begin_and_end_their_plan(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    make_mapping(paddle_sample.PRICE_SEATS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS)
    paddle.change_items(bought, [CLOUD, SEATS])
    go_on()
    added = moment(paddle.subscriptions[bought]["updated_at"])
    paddle.clock_move(days=1)
    paddle.change_items(bought, [CLOUD])

    go_on()

    removed = moment(paddle.subscriptions[bought]["updated_at"])
    assert plans_in(m3ter)[1] == (m3ter_sample.PLAN_SEATS, added, removed)
    assert writes(m3ter) == ["create account plan", "update account plan"]


def test_plans_end_at_a_pause_and_begin_again_at_the_resume(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    paddle.pause(bought)
    paused = moment(paddle.subscriptions[bought]["paused_at"])
    go_on()
    paddle.clock_move(days=5)
    paddle.resume(bought)

    go_on()

    resumed = moment(paddle.subscriptions[bought]["current_billing_period"]["starts_at"])
    assert [plan[1:] for plan in plans_in(m3ter)] == [(plans_in(m3ter)[0][1], paused), (resumed, None)]
    assert writes(m3ter)[:2] == ["update account plan", "create account plan"]


def test_a_cancellation_ends_everything_also_what_others_put_on_the_account(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, bought: str, go_on: Callable[[], None]
) -> None:
    link = AccountLink.objects.get()
    vendors.m3ter.create_account_plan(
        NewAccountPlan(account_id=link.m3ter_account_id, start_date=clock.now(), plan_id=m3ter_sample.PLAN_SEATS)
    )
    m3ter.calls.clear()

    paddle.cancel(bought)
    go_on()

    ended = moment(paddle.subscriptions[bought]["canceled_at"])
    assert {plan[2] for plan in plans_in(m3ter)} == {ended}
    assert writes(m3ter) == ["update account plan", "end account billing entities"]
    link.refresh_from_db()
    assert (link.paddle_status, link.entities_ended_at, link.state) == ("canceled", ended, "live")


def test_a_past_due_subscription_is_noted_and_nothing_of_it_is_ended(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    paddle.decline_payments(bought)
    paddle.clock_move(days=40)
    paddle.run_renewals()

    go_on()

    assert AccountLink.objects.get().paddle_status == "past_due"
    assert writes(m3ter) == []
    assert plans_in(m3ter)[0][2] is None


@pytest.mark.parametrize("starts", ["creation", "trial_end"])
def test_when_metering_starts_is_the_mappings_choice(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None], starts: str
) -> None:
    make_mapping(paddle_sample.PRICE_CLOUD_TRIAL_EUR, metering_starts=starts)
    item = {"price_id": paddle_sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[item])
    go_on()
    during = (len(list(m3ter.memory.accounts)), len(plans_in(m3ter)))
    paddle.clock_move(days=40)
    paddle.run_renewals()

    go_on()

    subscription_now = paddle.subscriptions[made["subscription_id"]]
    trial_ended = moment(subscription_now["items"][0]["trial_dates"]["ends_at"])
    begins = {"creation": moment(subscription_now["started_at"]), "trial_end": trial_ended}[starts]
    assert during == (1, 1 if starts == "creation" else 0)
    assert [plan[1:] for plan in plans_in(m3ter)] == [(begins, None)]


def test_a_quantity_is_written_to_the_custom_field_that_the_mapping_names(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None]
) -> None:
    make_mapping(paddle_sample.PRICE_SEATS_EUR, quantity_use="custom_field", quantity_field="seats")
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[SEATS])
    go_on()
    first = [plan["customFields"] for plan in m3ter.memory.account_plans]
    paddle.clock_move(days=1)
    paddle.change_quantity(made["subscription_id"], 25)

    go_on()

    assert first == [{"seats": 10}]
    assert [plan["customFields"] for plan in m3ter.memory.account_plans] == [{"seats": 25}]
    assert AccountPlanLink.objects.get().quantity == 25


def test_a_quantity_is_kept_as_a_counter_day_by_day_until_it_ends(
    paddle: PaddleSimulator, m3ter: M3terSimulator, go_on: Callable[[], None]
) -> None:
    make_mapping(paddle_sample.PRICE_SEATS_EUR, quantity_use="counter", m3ter_counter_id=m3ter_sample.COUNTER_SEATS)
    made = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[SEATS])
    subscription_id = made["subscription_id"]
    days = [moment(paddle.subscriptions[subscription_id]["started_at"]).date()]
    go_on()
    for count in (25, 0):
        paddle.clock_move(days=2)
        if count:
            paddle.change_quantity(subscription_id, count)
        else:
            paddle.cancel(subscription_id)
        days.append(paddle.clock.now().date())
        go_on()

    kept = sorted((row["date"], row["value"]) for row in m3ter.memory.counter_adjustments)
    assert kept == [(day.isoformat(), value) for day, value in zip(days, [10, 25, 0], strict=True)]


def test_currency_and_billing_date_follow_the_subscription(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    make_mapping(paddle_sample.PRICE_CLOUD_USD)
    paddle.change_currency(bought, "USD")
    paddle.clock_move(hours=1)
    later = (paddle.clock.now() + dt.timedelta(days=11)).replace(microsecond=0)
    paddle.move_renewal(bought, later.isoformat())

    go_on()

    (account,) = m3ter.memory.accounts
    assert (account["currency"], account["billEpoch"]) == ("USD", (later.date() - dt.timedelta(days=2)).isoformat())
    link = AccountLink.objects.get()
    assert (link.currency, link.bill_epoch) == ("USD", later.date() - dt.timedelta(days=2))
    assert len(plans_in(m3ter)) == 1


def test_an_ordinary_renewal_moves_nothing(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    epoch = AccountLink.objects.get().bill_epoch
    paddle.clock_move(days=32)
    paddle.run_renewals()

    go_on()

    assert writes(m3ter) == []
    assert AccountLink.objects.get().bill_epoch == epoch


def test_an_event_without_difference_costs_at_most_one_read_and_no_write(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, run_jobs: Run
) -> None:
    WebhookEvent.objects.filter(event_type="subscription.created").update(
        state="received", due_at=clock.now(), replays=1, attempts=0
    )

    run_jobs()

    assert operations(paddle) == ["list subscriptions"]
    assert operations(m3ter) == []
    assert created().state == "ignored"


def test_a_backlog_is_brought_about_by_its_first_event_without_states_in_between(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    make_mapping(PRO, plan=m3ter_sample.PLAN_BULK)
    paddle.change_items(bought, [{"price_id": PRO, "quantity": 1}])
    paddle.clock_move(days=1)
    paddle.pause(bought)
    paddle.clock_move(days=1)
    paddle.resume(bought)
    paddle.clock_move(days=1)
    paddle.cancel(bought)

    go_on()

    assert [plan[0] for plan in plans_in(m3ter)] == [
        m3ter_sample.PLAN_SCALE,
        m3ter_sample.PLAN_BULK,
        m3ter_sample.PLAN_BULK,
    ]
    # The resume moved the renewal, and the bill date with it.
    assert writes(m3ter) == [
        "replace account plan",
        "create account plan",
        "update account",
        "end account billing entities",
    ]


# --- A later decision -------------------------------------------------------------------------------------------------


def test_an_old_subscription_keeps_its_plan_until_a_person_moves_it(
    m3ter: M3terSimulator, bought: str, run_jobs: Run
) -> None:
    today = clock.now().date()
    make_mapping(effective_from=today, plan=m3ter_sample.PLAN_BULK)
    intake.ask_to_sync(bought, by="anna", reason="look again")
    run_jobs()
    before = [plan[0] for plan in plans_in(m3ter)]
    moves_at = (clock.now() + dt.timedelta(days=1)).replace(microsecond=0)
    PlanMove.objects.create(
        paddle_subscription_id=bought,
        paddle_price_id=paddle_sample.PRICE_CLOUD_EUR,
        moves_at=moves_at,
        created_at=clock.now(),
        by="anna",
    )

    intake.ask_to_sync(bought, by="anna", reason="moved")
    run_jobs()

    assert before == [m3ter_sample.PLAN_SCALE]
    assert [(plan[0], plan[2]) for plan in plans_in(m3ter)] == [
        (m3ter_sample.PLAN_SCALE, moves_at),
        (m3ter_sample.PLAN_BULK, None),
    ]


def test_a_change_inside_a_charged_period_begins_with_the_next_one_and_is_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, bought: str, go_on: Callable[[], None]
) -> None:
    make_mapping(PRO, plan=m3ter_sample.PLAN_BULK)
    start = plans_in(m3ter)[0][1]
    charged_until = (paddle.clock.now() + dt.timedelta(days=10)).replace(microsecond=0)
    AccountLink.objects.update(charged_until=charged_until)
    paddle.change_items(bought, [{"price_id": PRO, "quantity": 1}])
    deliver_alone(paddle, bought)

    assert plans_in(m3ter) == [
        (m3ter_sample.PLAN_SCALE, start, charged_until),
        (m3ter_sample.PLAN_BULK, charged_until, None),
    ]
    assert ("charged period changed", "") in open_findings()


def deliver_alone(paddle: PaddleSimulator, subscription_id: str) -> None:
    """Run the core's own handler on what Paddle says now, without the ledger that knows what was charged."""
    event = make_event("subscription.updated", paddle.subscriptions[subscription_id])
    event.attempts = 1
    with open_vendors() as vendors:
        subscriptions.changed(event, vendors)


# --- Whose account ----------------------------------------------------------------------------------------------------


def test_what_was_imported_from_classic_takes_over_account_and_plan(
    classic: ClassicSimulator, m3ter: M3terSimulator, go_on: Callable[[], None], run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(str(classic_sample.PLAN_TEAM))
    old = classic.subscribe(email="ap@harbour.example")["subscription_id"]
    go_on()
    (account,) = m3ter.memory.accounts
    taken_at = (clock.now() + dt.timedelta(days=3)).replace(microsecond=0)
    period = {"starts_at": stamp(taken_at), "ends_at": stamp(taken_at + dt.timedelta(days=30))}
    new = subscription(
        started_at=stamp(clock.now()),
        current_billing_period=period,
        import_meta={"external_id": old, "imported_from": "paddle_classic"},
    )

    make_event("subscription.imported", new)
    run_jobs()
    classic.cancel(old)
    go_on()

    assert [row["id"] for row in m3ter.memory.accounts] == [account["id"]]
    states = AccountLink.objects.order_by("pk").values_list("paddle_subscription_id", "state", "m3ter_account_id")
    assert list(states) == [(old, "ended", account["id"]), (new["id"], "live", account["id"])]
    (plan,) = plans_in(m3ter)
    assert plan[2] is None
    assert told() == []


def test_a_plan_of_the_subscription_before_ends_where_the_new_one_begins(
    classic: ClassicSimulator, m3ter: M3terSimulator, go_on: Callable[[], None], run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(str(classic_sample.PLAN_TEAM), plan=m3ter_sample.PLAN_BULK)
    old = classic.subscribe(email="ap@harbour.example")["subscription_id"]
    go_on()
    taken_at = (clock.now() + dt.timedelta(days=3)).replace(microsecond=0)
    period = {"starts_at": stamp(taken_at), "ends_at": stamp(taken_at + dt.timedelta(days=30))}
    meta = {"external_id": old, "imported_from": "paddle_classic"}

    make_event("subscription.imported", subscription(current_billing_period=period, import_meta=meta))
    run_jobs()

    assert [(plan[0], plan[2]) for plan in plans_in(m3ter)] == [
        (m3ter_sample.PLAN_BULK, taken_at),
        (m3ter_sample.PLAN_SCALE, None),
    ]
    assert plans_in(m3ter)[1][1] == taken_at


def test_a_found_subscription_begins_with_its_period_and_a_late_checkout_bills_nothing_before(
    installation: Installation, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping()
    now = clock.now().replace(microsecond=0)
    period = {"starts_at": stamp(now - dt.timedelta(days=5)), "ends_at": stamp(now + dt.timedelta(days=25))}
    old: dict[str, Any] = {
        "started_at": stamp(now - dt.timedelta(days=400)),
        "created_at": stamp(now - dt.timedelta(days=400)),
        "current_billing_period": period,
    }
    data = subscription(**old)

    intake.find("paddle", data, by="anna", reason="import")
    run_jobs()
    make_event("subscription.created", data, occurred_at=now - dt.timedelta(days=60))
    run_jobs()

    (plan,) = plans_in(m3ter)
    assert plan[1:] == (now - dt.timedelta(days=5), None)
