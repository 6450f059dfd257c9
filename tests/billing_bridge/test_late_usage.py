"""Usage that comes when its bill is approved goes round: calculated again, approved again, and owed anew."""

import datetime as dt
from collections.abc import Callable

from billing_bridge import importing
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, LateForBill, SettledPeriod, UsageBatch
from paddle_sync.usage import late
from paddle_sync.usage.items import CORRECTION
from tests.billing_bridge.world import World, fresh
from tests.paddle_sync.usage.metered import accept, item, stamp


def test_a_bill_that_usage_came_too_late_for_is_calculated_again_and_owes_more(
    world: World, run_jobs: Callable[[], int]
) -> None:
    PushPolicy.objects.update(review=PushPolicy.Review.ALWAYS)
    refresh_catalogue()
    bill = importing.import_bill(approved(world), world.vendors)
    assert bill is not None
    before = bill.payable
    AccountLink.objects.update(adopted=True)
    period = SettledPeriod.objects.get()
    accept(item(world.link, "late", 50_000, ts=stamp(period.ends_at - dt.timedelta(hours=1)), marks=[CORRECTION]))
    run_jobs()
    UsageBatch.objects.update(sent_at=clock.now() - dt.timedelta(minutes=5))

    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="The customer agreed.")
    run_jobs()
    world.m3ter.process_measurements()
    for _ in range(4):
        world.m3ter.bill_jobs.step_all()
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert LateForBill.objects.get().state == LateForBill.State.DONE
    assert fresh(bill).m3ter_status == "PENDING"
    assert not SettledPeriod.objects.exists()

    world.m3ter.approve_bill(bill.m3ter_bill_id)
    importing.import_bill(bill.m3ter_bill_id, world.vendors)

    assert fresh(bill).payable > before
    assert PushedBill.objects.count() == 1
    assert SettledPeriod.objects.get().state == SettledPeriod.State.APPROVED


def approved(world: World) -> str:
    """A bill as m3ter calculates it itself, approved."""
    (bill_id,) = world.m3ter.run_bill_job(account_ids=[world.account_id])["bill_ids"]
    world.m3ter.approve_bill(bill_id)
    return str(bill_id)
