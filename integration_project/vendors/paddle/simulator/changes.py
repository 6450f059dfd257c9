"""Changes of a subscription: its items, currency, buyer and dates; checked whole before anything is written."""

from collections.abc import Mapping, Sequence
from typing import Any

from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import parse_time

PLAIN = (
    "customer_id",
    "address_id",
    "business_id",
    "currency_code",
    "collection_mode",
    "billing_details",
    "custom_data",
)
BILLED = frozenset({"items", "next_billed_at"})
"""Changes of these need a proration mode."""


class Changes:
    """What may be changed of a subscription that goes on, by the API or by a person."""

    def __init__(self, world: World, contracts: Contracts) -> None:
        self.world = world
        self.contracts = contracts

    def apply(self, subscription: Json, fields: Mapping[str, Any], *, source: str, actor: Json) -> None:
        """Change what is given and announce it, or refuse it and change nothing."""
        self.check_changeable(subscription)
        if BILLED & set(fields) and "proration_billing_mode" not in fields:
            raise invalid(("proration_billing_mode", "is required"))
        self._check_people(subscription, fields)
        self._check_currency(subscription, fields)
        items = self._items(subscription, fields) if "items" in fields else None
        called_off = "scheduled_change" in fields and subscription["scheduled_change"] is not None
        if "next_billed_at" in fields:
            self._check_movable(subscription, fields["next_billed_at"], called_off=called_off)
        if items is not None:
            subscription["items"] = items
        if called_off:
            self.contracts.unschedule(subscription, source=source, actor=actor)
        if "next_billed_at" in fields:
            self.contracts.move_renewal(subscription, parse_time(fields["next_billed_at"]))
        subscription.update({name: fields[name] for name in PLAIN if name in fields})
        self.contracts.announce(subscription, "updated")

    # Who and in what.

    @staticmethod
    def check_changeable(subscription: Json) -> None:
        """Refuse a subscription that cannot be changed at all."""
        if subscription["status"] == "canceled":
            raise refuse("subscription_update_when_canceled", "The subscription is canceled.")
        if subscription["status"] == "past_due":
            raise refuse("subscription_update_when_past_due", "The subscription is past due.")

    def _check_people(self, subscription: Json, fields: Mapping[str, Any]) -> None:
        """Address and business are the customer's: whoever changes the customer names theirs too."""
        memory = self.world.memory
        customer_id = fields.get("customer_id", subscription["customer_id"])
        self.world.get(memory.customers, customer_id)
        for name, table in (("address_id", memory.addresses), ("business_id", memory.businesses)):
            part_id = fields.get(name, subscription[name])
            if part_id is not None and self.world.get(table, part_id)["customer_id"] != customer_id:
                raise invalid((name, "must belong to the customer"))

    def _check_currency(self, subscription: Json, fields: Mapping[str, Any]) -> None:
        """A new currency needs items priced in it, and no charge in the old one on its way."""
        currency = fields.get("currency_code", subscription["currency_code"])
        if currency == subscription["currency_code"]:
            return
        if "items" not in fields:
            raise invalid(("items", f"must be priced in {currency}"))
        if self.world.memory.pending[subscription["id"]]:
            detail = f"One-time charges in {subscription['currency_code']} wait for the renewal."
            raise refuse("subscription_locked_pending_changes", detail)

    def _check_movable(self, subscription: Json, moment: str, *, called_off: bool) -> None:
        if subscription["current_billing_period"] is None:
            raise refuse("subscription_not_active", f"The subscription is {subscription['status']}.")
        if subscription["scheduled_change"] is not None and not called_off:
            raise refuse("subscription_locked_pending_changes", "A change is scheduled.")
        if parse_time(moment) <= self.world.now():
            raise invalid(("next_billed_at", "must be in the future"))

    # Items.

    def _items(self, subscription: Json, fields: Mapping[str, Any]) -> Sequence[Json]:
        """The complete new list of recurring items; a quantity left out keeps the old one."""
        wanted: Sequence[Json] = fields["items"]
        if len({item["price_id"] for item in wanted}) < len(wanted):
            raise invalid(("items", "must not have the same price twice"))
        currency = fields.get("currency_code", subscription["currency_code"])
        old = {item["price"]["id"]: item for item in subscription["items"]}
        return [
            self._item(subscription, old.get(item["price_id"]), item, currency, f"items.{index}")
            for index, item in enumerate(wanted)
        ]

    def _item(self, subscription: Json, before: Json | None, item: Json, currency: str, path: str) -> Json:
        price = self.world.get(self.world.memory.prices, item["price_id"])
        if before is None and price["status"] == "archived":
            raise refuse("entity_archived", f"The price {price['id']} is archived.")
        kept: int = before["quantity"] if before else 1
        quantity: int = item.get("quantity", kept)
        if price["billing_cycle"] != subscription["billing_cycle"]:
            raise invalid((f"{path}.price_id", "must have the subscription's billing cycle"))
        if price["unit_price"]["currency_code"] != currency:
            raise invalid((f"{path}.price_id", f"must be in {currency}"))
        if not price["quantity"]["minimum"] <= quantity <= price["quantity"]["maximum"]:
            raise refuse("subscription_quantity_not_valid", f"Quantity {quantity} of {price['id']} is not allowed.")
        if before is not None:
            changed = before["quantity"] != quantity
            return {**before, "quantity": quantity, **({"updated_at": self.world.stamp()} if changed else {})}
        line = Line(price, self.world.memory.products[price["product_id"]], quantity)
        return self.contracts.added_item(subscription, line)
