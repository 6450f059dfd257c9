"""What Paddle collected and gave back of our charges, added up on each bill."""

from django.db import transaction
from django.db.models import Q, Sum

from billing_bridge import ledger
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.paddle.entities import APPROVED, REVERSED, Adjustment

Payment = PushedBill.Payment
GIVES = {"refund": 1, "credit": 1, "chargeback": 1, "credit_reverse": -1, "chargeback_reverse": -1}
"""Paddle's actions of adjustments -> whether money went to the customer or came back; warnings move none."""
REVERSIBLE = frozenset({"credit", "chargeback"})
"""Taken back by an adjustment of its own, so that the first counts as before although it is called reversed."""
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
        bill = ledger.locked(Push.objects.values_list("bill_id", flat=True).get(pk=push_id))
        push = Push.objects.select_for_update(of=ledger.LOCKABLE).get(pk=push_id)
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


def sign_of(adjustment: Adjustment) -> int:
    """Whether an adjustment gave the customer money (1), took it back (-1), or did neither (yet)."""
    counts = adjustment.status == APPROVED or (adjustment.status == REVERSED and adjustment.action in REVERSIBLE)
    return GIVES.get(adjustment.action, 0) if counts else 0
