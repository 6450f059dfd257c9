"""Refunds and credits."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal

from integration_project.vendors.paddle.simulator import currencies, totals, validation
from integration_project.vendors.paddle.simulator.billing import Billing
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import NOTHING, Amounts
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, ControlError, Request, Route

OPEN = ("billed", "past_due")
"""How an invoice stands that may be credited."""
ITEM: Shape = {
    "item_id": required(validation.identifier("txnitm")),
    "type": required(validation.choice("full", "partial")),
    "amount": nullable(validation.text(pattern=r"\d{1,18}")),
}
CREATE: Shape = {
    "action": required(validation.choice("refund", "credit")),
    "transaction_id": required(validation.identifier("txn")),
    "reason": required(validation.text(1)),
    "type": optional(validation.choice("full", "partial")),
    "items": nullable(validation.many(validation.shaped(ITEM), minimum=1, maximum=100)),
    "tax_mode": optional(validation.choice("internal", "external")),
}


class Adjustments:
    """List and create adjustments, and settle the refunds that wait."""

    def __init__(self, world: World, billing: Billing) -> None:
        self.world = world
        self.billing = billing
        names = ("id", "transaction_id", "subscription_id", "customer_id", "action", "status")
        self.listing = Listing(equal={name: field_of(name) for name in names}, default_size=10, maximum_size=50)

    def routes(self) -> Sequence[Route]:
        """The operations."""
        return (
            Route("GET", "/adjustments", "list adjustments", self.list_all, "adjustment.read"),
            Route("POST", "/adjustments", "create adjustment", self.create, "adjustment.write"),
        )

    def list_all(self, request: Request) -> Answer:
        """List adjustments."""
        self.listing.check_parameters(request)
        records = self.world.visible("list adjustments", list(self.world.memory.adjustments.values()))
        return self.listing.answer(request, records)

    def create(self, request: Request) -> Answer:
        """Refund or credit a transaction, all of it or some lines."""
        fields = checked(request, CREATE)
        transaction = self.world.get(self.world.memory.transactions, fields["transaction_id"])
        self._check_transaction(fields, transaction)
        items = self._items(fields, transaction)
        adjustment = self._make(fields, transaction, items)
        self._add(adjustment)
        if adjustment["status"] == "approved":
            self._apply(transaction)
        return one(adjustment, status=201)

    def settle(self, *, reject: bool = False) -> list[str]:
        """Decide every refund that waits for approval; their ids."""
        waiting = [entry for entry in self.world.memory.adjustments.values() if entry["status"] == "pending_approval"]
        for adjustment in waiting:
            self.decide(adjustment, reject=reject)
        return [adjustment["id"] for adjustment in waiting]

    def decide(self, adjustment: Json, *, reject: bool) -> None:
        """Paddle approves or rejects a refund that waits."""
        if adjustment["status"] != "pending_approval":
            raise ControlError(f"The adjustment is {adjustment['status']} and does not wait for approval.")
        self._become(adjustment, "rejected" if reject else "approved")
        if not reject:
            self._apply(self._adjusted_by(adjustment))

    def reverse(self, adjustment: Json) -> Json:
        """Paddle takes a credit back while its invoice is open; the adjustment that says so."""
        transaction = self._adjusted_by(adjustment)
        if (adjustment["action"], adjustment["status"]) != ("credit", "approved") or transaction["status"] not in OPEN:
            raise ControlError("Only an approved credit of an invoice that is still open can be reversed.")
        reversal = {
            **deepcopy(adjustment),
            "id": self.world.new_id("adj"),
            "action": "credit_reverse",
            "items": [{**deepcopy(item), "id": self.world.new_id("adjitm")} for item in adjustment["items"]],
            **self.world.times(),
        }
        self._add(reversal)
        self._become(adjustment, "reversed")
        self._apply(transaction)
        return reversal

    def _add(self, adjustment: Json) -> None:
        self.world.memory.adjustments[adjustment["id"]] = adjustment
        self.world.remember(adjustment["id"])
        self.world.publish("adjustment.created", adjustment)

    def _become(self, adjustment: Json, status: str) -> None:
        adjustment["status"] = status
        self.world.touch(adjustment)
        self.world.publish("adjustment.updated", adjustment)

    def _adjusted_by(self, adjustment: Json) -> Json:
        return self.world.memory.transactions[adjustment["transaction_id"]]

    def _check_transaction(self, fields: Json, transaction: Json) -> None:
        status, manual = transaction["status"], transaction["collection_mode"] == "manual"
        if transaction["customer_id"] is None:
            raise refuse("adjustment_transaction_missing_customer_id", "The transaction has no customer.")
        if fields["action"] == "refund" and status != "completed":
            raise refuse("adjustment_transaction_invalid_status_for_refund", f"The transaction is {status}.")
        if fields["action"] == "credit" and not (manual and status in OPEN):
            raise refuse("adjustment_transaction_invalid_status_for_credit", f"The transaction is {status}.")
        if any(entry["status"] == "pending_approval" for entry in self._of(transaction)):
            raise refuse("adjustment_pending_refund_request", "A refund of this transaction waits for approval.")

    def _of(self, transaction: Json) -> Sequence[Json]:
        entries = self.world.memory.adjustments.values()
        return [entry for entry in entries if entry["transaction_id"] == transaction["id"]]

    def _items(self, fields: Json, transaction: Json) -> Sequence[Json]:
        lines = {line["id"]: line for line in transaction["details"]["line_items"]}
        remaining = {line_id: self._remaining(line, transaction) for line_id, line in lines.items()}
        external = fields.get("tax_mode") == "external"
        made = []
        for item in self._wanted(fields, remaining):
            line = lines.get(item["item_id"])
            if line is None:
                raise refuse("adjustment_transaction_item_invalid", f"{item['item_id']} is not of this transaction.")
            made.append(self._item(item, line, remaining[line["id"]], external=external))
            remaining[line["id"]] = remaining[line["id"]].minus(totals.amounts_of(made[-1]["totals"]))
        return made

    @staticmethod
    def _wanted(fields: Json, remaining: Mapping[str, Amounts]) -> Sequence[Json]:
        if fields.get("type", "partial") == "full":
            if fields.get("items"):
                raise refuse("adjustment_invalid_combination_of_types", "A full adjustment has no items.")
            if "tax_mode" in fields:
                raise refuse("adjustment_tax_mode_not_allowed", "tax_mode is for partial adjustments.")
            some_left = [line_id for line_id, amounts in remaining.items() if amounts.total > 0]
            return [{"item_id": line_id, "type": "full"} for line_id in some_left or remaining]
        if not fields.get("items"):
            raise invalid(("items", "is required"))
        return list(fields["items"])

    def _item(self, item: Json, line: Json, remaining: Amounts, *, external: bool) -> Json:
        if remaining.total <= 0:
            detail = f"{line['id']} has already been fully adjusted."
            raise refuse("adjustment_transaction_item_has_already_been_fully_adjusted", detail)
        amounts = remaining
        if item["type"] == "partial":
            amounts = _part(int(item.get("amount") or 0), Decimal(line["tax_rate"]), remaining, external=external)
        return {
            "id": self.world.new_id("adjitm"),
            "item_id": line["id"],
            "type": item["type"],
            "amount": item.get("amount") or str(amounts.total),
            "proration": None,
            "totals": amounts.without_discount(),
        }

    def _remaining(self, line: Json, transaction: Json) -> Amounts:
        amounts = totals.amounts_of(line["totals"])
        for entry in self._of(transaction):
            if entry["action"] in ("refund", "credit") and entry["status"] in ("pending_approval", "approved"):
                for item in entry["items"]:
                    if item["item_id"] == line["id"]:
                        amounts = amounts.minus(totals.amounts_of(item["totals"]))
        return amounts

    def _make(self, fields: Json, transaction: Json, items: Sequence[Json]) -> Json:
        amounts = NOTHING
        for item in items:
            amounts = amounts.plus(totals.amounts_of(item["totals"]))
        currency = transaction["currency_code"]
        fee = totals.rounded(Decimal(amounts.total) * Decimal("0.05"))
        shown = {
            **amounts.without_discount(),
            "fee": str(fee),
            "retained_fee": "0",
            "earnings": str(amounts.subtotal - fee),
            "currency_code": currency,
        }
        payout = {**shown, "exchange_rate": "1", "chargeback_fee": {"amount": "0", "original": None}}
        rate = transaction["details"]["tax_rates_used"][0]["tax_rate"]
        return {
            "id": self.world.new_id("adj"),
            "action": fields["action"],
            "type": fields.get("type", "partial"),
            "transaction_id": transaction["id"],
            "subscription_id": transaction["subscription_id"],
            "customer_id": transaction["customer_id"],
            "reason": fields["reason"],
            "credit_applied_to_balance": False if fields["action"] == "credit" else None,
            "currency_code": currency,
            "status": "approved" if fields["action"] == "credit" else "pending_approval",
            "items": list(items),
            "totals": shown,
            "payout_totals": payout if currency in currencies.PAYOUT_CURRENCIES else None,
            "tax_rates_used": [{"tax_rate": rate, "totals": amounts.without_discount()}],
            **self.world.times(),
        }

    def _apply(self, transaction: Json) -> None:
        """Bring the totals up to date; an invoice of which nothing is owed any more is completed."""
        self.billing.recount(transaction)
        if transaction["status"] in OPEN and int(transaction["details"]["totals"]["balance"]) == 0:
            self.billing.complete(transaction)
        else:
            self.billing.announce(transaction, "updated")


def _part(amount: int, rate: Decimal, remaining: Amounts, *, external: bool) -> Amounts:
    """An amount of a line with its tax, never more of either than remains; the last of it takes all that is left."""
    if amount == 0:
        raise refuse("adjustment_amount_cannot_be_zero", "A partial adjustment needs an amount.")
    most = remaining.subtotal if external else remaining.total
    if amount > most:
        raise refuse("adjustment_amount_above_remaining_allowed", f"{amount} is more than the {most} that remain.")
    if amount == most:
        return remaining
    asked = totals.split(amount, inclusive=not external, rate=rate)
    if external:
        return Amounts(amount, min(asked.tax, remaining.tax))
    subtotal = max(min(asked.subtotal, remaining.subtotal), amount - remaining.tax)
    return Amounts(subtotal, amount - subtotal)
