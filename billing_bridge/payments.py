"""What Paddle collected and gave back of our charges, added up on each bill."""

from django.db import transaction
from django.db.models import Q, Sum

from billing_bridge import ledger
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.paddle.entities import PlainTotals, Totals

Payment = PushedBill.Payment
GIVEN_OR_TAKEN = frozenset({Payment.PAID, Payment.REFUNDED, Payment.CREDITED})
"""What was paid does not become unpaid by older or lesser news."""


def with_refunds(push: Push, payment: str) -> str:
    """What was paid and given back whole is not paid any more."""
    if payment != Payment.PAID or not push.refunded or push.refunded < push.collected:
        return payment
    return Payment.CREDITED if push.mode == PushPolicy.Mode.INVOICE else Payment.REFUNDED


def note_collected(push_id: int, transaction_id: str) -> bool:
    """Paddle Classic's payment has a push: all of it, since Classic does not say what a payment is made of.

    What the customer was owed and the payment was lowered by is given back with that. False: it was known.
    """
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        if push.payment in GIVEN_OR_TAKEN:
            return False
        push.paddle_transaction_id = push.paddle_transaction_id or transaction_id
        if push.kind == Push.Kind.REFUND:
            push.payment = Payment.REFUNDED
        else:
            push.payment, push.collected = Payment.PAID, push.amount
        push.save(update_fields=("paddle_transaction_id", "payment", "collected"))
        add_up(bill)
    return True


def add_up(bill: PushedBill) -> None:
    """A bill is paid when all its standing charges are; else the worst of them shows."""
    standing = bill.pushes.filter(Q(state=Push.State.PUSHED) | Q(payment=Payment.PAID)).exclude(kind=Push.Kind.REFUND)
    payments = set(standing.values_list("payment", flat=True))
    worst = (
        Payment.PAST_DUE,
        Payment.PAYMENT_FAILED,
        Payment.NONE,
        Payment.PAID,
        Payment.REFUNDED,
        Payment.CREDITED,
    )
    payment = next((candidate for candidate in worst if candidate in payments), Payment.NONE)
    sums = standing.aggregate(paid=Sum("collected"), refunded=Sum("refunded"))
    PushedBill.objects.filter(pk=bill.pk).update(
        payment=payment, paid=sums["paid"] or 0, refunded=sums["refunded"] or 0, updated_at=clock.now()
    )


def asked_or(push: Push, *, subtotal: int, total: int) -> int:
    """What a refund of ours gave back: what was asked, where Paddle's adjustment comes to that with or without tax."""
    return push.amount if push.amount in {subtotal, total} else subtotal


def counted(totals: PlainTotals | Totals, *, tax_inside: bool) -> int:
    """An amount of Paddle's, counted as the item was asked for: before tax, or with it where that includes tax."""
    return totals.total if tax_inside else totals.subtotal


def collected(totals: Totals, *, tax_inside: bool) -> int:
    """What a line comes to after discounts, counted as its item was asked; a total has them taken off already."""
    return totals.total if tax_inside else totals.subtotal - totals.discount
