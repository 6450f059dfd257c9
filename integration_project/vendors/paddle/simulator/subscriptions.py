"""The operations on subscriptions and their history."""

from collections.abc import Sequence

from integration_project.vendors.paddle.simulator import currencies, validation
from integration_project.vendors.paddle.simulator.changes import Changes
from integration_project.vendors.paddle.simulator.charges import ACTOR
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of, includes
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route, parse_time

INCLUDES = frozenset({"next_transaction", "recurring_transaction_details"})
EFFECTIVE_FROM = nullable(validation.choice("immediately", "next_billing_period"))
ON_RESUME = optional(validation.choice("start_new_billing_period"))
PRORATION_MODES = ("do_not_bill", "full_next_billing_period")
UPDATE_ITEM: Shape = {
    "price_id": required(validation.identifier("pri")),
    "quantity": optional(validation.whole(1)),
}
UPDATE: Shape = {
    "customer_id": optional(validation.identifier("ctm")),
    "address_id": optional(validation.identifier("add")),
    "business_id": nullable(validation.identifier("biz")),
    "currency_code": optional(validation.choice(*currencies.NAMES)),
    "next_billed_at": optional(validation.moment),
    "collection_mode": optional(validation.choice("automatic", "manual")),
    "billing_details": nullable(validation.shaped(validation.BILLING_DETAILS)),
    "scheduled_change": nullable(validation.nothing),
    "items": optional(validation.many(validation.shaped(UPDATE_ITEM), minimum=1, maximum=100)),
    "custom_data": nullable(validation.custom_data),
    "proration_billing_mode": optional(validation.choice(*PRORATION_MODES)),
    "on_payment_failure": optional(validation.choice("prevent_change", "apply_change")),
}


class Subscriptions:
    """The operations on subscriptions, charges apart."""

    def __init__(self, world: World, contracts: Contracts, changes: Changes) -> None:
        self.world = world
        self.contracts = contracts
        self.changes = changes
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
        self.changes.apply(subscription, checked(request, UPDATE), source="api", actor=ACTOR)
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
        fields = checked(
            request,
            {"effective_from": EFFECTIVE_FROM, "resume_at": nullable(validation.moment), "on_resume": ON_RESUME},
        )
        if subscription["status"] != "active":
            raise refuse("subscription_cannot_be_paused", f"The subscription is {subscription['status']}.")
        if fields.get("effective_from") == "immediately":
            resume_at = fields.get("resume_at")
            self.contracts.pause(
                subscription, effective_from="immediately", resume_at=resume_at, source="api", actor=ACTOR
            )
        else:
            self._schedule(subscription, "pause", resume_at=fields.get("resume_at"))
        return one(subscription)

    def resume(self, request: Request) -> Answer:
        """Resume a paused one, now or on a day to come; or say when one that is going to pause will resume."""
        subscription = self._subscription(request)
        when = checked(request, {"effective_from": nullable(validation.now_or_moment), "on_resume": ON_RESUME}).get(
            "effective_from"
        )
        pausing = (subscription["scheduled_change"] or {}).get("action") == "pause"
        if subscription["status"] != "paused" and not (pausing and when not in (None, "immediately")):
            raise refuse("subscription_is_inactive_action_invalid", "Only a paused subscription can be resumed.")
        if when in (None, "immediately"):
            self.contracts.resume(subscription, source="api", actor=ACTOR)
            return one(subscription)
        if parse_time(when) <= self.world.now():
            raise invalid(("effective_from", "must be in the future"))
        self.contracts.resume_later(subscription, when, source="api", actor=ACTOR)
        return one(subscription)

    def activate(self, request: Request) -> Answer:
        """End the trial now: the first period begins and is billed."""
        subscription = self._subscription(request)
        if subscription["status"] != "trialing":
            raise refuse("subscription_is_inactive_action_invalid", "Only a trialing subscription can be activated.")
        self.contracts.activate(subscription)
        return one(subscription)

    def _subscription(self, request: Request) -> Json:
        return self.world.get(self.world.memory.subscriptions, request.path_params["subscription_id"])

    def _schedule(self, subscription: Json, action: str, *, resume_at: str | None) -> None:
        if subscription["scheduled_change"] is not None:
            raise refuse("subscription_locked_pending_changes", "A change is scheduled already.")
        change = {
            "action": action,
            "effective_at": subscription["current_billing_period"]["ends_at"],
            "resume_at": resume_at,
        }
        self.contracts.schedule(subscription, change, source="api", actor=ACTOR)
