"""Whoever takes in usage knows which periods are approved or locked, as m3ter's bills last said."""

import datetime as dt

from billing_bridge import importing
from billing_bridge.models import PushPolicy
from paddle_sync.models import SettledPeriod
from tests.billing_bridge.world import World, fresh


def settled() -> list[tuple[str, str]]:
    """The bills whose periods are settled, and how."""
    return list(SettledPeriod.objects.values_list("m3ter_bill_id", "state"))


def test_an_approved_bill_settles_its_period_until_its_approval_is_taken_back(world: World) -> None:
    bill = world.imported()
    row = SettledPeriod.objects.get()
    assert (row.m3ter_bill_id, row.m3ter_account_id, row.state) == (
        bill.m3ter_bill_id,
        bill.m3ter_account_id,
        "approved",
    )
    assert bill.period_start is not None
    assert bill.period_end is not None
    assert row.starts_at == dt.datetime.combine(bill.period_start, dt.time.min, dt.UTC)
    assert row.ends_at == dt.datetime.combine(bill.period_end, dt.time.min, dt.UTC)

    world.m3ter.recalculate(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert settled() == []


def test_a_lock_is_known_as_soon_as_it_is_made(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=0)
    bill = world.pushed()

    world.work()

    assert fresh(bill).m3ter_locked
    assert settled() == [(bill.m3ter_bill_id, "locked")]


def test_a_bill_that_is_gone_settles_nothing(world: World) -> None:
    bill = world.imported()

    world.m3ter.memory.bills.remove(world.m3ter.memory.bills.need(bill.m3ter_bill_id, kind="Bill"))
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert settled() == []
