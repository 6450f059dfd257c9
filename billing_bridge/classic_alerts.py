"""Paddle Classic's alerts, as far as charges need them: their types, and what stands in one."""

from billing_bridge.classic_amounts import Fields
from integration_project.errors import Permanent
from integration_project.vendors.paddle_classic import signature
from paddle_sync.models import WebhookEvent

SUCCEEDED = "subscription_payment_succeeded"
REFUNDED = "subscription_payment_refunded"


def fields_of(alert: WebhookEvent) -> Fields:
    """Read the fields of an alert; Permanent when its body is no form."""
    try:
        return signature.decoded(alert.payload.body.encode())
    except signature.NotAForm as problem:
        raise Permanent(f"Paddle Classic's alert could not be read: it {problem}.") from None
