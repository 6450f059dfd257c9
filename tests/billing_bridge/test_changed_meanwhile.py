"""A bill changes while it is being charged, locked or looked for: the customer owes what it says at last, exactly."""

import datetime as dt

import pytest
from pytest_django import Settings

from billing_bridge import carrying, jobs
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.wsgi import WsgiAdapter
from tests.billing_bridge import truth
from tests.billing_bridge.interrupting import Interrupter
from tests.billing_bridge.killing import DeadlyAdapter
from tests.billing_bridge.world import LINES, World, fresh

pytestmark = pytest.mark.django_db
State = PushedBill.State
Reason = PushedBill.Reason

BEFORE = 14345
MOMENTS = {
    "before the preview": "before POST .*/charge/preview",
    "between preview and charge": "after POST .*/charge/preview",
    "as the charge leaves": "before POST .*/charge$",
    "before the charge is answered": "after POST .*/charge$",
    "between charge and lock": "before PUT .*/lock",
}
CHANGES = {"more": 20000, "less": 10000, "much less": 10, "nothing": 0, "gone": 0}


@pytest.fixture
def interrupter(world: World, adapters: dict[str, WsgiAdapter], settings: Settings) -> Interrupter:
    """Something can happen at every call."""
    interrupter = Interrupter()
    settings.VENDOR_TRANSPORTS = {vendor: DeadlyAdapter(adapter, interrupter) for vendor, adapter in adapters.items()}
    return interrupter


def change(world: World, bill_id: str, how: str, *, seen: bool) -> None:
    """m3ter calculates again, and somebody approves that there; `seen`: the poll reads it at this very moment."""
    if how == "gone":
        world.m3ter.memory.bills.remove(world.in_m3ter(bill_id))
    else:
        world.m3ter.recalculate(bill_id)
        world.change_bill(bill_id, (("API calls", f"{CHANGES[how] // 100}.{CHANGES[how] % 100:02}"),))
        world.m3ter.approve_bill(bill_id)
    if seen:
        world.import_all()


def come_to_rest(world: World) -> None:
    for _ in range(6):
        PushedBill.objects.filter(due_at__isnull=False).update(due_at=clock.now())
        PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))
        world.import_all()
        jobs.drain_bills()
        jobs.confirm_bills()
        jobs.finish_bills()
        if not PushedBill.objects.filter(due_at__isnull=False).exists():
            break
    jobs.sweep_bills()
    world.work()


def owed_at_last(world: World, bill: PushedBill) -> tuple[int, int]:
    """What Paddle has, what is carried and what is open of a bill; and what is open."""
    bill = fresh(bill)
    in_paddle = truth.net(world.paddle, bill.m3ter_bill_id)
    carried = carrying.balance(world.account_id, "USD")
    return in_paddle + carried + bill.outstanding, bill.outstanding


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_whenever_a_bill_changes_the_difference_is_settled(
    world: World, interrupter: Interrupter, moment: str, how: str
) -> None:
    seen = how in {"more", "nothing"}
    PushPolicy.objects.update(review="never", changed="settle")
    bill = world.imported()
    interrupter.at(MOMENTS[moment], lambda: change(world, bill.m3ter_bill_id, how, seen=seen))

    with interrupter.watching(None):
        come_to_rest(world)

    assert interrupter.once == []
    assert owed_at_last(world, bill)[0] == CHANGES[how], (fresh(bill).state, fresh(bill).reason_detail)
    if how == "gone" and moment != "before the preview":
        assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.DELETED)
    elif how not in {"gone", "nothing"} or moment != "before the preview":
        assert (fresh(bill).state in {State.PUSHED, State.CARRIED}, fresh(bill).outstanding) == (True, 0)


@pytest.mark.parametrize("how", ["less", "gone"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_whenever_a_bill_changes_a_person_is_shown_the_exact_difference(
    world: World, interrupter: Interrupter, moment: str, how: str
) -> None:
    PushPolicy.objects.update(review="never", changed="hold")
    bill = world.imported()
    interrupter.at(MOMENTS[moment], lambda: change(world, bill.m3ter_bill_id, how, seen=False))

    with interrupter.watching(None):
        come_to_rest(world)

    total, _ = owed_at_last(world, bill)
    assert total == CHANGES[how]
    if fresh(bill).outstanding:
        assert fresh(bill).state == State.HELD
        assert fresh(bill).reason in {Reason.CHANGED, Reason.DELETED}


@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("how", CHANGES)
def test_a_bill_that_changes_while_unconfirmed_is_owed_as_it_is_at_last(world: World, how: str, made: bool) -> None:
    PushPolicy.objects.update(review="never", changed="settle" if made else "hold", resend_when_absent=True)
    bill = world.imported(LINES)
    world.paddle.fault("charge subscription", "lose_answer" if made else "error_before")
    jobs.drain_bills()
    assert fresh(bill).state == State.UNCONFIRMED

    change(world, bill.m3ter_bill_id, how, seen=True)
    while_open = (fresh(bill).state, fresh(bill).payable)
    come_to_rest(world)

    assert while_open == (State.UNCONFIRMED, BEFORE)
    total, outstanding = owed_at_last(world, bill)
    assert total == CHANGES[how]
    assert outstanding == 0 or fresh(bill).state == State.HELD
