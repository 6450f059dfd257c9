"""One walk through every operation of the simulated Paddle, and what each answered."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from integration_project.vendors.paddle.simulator import sample
from tests.vendors.paddle.account import Account, Json, Reply, charge, price

MANUAL = {"payment_terms": {"interval": "day", "frequency": 14}}
ADDRESS = {
    "description": "Office",
    "country_code": "DE",
    "first_line": "Hafenstr. 1",
    "second_line": None,
    "city": "Hamburg",
    "postal_code": "20359",
    "region": None,
    "custom_data": {"door": "blue"},
}


@dataclass(frozen=True)
class Stop:
    """One call of the tour."""

    operation: str
    method: str
    path: str
    status: int
    body: Any


class Tour:
    """Calls everything and writes down the answers."""

    def __init__(self) -> None:
        self.account = Account()
        self.account.simulator.rate_limit.limit = None
        self.stops: list[Stop] = []

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        reply = self.account.call(method, path, body)
        operation = self.account.simulator.calls[-1].operation
        assert operation is not None
        assert reply.status < 300, reply.body
        self.stops.append(Stop(operation, method, path.partition("?")[0], reply.status, reply.body))
        return reply

    def made(self, path: str, body: Json) -> str:
        return str(self.call("POST", path, body).data["id"])

    def of(self, operation: str) -> list[Stop]:
        return [stop for stop in self.stops if stop.operation == operation]


def catalog(tour: Tour) -> None:
    product = tour.made("/products", {"name": "Tank", "tax_category": "saas", "custom_data": {"sku": "1"}})
    tour.call("PATCH", f"/products/{product}", {"description": "For water"})
    once = {
        "description": "Filling",
        "product_id": product,
        "unit_price": {"amount": "500", "currency_code": "EUR"},
        "unit_price_overrides": [
            {"country_codes": ["FR"], "unit_price": {"amount": "600", "currency_code": "EUR"}},
        ],
    }
    made = tour.made("/prices", once)
    tour.call("PATCH", f"/prices/{made}", {"name": "Fill"})
    tour.call("GET", "/products?include=prices")
    tour.call("GET", f"/products/{product}?include=prices")
    tour.call("GET", "/prices?include=product&recurring=true")
    tour.call("GET", f"/prices/{made}?include=product")
    tour.call("GET", "/currencies")
    tour.call("GET", "/ips")


def people(tour: Tour) -> Json:
    customer = tour.made("/customers", {"email": "ap@harbour.example", "name": "Harriet", "custom_data": {"crm": "7"}})
    tour.call("PATCH", f"/customers/{customer}", {"locale": "de"})
    address = tour.made(f"/customers/{customer}/addresses", ADDRESS)
    tour.call("PATCH", f"/customers/{customer}/addresses/{address}", {"region": "HH"})
    contacts = [{"name": "Ann", "email": "ann@harbour.example"}]
    business = tour.made(f"/customers/{customer}/businesses", {"name": "Harbour Tools", "contacts": contacts})
    tour.call("PATCH", f"/customers/{customer}/businesses/{business}", {"tax_identifier": "DE1"})
    for path in (
        "/customers",
        f"/customers/{customer}",
        f"/customers/{customer}/addresses",
        f"/customers/{customer}/addresses/{address}",
        f"/customers/{customer}/businesses",
        f"/customers/{customer}/businesses/{business}",
        f"/customers/{customer}/credit-balances",
    ):
        tour.call("GET", path)
    return {"customer_id": customer, "address_id": address, "business_id": business}


def subscriptions(tour: Tour) -> str:
    account = tour.account
    business = {"name": "Pier GmbH", "company_number": "HRB 1", "contacts": []}
    subscription = account.subscribe(
        email="pier@pier.example", business=business, custom_data={"account": "pier"}, items=two_items()
    )
    path = f"/subscriptions/{subscription}"
    tour.call("POST", f"{path}/charge/preview", charge())
    tour.call("POST", f"{path}/charge/preview", charge(effective_from="immediately"))
    tour.call("POST", f"{path}/charge", charge(effective_from="immediately", push_id="bill-0"))
    account.simulator.decline_payments(subscription, times=1)
    account.charge(subscription, effective_from="immediately", push_id="bill-x")
    tour.call("POST", f"{path}/charge", charge())
    tour.call("PATCH", path, {"custom_data": {"account": "pier", "tier": "2"}})
    tour.call("GET", f"{path}?include=next_transaction,recurring_transaction_details")
    people = account.simulator.move_to_customer(subscription, email="quay@pier.example", business={"name": "Quay"})
    quay = {"custom_data": None, **people}
    tour.call("PATCH", path, quay)
    account.renew()
    tour.call("GET", path)
    tour.call("GET", f"{path}/history")
    tour.call("GET", f"{path}/history?action=subscription_one_off_charge_applied")
    return subscription


def two_items() -> list[Json]:
    return [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}, {"price_id": sample.PRICE_SEATS_EUR, "quantity": 10}]


def endings(tour: Tour) -> None:
    account = tour.account
    trial = account.subscribe(email="t@pier.example", items=[{"price_id": sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}])
    tour.call("POST", f"/subscriptions/{trial}/activate")
    tour.call("POST", f"/subscriptions/{trial}/pause", {"effective_from": "immediately"})
    tour.call("POST", f"/subscriptions/{trial}/resume", {"effective_from": "immediately"})
    tour.call("POST", f"/subscriptions/{trial}/pause", {"resume_at": "2030-01-01T00:00:00Z"})
    account.renew()
    tour.call("POST", f"/subscriptions/{trial}/cancel", {"effective_from": "immediately"})
    leaving = account.subscribe(email="l@pier.example")
    dollars = {"currency_code": "USD", "items": [{"price_id": sample.PRICE_CLOUD_PRO_USD, "quantity": 1}]}
    moved = {"next_billed_at": "2030-01-01T00:00:00Z", "proration_billing_mode": "do_not_bill"}
    tour.call("PATCH", f"/subscriptions/{leaving}", {**dollars, **moved})
    tour.call("POST", f"/subscriptions/{leaving}/cancel", {})
    account.simulator.import_subscription(email="old@pier.example", items=two_items(), external_id="501")
    failing = account.subscribe(email="f@pier.example")
    account.simulator.decline_payments(failing, times=1)
    account.renew()
    tour.call("GET", "/subscriptions")


def transactions(tour: Tour, buyer: Json) -> None:
    body = {"items": [{"quantity": 1, "price": price()}], "collection_mode": "manual", "billing_details": MANUAL}
    invoice = tour.made("/transactions?include=customer,address,business", {**body, **buyer, "status": "billed"})
    tour.call("POST", "/transactions/preview", {"items": body["items"], "currency_code": "EUR", **buyer})
    tour.call("POST", "/transactions/preview", {"items": [{"quantity": 1, "price_id": sample.PRICE_SETUP_EUR}]})
    draft = tour.made("/transactions", {"items": [{"quantity": 1, "price_id": sample.PRICE_SETUP_EUR}]})
    tour.call("PATCH", f"/transactions/{draft}", {**buyer, "custom_data": {"k": "v"}})
    tour.call("PATCH", f"/transactions/{draft}", {"status": "canceled"})
    tour.call("GET", f"/transactions/{invoice}/invoice")
    line = tour.account.simulator.transactions[invoice]["details"]["line_items"][0]["id"]
    credit = {"action": "credit", "transaction_id": invoice, "reason": "bill-1"}
    tour.call("POST", "/adjustments", {**credit, "items": [{"item_id": line, "type": "partial", "amount": "100"}]})
    reversed_id = tour.call("GET", f"/adjustments?transaction_id={invoice}").data[0]["id"]
    tour.account.simulator.reverse_credit(reversed_id)
    tour.account.simulator.let_fall_due(invoice)
    tour.call("POST", "/adjustments", {**credit, "items": [{"item_id": line, "type": "partial", "amount": "200"}]})
    tour.account.simulator.pay_transaction(invoice)
    charged = next(
        entry for entry in tour.account.simulator.transactions.values() if entry["origin"] == "subscription_charge"
    )
    tour.call(
        "POST",
        "/adjustments",
        {"action": "refund", "type": "full", "transaction_id": charged["id"], "reason": "bill-0"},
    )
    tour.account.simulator.settle_adjustments()
    tour.call("GET", "/adjustments")
    includes = "address,adjustments,adjustments_totals,available_payment_methods,business,customer"
    tour.call("GET", f"/transactions/{charged['id']}?include={includes}")
    tour.call("GET", f"/transactions?include={includes}")
    tour.call("GET", f"/transactions/{invoice}")


def notices(tour: Tour) -> None:
    tour.account.answers = [500]
    tour.account.simulator.deliver_webhooks()
    setting = tour.made(
        "/notification-settings",
        {
            "description": "Second",
            "type": "url",
            "destination": "https://second.example/hooks",
            "subscribed_events": ["subscription.created"],
        },
    )
    tour.call("PATCH", f"/notification-settings/{setting}", {"active": False})
    tour.call("GET", f"/notification-settings/{setting}")
    tour.call("GET", "/notification-settings")
    tour.call("DELETE", f"/notification-settings/{setting}")
    tour.call("GET", "/event-types")
    tour.call("GET", "/events?per_page=200&order_by=id[ASC]")
    waiting = tour.call("GET", "/notifications?status=needs_retry").data[0]["id"]
    delivered = tour.call("GET", "/notifications?status=delivered").data[0]["id"]
    tour.call("GET", f"/notifications/{waiting}")
    tour.call("GET", f"/notifications/{waiting}/logs")
    tour.call("POST", f"/notifications/{delivered}/replay")


@cache
def taken() -> Tour:
    """The tour, taken once for all tests that look at it."""
    tour = Tour()
    catalog(tour)
    buyer = people(tour)
    subscriptions(tour)
    endings(tour)
    transactions(tour, buyer)
    notices(tour)
    return tour
