"""Paddle's transactions and subscriptions tell what became of our charges: paid, not paid, never to be collected."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, Sum

from billing_bridge import charges, deciding, ledger, looking
from billing_bridge.models import Push, PushedBill
from integration_project import clock, finding
from integration_project.errors import Ignored, Permanent
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.client import CHARGE_ORIGINS
from integration_project.vendors.paddle.entities import CANCELED, Transaction
from integration_project.vendors.reading import Unreadable
from integration_project.vendors.words import safe
from paddle_sync.models import WebhookEvent

Payment = PushedBill.Payment
Reason = PushedBill.Reason

PAYMENTS = {"completed": Payment.PAID, "paid": Payment.PAID, "past_due": Payment.PAST_DUE}
"""Paddle's word for a transaction -> ours for what was charged with it; any other status says nothing yet."""
BILLED = frozenset({"billed", "paid", "completed", "past_due"})
RENEWAL = "subscription_recurring"
DRAFT = "draft"
ACCEPTED = frozenset({Push.State.PUSHED, Push.State.LOST})
LONGEST_MARK = 80
"""No push id of ours is longer; a mark is somebody else's text until the push is found."""
SAME_MOMENT = timedelta(minutes=1)
ON_THE_SUBSCRIPTION = (Reason.TRIAL, Reason.PAST_DUE, Reason.PAUSED, Reason.RENEWAL_LOCK)
"""What a bill waits for that a change of its subscription may have brought."""


State = PushedBill.State
MAY_BE_SENT_AGAIN = (State.READY, State.WAITING, State.FAILED, State.LOST)
"""Where a bill whose push was lost is, or goes, without anybody looking at it once more."""


def transaction_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A transaction came about or changed: what it carries of ours is settled by it."""
    happened = _transaction(event)
    carried = [_settle(push_id, happened, event.occurred_at) for push_id in sorted(happened.push_ids)]
    missing = _missing_from_renewal(happened, vendors)
    if happened.subscription_id and happened.status in {"paid", "completed", CANCELED}:
        ledger.resume(happened.subscription_id, Reason.PAST_DUE)
    if not carried and not missing:
        raise Ignored("It carries no charge of ours.")
    event.note = " ".join([*carried, *missing])


def subscription_changed(event: WebhookEvent, vendors: Vendors) -> bool:
    """A subscription changed: bills that waited for it go on, and what a cancelled one still owed is lost."""
    subscription_id = event.paddle_subscription_id
    resumed = ledger.resume(subscription_id, *ON_THE_SUBSCRIPTION)
    if event.payload.entity().get("status") != CANCELED:
        return bool(resumed)
    noted = looking.note_cancellation(subscription_id)
    unpaid = Push.objects.filter(paddle_subscription_id=subscription_id, state=Push.State.PUSHED).exclude(
        payment__in=(Payment.PAID, Payment.REFUNDED, Payment.CREDITED)
    )
    lost = [_lost_unless_paid(push, vendors, looking.CANCELLED_WORDS) for push in unpaid.order_by("id")]
    return bool(resumed or noted or lost)


def _transaction(event: WebhookEvent) -> Transaction:
    try:
        return Transaction.from_paddle(event.payload.entity())
    except Unreadable as error:
        raise Permanent(f"The transaction cannot be read: {error}") from None


# --- What a transaction carries ---------------------------------------------------------------------------------------


def _settle(push_id: str, happened: Transaction, at: datetime) -> str:
    """Apply what a transaction says to one push; a sentence for the event."""
    push = Push.objects.filter(push_id=push_id).first() if push_id.isprintable() else None
    if push is None:
        return report_unknown(push_id, happened)
    misfit = _misfit(push, happened)
    if misfit:
        return _does_not_fit(push, happened, misfit)
    if push.state not in ACCEPTED and happened.status != CANCELED:
        looking.record_made(
            push,
            amount=happened.amount_of(push_id),
            detail=f"Paddle billed it in transaction {happened.id}.",
            owner=None,
            transaction_id=happened.id,
        )
        push.refresh_from_db()
    _report_double(push, happened)
    _apply_payment(push.pk, happened, at)
    if happened.status == CANCELED and push.paddle_transaction_id in {"", happened.id}:
        looking.lose(push, f"Paddle cancelled transaction {happened.id}, which was to collect it.")
    return f"Push {push_id} in transaction {happened.id}: {happened.status}."


def report_unknown(mark: str, happened: Transaction) -> str:
    """Marks of ours that this database has no push for: another copy of it charges too, or has charged."""
    push_id = safe(mark)[:LONGEST_MARK]
    finding.report(
        "unknown push",
        push_id,
        detail=f"Transaction {happened.id} on {happened.subscription_id} carries push {push_id}, which this database "
        "never made. Another copy of it may be charging.",
        next_step="Find out which other installation uses the same Paddle account, and stop one of them.",
        severity=Finding.Severity.ALARM,
    )
    return f"Transaction {happened.id} carries push {push_id}, which is unknown here."


def _misfit(push: Push, happened: Transaction) -> str:
    """Say why a transaction cannot be what became of this push; empty when it can."""
    if happened.subscription_id != push.paddle_subscription_id:
        belongs = happened.subscription_id or "no subscription"
        return f"it is of {belongs}, and the push was made on {push.paddle_subscription_id}"
    if happened.currency_code != push.currency:
        return f"it is in {happened.currency_code}, and the push in {push.currency}"
    if happened.status == DRAFT and push.state not in ACCEPTED:
        return "it is a draft, and Paddle has not accepted the push"
    return ""


def _does_not_fit(push: Push, happened: Transaction, misfit: str) -> str:
    finding.report(
        "push does not fit",
        push.push_id,
        key=happened.id,
        detail=f"Transaction {happened.id} carries push {push.push_id}, but {misfit}. Nothing was recorded by it.",
        next_step="Find out in Paddle who made this transaction, and whether the customer pays twice for the bill.",
        severity=Finding.Severity.ALARM,
    )
    return f"Push {push.push_id} does not fit: {misfit}."


def _report_double(push: Push, happened: Transaction) -> None:
    if happened.status == CANCELED:
        return
    if happened.amount_of(push.push_id) > push.amount:
        looking.report_double(push, f"more than once in transaction {happened.id}")
    elif push.paddle_transaction_id not in {"", happened.id}:
        looking.report_double(push, f"in transactions {push.paddle_transaction_id} and {happened.id}")


def _apply_payment(push_id: int, happened: Transaction, at: datetime) -> None:
    """Keep the newest word on a push's payment; what is paid does not become unpaid by older or lesser news."""
    with transaction.atomic():
        bill = ledger.locked(Push.objects.values_list("bill_id", flat=True).get(pk=push_id))
        push = Push.objects.select_for_update(of=ledger.LOCKABLE).get(pk=push_id)
        payment = _payment(happened)
        if push.transaction_seen_at is not None and at < push.transaction_seen_at:
            return
        if push.payment == Payment.PAID and payment != Payment.PAID:
            return
        push.paddle_transaction_id = push.paddle_transaction_id or happened.id
        push.payment = payment
        push.collected = _collected(push.push_id, happened) if payment == Payment.PAID else 0
        push.transaction_seen_at = at
        push.save(update_fields=("paddle_transaction_id", "payment", "collected", "transaction_seen_at"))
        _add_up_payments(bill)
        if push.state == Push.State.LOST and payment == Payment.PAID:
            _collected_after_all(bill, push, happened)


def _payment(happened: Transaction) -> Payment:
    known = PAYMENTS.get(happened.status)
    if known is not None:
        return known
    failed = bool(happened.payments) and happened.payments[0].status == "error"
    return Payment.PAYMENT_FAILED if failed and happened.status != CANCELED else Payment.NONE


def _collected(push_id: str, happened: Transaction) -> int:
    """What was collected for a push before tax, after discounts that Paddle gave."""
    prices = {item.price.id for item in happened.items if item.price.push_id == push_id}
    lines = [line.totals for line in happened.lines if line.price_id in prices]
    return sum(totals.subtotal - totals.discount for totals in lines) if lines else happened.amount_of(push_id)


def _add_up_payments(bill: PushedBill) -> None:
    """A bill is paid when all its standing pushes are; else the worst of them shows."""
    standing = bill.pushes.filter(Q(state=Push.State.PUSHED) | Q(payment=Payment.PAID))
    payments = set(standing.values_list("payment", flat=True))
    worst = (Payment.PAST_DUE, Payment.PAYMENT_FAILED, Payment.NONE, Payment.PAID)
    payment = next((candidate for candidate in worst if candidate in payments), Payment.NONE)
    paid = standing.aggregate(total=Sum("collected"))["total"] or 0
    PushedBill.objects.filter(pk=bill.pk).update(payment=payment, paid=paid, updated_at=clock.now())


def _collected_after_all(bill: PushedBill, push: Push, happened: Transaction) -> None:
    """A lost push was collected: its locked bill is not charged again, unless a charge is under way already."""
    looking.report_collected(push, happened.id)
    verdict = charges.held(Reason.COLLECTED, deciding.collected_words(push.push_id, happened.id))
    PushedBill.objects.filter(pk=bill.pk, state__in=MAY_BE_SENT_AGAIN).update(
        **deciding.columns(verdict), lease=None, lease_until=None, leased_by=""
    )


# --- What will not be collected ---------------------------------------------------------------------------------------


def _missing_from_renewal(happened: Transaction, vendors: Vendors) -> list[str]:
    """A renewal was billed: pushes that should have been in it and are nowhere are lost."""
    period = happened.billing_period
    if happened.origin != RENEWAL or happened.status not in BILLED or not happened.subscription_id or period is None:
        return []
    expected = Q(expected_renewal_at__lte=period.starts_at + SAME_MOMENT)
    found_before = Q(
        expected_renewal_at__isnull=True, settled_at__lt=period.starts_at
    )  # no preview told of its renewal
    due = Push.objects.filter(
        expected | found_before,
        paddle_subscription_id=happened.subscription_id,
        state=Push.State.PUSHED,
        paddle_transaction_id="",
    ).exclude(push_id__in=happened.push_ids)
    words = f"Renewal {happened.id} of {period.starts_at:%Y-%m-%d} should have carried it, and does not."
    return [_lost_unless_paid(push, vendors, words) for push in due.order_by("id")]


def _lost_unless_paid(push: Push, vendors: Vendors, words: str) -> str:
    """Read the subscription's transactions before a push is given up: events come in any order."""
    for happened in vendors.paddle.list_transactions(
        subscription_id=push.paddle_subscription_id, origin=CHARGE_ORIGINS, created_since=looking.earliest(push)
    ):
        if push.push_id in happened.push_ids and happened.status != CANCELED:
            _settle(push.push_id, happened, happened.updated_at or clock.now())
            if _payment(happened) == Payment.PAID or words != looking.CANCELLED_WORDS:
                return f"Push {push.push_id} is in transaction {happened.id}: {happened.status}."
    looking.lose(push, words)
    return f"Push {push.push_id} is lost: {words}"
