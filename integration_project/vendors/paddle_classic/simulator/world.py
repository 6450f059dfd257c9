"""What a simulated Paddle Classic remembers: plans, subscriptions, payments, modifiers, refunds and sent alerts."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from integration_project.vendors.paddle_classic.simulator import sample
from integration_project.vendors.paddle_classic.simulator.amounts import Tax, Taxed
from integration_project.vendors.simulation.faults import Fault, next_order


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
    overdue: "Overdue | None" = None
    has_payment_method: bool = True
    is_declined: bool = False


@dataclass(frozen=True)
class Due:
    """What a payment of a period comes to before any balance, and the modifiers in it."""

    sum: Taxed
    modifiers: "tuple[Modifier, ...]"


@dataclass
class Overdue:
    """The payment that a past due subscription owes: what it comes to was settled when it first failed."""

    payment_id: int
    due: Due
    attempts: int = 0


@dataclass
class Payment:
    """A payment that was made, and what was given back of it."""

    id: int
    order_id: str
    subscription_id: int
    plan_id: int
    amount: Decimal
    tax: Decimal
    fee: Decimal
    currency: str
    paid_on: date
    receipt_url: str
    is_initial: bool = False
    is_one_off: bool = False
    name: str = ""
    refunded: Decimal = Decimal(0)
    tax_refunded: Decimal = Decimal(0)
    fee_refunded: Decimal = Decimal(0)


@dataclass
class Refund:
    """Somebody asked for a payment, or a part of it, to be given back."""

    id: int
    payment_id: int
    amount: Decimal
    reason: str
    is_vat: bool = False
    state: str = "pending"


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
    refunds: dict[int, Refund] = field(default_factory=dict)
    taxes: dict[int, Tax] = field(default_factory=dict)
    alerts: dict[int, Alert] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    subscription_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_SUBSCRIPTION))
    user_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_USER))
    payment_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_PAYMENT))
    modifier_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_MODIFIER))
    refund_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_REFUND))
    alert_ids: "itertools.count[int]" = field(default_factory=lambda: _from(sample.FIRST_ALERT))
    recorded: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def keep(self, record: Payment | Modifier, *, at: datetime) -> None:
        """Remember a payment or a modifier; `at` is transport time, for lists that lag behind."""
        if isinstance(record, Payment):
            self.payments[record.id] = record
        else:
            self.modifiers[record.id] = record
        self.recorded[_name(record)] = (next_order(), at)

    def is_listed(self, record: Payment | Modifier, *, lag: Fault | None, now: datetime) -> bool:
        """Say whether a list shows a record already.

        A `list_lag` with `seconds` holds back what was written in the last seconds, else all since it was set.
        """
        order, at = self.recorded.get(_name(record), (0, datetime.min.replace(tzinfo=UTC)))
        if lag is None:
            return True
        if "seconds" not in lag.params:
            return order < lag.order
        return at <= now - timedelta(seconds=lag.seconds(0))


def _name(record: Payment | Modifier) -> str:
    return f"{type(record).__name__} {record.id}"
