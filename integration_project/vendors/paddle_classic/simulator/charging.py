"""The operations that change what a subscription pays: modifiers, one-off charges, the list of payments, refunds."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from integration_project.vendors.paddle_classic.simulator import guesses
from integration_project.vendors.paddle_classic.simulator.forms import Form
from integration_project.vendors.paddle_classic.simulator.payments import Payments
from integration_project.vendors.paddle_classic.simulator.refusals import refuse, success
from integration_project.vendors.paddle_classic.simulator.showing import as_charged, as_paid
from integration_project.vendors.paddle_classic.simulator.world import Memory, Modifier, Payment, Subscription
from integration_project.vendors.simulation import Answer, Faults, Handler, RateLimit, Request

Json = dict[str, Any]
Record = TypeVar("Record", Payment, Modifier)
LIST_PAYMENTS, LIST_MODIFIERS = "list payments", "list modifiers"


class Charging:
    """Answers these operations."""

    def __init__(self, memory: Callable[[], Memory], payments: Payments, faults: Faults, limit: RateLimit) -> None:
        self._memory = memory
        self._payments = payments
        self._faults = faults
        self._limit = limit

    def operations(self) -> Sequence[tuple[str, str, Handler]]:
        """Path, name and handler of each."""
        return (
            ("/subscription/payments", LIST_PAYMENTS, self._list_payments),
            ("/subscription/modifiers", LIST_MODIFIERS, self._list_modifiers),
            ("/subscription/modifiers/create", "create modifier", self._create_modifier),
            ("/subscription/modifiers/delete", "delete modifier", self._delete_modifier),
            ("/subscription/{subscription_id}/charge", "charge subscription", self._charge),
            ("/payment/refund", "refund payment", self._refund),
        )

    def living(self, subscription_id: int) -> Subscription:
        """The subscription with this id, which must not be deleted."""
        subscription = self._memory().subscriptions.get(subscription_id)
        if subscription is None:
            raise refuse(119)
        if subscription.state == "deleted":
            raise refuse(187)
        return subscription

    # Modifiers.

    def _list_modifiers(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id plan_id after results_per_page")
        wanted, after = form.number("subscription_id", code=182), form.number("after", default=0) or 0
        plan_id = form.number("plan_id")
        found = [
            self._as_modifier(modifier)
            for modifier in self._listed(LIST_MODIFIERS, self._memory().modifiers, request)
            if wanted in (None, modifier.subscription_id)
            and plan_id in (None, self._memory().subscriptions[modifier.subscription_id].plan_id)
            and modifier.id > after
            and not modifier.is_paid
        ]
        size = form.number("results_per_page", default=guesses.DEFAULT_PAGE, most=guesses.USERS_PAGE)
        return success(found[:size])

    def _create_modifier(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id modifier_amount modifier_recurring modifier_description")
        subscription = self.living(form.identifier("subscription_id", code=182))
        amount = form.amount("modifier_amount")
        if not amount:
            raise refuse(155)
        description = form.text("modifier_description") or ""
        if len(description) > 255:
            raise refuse(101, "modifier_description has more than 255 characters.")
        recurring = form.switch("modifier_recurring", default=True)
        if self._payments.is_under_way(subscription):
            raise refuse(146)
        memory = self._memory()
        modifier = Modifier(next(memory.modifier_ids), subscription.id, amount, recurring, description)
        memory.keep(modifier, at=request.transport_at)
        return success({"subscription_id": subscription.id, "modifier_id": modifier.id})

    def _delete_modifier(self, request: Request) -> Answer:
        form = Form(request, known="modifier_id")
        memory = self._memory()
        modifier = memory.modifiers.get(form.identifier("modifier_id"))
        if modifier is None:
            raise refuse(123)
        if modifier.is_paid:
            raise refuse(124)
        subscription = memory.subscriptions[modifier.subscription_id]
        if self._payments.is_under_way(subscription) or self._payments.is_taken_up(modifier):
            raise refuse(146)
        del memory.modifiers[modifier.id]
        return Answer(200, {"success": True})

    def _as_modifier(self, modifier: Modifier) -> Json:
        return {
            "modifier_id": modifier.id,
            "subscription_id": modifier.subscription_id,
            "amount": f"{modifier.amount:.3f}",
            "currency": self._memory().subscriptions[modifier.subscription_id].currency,
            "is_recurring": int(modifier.is_recurring),
            "description": modifier.description,
        }

    # One-off charges.

    def _charge(self, request: Request) -> Answer:
        form = Form(request, known="amount charge_name")
        number = request.path_params["subscription_id"]
        if not number.isascii() or not number.isdigit() or len(number) > 15:
            raise refuse(182)
        subscription = self.living(int(number))
        amount, name = form.amount("amount"), form.needed("charge_name")
        if amount <= 0:
            raise refuse(183)
        if len(name) > 50:
            raise refuse(181)
        if subscription.state != "active":
            raise refuse(197)
        if not subscription.has_payment_method:
            raise refuse(190)
        if amount < guesses.MINIMUM_CHARGES[subscription.currency]:
            raise refuse(186)
        if self._limit.hit(number, request.transport_at) is not None:
            raise refuse(189)
        if subscription.is_declined:
            raise refuse(188)
        payment = self._payments.charge(subscription, amount, name)
        self._payments.announce(subscription, payment)
        return success(as_charged(payment))

    # Payments made and to come, and what is given back.

    def _list_payments(self, request: Request) -> Answer:
        form = Form(request, known="subscription_id plan is_paid from to is_one_off_charge limit offset")
        memory = self._memory()
        wanted, plan_id = form.number("subscription_id", code=182), form.number("plan")
        first, last = form.day("from"), form.day("to")
        made = [
            as_paid(payment)
            for payment in self._listed(LIST_PAYMENTS, memory.payments, request)
            if plan_id in (None, payment.plan_id)
        ]
        to_come = [
            self._as_to_come(subscription)
            for subscription in memory.subscriptions.values()
            if subscription.state not in {"deleted", "paused"} and plan_id in (None, subscription.plan_id)
        ]
        found = [
            payment
            for payment in (*made, *to_come)
            if wanted in (None, payment["subscription_id"])
            and (first is None or payment["payout_date"] >= first.isoformat())
            and (last is None or payment["payout_date"] <= last.isoformat())
        ]
        for switch in ("is_paid", "is_one_off_charge"):
            if form.text(switch) is not None:
                expected = form.switch(switch, default=True)
                found = [each for each in found if bool(each[switch]) is expected]
        return success(part(form, found))

    def _as_to_come(self, subscription: Subscription) -> Json:
        overdue = subscription.overdue
        return {
            "id": overdue.payment_id if overdue else 900_000_000 + subscription.id,
            "subscription_id": subscription.id,
            "amount": self._payments.coming(subscription),
            "currency": subscription.currency,
            "payout_date": subscription.next_bill.isoformat(),
            "is_paid": 0,
            "is_one_off_charge": False,
        }

    def _refund(self, request: Request) -> Answer:
        form = Form(request, known="order_id amount reason")
        payment = self._payments.of_order(form.needed("order_id"))
        if payment is None:
            raise refuse(154)
        left = self._payments.refundable(payment)
        amount = form.amount("amount") if form.text("amount") is not None else left
        if not left or amount > left:
            raise refuse(156)
        if amount <= 0:
            raise refuse(155)
        if request.at.date() - payment.paid_on > timedelta(days=guesses.REFUND_DAYS):
            raise refuse(172)
        return success({"refund_request_id": self._payments.ask_back(payment, amount, form.text("reason") or "").id})

    def _listed(self, operation: str, records: Mapping[int, Record], request: Request) -> list[Record]:
        lag = self._faults.take(operation, {"list_lag"})
        listed = self._memory().is_listed
        return [each for each in records.values() if listed(each, lag=lag, now=request.transport_at)]


Entry = TypeVar("Entry")


def part(form: Form, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The part of a list that `limit` and `offset` ask for; the first page without them."""
    limit = form.number("limit", most=guesses.LIST_PAGE)
    offset = form.number("offset", default=0) or 0
    if offset and limit is None:
        raise refuse(191)
    return entries[offset : offset + (limit or guesses.LIST_PAGE)]
