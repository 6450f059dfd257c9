"""What people do outside the API: complete a checkout, pay an invoice, move over from Paddle Classic."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from integration_project.vendors.paddle.simulator.billing import CANCELABLE, Billing, Buyer
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.people import People
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import ControlError, parse_time


@dataclass(frozen=True)
class Form:
    """What a buyer fills in."""

    email: str
    name: str | None
    items: Sequence[Json]
    currency: str | None = None
    custom_data: Json | None = None
    business: Json | None = None
    address: Json = field(default_factory=dict)
    locale: str = "en"


class Checkout:
    """Buyers, and what they buy."""

    def __init__(self, world: World, people: People, billing: Billing, contracts: Contracts) -> None:
        self.world = world
        self.people = people
        self.billing = billing
        self.contracts = contracts

    def complete(self, form: Form) -> Json:
        """Buy: every entity is made, every event of a subscription's creation is sent, in Paddle's order."""
        lines = self._lines(form)
        recurring = [line for line in lines if line.price["billing_cycle"] is not None]
        customer, known = self._customer(form)
        address = self.people.add_address(customer["id"], form.address)
        business = self.people.add_business(customer["id"], form.business) if form.business else None
        buyer = self._buyer(form, lines, customer, address, business)
        transaction = self.billing.make(buyer, lines, origin="web", status="draft")
        self.billing.announce(transaction, "created")
        self.world.publish(f"customer.{'updated' if known else 'created'}", customer)
        self.world.publish("address.created", address)
        if business is not None:
            self.world.publish("business.created", business)
        self.billing.announce(transaction, "updated")
        transaction["status"] = "ready"
        self.billing.announce(transaction, "ready")
        subscription = self._paid(transaction, buyer, recurring)
        return {
            "subscription_id": subscription and subscription["id"],
            "customer_id": customer["id"],
            "address_id": address["id"],
            "business_id": business and business["id"],
            "transaction_id": transaction["id"],
        }

    def pay(self, transaction: Json) -> Json | None:
        """Pay a ready or billed transaction; the subscription it starts, if it starts one."""
        if transaction["status"] not in ("ready", "billed", "past_due"):
            raise ControlError(f"The transaction is {transaction['status']} and cannot be paid.")
        owed_by = self.world.memory.subscriptions.get(transaction["subscription_id"] or "")
        recurring = [line for line in self.billing.lines_of(transaction) if line.price["billing_cycle"] is not None]
        buyer = Buyer(
            **{name: transaction[name] for name in ("customer_id", "address_id", "business_id", "currency_code")},
            collection_mode=transaction["collection_mode"],
            billing_details=transaction["billing_details"],
            custom_data=transaction["custom_data"],
        )
        started = self._paid(transaction, buyer, recurring if owed_by is None else [])
        if owed_by is not None and owed_by["status"] == "past_due":
            self.contracts.recover(owed_by)
        return started

    def let_fall_due(self, transaction: Json) -> None:
        """The terms of an invoice are over, and nobody has paid."""
        if transaction["status"] != "billed" or transaction["collection_mode"] != "manual":
            raise ControlError(f"The transaction is {transaction['status']} and no invoice that waits for its payment.")
        owed_by = self.world.memory.subscriptions.get(transaction["subscription_id"] or "")
        if owed_by is None:
            self.billing.fall_due(transaction)
        else:
            self.contracts.fall_due(owed_by, transaction)

    def withdraw(self, transaction: Json) -> None:
        """The seller cancels what nobody has paid."""
        if transaction["status"] not in CANCELABLE:
            raise ControlError(f"The transaction is {transaction['status']} and cannot be canceled.")
        self.billing.cancel(transaction)

    def _paid(self, transaction: Json, buyer: Buyer, recurring: Sequence[Line]) -> Json | None:
        self.billing.announce(transaction, "updated")
        self.billing.pay_by_checkout(transaction)
        self.billing.mark_paid(transaction)
        subscription = self._begun(transaction, buyer, recurring) if recurring else None
        self.billing.announce(transaction, "updated")
        self.billing.announce(transaction, "updated")
        self.billing.complete(transaction)
        return subscription

    def _begun(self, transaction: Json, buyer: Buyer, recurring: Sequence[Line]) -> Json:
        subscription = self.contracts.begin(buyer, recurring)
        transaction["subscription_id"] = subscription["id"]
        transaction["billing_period"] = dict(subscription["current_billing_period"])
        actor = {"type": "customer", "id": subscription["customer_id"]}
        self.contracts.note_created(subscription, source="checkout", actor=actor)
        self.world.publish("subscription.created", subscription, transaction_id=transaction["id"])
        trialing = subscription["status"] == "trialing"
        self.contracts.announce(subscription, "trialing" if trialing else "activated")
        return subscription

    def bring_over(
        self,
        form: Form,
        *,
        external_id: str | None,
        imported_from: str,
        next_billed_at: str | None,
        started_at: str | None,
    ) -> Json:
        """Import a subscription from elsewhere: no transaction, and subscription.imported instead of created."""
        lines = self._lines(form)
        customer, known = self._customer(form)
        meta = {"external_id": external_id, "imported_from": imported_from}
        address = self.people.add_address(customer["id"], form.address)
        business = self.people.add_business(customer["id"], form.business) if form.business else None
        for part, kind in ((customer, "customer"), (address, "address"), (business, "business")):
            if part is not None and not (known and kind == "customer"):
                part["import_meta"] = dict(meta)
                self.world.publish(f"{kind}.imported", part)
        subscription = self.contracts.begin(
            self._buyer(form, lines, customer, address, business),
            lines,
            started_at=parse_time(started_at) if started_at else None,
            next_billed_at=parse_time(next_billed_at) if next_billed_at else None,
            import_meta=meta,
        )
        self.contracts.note_created(subscription, source="paddle_classic", actor={"type": "paddle_staff", "id": None})
        self.world.publish("subscription.imported", subscription)
        return {"subscription_id": subscription["id"], "customer_id": customer["id"], "address_id": address["id"]}

    def _customer(self, form: Form) -> tuple[Json, bool]:
        known = self.people.by_email(form.email)
        if known is not None:
            return known, True
        fields: dict[str, Any] = {"email": form.email, "name": form.name, "locale": form.locale}
        return self.people.add_customer(fields), False

    def _lines(self, form: Form) -> list[Line]:
        lines: list[Line] = []
        for item in form.items:
            price = self.world.memory.prices.get(item["price_id"])
            if price is None:
                raise ControlError(f"There is no price {item['price_id']}.")
            quantity = int(item.get("quantity", 1))
            limits = price["quantity"]
            if not limits["minimum"] <= quantity <= limits["maximum"]:
                raise ControlError(f"{price['id']} is sold {limits['minimum']} to {limits['maximum']} at a time.")
            free = price["trial_period"] is not None
            lines.append(Line(price, self.world.memory.products[price["product_id"]], quantity, free=free))
        self._check_together(form, lines)
        return lines

    def _check_together(self, form: Form, lines: Sequence[Line]) -> None:
        if not lines:
            raise ControlError("A checkout has at least one item.")
        codes = {line.price["unit_price"]["currency_code"] for line in lines}
        if codes != {form.currency or next(iter(codes))}:
            raise ControlError("All items must be priced in the checkout's currency.")
        cycles = [line.price["billing_cycle"] for line in lines if line.price["billing_cycle"] is not None]
        if any(cycle != cycles[0] for cycle in cycles):
            raise ControlError("All recurring items must share one billing cycle.")

    @staticmethod
    def _buyer(form: Form, lines: Sequence[Line], customer: Json, address: Json, business: Json | None) -> Buyer:
        return Buyer(
            customer_id=customer["id"],
            address_id=address["id"],
            business_id=None if business is None else business["id"],
            currency_code=str(lines[0].price["unit_price"]["currency_code"]),
            custom_data=form.custom_data,
        )
