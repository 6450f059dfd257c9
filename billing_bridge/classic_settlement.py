"""Paddle Classic's alerts tell what became of our charges there: paid, not paid, given back, never to be collected.

An alert of a payment does not say which modifiers it has collected: its amount simply includes them. What was
collected is no longer in the list of modifiers, so that list is read, and beside it the payments, whenever it matters.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from django.db import transaction
from django.db.models import Q, QuerySet

from billing_bridge import carrying, ledger, looking, modes, money, payments
from billing_bridge.giving_back import GIVEN_BY_OTHERS
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import classic
from billing_bridge.settlement import ON_THE_SUBSCRIPTION
from integration_project import clock, finding
from integration_project.errors import Permanent, Temporary
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import CANCELED
from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.client import DELETED
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry
from paddle_sync.models import AccountLink, WebhookEvent

Payment = PushedBill.Payment
State = Push.State

OWN = "subscription."
"""How the types of our own events begin; their payload is JSON, in the words of Paddle Billing."""
SUCCEEDED = "subscription_payment_succeeded"
FAILED = "subscription_payment_failed"
REFUNDED = "subscription_payment_refunded"
SHORT = "modifier not in payment"
SAME_MOMENT = timedelta(minutes=1)
VAT = "vat"
FULL = "full"
Fields = Mapping[str, str]


def subscription_changed(event: WebhookEvent, vendors: Vendors) -> str:
    """Apply an alert to what was charged on its subscription; in words, what was done, empty where nothing was."""
    subscription_id = event.paddle_subscription_id
    resumed = ledger.resume(subscription_id, *ON_THE_SUBSCRIPTION)
    said = ["Bills that waited for it go on."] if resumed else []
    fields = _fields(event)
    if event.event_type in {SUCCEEDED, REFUNDED}:
        said += _note_payment(event, fields, vendors)
    if event.event_type == FAILED:
        said += _note_failure(event, fields)
    if event.event_type == REFUNDED:
        said += _note_refund(event, fields)
    if fields.get("status") in {DELETED, CANCELED}:
        said += _note_cancellation(subscription_id, vendors)
    return " ".join(said)


def _fields(event: WebhookEvent) -> Fields:
    """What an alert says; of our own events only the status."""
    if event.event_type.startswith(OWN):
        return {"status": str(event.payload.entity().get("status") or "")}
    try:
        return signature.decoded(event.payload.body.encode())
    except signature.NotAForm as problem:
        raise Permanent(f"Paddle Classic's alert could not be read: it {problem}.") from None


def _waiting(subscription_id: str) -> QuerySet[Push]:
    """What the next payments of a subscription still have to collect."""
    return Push.objects.filter(
        paddle_subscription_id=subscription_id,
        state=State.PUSHED,
        mode__in=modes.on_classic_payments(),
        paddle_transaction_id="",
    )


# --- Paid -------------------------------------------------------------------------------------------------------------


def _note_payment(event: WebhookEvent, fields: Fields, vendors: Vendors) -> list[str]:
    """A payment was made: what waited for it and is listed no more, it has collected."""
    before = event.occurred_at + SAME_MOMENT
    waiting = list(_waiting(event.paddle_subscription_id).filter(sent_at__lte=before).order_by("id"))
    gone = _not_listed(event.paddle_subscription_id, waiting, vendors)
    if not gone:
        return []
    _require_time(event, gone)
    made = _payments(event.paddle_subscription_id, gone, vendors)
    ids = {fields.get("order_id", ""), fields.get("subscription_payment_id", "")} - {""}
    this = next((payment for payment in made if ids & {payment.id, payment.order_id}), None)
    if this is None and event.event_type == REFUNDED:
        return []  # of a payment before any of these
    if this is None:
        raise Temporary("Paddle Classic's list of payments does not have this one yet; it is read again.")
    if this.is_one_off_charge:
        regular = [payment for payment in made if not payment.is_one_off_charge]
        return [_settle_without_alert(push, regular) for push in gone]
    said = [_paid(push, this) for push in gone]
    _report_short(event, fields, gone)
    return said


def _require_time(event: WebhookEvent, gone: list[Push]) -> None:
    """Wait where a modifier is so young that the list may not show it yet: then it is not gone."""
    youngest = max(push.sent_at or push.created_at for push in gone)
    age = min(max(event.occurred_at - youngest, clock.now() - youngest), looking.SCHEDULE[-1])
    if age < looking.SCHEDULE[-1]:
        wait = looking.SCHEDULE[-1] - age
        raise Temporary(
            "A modifier was made a moment ago, and the list may not show it yet.", retry_after=wait.total_seconds()
        )


def _not_listed(subscription_id: str, waiting: list[Push], vendors: Vendors) -> list[Push]:
    if not waiting:
        return []
    listed = vendors.classic_on.list_modifiers(subscription_id=subscription_id)
    return [push for push in waiting if not any(modifier.carries(push.push_id) for modifier in listed)]


def _payments(subscription_id: str, pushes: list[Push], vendors: Vendors) -> list[ClassicPaymentEntry]:
    """Every payment that was made since the first of these was sent, of both kinds."""
    since = min(push.sent_at or push.created_at for push in pushes)
    client = vendors.classic_on
    regular = classic.paid_since(client, subscription_id, since, one_off=False)
    return [*regular, *classic.paid_since(client, subscription_id, since, one_off=True)]


def _paid(push: Push, payment: ClassicPaymentEntry) -> str:
    name = classic.name_of(payment)
    payments.note_collected(push.pk, name)
    return f"Push {push.push_id} is in payment {name}."


def _settle_without_alert(push: Push, regular: list[ClassicPaymentEntry]) -> str:
    """A modifier is gone: the payment that should have collected it has. Without one, it was taken away."""
    expected = push.expected_renewal_at or push.sent_at or push.created_at
    after = [payment for payment in regular if payment.payout_date >= (expected - classic.DAY).date()]
    if after:
        return _paid(push, min(after, key=lambda payment: payment.payout_date))
    words = REMOVED_WORDS
    if regular:
        names = ", ".join(classic.name_of(payment) for payment in regular)
        words = f"{words} Look at {names} first, which came before that."
    looking.lose(push, words)
    return f"Push {push.push_id} is lost: {words}"


REMOVED_WORDS = (
    "Its modifier is gone from the subscription, and the payment that should have collected it was not made."
)


def _report_short(event: WebhookEvent, fields: Fields, pushes: list[Push]) -> None:
    """Somebody may have taken a modifier away before the payment: then the payment is less than its parts."""
    try:
        plan = Decimal(fields["unit_price"]) * int(fields["quantity"])
        paid = Decimal(fields["sale_gross"])
    except (KeyError, ValueError, InvalidOperation):
        return
    currency = pushes[0].currency
    ours = sum(-push.amount if push.kind == Push.Kind.REFUND else push.amount for push in pushes)
    expected = plan + money.in_major_units(ours, currency)
    if not paid.is_finite() or not plan.is_finite() or paid >= expected or expected <= 0:
        return
    for push in pushes:
        finding.report(
            SHORT,
            push.push_id,
            detail=f"Payment {fields.get('order_id', '')} of {event.paddle_subscription_id} came to {paid} {currency}, "
            f"less than the plan and our modifiers together, {expected} {currency}. Push {push.push_id} of "
            f"{money.words(push.amount, currency)} may have been taken away before.",
            next_step="Look at the payment in Paddle Classic: a coupon or a balance explains it too. If the "
            "modifier is not in it, charge the amount there by hand.",
        )


# --- Not paid, and given back -----------------------------------------------------------------------------------------


def _note_failure(event: WebhookEvent, fields: Fields) -> list[str]:
    """A payment was declined: what waited for it is not paid yet."""
    payment = Payment.PAST_DUE if fields.get("status") == "past_due" else Payment.PAYMENT_FAILED
    waiting = _waiting(event.paddle_subscription_id).filter(sent_at__lte=event.occurred_at + SAME_MOMENT)
    said = []
    for push_id in waiting.exclude(kind=Push.Kind.REFUND).order_by("id").values_list("pk", flat=True):
        with transaction.atomic():
            bill, push = ledger.locked_with_push(push_id)
            is_old = push.transaction_seen_at is not None and event.occurred_at < push.transaction_seen_at
            if push.payment in payments.GIVEN_OR_TAKEN or is_old:
                continue
            push.payment, push.transaction_seen_at = payment, event.occurred_at
            push.save(update_fields=("payment", "transaction_seen_at"))
            payments.add_up(bill)
        said.append(f"The payment that was to collect push {push.push_id} was declined.")
    return said


def _note_refund(event: WebhookEvent, fields: Fields) -> list[str]:
    """A payment was given back, whole or in part. How much of a part is ours, only a payment of ours alone tells."""
    ids = {fields.get("order_id", ""), fields.get("subscription_payment_id", "")} - {""}
    on_it = Push.objects.filter(
        paddle_subscription_id=event.paddle_subscription_id, paddle_transaction_id__in=ids
    ).exclude(Q(kind=Push.Kind.REFUND) | Q(collected=0))
    kind = fields.get("refund_type", "")
    if kind == VAT:
        return []
    said = []
    for push in on_it.order_by("id"):
        if kind == FULL:
            _give_back(push.pk)
        _report_given_back(push, fields)
        said.append(f"Payment {fields.get('order_id', '')}, which push {push.push_id} is in, was given back.")
    return said


def _give_back(push_id: int) -> None:
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        push.refunded = push.collected
        push.payment = payments.with_refunds(push, Payment.PAID)
        push.save(update_fields=("refunded", "payment"))
        payments.add_up(bill)


def _report_given_back(push: Push, fields: Fields) -> None:
    """Nobody here has asked for it: m3ter and the ledger still say that the bill is owed."""
    amount = fields.get("gross_refund") or fields.get("amount") or "?"
    finding.report(
        GIVEN_BY_OTHERS,
        push.push_id,
        detail=f"{amount} {push.currency}, tax included, of payment {fields.get('order_id', '')} was refunded in "
        f"Paddle Classic. Push {push.push_id} of {money.words(push.amount, push.currency)} is in it; how much of the "
        "refund is for that, Classic does not say. m3ter's bill still says that all of it is owed.",
        next_step="If the bill was wrong, correct it in m3ter. Close this when the loss is accepted.",
    )


# --- What will not be collected ---------------------------------------------------------------------------------------


def _note_cancellation(subscription_id: str, vendors: Vendors) -> list[str]:
    """A subscription is cancelled: what waits for a payment that will not come is lost, unless it was collected."""
    noted = looking.note_cancellation(subscription_id)
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is not None:
        carrying.report_left_over(link.m3ter_account_id, link.m3ter_account_code)
    waiting = list(_waiting(subscription_id).order_by("id"))
    gone = _not_listed(subscription_id, waiting, vendors)
    said = ["It is cancelled."] if noted else []
    for push in waiting:
        if push not in gone:
            looking.lose(push, looking.CANCELLED_WORDS)
            said.append(f"Push {push.push_id} is lost: {looking.CANCELLED_WORDS}")
    if gone:
        made = _payments(subscription_id, gone, vendors)
        said += [_settle_without_alert(push, [each for each in made if not each.is_one_off_charge]) for push in gone]
    return said
