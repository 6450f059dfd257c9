"""How a subscription is told of in alerts: the fields that all of them share, and those that several do."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from integration_project.vendors.paddle_classic.simulator.world import Memory, Subscription

Tell = Callable[[str, Mapping[str, str]], None]
"""Sends an alert of this name with these fields."""


class Teller:
    """Writes alerts about subscriptions."""

    def __init__(self, memory: Callable[[], Memory], tell: Tell) -> None:
        self._memory = memory
        self._tell = tell

    def alert(self, name: str, subscription: Subscription, **fields: str) -> None:
        """Send an alert about a subscription."""
        common = {
            "checkout_id": subscription.checkout_id,
            "currency": subscription.currency,
            "email": subscription.email,
            "linked_subscriptions": "",
            "marketing_consent": subscription.marketing_consent,
            "passthrough": subscription.passthrough,
            "status": subscription.state,
            "subscription_id": str(subscription.id),
            "subscription_plan_id": str(subscription.plan_id),
            "user_id": str(subscription.user_id),
        }
        self._tell(name, {**common, **fields})

    def unit_price(self, subscription: Subscription) -> Decimal:
        """What one costs in the subscription's currency."""
        price: Decimal = self._memory().plans[subscription.plan_id]["recurring_price"][subscription.currency]
        return price

    def dated(self, subscription: Subscription) -> dict[str, str]:
        """When it is billed next, and for what."""
        return {"next_bill_date": subscription.next_bill.isoformat(), **self.counted(subscription)}

    def counted(self, subscription: Subscription) -> dict[str, str]:
        """How many of what price it is for."""
        return {"quantity": str(subscription.quantity), "unit_price": str(self.unit_price(subscription))}

    @staticmethod
    def urls(subscription: Subscription) -> dict[str, str]:
        """Where its buyer changes or ends it."""
        base = f"https://buyer.example/subscription/{subscription.id}"
        return {"cancel_url": f"{base}/cancel", "update_url": f"{base}/update"}
