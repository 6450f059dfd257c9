"""The operations on transactions."""

from collections.abc import Sequence
from copy import deepcopy

from integration_project.vendors.paddle.simulator import currencies, totals, validation
from integration_project.vendors.paddle.simulator.billing import CANCELABLE, Billing, Buyer
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.items import TRANSACTION, Items, items_check
from integration_project.vendors.paddle.simulator.listing import Listing, field_of, includes
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route, parse_time

INCLUDES = frozenset(
    {"address", "adjustments", "adjustments_totals", "available_payment_methods", "business", "customer", "discount"}
)
CREATE: Shape = {
    "items": required(items_check(TRANSACTION)),
    "status": optional(validation.choice("billed")),
    "customer_id": nullable(validation.identifier("ctm")),
    "address_id": nullable(validation.identifier("add")),
    "business_id": nullable(validation.identifier("biz")),
    "custom_data": nullable(validation.custom_data),
    "currency_code": nullable(validation.choice(*currencies.NAMES)),
    "collection_mode": optional(validation.choice("automatic", "manual")),
    "discount_id": nullable(validation.nothing),
    "billing_details": nullable(validation.shaped(validation.BILLING_DETAILS)),
    "billing_period": nullable(validation.shaped(validation.PERIOD)),
    "checkout": nullable(validation.shaped({"url": nullable(validation.text(1, 2048))})),
}
UPDATE: Shape = {
    **CREATE,
    "items": optional(items_check(TRANSACTION)),
    "status": optional(validation.choice("billed", "canceled")),
}
PREVIEW: Shape = {
    **{name: CREATE[name] for name in ("items", "customer_id", "address_id", "business_id", "currency_code")},
    "discount_id": nullable(validation.nothing),
    "ignore_trials": optional(validation.flag),
}
PAYMENT_METHODS = ("card", "paypal")
PLAIN = ("customer_id", "address_id", "business_id", "custom_data", "collection_mode", "billing_period")
ADDRESS_NEEDED = ("first_line", "city", "postal_code")


class Transactions:
    """List, get, create and change transactions."""

    def __init__(self, world: World, billing: Billing) -> None:
        self.world = world
        self.billing = billing
        self.items = Items(world, TRANSACTION)
        names = ("id", "customer_id", "subscription_id", "invoice_number", "origin", "status", "collection_mode")
        self.listing = Listing(
            equal={name: field_of(name) for name in names},
            times={name: field_of(name) for name in ("created_at", "updated_at", "billed_at")},
            includes=INCLUDES,
            order_by=("id", "billed_at", "created_at", "updated_at"),
            default_size=30,
            maximum_size=30,
        )

    def routes(self) -> Sequence[Route]:
        """The operations."""
        path = "/transactions/{transaction_id}"
        return (
            Route("GET", "/transactions", "list transactions", self.list_all, "transaction.read"),
            Route("POST", "/transactions", "create transaction", self.create, "transaction.write"),
            Route("POST", "/transactions/preview", "preview transaction", self.preview, "transaction.read"),
            Route("GET", path, "get transaction", self.get, "transaction.read"),
            Route("PATCH", path, "update transaction", self.update, "transaction.write"),
            Route("GET", f"{path}/invoice", "get invoice", self.invoice, "transaction.read"),
        )

    def list_all(self, request: Request) -> Answer:
        """List transactions."""
        self.listing.check_parameters(request)
        asked = includes(request, INCLUDES)
        records = self.world.visible("list transactions", list(self.world.memory.transactions.values()))
        return self.listing.answer(request, records, lambda transaction: self._shown(transaction, asked))

    def get(self, request: Request) -> Answer:
        """Get a transaction."""
        return one(self._shown(self._transaction(request), includes(request, INCLUDES)))

    def invoice(self, request: Request) -> Answer:
        """Where the invoice can be had for an hour."""
        transaction = self._transaction(request)
        if transaction["invoice_number"] is None:
            raise refuse("not_found", "The transaction has no invoice.")
        return one({"url": f"https://invoices.example/{transaction['invoice_number']}.pdf"})

    def preview(self, request: Request) -> Answer:
        """Say what a transaction would come to; nothing is created, and how it is collected is not asked."""
        fields = checked(request, PREVIEW)
        buyer = self._buyer(fields)
        lines = self._lines(fields, buyer.currency_code)
        country = self.world.country_of(buyer.address_id)
        self.items.check_minimum(lines, country=country, currency=buyer.currency_code)
        return one(
            {
                "customer_id": buyer.customer_id,
                "address_id": buyer.address_id,
                "business_id": buyer.business_id,
                "currency_code": buyer.currency_code,
                "discount_id": None,
                "customer_ip_address": None,
                "address": None,
                "ignore_trials": fields.get("ignore_trials", False),
                "items": [
                    {"price": line.price, "quantity": line.quantity, "include_in_totals": True, "proration": None}
                    for line in lines
                ],
                "details": totals.preview_details(lines, country, buyer.currency_code),
                "available_payment_methods": list(PAYMENT_METHODS),
            }
        )

    def create(self, request: Request) -> Answer:
        """Create a transaction: a checkout to come, or an invoice."""
        asked = includes(request, INCLUDES)
        if self.world.rules.default_payment_link is None:
            raise refuse("transaction_default_checkout_url_not_set", "Set a default payment link first.")
        fields = checked(request, CREATE)
        buyer = self._buyer(fields)
        lines = self._lines(fields, buyer.currency_code)
        self._check_manual(fields, buyer)
        country = self.world.country_of(buyer.address_id)
        self.items.check_minimum(lines, country=country, currency=buyer.currency_code)
        self._check_period(fields)
        transaction = self.billing.make(
            buyer,
            self.items.create(lines),
            origin="api",
            status="ready" if buyer.customer_id and buyer.address_id else "draft",
            billing_period=fields.get("billing_period"),
        )
        transaction["checkout"] = {"url": self._checkout_url(transaction, fields)}
        self.billing.announce(transaction, "created")
        if transaction["status"] == "ready":
            self.billing.announce(transaction, "ready")
        if fields.get("status") == "billed":
            self.billing.issue(transaction)
        return one(self._shown(transaction, asked), status=201)

    def update(self, request: Request) -> Answer:
        """Change a draft or ready transaction, bill it, or cancel it."""
        asked = includes(request, INCLUDES)
        transaction = self._transaction(request)
        fields = checked(request, UPDATE)
        if fields.get("status") == "canceled":
            return self._canceled(transaction, fields, asked)
        if transaction["status"] not in ("draft", "ready"):
            raise refuse("transaction_immutable", f"The transaction is {transaction['status']}.")
        self._change(transaction, fields)
        if fields.get("status") == "billed":
            self.billing.issue(transaction)
        return one(self._shown(transaction, asked))

    def _change(self, transaction: Json, fields: Json) -> None:
        """Check the transaction as it would be, then let it be so."""
        fixed = [name for name in ("items", "currency_code") if name in fields]
        if fixed:
            problem = "cannot be changed in this simulator: create another transaction"
            raise invalid(*((name, problem) for name in fixed))
        after = deepcopy({**transaction, **fields})
        if fields.get("billing_details") is not None:
            after["billing_details"] = {**(transaction["billing_details"] or {}), **fields["billing_details"]}
        self._check_manual(after, self._buyer(after))
        self._check_period(fields)
        moved, was_draft = after["address_id"] != transaction["address_id"], transaction["status"] == "draft"
        transaction.update({name: after[name] for name in (*PLAIN, "billing_details")})
        if moved:
            self.billing.reprice(transaction)
        is_whole = transaction["customer_id"] and transaction["address_id"]
        transaction["status"] = "ready" if is_whole else "draft"
        self.billing.announce(transaction, "updated")
        if was_draft and is_whole:
            self.billing.announce(transaction, "ready")

    def _canceled(self, transaction: Json, fields: Json, asked: frozenset[str]) -> Answer:
        if set(fields) != {"status"}:
            raise invalid(("status", "must be sent alone to cancel"))
        if transaction["status"] not in CANCELABLE:
            raise refuse("transaction_immutable", f"The transaction is {transaction['status']}.")
        self.billing.cancel(transaction)
        return one(self._shown(transaction, asked))

    def _transaction(self, request: Request) -> Json:
        return self.world.get(self.world.memory.transactions, request.path_params["transaction_id"])

    def _buyer(self, fields: Json) -> Buyer:
        memory = self.world.memory
        customer_id, address_id, business_id = (
            fields.get(name) for name in ("customer_id", "address_id", "business_id")
        )
        for part_id, table, name in (
            (customer_id, memory.customers, "customer_id"),
            (address_id, memory.addresses, "address_id"),
            (business_id, memory.businesses, "business_id"),
        ):
            part = None if part_id is None else self.world.get(table, part_id)
            if part is not None and part["status"] == "archived":
                raise refuse("entity_archived", f"{part_id} is archived.")
            if part is not None and part.get("customer_id", customer_id) != customer_id:
                raise invalid((name, "must belong to the customer"))
        return Buyer(
            customer_id=customer_id,
            address_id=address_id,
            business_id=business_id,
            currency_code=fields.get("currency_code") or self._first_currency(fields["items"]),
            collection_mode=fields.get("collection_mode", "automatic"),
            billing_details=fields.get("billing_details"),
            custom_data=fields.get("custom_data"),
        )

    def _first_currency(self, items: Sequence[Json]) -> str:
        first = items[0]
        price = first.get("price") or self.world.get(self.world.memory.prices, first["price_id"])
        return str(price["unit_price"]["currency_code"])

    def _lines(self, fields: Json, currency: str) -> Sequence[Line]:
        lines = self.items.read(fields["items"], currency=currency)
        cycles = [line.price["billing_cycle"] for line in lines if line.price["billing_cycle"] is not None]
        if any(cycle != cycles[0] for cycle in cycles):
            raise invalid(("items", "recurring items must share one billing cycle"))
        return lines

    def _check_manual(self, fields: Json, buyer: Buyer) -> None:
        details = buyer.billing_details
        if buyer.collection_mode == "automatic":
            if details is not None:
                raise refuse("transaction_billing_details_must_be_null", "Automatic collection has no billing details.")
            if fields.get("status") == "billed":
                raise invalid(("status", "only a manually collected transaction can be billed"))
            return
        if details is None:
            raise refuse("transaction_billing_details_object_required", "Manual collection needs billing details.")
        if "payment_terms" not in details:
            raise refuse("transaction_payment_terms_object_required", "Manual collection needs payment terms.")
        if buyer.currency_code not in currencies.MANUAL_CURRENCIES:
            raise refuse("transaction_currency_code_not_valid_for_manual", "Manual collection takes USD, EUR and GBP.")
        details.setdefault("enable_checkout", False)
        details.setdefault("purchase_order_number", "")
        details.setdefault("additional_information", None)
        if fields.get("status") == "billed":
            self._check_billable(buyer)

    def _check_billable(self, buyer: Buyer) -> None:
        customer = self.world.memory.customers.get(buyer.customer_id or "")
        address = self.world.memory.addresses.get(buyer.address_id or "")
        if customer is None or not customer["name"]:
            raise invalid(("customer_id", "must be a customer with a name to bill"))
        if address is None or any(not address[name] for name in ADDRESS_NEEDED):
            raise invalid(("address_id", "must be a complete address to bill"))

    def _check_period(self, fields: Json) -> None:
        period = fields.get("billing_period")
        if period is None:
            return
        if parse_time(period["starts_at"]) > self.world.now():
            raise invalid(("billing_period.starts_at", "must not be in the future"))
        if parse_time(period["ends_at"]) <= parse_time(period["starts_at"]):
            raise invalid(("billing_period.ends_at", "must be after starts_at"))

    def _checkout_url(self, transaction: Json, fields: Json) -> str | None:
        manual = transaction["collection_mode"] == "manual"
        if manual and not transaction["billing_details"]["enable_checkout"]:
            return None
        base = (fields.get("checkout") or {}).get("url") or self.world.rules.default_payment_link
        return f"{base}?_ptxn={transaction['id']}"

    def _shown(self, transaction: Json, asked: frozenset[str]) -> Json:
        memory, shown = self.world.memory, dict(transaction)
        parts = {
            "address": memory.addresses.get(transaction["address_id"] or ""),
            "business": memory.businesses.get(transaction["business_id"] or ""),
            "customer": memory.customers.get(transaction["customer_id"] or ""),
        }
        shown |= {name: part for name, part in parts.items() if name in asked and part is not None}
        adjustments = [entry for entry in memory.adjustments.values() if entry["transaction_id"] == transaction["id"]]
        if "adjustments" in asked:
            shown["adjustments"] = adjustments
        if "adjustments_totals" in asked:
            shown["adjustments_totals"] = self._adjustments_totals(transaction, adjustments)
        if "available_payment_methods" in asked:
            shown["available_payment_methods"] = list(PAYMENT_METHODS)
        return shown

    @staticmethod
    def _adjustments_totals(transaction: Json, adjustments: Sequence[Json]) -> Json:
        approved = [entry for entry in adjustments if entry["status"] == "approved"]

        def total(name: str, actions: frozenset[str] = frozenset({"refund", "credit"})) -> str:
            return str(sum(int(entry["totals"][name]) for entry in approved if entry["action"] in actions))

        return {
            **{name: total(name) for name in ("subtotal", "tax", "total", "fee", "earnings")},
            "breakdown": {
                "credit": total("total", frozenset({"credit"})),
                "refund": total("total", frozenset({"refund"})),
                "chargeback": "0",
            },
            "currency_code": transaction["currency_code"],
        }
