"""Whose subscription renews first is charged first; when it renews is known from the import on, and kept up to date."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection

from billing_bridge import importing, jobs, renewals
from billing_bridge.models import PushedBill
from billing_bridge.queues import PUSH
from integration_project import clock, work
from integration_project.events import HANDLERS
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS
from tests.billing_bridge.world import RENEWS_IN, World, fresh
from tests.builders import make_event, make_link, make_mapping
from tests.console.rows import make_bill

pytestmark = pytest.mark.django_db
State = PushedBill.State


def ready(*, renews_in: dt.timedelta | None, due_ago: dt.timedelta = dt.timedelta(minutes=1), **values: Any) -> str:
    """A bill that may be charged now, of a subscription of its own."""
    now = clock.now()
    link = make_link()
    renews_at = None if renews_in is None else now + renews_in
    columns = {"serial_key": link.paddle_subscription_id, "due_at": now - due_ago, "renews_at": renews_at, **values}
    return make_bill(link, State.READY, **columns).m3ter_bill_id


def claimed(count: int) -> list[str]:
    """The next bills that workers would charge."""
    return [bill.m3ter_bill_id for _ in range(count) for bill in work.claim(PUSH)]


def test_the_bill_whose_subscription_renews_first_is_charged_first() -> None:
    late = ready(renews_in=dt.timedelta(days=20), due_ago=dt.timedelta(days=3))
    soon = ready(renews_in=dt.timedelta(hours=1), due_ago=dt.timedelta(seconds=5))
    next_week = ready(renews_in=dt.timedelta(days=7), due_ago=dt.timedelta(days=1))

    assert claimed(4) == [soon, next_week, late]


def test_a_bill_that_is_not_due_waits_however_near_its_renewal_is() -> None:
    ready(renews_in=dt.timedelta(hours=1), due_ago=dt.timedelta(minutes=-5))
    due = ready(renews_in=dt.timedelta(days=9))

    assert claimed(2) == [due]


def test_of_one_subscription_the_bill_that_was_due_first_is_charged_first() -> None:
    link, now = make_link(), clock.now()
    columns: dict[str, Any] = {"serial_key": link.paddle_subscription_id, "renews_at": now + dt.timedelta(days=1)}
    make_bill(link, State.READY, due_at=now - dt.timedelta(minutes=1), **columns)
    older = make_bill(link, State.READY, due_at=now - dt.timedelta(minutes=9), **columns)

    assert claimed(2) == [older.m3ter_bill_id]


def test_a_bill_without_a_renewal_has_its_turn_before_what_renews_later_than_it_was_due() -> None:
    for days in range(1, 12):
        ready(renews_in=dt.timedelta(days=days))
    without = ready(renews_in=None, due_ago=dt.timedelta(seconds=1))

    assert claimed(1) == [without]


def test_a_bill_with_a_far_renewal_is_overtaken_only_by_what_renews_before_it() -> None:
    far = ready(renews_in=dt.timedelta(days=30))
    before = [ready(renews_in=dt.timedelta(days=day)) for day in (28, 29)]
    later_without = ready(renews_in=None, due_ago=dt.timedelta(0))
    after = ready(renews_in=dt.timedelta(days=31), due_ago=dt.timedelta(days=2))

    assert claimed(5) == [later_without, *before, far, after]


def test_an_index_serves_the_order_of_need() -> None:
    now = clock.now()
    PushedBill.objects.bulk_create(
        PushedBill(
            m3ter_bill_id=f"bill-{number}",
            currency="EUR",
            state=State.READY,
            due_at=now - dt.timedelta(minutes=1),
            renews_at=now + dt.timedelta(seconds=number),
            first_seen_at=now,
            updated_at=now,
        )
        for number in range(2_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    due = work._due(PUSH, now, to_be_ordered=True)

    plan = due.order_by(*PUSH.order, "pk").values_list("pk", "serial_key")[:8].explain()

    assert "bill_by_need" in plan
    assert "B-TREE" not in plan
    assert "Sort" not in plan


def test_when_it_renews_is_known_as_soon_as_a_bill_is_imported(world: World) -> None:
    bill = world.imported()

    assert bill.renews_at is not None
    assert bill.renews_at == world.link.next_billed_at
    assert world.calls("preview charge") == 0


def test_a_bill_that_was_pushed_keeps_the_renewal_it_is_on(world: World) -> None:
    bill = world.pushed()
    on = bill.renews_at
    AccountLink.objects.update(next_billed_at=clock.now() + dt.timedelta(days=40))

    followed = renewals.follow(world.subscription_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert followed == 0
    assert fresh(bill).renews_at == on


def test_every_event_of_its_subscription_keeps_a_bills_renewal_up_to_date(world: World) -> None:
    make_mapping(sample.PRICE_CLOUD_USD)
    bill = world.imported()
    moved = (clock.now() + dt.timedelta(days=2)).replace(microsecond=0)
    world.paddle.move_renewal(world.subscription_id, moved.isoformat())
    entity = world.paddle.subscriptions[world.subscription_id]

    work_on(make_event("subscription.updated", entity), world)

    assert world.link.next_billed_at == moved
    assert fresh(bill).renews_at == moved


def test_an_event_that_waits_for_a_mapping_moves_the_renewal_of_bills_all_the_same(world: World) -> None:
    bill = world.imported()
    moved = (clock.now() + dt.timedelta(days=2)).replace(microsecond=0)
    world.paddle.move_renewal(world.subscription_id, moved.isoformat())
    event = make_event("subscription.created", world.paddle.subscriptions[world.subscription_id])

    work_on(event, world)

    assert WebhookEvent.objects.get(pk=event.pk).state == "parked"
    assert fresh(bill).renews_at == moved


@pytest.mark.parametrize("state", [State.HELD, State.WAITING, State.FAILED])
def test_bills_go_over_to_the_subscription_that_pays_for_their_account_by_now(world: World, state: str) -> None:
    bill = world.imported()
    PushedBill.objects.filter(pk=bill.pk).update(state=state, renews_at=None)
    resubscribed = world.subscribe_again()
    entity = world.paddle.subscriptions[resubscribed]

    work_on(make_event("subscription.updated", entity), world)

    link = AccountLink.objects.get(paddle_subscription_id=resubscribed)
    assert (fresh(bill).link, fresh(bill).serial_key) == (link, resubscribed)
    assert fresh(bill).renews_at == link.next_billed_at
    assert link.next_billed_at is not None
    assert renewals.follow(world.subscription_id) == 0  # news of the subscription that was left changes nothing


def test_a_bill_in_paddle_stays_with_the_subscription_that_it_is_on(world: World) -> None:
    bill = world.pushed()
    resubscribed = world.subscribe_again()

    assert renewals.follow(resubscribed) == 0
    assert fresh(bill).link == world.link


def test_an_attempt_that_asked_paddle_nothing_leaves_the_renewal_as_it_is_known_by_then(world: World) -> None:
    bill = world.approved()
    AccountLink.objects.update(next_billed_at=clock.now() + RENEWS_IN)
    PushedBill.objects.update(m3ter_read_at=None)
    world.m3ter.fault("get bill", "error_before", status=503)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).renews_at) == (State.READY, world.link.next_billed_at)


def work_on(event: WebhookEvent, world: World) -> None:
    """Let a worker run one event."""
    (claimed_event,) = [row for row in work.claim(EVENTS) if row.pk == event.pk]
    process_event(claimed_event, vendors=world.vendors, handlers=HANDLERS)
