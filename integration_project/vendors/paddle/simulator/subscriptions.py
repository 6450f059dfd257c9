"""The operations on subscriptions and their history."""

from collections.abc import Sequence

from integration_project.vendors.paddle.simulator import validation
from integration_project.vendors.paddle.simulator.charges import ACTOR
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of, includes
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route, parse_time

INCLUDES = frozenset({"next_transaction", "recurring_transaction_details"})
EFFECTIVE_FROM = optional(validation.choice("immediately", "next_billing_period"))
PRORATION_MODES = ("do_not_bill", "full_next_billing_period")
UPDATE_ITEM: Shape = {
    "price_id": required(validation.identifier("pri")),
    "quantity": optional(validation.whole(1)),
}
UPDATE: Shape = {
    "customer_id": optional(validation.identifier("ctm")),
    "address_id": optional(validation.identifier("add")),
    "business_id": nullable(validation.identifier("biz")),
    "next_billed_at": optional(validation.moment),
    "collection_mode": optional(validation.choice("automatic", "manual")),
    "billing_details": nullable(validation.shaped(validation.BILLING_DETAILS)),
    "scheduled_change": nullable(validation.nothing),
    "items": optional(validation.many(validation.shaped(UPDATE_ITEM), minimum=1, maximum=100)),
    "custom_data": nullable(validation.custom_data),
    "proration_billing_mode": optional(validation.choice(*PRORATION_MODES)),
    "on_payment_failure": optional(validation.choice("prevent_change", "apply_change")),
}
PLAIN = ("customer_id", "address_id", "business_id", "collection_mode", "billing_details", "custom_data")


class Subscriptions:
    """The operations on subscriptions, charges apart."""

    def __init__(self, world: World, contracts: Contracts) -> None:
        self.world = world
        self.contracts = contracts
        self.listing = Listing(
            equal={
                "id": field_of("id"),
                "customer_id": field_of("customer_id"),
                "address_id": field_of("address_id"),
                "status": field_of("status"),
                "collection_mode": field_of("collection_mode"),
                "price_id": lambda subscription: [item["price"]["id"] for item in subscription["items"]],
                "scheduled_change_action": lambda subscription: (subscription["scheduled_change"] or {}).get("action"),
            },
            times={"next_billed_at": field_of("next_billed_at")},
        )
        self.history_listing = Listing(
            equal={
                "action": lambda entry: entry["detail"]["action"],
                "source": field_of("source"),
                "actor_type": lambda entry: entry["actor"]["type"],
                "actor_id": lambda entry: entry["actor"]["id"],
                "reason": field_of("reason"),
            },
            times={"occurred_at": field_of("occurred_at")},
        )

    def routes(self) -> Sequence[Route]:
        """The operations."""
        path, write = "/subscriptions/{subscription_id}", "subscription.write"
        return (
            Route("GET", "/subscriptions", "list subscriptions", self.list_all, "subscription.read"),
            Route("GET", path, "get subscription", self.get, "subscription.read"),
            Route("PATCH", path, "update subscription", self.update, write),
            Route("POST", f"{path}/cancel", "cancel subscription", self.cancel, write),
            Route("POST", f"{path}/pause", "pause subscription", self.pause, write),
            Route("POST", f"{path}/resume", "resume subscription", self.resume, write),
            Route("POST", f"{path}/activate", "activate subscription", self.activate, write),
            Route(
                "GET",
                f"{path}/history",
                "list subscription history",
                self.history,
                "subscription_history.read",
            ),
        )

    def list_all(self, request: Request) -> Answer:
        """List subscriptions."""
        self.listing.check_parameters(request)
        records = self.world.visible("list subscriptions", list(self.world.memory.subscriptions.values()))
        return self.listing.answer(request, records)

    def get(self, request: Request) -> Answer:
        """Get a subscription, with its renewal to come if asked."""
        asked = includes(request, INCLUDES)
        subscription = dict(self._subscription(request))
        if "next_transaction" in asked:
            subscription["next_transaction"] = self.contracts.next_transaction(subscription)
        if "recurring_transaction_details" in asked:
            subscription["recurring_transaction_details"] = self.contracts.recurring_details(subscription)
        return one(subscription)

    def history(self, request: Request) -> Answer:
        """List what happened to a subscription."""
        self.history_listing.check_parameters(request)
        entries = self.world.memory.history[self._subscription(request)["id"]]
        return self.history_listing.answer(request, self.world.visible("list subscription history", entries))

    def update(self, request: Request) -> Answer:
        """Change a subscription; items and dates need a proration mode."""
        subscription = self._subscription(request)
        fields = checked(request, UPDATE)
        self._check_changeable(subscription)
        if ({"items", "next_billed_at"} & set(fields)) and "proration_billing_mode" not in fields:
            raise invalid(("proration_billing_mode", "is required"))
        items = self._items(subscription, fields["items"]) if "items" in fields else None
        if "next_billed_at" in fields:
            self._move(subscription, fields["next_billed_at"])
        if items is not None:
            subscription["items"] = items
        if "scheduled_change" in fields and subscription["scheduled_change"] is not None:
            self.contracts.unschedule(subscription, source="api", actor=ACTOR)
        subscription.update({name: fields[name] for name in PLAIN if name in fields})
        self.contracts.announce(subscription, "updated")
        return one(subscription)

    def cancel(self, request: Request) -> Answer:
        """End it now, or at the end of its period."""
        subscription = self._subscription(request)
        fields = checked(request, {"effective_from": EFFECTIVE_FROM})
        if subscription["status"] == "canceled":
            raise refuse("subscription_is_canceled_action_invalid", "The subscription is canceled.")
        if fields.get("effective_from") == "immediately" or subscription["current_billing_period"] is None:
            self.contracts.cancel(subscription, effective_from="immediately", source="api", actor=ACTOR)
        else:
            self._schedule(subscription, "cancel", resume_at=None)
        return one(subscription)

    def pause(self, request: Request) -> Answer:
        """Pause it now, or at the end of its period."""
        subscription = self._subscription(request)
        fields = checked(request, {"effective_from": EFFECTIVE_FROM, "resume_at": nullable(validation.moment)})
        if subscription["status"] != "active":
            raise refuse("subscription_cannot_be_paused", f"The subscription is {subscription['status']}.")
        if fields.get("effective_from") == "immediately":
            self.contracts.pause(subscription, effective_from="immediately", source="api", actor=ACTOR)
        else:
            self._schedule(subscription, "pause", resume_at=fields.get("resume_at"))
        return one(subscription)

    def resume(self, request: Request) -> Answer:
        """Resume a paused one now."""
        subscription = self._subscription(request)
        checked(request, {"effective_from": required(validation.choice("immediately"))})
        if subscription["status"] != "paused":
            raise refuse("subscription_is_inactive_action_invalid", "Only a paused subscription can be resumed.")
        self.contracts.resume(subscription, source="api", actor=ACTOR)
        return one(subscription)

    def activate(self, request: Request) -> Answer:
        """End the trial now: the first period begins and is billed."""
        subscription = self._subscription(request)
        if subscription["status"] != "trialing":
            raise refuse("subscription_is_inactive_action_invalid", "Only a trialing subscription can be activated.")
        subscription["next_billed_at"] = self.world.stamp()
        self.contracts.renew(subscription)
        return one(subscription)

    def _subscription(self, request: Request) -> Json:
        return self.world.get(self.world.memory.subscriptions, request.path_params["subscription_id"])

    def _check_changeable(self, subscription: Json) -> None:
        if subscription["status"] == "canceled":
            raise refuse("subscription_update_when_canceled", "The subscription is canceled.")
        if subscription["status"] == "past_due":
            raise refuse("subscription_update_when_past_due", "The subscription is past due.")

    def _items(self, subscription: Json, wanted: Sequence[Json]) -> Sequence[Json]:
        """The complete new list of recurring items; a quantity left out keeps the old one."""
        if len({item["price_id"] for item in wanted}) < len(wanted):
            raise invalid(("items", "must not have the same price twice"))
        old = {item["price"]["id"]: item for item in subscription["items"]}
        return [self._item(subscription, old, item, f"items.{index}") for index, item in enumerate(wanted)]

    def _item(self, subscription: Json, old: dict[str, Json], item: Json, path: str) -> Json:
        price = self.world.get(self.world.memory.prices, item["price_id"])
        before = old.get(item["price_id"])
        kept: int = before["quantity"] if before else 1
        quantity: int = item.get("quantity", kept)
        if price["billing_cycle"] != subscription["billing_cycle"]:
            raise invalid((f"{path}.price_id", "must have the subscription's billing cycle"))
        if price["unit_price"]["currency_code"] != subscription["currency_code"]:
            raise invalid((f"{path}.price_id", f"must be in {subscription['currency_code']}"))
        if not price["quantity"]["minimum"] <= quantity <= price["quantity"]["maximum"]:
            raise refuse("subscription_quantity_not_valid", f"Quantity {quantity} of {price['id']} is not allowed.")
        if before is not None:
            changed = before["quantity"] != quantity
            return {**before, "quantity": quantity, **({"updated_at": self.world.stamp()} if changed else {})}
        line = Line(price, self.world.memory.products[price["product_id"]], quantity)
        trial = subscription["status"] == "trialing"
        made = self.contracts.make_item(line, subscription["current_billing_period"], trial=trial)
        return {**made, "previously_billed_at": None}

    def _move(self, subscription: Json, moment: str) -> None:
        if parse_time(moment) <= self.world.now():
            raise invalid(("next_billed_at", "must be in the future"))
        moved = self.world.stamp(parse_time(moment))
        subscription["next_billed_at"] = moved
        subscription["current_billing_period"] = {**subscription["current_billing_period"], "ends_at": moved}
        self.world.memory.anchors[subscription["id"]] = parse_time(moment).day
        for item in subscription["items"]:
            item["next_billed_at"] = moved

    def _schedule(self, subscription: Json, action: str, *, resume_at: str | None) -> None:
        if subscription["scheduled_change"] is not None:
            raise refuse("subscription_locked_pending_changes", "A change is scheduled already.")
        change = {
            "action": action,
            "effective_at": subscription["current_billing_period"]["ends_at"],
            "resume_at": resume_at,
        }
        self.contracts.schedule(subscription, change, source="api", actor=ACTOR)
