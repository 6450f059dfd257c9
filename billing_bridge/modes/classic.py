"""What the ways of charging on Paddle Classic share: how a subscription stands, and what it has paid.

All that is guessed about Classic here, in one place:

* A payment is due at the beginning, in UTC, of the day that the list of subscriptions names for it.
* A modifier that a payment has collected is not listed any more; one that nobody has collected or taken back is.
* A payment that was due on a day bears that day's date, give or take one, whenever it was made.
* The amount of a listed payment holds the tax, which is not listed: ours is not told from it where tax came on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from billing_bridge import charges
from billing_bridge.charges import Verdict
from billing_bridge.models import Push
from billing_bridge.modes.base import Order
from integration_project.vendors.paddle.entities import CANCELED, ScheduledChange
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry, ClassicUser

STATUSES = {"deleted": CANCELED}
"""Classic's word for how a subscription is -> Billing's, where they differ."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class ClassicStanding:
    """A subscription of Classic, as far as that decides whether it can be charged."""

    status: str
    currency_code: str
    next_billed_at: datetime | None
    scheduled_change: ScheduledChange | None
    collection_mode: str | None = "automatic"

    @classmethod
    def of(cls, user: ClassicUser, currency: str) -> "ClassicStanding":
        """Read it from the list of subscriptions; one that has paid nothing yet has the currency we know of it."""
        coming, pauses_at = user.next_payment, user.paused_from
        pause = ScheduledChange("pause", pauses_at, None) if pauses_at is not None and user.state != "paused" else None
        return cls(
            status=STATUSES.get(user.state, user.state),
            currency_code=user.currency or currency,
            next_billed_at=datetime.combine(coming.date, time.min, UTC) if coming is not None else None,
            scheduled_change=pause,
        )


def standing(order: Order, client: ClassicClient) -> ClassicStanding | Verdict:
    """Read how the subscription stands at this moment; a verdict where Classic does not know it."""
    user = client.find_user(order.subscription_id)
    if user is None:
        words = f"Paddle Classic does not know the subscription {order.subscription_id}."
        return charges.held(charges.Reason.CANCELLED, words)
    return ClassicStanding.of(user, order.link.currency)


def first_sent(push: Push, since: datetime) -> datetime:
    """Before when a push cannot have been made: its first request, or what is said where none was made from here."""
    request = push.history.filter(step="charge", phase="before").order_by("id").first()
    return request.at if request is not None else push.sent_at or since


def paid_since(
    client: ClassicClient, subscription_id: str | None, moment: datetime, *, one_off: bool
) -> Sequence[ClassicPaymentEntry]:
    """Read the payments of one kind that were made since a moment, as far as days tell; None: of all subscriptions."""
    listed = client.list_payments(
        subscription_id=subscription_id, is_paid=True, is_one_off_charge=one_off, since=(moment - DAY).date()
    )
    return [payment for payment in listed if payment.is_paid and payment.is_one_off_charge is one_off]


def name_of(payment: ClassicPaymentEntry) -> str:
    """By what a payment is called here: its order, which alerts and refunds name too, else its own id."""
    return payment.order_id or payment.id


def names_of(payment: ClassicPaymentEntry) -> set[str]:
    """Everything that a push may know a payment by."""
    return {payment.id, name_of(payment)}
