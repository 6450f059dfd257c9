"""The life of a transaction: made, billed, paid or declined, completed; with the events Paddle sends on the way."""

import uuid
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from integration_project.vendors.paddle.simulator import currencies, totals
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.totals import Amounts, Line
from integration_project.vendors.paddle.simulator.world import Decline, World

CANCELABLE = ("draft", "ready", "billed")
CARD: Json = {
    "type": "card",
    "underlying_details": None,
    "south_korea_local_card": None,
    "card": {
        "type": "visa",
        "last4": "4242",
        "expiry_month": 1,
        "expiry_year": 2035,
        "cardholder_name": "A. Person",
    },
}


@dataclass(frozen=True)
class Buyer:
    """Who a transaction is for, and how they pay."""

    customer_id: str | None
    address_id: str | None
    business_id: str | None
    currency_code: str
    collection_mode: str = "automatic"
    billing_details: Json | None = None
    custom_data: Json | None = None

    @classmethod
    def of(cls, subscription: Json) -> "Buyer":
        """The buyer of a subscription; its custom data is copied to every transaction made from it."""
        return cls(
            customer_id=subscription["customer_id"],
            address_id=subscription["address_id"],
            business_id=subscription["business_id"],
            currency_code=subscription["currency_code"],
            collection_mode=subscription["collection_mode"],
            billing_details=subscription["billing_details"],
            custom_data=subscription["custom_data"],
        )


class Billing:
    """Makes transactions and collects their payments."""

    def __init__(self, world: World) -> None:
        self.world = world

    def make(
        self,
        buyer: Buyer,
        lines: Sequence[Line],
        *,
        origin: str,
        status: str = "ready",
        subscription_id: str | None = None,
        billing_period: Json | None = None,
        checkout_url: str | None = None,
    ) -> Json:
        """A new transaction, kept but not yet announced."""
        country = self.world.country_of(buyer.address_id)
        transaction: Json = {
            "id": self.world.new_id("txn"),
            "status": status,
            "customer_id": buyer.customer_id,
            "address_id": buyer.address_id,
            "business_id": buyer.business_id,
            "custom_data": deepcopy(buyer.custom_data),
            "currency_code": buyer.currency_code,
            "origin": origin,
            "subscription_id": subscription_id,
            "invoice_id": None,
            "invoice_number": None,
            "collection_mode": buyer.collection_mode,
            "discount_id": None,
            "billing_details": deepcopy(buyer.billing_details),
            "billing_period": deepcopy(billing_period),
            "items": [
                {
                    "price_id": line.price["id"],
                    "price": deepcopy(line.price),
                    "quantity": line.quantity,
                    "proration": None,
                }
                for line in lines
            ],
            "details": deepcopy(totals.details(lines, country, buyer.currency_code, self.world.new_id)),
            "payments": [],
            "checkout": {"url": checkout_url},
            **self.world.times(),
            "billed_at": None,
            "revised_at": None,
        }
        self.world.memory.transactions[transaction["id"]] = transaction
        self.world.remember(transaction["id"])
        return transaction

    def lines_of(self, transaction: Json) -> list[Line]:
        """What it is for."""
        products = self.world.memory.products
        return [
            Line(item["price"], products[item["price"]["product_id"]], item["quantity"])
            for item in transaction["items"]
        ]

    def reprice(self, transaction: Json) -> None:
        """Another address has another tax; the lines keep their ids."""
        ids = [line["id"] for line in transaction["details"]["line_items"]]
        country, lines = self.world.country_of(transaction["address_id"]), self.lines_of(transaction)
        new = totals.details(lines, country, transaction["currency_code"], lambda prefix: ids.pop(0))
        transaction["details"] = deepcopy(new)

    def announce(self, transaction: Json, event: str) -> None:
        """Send one transaction event."""
        self.world.touch(transaction)
        self.world.publish(f"transaction.{event}", transaction)

    def issue(self, transaction: Json) -> None:
        """Bill it: from here on it is immutable and has a number."""
        self.world.memory.invoices += 1
        transaction["status"] = "billed"
        transaction["billed_at"] = self.world.stamp()
        transaction["invoice_id"] = self.world.new_id("inv")
        transaction["invoice_number"] = f"901-{20000 + self.world.memory.invoices}"
        self.announce(transaction, "billed")

    def collect(self, transaction: Json, *, with_updates: bool) -> bool:
        """Try the stored payment method; True when the money came. A failure is announced, nothing else is decided."""
        decline = self._decline(transaction)
        if decline is not None:
            self._attempt(transaction, error_code=decline.error_code)
            self.announce(transaction, "payment_failed")
            return False
        if with_updates:
            self.announce(transaction, "updated")
        self._attempt(transaction, error_code=None)
        self.mark_paid(transaction)
        if with_updates:
            self.announce(transaction, "updated")
        self.complete(transaction)
        return True

    def mark_paid(self, transaction: Json) -> None:
        """The money came."""
        transaction["status"] = "paid"
        transaction["details"]["totals"]["balance"] = "0"
        transaction["billed_at"] = transaction["billed_at"] or self.world.stamp()
        self.announce(transaction, "paid")

    def complete(self, transaction: Json) -> None:
        """Fees, payout totals and the invoice number are known: it is completed."""
        if transaction["invoice_id"] is None:
            self.world.memory.invoices += 1
            transaction["invoice_id"] = self.world.new_id("inv")
            transaction["invoice_number"] = f"901-{20000 + self.world.memory.invoices}"
        transaction["status"] = "completed"
        self.recount(transaction)
        self.announce(transaction, "completed")

    def recount(self, transaction: Json) -> None:
        """Bring all totals up to date with what was paid and adjusted; there is a fee once it is completed."""
        details, currency, status = transaction["details"], transaction["currency_code"], transaction["status"]
        amounts = totals.amounts_of(details["totals"])
        left, credit = self._after_adjustments(transaction, amounts)
        known, fee = details["totals"]["fee"], None
        if status == "completed":
            fee = totals.fee_of(left) if known is None else int(known)
        paid = status in ("paid", "completed")
        details["totals"] = totals.totals(amounts, currency, paid=paid, fee=fee, credit=credit)
        adjusted_fee = None if fee is None else totals.fee_of(left)
        details["adjusted_totals"] = totals.adjusted_totals(left, currency, fee=adjusted_fee)
        if fee is not None and currency in currencies.PAYOUT_CURRENCIES:
            details["payout_totals"] = totals.payout_totals(amounts, currency, fee)
            details["adjusted_payout_totals"] = totals.adjusted_payout_totals(left, currency, totals.fee_of(left))

    def _after_adjustments(self, transaction: Json, amounts: Amounts) -> tuple[Amounts, int]:
        """What is left of it, and how much of the rest was credited."""
        credit = 0
        for entry in self.world.memory.adjustments.values():
            is_of_it = entry["transaction_id"] == transaction["id"] and entry["status"] == "approved"
            if is_of_it and entry["action"] in ("refund", "credit"):
                taken = totals.amounts_of(entry["totals"])
                amounts = amounts.minus(taken)
                credit += taken.total if entry["action"] == "credit" else 0
        return amounts, credit

    def fall_due(self, transaction: Json) -> None:
        """It was not paid in time."""
        transaction["status"] = "past_due"
        self.announce(transaction, "past_due")

    def cancel(self, transaction: Json) -> None:
        """Nobody will pay it."""
        transaction["status"] = "canceled"
        self.announce(transaction, "canceled")

    def pay_by_checkout(self, transaction: Json) -> None:
        """The buyer paid in the checkout: a captured attempt, not yet announced."""
        self._attempt(transaction, error_code=None)

    def will_decline(self, transaction: Json) -> bool:
        """True when the next attempt to collect it will fail."""
        return any(key in self.world.memory.declines for key in (transaction["subscription_id"], "*"))

    def _decline(self, transaction: Json) -> Decline | None:
        declines = self.world.memory.declines
        for key in (transaction["subscription_id"], "*"):
            decline = declines.get(key or "")
            if decline is None:
                continue
            if decline.times is not None:
                decline.times -= 1
                if decline.times <= 0:
                    del declines[key]
            return decline
        return None

    def _attempt(self, transaction: Json, *, error_code: str | None) -> None:
        captured = error_code is None
        attempt = {
            "payment_attempt_id": str(uuid.uuid4()),
            "stored_payment_method_id": str(uuid.uuid4()),
            "payment_method_id": self.world.new_id("paymtd"),
            "amount": transaction["details"]["totals"]["balance"],
            "status": "captured" if captured else "error",
            "error_code": error_code,
            "method_details": deepcopy(CARD),
            "created_at": self.world.stamp(),
            "captured_at": self.world.stamp() if captured else None,
        }
        transaction["payments"].insert(0, attempt)
