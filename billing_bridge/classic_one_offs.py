"""One-off charges of Paddle Classic that were answered as paid: an alert, or the list of payments, bears that out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from billing_bridge import classic_refunds, ledger, looking, payments
from billing_bridge.models import Push
from billing_bridge.modes import CHARGE_AT_ONCE, CannotTell, classic
from billing_bridge.settlement import collected_after_all
from integration_project import clock
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry

SHOWS_AFTER = timedelta(days=1)
"""How long the list of payments may take to show a charge that was answered."""
MISSING_WORDS = "Classic answered that it was paid{order}, and its list of payments does not have it."


def note_told(subscription_id: str, payment_ids: Iterable[str], at: datetime) -> list[str]:
    """An alert names a payment: a one-off charge that Classic answered with that name was made indeed."""
    made = Push.objects.filter(
        paddle_subscription_id=subscription_id,
        mode=CHARGE_AT_ONCE.name,
        paddle_transaction_id__in=list(payment_ids),
        transaction_seen_at=None,
    )
    return [_seen(push, at) for push in made.order_by("id")]


def look(client: ClassicClient) -> int:
    """Look for every charge that no alert has told of for a day; what is in no list is lost. Says how many were."""
    unseen = _unseen()
    if not unseen:
        return 0
    since = min(push.sent_at or push.created_at for push in unseen)
    listed: defaultdict[str, list[ClassicPaymentEntry]] = defaultdict(list)
    for payment in classic.paid_since(client, None, since, one_off=True):
        listed[payment.subscription_id].append(payment)
    return sum(_settle(push, listed[push.paddle_subscription_id]) for push in unseen)


def _unseen() -> list[Push]:
    answered = Push.objects.filter(
        mode=CHARGE_AT_ONCE.name,
        state=Push.State.PUSHED,
        transaction_seen_at=None,
        settled_at__lte=clock.now() - SHOWS_AFTER,
    )
    return list(answered.select_related("bill").order_by("id"))


def _settle(push: Push, listed: Sequence[ClassicPaymentEntry]) -> bool:
    """True where it is lost. Where the list has a charge that it may be, a person has said that it was made."""
    since = (push.sent_at or push.created_at).date() - classic.DAY
    try:
        found = CHARGE_AT_ONCE.among(
            [payment for payment in listed if payment.payout_date >= since],
            push,
            subscription_id=push.paddle_subscription_id,
        )
    except CannotTell:
        if push.paddle_transaction_id:  # it has a name, and none of these bears it
            found = None
        else:
            return False
    if found is not None:
        _seen(push, clock.now())
        return False
    order = f" in order {push.paddle_transaction_id}" if push.paddle_transaction_id else ""
    with transaction.atomic():
        payments.forget_collected(push.pk)
        looking.lose(push, MISSING_WORDS.format(order=order))
    return True


def _seen(push: Push, at: datetime) -> str:
    """It is there. What was taken for lost before is not charged again, unless a charge is under way already."""
    order = push.paddle_transaction_id
    with transaction.atomic():
        bill, known = ledger.locked_with_push(push.pk)
        known.transaction_seen_at = at
        known.save(update_fields=("transaction_seen_at",))
        if known.state == Push.State.LOST:
            is_news = classic_refunds.note_collected(push.pk, order)
            collected_after_all(bill, known, order, is_news=is_news)
    return f"One-off charge {push.push_id} is payment {order}."
