"""The simulated Paddle account: all operations behind one WSGI application, and what people do outside the API."""

from collections.abc import Callable, Mapping, Sequence
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
from integration_project.vendors.paddle.simulator.dashboard import GERMANY, Dashboard, known
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.notices import Notices, live_schedule, sandbox_schedule
from integration_project.vendors.paddle.simulator.people import People
from integration_project.vendors.paddle.simulator.refusals import error_answer, plain_error, refuse
from integration_project.vendors.paddle.simulator.subscriptions import Subscriptions
from integration_project.vendors.paddle.simulator.transactions import Transactions
from integration_project.vendors.paddle.simulator.world import AcceptedCharge, Decline, World
from integration_project.vendors.simulation import (
    Answer,
    BusinessClock,
    Delivery,
    Outbox,
    Post,
    RateLimit,
    Refusal,
    Request,
    Route,
    control,
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


class PaddleSimulator(Dashboard):
    """Paddle Billing in memory."""

    vendor = "paddle"
    own_fault_kinds = frozenset({"list_lag", "accept_and_bill_nothing", "refuse"})

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
        self._refuse_on_demand(route)
        if request.body and request.method == "GET":
            raise refuse("unexpected_request_body", "A GET request has no body.")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.body and content_type != "application/json":
            raise refuse("unsupported_media_type", "Bodies are application/json.")

    def _refuse_on_demand(self, route: Route) -> None:
        """Answer with any code of Paddle's that somebody wants to see; nothing is done."""
        fault = self.faults.take(route.operation, {"refuse"})
        if fault is not None:
            code, status = str(fault.params["code"]), int(fault.params.get("status", 400))
            raise Refusal(error_answer(code, "Refused on demand.", status=status))

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
    def pay_transaction(self, transaction_id: str) -> str | None:
        """The buyer pays a ready, billed or past due transaction; the subscription that starts, if one does."""
        with self.lock:
            started = self.checkout.pay(known(self.transactions, transaction_id))
            return None if started is None else str(started["id"])

    @control
    def let_fall_due(self, transaction_id: str) -> None:
        """The payment terms of a billed invoice are over, and nobody has paid."""
        with self.lock:
            self.checkout.let_fall_due(known(self.transactions, transaction_id))

    @control
    def cancel_transaction(self, transaction_id: str) -> None:
        """The seller cancels an invoice, or a checkout, that nobody has paid."""
        with self.lock:
            self.checkout.withdraw(known(self.transactions, transaction_id))

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
    def approve_refund(self, adjustment_id: str) -> None:
        """Paddle approves one refund that waits."""
        with self.lock:
            self.adjustments_desk.decide(known(self.adjustments, adjustment_id), reject=False)

    @control
    def reject_refund(self, adjustment_id: str) -> None:
        """Paddle rejects one refund that waits."""
        with self.lock:
            self.adjustments_desk.decide(known(self.adjustments, adjustment_id), reject=True)

    @control
    def reverse_credit(self, adjustment_id: str) -> str:
        """Paddle takes back a credit of an invoice that is still open; the id of the reversal."""
        with self.lock:
            return str(self.adjustments_desk.reverse(known(self.adjustments, adjustment_id))["id"])

    @control
    def set_default_payment_link(self, url: str | None) -> None:
        """The page on which the account's customers pay; while it has none, no transaction can be made."""
        with self.lock:
            self.world.rules.default_payment_link = url

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
