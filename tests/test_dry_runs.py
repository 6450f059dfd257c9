"""A dry run calls what the real run calls, for every type of event, and leaves no trace anywhere."""

import datetime as dt
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from pytest_django import Settings

from billing_bridge.models import Push, PushPolicy
from integration_project import clock
from integration_project.events import M3TER_HANDLERS, PADDLE_HANDLERS
from integration_project.models import CallBudget, Circuit, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount, NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.rehearsal import NEW
from paddle_sync import intake, jobs
from paddle_sync.models import AccountLink, EventAttempt, WebhookEvent
from paddle_sync.own_events import RELINK
from paddle_sync.rehearsing import DryRun
from tests.billing_bridge.world import LIVE_SINCE, World, push_of
from tests.builders import make_event, make_mapping, paddle_id, stamp, subscription
from tests.paddle_sync.seen import CLOUD, SEATS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
Calls = list[tuple[str, str, str]]
OF_SUBSCRIPTIONS = sorted(kind for kind in PADDLE_HANDLERS if kind.startswith("subscription.") and kind != RELINK)
OF_TRANSACTIONS = sorted(kind for kind in PADDLE_HANDLERS if kind.startswith("transaction."))
OF_ADJUSTMENTS = sorted(kind for kind in PADDLE_HANDLERS if kind.startswith("adjustment."))
OF_BILLS = sorted(M3TER_HANDLERS)
WHAT_READS_COST = (CallBudget, Circuit)


class Stage:
    """Both vendors, and what a situation needs of them."""

    def __init__(self, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> None:
        self.paddle, self.m3ter, self.vendors, self.run_jobs = paddle, m3ter, vendors, run_jobs

    def bought(self, **changes: Any) -> dict[str, Any]:
        """A subscription that Paddle has, as its notifications carry it."""
        checkout = self.paddle.complete_checkout(email="ap@harbour.example", name="Harbour Tools", items=[CLOUD])
        kept = self.vendors.paddle.get_subscription(checkout["subscription_id"]).raw
        return {**kept, "transaction_id": checkout["transaction_id"], **changes}

    def account(self, code: str, *, name: str = "Somebody Else") -> str:
        """An account that m3ter has already."""
        wanted = NewAccount(code=code, name=name, email_address="x@example.com", currency="EUR")
        return self.vendors.m3ter.create_account(wanted).id


@pytest.fixture
def stage(paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> Stage:
    """Both simulated vendors."""
    return Stage(paddle, m3ter, vendors, run_jobs)


@pytest.fixture(autouse=True)
def no_budget_in_the_way(settings: Settings) -> None:
    """Budgets have tests of their own."""
    settings.PADDLE_CALLS_PER_MINUTE = settings.M3TER_CALLS_PER_SECOND = 100_000


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run and the real run are asked in the same second: a plan of no time is taken away, not ended."""
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.fixture
def world(installation: Installation, stage: Stage) -> World:
    """One subscription that renews in five days, linked to an account, and charging has begun."""
    Installation.objects.filter(pk=installation.pk).update(charge_from=LIVE_SINCE)
    return World.begun(stage.paddle, stage.m3ter, stage.vendors)


def nothing_linked_yet(stage: Stage) -> dict[str, Any]:
    make_mapping()
    return stage.bought()


def nothing_differs(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    make_event("subscription.created", bought)
    stage.run_jobs()
    assert AccountLink.objects.count() == 1
    return bought


def nobody_mapped_the_price(stage: Stage) -> dict[str, Any]:
    return stage.bought()


def somebody_elses_account_has_the_code(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    stage.account(bought["id"])
    return bought


def a_bare_account_has_the_code_and_the_plan(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    account_id = stage.account(bought["id"], name=bought["id"])
    plan = NewAccountPlan(account_id=account_id, plan_id=m3ter_sample.PLAN_SCALE, start_date=clock.now())
    stage.vendors.m3ter.create_account_plan(plan)
    return bought


def a_bare_account_has_another_plan_of_the_product(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    account_id = stage.account(bought["id"], name=bought["id"])
    plan = NewAccountPlan(account_id=account_id, plan_id=m3ter_sample.PLAN_BULK, start_date=clock.now())
    stage.vendors.m3ter.create_account_plan(plan)
    return bought


def its_own_account_was_made_by_an_attempt_that_died(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    make_event("subscription.created", bought)
    stage.run_jobs()
    AccountLink.objects.all().delete()
    return bought


def its_account_was_mapped_by_hand(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    account_id = stage.account(bought["id"])
    stage.vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account_id, table="Subscription", external_id=bought["id"]
    )
    return bought


def the_mapped_plan_is_none_of_m3ters(stage: Stage) -> dict[str, Any]:
    make_mapping(plan="00000000-0000-0000-0000-00000000dead")
    return stage.bought()


def paddle_does_not_know_it(stage: Stage) -> dict[str, Any]:
    make_mapping()
    return subscription()


def paddle_is_in_trouble(stage: Stage) -> dict[str, Any]:
    bought = nothing_linked_yet(stage)
    stage.paddle.fault("get transaction", "error_before", times=None, status=503)
    return bought


SITUATIONS = (
    nothing_linked_yet,
    nothing_differs,
    nobody_mapped_the_price,
    somebody_elses_account_has_the_code,
    a_bare_account_has_the_code_and_the_plan,
    a_bare_account_has_another_plan_of_the_product,
    its_own_account_was_made_by_an_attempt_that_died,
    its_account_was_mapped_by_hand,
    the_mapped_plan_is_none_of_m3ters,
    paddle_does_not_know_it,
    paddle_is_in_trouble,
)


def done(event_type: str, data: dict[str, Any], **changes: Any) -> WebhookEvent:
    """An event that was done with, as far as its row says."""
    values = {"state": "processed", "due_at": None, "attempts": 1, **changes}
    return make_event(event_type, data, **values)


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but for what a read costs."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
        if model not in WHAT_READS_COST
    }


def rehearsed(event: WebhookEvent, stage: Stage) -> DryRun:
    """Make a dry run, and see to it that nothing but reads came of it."""
    before, asked = everything(), [len(stage.paddle.calls), len(stage.m3ter.calls)]

    found = jobs.dry_run(event.pk, wait=never)

    assert everything() == before
    made = [*stage.paddle.calls[asked[0] :], *stage.m3ter.calls[asked[1] :]]
    assert [call for call in made if call.method != "GET" and call.operation != "get token"] == []
    return found


def never(seconds: float) -> None:
    raise AssertionError(f"the budget is spent for {seconds} seconds")


def replayed(event: WebhookEvent, stage: Stage) -> tuple[Calls, WebhookEvent]:
    """Really replay an event."""
    intake.replay(event.pk, by="operator", reason="to compare")
    tried = EventAttempt.objects.filter(event=event).count()
    jobs.drain_events()
    attempts = list(EventAttempt.objects.filter(event=event).order_by("number"))
    assert len(attempts) == tried + 1
    event.refresh_from_db()
    calls = [call for call in attempts[-1].calls if call["operation"] != "get token"]
    return [(call["vendor"], call["method"], call["path"]) for call in calls], event


def planned(run: DryRun) -> Calls:
    return [(call.vendor, call.method, call.path) for call in run.calls]


def assert_equal(foreseen: DryRun, calls: Calls, event: WebhookEvent) -> None:
    """The same calls in the same order; an id that a dry run cannot know stands for any."""
    assert len(planned(foreseen)) == len(calls), (planned(foreseen), calls)
    for expected, made in zip(planned(foreseen), calls, strict=True):
        pattern = "[^/]+".join(map(re.escape, NEW.split(expected[2])))
        assert (expected[:2], bool(re.fullmatch(pattern, made[2]))) == (made[:2], True), (expected, made)
    assert foreseen.state == event.state


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
@pytest.mark.parametrize("event_type", OF_SUBSCRIPTIONS)
def test_a_replayed_event_of_a_subscription_calls_what_its_dry_run_said(
    stage: Stage, event_type: str, situation: Callable[[Stage], dict[str, Any]]
) -> None:
    event = done(event_type, situation(stage))

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))


def linked_to_one_and_named_another(stage: Stage) -> dict[str, Any]:
    make_mapping(
        str(SEATS["price_id"]),
        plan=m3ter_sample.PLAN_SEATS,
        m3ter_product=m3ter_sample.PRODUCT_SEATS,
        quantity_use="counter",
        m3ter_counter_id=m3ter_sample.COUNTER_SEATS,
    )
    make_mapping()
    checkout = stage.paddle.complete_checkout(email="ap@harbour.example", name="Harbour Tools", items=[CLOUD, SEATS])
    bought = stage.vendors.paddle.get_subscription(checkout["subscription_id"]).raw
    make_event("subscription.created", {**bought, "transaction_id": checkout["transaction_id"]})
    stage.run_jobs()
    stage.account("another")
    return {"id": bought["id"], "account": "another"}


def linked_to_the_one_it_has(stage: Stage) -> dict[str, Any]:
    bought = nothing_differs(stage)
    return {"id": bought["id"], "account": bought["id"]}


def named_one_that_m3ter_lacks(stage: Stage) -> dict[str, Any]:
    return {"id": nothing_differs(stage)["id"], "account": "nobody"}


def given_the_one_in_its_way(stage: Stage) -> dict[str, Any]:
    bought = somebody_elses_account_has_the_code(stage)
    make_event("subscription.created", bought)
    stage.run_jobs()
    return {"id": bought["id"], "account": bought["id"]}


@pytest.mark.parametrize(
    "situation",
    [
        linked_to_one_and_named_another,
        linked_to_the_one_it_has,
        named_one_that_m3ter_lacks,
        given_the_one_in_its_way,
    ],
    ids=lambda situation: situation.__name__,
)
def test_a_relinking_calls_what_its_dry_run_said(stage: Stage, situation: Callable[[Stage], dict[str, Any]]) -> None:
    data = situation(stage)
    event = done(RELINK, data)
    before = AccountLink.objects.values_list("m3ter_account_id", "account_since").first()

    foreseen = rehearsed(event, stage)

    calls, replay = replayed(event, stage)
    assert_equal(foreseen, calls, replay)
    after = AccountLink.objects.values_list("m3ter_account_id", "account_since").first()
    changes = {linked_to_one_and_named_another, given_the_one_in_its_way}
    assert (before != after) is (situation in changes)


def no_push_of_ours(world: World) -> dict[str, Any]:
    return renewal(world)


def a_renewal_lacks_the_push(world: World) -> dict[str, Any]:
    push = push_of(world.pushed())
    Push.objects.filter(pk=push.pk).update(expected_renewal_at=clock.now() - dt.timedelta(days=1))
    return renewal(world)


def it_carries_the_push(world: World) -> dict[str, Any]:
    push = push_of(world.pushed())
    data = renewal(world)
    data["items"][0]["price"]["custom_data"] = {"push_id": push.push_id}
    return data


def renewal(world: World) -> dict[str, Any]:
    """The transaction of a renewal that has just been billed."""
    (kept,) = list(world.paddle.transactions.values())[:1]
    now = clock.now()
    period = {"starts_at": stamp(now), "ends_at": stamp(now + dt.timedelta(days=30))}
    data: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return {
        **data,
        "id": paddle_id("txn"),
        "origin": "subscription_recurring",
        "status": "billed",
        "billing_period": period,
        "subscription_id": world.subscription_id,
    }


@pytest.mark.parametrize(
    "situation",
    [no_push_of_ours, a_renewal_lacks_the_push, it_carries_the_push],
    ids=lambda situation: situation.__name__,
)
@pytest.mark.parametrize("event_type", OF_TRANSACTIONS)
def test_a_replayed_event_of_a_transaction_calls_what_its_dry_run_said(
    stage: Stage, world: World, event_type: str, situation: Callable[[World], dict[str, Any]]
) -> None:
    event = done(event_type, situation(world))

    foreseen = rehearsed(event, stage)

    calls, replay = replayed(event, stage)
    assert_equal(foreseen, calls, replay)
    if situation is a_renewal_lacks_the_push:
        assert len(calls) == 1


@pytest.mark.parametrize("event_type", OF_SUBSCRIPTIONS)
def test_a_subscription_cancelled_with_an_unpaid_push_calls_what_its_dry_run_said(
    stage: Stage, world: World, event_type: str
) -> None:
    world.pushed()
    kept = world.vendors.paddle.get_subscription(world.subscription_id).raw
    event = done(event_type, {**kept, "status": "canceled", "canceled_at": stamp(clock.now())})

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))


def of_nothing_of_ours(world: World) -> dict[str, Any]:
    (checkout, *_) = world.paddle.transactions
    world.refund_by_hand(checkout)
    return the_adjustment(world)


def of_a_charge_of_ours(world: World) -> dict[str, Any]:
    PushPolicy.objects.update(mode="immediately")
    world.pushed()
    (charge,) = world.paddle.charges
    Push.objects.update(paddle_transaction_id=charge.transaction_id)
    world.refund_by_hand(str(charge.transaction_id))
    return the_adjustment(world)


def the_adjustment(world: World) -> dict[str, Any]:
    world.paddle.settle_adjustments()
    (row,) = world.paddle.adjustments.values()
    data: dict[str, Any] = json.loads(json.dumps(row, default=str))
    return data


@pytest.mark.parametrize(
    "situation", [of_nothing_of_ours, of_a_charge_of_ours], ids=lambda situation: situation.__name__
)
@pytest.mark.parametrize("event_type", OF_ADJUSTMENTS)
def test_a_replayed_event_of_an_adjustment_calls_what_its_dry_run_said(
    stage: Stage, world: World, event_type: str, situation: Callable[[World], dict[str, Any]]
) -> None:
    event = done(event_type, situation(world))

    foreseen = rehearsed(event, stage)

    calls, replay = replayed(event, stage)
    assert_equal(foreseen, calls, replay)
    assert len(calls) == (2 if situation is of_a_charge_of_ours else 0)


def a_new_bill(world: World) -> str:
    return world.make_bill()


def a_bill_not_approved_yet(world: World) -> str:
    return world.make_bill(approve=False)


def a_bill_that_is_known(world: World) -> str:
    return world.imported().m3ter_bill_id


def a_bill_that_was_deleted(world: World) -> str:
    bill = world.imported()
    world.delete_in_m3ter(bill)
    return bill.m3ter_bill_id


def no_bill_at_all(world: World) -> str:
    return ""


def m3ter_in_trouble(world: World) -> str:
    world.m3ter.fault("get bill", "error_before", times=None, status=503)
    return world.make_bill()


@pytest.mark.parametrize(
    "situation",
    [
        a_new_bill,
        a_bill_not_approved_yet,
        a_bill_that_is_known,
        a_bill_that_was_deleted,
        no_bill_at_all,
        m3ter_in_trouble,
    ],
    ids=lambda situation: situation.__name__,
)
@pytest.mark.parametrize("event_type", OF_BILLS)
def test_a_replayed_notice_of_a_bill_calls_what_its_dry_run_said(
    stage: Stage, world: World, event_type: str, situation: Callable[[World], str]
) -> None:
    event = done(event_type, {}, source="m3ter", subject_id=situation(world), paddle_subscription_id="")

    foreseen = rehearsed(event, stage)

    assert_equal(foreseen, *replayed(event, stage))
