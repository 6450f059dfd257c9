"""The simulated Classic account: all operations behind one WSGI application, and what people do outside the API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from integration_project.vendors.paddle_classic.simulator import alerts, guesses, sample
from integration_project.vendors.paddle_classic.simulator.amounts import Tax, rounded
from integration_project.vendors.paddle_classic.simulator.charging import Charging, part
from integration_project.vendors.paddle_classic.simulator.contracts import Buyer, Contracts
from integration_project.vendors.paddle_classic.simulator.forms import Form, fields_of
from integration_project.vendors.paddle_classic.simulator.payments import Payments
from integration_project.vendors.paddle_classic.simulator.refusals import failure, refuse, success
from integration_project.vendors.paddle_classic.simulator.showing import in_history, shown_record, written
from integration_project.vendors.paddle_classic.simulator.telling import Teller
from integration_project.vendors.paddle_classic.simulator.world import Alert, Memory, Subscription
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

Json = dict[str, Any]
API = "/api/2.0"
CARD = {"payment_method": "card", "card_type": "visa", "last_four_digits": "4242", "expiry_date": "01/2035"}
STATES = ("active", "past_due", "trialing", "paused", "deleted")


class ClassicSimulator(Simulator):
    """Paddle Classic in memory."""

    vendor = "paddle_classic"
    own_fault_kinds = frozenset({"list_lag", "refuse"})

    def __init__(
        self,
        *,
        clock: BusinessClock | None = None,
        transport_now: Callable[[], datetime] = real_now,
        post: Post = post_on_loopback,
        webhook_url: str = "",
    ) -> None:
        self.webhook_url = webhook_url
        self.key = alerts.sample_key()
        self.rate_limit = RateLimit(limit=guesses.LIMIT, seconds=60)
        self.charge_limit = RateLimit(limit=None, seconds=60)
        self.auth_code = sample.AUTH_CODE
        self.memory = Memory()
        super().__init__(clock=clock, transport_now=transport_now, post=post)

    # What the framework asks for.

    def make_outbox(self) -> Outbox:
        """Alerts are retried on one schedule; their signature is in the form itself."""
        form = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Paddle"}
        return Outbox(schedule=alerts.schedule, sign=lambda delivery, at: form)

    def make_routes(self) -> Sequence[Route]:
        """Every operation there is."""
        teller = Teller(lambda: self.memory, self._tell)
        self.payments = Payments(lambda: self.memory, self.clock.now, self.transport_now, teller)
        self.contracts = Contracts(lambda: self.memory, self.clock.now, teller, self.payments)
        self.charging = Charging(lambda: self.memory, self.payments, self.faults, self.charge_limit)
        operations = (
            ("/subscription/users", "list users", self._list_users),
            ("/subscription/users_cancel", "cancel user", self._cancel_user),
            ("/subscription/plans", "list plans", self._list_plans),
            ("/alert/webhooks", "list alerts", self._list_alerts),
            *self.charging.operations(),
        )
        return tuple(Route("POST", API + path, name, handler) for path, name, handler in operations)

    def guard(self, request: Request, route: Route) -> None:
        """Rate and credentials, and the fault `refuse`: the code it was set with, whatever the call."""
        wait = self.rate_limit.hit(request.remote, request.transport_at)
        if wait is not None:
            raise Refusal(self.error(429, retry_after=wait))
        fields = fields_of(request)
        if (fields.get("vendor_id"), fields.get("vendor_auth_code")) != (sample.VENDOR_ID, self.auth_code):
            raise refuse(107)
        fault = self.faults.take(route.operation, {"refuse"})
        if fault is not None:
            raise refuse(int(fault.params.get("code", 151)))

    def read(self, request: Request) -> None:
        """Bodies are forms, which the guard has read already."""

    def error(self, status: int, *, retry_after: int | None = None) -> Answer:
        """What the edge in front of Classic answers; Classic's own internal error is code 120."""
        if status == 500:
            return failure(120)
        headers = {"Content-Type": "text/html"} | ({"Retry-After": str(retry_after)} if retry_after else {})
        return Answer(status, f"<html><h1>{status}</h1></html>".encode(), headers)

    def unreadable(self, request: Request) -> Answer:
        """A body that is no form."""
        return failure(101)

    def forget(self) -> None:
        """Start again with the sample account."""
        self.memory = Memory()
        self.rate_limit.forget()
        self.charge_limit.limit = None
        self.charge_limit.forget()
        self.auth_code = sample.AUTH_CODE

    def contents(self) -> Json:
        """Everything Classic remembers."""
        memory = self.memory
        return {
            "plans": list(memory.plans.values()),
            "subscriptions": [shown_record(asdict(subscription)) for subscription in memory.subscriptions.values()],
            "payments": [shown_record(asdict(payment)) for payment in memory.payments.values()],
            "modifiers": [shown_record(asdict(modifier)) for modifier in memory.modifiers.values()],
            "refunds": [shown_record(asdict(refund)) for refund in memory.refunds.values()],
            "alerts": [in_history(alert) for alert in memory.alerts.values()],
        }

    def delivered(self, delivery: Delivery) -> None:
        """An alert was tried."""
        alert = self.memory.alerts.get(int(delivery.id))
        if alert is not None:
            alert.attempts = len(delivery.attempts)
            alert.updated_at = self.clock.now()
            alert.status = "success" if delivery.delivered_at else "failed" if delivery.given_up else "pending"

    def _tell(self, name: str, fields: Mapping[str, str]) -> None:
        """Write an alert down, and send it where the account has an address."""
        now, number = self.clock.now(), next(self.memory.alert_ids)
        whole = {"alert_id": str(number), "alert_name": name, "event_time": written(now), **fields}
        self.memory.alerts[number] = Alert(number, name, now, whole)
        if self.webhook_url:
            body = alerts.signed_body(whole, self.key)
            self.outbox.add(Delivery(id=str(number), url=self.webhook_url, body=body, due_at=self.transport_now()))

    # Operations.

    def _list_users(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id plan_id state page results_per_page")
        state = form.text("state")
        if state is not None and state not in STATES:
            raise refuse(101, "There is no such state.")
        wanted = form.number("subscription_id", code=182), form.number("plan_id")
        found = [
            subscription
            for subscription in self.memory.subscriptions.values()
            if (subscription.state == state if state else subscription.state != "deleted")
            and wanted[0] in (None, subscription.id)
            and wanted[1] in (None, subscription.plan_id)
        ]
        size = form.number("results_per_page", default=guesses.DEFAULT_PAGE, most=guesses.USERS_PAGE) or 1
        page = form.number("page", default=1) or 1
        return success([self._as_user(each) for each in found[(page - 1) * size : page * size]])

    def _list_plans(self, request: Request) -> Answer:
        form = Form(request, known="plan limit offset")
        wanted = form.number("plan")
        plans = [plan for plan in self.memory.plans.values() if wanted in (None, plan["id"])]
        shown = [
            {
                **plan,
                "initial_price": dict.fromkeys(plan["recurring_price"], "0.00"),
                "recurring_price": {currency: str(price) for currency, price in plan["recurring_price"].items()},
            }
            for plan in plans
        ]
        return success(part(form, shown))

    def _cancel_user(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id")
        self.contracts.cancel(self.charging.living(form.identifier("subscription_id", code=182)))
        return success(None)

    def _list_alerts(self, request: Request) -> Answer:
        form = Form(request, known="page alerts_per_page query_head query_tail")
        head, tail = form.moment("query_head"), form.moment("query_tail")
        found = [
            alert
            for alert in sorted(self.memory.alerts.values(), key=lambda alert: -alert.id)
            if (head is None or written(alert.created_at) <= head)
            and (tail is None or written(alert.created_at) >= tail)
        ]
        size = form.number("alerts_per_page", default=guesses.DEFAULT_ALERTS_PAGE, most=guesses.ALERTS_PAGE) or 1
        page = form.number("page", default=1) or 1
        shown = [in_history(alert) for alert in found[(page - 1) * size : page * size]]
        return success(
            {
                "current_page": page,
                "total_pages": -(-len(found) // size),
                "alerts_per_page": size,
                "total_alerts": len(found),
                "query_head": head or written(self.clock.now()),
                "data": shown,
            }
        )

    # How things are shown.

    def _as_user(self, subscription: Subscription) -> Json:
        user: Json = {
            "subscription_id": subscription.id,
            "plan_id": subscription.plan_id,
            "user_id": subscription.user_id,
            "user_email": subscription.email,
            "marketing_consent": subscription.marketing_consent == "1",
            "state": subscription.state,
            "signup_date": written(subscription.signed_up_at),
            "update_url": f"https://buyer.example/subscription/{subscription.id}/update",
            "cancel_url": f"https://buyer.example/subscription/{subscription.id}/cancel",
            "linked_subscriptions": [],
            "quantity": subscription.quantity,
        }
        if subscription.has_payment_method:
            user["payment_information"] = dict(CARD)
        last = subscription.last_payment
        if last is not None:
            user["last_payment"] = {"amount": last.amount, "currency": last.currency, "date": last.paid_on.isoformat()}
        if subscription.state not in {"deleted", "paused"}:
            user["next_payment"] = {
                "amount": self.payments.coming(subscription),
                "currency": subscription.currency,
                "date": subscription.next_bill.isoformat(),
            }
        if subscription.paused_at is not None and subscription.paused_from is not None:
            user["paused_at"] = written(subscription.paused_at)
            user["paused_from"] = f"{subscription.paused_from.isoformat()} 00:00:00"
            user["paused_reason"] = "voluntary"
        return user

    # What people do outside the API.

    @control
    def public_key(self) -> str:
        """The account's public key, as the dashboard shows it."""
        return alerts.public_pem(self.key)

    @control
    def subscribe(
        self,
        *,
        email: str,
        plan_id: int = sample.PLAN_TEAM,
        name: str = "Kai Sample",
        quantity: int = 1,
        currency: str = "EUR",
        country: str = "DE",
        passthrough: str = "",
        signed_up_at: str | None = None,
    ) -> Json:
        """A buyer completes a checkout; the ids of what it made. A known e-mail is the same user again."""
        with self.lock:
            plan = self.memory.plans.get(plan_id)
            if plan is None or currency not in plan["recurring_price"]:
                raise ControlError(f"There is no plan {plan_id} in {currency}.")
            buyer = Buyer(email, name, country, currency, plan_id, _positive(quantity), passthrough)
            start = parse_time(signed_up_at) if signed_up_at else None
            subscription = self.contracts.begin(buyer, signed_up_at=start)
            last = subscription.last_payment
            return {
                "subscription_id": str(subscription.id),
                "user_id": str(subscription.user_id),
                "order_id": last.order_id if last else "",
            }

    @control
    def change_plan(self, subscription_id: str, plan_id: int, *, keep_modifiers: bool = True) -> None:
        """The customer moves to another plan, at once; what waits for the next payment stays, unless told."""
        with self.lock:
            subscription, plan = self._known(subscription_id), self.memory.plans.get(plan_id)
            if plan is None or subscription.currency not in plan["recurring_price"]:
                raise ControlError(f"There is no plan {plan_id} in {subscription.currency}.")
            self.contracts.change(subscription, plan_id=plan_id, keep_modifiers=keep_modifiers)

    @control
    def change_quantity(self, subscription_id: str, quantity: int) -> None:
        """The customer takes more, or fewer, at once."""
        with self.lock:
            self.contracts.change(self._known(subscription_id), quantity=_positive(quantity))

    @control
    def reschedule(self, subscription_id: str, day: str) -> None:
        """The seller moves the next payment to another day."""
        with self.lock:
            self.contracts.reschedule(self._known(subscription_id), date.fromisoformat(day))

    @control
    def pause(self, subscription_id: str) -> None:
        """It pauses with the end of what was paid for."""
        with self.lock:
            subscription = self._known(subscription_id)
            if subscription.paused_from is not None:
                raise ControlError("It is paused already, or going to be.")
            self.contracts.pause(subscription)

    @control
    def resume(self, subscription_id: str) -> None:
        """A paused one, or one that is going to be, goes on."""
        with self.lock:
            subscription = self._known(subscription_id)
            if subscription.paused_from is None:
                raise ControlError("It is not paused.")
            self.contracts.resume(subscription)

    @control
    def cancel(self, subscription_id: str) -> None:
        """The seller or the customer cancels."""
        with self.lock:
            self.contracts.cancel(self._known(subscription_id))

    @control
    def run_payments(self) -> list[int]:
        """Collect every payment that is due at business now, and begin the pauses that are; the payments' ids."""
        with self.lock:
            return self.contracts.run_due()

    @control
    def pay(self, subscription_id: str) -> str:
        """The next payment of a subscription is made now; its order id."""
        with self.lock:
            return self.contracts.pay(self._known(subscription_id)).order_id

    @control
    def fail_payment(self, subscription_id: str) -> None:
        """The next payment of a subscription is declined now."""
        with self.lock:
            self.contracts.fail(self._known(subscription_id))

    @control
    def decline_payments(self, subscription_id: str) -> None:
        """The bank declines whatever is collected from now on, one-off charges too."""
        with self.lock:
            self._known(subscription_id).is_declined = True

    @control
    def accept_payments(self, subscription_id: str) -> None:
        """The bank takes payments again."""
        with self.lock:
            self._known(subscription_id).is_declined = False

    @control
    def remove_payment_method(self, subscription_id: str) -> None:
        """The customer's card is gone."""
        with self.lock:
            self._known(subscription_id).has_payment_method = False

    @control
    def add_payment_method(self, subscription_id: str) -> None:
        """The customer has a card again."""
        with self.lock:
            self._known(subscription_id).has_payment_method = True

    @control
    def limit_charges(self, count: int | None = None) -> None:
        """So many one-off charges a minute are taken of a subscription from now on; without a number, any."""
        with self.lock:
            self.charge_limit.limit = None if count is None else _positive(count)

    @control
    def set_tax(self, plan_id: int, rate: str, *, inclusive: bool = False) -> None:
        """A plan is taxed at this rate (0.19 is 19 %), in its prices or on top of them."""
        with self.lock:
            if plan_id not in self.memory.plans:
                raise ControlError(f"There is no plan {plan_id}.")
            wanted = _decimal(rate)
            if not 0 <= wanted < 1:
                raise ControlError("A rate is 0 or more, and below 1.")
            self.memory.taxes[plan_id] = Tax(wanted, inclusive)

    @control
    def refund(self, order_id: str, *, amount: str | None = None, reason: str = "", vat: bool = False) -> int:
        """The seller gives a payment back, or a part of it, or (`vat`) its tax alone; the refund's id."""
        with self.lock:
            payment = self.payments.of_order(order_id)
            if payment is None:
                raise ControlError(f"There is no order {order_id}.")
            left = self.payments.refundable(payment, vat=vat)
            wanted = left if amount is None else _decimal(amount)
            if not 0 < wanted <= left or wanted != rounded(wanted):
                raise ControlError(f"{left} of it can be given back, in whole cents.")
            refund = self.payments.ask_back(payment, wanted, reason, vat=vat)
            self.payments.give_back(refund)
            return refund.id

    @control
    def settle_refunds(self, *, reject: bool = False) -> list[int]:
        """Paddle's people decide on every refund that was asked for by the API; their ids."""
        with self.lock:
            return self.payments.settle(reject=reject)

    @control
    def add_plans(self, count: int) -> list[int]:
        """Put so many more plans into the catalogue; their ids."""
        with self.lock:
            first = max(self.memory.plans) + 1
            made = [sample.plan(number, f"Plan {number}", "month", "10.00") for number in range(first, first + count)]
            self.memory.plans.update({plan["id"]: plan for plan in made})
            return [plan["id"] for plan in made]

    @control
    def send_webhooks_to(self, url: str) -> None:
        """Point alerts at a URL from now on; with an empty one they are only written into the history."""
        with self.lock:
            self.webhook_url = url

    @control
    def change_auth_code(self, auth_code: str) -> None:
        """Another code lets callers in; the old one does not any more."""
        with self.lock:
            self.auth_code = auth_code

    def _known(self, subscription_id: str) -> Subscription:
        subscription = self.memory.subscriptions.get(int(subscription_id))
        if subscription is None or subscription.state == "deleted":
            raise ControlError(f"There is no living subscription {subscription_id}.")
        return subscription


def _positive(quantity: int) -> int:
    if quantity < 1:
        raise ControlError("A quantity is 1 or more.")
    return quantity


def _decimal(given: str) -> Decimal:
    """The number that a control was given; over HTTP it may come as one, of which the written digits count."""
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        raise ControlError(f"{given!r} is no number.") from None
    if not value.is_finite():
        raise ControlError(f"{given!r} is no number.")
    return value
