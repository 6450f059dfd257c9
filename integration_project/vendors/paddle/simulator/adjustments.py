"""Refunds and credits."""

from collections.abc import Sequence
from decimal import Decimal

from integration_project.vendors.paddle.simulator import currencies, totals, validation
from integration_project.vendors.paddle.simulator.billing import Billing
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import NOTHING, Amounts
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route

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
        self.world.memory.adjustments[adjustment["id"]] = adjustment
        self.world.remember(adjustment["id"])
        self.world.publish("adjustment.created", adjustment)
        if adjustment["status"] == "approved":
            self._apply(transaction)
        return one(adjustment, status=201)

    def settle(self, *, reject: bool = False) -> list[str]:
        """Decide every refund that waits for approval; their ids."""
        waiting = [entry for entry in self.world.memory.adjustments.values() if entry["status"] == "pending_approval"]
        for adjustment in waiting:
            adjustment["status"] = "rejected" if reject else "approved"
            self.world.touch(adjustment)
            self.world.publish("adjustment.updated", adjustment)
            self._apply(self.world.memory.transactions[adjustment["transaction_id"]])
        return [adjustment["id"] for adjustment in waiting]

    def _check_transaction(self, fields: Json, transaction: Json) -> None:
        status, manual = transaction["status"], transaction["collection_mode"] == "manual"
        if transaction["customer_id"] is None:
            raise refuse("adjustment_transaction_missing_customer_id", "The transaction has no customer.")
        if fields["action"] == "refund" and status != "completed":
            raise refuse("adjustment_transaction_invalid_status_for_refund", f"The transaction is {status}.")
        if fields["action"] == "credit" and not (manual and status in ("billed", "past_due")):
            raise refuse("adjustment_transaction_invalid_status_for_credit", f"The transaction is {status}.")
        if any(entry["status"] == "pending_approval" for entry in self._of(transaction)):
            raise refuse("adjustment_pending_refund_request", "A refund of this transaction waits for approval.")

    def _of(self, transaction: Json) -> Sequence[Json]:
        entries = self.world.memory.adjustments.values()
        return [entry for entry in entries if entry["transaction_id"] == transaction["id"]]

    def _items(self, fields: Json, transaction: Json) -> Sequence[Json]:
        lines = {line["id"]: line for line in transaction["details"]["line_items"]}
        if fields.get("type", "partial") == "full":
            if fields.get("items"):
                raise refuse("adjustment_invalid_combination_of_types", "A full adjustment has no items.")
            if "tax_mode" in fields:
                raise refuse("adjustment_tax_mode_not_allowed", "tax_mode is for partial adjustments.")
            wanted = [{"item_id": line_id, "type": "full"} for line_id in lines]
        else:
            wanted = fields.get("items") or []
            if not wanted:
                raise invalid(("items", "is required"))
        external = fields.get("tax_mode") == "external"
        return [self._item(item, lines, transaction, external=external) for item in wanted]

    def _item(self, item: Json, lines: dict[str, Json], transaction: Json, *, external: bool) -> Json:
        line = lines.get(item["item_id"])
        if line is None:
            raise refuse("adjustment_transaction_item_invalid", f"{item['item_id']} is not of this transaction.")
        remaining = self._remaining(line, transaction)
        if remaining.total <= 0:
            detail = f"{line['id']} has already been fully adjusted."
            raise refuse("adjustment_transaction_item_has_already_been_fully_adjusted", detail)
        amounts = remaining
        if item["type"] == "partial":
            if int(item.get("amount") or 0) == 0:
                raise refuse("adjustment_amount_cannot_be_zero", "A partial adjustment needs an amount.")
            rate = Decimal(line["tax_rate"])
            amounts = totals.split(int(item["amount"]), inclusive=not external, rate=rate)
            if amounts.total > remaining.total:
                detail = f"{amounts.total} is more than the {remaining.total} that remain."
                raise refuse("adjustment_amount_above_remaining_allowed", detail)
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
            if entry["status"] != "rejected":
                for item in entry["items"]:
                    if item["item_id"] == line["id"]:
                        taken = totals.amounts_of(item["totals"])
                        amounts = Amounts(amounts.subtotal - taken.subtotal, amounts.tax - taken.tax)
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
        """Bring the adjusted totals up to date; a fully credited invoice is completed."""
        details, currency = transaction["details"], transaction["currency_code"]
        amounts, credited = totals.amounts_of(details["totals"]), 0
        for entry in self._of(transaction):
            if entry["status"] == "approved":
                taken = totals.amounts_of(entry["totals"])
                amounts = Amounts(amounts.subtotal - taken.subtotal, amounts.tax - taken.tax)
                credited += taken.total if entry["action"] == "credit" else 0
        fee = None if details["totals"]["fee"] is None else totals.fee_of(amounts)
        details["adjusted_totals"] = totals.adjusted_totals(amounts, currency, fee=fee)
        if details["payout_totals"] is not None and fee is not None:
            details["adjusted_payout_totals"] = totals.adjusted_payout_totals(amounts, currency, fee)
        if transaction["status"] in ("billed", "past_due"):
            owed = int(details["totals"]["total"]) - credited
            details["totals"] |= {"credit": str(credited), "balance": str(owed), "grand_total": str(owed)}
            if owed == 0:
                transaction["status"] = "completed"
                self.billing.announce(transaction, "completed")
                return
        self.billing.announce(transaction, "updated")
