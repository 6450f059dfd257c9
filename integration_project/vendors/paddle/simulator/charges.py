"""One-time charges on a subscription: the operation our bills end in, and its preview."""

from collections.abc import Sequence
from datetime import timedelta

from integration_project.vendors.paddle.simulator import totals, validation
from integration_project.vendors.paddle.simulator.billing import Billing, Buyer
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.items import CHARGE, Items, items_check
from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.validation import Shape, checked, optional, required
from integration_project.vendors.paddle.simulator.world import AcceptedCharge, PendingCharge, World
from integration_project.vendors.simulation import Answer, Request, Route, parse_time

RENEWAL_LOCK = timedelta(minutes=30)
IMMEDIATE_LIMITS = (
    (timedelta(hours=1), 20, "subscription_immediate_charge_hour_limit_exceeded"),
    (timedelta(hours=24), 100, "subscription_immediate_charge_24_hour_limit_exceeded"),
)
BODY: Shape = {
    "effective_from": required(validation.choice("immediately", "next_billing_period")),
    "items": required(items_check(CHARGE)),
    "on_payment_failure": optional(validation.choice("prevent_change", "apply_change")),
    "receipt_data": optional(validation.text(0, 1500)),
}
ACTOR: Json = {"type": "api_key", "id": "apikey_01hv0000000000000000000001"}
OPERATION = "charge subscription"


class Charges:
    """The two operations on one-time charges."""

    def __init__(self, world: World, billing: Billing, contracts: Contracts) -> None:
        self.world = world
        self.billing = billing
        self.contracts = contracts
        self.items = Items(world, CHARGE)

    def routes(self) -> Sequence[Route]:
        """The operations."""
        path = "/subscriptions/{subscription_id}/charge"
        return (
            Route("POST", path, OPERATION, self.charge, "subscription.write"),
            Route("POST", f"{path}/preview", "preview charge", self.preview, "subscription.read"),
        )

    def preview(self, request: Request) -> Answer:
        """Say what a charge would do, and refuse what it would refuse."""
        body, subscription, lines = self._read(request)
        immediately = body["effective_from"] == "immediately"
        amounts = totals.sum_of(lines, self.world.country_of(subscription["address_id"]))
        currency = subscription["currency_code"]
        charged = {"amount": str(amounts.total if immediately else 0), "currency_code": currency}
        shown = {name: value for name, value in subscription.items() if name != "id"}
        shown |= {
            "immediate_transaction": self._immediate(subscription, lines) if immediately else None,
            "next_transaction": self.contracts.next_transaction(subscription, () if immediately else lines),
            "recurring_transaction_details": self.contracts.recurring_details(subscription),
            "update_summary": {
                "credit": {"amount": "0", "currency_code": currency},
                "charge": charged,
                "result": {"action": "charge", **charged},
            },
        }
        return one(shown)

    def charge(self, request: Request) -> Answer:
        """Charge a subscription once. Nothing makes this repeatable: the same body again is a second charge."""
        body, subscription, read = self._read(request)
        if body["effective_from"] == "immediately":
            self._check_immediate_limits(subscription["id"])
        void = self.world.faults.take(OPERATION, {"accept_and_bill_nothing"})
        if void is not None:
            return self._accept_nothing(subscription, body, read, in_history=bool(void.params.get("history")))
        lines = self.items.create(read)
        if body["effective_from"] == "immediately":
            self._charge_now(subscription, lines, body)
        else:
            self._charge_later(subscription, lines, body)
        return one(subscription, status=201)

    def _read(self, request: Request) -> tuple[Json, Json, list[Line]]:
        body = checked(request, BODY)
        subscription = self.world.get(self.world.memory.subscriptions, request.path_params["subscription_id"])
        self._check_status(subscription)
        self._check_lock(subscription)
        if "receipt_data" in body and not self.world.rules.receipt_data_enabled:
            raise refuse("receipt_data_not_enabled", "Receipt data is not enabled for this account.")
        already = len(self.contracts.lines(subscription)) + len(self.contracts.pending_lines(subscription["id"]))
        lines = self.items.read(
            body["items"],
            currency=subscription["currency_code"],
            already=0 if body["effective_from"] == "immediately" else already,
        )
        country = self.world.country_of(subscription["address_id"])
        self.items.check_minimum(lines, country=country, currency=subscription["currency_code"])
        return body, subscription, lines

    def _check_status(self, subscription: Json) -> None:
        status = subscription["status"]
        if status == "canceled":
            raise refuse("subscription_update_when_canceled", "The subscription is canceled.")
        if status == "past_due":
            raise refuse("subscription_update_when_past_due", "The subscription is past due.")
        if status == "paused":
            raise refuse("subscription_not_active", "The subscription is paused.")
        if status == "trialing" and self.world.rules.trialing_refused:
            raise refuse("subscription_update_when_trialing", "The subscription is trialing.")

    def _check_lock(self, subscription: Json) -> None:
        end = parse_time(subscription["current_billing_period"]["ends_at"])
        if end <= self.world.now():
            raise refuse("subscription_locked_processing", "The subscription is being renewed.")
        if end - self.world.now() < RENEWAL_LOCK:
            raise refuse("subscription_locked_renewal", "The subscription renews within 30 minutes.")

    def _check_immediate_limits(self, subscription_id: str) -> None:
        taken = self.world.memory.immediate[subscription_id]
        for window, most, code in IMMEDIATE_LIMITS:
            if sum(1 for at in taken if at > self.world.now() - window) >= most:
                raise refuse(code, f"More than {most} immediate charges in {window}.")

    def _charge_now(self, subscription: Json, lines: list[Line], body: Json) -> None:
        self.world.memory.immediate[subscription["id"]].append(self.world.now())
        transaction = self.billing.make(
            Buyer.of(subscription),
            lines,
            origin="subscription_charge",
            subscription_id=subscription["id"],
            billing_period=subscription["current_billing_period"],
        )
        self.billing.announce(transaction, "created")
        if subscription["collection_mode"] == "manual":
            self.billing.issue(transaction)
        elif not self._paid(subscription, transaction, body):
            self.billing.cancel(transaction)
            raise refuse("subscription_payment_declined", "The payment was declined; nothing was charged.")
        self._accept(subscription, lines, body, transaction_id=transaction["id"])
        attempted = {"operation": "subscription_one_off_charge", "transaction_id": transaction["id"]}
        self.world.note(subscription["id"], {"action": "subscription_payment_attempted", **attempted})

    def _paid(self, subscription: Json, transaction: Json, body: Json) -> bool:
        """Collect; False when it was declined and the change is prevented."""
        prevented = body.get("on_payment_failure", "prevent_change") == "prevent_change"
        if self.billing.will_decline(transaction) and prevented:
            self.billing.collect(transaction, with_updates=False)
            return False
        self.billing.issue(transaction)
        if not self.billing.collect(transaction, with_updates=False):
            self.contracts.fall_due(subscription, transaction)
        return True

    def _charge_later(self, subscription: Json, lines: list[Line], body: Json) -> None:
        self.world.memory.pending[subscription["id"]].append(PendingCharge(tuple(lines)))
        self._accept(subscription, lines, body, transaction_id=None)
        self.contracts.announce(subscription, "updated")

    def _accept(
        self, subscription: Json, lines: list[Line], body: Json, *, transaction_id: str | None, billed: bool = True
    ) -> None:
        self._note(subscription, lines, body, transaction_id=transaction_id)
        self.world.memory.charges.append(self._accepted(subscription, lines, body, transaction_id, billed=billed))

    def _note(self, subscription: Json, lines: list[Line], body: Json, *, transaction_id: str | None) -> None:
        detail = {
            "action": "subscription_one_off_charge_applied",
            "effective_from": body["effective_from"],
            "items": [{"price": line.price, "quantity": line.quantity} for line in lines],
            "on_payment_failure": body.get("on_payment_failure", "prevent_change"),
            "transaction_id": transaction_id,
        }
        self.world.note(subscription["id"], detail, source="api", actor=ACTOR)

    def _accepted(
        self, subscription: Json, lines: list[Line], body: Json, transaction_id: str | None, *, billed: bool
    ) -> AcceptedCharge:
        marks = (line.price["custom_data"] or {} for line in lines)
        push_ids = dict.fromkeys(str(mark["push_id"]) for mark in marks if "push_id" in mark)
        return AcceptedCharge(
            subscription_id=subscription["id"],
            effective_from=body["effective_from"],
            items=body["items"],
            push_ids=tuple(push_ids),
            subtotal=totals.sum_of(lines, self.world.country_of(subscription["address_id"])).subtotal,
            currency_code=subscription["currency_code"],
            at=self.world.stamp(),
            transaction_id=transaction_id,
            billed=billed,
        )

    def _accept_nothing(self, subscription: Json, body: Json, lines: list[Line], *, in_history: bool) -> Answer:
        """The fault seen in 2023: answered 201, never billed; with `history` the history claims otherwise."""
        if in_history:
            self._accept(subscription, self.items.create(lines), body, transaction_id=None, billed=False)
        return one(subscription, status=201)

    def _immediate(self, subscription: Json, lines: list[Line]) -> Json:
        country = self.world.country_of(subscription["address_id"])
        return {
            "billing_period": subscription["current_billing_period"],
            "details": totals.preview_details(lines, country, subscription["currency_code"]),
            "adjustments": [],
        }
