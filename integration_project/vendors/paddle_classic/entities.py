"""What Paddle Classic tells: subscriptions with their users, plans, payments, modifiers, sent alerts.

Classic writes ids as numbers, amounts in major units as number or text, and moments without a zone, in UTC.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json, Unreadable

RECEIPT = re.compile(r"/receipt/([^/?#]+)/")
"""The order's id in the address of a receipt: so in every recorded answer, and written down nowhere."""
MOMENT = "%Y-%m-%d %H:%M:%S"
FLAGS = {"1": True, "true": True, "0": False, "false": False}
LONGEST_ID = 30
LONGEST_AMOUNT = 24
LONGEST_DESCRIPTION = 255
LONGEST_CHARGE_NAME = 50


def number_id(data: Json, key: str) -> str:
    """The id under the key as a text of digits, however Classic writes it."""
    value = data.get(key)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_ID:
        raise Unreadable(f"{key} is not a number")
    return text


def amount(data: Json, key: str) -> Decimal:
    """An amount in major units, which may be written with more decimals than the currency has."""
    value = data.get(key)
    if isinstance(value, str) and len(value) <= LONGEST_AMOUNT:
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise Unreadable(f"{key} is not an amount") from None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Unreadable(f"{key} is not an amount")
    return reading.number({key: value}, key)


def in_utc(text: str) -> datetime:
    """A moment as Classic writes it, or the first moment of a day."""
    for form in (MOMENT, "%Y-%m-%d"):
        try:
            named = datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if named.year in reading.YEARS:
            return named
    raise Unreadable("is not a moment")


def moment(data: Json, key: str) -> datetime:
    """The moment under the key."""
    try:
        return in_utc(reading.text(data, key))
    except Unreadable as problem:
        raise Unreadable(f"{key} {problem}") from None


def optional_moment(data: Json, key: str) -> datetime | None:
    """The moment under the key; None when absent, null or empty."""
    return None if data.get(key) in (None, "") else moment(data, key)


def written(value: datetime) -> str:
    """A moment as Classic reads it."""
    return value.astimezone(UTC).strftime(MOMENT)


def flag(data: Json, key: str) -> bool:
    """A truth value, which Classic writes as such, as 0 and 1, or as either in quotes."""
    value = data.get(key)
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in FLAGS:
        raise Unreadable(f"{key} is not true or false")
    return FLAGS[word]


def order_id(data: Json) -> str | None:
    """The order's id as a text: the one that is given, else the one that the receipt is for."""
    given = data.get("order_id")
    if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
        return str(given)
    found = RECEIPT.search(reading.optional_text(data, "receipt_url") or "")
    return found.group(1) if found else None


@dataclass(frozen=True)
class ClassicPayment:
    """A payment that a subscription made last, or makes next."""

    amount: Decimal
    currency: str
    date: date

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read the payment in a subscription."""
        return cls(amount(data, "amount"), reading.text(data, "currency"), reading.day(data, "date"))


@dataclass(frozen=True)
class ClassicUser:
    """One subscription, which Classic lists as its user. The e-mail is personal data."""

    subscription_id: str
    plan_id: str
    user_id: str
    state: str
    signed_up_at: datetime
    last_payment: ClassicPayment | None
    next_payment: ClassicPayment | None
    quantity: int | None
    paused_at: datetime | None
    paused_from: datetime | None
    email: str = field(repr=False)

    @property
    def currency(self) -> str | None:
        """What it is billed in, where a payment says so."""
        payment = self.next_payment or self.last_payment
        return None if payment is None else payment.currency

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read an entry of the list of users."""
        return cls(
            subscription_id=number_id(data, "subscription_id"),
            plan_id=number_id(data, "plan_id"),
            user_id=number_id(data, "user_id"),
            state=reading.text(data, "state"),
            signed_up_at=moment(data, "signup_date"),
            last_payment=reading.optional(data, "last_payment", ClassicPayment.from_classic),
            next_payment=reading.optional(data, "next_payment", ClassicPayment.from_classic),
            quantity=None if data.get("quantity") is None else int(number_id(data, "quantity")),
            paused_at=optional_moment(data, "paused_at"),
            paused_from=optional_moment(data, "paused_from"),
            email=reading.optional_text(data, "user_email") or "",
        )


@dataclass(frozen=True)
class ClassicPlan:
    """What a subscription is for, and what it costs by currency."""

    id: str
    name: str
    billing_type: str
    billing_period: int
    trial_days: int
    recurring_prices: Mapping[str, Decimal]

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read a plan."""
        prices = reading.mapping(data.get("recurring_price"), "recurring_price")
        return cls(
            id=number_id(data, "id"),
            name=reading.text(data, "name"),
            billing_type=reading.text(data, "billing_type"),
            billing_period=int(number_id(data, "billing_period")),
            trial_days=int(number_id(data, "trial_days")) if data.get("trial_days") is not None else 0,
            recurring_prices={currency: amount(prices, currency) for currency in prices},
        )


@dataclass(frozen=True)
class ClassicPaymentEntry:
    """A payment of a subscription, made or to come. Its amount holds the tax; `order_id` is known once it is made."""

    id: str
    subscription_id: str
    amount: Decimal
    currency: str
    payout_date: date
    is_paid: bool
    is_one_off_charge: bool
    receipt_url: str | None = None
    order_id: str | None = None

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read a payment."""
        return cls(
            id=number_id(data, "id"),
            subscription_id=number_id(data, "subscription_id"),
            amount=amount(data, "amount"),
            currency=reading.text(data, "currency"),
            payout_date=reading.day(data, "payout_date"),
            is_paid=flag(data, "is_paid"),
            is_one_off_charge=flag(data, "is_one_off_charge"),
            receipt_url=reading.optional_text(data, "receipt_url"),
            order_id=order_id(data),
        )


@dataclass(frozen=True)
class OneOffCharge:
    """A charge that was made. Whether its amount holds the tax, Classic does not say."""

    invoice_id: str
    subscription_id: str
    amount: Decimal
    currency: str
    payment_date: date
    receipt_url: str | None
    order_id: str | None
    status: str | None

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read the answer to a charge; what older accounts do not get may be absent."""
        return cls(
            invoice_id=number_id(data, "invoice_id"),
            subscription_id=number_id(data, "subscription_id"),
            amount=amount(data, "amount"),
            currency=reading.text(data, "currency"),
            payment_date=reading.day(data, "payment_date"),
            receipt_url=reading.optional_text(data, "receipt_url"),
            order_id=order_id(data),
            status=reading.optional_text(data, "status"),
        )


BEFORE = r"(?<![\w-])(?<![\w-][.:/@])"
BEHIND = r"(?![\w-])(?![.:/@][\w-])"
"""Where an id in a text begins and ends: with anything but what ids are made of."""


@dataclass(frozen=True)
class Modifier:
    """An amount that is added to the next payment of a subscription, or to every one."""

    id: str
    subscription_id: str
    amount: Decimal
    currency: str
    is_recurring: bool
    description: str

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read a modifier."""
        return cls(
            id=number_id(data, "modifier_id"),
            subscription_id=number_id(data, "subscription_id"),
            amount=amount(data, "amount"),
            currency=reading.text(data, "currency"),
            is_recurring=flag(data, "is_recurring"),
            description=reading.optional_text(data, "description") or "",
        )

    def carries(self, push_id: str) -> bool:
        """Say whether the description names this push, and not one whose id only begins or ends alike."""
        return re.search(f"{BEFORE}{re.escape(push_id)}{BEHIND}", self.description) is not None


@dataclass(frozen=True)
class SentAlert:
    """An alert as the history keeps it: its fields as texts, without the signature."""

    id: str
    name: str
    status: str
    created_at: datetime
    attempts: int
    fields: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_classic(cls, data: Json) -> Self:
        """Read an entry of the alert history. Values that are texts in an alert may be numbers here."""
        fields = reading.mapping(data.get("fields"), "fields")
        return cls(
            id=number_id(data, "id"),
            name=reading.text(data, "alert_name"),
            status=reading.text(data, "status"),
            created_at=moment(data, "created_at"),
            attempts=int(number_id(data, "attempts")),
            fields={name: _as_sent(value) for name, value in fields.items()},
        )


def _as_sent(value: Any) -> str:
    """A value as the form of an alert writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return format(value, "f") if isinstance(value, Decimal) else str(value)
