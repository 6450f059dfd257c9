"""Paddle's adjustments tell what was given back: by a refund of ours, by somebody in Paddle's console, by a bank."""

from collections.abc import Sequence

from django.db import transaction

from billing_bridge import ledger, looking, modes, money, payments
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.settlement import ACCEPTED, LONGEST_MARK
from integration_project import finding
from integration_project.errors import Ignored, Permanent
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import APPROVED, Adjustment, Transaction
from integration_project.vendors.reading import Unreadable
from paddle_sync.models import WebhookEvent

Payment = PushedBill.Payment
GIVEN_BY_OTHERS = "given back outside"


def adjustment_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A refund, credit or chargeback came about or was decided: ours is settled by it, and payments show it."""
    happened = _adjustment(event)
    said = [_settle_refund(push, happened) for push in _refunds_named(happened)]
    said += _note_given_back(happened, vendors)
    if not said:
        raise Ignored("It concerns no charge of ours.")
    event.note = " ".join(said)


def _adjustment(event: WebhookEvent) -> Adjustment:
    try:
        return Adjustment.from_paddle(event.payload.entity())
    except Unreadable as error:
        raise Permanent(f"The adjustment cannot be read: {error}") from None


def _refunds_named(happened: Adjustment) -> list[Push]:
    """Our refunds whose id stands in the adjustment's reason."""
    words = [word for word in happened.words if len(word) <= LONGEST_MARK and word.isprintable()]
    return list(Push.objects.filter(push_id__in=words, kind=Push.Kind.REFUND).select_related("bill").order_by("id"))


def _settle_refund(push: Push, happened: Adjustment) -> str:
    """Apply what an adjustment says to the refund that it is."""
    if push.paddle_adjustment_id not in {"", happened.id}:
        if happened.stands:
            looking.report_double(push, f"in adjustments {push.paddle_adjustment_id} and {happened.id}")
        return f"Refund {push.push_id} is in adjustment {push.paddle_adjustment_id} too."
    Push.objects.filter(pk=push.pk, paddle_adjustment_id="").update(paddle_adjustment_id=happened.id)
    if push.state not in ACCEPTED and happened.stands:
        amount = (
            push.amount
            if push.amount in {happened.totals.subtotal, happened.totals.total}
            else happened.totals.subtotal
        )
        looking.record_made(
            push,
            amount=amount,
            detail=f"Paddle made adjustment {happened.id} of it.",
            owner=None,
            transaction_id=happened.transaction_id,
        )
        push.refresh_from_db()
    if happened.status == APPROVED:
        Push.objects.filter(pk=push.pk).update(payment=Payment.REFUNDED)
    if not happened.stands:
        looking.lose(push, f"Paddle's adjustment {happened.id} is {happened.status}.")
    return f"Refund {push.push_id} in adjustment {happened.id}: {happened.status}."


GIVES = {"refund": 1, "credit": 1, "chargeback": 1, "credit_reverse": -1, "chargeback_reverse": -1}
"""Paddle's actions of adjustments -> whether money went to the customer or came back; warnings move none."""


def _note_given_back(happened: Adjustment, vendors: Vendors) -> list[str]:
    """Add up anew what was given back of each charge of ours that the transaction carries."""
    known = Push.objects.filter(paddle_transaction_id=happened.transaction_id).exclude(kind=Push.Kind.REFUND)
    on_ours = bool(happened.subscription_id) and Push.objects.filter(paddle_subscription_id=happened.subscription_id)
    if not known.exists() and not (on_ours and on_ours.exists()):
        return []
    carried = vendors.paddle.get_transaction(happened.transaction_id)
    adjustments = list(vendors.paddle.list_adjustments(transaction_ids=(happened.transaction_id,)))
    pushes = Push.objects.filter(push_id__in=carried.push_ids, state__in=ACCEPTED).exclude(kind=Push.Kind.REFUND)
    return [_give_back(push, carried, adjustments) for push in pushes.order_by("id")]


def _give_back(push: Push, carried: Transaction, adjustments: Sequence[Adjustment]) -> str:
    lines = {line.id for line in carried.lines_of(push.push_id)}
    includes_tax = modes.tax_mode(push) == PushPolicy.TaxMode.INTERNAL
    given = by_others = 0
    for adjustment in adjustments:
        sign = GIVES.get(adjustment.action, 0) if adjustment.status == APPROVED else 0
        items = [item.totals for item in adjustment.items if item.item_id in lines]
        amount = sign * sum(totals.total if includes_tax else totals.subtotal for totals in items)
        given += amount
        by_others += 0 if _refunds_named(adjustment) else amount
    with transaction.atomic():
        bill = ledger.locked(push.bill_id)
        locked = Push.objects.select_for_update(of=ledger.LOCKABLE).get(pk=push.pk)
        locked.refunded = given
        paid = Payment.PAID if locked.payment in payments.GIVEN_OR_TAKEN else locked.payment
        locked.payment = payments.with_refunds(locked, paid)
        locked.save(update_fields=("refunded", "payment"))
        payments.add_up(bill)
        _report_given_by_others(locked, by_others, carried.id)
    return f"{money.words(given, push.currency)} of push {push.push_id} was given back."


def _report_given_by_others(push: Push, amount: int, transaction_id: str) -> None:
    """Money of a bill went back without a refund of ours: m3ter and the ledger still say that it is owed."""
    if amount <= 0:
        finding.settle(GIVEN_BY_OTHERS, push.push_id, reason="It was taken back, or is a refund of ours.")
        return
    finding.report(
        GIVEN_BY_OTHERS,
        push.push_id,
        detail=f"{money.words(amount, push.currency)} of push {push.push_id} was refunded, credited or charged back on "
        f"transaction {transaction_id}, and not by this application. m3ter's bill still says that it is owed.",
        next_step="If the bill was wrong, correct it in m3ter. Close this when the loss is accepted.",
    )
