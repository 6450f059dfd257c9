"""Which function does the work of an event: one literal table over both apps, by source and type.

A type that is not listed is stored, answered 200 and ignored, so what a vendor adds tomorrow harms nobody.
"""

from types import MappingProxyType

from billing_bridge import importing, settlement
from integration_project.errors import Ignored
from integration_project.vendors import Vendors
from paddle_sync import classic
from paddle_sync.handlers import subscriptions
from paddle_sync.models import WebhookEvent
from paddle_sync.processing import Handlers


def subscription_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """Both flows hear of it: first what was charged on the subscription, then its plans."""
    settled = settlement.subscription_changed(event, vendors)
    try:
        subscriptions.changed(event, vendors)
    except Ignored:
        if not settled:
            raise


PADDLE_HANDLERS = MappingProxyType(
    {
        "subscription.created": subscription_changed,
        "subscription.imported": subscription_changed,
        "subscription.found": subscription_changed,
        "subscription.sync": subscription_changed,
        "subscription.activated": subscription_changed,
        "subscription.trialing": subscription_changed,
        "subscription.updated": subscription_changed,
        "subscription.past_due": subscription_changed,
        "subscription.paused": subscription_changed,
        "subscription.resumed": subscription_changed,
        "subscription.canceled": subscription_changed,
        "transaction.created": settlement.transaction_changed,
        "transaction.ready": settlement.transaction_changed,
        "transaction.updated": settlement.transaction_changed,
        "transaction.billed": settlement.transaction_changed,
        "transaction.paid": settlement.transaction_changed,
        "transaction.completed": settlement.transaction_changed,
        "transaction.payment_failed": settlement.transaction_changed,
        "transaction.past_due": settlement.transaction_changed,
        "transaction.canceled": settlement.transaction_changed,
    }
)
CLASSIC_HANDLERS = MappingProxyType(
    {
        "subscription.found": subscriptions.changed,
        "subscription.sync": subscriptions.changed,
        classic.CREATED: subscriptions.changed,
        classic.UPDATED: subscriptions.changed,
        classic.CANCELLED: subscriptions.changed,
        classic.PAYMENT_SUCCEEDED: subscriptions.changed,
        classic.PAYMENT_FAILED: subscriptions.changed,
        classic.PAYMENT_REFUNDED: subscriptions.changed,
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
