"""Paddle's transactions and subscriptions tell what became of our charges: paid, not paid, never to be collected."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from billing_bridge import carrying, charges, deciding, explaining, ledger, looking, modes, money, payments
from billing_bridge.ledger import ACCEPTED
from billing_bridge.models import Push, PushedBill
from integration_project import clock, finding
from integration_project.errors import Ignored, Permanent
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.client import CHARGE_ORIGINS
from integration_project.vendors.paddle.entities import CANCELED, MANUAL, Transaction
from integration_project.vendors.reading import Unreadable
from integration_project.vendors.words import safe
from paddle_sync.models import AccountLink, WebhookEvent

Payment = PushedBill.Payment
Reason = PushedBill.Reason

PAYMENTS = {"completed": Payment.PAID, "paid": Payment.PAID, "past_due": Payment.PAST_DUE}
"""Paddle's word for a transaction -> ours for what was charged with it; any other status says nothing yet."""
BILLED = frozenset({"billed", "paid", "completed", "past_due"})
RENEWAL = "subscription_recurring"
AT_ONCE = "subscription_charge"
DRAFT = "draft"
UNKNOWN = "unknown push"
MISFIT = "push does not fit"
DISCOUNTED = "usage discounted"
SAME_MOMENT = timedelta(minutes=1)
ON_THE_SUBSCRIPTION = (Reason.TRIAL, Reason.PAST_DUE, Reason.PAUSED, Reason.RENEWAL_LOCK)
"""What a bill waits for that a change of its subscription may have brought."""


State = PushedBill.State
MAY_BE_SENT_AGAIN = (State.READY, State.WAITING, State.FAILED, State.LOST)
"""Where a bill whose push was lost is, or goes, without anybody looking at it once more."""
IS_SETTLED = (State.CARRIED, State.PUSHED, State.SUPERSEDED)
"""Where nothing is open of a bill, until something is called in."""


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
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is not None:
        carrying.report_left_over(link.m3ter_account_id, link.m3ter_account_code)
    unpaid = _collected_by(subscription_id).exclude(payment__in=(Payment.PAID, Payment.REFUNDED, Payment.CREDITED))
    lost = [_lost_unless_paid(push, vendors, looking.CANCELLED_WORDS) for push in unpaid.order_by("id")]
    return bool(resumed or noted or lost)


def _collected_by(subscription_id: str) -> QuerySet[Push]:
    """Pushes that Paddle accepted and that this subscription collects; invoices of their own and refunds are not."""
    return Push.objects.filter(
        paddle_subscription_id=subscription_id, state=Push.State.PUSHED, mode__in=modes.on_subscription()
    )


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
    if _may_come_to_nothing(push, happened):
        return f"Push {push_id} in transaction {happened.id}: {happened.status}, which settles nothing."
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


def _may_come_to_nothing(push: Push, happened: Transaction) -> bool:
    """Whether a transaction says nothing about the push yet, or nothing about its last attempt.

    What is charged at once goes through statuses before it is paid or declined; a declined one is cancelled, and the
    push may have been sent again since.
    """
    if happened.id == push.paddle_transaction_id or happened.origin != AT_ONCE or happened.collection_mode == MANUAL:
        return False
    if happened.status == CANCELED:
        return not happened.is_of_attempt(push.push_id, push.attempt)
    return happened.status in {DRAFT, "ready", "billed"}


def report_unknown(mark: str, happened: Transaction) -> str:
    """A transaction carries a mark of ours that this database has no push for."""
    return report_mark(mark, f"Transaction {happened.id} on {happened.subscription_id}")


def report_mark(mark: str, where: str) -> str:
    """Marks of ours that this database has no push for: another copy of it charges too, or has charged."""
    push_id = safe(mark)[: payments.LONGEST_MARK]
    finding.report(
        UNKNOWN,
        push_id,
        detail=f"{where} carries push {push_id}, which this database never made. Another copy of it may be charging.",
        next_step="Find out which other installation uses the same Paddle account, and stop one of them.",
        severity=Finding.Severity.ALARM,
    )
    return f"{where} carries push {push_id}, which is unknown here."


def _misfit(push: Push, happened: Transaction) -> str:
    """Say why a transaction cannot be what became of this push; empty when it can."""
    if happened.currency_code != push.currency:
        return f"it is in {happened.currency_code}, and the push in {push.currency}"
    if modes.of(push.mode).gives_back:
        return "it charges, and the push gives back"
    if happened.invoiced_push_id == push.push_id or not modes.of(push.mode).on_subscription:
        return ""  # of no subscription, and a draft until somebody issues it
    if happened.subscription_id != push.paddle_subscription_id:
        belongs = happened.subscription_id or "no subscription"
        return f"it is of {belongs}, and the push was made on {push.paddle_subscription_id}"
    if happened.status == DRAFT and push.state not in ACCEPTED:
        return "it is a draft, and Paddle has not accepted the push"
    return ""


def _does_not_fit(push: Push, happened: Transaction, misfit: str) -> str:
    finding.report(
        MISFIT,
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
        bill, push = ledger.locked_with_push(push_id)
        payment = _payment(happened)
        if push.transaction_seen_at is not None and at < push.transaction_seen_at:
            return
        if push.payment in payments.GIVEN_OR_TAKEN and payment != Payment.PAID:
            return
        is_news = push.payment not in payments.GIVEN_OR_TAKEN
        push.paddle_transaction_id = push.paddle_transaction_id or happened.id
        push.collected, push.discounted = _collected(push, happened) if payment == Payment.PAID else (0, 0)
        push.payment = payments.with_refunds(push, payment)
        push.transaction_seen_at = at
        push.save(update_fields=("paddle_transaction_id", "payment", "collected", "discounted", "transaction_seen_at"))
        payments.add_up(bill)
        _report_discount(push)
        if push.state == Push.State.LOST and payment == Payment.PAID:
            collected_after_all(bill, push, happened.id, is_news=is_news)


def _payment(happened: Transaction) -> Payment:
    known = PAYMENTS.get(happened.status)
    if known is not None:
        return known
    failed = bool(happened.payments) and happened.payments[0].status == "error"
    return Payment.PAYMENT_FAILED if failed and happened.status != CANCELED else Payment.NONE


def _collected(push: Push, happened: Transaction) -> tuple[int, int]:
    """What was collected for a push, counted as its amount is, and what a discount of the subscription took off it."""
    lines, inside = happened.lines_of(push.push_id), happened.lines_with_tax_inside
    if not lines:
        return happened.amount_of(push.push_id), 0
    discount = sum(explaining.discounted(line) for line in payments.lines_of(push.push_id, happened))
    return sum(payments.collected(line.totals, tax_inside=line.id in inside) for line in lines), discount


def _report_discount(push: Push) -> None:
    """A discount of the subscription reached our lines: Paddle collects less than m3ter's bill says."""
    if push.discounted:
        finding.report(
            DISCOUNTED,
            push.push_id,
            detail=f"A discount on {push.paddle_subscription_id} took {money.words(push.discounted, push.currency)} "
            f"off push {push.push_id} of {money.words(push.amount, push.currency)}.",
            next_step="If usage should not be discounted, restrict the discount in Paddle to the subscription's own "
            "products. Close this when the loss is accepted.",
        )


def is_paid(status: str | None) -> bool:
    """Whether a transaction that stands so has been paid; Paddle Classic lists what was paid alone, and no status."""
    return status is None or PAYMENTS.get(status) == Payment.PAID


def collected_after_all(bill: PushedBill, push: Push, transaction_id: str, *, is_news: bool = False) -> None:
    """A lost push was collected: its locked bill is not charged again, unless a charge is under way already.

    Whoever closed a deleted bill could not know it, where it is news.
    """
    if not ledger.lost_charges(Push.objects.filter(pk=push.pk)).exists():  # it was given back whole since
        return
    looking.report_collected(push, transaction_id)
    words = deciding.collected_words(push.push_id, transaction_id)
    note = f"{words} No later bill takes it."
    called_in = carrying.call_in(bill, note=note)
    verdict = charges.held(Reason.COLLECTED, words)
    if bill.m3ter_status == ledger.GONE:
        if called_in:  # closed without it, the bill left a credit in its place
            carrying.call_in(bill, note=note, credits=True)
        verdict = deciding.deleted_verdict(bill, words)
    states = (*MAY_BE_SENT_AGAIN, *IS_SETTLED) if called_in else MAY_BE_SENT_AGAIN
    states = (*states, State.SUPERSEDED) if is_news else states
    is_held_as_deleted = Q(state=State.HELD, reason=Reason.DELETED)  # and says by now what is so no more
    PushedBill.objects.filter(is_held_as_deleted | Q(state__in=states), pk=bill.pk).update(
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
    due = (
        _collected_by(happened.subscription_id)
        .filter(expected | found_before, paddle_transaction_id="")
        .exclude(push_id__in=happened.push_ids)
    )
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
