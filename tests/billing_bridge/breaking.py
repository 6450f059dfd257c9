"""What histories of bills are made of, besides the world that they happen in."""

from collections.abc import Callable

from billing_bridge import carrying, importing
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.models import Finding
from paddle_sync.jobs import drain_events
from tests.billing_bridge.world import World, fresh

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Deliver = Callable[[], int]


def told(deliver: Deliver) -> None:
    """Paddle tells what happened, and it is worked through."""
    deliver()
    drain_events()


def findings() -> list[str]:
    return sorted(Finding.objects.filter(state="open").values_list("kind", flat=True))


def balance(world: World) -> int:
    return carrying.balance(world.account_id, "USD")


def change(world: World, bill: PushedBill, *lines: tuple[str, str]) -> None:
    """m3ter calculates a bill anew and approves it."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, lines)
    world.m3ter.approve_bill(bill.m3ter_bill_id)


def another(world: World, *lines: tuple[str, str]) -> PushedBill:
    """One more bill of the same account, when nothing is due any more."""
    bill = importing.import_bill(world.another_bill(lines), world.vendors)
    assert bill is not None
    world.work()
    return fresh(bill)


def conserved(world: World) -> bool:
    of_bills = sum(PushedBill.objects.filter(m3ter_account_id=world.account_id).values_list("carried", flat=True))
    return of_bills == balance(world)


def refund_by_hand(world: World, transaction_id: str, amount: int) -> None:
    """Somebody refunds a part in Paddle's console, and Paddle approves it."""
    world.refund_by_hand(transaction_id, amount)
    world.paddle.settle_adjustments()


def lowered_and_paid(world: World, deliver: Deliver) -> PushedBill:
    PushPolicy.objects.update(mode="immediately")
    bill = world.imported((("API calls", "143.45"),))
    world.work()
    told(deliver)
    change(world, bill, ("API calls", "100.00"))
    world.import_all()
    world.work()
    assert (fresh(bill).state, fresh(bill).outstanding) == (State.HELD, -4345)
    return fresh(bill)
