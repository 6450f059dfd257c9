"""What Paddle collected and gave back of our charges, added up on each bill."""

from django.db.models import Q, Sum

from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock

Payment = PushedBill.Payment
GIVEN_OR_TAKEN = frozenset({Payment.PAID, Payment.REFUNDED, Payment.CREDITED})
"""What was paid does not become unpaid by older or lesser news."""


def with_refunds(push: Push, payment: str) -> str:
    """What was paid and given back whole is not paid any more."""
    if payment != Payment.PAID or not push.refunded or push.refunded < push.collected:
        return payment
    return Payment.CREDITED if push.mode == PushPolicy.Mode.INVOICE else Payment.REFUNDED


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
