"""The process that makes a vendor call is killed by SIGKILL, at every call of both flows; another one goes on.

Real processes, real HTTP, a real database. Only time is not waited for: it is moved in the rows.
"""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.models import Model
from django.test import Client
from pytest_django import Settings

from billing_bridge import review
from billing_bridge.models import BillEntry, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock, installation
from integration_project.models import Circuit, Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.simulation import serve
from paddle_sync.models import AccountLink, AccountPlanLink, EventAttempt, WebhookEvent
from tests.billing_bridge.world import LIVE_SINCE, World
from tests.builders import make_mapping, post_notification
from tests.kill.mortal import MOMENTS, Life, Mortals, mortals
from tests.kill.programs import needs_proc

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(600),
    needs_proc,
]

State = PushedBill.State

EVENTS = "paddle_sync.jobs.drain_events"
IMPORT = "billing_bridge.jobs.import_new_bills"
PUSH = "billing_bridge.jobs.drain_bills"
CONFIRM = "billing_bridge.jobs.confirm_bills"
FINISH = "billing_bridge.jobs.finish_bills"
BILLS = (IMPORT, PUSH, CONFIRM, FINISH)
AMOUNT = 14345
WHOLE_SCHEDULE = 12
"""More runs than any bill needs, all its look-ups included."""


@pytest.fixture
def paddle() -> PaddleSimulator:
    """A Paddle that sends nothing by itself."""
    simulator = PaddleSimulator()
    simulator.rate_limit.limit = None
    return simulator


@pytest.fixture
def m3ter() -> M3terSimulator:
    """An m3ter that sends nothing by itself."""
    simulator = M3terSimulator()
    simulator.limit_requests(None)
    return simulator


@pytest.fixture
def workers(paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings, tmp_path: Path) -> Iterator[Mortals]:
    """Processes that call both vendors over the network, on a database that is live."""
    with serve(paddle) as paddle_served, serve(m3ter) as m3ter_served:
        settings.PADDLE_API_URL, settings.M3TER_API_URL = paddle_served.url, m3ter_served.url
        settings.M3TER_ORG_ID = m3ter_sample.ORG_ID
        installation.current()
        Installation.objects.update(charge_from=LIVE_SINCE, native_integration_checked_at=clock.now())
        with mortals(tmp_path, paddle_url=paddle_served.url, m3ter_url=m3ter_served.url) as processes:
            yield processes


@pytest.fixture
def world(workers: Mortals, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors) -> World:
    """Both vendors, and bills that are charged without review."""
    PushPolicy.objects.update_or_create(link=None, defaults={"review": "never"})
    return World(paddle, m3ter, vendors)


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


def at_every_moment(life: Life) -> bool:
    """Whether a life that nothing ended passed each of its calls before, with its answer unread, and read."""
    return [point.split(" ", 1)[0] for point in life.points] == list(MOMENTS) * (len(life.points) // len(MOMENTS))


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


# --- From bill to charge and lock -----------------------------------------------------------------------------------


def test_killed_at_any_call_between_bill_and_lock_there_is_one_charge(workers: Mortals, world: World) -> None:
    approved_bill(world)
    undisturbed = workers.do(*BILLS)
    assert at_every_moment(undisturbed)
    assert operations(world) == {
        "paddle": ["list subscription history", "preview charge", "charge subscription"],
        "m3ter": ["get token", "list bills", "get bill", "lock bill", "create external mapping"],
    }
    charge = charging(undisturbed, "before")
    waited_for_a_person = []

    for place, where in enumerate(undisturbed.points):
        bill_id = approved_bill(world)
        life = workers.do(*BILLS, dies_at=place)
        if recovered(workers, world, bill_id, where):
            waited_for_a_person.append(where)

        assert unnumbered(life.points[-1]) == unnumbered(where)
        assert_charged_once(world, bill_id, where)
        push = Push.objects.get(bill__m3ter_bill_id=bill_id)
        looked = PushAttempt.objects.filter(push=push, step="look", phase="after").count()
        sent, unanswered = place >= charge, place in {charge + 1, charge + 2}
        assert push.detail.startswith("Found by looking.") == unanswered, where
        assert (looked > 0) == (place in {charge, charge + 1, charge + 2}), where
        died = PushAttempt.objects.filter(push=push, outcome="worker died").values_list("detail", flat=True)
        assert [("under way" in words) for words in died] == ([sent] if preview_or_charge(where) else []), where

    assert waited_for_a_person == [undisturbed.points[charge]]


@pytest.mark.parametrize("moment", ["before", "unread"])
def test_killed_while_looking_for_a_charge_it_is_looked_for_again(workers: Mortals, world: World, moment: str) -> None:
    approved_bill(world)
    whole = workers.do(*BILLS)
    charge = charging(whole, moment)
    bill_id = in_flight(workers, world, charge)
    looking = workers.do(CONFIRM)
    assert at_every_moment(looking)
    assert recovered(workers, world, bill_id, "nowhere") == (moment == "before")

    bill_id = in_flight(workers, world, charge)
    for place, where in enumerate(looking.points):
        workers.do(CONFIRM, dies_at=place)
        died = PushedBill.objects.get(m3ter_bill_id=bill_id)
        let_time_pass()

        assert (died.state, died.looks, died.lease is None) == (State.UNCONFIRMED, 0, False), where

    assert recovered(workers, world, bill_id, "while looking") == (moment == "before")
    assert_charged_once(world, bill_id, "while looking")


def approved_bill(world: World) -> str:
    """Let m3ter approve a bill of a subscription of its own."""
    nothing_was_ever_looked_up()
    _, account_id = world.subscribe(email=f"buyer{AccountLink.objects.count()}@example.com")
    bill_id = world.make_bill(account_id=account_id)
    for simulator in (world.paddle, world.m3ter):
        simulator.calls.clear()
    return bill_id


def in_flight(workers: Mortals, world: World, charge: int) -> str:
    """Let a bill's charge be under way when its process dies, and let that be noticed."""
    bill_id = approved_bill(world)
    workers.do(*BILLS, dies_at=charge)
    let_time_pass()
    workers.do(PUSH)
    assert PushedBill.objects.get(m3ter_bill_id=bill_id).state == State.UNCONFIRMED
    let_time_pass()
    return bill_id


def recovered(workers: Mortals, world: World, bill_id: str, where: str) -> bool:
    """Let time go by and new processes go on. Says whether a person had to: only where nothing can be known."""
    asked = False
    for _ in range(WHOLE_SCHEDULE):
        let_time_pass()
        workers.do(*BILLS)
        bill = PushedBill.objects.filter(m3ter_bill_id=bill_id).first()
        if bill is None or bill.due_at is not None:
            continue
        if bill.state != State.UNCONFIRMED:
            return asked
        assert not asked, where
        assert world.charges_of(bill) == 0, where
        review.charge_was_not_made(bill.pk, by="finance", reason="looked in Paddle")
        asked = True
    raise AssertionError(f"killed {where}, it never came to an end: {bill and (bill.state, bill.last_error)}")


def assert_charged_once(world: World, bill_id: str, where: str) -> None:
    """One charge, one push, one line in the ledger, one lock, one mapping, and nothing left to do."""
    bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
    push = Push.objects.get(bill=bill)
    (entry,) = BillEntry.objects.filter(bill=bill)
    (mapping,) = [row for row in world.m3ter.memory.external_mappings if row["m3terId"] == bill_id]
    assert world.charges_of(bill) == 1, where
    assert (bill.state, bill.payable, bill.pushed, bill.outstanding) == (State.PUSHED, AMOUNT, AMOUNT, 0), where
    assert (push.push_id, push.state, push.amount) == (f"{bill_id}-1", "pushed", AMOUNT), where
    assert (entry.kind, entry.amount, entry.push_id) == ("pushed", AMOUNT, push.pk), where
    assert (bill.due_at, bill.lease, bill.m3ter_locked) == (None, None, True), where
    assert world.in_m3ter(bill_id)["locked"] is True, where
    assert (bill.external_mapping_id, mapping["externalId"]) == (mapping["id"], push.push_id), where


def charging(life: Life, moment: str) -> int:
    """Where in a life that moment of the charge was."""
    (place,) = (place for place, name in enumerate(life.points) if name.startswith(moment) and name.endswith("/charge"))
    return place


def operations(world: World) -> dict[str, list[str]]:
    """What both vendors were asked, in order."""
    simulators = {"paddle": world.paddle, "m3ter": world.m3ter}
    return {name: [str(call.operation) for call in simulator.calls] for name, simulator in simulators.items()}


def preview_or_charge(where: str) -> bool:
    """Whether a push was open at this point, from the look at the history that proves it can be read on."""
    return any(part in where for part in ("/charge", "/history"))
