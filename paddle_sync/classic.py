"""Paddle Classic in the words of Paddle Billing: alerts and listed users become a subscription as Billing writes it.

A plan of Classic is what a price is in Billing, and every subscription has one. Ids are all digits, so that they are
never mistaken for Billing's. What Classic says only as a date is taken as the beginning of that day in UTC: a guess,
here and nowhere else, and on the safe side, since a bill is then ready early rather than late.
"""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from integration_project import clock
from integration_project.errors import Permanent
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import Address, Customer
from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import ClassicUser, in_utc
from integration_project.vendors.reading import Unreadable
from paddle_sync.buyers import Buyer
from paddle_sync.models import CatalogueEntry, SubscriptionSnapshot, WebhookEvent

CREATED = "subscription_created"
UPDATED = "subscription_updated"
CANCELLED = "subscription_cancelled"
PAYMENT_SUCCEEDED = "subscription_payment_succeeded"
PAYMENT_FAILED = "subscription_payment_failed"
PAYMENT_REFUNDED = "subscription_payment_refunded"
WHOLE = (CREATED, UPDATED, CANCELLED, PAYMENT_SUCCEEDED)
"""Alerts that say all of what a subscription is; after any other it has to be read."""
OWN = "subscription."
"""How the types of our own events begin; their payload is JSON."""
STATUSES: Mapping[str, str] = {"deleted": "canceled"}
"""Classic's word -> Billing's, where they differ."""
OVER = frozenset({"paused", "canceled"})
"""Billing's statuses in which no payment is to come."""
WITHOUT_CENTS = frozenset({"JPY", "KRW"})
"""Classic's currencies that have no smaller unit."""
DAYS: Mapping[str, int] = {"day": 1, "week": 7}
MONTHS: Mapping[str, int] = {"month": 1, "year": 12}


@dataclass(frozen=True)
class Cycle:
    """How long a billing period of a plan is."""

    count: int
    unit: str

    def before(self, day: date) -> date:
        """The day on which the period began that ends on this one; a month's last day stands for those it lacks."""
        if self.unit in DAYS:
            return day - timedelta(days=DAYS[self.unit] * self.count)
        year, month = divmod(day.year * 12 + day.month - 1 - MONTHS[self.unit] * self.count, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def is_classic(subscription_id: str) -> bool:
    """Say whether an id is one of Paddle Classic: all digits, where Billing's begin with sub_."""
    return subscription_id.isascii() and subscription_id.isdigit()


def subscription_of(event: WebhookEvent) -> Mapping[str, Any] | None:
    """What an event says its subscription is, as Billing would write it; None where it has to be read instead."""
    if event.event_type.startswith(OWN):
        data = event.payload.entity()
        return data if "items" in data else None
    return of_alert(event.event_type, signature.fields_of(event.payload.body), occurred_at=event.occurred_at)


def of_alert(name: str, fields: Mapping[str, str], *, occurred_at: datetime) -> Mapping[str, Any] | None:
    """What an alert says its subscription is; None where it says too little. Values that make no sense are left out."""
    if name not in WHOLE:
        return None
    created = occurred_at if name == CREATED else None
    return _subscription(
        subscription_id=fields.get("subscription_id", ""),
        user_id=fields.get("user_id", ""),
        plan_id=fields.get("subscription_plan_id", ""),
        plan_name=fields.get("plan_name", ""),
        state=fields.get("status", ""),
        currency=fields.get("currency", ""),
        quantity=_quantity(fields.get("new_quantity") or fields.get("quantity")),
        unit_price=fields.get("new_unit_price") or fields.get("unit_price") or "",
        said_at=occurred_at,
        signed_up_at=created,
        period_began=created,
        next_bill=_moment(fields.get("next_bill_date")),
        paused_at=_moment(fields.get("paused_at")),
        paused_from=_moment(fields.get("paused_from")),
        cancelled_at=_moment(fields.get("cancellation_effective_date")),
    )


def of_user(
    user: ClassicUser, *, read_at: datetime, before: Mapping[str, Any] | None = None, cycle: Cycle | None = None
) -> Mapping[str, Any]:
    """What the list of users says a subscription is; `before` is what we knew of it, for what the list leaves out."""
    known = before or {}
    items = known.get("items") or [{}]
    coming = user.next_payment
    return _subscription(
        subscription_id=user.subscription_id,
        user_id=user.user_id,
        plan_id=user.plan_id,
        plan_name="",
        state=user.state,
        currency=user.currency or known.get("currency_code") or "",
        quantity=user.quantity or items[0].get("quantity") or 1,
        unit_price="",
        said_at=read_at,
        signed_up_at=user.signed_up_at,
        period_began=_period_began(user, cycle),
        next_bill=in_utc(coming.date.isoformat()) if coming else None,
        paused_at=user.paused_at,
        paused_from=user.paused_from,
        cancelled_at=_moment_of_billing(known.get("canceled_at")),
    )


def read(subscription_id: str, vendors: Vendors) -> Mapping[str, Any] | None:
    """What a subscription is now, as Billing would write it; None when Classic does not know it."""
    user = client(vendors).find_user(subscription_id)
    if user is None:
        return None
    before = _before(subscription_id, cancelled=user.state == "deleted")
    return of_user(user, read_at=clock.now(), before=before, cycle=cycles_of([user]).get(user.plan_id))


def cycles_of(users: Iterable[ClassicUser]) -> dict[str, Cycle]:
    """How long the billing periods of these subscriptions' plans are, of those plans that the catalogue has."""
    plans = CatalogueEntry.objects.filter(
        kind=CatalogueEntry.Kind.PADDLE_PRICE, vendor_id__in={user.plan_id for user in users}
    )
    kept = {plan_id: data.get("cycle") for plan_id, data in plans.values_list("vendor_id", "data")}
    return {
        plan_id: Cycle(cycle[0], cycle[1])
        for plan_id, cycle in kept.items()
        if cycle and cycle[0] > 0 and cycle[1] in DAYS.keys() | MONTHS.keys()
    }


def buyer(subscription_id: str, vendors: Vendors) -> Buyer:
    """Who buys: the e-mail from the list of users; name and country from a payment's alert, where one came."""
    user = client(vendors).find_user(subscription_id)
    if user is None:
        return Buyer(None, None, None)
    paid = _paid(subscription_id)
    name, country = paid.get("customer_name", ""), paid.get("country", "")
    customer = Customer(
        id=user.user_id, status=None, locale=None, name=name or None, email=user.email, custom_data={}, raw={}
    )
    address = None
    if country:
        address = Address(
            id="",
            status=None,
            country_code=country,
            first_line=None,
            second_line=None,
            city=None,
            postal_code=None,
            region=None,
            raw={},
        )
    return Buyer(customer, address, None)


def client(vendors: Vendors) -> ClassicClient:
    """The client of Classic; VendorClosed where Classic is off, so that its events wait."""
    return vendors.classic_on


def _subscription(
    *,
    subscription_id: str,
    user_id: str,
    plan_id: str,
    plan_name: str,
    state: str,
    currency: str,
    quantity: int,
    unit_price: str,
    said_at: datetime,
    signed_up_at: datetime | None,
    period_began: datetime | None,
    next_bill: datetime | None,
    paused_at: datetime | None,
    paused_from: datetime | None,
    cancelled_at: datetime | None,
) -> dict[str, Any]:
    """Write a subscription as Billing does."""
    status = STATUSES.get(state, state)
    renewal = None if status in OVER else next_bill
    period = {"starts_at": _text(period_began), "ends_at": _text(renewal)}
    has_period = period_began is not None and renewal is not None and period_began < renewal
    pausing = paused_from is not None and status not in OVER and paused_from > said_at
    item = {
        "status": status if status in {"active", "trialing"} else "inactive",
        "quantity": quantity,
        "recurring": True,
        "created_at": _text(signed_up_at),
        "next_billed_at": _text(renewal),
        "trial_dates": period if has_period and status == "trialing" else None,
        "price": {
            "id": plan_id,
            "name": plan_name or None,
            "unit_price": {"amount": _minor_units(unit_price, currency), "currency_code": currency},
        },
    }
    return {
        "id": subscription_id,
        "status": status,
        "customer_id": user_id,
        "currency_code": currency,
        "collection_mode": "automatic",
        "created_at": _text(signed_up_at),
        "started_at": _text(signed_up_at),
        "next_billed_at": _text(renewal),
        "paused_at": _text(paused_from or paused_at) if status == "paused" else None,
        "canceled_at": _text(cancelled_at) if status == "canceled" else None,
        "current_billing_period": period if has_period else None,
        "scheduled_change": {"action": "pause", "effective_at": _text(paused_from)} if pausing else None,
        "items": [item],
    }


def _period_began(user: ClassicUser, cycle: Cycle | None) -> datetime:
    """When the current period began: one billing period of its plan before the next payment, or with a trial.

    The last payment says nothing about it for certain, since it can be a one-off charge. Only where the plan is not in
    the catalogue it has to do: a guess, here and nowhere else.
    """
    last, coming = user.last_payment, user.next_payment
    if user.state == "trialing" or (last is None and (cycle is None or coming is None)):
        return user.signed_up_at
    if cycle is not None and coming is not None:
        return max(in_utc(cycle.before(coming.date).isoformat()), user.signed_up_at)
    return in_utc(last.date.isoformat()) if last else user.signed_up_at


def _before(subscription_id: str, *, cancelled: bool) -> Mapping[str, Any] | None:
    """What we knew last of a subscription; of a cancelled one, what its cancellation said, since the list does not."""
    rows = SubscriptionSnapshot.objects.filter(paddle_subscription_id=subscription_id)
    if cancelled and rows.filter(event_type=CANCELLED).exists():
        rows = rows.filter(event_type=CANCELLED)
    data: Mapping[str, Any] | None = rows.order_by("-occurred_at", "-event_id").values_list("data", flat=True).first()
    return data


def _paid(subscription_id: str) -> Mapping[str, str]:
    """The fields of the newest alert of a payment that can be read."""
    alerts = WebhookEvent.objects.filter(
        source=WebhookEvent.Source.PADDLE_CLASSIC,
        paddle_subscription_id=subscription_id,
        event_type=PAYMENT_SUCCEEDED,
        payload__isnull=False,
    )
    newest = alerts.select_related("payload").order_by("-occurred_at", "-event_id").first()
    return {} if newest is None else signature.fields_of(newest.payload.body)


def _quantity(text: str | None) -> int:
    """One, where an alert does not say; otherwise the number it says, and nothing else is guessed."""
    if not text:
        return 1
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Permanent("Paddle Classic's alert could not be read: its quantity is not a whole number.")
    return int(text)


def _minor_units(text: str, currency: str) -> str:
    """An amount in the currency's lowest denomination. It is shown, never charged by, so what cannot be read is 0."""
    try:
        units = Decimal(text or 0) * (1 if currency in WITHOUT_CENTS else 100)
        return str(int(units)) if abs(units) < 10**15 else "0"
    except (InvalidOperation, ValueError, OverflowError):
        return "0"


def _moment(text: str | None) -> datetime | None:
    """A moment or day of an alert; None where there is none, or something that is no moment."""
    try:
        return in_utc(text) if text else None
    except Unreadable:
        return None


def _moment_of_billing(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _text(moment: datetime | None) -> str | None:
    """A moment as Billing writes it."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
