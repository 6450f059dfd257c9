"""What Paddle Classic's alerts say of refunds: how much of a charge of ours went back, which nobody here asked for."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Q, QuerySet

from billing_bridge import ledger, modes, money, payments
from billing_bridge.classic_amounts import Fields, Paid, given_back
from billing_bridge.journal import LONGEST_OUTCOME, Journal
from billing_bridge.models import BillEntry, Push, PushedBill
from billing_bridge.payments import GIVEN_BY_OTHERS
from integration_project import finding
from integration_project.vendors.paddle_classic import signature
from paddle_sync.models import WebhookEvent

PAID = PushedBill.Payment.PAID
SUCCEEDED, REFUNDED = "subscription_payment_succeeded", "subscription_payment_refunded"
STEP = "refund"
VAT = "vat"
FULL = "full"


def payment_ids(fields: Fields) -> set[str]:
    """By what an alert calls the payment that it is about."""
    return {fields.get("order_id", ""), fields.get("subscription_payment_id", "")} - {""}


def note(event: WebhookEvent, fields: Fields) -> list[str]:
    """A payment was given back, whole or in part; its tax alone is not ours.

    How much of a part is for a push, Classic does not say: as much as it can be is counted, so that a bill that is
    corrected afterwards waits for a person instead of giving the money back once more.
    """
    on_it = _collected().filter(
        paddle_subscription_id=event.paddle_subscription_id, paddle_transaction_id__in=payment_ids(fields)
    )
    return _note_on(on_it.order_by("id"), event, fields)


def note_collected(push_id: int, transaction_id: str) -> bool:
    """A payment has a push, less what alerts said was given back before that was known. False: it was known."""
    with transaction.atomic():
        if not payments.note_collected(push_id, transaction_id):
            return False
        for push in _collected().filter(pk=push_id):
            _note_earlier(push)
    return True


def _note_earlier(push: Push) -> None:
    """Count what was given back of a push's payment while nobody knew that the push is in it."""
    for alert in _alerts(REFUNDED, push.paddle_subscription_id).order_by("occurred_at", "id"):
        fields = signature.fields_of(alert.payload.body)
        if push.paddle_transaction_id in payment_ids(fields):
            _note_on([push], alert, fields)


def _collected() -> QuerySet[Push]:
    """What can be given back at all."""
    return Push.objects.exclude(Q(kind=Push.Kind.REFUND) | Q(collected=0))


def _alerts(event_type: str, subscription_id: str) -> QuerySet[WebhookEvent]:
    """Paddle Classic's alerts of a subscription that can still be read."""
    return WebhookEvent.objects.filter(
        source=WebhookEvent.Source.PADDLE_CLASSIC,
        paddle_subscription_id=subscription_id,
        event_type=event_type,
        payload__isnull=False,
    ).select_related("payload")


def _note_on(pushes: Iterable[Push], event: WebhookEvent, fields: Fields) -> list[str]:
    if fields.get("refund_type", "") == VAT:
        return []
    said = []
    for push in pushes:
        counted = _give_back(push.pk, event, fields)
        _report(push, fields, counted)
        said.append(f"Payment {fields.get('order_id', '')}, which push {push.push_id} is in, was given back.")
    return said


def _give_back(push_id: int, event: WebhookEvent, fields: Fields) -> int:
    """Count an alert's refund once, however often it is worked on; in minor units, all that is counted by now."""
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        if push.history.filter(step=STEP, outcome=event.event_id[:LONGEST_OUTCOME]).exists():
            return push.refunded
        part = _part(push, event, fields)
        if fields.get("refund_type", "") == FULL:
            push.refunded = push.collected
            push.payment = payments.with_refunds(push, PAID)
        elif part is not None:
            push.refunded = min(push.refunded + part, push.collected)
        push.given_by_others = push.refunded
        push.save(update_fields=("refunded", "given_by_others", "payment"))
        words = f"Of payment {push.paddle_transaction_id}, {fields.get('refund_type', '')}: counted as given back"
        Journal(bill, push).after(STEP, event.event_id, f"{words} {money.words(push.refunded, push.currency)} in all.")
        payments.add_up(bill)
        return push.refunded


def counted_too_often(bill: PushedBill) -> int:
    """How much of what is counted as given back of a bill cannot be its own, in minor units.

    A part of a payment counts for every push in it, until a credit is written off for it: that much was given back for
    that bill, and to the others only the rest is left. What a bill has used before the others stays its own.
    """
    by_payment: defaultdict[str, list[Push]] = defaultdict(list)
    for push in bill.pushes.filter(refunded__gt=0, payment=PAID, mode__in=modes.on_classic_payments()):
        by_payment[push.paddle_transaction_id].append(push)
    return sum(_too_often(bill, pushes) for pushes in by_payment.values())


def _too_often(bill: PushedBill, pushes: Sequence[Push]) -> int:
    """How much of a part is counted too often for a bill's pushes in one payment."""
    beside = Push.objects.filter(
        paddle_subscription_id=pushes[0].paddle_subscription_id,
        paddle_transaction_id=pushes[0].paddle_transaction_id,
        refunded__gt=0,
    ).exclude(bill=bill)
    others = list(beside.order_by("id"))
    if len(pushes) + len(others) == 1:
        return 0
    given = _given(pushes[0])
    if given is None:
        return 0
    credits = BillEntry.objects.filter(
        kind=BillEntry.Kind.WRITTEN_OFF, amount__lt=0, at__gte=pushes[0].history.filter(step=STEP).earliest("at").at
    )
    own = credits.filter(bill=bill).order_by("id").first()
    before = credits.filter(pk__lt=own.pk) if own is not None else credits
    kept = min(-bill.written_off, given - _written_off(before, others))
    left = max(given - _written_off(credits, others), kept, 0)
    return max(sum(push.refunded for push in pushes) - left, 0)


def _given(push: Push) -> int | None:
    """What parts were given back of a push's payment in all; None where that is not known, or is the whole of it."""
    told = {}
    for alert in _alerts(REFUNDED, push.paddle_subscription_id):
        fields = signature.fields_of(alert.payload.body)
        if push.paddle_transaction_id in payment_ids(fields) and fields.get("refund_type", "") != VAT:
            told[alert.event_id[:LONGEST_OUTCOME]] = _part(push, alert, fields)
    parts = [told.get(event_id) for event_id in push.history.filter(step=STEP).values_list("outcome", flat=True)]
    known = [part for part in parts if part is not None]
    return sum(known) if parts and len(known) == len(parts) else None


def _written_off(credits: QuerySet[BillEntry], others: Sequence[Push]) -> int:
    """What of these credits was written off for other bills in a payment, of which each counts a part.

    A bill of which a part of another payment was given back too may have used that.
    """
    counted: defaultdict[int, int] = defaultdict(int)
    for push in others:
        counted[push.bill_id] += push.refunded
    elsewhere = Push.objects.filter(bill__in=counted, refunded__gt=0).exclude(pk__in=[push.pk for push in others])
    unclear = set(elsewhere.values_list("bill_id", flat=True))
    written_off: defaultdict[int, int] = defaultdict(int)
    for bill_id, amount in credits.filter(bill__in=set(counted) - unclear).values_list("bill_id", "amount"):
        written_off[bill_id] -= amount
    return sum(min(amount, counted[bill_id]) for bill_id, amount in written_off.items())


def _part(push: Push, event: WebhookEvent, fields: Fields) -> int | None:
    """What an alert says was given back of a push's payment, counted as the push is; None for all, and for nothing."""
    if fields.get("refund_type", "") == FULL:
        return None
    part = given_back(fields, tax_inside=_has_tax_inside(push, event.subject_id))
    return None if part is None else max(money.round_half_up(part, push.currency), 0)


def _has_tax_inside(push: Push, payment_id: str) -> bool:
    """Whether the push's amount holds its tax, which the alert of its payment tells; else it came on top."""
    told = _alerts(SUCCEEDED, push.paddle_subscription_id).filter(subject_id=payment_id)
    alert = told.order_by("-occurred_at").first()
    paid = Paid.of(signature.fields_of(alert.payload.body)) if alert is not None else None
    together = Push.objects.filter(
        paddle_subscription_id=push.paddle_subscription_id, paddle_transaction_id=push.paddle_transaction_id
    )
    return paid is not None and paid.has_tax_inside([payments.in_payment(each) for each in together])


def _report(push: Push, fields: Fields, counted: int) -> None:
    """Nobody here has asked for it: m3ter and the ledger still say that the bill is owed."""
    amount = fields.get("gross_refund") or fields.get("amount") or "?"
    finding.report(
        GIVEN_BY_OTHERS,
        push.push_id,
        detail=f"{amount} {push.currency}, tax included, of payment {fields.get('order_id', '')} was refunded in "
        f"Paddle Classic. Push {push.push_id} of {money.words(push.amount, push.currency)} is in it; how much of the "
        f"refund is for that, Classic does not say, so that {money.words(counted, push.currency)} is counted. m3ter's "
        "bill still says that all of it is owed.",
        next_step="If the bill was wrong, correct it in m3ter: it is held then, and what the customer has already is "
        "written off there. Close this when the loss is accepted.",
    )
