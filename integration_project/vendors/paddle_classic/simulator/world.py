"""What a simulated Paddle Classic remembers: plans, subscriptions, payments, modifiers, refunds and sent alerts."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from integration_project.vendors.paddle_classic.simulator import sample


@dataclass
class Subscription:
    """One subscription and its buyer."""

    id: int
    plan_id: int
    user_id: int
    email: str
    name: str
    country: str
    currency: str
    quantity: int
    state: str
    signed_up_at: datetime
    next_bill: date
    checkout_id: str
    passthrough: str = ""
    marketing_consent: str = "0"
    paused_at: datetime | None = None
    paused_from: date | None = None
    balance: Decimal = Decimal(0)
    last_payment: "Payment | None" = None


@dataclass
class Payment:
    """A payment that was made, and what was given back of it."""

    id: int
    order_id: str
    subscription_id: int
    amount: Decimal
    currency: str
    paid_on: date
    refunded: Decimal = Decimal(0)


@dataclass
class Modifier:
    """An amount that changes the payments to come."""

    id: int
    subscription_id: int
    amount: Decimal
    is_recurring: bool
    description: str
    is_paid: bool = False


@dataclass
class Alert:
    """An alert of the history."""

    id: int
    name: str
    created_at: datetime
    fields: Mapping[str, str]
    status: str = "pending"
    attempts: int = 0
    updated_at: datetime | None = None


def _from(first: int) -> "itertools.count[int]":
    return itertools.count(first)


@dataclass
class Memory:
    """Everything that `reset` forgets."""

    plans: dict[int, dict[str, Any]] = field(default_factory=lambda: {plan["id"]: plan for plan in sample.PLANS})
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    payments: dict[int, Payment] = field(default_factory=dict)
    modifiers: dict[int, Modifier] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    alerts: dict[int, Alert] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    subscription_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_SUBSCRIPTION))
    user_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_USER))
    payment_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_PAYMENT))
    modifier_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_MODIFIER))
    alert_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_ALERT))
