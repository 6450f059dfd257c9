"""The process that makes a vendor call is killed by SIGKILL, at every call of both flows; another one goes on.

Real processes, real HTTP, a real database. Only time is not waited for: it is moved in the rows.
"""

import datetime as dt
import re

import pytest
from django.db.models import Model
from django.test import Client

from billing_bridge import modes, review
from billing_bridge.models import BillEntry, Push, PushAttempt, PushedBill
from integration_project import clock
from integration_project.models import Circuit, Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from paddle_sync.models import AccountLink, AccountPlanLink, EventAttempt, WebhookEvent
from tests.billing_bridge.world import push_of
from tests.builders import make_mapping, post_notification
from tests.kill.mortal import Mortals, at_every_moment
from tests.kill.programs import needs_proc
from tests.kill.ways import CONFIRM, PUSH, WAYS, Stage, Way

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(600),
    needs_proc,
]

State = PushedBill.State

EVENTS = "paddle_sync.jobs.drain_events"
OF_CLASSIC = pytest.mark.xdist_group("classic")
"""Those of Paddle Classic run beside the others: nothing in them is measured by time."""
in_every_way = pytest.mark.parametrize(
    "way", [pytest.param(way, id=way.name, marks=(OF_CLASSIC,) if way.is_of_classic else ()) for way in WAYS]
)
WHOLE_SCHEDULE = 12
"""More runs than any bill needs, all its look-ups included."""


@pytest.fixture
def stage(
    workers: Mortals,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    classic: ClassicSimulator,
    vendors: Vendors,
    client: Client,
) -> Stage:
    """All vendors."""
    return Stage(paddle, m3ter, vendors, classic=classic, client=client)


def let_time_pass() -> None:
    """Every lease has run out, what waits for a time is due, and what was read from m3ter is old."""
    past = clock.now() - dt.timedelta(seconds=1)
    leased: tuple[type[Model], ...] = (PushedBill, WebhookEvent)
    for model in leased:
        rows = model._default_manager
        rows.filter(lease__isnull=False).update(lease_until=past)
        rows.filter(due_at__isnull=False).update(due_at=past)
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))


def nothing_was_ever_looked_up() -> None:
    """So that each run makes the calls of a first one."""
    Circuit.objects.all().delete()
    Installation.objects.update(organization_read_at=None)


# --- From checkout to account ---------------------------------------------------------------------------------------


def test_killed_at_any_call_between_checkout_and_account_there_is_one_account_with_its_plans(
    workers: Mortals, client: Client, vendors: Vendors, paddle: PaddleSimulator, m3ter: M3terSimulator
) -> None:
    make_mapping()
    make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )
    told_of_a_checkout(client, paddle)
    undisturbed = workers.do(EVENTS)
    assert at_every_moment(undisturbed)
    assert [call.operation for call in paddle.calls] == ["get transaction"]
    assert sorted(str(call.operation) for call in m3ter.calls) == [
        "create account",
        "create account plan",
        "create account plan",
        "create external mapping",
        "get organization config",
        "get token",
    ]

    for place, where in enumerate(undisturbed.points):
        subscription_id = told_of_a_checkout(client, paddle)
        life = workers.do(EVENTS, dies_at=place)
        died = WebhookEvent.objects.get(paddle_subscription_id=subscription_id)
        let_time_pass()
        workers.do(EVENTS)

        assert unnumbered(life.points[-1]) == unnumbered(where)
        assert (died.state, died.attempts, died.lease is None) == ("processing", 1, False), where
        assert_all_is_there_once(m3ter, subscription_id, where)
        event = WebhookEvent.objects.get(pk=died.pk)
        assert (event.state, event.attempts, event.lease, event.due_at) == ("processed", 2, None, None), where
        assert EventAttempt.objects.filter(event=event).count() == 1, where

    assert not Finding.objects.filter(state="open").exists()


def told_of_a_checkout(client: Client, paddle: PaddleSimulator) -> str:
    """Let somebody buy two products, and let Paddle tell us."""
    nothing_was_ever_looked_up()
    items = [{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]
    items.append({"price_id": paddle_sample.PRICE_INSIGHTS_EUR, "quantity": 1})
    bought = paddle.complete_checkout(email=f"buyer{len(paddle.events)}@example.com", items=items)
    subscription_id = str(bought["subscription_id"])
    (created,) = (
        event
        for event in paddle.events
        if event["event_type"] == "subscription.created" and event["data"]["id"] == subscription_id
    )
    assert post_notification(client, {**created, "notification_id": f"ntf_{subscription_id}"}).status_code == 200
    return subscription_id


def assert_all_is_there_once(m3ter: M3terSimulator, subscription_id: str, where: str) -> None:
    (account,) = [row for row in m3ter.memory.accounts if row["code"] == subscription_id]
    plans = [row for row in m3ter.memory.account_plans if row["accountId"] == account["id"]]
    (mapping,) = [row for row in m3ter.memory.external_mappings if row["m3terId"] == account["id"]]
    link = AccountLink.objects.get(paddle_subscription_id=subscription_id)
    recorded = AccountPlanLink.objects.filter(link=link).values_list("m3ter_account_plan_id", flat=True)
    assert sorted(row["planId"] for row in plans) == sorted([m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS]), where
    assert sorted(recorded) == sorted(row["id"] for row in plans), where
    assert mapping["externalId"] == subscription_id, where
    assert (link.m3ter_account_id, link.external_mapping_id) == (account["id"], mapping["id"]), where


def unnumbered(point: str) -> str:
    """A point without the ids in its path; every id has a digit in it, and no other part of a path has."""
    return re.sub(r"/[^/]*\d[^/]*", "/id", point)


# --- From bill to charge and lock, in every way there is --------------------------------------------------------------


def test_processes_are_killed_in_every_way_of_charging_there_is() -> None:
    assert {way.mode for way in WAYS} == set(modes.MODES)


@in_every_way
def test_killed_at_any_call_between_bill_and_lock_it_is_settled_once(workers: Mortals, stage: Stage, way: Way) -> None:
    way.chosen()
    bill_ids = [begun(stage, way)]
    undisturbed = workers.do(*way.jobs)
    assert at_every_moment(undisturbed)
    assert operations(stage) == way.operations()
    opened, charge = way.opened(undisturbed), way.requested(undisturbed, "before")
    waited_for_a_person = []

    for place, where in enumerate(undisturbed.points):
        bill_id = begun(stage, way)
        life = workers.do(*way.jobs, dies_at=place)
        if recovered(workers, stage, way, bill_id, where):
            waited_for_a_person.append(where)

        bill_ids.append(bill_id)
        assert unnumbered(life.points[-1]) == unnumbered(where)
        assert_settled_once(stage, way, bill_id, where)
        push = push_of(stage.bill(bill_id))
        sent, unanswered = place >= charge, place in {charge + 1, charge + 2}
        assert push.detail.startswith("Found by looking.") == (unanswered and way.is_found), where
        assert (looks_for(push) > 0) == (place in {charge, charge + 1, charge + 2}), where
        died = PushAttempt.objects.filter(push=push, outcome="worker died").values_list("detail", flat=True)
        assert [("under way" in words) for words in died] == ([sent] if opened <= place <= charge + 2 else []), where

    assert waited_for_a_person == list(undisturbed.points[charge : charge + (1 if way.is_found else 3)])
    assert_paid_once(stage, way, bill_ids)


@in_every_way
def test_killed_while_looking_for_a_charge_it_is_looked_for_again(workers: Mortals, stage: Stage, way: Way) -> None:
    way.chosen()
    bill_ids = [begun(stage, way)]
    whole = workers.do(*way.jobs)

    for moment in ("before", "unread"):
        charge = way.requested(whole, moment)
        bill_ids.append(in_flight(workers, stage, way, charge))
        looking = workers.do(CONFIRM)
        assert at_every_moment(looking)
        assert looking.points
        unknown = moment == "before" or not way.is_found
        assert recovered(workers, stage, way, bill_ids[-1], "nowhere") == unknown

        bill_ids.append(in_flight(workers, stage, way, charge))
        for place, where in enumerate(looking.points):
            workers.do(CONFIRM, dies_at=place)
            died = stage.bill(bill_ids[-1])
            let_time_pass()

            assert (died.state, died.looks, died.lease is None) == (State.UNCONFIRMED, 0, False), where

        assert recovered(workers, stage, way, bill_ids[-1], "while looking") == unknown
        assert_settled_once(stage, way, bill_ids[-1], "while looking")

    assert_paid_once(stage, way, bill_ids)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.is_of_classic], ids=lambda way: way.name)
def test_what_a_killed_process_has_charged_is_settled_by_the_news_of_it(
    workers: Mortals, stage: Stage, way: Way
) -> None:
    way.chosen()
    begun(stage, way)
    charge = way.requested(workers.do(*way.jobs), "unread")
    bill_id = begun(stage, way)
    workers.do(*way.jobs, dies_at=charge)

    way.fulfil(stage, [bill_id])
    stage.hear()

    bill = stage.bill(bill_id)
    assert (bill.state, bill.outstanding, bill.lease) == (State.PUSHED, 0, None)
    assert not recovered(workers, stage, way, bill_id, "before the news")
    assert_settled_once(stage, way, bill_id, "before the news")
    assert looks_for(push_of(bill)) == 0
    assert (bill.payment, bill.paid, bill.refunded) == way.payment


def begun(stage: Stage, way: Way) -> str:
    """Make what is to be settled, and forget what that took."""
    bill_id = way.begin(stage)
    if not way.imports:
        stage.read(bill_id)
        let_time_pass()
    nothing_was_ever_looked_up()
    for simulator in (stage.paddle, stage.classic, stage.m3ter):
        simulator.calls.clear()
    return bill_id


def in_flight(workers: Mortals, stage: Stage, way: Way, charge: int) -> str:
    """Let a bill's charge be under way when its process dies, and let that be noticed."""
    bill_id = begun(stage, way)
    workers.do(*way.jobs, dies_at=charge)
    let_time_pass()
    workers.do(PUSH)
    assert stage.bill(bill_id).state == State.UNCONFIRMED
    let_time_pass()
    return bill_id


def recovered(workers: Mortals, stage: Stage, way: Way, bill_id: str, where: str) -> bool:
    """Let time go by and new processes go on. Says whether a person had to: only where nothing can be known."""
    asked = False
    for _ in range(WHOLE_SCHEDULE):
        let_time_pass()
        workers.do(*way.jobs)
        bill = PushedBill.objects.filter(m3ter_bill_id=bill_id).first()
        if bill is None or bill.due_at is not None:
            continue
        if bill.state != State.UNCONFIRMED:
            return asked
        push_id = push_of(bill).push_id
        assert not asked, where
        made = push_id in stage.kept(bill_id)
        assert not (made and way.is_found), where
        assert open_findings() == [("charge unconfirmed", push_id)], where
        answer = review.charge_was_made if made else review.charge_was_not_made
        answer(bill.pk, by="finance", reason="looked in Paddle")
        asked = True
    raise AssertionError(f"killed {where}, it never came to an end: {bill and (bill.state, bill.last_error)}")


def assert_settled_once(stage: Stage, way: Way, bill_id: str, where: str) -> None:
    """What was asked is there once, in the ledger too, and comes to what it was asked for; nothing is left to do."""
    bill = stage.bill(bill_id)
    (mapping,) = [row for row in stage.m3ter.memory.external_mappings if row["m3terId"] == bill_id]
    assert stage.kept(bill_id) == way.in_the_end(bill_id), where
    assert (bill.state, bill.reason, bill.outstanding) == (State.PUSHED, "", 0), where
    assert tuple(BillEntry.objects.filter(bill=bill).order_by("id").values_list("kind", "amount")) == way.entries, where
    stands = dict(bill.pushes.filter(state="pushed").values_list("push_id", "amount"))
    assert stands == {push_id: abs(amount) for push_id, (amount,) in way.in_the_end(bill_id).items()}, where
    assert not bill.pushes.exclude(state__in=("pushed", "lost")).exists(), where
    assert push_of(bill).mode == way.mode, where
    assert (bill.due_at, bill.lease, bill.m3ter_locked) == (None, None, True), where
    assert stage.in_m3ter(bill_id)["locked"] is True, where
    assert (bill.external_mapping_id, mapping["externalId"]) == (mapping["id"], push_of(bill).push_id), where
    assert open_findings() == [], where


def assert_paid_once(stage: Stage, way: Way, bill_ids: list[str]) -> None:
    """What it was asked for happens, and is told: each customer paid that much, or has that much back."""
    way.fulfil(stage, bill_ids)
    stage.hear()

    for bill in map(stage.bill, bill_ids):
        assert (bill.state, bill.outstanding) == (State.PUSHED, 0)
        assert (bill.payment, bill.paid, bill.refunded) == way.payment
        assert stage.kept(bill.m3ter_bill_id) == way.in_the_end(bill.m3ter_bill_id)
    assert open_findings() == []


def looks_for(push: Push) -> int:
    """How often a push was looked for to the end."""
    return PushAttempt.objects.filter(push=push, step="look", phase="after").count()


def open_findings() -> list[tuple[str, str]]:
    """What people are told to look at: kind and subject."""
    return list(Finding.objects.filter(state="open").values_list("kind", "subject"))


def operations(stage: Stage) -> dict[str, list[str]]:
    """What the vendors were asked, in order."""
    simulators = {"paddle": stage.paddle, "classic": stage.classic, "m3ter": stage.m3ter}
    return {name: [str(call.operation) for call in simulator.calls] for name, simulator in simulators.items()}
