"""What histories that once broke something are made of."""

from collections.abc import Callable

from billing_bridge import carrying, importing
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.models import Finding
from integration_project.vendors.paddle.entities import (
    NewAdjustment,
    NewAdjustmentItem,
)
from paddle_sync.jobs import drain_events
from tests.billing_bridge.world import World, fresh

State = PushedBill.State
Payment = PushedBill.Payment
Reason = PushedBill.Reason
Deliver = Callable[[], int]


def told(deliver: Deliver) -> None:
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
    bill = importing.import_bill(world.another_bill(lines), world.vendors)
    assert bill is not None
    world.work()
    return fresh(bill)


def conserved(world: World) -> bool:
    of_bills = sum(PushedBill.objects.filter(m3ter_account_id=world.account_id).values_list("carried", flat=True))
    return of_bills == balance(world)


def refund_by_hand(world: World, transaction_id: str, amount: int) -> None:
    line = world.vendors.paddle.get_transaction(transaction_id).lines[0]
    world.vendors.paddle.create_adjustment(
        NewAdjustment(
            action="refund",
            transaction_id=transaction_id,
            push_id="goodwill",
            explanation="of the support desk",
            items=(NewAdjustmentItem(line.id, amount),),
        )
    )
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
