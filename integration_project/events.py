"""Which function does the work of an event: one literal table over both apps, by source and type.

A type that is not listed is stored, answered 200 and ignored, so what a vendor adds tomorrow harms nobody.
"""

from types import MappingProxyType

from paddle_sync.handlers import subscriptions
from paddle_sync.models import WebhookEvent
from paddle_sync.processing import Handlers

PADDLE_HANDLERS = MappingProxyType(
    {
        "subscription.created": subscriptions.changed,
        "subscription.imported": subscriptions.changed,
        "subscription.activated": subscriptions.changed,
        "subscription.trialing": subscriptions.changed,
        "subscription.updated": subscriptions.changed,
        "subscription.past_due": subscriptions.changed,
        "subscription.paused": subscriptions.changed,
        "subscription.resumed": subscriptions.changed,
        "subscription.canceled": subscriptions.changed,
    }
)
HANDLERS: Handlers = MappingProxyType({WebhookEvent.Source.PADDLE: PADDLE_HANDLERS})
