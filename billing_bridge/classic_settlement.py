"""Paddle Classic's alerts tell what became of our charges there: paid, not paid, given back, never to be collected.

An alert of a payment does not say which modifiers it has collected: its amount simply includes them. What was
collected is no longer in the list of modifiers, so that list is read, and beside it the payments, whenever it matters.
What is gone from the list was collected only if the payment comes to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from billing_bridge import (
    carrying,
    classic_marks,
    classic_one_offs,
    classic_refunds,
    doubting,
    ledger,
    looking,
    modes,
    money,
    payments,
)
from billing_bridge.classic_amounts import Collected, Fields, Paid, plan_of
from billing_bridge.classic_refunds import REFUNDED, SUCCEEDED
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import classic
from billing_bridge.settlement import ON_THE_SUBSCRIPTION
from integration_project import clock
from integration_project.errors import Temporary
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import CANCELED
from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.client import DELETED
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry, Modifier
from paddle_sync.models import AccountLink, WebhookEvent

Payment = PushedBill.Payment
State = Push.State

OWN = "subscription."
"""How the types of our own events begin; their payload is JSON, in the words of Paddle Billing."""
FAILED = "subscription_payment_failed"
SAME_MOMENT = timedelta(minutes=1)


@dataclass(frozen=True)
class Told:
    """What is known where modifiers are gone: what an alert says, of which regular payment, if it is of one."""

    fields: Fields
    payment: ClassicPaymentEntry | None = None
    recurring: Decimal = Decimal(0)
    """What somebody else's modifiers add to every payment."""

    def paid(self, payment: ClassicPaymentEntry) -> Paid:
        """What a payment comes to; of one that no alert tells of, its tax is not known."""
        read = Paid.of(self.fields) if self.payment is not None and payment.id == self.payment.id else None
        return read or Paid(payment.amount, plan=plan_of(self.fields))


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
        said += classic_refunds.note(event, fields)
    if fields.get("status") in {DELETED, CANCELED}:
        said += _note_cancellation(subscription_id, fields, vendors)
    return " ".join(said)


def _fields(event: WebhookEvent) -> Fields:
    """What an alert says; of our own events only the status."""
    if event.event_type.startswith(OWN):
        return {"status": str(event.payload.entity().get("status") or "")}
    return signature.fields_of(event.payload.body)


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
    """A payment was made: what waited for it and is listed no more, it has collected, if it comes to that."""
    ids = classic_refunds.payment_ids(fields)
    said = classic_one_offs.note_told(event.paddle_subscription_id, ids, event.occurred_at)
    before = event.occurred_at + SAME_MOMENT
    waiting = list(_waiting(event.paddle_subscription_id).filter(sent_at__lte=before).order_by("id"))
    listed = _listed(event.paddle_subscription_id, waiting, vendors)
    gone = _not_among(listed, waiting)
    if not gone:
        return said
    _require_time(event, gone)
    made = _payments(event.paddle_subscription_id, gone, vendors)
    this = next((payment for payment in made if ids & {payment.id, payment.order_id}), None)
    if this is None and event.event_type == REFUNDED:
        return said  # of a payment before any of these
    if this is None:
        raise Temporary("Paddle Classic's list of payments does not have this one yet; it is read again.")
    regular = [payment for payment in made if not payment.is_one_off_charge]
    told = Told(fields, None if this.is_one_off_charge else this, _recurring(listed))
    return said + _settle(gone, regular, told)


def _require_time(event: WebhookEvent, gone: Sequence[Push]) -> None:
    """Wait where a modifier is so young that the list may not show it yet: then it is not gone."""
    youngest = max(push.sent_at or push.created_at for push in gone)
    age = min(max(event.occurred_at - youngest, clock.now() - youngest), looking.SCHEDULE[-1])
    if age < looking.SCHEDULE[-1]:
        wait = looking.SCHEDULE[-1] - age
        raise Temporary(
            "A modifier was made a moment ago, and the list may not show it yet.", retry_after=wait.total_seconds()
        )


def _listed(subscription_id: str, waiting: Sequence[Push], vendors: Vendors) -> Sequence[Modifier]:
    """What is listed where something waits; whatever carries a mark of ours and should not, is an alarm."""
    if not waiting:
        return ()
    listed = vendors.classic_on.list_modifiers(subscription_id=subscription_id)
    classic_marks.check(listed)
    return listed


def _not_among(listed: Sequence[Modifier], waiting: Sequence[Push]) -> list[Push]:
    return [push for push in waiting if not any(modifier.carries(push.push_id) for modifier in listed)]


def _recurring(listed: Sequence[Modifier]) -> Decimal:
    """What is listed after a payment because it is in every one; ours are not."""
    return sum((modifier.amount for modifier in listed if modifier.is_recurring), Decimal(0))


def _payments(subscription_id: str, pushes: Sequence[Push], vendors: Vendors) -> list[ClassicPaymentEntry]:
    """Every payment that was made since the first of these was sent, of both kinds."""
    since = min(push.sent_at or push.created_at for push in pushes)
    client = vendors.classic_on
    regular = classic.paid_since(client, subscription_id, since, one_off=False)
    return [*regular, *classic.paid_since(client, subscription_id, since, one_off=True)]


def _settle(gone: Sequence[Push], regular: Sequence[ClassicPaymentEntry], told: Told) -> list[str]:
    """Modifiers are gone: the payment that should have collected each has, or has not, or they were taken away."""
    together: dict[str, tuple[ClassicPaymentEntry, list[Push]]] = {}
    said = []
    for push in gone:
        payment = _collecting(push, regular, told.payment)
        if payment is None:
            said.append(_removed(push, regular))
        else:
            together.setdefault(payment.id, (payment, []))[1].append(push)
    for payment, pushes in together.values():
        said += _settle_by(payment, pushes, regular, told)
    return said


def _collecting(
    push: Push, regular: Sequence[ClassicPaymentEntry], told: ClassicPaymentEntry | None
) -> ClassicPaymentEntry | None:
    """The payment that should have collected a push: the first since the expected one, or one that came earlier."""
    expected = push.expected_renewal_at or push.sent_at or push.created_at
    after = [payment for payment in regular if payment.payout_date >= (expected - classic.DAY).date()]
    if after:
        return min(after, key=lambda payment: payment.payout_date)
    return told if told is not None and told.payout_date >= _sent_on(push) - classic.DAY else None


def _sent_on(push: Push) -> date:
    return (push.sent_at or push.created_at).date()


def _removed(push: Push, regular: Sequence[ClassicPaymentEntry]) -> str:
    """Its payment was not made, so somebody has taken it away."""
    words = REMOVED_WORDS
    if regular:
        names = ", ".join(classic.name_of(payment) for payment in regular)
        words = f"{words} Look at {names} first, which came before that."
    return _lost(push, words)


REMOVED_WORDS = (
    "Its modifier is gone from the subscription, and the payment that should have collected it was not made."
)


def _settle_by(
    payment: ClassicPaymentEntry, pushes: Sequence[Push], regular: Sequence[ClassicPaymentEntry], told: Told
) -> list[str]:
    """Settle what one payment should have collected by what it comes to."""
    name, paid = classic.name_of(payment), told.paid(payment)
    ours = [payments.in_payment(push) for push in pushes]
    collected = paid.collected(ours, recurring=told.recurring)
    if collected is Collected.WHOLE:
        if (place := paid.once_more(ours)) is not None:
            looking.report_double(pushes[place], f"once more than it should in payment {name} of {paid.gross}")
        return [_paid(push, name) for push in pushes]
    words = _short_words(name, paid, sum(ours, Decimal(0)), pushes[0])
    if collected is Collected.NONE and not _others(payment, pushes, regular):
        return [_lost(push, words) for push in pushes]
    return [_in_doubt(push, name, words) for push in pushes]


def _others(
    payment: ClassicPaymentEntry, pushes: Sequence[Push], regular: Sequence[ClassicPaymentEntry]
) -> list[ClassicPaymentEntry]:
    """Other payments that may have collected it instead, because Classic moved them."""
    first = min(_sent_on(push) for push in pushes)
    return [each for each in regular if each.id != payment.id and each.payout_date > first]


def _short_words(name: str, paid: Paid, ours: Decimal, push: Push) -> str:
    """Say both numbers: what was paid, and what it should have come to."""
    tax = f", {paid.tax:f} of it tax" if paid.tax else ""
    if paid.plan is None:
        should = f"what the plan alone costs is not known, and our modifiers come to {ours:f}"
    else:
        should = f"the plan alone costs {paid.plan:f}, and {paid.plan + ours:f} with our modifiers"
    return (
        f"Payment {name} of {push.paddle_subscription_id} came to {paid.gross:f} {push.currency}{tax}; {should}. The "
        f"modifier of push {push.push_id} of {money.words(push.amount, push.currency)} is gone all the same."
    )


def _paid(push: Push, name: str) -> str:
    classic_refunds.note_collected(push.pk, name)
    return f"Push {push.push_id} is in payment {name}."


def _lost(push: Push, words: str) -> str:
    looking.lose(push, words)
    return f"Push {push.push_id} is lost: {words}"


def _in_doubt(push: Push, name: str, words: str) -> str:
    doubting.note(push, name, words)
    return f"Whether payment {name} has push {push.push_id}, a person must say."


# --- Not paid --------------------------------------------------------------------------------------------------------


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


# --- What will not be collected ---------------------------------------------------------------------------------------


def _note_cancellation(subscription_id: str, fields: Fields, vendors: Vendors) -> list[str]:
    """A subscription is cancelled: what waits for a payment that will not come is lost, unless it was collected."""
    noted = looking.note_cancellation(subscription_id)
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is not None:
        carrying.report_left_over(link.m3ter_account_id, link.m3ter_account_code)
    waiting = list(_waiting(subscription_id).order_by("id"))
    listed = _listed(subscription_id, waiting, vendors)
    gone = _not_among(listed, waiting)
    said = ["It is cancelled."] if noted else []
    said += [_lost(push, looking.CANCELLED_WORDS) for push in waiting if push not in gone]
    if gone:
        regular = [each for each in _payments(subscription_id, gone, vendors) if not each.is_one_off_charge]
        said += _settle(gone, regular, Told(fields, recurring=_recurring(listed)))
    return said
