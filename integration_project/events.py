"""Which function does the work of an event: one literal table over both apps, by source and type.

A type that is not listed is stored, answered 200 and ignored, so what a vendor adds tomorrow harms nobody.
"""

from types import MappingProxyType

from billing_bridge import classic_settlement, giving_back, importing, leaving, periods, renewals, settlement
from integration_project.errors import Ignored
from integration_project.vendors import Vendors
from paddle_sync import classic, destinations, relinking, repairing
from paddle_sync.handlers import people, subscriptions
from paddle_sync.models import WebhookEvent
from paddle_sync.own_events import FOUND, IMPORT, OWN_TYPES, RELINK, SUBSCRIBE, SYNC
from paddle_sync.processing import Handlers


def subscription_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """Both flows hear of it: first what was charged on the subscription, then its plans, then bills still to charge."""
    settled = settlement.subscription_changed(event, vendors)
    periods.note_charged(event.paddle_subscription_id)
    try:
        subscriptions.changed(event, vendors)
    except Ignored:
        if not settled:
            raise
    finally:  # its dates are kept up to date whatever stands in the way of its plans
        renewals.follow(event.paddle_subscription_id)


def subscribe_destination(event: WebhookEvent, vendors: Vendors) -> None:
    """Have Paddle's destination told of every type that the table below names."""
    destinations.subscribe(event, vendors, needed_of(event.source))


def relink(event: WebhookEvent, vendors: Vendors) -> None:
    """Link a subscription to another m3ter account, unless something is owed or being charged on the one it has."""
    relinking.carry_out(event, vendors, leaving.why_not)


def needed_of(source: str) -> tuple[str, ...]:
    """The types of events that a vendor has to tell us of."""
    return tuple(sorted(HANDLERS[source].keys() - OWN_TYPES))


def classic_subscription_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """An alert of Paddle Classic. Both flows hear of it: first what was charged on the subscription, then its plans."""
    settled = classic_settlement.subscription_changed(event, vendors)
    periods.note_charged(event.paddle_subscription_id)
    try:
        subscriptions.changed(event, vendors)
    except Ignored:
        if not settled:
            raise
    finally:
        renewals.follow(event.paddle_subscription_id)
    event.note = f"{settled} {event.note}".strip()


PADDLE_HANDLERS = MappingProxyType(
    {
        "subscription.created": subscription_changed,
        "subscription.imported": subscription_changed,
        "subscription.activated": subscription_changed,
        "subscription.trialing": subscription_changed,
        "subscription.updated": subscription_changed,
        "subscription.past_due": subscription_changed,
        "subscription.paused": subscription_changed,
        "subscription.resumed": subscription_changed,
        "subscription.canceled": subscription_changed,
        SYNC: subscription_changed,
        FOUND: subscription_changed,
        RELINK: relink,
        IMPORT: repairing.import_subscription,
        SUBSCRIBE: subscribe_destination,
        "customer.created": people.changed,
        "customer.updated": people.changed,
        "customer.imported": people.changed,
        "address.created": people.changed,
        "address.updated": people.changed,
        "address.imported": people.changed,
        "business.created": people.changed,
        "business.updated": people.changed,
        "business.imported": people.changed,
        "transaction.created": settlement.transaction_changed,
        "transaction.ready": settlement.transaction_changed,
        "transaction.updated": settlement.transaction_changed,
        "transaction.billed": settlement.transaction_changed,
        "transaction.paid": settlement.transaction_changed,
        "transaction.completed": settlement.transaction_changed,
        "transaction.payment_failed": settlement.transaction_changed,
        "transaction.past_due": settlement.transaction_changed,
        "transaction.canceled": settlement.transaction_changed,
        "adjustment.created": giving_back.adjustment_changed,
        "adjustment.updated": giving_back.adjustment_changed,
    }
)
CLASSIC_HANDLERS = MappingProxyType(
    {
        classic.CREATED: classic_subscription_changed,
        classic.UPDATED: classic_subscription_changed,
        classic.CANCELLED: classic_subscription_changed,
        classic.PAYMENT_SUCCEEDED: classic_subscription_changed,
        classic.PAYMENT_FAILED: classic_subscription_changed,
        classic.PAYMENT_REFUNDED: classic_subscription_changed,
        SYNC: classic_subscription_changed,
        FOUND: classic_subscription_changed,
        RELINK: relink,
        IMPORT: repairing.import_subscription,
    }
)
M3TER_HANDLERS = MappingProxyType(
    {
        "billing.bill.created": importing.bill_noticed,
        "billing.bill.updated": importing.bill_noticed,
        "billing.bill.deleted": importing.bill_noticed,
        # A notice that does not say what it is.
        "notice": importing.bill_noticed,
    }
)
HANDLERS: Handlers = MappingProxyType(
    {
        WebhookEvent.Source.PADDLE: PADDLE_HANDLERS,
        WebhookEvent.Source.PADDLE_CLASSIC: CLASSIC_HANDLERS,
        WebhookEvent.Source.M3TER: M3TER_HANDLERS,
    }
)
