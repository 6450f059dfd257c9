"""The plan charges every bill in the way, and by the policy, in which its push would charge it."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_bridge import outlook
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.planning import Collected, Hindrance, Planned
from integration_project import clock
from paddle_sync.models import AccountLink
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import World
from tests.builders import make_link
from tests.console.rows import make_bill


@pytest.fixture(autouse=True)
def unreviewed(db: None) -> None:
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(review="never")


def planned() -> Planned:
    (entry,) = outlook.read().plan.entries
    return entry


@pytest.mark.parametrize(
    ("policy", "mode", "collected"),
    [
        ({"mode": "invoice"}, "classic_modifier", Collected.WITH_RENEWAL),
        ({"mode": "immediately"}, "classic_modifier", Collected.WITH_RENEWAL),
        ({"classic_mode": "classic_charge"}, "classic_charge", Collected.AT_ONCE),
    ],
)
def test_bills_of_classic_are_planned_in_the_way_that_policy_has_for_classic(
    classic_world: ClassicWorld, policy: dict[str, str], mode: str, collected: Collected
) -> None:
    PushPolicy.objects.update(**policy)
    classic_world.imported()

    entry = planned()

    assert (entry.bill.mode, entry.collected) == (mode, collected)


def test_a_bill_of_classic_that_comes_too_late_is_missing_whatever_policy_says_of_billing(
    classic_world: ClassicWorld,
) -> None:
    PushPolicy.objects.update(mode="invoice")
    bill = classic_world.imported()
    soon = clock.now() + dt.timedelta(minutes=10)
    PushedBill.objects.filter(pk=bill.pk).update(renews_at=soon)

    entry = planned()

    assert (entry.misses, entry.hindrance) == (True, Hindrance.LOCK)


def test_what_a_customer_of_classic_is_owed_is_never_taken_off_at_once(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(negative="credit", far="immediately", max_wait_days=1)
    bill = classic_world.imported((("API calls", "-20.00"),))
    PushedBill.objects.filter(pk=bill.pk).update(state="ready", reason="", due_at=clock.now())

    entry = planned()

    assert (entry.bill.mode, entry.hindrance) == ("classic_credit", Hindrance.TOO_FAR)


def test_the_subscription_that_pays_now_decides_not_the_one_seen_last(world: World) -> None:
    world.imported()
    new = world.subscribe_again()
    link = AccountLink.objects.get(paddle_subscription_id=new)
    PushPolicy.objects.create(link=link, mode="invoice", review="never")

    entry = planned()

    assert (entry.bill.subscription_id, entry.bill.renews_at) == (new, link.next_billed_at)
    assert (entry.bill.mode, entry.collected) == ("invoice", Collected.BY_ITSELF)


def test_the_policy_of_a_subscription_that_ended_is_not_asked_any_more(world: World) -> None:
    PushPolicy.objects.create(link=world.link, mode="invoice", review="never")
    world.imported()
    world.subscribe_again()

    assert planned().bill.mode == "next_billing_period"


def test_immediate_charges_on_classic_have_no_limit_of_paddle_billings(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.update(classic_mode="classic_charge")
    bills(classic_world.link, 25)

    entries = outlook.read().plan.entries

    assert {entry.hindrance for entry in entries} == {None}
    assert len(entries) == 25


def bills(link: AccountLink, count: int) -> None:
    for _ in range(count):
        make_bill(link, PushedBill.State.READY, serial_key=link.paddle_subscription_id, due_at=clock.now())


def test_many_bills_are_read_in_as_many_queries_as_few(installation: Any) -> None:
    bills(make_link(), 1)
    few = queries()
    for _ in range(20):
        bills(make_link(), 1)

    assert queries() == few


def queries() -> int:
    outlook.read()
    with CaptureQueriesContext(connection) as asked:
        outlook.read()
    return len(asked)
