"""The simulated Paddle account: all operations behind one WSGI application, and what people do outside the API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from integration_project.vendors.paddle.simulator import currencies, keys, sample
from integration_project.vendors.paddle.simulator.adjustments import Adjustments
from integration_project.vendors.paddle.simulator.billing import Billing
from integration_project.vendors.paddle.simulator.catalog import Catalog
from integration_project.vendors.paddle.simulator.changes import Changes
from integration_project.vendors.paddle.simulator.charges import Charges
from integration_project.vendors.paddle.simulator.checkout import Checkout, Form
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.notices import Notices, live_schedule, sandbox_schedule
from integration_project.vendors.paddle.simulator.people import ADDRESS_UPDATE, BUSINESS_UPDATE, CUSTOMER_UPDATE, People
from integration_project.vendors.paddle.simulator.refusals import error_answer, plain_error, refuse
from integration_project.vendors.paddle.simulator.subscriptions import UPDATE, Subscriptions
from integration_project.vendors.paddle.simulator.transactions import Transactions
from integration_project.vendors.paddle.simulator.validation import passed
from integration_project.vendors.paddle.simulator.world import AcceptedCharge, Decline, World
from integration_project.vendors.simulation import (
    Answer,
    BusinessClock,
    ControlError,
    Delivery,
    Outbox,
    Post,
    RateLimit,
    Refusal,
    Request,
    Route,
    Simulator,
    control,
    parse_time,
    post_on_loopback,
    real_now,
)

ADDRESSES: Mapping[str, Sequence[str]] = {
    "live": ("34.232.58.13", "34.195.105.136", "34.237.3.244", "35.155.119.135", "52.11.166.252", "34.212.5.7"),
    "sandbox": (
        "34.194.127.46",
        "54.234.237.108",
        "3.208.120.145",
        "44.226.236.210",
        "44.241.183.62",
        "100.20.172.113",
    ),
}
GERMANY: Json = {
    "country_code": "DE",
    "postal_code": "10115",
    "city": "Berlin",
    "first_line": "Invalidenstr. 1",
}


SELLER: Json = {"type": "user", "id": None}


class PaddleSimulator(Simulator):
    """Paddle Billing in memory."""

    vendor = "paddle"
    own_fault_kinds = frozenset({"list_lag", "accept_and_bill_nothing"})

    def __init__(
        self,
        *,
        clock: BusinessClock | None = None,
        transport_now: Callable[[], datetime] = real_now,
        post: Post = post_on_loopback,
        environment: str = "sandbox",
        webhook_url: str | None = None,
    ) -> None:
        self.environment = environment
        self.webhook_url = webhook_url
        self.rate_limit = RateLimit(limit=240, seconds=60, block=60)
        self.api_keys: dict[str, frozenset[str]] = {}
        super().__init__(clock=clock, transport_now=transport_now, post=post)
        self.forget()

    # What the framework asks for.

    def make_outbox(self) -> Outbox:
        """Webhooks are retried as the environment does and signed at each attempt."""
        schedule = live_schedule if self.environment == "live" else sandbox_schedule
        return Outbox(schedule=schedule, sign=lambda delivery, at: self.notices.headers(delivery, at))

    def make_routes(self) -> Sequence[Route]:
        """Every operation there is."""
        self.world = World(
            clock=self.clock, transport_now=self.transport_now, faults=self.faults, environment=self.environment
        )
        billing = Billing(self.world)
        self.contracts = Contracts(self.world, billing)
        self.changes = Changes(self.world, self.contracts)
        self.people = People(self.world)
        self.catalog = Catalog(self.world)
        self.notices = Notices(self.world, self.outbox)
        self.adjustments_desk = Adjustments(self.world, billing)
        self.checkout = Checkout(self.world, self.people, billing, self.contracts)
        return (
            *self.catalog.routes(),
            *self.people.routes(),
            *Charges(self.world, billing, self.contracts).routes(),
            *Subscriptions(self.world, self.contracts, self.changes).routes(),
            *Transactions(self.world, billing).routes(),
            *self.adjustments_desk.routes(),
            *self.notices.routes(),
            Route("GET", "/currencies", "list currencies", self._list_currencies),
            Route("GET", "/ips", "list ip addresses", self._list_addresses),
        )

    def guard(self, request: Request, route: Route) -> None:
        """Rate, key, permissions, content type."""
        wait = self.rate_limit.hit(request.remote, request.transport_at)
        if wait is not None:
            raise Refusal(error_answer("too_many_requests", "Too many requests.", retry_after=wait))
        keys.check(request, route.permission, self.api_keys)
        if request.body and request.method == "GET":
            raise refuse("unexpected_request_body", "A GET request has no body.")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.body and content_type != "application/json":
            raise refuse("unsupported_media_type", "Bodies are application/json.")

    def error(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Paddle's error envelope for a bare status."""
        return plain_error(status, retry_after)

    def unreadable(self, request: Request) -> Answer:
        """A body that is not JSON."""
        return error_answer("invalid_json", "The body is not valid JSON.")

    def forget(self) -> None:
        """Start again with the sample account."""
        self.world.forget()
        self.world.rules.default_payment_link = sample.DEFAULT_PAYMENT_LINK
        self.rate_limit.forget()
        self.api_keys = {sample.API_KEY: keys.ALL}
        self.catalog.put_sample()
        if self.webhook_url is not None:
            self.notices.add_sample_setting(self.webhook_url)

    def contents(self) -> dict[str, Any]:
        """Everything Paddle remembers."""
        memory = self.world.memory
        tables = ("products", "prices", "customers", "addresses", "businesses", "subscriptions", "transactions")
        return {
            "environment": self.environment,
            **{name: list(getattr(memory, name).values()) for name in (*tables, "adjustments", "notifications")},
            "notification_settings": list(memory.settings.values()),
            "events": memory.events,
            "history": {key: entries for key, entries in memory.history.items() if entries},
            "charges": [charge.shown() for charge in memory.charges],
            "pending_charges": {key: len(pending) for key, pending in memory.pending.items() if pending},
        }

    def delivered(self, delivery: Delivery) -> None:
        """A notification was tried."""
        self.notices.attempted(delivery)

    def _list_currencies(self, request: Request) -> Answer:
        return one(currencies.listed())

    def _list_addresses(self, request: Request) -> Answer:
        return one({"ipv4_cidrs": [f"{address}/32" for address in ADDRESSES[self.environment]]})

    # What tests read.

    @property
    def subscriptions(self) -> dict[str, Json]:
        """All subscriptions by id."""
        return self.world.memory.subscriptions

    @property
    def transactions(self) -> dict[str, Json]:
        """All transactions by id."""
        return self.world.memory.transactions

    @property
    def customers(self) -> dict[str, Json]:
        """All customers by id."""
        return self.world.memory.customers

    @property
    def adjustments(self) -> dict[str, Json]:
        """All adjustments by id."""
        return self.world.memory.adjustments

    @property
    def events(self) -> list[Json]:
        """All events, oldest first."""
        return self.world.memory.events

    @property
    def notifications(self) -> dict[str, Json]:
        """All notifications by id."""
        return self.world.memory.notifications

    @property
    def history(self) -> dict[str, list[Json]]:
        """The history of each subscription, oldest first."""
        return self.world.memory.history

    @property
    def charges(self) -> list[AcceptedCharge]:
        """Every one-time charge answered with 201."""
        return self.world.memory.charges

    # What people do outside the API.

    @control
    def complete_checkout(
        self,
        *,
        email: str,
        items: Sequence[Json],
        name: str | None = None,
        currency: str | None = None,
        custom_data: Json | None = None,
        business: Json | None = None,
        country: str = "DE",
        address: Json | None = None,
        locale: str = "en",
    ) -> Json:
        """A buyer completes a checkout; the ids of what it made. A known e-mail is the same customer again."""
        where = {**(GERMANY if country == "DE" else {}), **(address or {}), "country_code": country}
        form = Form(email, name, items, currency, custom_data, business, where, locale)
        with self.lock:
            return self.checkout.complete(form)

    @control
    def import_subscription(
        self,
        *,
        email: str,
        items: Sequence[Json],
        name: str | None = None,
        external_id: str | None = None,
        imported_from: str = "paddle_classic",
        next_billed_at: str | None = None,
        started_at: str | None = None,
        custom_data: Json | None = None,
        country: str = "DE",
    ) -> Json:
        """A subscription is brought over from elsewhere."""
        where = {**(GERMANY if country == "DE" else {}), "country_code": country}
        form = Form(email, name, items, None, custom_data, None, where)
        with self.lock:
            return self.checkout.bring_over(
                form,
                external_id=external_id,
                imported_from=imported_from,
                next_billed_at=next_billed_at,
                started_at=started_at,
            )

    @control
    def run_renewals(self) -> list[str]:
        """Bill every period that is over at business now and carry out scheduled changes; the transactions' ids."""
        with self.lock:
            return self.contracts.run_due()

    @control
    def cancel(self, subscription_id: str, *, effective_from: str = "immediately") -> None:
        """The seller or the customer cancels."""
        with self.lock:
            subscription = self._known(self.subscriptions, subscription_id)
            if effective_from == "immediately":
                self.contracts.cancel(subscription, effective_from=effective_from)
            else:
                self._schedule(subscription, "cancel")

    @control
    def pause(self, subscription_id: str, *, effective_from: str = "immediately", resume_at: str | None = None) -> None:
        """The seller or the customer pauses, for good or until a moment."""
        with self.lock:
            subscription = self._known(self.subscriptions, subscription_id)
            if effective_from == "immediately":
                self.contracts.pause(subscription, effective_from=effective_from, resume_at=resume_at)
            else:
                self._schedule(subscription, "pause", resume_at=resume_at)

    def _schedule(self, subscription: Json, action: str, *, resume_at: str | None = None) -> None:
        period = subscription["current_billing_period"]
        if period is None or subscription["scheduled_change"] is not None:
            raise ControlError("Nothing can be scheduled: it has no period, or a change is scheduled already.")
        change = {"action": action, "effective_at": period["ends_at"], "resume_at": resume_at}
        self.contracts.schedule(subscription, change, source="dashboard", actor=SELLER)

    @control
    def call_off_change(self, subscription_id: str) -> None:
        """The scheduled cancel, pause or resume does not happen."""
        self._change(subscription_id, scheduled_change=None)

    @control
    def resume(self, subscription_id: str) -> str:
        """A paused subscription goes on; its transaction's id."""
        with self.lock:
            subscription = self._known(self.subscriptions, subscription_id)
            transaction = self.contracts.resume(subscription, source="dashboard", actor=SELLER)
            return str(transaction["id"])

    @control
    def end_trial(self, subscription_id: str) -> str:
        """A trial ends now and its first period is billed; the transaction's id."""
        with self.lock:
            subscription = self._known(self.subscriptions, subscription_id)
            if subscription["status"] != "trialing":
                raise ControlError(f"The subscription is {subscription['status']}, not trialing.")
            return str(self.contracts.activate(subscription)["id"])

    @control
    def change_items(self, subscription_id: str, items: Sequence[Json]) -> None:
        """The subscription has these items from now on, and no others: added, removed or swapped."""
        self._change(subscription_id, items=list(items))

    @control
    def change_quantity(self, subscription_id: str, quantity: int, *, price_id: str | None = None) -> None:
        """One item has another quantity from now on; without a price the first one."""
        with self.lock:
            items = [
                {"price_id": item["price"]["id"], "quantity": item["quantity"]}
                for item in self._known(self.subscriptions, subscription_id)["items"]
            ]
            wanted = items[0]["price_id"] if price_id is None else price_id
            if all(item["price_id"] != wanted for item in items):
                raise ControlError(f"The subscription has no item of {wanted}.")
            changed = [{**item, "quantity": quantity} if item["price_id"] == wanted else item for item in items]
            self._change(subscription_id, items=changed)

    @control
    def change_currency(self, subscription_id: str, currency: str) -> None:
        """Every item is priced in another currency from now on: same product, same name, same cycle."""
        with self.lock:
            subscription = self._known(self.subscriptions, subscription_id)
            items = [
                {"price_id": self._same_price(item["price"], currency)["id"], "quantity": item["quantity"]}
                for item in subscription["items"]
            ]
            self._change(subscription_id, items=items, currency_code=currency)

    def _same_price(self, price: Json, currency: str) -> Json:
        same = ("product_id", "name", "billing_cycle", "trial_period")
        for other in self.world.memory.prices.values():
            alike = all(other[name] == price[name] for name in same) and other["status"] == "active"
            if alike and other["unit_price"]["currency_code"] == currency:
                return other
        raise ControlError(f"{price['id']} has no counterpart in {currency}.")

    @control
    def move_renewal(self, subscription_id: str, moment: str) -> None:
        """The current period, or the trial, ends at another moment."""
        self._change(subscription_id, next_billed_at=parse_time(moment).isoformat())

    @control
    def move_to_customer(
        self,
        subscription_id: str,
        *,
        email: str,
        name: str | None = None,
        business: Json | None = None,
        country: str = "DE",
        address: Json | None = None,
    ) -> Json:
        """The subscription belongs to somebody else from now on, with an address of theirs; the ids of both."""
        where = {**(GERMANY if country == "DE" else {}), **(address or {}), "country_code": country}
        with self.lock, _in_words():
            self.changes.check_changeable(self._known(self.subscriptions, subscription_id))
            people = self.people.arrive(email=email, name=name, address=where, business=business)
            self._change(subscription_id, **people)
            return people

    def _change(self, subscription_id: str, **fields: Any) -> None:
        """What the seller changes in the dashboard, checked like a PATCH and billed with the next period."""
        with self.lock, _in_words():
            subscription = self._known(self.subscriptions, subscription_id)
            asked = passed({"proration_billing_mode": "do_not_bill", **fields}, UPDATE)
            self.changes.apply(subscription, asked, source="dashboard", actor=SELLER)

    @control
    def update_customer(
        self,
        customer_id: str,
        *,
        name: str | None = None,
        email: str | None = None,
        locale: str | None = None,
        custom_data: Json | None = None,
    ) -> None:
        """A customer changes what is given."""
        with self.lock:
            self._rewrite("customer", customer_id, name=name, email=email, locale=locale, custom_data=custom_data)

    @control
    def update_address(
        self,
        address_id: str,
        *,
        first_line: str | None = None,
        second_line: str | None = None,
        city: str | None = None,
        postal_code: str | None = None,
        region: str | None = None,
        country: str | None = None,
    ) -> None:
        """An address changes in what is given."""
        parts = {"first_line": first_line, "second_line": second_line, "city": city, "postal_code": postal_code}
        with self.lock:
            self._rewrite("address", address_id, **parts, region=region, country_code=country)

    @control
    def update_business(
        self,
        business_id: str,
        *,
        name: str | None = None,
        company_number: str | None = None,
        tax_identifier: str | None = None,
    ) -> None:
        """A business changes in what is given."""
        with self.lock:
            self._rewrite(
                "business", business_id, name=name, company_number=company_number, tax_identifier=tax_identifier
            )

    def _rewrite(self, kind: str, entity_id: str, **fields: Any) -> None:
        memory = self.world.memory
        table, shape = {
            "customer": (memory.customers, CUSTOMER_UPDATE),
            "address": (memory.addresses, ADDRESS_UPDATE),
            "business": (memory.businesses, BUSINESS_UPDATE),
        }[kind]
        entity = self._known(table, entity_id)
        with _in_words():
            given = passed({name: value for name, value in fields.items() if value is not None}, shape)
            if "email" in given:
                self.people.refuse_taken(given["email"], of=entity_id)
        self.people.change(kind, entity, given)

    @control
    def pay_transaction(self, transaction_id: str) -> str | None:
        """The buyer pays a ready, billed or past due transaction; the subscription that starts, if one does."""
        with self.lock:
            started = self.checkout.pay(self._known(self.transactions, transaction_id))
            return None if started is None else str(started["id"])

    @control
    def decline_payments(
        self, subscription_id: str = "*", *, error_code: str = "declined", times: int | None = None
    ) -> None:
        """The next payments of a subscription (or all) fail."""
        with self.lock:
            self.world.memory.declines[subscription_id] = Decline(error_code, times)

    @control
    def accept_payments(self, subscription_id: str = "*") -> None:
        """Payments succeed again."""
        with self.lock:
            self.world.memory.declines.pop(subscription_id, None)

    @control
    def settle_adjustments(self, *, reject: bool = False) -> list[str]:
        """Approve, or reject, every refund that waits; their ids."""
        with self.lock:
            return self.adjustments_desk.settle(reject=reject)

    @control
    def set_permissions(self, permissions: Sequence[str] | None, *, key: str = sample.API_KEY) -> None:
        """Give a key these permissions; None gives all."""
        with self.lock:
            self.api_keys[key] = keys.ALL if permissions is None else frozenset(permissions)

    @control
    def withhold_permission(self, permission: str, *, key: str = sample.API_KEY) -> None:
        """Take one permission from a key, leaving it all others."""
        with self.lock:
            everything = {route.permission for route in self.routes if route.permission} | set(keys.INCLUDED.values())
            held = everything if "*" in self.api_keys[key] else self.api_keys[key]
            self.api_keys[key] = frozenset(held - {permission})

    @control
    def revoke_key(self, key: str = sample.API_KEY) -> None:
        """A key is not valid any more."""
        with self.lock:
            self.api_keys.pop(key, None)

    @control
    def send_webhooks_to(self, url: str) -> str:
        """Point the sample destination at a URL; its id. From now on, also after a reset."""
        with self.lock:
            self.webhook_url = url
            return str(self.notices.add_sample_setting(url)["id"])

    @control
    def silence_webhooks(self, silent: bool = True) -> None:
        """While silent, events are in Paddle's list but are never delivered: a destination that is down."""
        with self.lock:
            self.world.memory.silent = silent

    @control
    def rotate_secret(self, setting_id: str = sample.NOTIFICATION_SETTING_ID) -> str:
        """A new webhook secret; until `finish_rotation` both sign."""
        with self.lock:
            return self.notices.rotate_secret(setting_id)

    @control
    def finish_rotation(self, setting_id: str = sample.NOTIFICATION_SETTING_ID) -> None:
        """Only the new secret signs from now on."""
        with self.lock:
            self.world.memory.old_secrets.pop(setting_id, None)

    @staticmethod
    def _known(table: Mapping[str, Json], entity_id: str) -> Json:
        if entity_id not in table:
            raise ControlError(f"There is no {entity_id}.")
        return table[entity_id]


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what Paddle would refuse into words for whoever uses the control."""
    try:
        yield
    except Refusal as refusal:
        error = refusal.answer.body["error"]
        problems = "; ".join(f"{problem['field']} {problem['message']}" for problem in error.get("errors", ()))
        raise ControlError(f"{error['code']}: {problems or error['detail']}") from None
