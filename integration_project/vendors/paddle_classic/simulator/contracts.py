"""The life of a subscription: how it begins, is paid, changes, pauses and ends, with the alerts that tell of it."""

import calendar
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from integration_project.vendors.paddle_classic.simulator import guesses
from integration_project.vendors.paddle_classic.simulator.world import Memory, Modifier, Payment, Subscription

DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}
CENT = Decimal("0.01")
MOMENT = "%Y-%m-%d %H:%M:%S"
Tell = Callable[[str, Mapping[str, str]], None]
"""Sends an alert of this name with these fields."""


@dataclass(frozen=True)
class Buyer:
    """Who subscribes, and what for."""

    email: str
    name: str
    country: str
    currency: str
    plan_id: int
    quantity: int
    passthrough: str


def after(day: date, plan: Mapping[str, Any]) -> date:
    """The day one billing period of the plan later; a month's last day stands for the days it lacks."""
    kind, count = plan["billing_type"], plan["billing_period"]
    if kind in DAYS:
        return day + timedelta(days=DAYS[kind] * count)
    year, month = divmod(day.year * 12 + day.month - 1 + MONTHS[kind] * count, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


class Contracts:
    """What happens to subscriptions, whoever asked for it."""

    def __init__(self, memory: Callable[[], Memory], now: Callable[[], datetime], tell: Tell) -> None:
        self._memory = memory
        self.now = now
        self._tell = tell

    # Beginning and changing.

    def begin(self, buyer: Buyer, *, signed_up_at: datetime | None = None) -> Subscription:
        """A buyer subscribes; the first payment is made at once, or after the trial."""
        memory, start = self._memory(), signed_up_at or self.now()
        plan = memory.plans[buyer.plan_id]
        user_id = memory.users.setdefault(buyer.email, 0) or next(memory.user_ids)
        memory.users[buyer.email] = user_id
        trial = plan["trial_days"]
        subscription = Subscription(
            id=next(memory.subscription_ids),
            plan_id=buyer.plan_id,
            user_id=user_id,
            email=buyer.email,
            name=buyer.name,
            country=buyer.country,
            currency=buyer.currency,
            quantity=buyer.quantity,
            state="trialing" if trial else "active",
            signed_up_at=start,
            next_bill=start.date() + timedelta(days=trial) if trial else after(start.date(), plan),
            checkout_id=f"{user_id}-chre{len(memory.subscriptions) + 1:x}",
            passthrough=buyer.passthrough,
        )
        memory.subscriptions[subscription.id] = subscription
        self._alert("subscription_created", subscription, source="Checkout", **self._dated(subscription))
        if not trial:
            self._collect(subscription, initial=True, on=start.date())
        return subscription

    def change(self, subscription: Subscription, *, plan_id: int | None = None, quantity: int | None = None) -> None:
        """The plan or the quantity changes at once."""
        before = self._old(subscription)
        subscription.plan_id = plan_id or subscription.plan_id
        subscription.quantity = quantity or subscription.quantity
        self._updated(subscription, before)

    def reschedule(self, subscription: Subscription, day: date) -> None:
        """The next payment moves to another day."""
        before = self._old(subscription)
        subscription.next_bill = day
        self._updated(subscription, before)

    def pause(self, subscription: Subscription) -> None:
        """It pauses when what was paid for is over."""
        before = self._old(subscription)
        subscription.paused_at, subscription.paused_from = self.now(), subscription.next_bill
        self._updated(subscription, before)

    def resume(self, subscription: Subscription) -> None:
        """It goes on: as if nothing had been, or with a payment that is due at once."""
        before = self._old(subscription)
        was_paused = subscription.state == "paused"
        subscription.paused_at = subscription.paused_from = None
        subscription.state = "active"
        if was_paused:
            subscription.next_bill = self.now().date()
        self._updated(subscription, before)

    def cancel(self, subscription: Subscription) -> None:
        """It is deleted; what was paid for may still be used."""
        subscription.state = "deleted"
        effective = subscription.next_bill.isoformat()
        self._alert(
            "subscription_cancelled",
            subscription,
            cancellation_effective_date=effective,
            quantity=str(subscription.quantity),
            unit_price=str(self.unit_price(subscription)),
        )

    # Paying.

    def run_due(self) -> list[int]:
        """Collect, or pause, whatever is due by business time; the payments' ids."""
        made: list[int] = []
        for subscription in list(self._memory().subscriptions.values()):
            while subscription.state in {"active", "trialing"} and subscription.next_bill <= self.now().date():
                if subscription.paused_from is not None and subscription.paused_from <= subscription.next_bill:
                    before = self._old(subscription)
                    subscription.state = "paused"
                    self._updated(subscription, before)
                else:
                    made.append(self.pay(subscription).id)
        return made

    def pay(self, subscription: Subscription) -> Payment:
        """The payment of the period that begins is made."""
        before, recovers = self._old(subscription), subscription.state == "past_due"
        payment = self._collect(subscription, initial=False, on=subscription.next_bill)
        if recovers:
            self._updated(subscription, before)
        return payment

    def fail(self, subscription: Subscription) -> None:
        """The payment of the period that begins is declined, and tried again later."""
        before = self._old(subscription)
        retry = self.now().date() + timedelta(days=guesses.DAYS_TO_RETRY)
        subscription.state = "past_due"
        memory = self._memory()
        self._alert(
            "subscription_payment_failed",
            subscription,
            amount=str(self.amount_due(subscription)[0]),
            attempt_number="1",
            instalments=str(self._instalments(subscription) + 1),
            next_retry_date=retry.isoformat(),
            order_id="",
            quantity=str(subscription.quantity),
            subscription_payment_id=str(next(memory.payment_ids)),
            unit_price=str(self.unit_price(subscription)),
            **self._urls(subscription),
        )
        self._updated(subscription, before)

    def refund(self, payment: Payment, amount: Decimal, reason: str) -> int:
        """Give an amount of a payment back."""
        memory = self._memory()
        subscription = memory.subscriptions[payment.subscription_id]
        payment.refunded += amount
        number = 9000 + len(memory.refunds)
        memory.refunds.append({"refund_request_id": number, "order_id": payment.order_id, "amount": amount})
        fee, money = _fee(amount), str(amount)
        self._alert(
            "subscription_payment_refunded",
            subscription,
            amount=money,
            balance_currency=payment.currency,
            balance_earnings_decrease=str(amount - fee),
            balance_fee_refund=str(fee),
            balance_gross_refund=money,
            balance_tax_refund="0",
            earnings_decrease=str(amount - fee),
            fee_refund=str(fee),
            gross_refund=money,
            tax_refund="0",
            initial_payment="0",
            instalments=str(self._instalments(subscription)),
            order_id=payment.order_id,
            quantity=str(subscription.quantity),
            refund_reason=reason,
            refund_type="full" if payment.refunded == payment.amount else "partial",
            subscription_payment_id=str(payment.id),
            unit_price=str(self.unit_price(subscription)),
        )
        return number

    def unit_price(self, subscription: Subscription) -> Decimal:
        """What one costs in the subscription's currency."""
        price: Decimal = self._memory().plans[subscription.plan_id]["recurring_price"][subscription.currency]
        return price

    def amount_due(self, subscription: Subscription) -> tuple[Decimal, tuple[Modifier, ...]]:
        """What the next payment takes, never below nothing, and the modifiers in it."""
        waiting = tuple(
            modifier
            for modifier in self._memory().modifiers.values()
            if modifier.subscription_id == subscription.id and not modifier.is_paid
        )
        total = self.unit_price(subscription) * subscription.quantity + sum(modifier.amount for modifier in waiting)
        return total - subscription.balance, waiting

    def _collect(self, subscription: Subscription, *, initial: bool, on: date) -> Payment:
        memory = self._memory()
        due, modifiers = self.amount_due(subscription)
        for modifier in modifiers:
            modifier.is_paid = not modifier.is_recurring
        amount, subscription.balance = max(due, Decimal(0)), max(-due, Decimal(0))
        number = next(memory.payment_ids)
        order_id = f"{number}-{subscription.id}"
        payment = Payment(number, order_id, subscription.id, amount, subscription.currency, on)
        memory.payments[number] = subscription.last_payment = payment
        subscription.state = "active"
        if not initial:
            subscription.next_bill = after(on, memory.plans[subscription.plan_id])
        fee, money = _fee(amount), str(amount)
        self._alert(
            "subscription_payment_succeeded",
            subscription,
            balance_currency=subscription.currency,
            balance_earnings=str(amount - fee),
            balance_fee=str(fee),
            balance_gross=money,
            balance_tax="0",
            country=subscription.country,
            coupon="",
            customer_name=subscription.name,
            earnings=str(amount - fee),
            fee=str(fee),
            initial_payment=str(int(initial)),
            instalments=str(self._instalments(subscription)),
            next_bill_date=subscription.next_bill.isoformat(),
            next_payment_amount=str(self.amount_due(subscription)[0]),
            order_id=payment.order_id,
            payment_method="card",
            payment_tax="0",
            plan_name=memory.plans[subscription.plan_id]["name"],
            quantity=str(subscription.quantity),
            receipt_url=f"https://buyer.example/receipt/{payment.order_id}",
            sale_gross=money,
            subscription_payment_id=str(payment.id),
            unit_price=str(self.unit_price(subscription)),
        )
        return payment

    def _instalments(self, subscription: Subscription) -> int:
        return sum(1 for payment in self._memory().payments.values() if payment.subscription_id == subscription.id)

    # Telling.

    def _old(self, subscription: Subscription) -> dict[str, str]:
        unit = self.unit_price(subscription)
        return {
            "old_next_bill_date": subscription.next_bill.isoformat(),
            "old_price": str(unit * subscription.quantity),
            "old_quantity": str(subscription.quantity),
            "old_status": subscription.state,
            "old_subscription_plan_id": str(subscription.plan_id),
            "old_unit_price": str(unit),
        }

    def _updated(self, subscription: Subscription, before: Mapping[str, str]) -> None:
        unit = self.unit_price(subscription)
        paused = {}
        if subscription.paused_at is not None and subscription.paused_from is not None:
            paused = {
                "paused_at": subscription.paused_at.strftime(MOMENT),
                "paused_from": f"{subscription.paused_from.isoformat()} 00:00:00",
                "paused_reason": "voluntary",
            }
        self._alert(
            "subscription_updated",
            subscription,
            next_bill_date=subscription.next_bill.isoformat(),
            new_price=str(unit * subscription.quantity),
            new_quantity=str(subscription.quantity),
            new_unit_price=str(unit),
            **self._urls(subscription),
            **before,
            **paused,
        )

    def _dated(self, subscription: Subscription) -> dict[str, str]:
        return {
            "next_bill_date": subscription.next_bill.isoformat(),
            "quantity": str(subscription.quantity),
            "unit_price": str(self.unit_price(subscription)),
            **self._urls(subscription),
        }

    def _alert(self, name: str, subscription: Subscription, **fields: str) -> None:
        common = {
            "checkout_id": subscription.checkout_id,
            "currency": subscription.currency,
            "email": subscription.email,
            "linked_subscriptions": "",
            "marketing_consent": subscription.marketing_consent,
            "passthrough": subscription.passthrough,
            "status": subscription.state,
            "subscription_id": str(subscription.id),
            "subscription_plan_id": str(subscription.plan_id),
            "user_id": str(subscription.user_id),
        }
        self._tell(name, {**common, **fields})

    @staticmethod
    def _urls(subscription: Subscription) -> dict[str, str]:
        base = f"https://buyer.example/subscription/{subscription.id}"
        return {"cancel_url": f"{base}/cancel", "update_url": f"{base}/update"}


def _fee(amount: Decimal) -> Decimal:
    return (amount * Decimal("0.05") + Decimal("0.50")).quantize(CENT)
