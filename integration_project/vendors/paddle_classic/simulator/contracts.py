"""The life of a subscription: how it begins, is paid, changes, pauses and ends, with the alerts that tell of it."""

import calendar
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from integration_project.vendors.paddle_classic.simulator.payments import Payments
from integration_project.vendors.paddle_classic.simulator.telling import Teller
from integration_project.vendors.paddle_classic.simulator.world import Memory, Payment, Subscription

DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}
MOMENT = "%Y-%m-%d %H:%M:%S"


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

    def __init__(
        self, memory: Callable[[], Memory], now: Callable[[], datetime], teller: Teller, payments: Payments
    ) -> None:
        self._memory = memory
        self._now = now
        self._teller = teller
        self._payments = payments

    # Beginning and changing.

    def begin(self, buyer: Buyer, *, signed_up_at: datetime | None = None) -> Subscription:
        """A buyer subscribes; the first payment is made at once, or after the trial."""
        memory, start = self._memory(), signed_up_at or self._now()
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
        told = {**self._teller.dated(subscription), **self._teller.urls(subscription)}
        self._teller.alert("subscription_created", subscription, source="Checkout", **told)
        if not trial:
            payment = self._payments.collect(subscription, initial=True, on=start.date())
            self._payments.announce(subscription, payment)
        return subscription

    def change(
        self,
        subscription: Subscription,
        *,
        plan_id: int | None = None,
        quantity: int | None = None,
        keep_modifiers: bool = True,
    ) -> None:
        """The plan or the quantity changes at once; what waits for the next payment stays, unless told."""
        before = self._old(subscription)
        if not keep_modifiers:
            self._drop_modifiers(subscription)
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
        subscription.paused_at, subscription.paused_from = self._now(), subscription.next_bill
        self._updated(subscription, before)

    def resume(self, subscription: Subscription) -> None:
        """It goes on: as if nothing had been, or with a payment that is due at once."""
        before = self._old(subscription)
        was_paused = subscription.state == "paused"
        subscription.paused_at = subscription.paused_from = None
        subscription.state = "active"
        if was_paused:
            subscription.next_bill = self._now().date()
        self._updated(subscription, before)

    def cancel(self, subscription: Subscription) -> None:
        """It is deleted; what was paid for may still be used."""
        subscription.state = "deleted"
        effective = subscription.next_bill.isoformat()
        self._teller.alert(
            "subscription_cancelled",
            subscription,
            cancellation_effective_date=effective,
            **self._teller.counted(subscription),
        )

    # Paying.

    def run_due(self) -> list[int]:
        """Collect, or pause, whatever is due by business time; the payments' ids. A decline leaves it past due."""
        made: list[int] = []
        for subscription in list(self._memory().subscriptions.values()):
            while subscription.state in {"active", "trialing"} and subscription.next_bill <= self._now().date():
                if subscription.paused_from is not None and subscription.paused_from <= subscription.next_bill:
                    before = self._old(subscription)
                    subscription.state = "paused"
                    self._updated(subscription, before)
                elif subscription.is_declined or not subscription.has_payment_method:
                    self.fail(subscription)
                else:
                    made.append(self.pay(subscription).id)
        return made

    def pay(self, subscription: Subscription) -> Payment:
        """The payment of the period that begins is made, or the one that is past due."""
        before, recovers = self._old(subscription), subscription.state == "past_due"
        payment = self._payments.collect(subscription, initial=False, on=subscription.next_bill)
        plan = self._memory().plans[subscription.plan_id]
        subscription.next_bill = after(subscription.next_bill, plan)
        self._payments.announce(subscription, payment)
        if recovers:
            self._updated(subscription, before)
        return payment

    def fail(self, subscription: Subscription) -> None:
        """The payment of the period that begins is declined, and tried again later."""
        before = self._old(subscription)
        self._payments.fail(subscription)
        self._updated(subscription, before)

    def _drop_modifiers(self, subscription: Subscription) -> None:
        modifiers = self._memory().modifiers
        for modifier in list(modifiers.values()):
            if modifier.subscription_id == subscription.id and not modifier.is_paid:
                del modifiers[modifier.id]

    # Telling.

    def _old(self, subscription: Subscription) -> dict[str, str]:
        unit = self._teller.unit_price(subscription)
        return {
            "old_next_bill_date": subscription.next_bill.isoformat(),
            "old_price": str(unit * subscription.quantity),
            "old_quantity": str(subscription.quantity),
            "old_status": subscription.state,
            "old_subscription_plan_id": str(subscription.plan_id),
            "old_unit_price": str(unit),
        }

    def _updated(self, subscription: Subscription, before: Mapping[str, str]) -> None:
        unit = self._teller.unit_price(subscription)
        paused = {}
        if subscription.paused_at is not None and subscription.paused_from is not None:
            paused = {
                "paused_at": subscription.paused_at.strftime(MOMENT),
                "paused_from": f"{subscription.paused_from.isoformat()} 00:00:00",
                "paused_reason": "voluntary",
            }
        self._teller.alert(
            "subscription_updated",
            subscription,
            next_bill_date=subscription.next_bill.isoformat(),
            new_price=str(unit * subscription.quantity),
            new_quantity=str(subscription.quantity),
            new_unit_price=str(unit),
            **self._teller.urls(subscription),
            **before,
            **paused,
        )
