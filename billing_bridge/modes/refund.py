"""What a customer is owed goes back to them: a refund adjustment on a transaction that was paid."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from billing_bridge import adjusting, charges, money, payments
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.modes.base import Mode, Order, Request, Seen
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import (
    CANCELED,
    PENDING_APPROVAL,
    REFUND,
    Adjustment,
    FoundCharge,
    NewAdjustment,
    NewAdjustmentItem,
    Transaction,
)

NAME = "refund"
COMPLETED = "completed"
LOOK_AGAIN = timedelta(hours=6)
MOST_TRANSACTIONS = 10
"""So many of an account's paid transactions are looked through for one that can be refunded, newest first."""


class Refund(Mode):
    """`POST /adjustments` with action refund, for what one transaction has left; found by the push id in its reason."""

    name = NAME
    label = "As a refund"
    on_subscription = False
    gives_back = True
    has_items = False
    needs = (
        (PADDLE, "get transaction"),
        (PADDLE, "list adjustments"),
        (PADDLE, "create adjustment"),
    )

    def request(self, order: Order) -> Request:
        """Which transaction can be refunded, only Paddle can say."""
        return Request(None, [], order.amount)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Find a paid transaction with something left to refund: of this bill first, then of the account's others."""
        for push in _paid_pushes(order.bill):
            transaction = vendors.paddle.get_transaction(push.paddle_transaction_id)
            adjustments = list(vendors.paddle.list_adjustments(transaction_ids=(transaction.id,)))
            if any(order.marks.push_id in adjustment.words and adjustment.stands for adjustment in adjustments):
                return Seen(there_already=True, request=Request(None, [], order.amount, transaction.id))
            asked = _request(order, push, transaction, adjustments)
            if asked is None:
                continue
            if transaction.status != COMPLETED or _is_pending(adjustments):  # Paddle takes no refund on it as yet
                words = f"Transaction {transaction.id} takes no refund yet; it goes on when Paddle is done with it."
                return Seen(verdict=charges.waiting(charges.Reason.REFUND, words, now + LOOK_AGAIN))
            return Seen(request=asked)
        words = (
            f"No paid transaction of the account has anything of ours left to refund "
            f"{money.words(order.amount, order.currency)} from."
        )
        return Seen(verdict=charges.held(charges.Reason.REFUND, words))

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Ask for the refund; it may wait for Paddle's approval."""
        return vendors.paddle.create_adjustment(request.body).transaction_id

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every adjustment that it may be: of its transaction, or of all of the account's where none is known."""
        on = push.paddle_transaction_id
        found = vendors.paddle.find_adjustment(
            push.push_id,
            transaction_ids=(on,) if on else _transactions_of(push),
            subscription_id="" if on else subscription_id,
        )
        if found is None:
            return None
        status = found.status if found.stands else CANCELED
        amount = payments.asked_or(push, subtotal=found.amount, total=found.total)
        return FoundCharge(push.push_id, found.transaction_id, status, "adjustments", amount, found.times)


def _is_pending(adjustments: Sequence[Adjustment]) -> bool:
    return any(adjustment.status == PENDING_APPROVAL for adjustment in adjustments)


def _transactions_of(push: Push) -> list[str]:
    """The transactions that collected anything of the push's account, refunded since or not."""
    collected = Push.objects.filter(bill__m3ter_account_id=push.bill.m3ter_account_id, collected__gt=0)
    ids = collected.exclude(paddle_transaction_id="").values_list("paddle_transaction_id", flat=True)
    return sorted(set(ids))


def _paid_pushes(bill: PushedBill) -> Sequence[Push]:
    """Charges that were paid: of the bill itself, or the newest of the account's where nothing of it was collected."""
    paid = Push.objects.filter(
        bill__m3ter_account_id=bill.m3ter_account_id,
        currency=bill.currency,
        state=Push.State.PUSHED,
        payment=PushedBill.Payment.PAID,
        mode__in=PushPolicy.Mode.values,
    ).exclude(kind=Push.Kind.REFUND)
    own = bill.pushes.filter(payment__in=payments.GIVEN_OR_TAKEN).exclude(kind=Push.Kind.REFUND)
    if own.exists():  # what was paid of this bill is all that can go back for it
        return list(paid.filter(bill=bill).order_by("-id"))
    return list(paid.exclude(bill=bill).order_by("-id")[:MOST_TRANSACTIONS])


def _request(order: Order, push: Push, transaction: Transaction, adjustments: Sequence[Adjustment]) -> Request | None:
    """Write the refund of as much as the push's lines have left; None when nothing is left of them."""
    taken: dict[str, int] = {}
    for adjustment in adjustments:
        sign = adjusting.claimed(adjustment.action, adjustment.status)
        for item in adjustment.items:
            taken[item.item_id] = taken.get(item.item_id, 0) + sign * payments.counted(push, item.totals)
    left = order.amount
    items = []
    for line in sorted(transaction.lines_of(push.push_id), key=lambda line: (-line.totals.subtotal, line.id)):
        share = min(left, payments.collected(push, line.totals) - taken.get(line.id, 0))
        if share > 0:
            items.append(NewAdjustmentItem(line.id, share))
            left -= share
    if not items:
        return None
    refund = NewAdjustment(
        action=REFUND,
        transaction_id=transaction.id,
        push_id=order.marks.push_id,
        explanation=f"bill {order.marks.bill_id} corrected",
        items=tuple(items),
        tax_mode="internal" if payments.includes_tax(push) else "external",
    )
    return Request(refund, [refund.to_paddle()], order.amount - left, transaction.id)
