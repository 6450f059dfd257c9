"""What Paddle really has of a bill, read in the simulator's own memory: nothing of ours takes part in finding it."""

from collections.abc import Iterator

from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator

UNDONE = frozenset({"rejected", "reversed"})


def kept(paddle: PaddleSimulator, bill_id: str) -> dict[str, list[int]]:
    """By push id, the amount of each time that Paddle has it: above zero charged, below zero given back.

    What waits for a renewal counts; what was forgiven, declined, cancelled or rejected does not.
    """
    return by_bill(paddle).get(bill_id, {})


def kept_in_classic(classic: ClassicSimulator, bill_id: str) -> dict[str, list[int]]:
    """What Paddle Classic has of a bill: modifiers, collected or waiting, and one-off charges."""
    memory = classic.memory
    made = [
        (modifier.description.rpartition("[")[2].rstrip("]"), modifier.amount) for modifier in memory.modifiers.values()
    ]
    made += [
        (payment.name.rpartition(" ")[2], payment.amount) for payment in memory.payments.values() if payment.is_one_off
    ]
    found: dict[str, list[int]] = {}
    for push_id, amount in made:
        if push_id.rpartition("-")[0] == bill_id:
            found.setdefault(push_id, []).append(int(amount * 100))
    return found


def by_bill(paddle: PaddleSimulator) -> dict[str, dict[str, list[int]]]:
    """The same for all bills at once."""
    found: dict[str, dict[str, list[int]]] = {}
    for push_id, amount in _all(paddle):
        of_bill = found.setdefault(push_id.rpartition("-")[0], {})
        of_bill.setdefault(push_id, []).append(amount)
    return found


def net(paddle: PaddleSimulator, *bill_ids: str) -> int:
    """What Paddle charged for bills less what it gave back, in minor units."""
    found = by_bill(paddle)
    return sum(sum(amounts) for bill_id in bill_ids for amounts in found.get(bill_id, {}).values())


def _all(paddle: PaddleSimulator) -> Iterator[tuple[str, int]]:
    memory = paddle.world.memory
    for waiting in memory.pending.values():
        for charge in waiting:
            yield from _marked((line.price, line.quantity) for line in charge.lines)
    for transaction in memory.transactions.values():
        if transaction["status"] == "canceled":
            continue
        pairs = [(item["price"], item["quantity"]) for item in transaction["items"]]
        yield from _marked(iter(pairs))
    for adjustment in memory.adjustments.values():
        if adjustment["status"] not in UNDONE and adjustment["action"] in {"refund", "credit"}:
            yield adjustment["reason"].split()[0], -int(adjustment["totals"]["subtotal"])


def _marked(prices: Iterator[tuple[dict[str, object], int]]) -> Iterator[tuple[str, int]]:
    """Add up what one charge holds of each push."""
    amounts: dict[str, int] = {}
    for price, quantity in prices:
        data, unit = price["custom_data"] or {}, price["unit_price"]
        assert isinstance(data, dict)
        assert isinstance(unit, dict)
        if "push_id" in data:
            push_id = str(data["push_id"])
            amounts[push_id] = amounts.get(push_id, 0) + int(unit["amount"]) * quantity
    yield from amounts.items()
