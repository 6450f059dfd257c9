"""The simulated Classic account: all operations behind one WSGI application, and what people do outside the API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from integration_project.vendors.paddle_classic.simulator import alerts, guesses, sample
from integration_project.vendors.paddle_classic.simulator.contracts import MOMENT, Buyer, Contracts
from integration_project.vendors.paddle_classic.simulator.forms import Form, fields_of
from integration_project.vendors.paddle_classic.simulator.refusals import failure, refuse, success
from integration_project.vendors.paddle_classic.simulator.world import Alert, Memory, Modifier, Payment, Subscription
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
Entry = TypeVar("Entry")
API = "/api/2.0"
STATES = ("active", "past_due", "trialing", "paused", "deleted")


class ClassicSimulator(Simulator):
    """Paddle Classic in memory."""

    vendor = "paddle_classic"

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
        self.contracts = Contracts(lambda: self.memory, self.clock.now, self._tell)
        operations = (
            ("/subscription/users", "list users", self._list_users),
            ("/subscription/users_cancel", "cancel user", self._cancel_user),
            ("/subscription/plans", "list plans", self._list_plans),
            ("/subscription/payments", "list payments", self._list_payments),
            ("/subscription/modifiers", "list modifiers", self._list_modifiers),
            ("/subscription/modifiers/create", "create modifier", self._create_modifier),
            ("/subscription/modifiers/delete", "delete modifier", self._delete_modifier),
            ("/payment/refund", "refund payment", self._refund_payment),
            ("/alert/webhooks", "list alerts", self._list_alerts),
        )
        return tuple(Route("POST", API + path, name, handler) for path, name, handler in operations)

    def guard(self, request: Request, route: Route) -> None:
        """Rate and credentials."""
        wait = self.rate_limit.hit(request.remote, request.transport_at)
        if wait is not None:
            raise Refusal(self.error(429, retry_after=wait))
        fields = fields_of(request)
        if (fields.get("vendor_id"), fields.get("vendor_auth_code")) != (sample.VENDOR_ID, self.auth_code):
            raise refuse(107)

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
        self.auth_code = sample.AUTH_CODE

    def contents(self) -> Json:
        """Everything Classic remembers."""
        memory = self.memory
        return {
            "plans": list(memory.plans.values()),
            "subscriptions": [_shown(asdict(subscription)) for subscription in memory.subscriptions.values()],
            "payments": [_shown(asdict(payment)) for payment in memory.payments.values()],
            "modifiers": [_shown(asdict(modifier)) for modifier in memory.modifiers.values()],
            "refunds": memory.refunds,
            "alerts": [self._in_history(alert) for alert in memory.alerts.values()],
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
        whole = {"alert_id": str(number), "alert_name": name, "event_time": _written(now), **fields}
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
        return success(_part(form, shown))

    def _list_payments(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id plan is_paid from to is_one_off_charge limit offset")
        wanted = form.number("subscription_id", code=182)
        paid = [_as_paid(payment) for payment in self.memory.payments.values()]
        to_come = [self._as_to_come(each) for each in self.memory.subscriptions.values() if each.state != "deleted"]
        found = [payment for payment in (*paid, *to_come) if wanted in (None, payment["subscription_id"])]
        if form.text("is_paid") is not None:
            found = [payment for payment in found if payment["is_paid"] == form.switch("is_paid", default=True)]
        return success(_part(form, found))

    def _list_modifiers(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id plan_id after results_per_page")
        wanted, after = form.number("subscription_id", code=182), form.number("after", default=0) or 0
        found = [
            self._as_modifier(modifier)
            for modifier in self.memory.modifiers.values()
            if wanted in (None, modifier.subscription_id) and modifier.id > after and not modifier.is_paid
        ]
        size = form.number("results_per_page", default=guesses.USERS_PAGE, most=guesses.USERS_PAGE)
        return success(found[:size])

    def _create_modifier(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id modifier_amount modifier_recurring modifier_description")
        subscription = self._living(form.identifier("subscription_id", code=182))
        amount = form.amount("modifier_amount")
        description = form.text("modifier_description") or ""
        if len(description) > 255:
            raise refuse(101, "modifier_description has more than 255 characters.")
        recurring = form.switch("modifier_recurring", default=True)
        modifier = Modifier(next(self.memory.modifier_ids), subscription.id, amount, recurring, description)
        self.memory.modifiers[modifier.id] = modifier
        return success({"subscription_id": subscription.id, "modifier_id": modifier.id})

    def _delete_modifier(self, request: Request) -> Answer:
        form = Form(request, known="modifier_id")
        modifier = self.memory.modifiers.get(form.identifier("modifier_id"))
        if modifier is None:
            raise refuse(123)
        if modifier.is_paid:
            raise refuse(124)
        del self.memory.modifiers[modifier.id]
        return Answer(200, {"success": True})

    def _cancel_user(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id")
        self.contracts.cancel(self._living(form.identifier("subscription_id", code=182)))
        return success(None)

    def _refund_payment(self, request: Request) -> Answer:
        form = Form(request, known="order_id amount reason")
        order_id = form.needed("order_id")
        payment = next((each for each in self.memory.payments.values() if each.order_id == order_id), None)
        if payment is None:
            raise refuse(154)
        amount = form.amount("amount") if form.text("amount") else payment.amount - payment.refunded
        if not 0 < amount <= payment.amount - payment.refunded:
            raise refuse(156)
        return success({"refund_request_id": self.contracts.refund(payment, amount, form.text("reason") or "")})

    def _list_alerts(self, request: Request) -> Answer:
        form = Form(request, known="page alerts_per_page query_head query_tail")
        head, tail = form.moment("query_head"), form.moment("query_tail")
        found = [
            alert
            for alert in sorted(self.memory.alerts.values(), key=lambda alert: -alert.id)
            if (head is None or _written(alert.created_at) <= head)
            and (tail is None or _written(alert.created_at) >= tail)
        ]
        size = form.number("alerts_per_page", default=guesses.DEFAULT_ALERTS_PAGE, most=guesses.ALERTS_PAGE) or 1
        page = form.number("page", default=1) or 1
        shown = [self._in_history(alert) for alert in found[(page - 1) * size : page * size]]
        return success(
            {
                "current_page": page,
                "total_pages": -(-len(found) // size),
                "alerts_per_page": size,
                "total_alerts": len(found),
                "query_head": head or _written(self.clock.now()),
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
            "signup_date": _written(subscription.signed_up_at),
            "update_url": f"https://buyer.example/subscription/{subscription.id}/update",
            "cancel_url": f"https://buyer.example/subscription/{subscription.id}/cancel",
            "linked_subscriptions": [],
            "payment_information": {
                "payment_method": "card",
                "card_type": "visa",
                "last_four_digits": "4242",
                "expiry_date": "01/2035",
            },
            "quantity": subscription.quantity,
        }
        last = subscription.last_payment
        if last is not None:
            user["last_payment"] = {"amount": last.amount, "currency": last.currency, "date": last.paid_on.isoformat()}
        if subscription.state not in {"deleted", "paused"}:
            user["next_payment"] = {
                "amount": self.contracts.amount_due(subscription)[0],
                "currency": subscription.currency,
                "date": subscription.next_bill.isoformat(),
            }
        if subscription.paused_at is not None and subscription.paused_from is not None:
            user["paused_at"] = _written(subscription.paused_at)
            user["paused_from"] = f"{subscription.paused_from.isoformat()} 00:00:00"
            user["paused_reason"] = "voluntary"
        return user

    def _as_to_come(self, subscription: Subscription) -> Json:
        return {
            "id": 900_000_000 + subscription.id,
            "subscription_id": subscription.id,
            "amount": self.contracts.amount_due(subscription)[0],
            "currency": subscription.currency,
            "payout_date": subscription.next_bill.isoformat(),
            "is_paid": 0,
            "is_one_off_charge": False,
        }

    def _as_modifier(self, modifier: Modifier) -> Json:
        return {
            "modifier_id": modifier.id,
            "subscription_id": modifier.subscription_id,
            "amount": f"{modifier.amount:.3f}",
            "currency": self.memory.subscriptions[modifier.subscription_id].currency,
            "is_recurring": int(modifier.is_recurring),
            "description": modifier.description,
        }

    @staticmethod
    def _in_history(alert: Alert) -> Json:
        return {
            "id": alert.id,
            "alert_name": alert.name,
            "status": alert.status,
            "created_at": _written(alert.created_at),
            "updated_at": _written(alert.updated_at or alert.created_at),
            "attempts": alert.attempts,
            "fields": alerts.in_history(alert.fields),
        }

    def _living(self, subscription_id: int) -> Subscription:
        subscription = self.memory.subscriptions.get(subscription_id)
        if subscription is None:
            raise refuse(119)
        if subscription.state == "deleted":
            raise refuse(187)
        return subscription

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
    def change_plan(self, subscription_id: str, plan_id: int) -> None:
        """The customer moves to another plan, at once."""
        with self.lock:
            subscription, plan = self._known(subscription_id), self.memory.plans.get(plan_id)
            if plan is None or subscription.currency not in plan["recurring_price"]:
                raise ControlError(f"There is no plan {plan_id} in {subscription.currency}.")
            self.contracts.change(subscription, plan_id=plan_id)

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
    def refund(self, order_id: str, *, amount: str | None = None, reason: str = "") -> int:
        """The seller gives a payment back, or a part of it; the refund's id."""
        with self.lock:
            payment = next((each for each in self.memory.payments.values() if each.order_id == order_id), None)
            if payment is None:
                raise ControlError(f"There is no order {order_id}.")
            left = payment.amount - payment.refunded
            wanted = left if amount is None else Decimal(amount)
            if not 0 < wanted <= left:
                raise ControlError(f"{left} of it can be given back.")
            return self.contracts.refund(payment, wanted, reason)

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


def _as_paid(payment: Payment) -> Json:
    return {
        "id": payment.id,
        "subscription_id": payment.subscription_id,
        "amount": payment.amount,
        "currency": payment.currency,
        "payout_date": payment.paid_on.isoformat(),
        "is_paid": 1,
        "is_one_off_charge": False,
        "receipt_url": f"https://buyer.example/receipt/{payment.order_id}",
    }


def _part(form: Form, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The part of a list that `limit` and `offset` ask for; the first page without them."""
    limit = form.number("limit", most=guesses.LIST_PAGE)
    offset = form.number("offset", default=0) or 0
    if offset and limit is None:
        raise refuse(191)
    return entries[offset : offset + (limit or guesses.LIST_PAGE)]


def _positive(quantity: int) -> int:
    if quantity < 1:
        raise ControlError("A quantity is 1 or more.")
    return quantity


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(MOMENT)


def _shown(record: Json) -> Json:
    """A record for the control interface, its moments and days as texts."""
    return {
        name: _shown(value) if isinstance(value, dict) else value.isoformat() if isinstance(value, date) else value
        for name, value in record.items()
    }
