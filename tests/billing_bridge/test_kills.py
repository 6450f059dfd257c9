"""Killed at any vendor call and any commit, the work goes on by itself, and the customer is charged once."""

import datetime as dt

import pytest
from pytest_django import Settings

from billing_bridge import jobs, review
from billing_bridge.models import BillEntry, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.billing_bridge.world import World, fresh

State = PushedBill.State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


@pytest.fixture
def killer(
    world: World, adapters: dict[str, WsgiAdapter], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Killer:
    """Every call and commit can be the last. There are more calls than any limit allows."""
    world.paddle.rate_limit.limit = None
    world.m3ter.limit_requests(None)
    killer = Killer()
    settings.VENDOR_TRANSPORTS = {vendor: DeadlyAdapter(adapter, killer) for vendor, adapter in adapters.items()}
    commits_can_kill(monkeypatch, killer)
    return killer


def from_bill_to_lock() -> None:
    """What the worker does with a bill that m3ter has approved."""
    jobs.import_new_bills()
    jobs.drain_bills()
    jobs.confirm_bills()
    jobs.finish_bills()


def test_killed_anywhere_between_bill_and_lock_there_is_one_charge(world: World, killer: Killer) -> None:
    PushPolicy.objects.update_or_create(link=None, defaults={"review": "never"})
    point, points, waited_for_a_person = 0, 1, 0
    while point < points:
        _, account_id = world.subscribe(email=f"buyer{point}@example.com")
        bill_id = world.make_bill(account_id=account_id)
        try:
            with killer.watching(point):
                from_bill_to_lock()
        except Killed:
            pass
        points = max(points, len(killer.points) + 1)
        where = killer.points[point] if point < len(killer.points) else "nowhere"

        in_doubt = looks_sent_and_is_not(world, bill_id)
        waited = recover(world, bill_id, where)
        assert waited == in_doubt, where
        waited_for_a_person += waited

        bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
        assert world.charges_of(bill) == 1, where
        assert (bill.state, bill.pushed, bill.outstanding) == (State.PUSHED, 14345, 0), where
        assert BillEntry.objects.filter(bill=bill).count() == 1, where
        assert Push.objects.filter(bill=bill).count() == 1, where
        assert world.in_m3ter(bill_id)["locked"] is True, where
        mapped = [row for row in world.m3ter.memory.external_mappings if row["m3terId"] == bill_id]
        assert len(mapped) == 1, where
        assert bill.external_mapping_id == mapped[0]["id"], where
        point += 1
    assert points > 40
    assert waited_for_a_person > 0


def looks_sent_and_is_not(world: World, bill_id: str) -> bool:
    """Whether a life left a charge that may have been sent, and was not: only then must a person say what happened."""
    sent = Push.objects.filter(bill__m3ter_bill_id=bill_id, state=Push.State.PUSHING, sent_at__isnull=False).first()
    return sent is not None and not world.charges_of(sent.bill)


def recover(world: World, bill_id: str, where: str) -> int:
    """Let leases run out and time go by; a person answers where nothing can be known. Says how often one had to."""
    answers = 0
    for _ in range(12):
        let_time_pass()
        from_bill_to_lock()
        bill = PushedBill.objects.filter(m3ter_bill_id=bill_id).first()
        if bill is None or bill.due_at is not None:
            continue
        if bill.state != State.UNCONFIRMED:
            return answers
        assert world.charges_of(bill) == 0, where
        review.charge_was_not_made(bill.pk, by="finance", reason="looked in Paddle")
        answers += 1
    raise AssertionError(f"killed {where}, it never came to an end: {bill and (bill.state, bill.last_error)}")


def let_time_pass() -> None:
    """Every lease has run out, and everything that waits for a time is due."""
    past = clock.now() - dt.timedelta(seconds=1)
    for model in (PushedBill, WebhookEvent):
        model.objects.filter(lease__isnull=False).update(lease_until=past)
        model.objects.filter(due_at__isnull=False).update(due_at=past)
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))


def test_killed_anywhere_while_the_payment_is_recorded_it_is_recorded_once(world: World, killer: Killer) -> None:
    bill = world.pushed()
    world.work()
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    world.paddle.deliver_webhooks()
    point, points = 0, 1
    while point < points:
        PushedBill.objects.filter(pk=bill.pk).update(payment="none", paid=0)
        Push.objects.filter(bill=bill).update(
            payment="none", collected=0, paddle_transaction_id="", transaction_seen_at=None
        )
        WebhookEvent.objects.filter(event_type__startswith="transaction.").update(
            state="received", due_at=clock.now(), attempts=0
        )
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

        assert (fresh(bill).payment, fresh(bill).paid) == ("paid", 14345), where
        assert (fresh(bill).state, fresh(bill).pushed, world.charges_of(bill)) == (State.PUSHED, 14345, 1), where
        point += 1
    assert points > 8
