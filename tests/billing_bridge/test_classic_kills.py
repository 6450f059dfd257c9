"""Killed at any call of Paddle Classic and any commit, the work goes on by itself, and there is one modifier."""

import pytest
from pytest_django import Settings

from billing_bridge import review
from billing_bridge.models import BillEntry, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.billing_bridge.test_kills import from_bill_to_lock, let_time_pass, looks_sent_and_is_not, recover
from tests.billing_bridge.world import fresh

State = PushedBill.State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


@pytest.fixture
def killer(
    classic_world: ClassicWorld,
    adapters: dict[str, WsgiAdapter],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Killer:
    """Every call and commit can be the last. There are more calls than any limit allows."""
    classic_world.m3ter.limit_requests(None)
    killer = Killer()
    settings.VENDOR_TRANSPORTS = {vendor: DeadlyAdapter(adapter, killer) for vendor, adapter in adapters.items()}
    commits_can_kill(monkeypatch, killer)
    return killer


def test_killed_anywhere_between_bill_and_lock_there_is_one_modifier(
    classic_world: ClassicWorld, killer: Killer
) -> None:
    PushPolicy.objects.update_or_create(link=None, defaults={"review": "never"})
    point, points, waited_for_a_person = 0, 1, 0
    while point < points:
        _, account_id = classic_world.subscribe_in_classic(email=f"buyer{point}@example.com")
        bill_id = classic_world.make_bill(account_id=account_id)
        try:
            with killer.watching(point):
                from_bill_to_lock()
        except Killed:
            pass
        points = max(points, len(killer.points) + 1)
        where = killer.points[point] if point < len(killer.points) else "nowhere"

        in_doubt = looks_sent_and_is_not(classic_world, bill_id)
        waited = recover(classic_world, bill_id, where)
        assert waited == in_doubt, where
        waited_for_a_person += waited

        bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
        assert classic_world.charges_of(bill) == 1, where
        assert (bill.state, bill.pushed, bill.outstanding) == (State.PUSHED, 14345, 0), where
        assert (BillEntry.objects.filter(bill=bill).count(), Push.objects.filter(bill=bill).count()) == (1, 1), where
        point += 1
    assert points > 40
    assert waited_for_a_person > 0


def test_killed_anywhere_while_a_modifier_is_replaced_there_is_one_of_what_the_bill_is_now(
    classic_world: ClassicWorld, killer: Killer
) -> None:
    PushPolicy.objects.update_or_create(link=None, defaults={"lock_after_days": 5, "changed": "settle"})
    point, points = 0, 1
    while point < points:
        _, account_id = classic_world.subscribe_in_classic(email=f"buyer{point}@example.com")
        bill_id = classic_world.make_bill(account_id=account_id)
        from_bill_to_lock()
        bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
        review.approve(bill.pk, by="finance")
        from_bill_to_lock()
        classic_world.m3ter.recalculate(bill_id)
        classic_world.change_bill(bill_id, (("API calls", "100.00"),))
        classic_world.m3ter.approve_bill(bill_id)
        classic_world.import_all()
        review.approve(bill.pk, by="finance")
        try:
            with killer.watching(point):
                from_bill_to_lock()
        except Killed:
            pass
        points = max(points, len(killer.points) + 1)
        where = killer.points[point] if point < len(killer.points) else "nowhere"

        recover_replaced(classic_world, bill, where)

        amounts = [str(each.amount) for each in classic_world.modifiers() if bill_id in each.description]
        assert amounts == ["100.00"], where
        assert (fresh(bill).in_paddle, fresh(bill).lost, fresh(bill).outstanding) == (10000, 14345, 0), where
        point += 1
    assert points > 30


def recover_replaced(world: ClassicWorld, bill: PushedBill, where: str) -> None:
    """Let leases run out and time go by; a person answers where nothing can be known."""
    for _ in range(12):
        let_time_pass()
        from_bill_to_lock()
        now = fresh(bill)
        if now.state == State.UNCONFIRMED and now.due_at is None:
            assert world.charges_of(bill) == 0, where
            review.charge_was_not_made(bill.pk, by="finance", reason="looked in Paddle Classic")
        elif now.state == State.PUSHED and now.outstanding == 0:
            return
    raise AssertionError(f"killed {where}, it never came to an end: {fresh(bill).state}, {fresh(bill).reason_detail}")


def test_killed_anywhere_while_the_payment_is_recorded_it_is_recorded_once(
    classic_world: ClassicWorld, killer: Killer
) -> None:
    bill = classic_world.pushed()
    classic_world.collect()
    classic_world.classic.deliver_webhooks()
    point, points = 0, 1
    while point < points:
        PushedBill.objects.filter(pk=bill.pk).update(payment="none", paid=0)
        Push.objects.filter(bill=bill).update(payment="none", collected=0, paddle_transaction_id="")
        WebhookEvent.objects.filter(source="paddle_classic").update(state="received", due_at=clock.now(), attempts=0)
        try:
            with killer.watching(point):
                drain_events()
        except Killed:
            pass
        points = max(points, len(killer.points) + 1)
        where = killer.points[point] if point < len(killer.points) else "nowhere"

        for _ in range(3):
            let_time_pass()
            drain_events()

        assert (fresh(bill).payment, fresh(bill).paid, classic_world.charges_of(bill)) == ("paid", 14345, 1), where
        point += 1
    assert points > 8
