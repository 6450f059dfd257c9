"""What Paddle Billing tells us and what we ask of it, as frozen values: amounts in minor units, moments in UTC.

Words of an enumeration (status, origin, action) stay plain texts, so that one Paddle adds tomorrow is read like the
rest. `raw` is the JSON as it came. Neither it nor a field that may hold personal data appears in a repr.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

PUSH_ID = "push_id"
"""The name under which our push id stands in the custom data of every price we send."""
LONGEST_PRICE_NAME = 50
LONGEST_PRICE_DESCRIPTION = 200
LONGEST_PRODUCT_NAME = 200


@dataclass(frozen=True)
class PaddleMoney:
    """An amount in the currency's lowest denomination."""

    amount: int
    currency_code: str

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read Paddle's money object."""
        return cls(reading.minor_units(data, "amount"), reading.text(data, "currency_code"))


@dataclass(frozen=True)
class Period:
    """A span of time; the end is not part of it."""

    starts_at: datetime
    ends_at: datetime

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a billing period."""
        return cls(reading.moment(data, "starts_at"), reading.moment(data, "ends_at"))


@dataclass(frozen=True)
class BillingCycle:
    """How often something recurs: every `frequency` intervals of day, week, month or year."""

    interval: str
    frequency: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a billing cycle."""
        return cls(reading.text(data, "interval"), reading.whole(data, "frequency"))


@dataclass(frozen=True)
class Product:
    """What a price is for. The id is None for a product that exists in a preview only."""

    id: str | None
    name: str
    status: str | None
    type: str | None
    tax_category: str | None
    description: str | None = field(repr=False)
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a product."""
        return cls(
            id=reading.optional_text(data, "id"),
            name=reading.text(data, "name"),
            status=reading.optional_text(data, "status"),
            type=reading.optional_text(data, "type"),
            tax_category=reading.optional_text(data, "tax_category"),
            description=reading.optional_text(data, "description"),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )


@dataclass(frozen=True)
class Price:
    """What one of something costs; `billing_cycle` None means it is charged once."""

    id: str | None
    product_id: str | None
    name: str | None
    description: str
    type: str | None
    status: str | None
    tax_mode: str | None
    billing_cycle: BillingCycle | None
    unit_price: PaddleMoney
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a price."""
        return cls(
            id=reading.optional_text(data, "id"),
            product_id=reading.optional_text(data, "product_id"),
            name=reading.optional_text(data, "name"),
            description=reading.optional_text(data, "description") or "",
            type=reading.optional_text(data, "type"),
            status=reading.optional_text(data, "status"),
            tax_mode=reading.optional_text(data, "tax_mode"),
            billing_cycle=reading.optional(data, "billing_cycle", BillingCycle.from_paddle),
            unit_price=PaddleMoney.from_paddle(reading.mapping(data.get("unit_price"), "unit_price")),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )

    @property
    def push_id(self) -> str | None:
        """Our push id, where this price was made for one of our charges."""
        value = self.custom_data.get(PUSH_ID)
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class SubscriptionItem:
    """One recurring thing a subscription is for. It has no id of its own; the price identifies it."""

    status: str
    quantity: int
    recurring: bool
    price: Price
    product: Product | None
    previously_billed_at: datetime | None
    next_billed_at: datetime | None
    trial_dates: Period | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an item of a subscription."""
        return cls(
            status=reading.text(data, "status"),
            quantity=reading.whole(data, "quantity"),
            recurring=reading.flag(data, "recurring", default=True),
            price=Price.from_paddle(reading.mapping(data.get("price"), "price")),
            product=reading.optional(data, "product", Product.from_paddle),
            previously_billed_at=reading.optional_moment(data, "previously_billed_at"),
            next_billed_at=reading.optional_moment(data, "next_billed_at"),
            trial_dates=reading.optional(data, "trial_dates", Period.from_paddle),
        )


@dataclass(frozen=True)
class ScheduledChange:
    """A cancel, pause or resume that Paddle will carry out later."""

    action: str
    effective_at: datetime
    resume_at: datetime | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a scheduled change."""
        return cls(
            action=reading.text(data, "action"),
            effective_at=reading.moment(data, "effective_at"),
            resume_at=reading.optional_moment(data, "resume_at"),
        )


@dataclass(frozen=True)
class Subscription:
    """A subscription, from the API, from a notification, or from a preview (which shares its fields).

    `transaction_id` comes with `subscription.created` notifications only, `next_transaction` only when asked for.
    """

    id: str
    status: str
    customer_id: str
    address_id: str | None
    business_id: str | None
    currency_code: str
    collection_mode: str | None
    created_at: datetime | None
    started_at: datetime | None
    first_billed_at: datetime | None
    next_billed_at: datetime | None
    paused_at: datetime | None
    canceled_at: datetime | None
    current_billing_period: Period | None
    billing_cycle: BillingCycle | None
    scheduled_change: ScheduledChange | None
    items: tuple[SubscriptionItem, ...]
    imported_from: str | None
    transaction_id: str | None
    custom_data: Json = field(repr=False)
    next_transaction: "PreviewTransaction | None" = field(repr=False)
    recurring_details: "PreviewDetails | None" = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a subscription."""
        return cls(
            id=reading.identifier(data),
            status=reading.text(data, "status"),
            customer_id=reading.text(data, "customer_id"),
            address_id=reading.optional_text(data, "address_id"),
            business_id=reading.optional_text(data, "business_id"),
            currency_code=reading.text(data, "currency_code"),
            collection_mode=reading.optional_text(data, "collection_mode"),
            created_at=reading.optional_moment(data, "created_at"),
            started_at=reading.optional_moment(data, "started_at"),
            first_billed_at=reading.optional_moment(data, "first_billed_at"),
            next_billed_at=reading.optional_moment(data, "next_billed_at"),
            paused_at=reading.optional_moment(data, "paused_at"),
            canceled_at=reading.optional_moment(data, "canceled_at"),
            current_billing_period=reading.optional(data, "current_billing_period", Period.from_paddle),
            billing_cycle=reading.optional(data, "billing_cycle", BillingCycle.from_paddle),
            scheduled_change=reading.optional(data, "scheduled_change", ScheduledChange.from_paddle),
            items=tuple(SubscriptionItem.from_paddle(item) for item in reading.entries(data, "items")),
            imported_from=reading.optional_text(reading.optional_mapping(data, "import_meta") or {}, "imported_from"),
            transaction_id=reading.optional_text(data, "transaction_id"),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            next_transaction=reading.optional(data, "next_transaction", PreviewTransaction.from_paddle),
            recurring_details=reading.optional(data, "recurring_transaction_details", PreviewDetails.from_paddle),
            raw=data,
        )


@dataclass(frozen=True)
class Totals:
    """What a transaction, or a line of it, comes to. Lines have no balance and no grand total."""

    subtotal: int
    discount: int
    tax: int
    total: int
    credit: int | None
    balance: int | None
    grand_total: int | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read totals; a part Paddle leaves out counts as nothing."""
        return cls(
            subtotal=reading.minor_units(data, "subtotal"),
            discount=reading.optional_minor_units(data, "discount") or 0,
            tax=reading.optional_minor_units(data, "tax") or 0,
            total=reading.minor_units(data, "total"),
            credit=reading.optional_minor_units(data, "credit"),
            balance=reading.optional_minor_units(data, "balance"),
            grand_total=reading.optional_minor_units(data, "grand_total"),
        )


@dataclass(frozen=True)
class PreviewLine:
    """A line of a transaction that does not exist yet. Paddle shows its product, but not its price."""

    price_id: str | None
    quantity: int
    totals: Totals
    product: Product | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a line of a preview."""
        return cls(
            price_id=reading.optional_text(data, "price_id"),
            quantity=reading.whole(data, "quantity"),
            totals=Totals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            product=reading.optional(data, "product", Product.from_paddle),
        )


@dataclass(frozen=True)
class PreviewDetails:
    """Lines and totals of something that does not exist yet."""

    totals: Totals
    lines: tuple[PreviewLine, ...]

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a preview's details."""
        return cls(
            totals=Totals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            lines=tuple(PreviewLine.from_paddle(line) for line in reading.entries(data, "line_items")),
        )


@dataclass(frozen=True)
class PreviewTransaction:
    """A transaction as it would be, or as the next renewal will be."""

    billing_period: Period | None
    details: PreviewDetails

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read the preview of a transaction."""
        return cls(
            billing_period=reading.optional(data, "billing_period", Period.from_paddle),
            details=PreviewDetails.from_paddle(reading.mapping(data.get("details"), "details")),
        )


@dataclass(frozen=True)
class ChargePreview:
    """What a charge would do. The subscription in it is as fresh as a read of its own."""

    subscription: Subscription
    immediate_transaction: PreviewTransaction | None

    @property
    def next_transaction(self) -> PreviewTransaction | None:
        """The renewal as it would be with the charge; None when no renewal is to come."""
        return self.subscription.next_transaction

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read the preview of a charge."""
        return cls(
            subscription=Subscription.from_paddle(data),
            immediate_transaction=reading.optional(data, "immediate_transaction", PreviewTransaction.from_paddle),
        )


@dataclass(frozen=True)
class TransactionItem:
    """What was asked to be billed; the price carries our marker."""

    price: Price
    quantity: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an item of a transaction."""
        return cls(Price.from_paddle(reading.mapping(data.get("price"), "price")), reading.whole(data, "quantity"))

    @property
    def amount(self) -> int:
        """Quantity times unit price, before discounts and tax."""
        return self.price.unit_price.amount * self.quantity


@dataclass(frozen=True)
class TransactionLine:
    """What an item came to."""

    id: str
    price_id: str
    quantity: int
    totals: Totals
    product: Product | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a line of a transaction."""
        return cls(
            id=reading.text(data, "id"),
            price_id=reading.text(data, "price_id"),
            quantity=reading.whole(data, "quantity"),
            totals=Totals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            product=reading.optional(data, "product", Product.from_paddle),
        )


@dataclass(frozen=True)
class Payment:
    """One attempt to collect a transaction."""

    status: str
    amount: int
    error_code: str | None
    created_at: datetime | None
    captured_at: datetime | None

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a payment attempt."""
        return cls(
            status=reading.text(data, "status"),
            amount=reading.minor_units(data, "amount"),
            error_code=reading.optional_text(data, "error_code"),
            created_at=reading.optional_moment(data, "created_at"),
            captured_at=reading.optional_moment(data, "captured_at"),
        )


@dataclass(frozen=True)
class Customer:
    """Who buys. Personal data."""

    id: str
    status: str | None
    locale: str | None
    name: str | None = field(repr=False)
    email: str = field(repr=False)
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a customer."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            locale=reading.optional_text(data, "locale"),
            name=reading.optional_text(data, "name"),
            email=reading.text(data, "email"),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )


@dataclass(frozen=True)
class Address:
    """Where a customer is. Personal data."""

    id: str
    status: str | None
    country_code: str
    first_line: str | None = field(repr=False)
    second_line: str | None = field(repr=False)
    city: str | None = field(repr=False)
    postal_code: str | None = field(repr=False)
    region: str | None = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an address."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            country_code=reading.text(data, "country_code"),
            first_line=reading.optional_text(data, "first_line"),
            second_line=reading.optional_text(data, "second_line"),
            city=reading.optional_text(data, "city"),
            postal_code=reading.optional_text(data, "postal_code"),
            region=reading.optional_text(data, "region"),
            raw=data,
        )


@dataclass(frozen=True)
class Business:
    """The company a customer buys for."""

    id: str
    status: str | None
    name: str = field(repr=False)
    company_number: str | None = field(repr=False)
    tax_identifier: str | None = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a business."""
        return cls(
            id=reading.identifier(data),
            status=reading.optional_text(data, "status"),
            name=reading.text(data, "name"),
            company_number=reading.optional_text(data, "company_number"),
            tax_identifier=reading.optional_text(data, "tax_identifier"),
            raw=data,
        )


@dataclass(frozen=True)
class Transaction:
    """A transaction, from the API or a notification; customer, address and business only when they were included."""

    id: str
    status: str
    origin: str | None
    subscription_id: str | None
    customer_id: str | None
    address_id: str | None
    business_id: str | None
    invoice_id: str | None
    invoice_number: str | None
    currency_code: str
    collection_mode: str | None
    created_at: datetime | None
    updated_at: datetime | None
    billed_at: datetime | None
    billing_period: Period | None
    items: tuple[TransactionItem, ...]
    totals: Totals | None
    lines: tuple[TransactionLine, ...]
    payments: tuple[Payment, ...]
    customer: Customer | None = field(repr=False)
    address: Address | None = field(repr=False)
    business: Business | None = field(repr=False)
    custom_data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a transaction; a draft's details may be missing in part."""
        details = reading.optional_mapping(data, "details") or {}
        return cls(
            id=reading.identifier(data),
            status=reading.text(data, "status"),
            origin=reading.optional_text(data, "origin"),
            subscription_id=reading.optional_text(data, "subscription_id"),
            customer_id=reading.optional_text(data, "customer_id"),
            address_id=reading.optional_text(data, "address_id"),
            business_id=reading.optional_text(data, "business_id"),
            invoice_id=reading.optional_text(data, "invoice_id"),
            invoice_number=reading.optional_text(data, "invoice_number"),
            currency_code=reading.text(data, "currency_code"),
            collection_mode=reading.optional_text(data, "collection_mode"),
            created_at=reading.optional_moment(data, "created_at"),
            updated_at=reading.optional_moment(data, "updated_at"),
            billed_at=reading.optional_moment(data, "billed_at"),
            billing_period=reading.optional(data, "billing_period", Period.from_paddle),
            items=tuple(TransactionItem.from_paddle(item) for item in reading.entries(data, "items")),
            totals=reading.optional(details, "totals", Totals.from_paddle),
            lines=tuple(TransactionLine.from_paddle(line) for line in reading.optional_entries(details, "line_items")),
            payments=tuple(Payment.from_paddle(entry) for entry in reading.optional_entries(data, "payments")),
            customer=reading.optional(data, "customer", Customer.from_paddle),
            address=reading.optional(data, "address", Address.from_paddle),
            business=reading.optional(data, "business", Business.from_paddle),
            custom_data=reading.optional_mapping(data, "custom_data") or {},
            raw=data,
        )

    @property
    def push_ids(self) -> frozenset[str]:
        """The pushes of ours that this transaction carries."""
        return pushes_of(self.items)

    def amount_of(self, push_id: str) -> int:
        """What this transaction's items of one push come to, before tax."""
        return sum(item.amount for item in self.items if item.price.push_id == push_id)


def pushes_of(items: Iterable[TransactionItem]) -> frozenset[str]:
    """The push ids that these items' prices carry."""
    return frozenset(item.price.push_id for item in items if item.price.push_id is not None)


@dataclass(frozen=True)
class HistoryEntry:
    """One thing that happened to a subscription. `items` and `transaction_id` are there for charges only."""

    id: str
    subscription_id: str
    occurred_at: datetime
    source: str | None
    action: str
    effective_from: str | None
    transaction_id: str | None
    items: tuple[TransactionItem, ...]
    detail: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an entry; of actions other than a charge only what all have in common."""
        detail = reading.mapping(data.get("detail"), "detail")
        action = reading.text(detail, "action")
        is_charge = action == ONE_OFF_CHARGE
        items = reading.entries(detail, "items") if is_charge else []
        return cls(
            id=reading.identifier(data),
            subscription_id=reading.text(data, "subscription_id"),
            occurred_at=reading.moment(data, "occurred_at"),
            source=reading.optional_text(data, "source"),
            action=action,
            effective_from=reading.optional_text(detail, "effective_from") if is_charge else None,
            transaction_id=reading.optional_text(detail, "transaction_id"),
            items=tuple(TransactionItem.from_paddle(item) for item in items),
            detail=detail,
        )

    @property
    def push_ids(self) -> frozenset[str]:
        """The pushes of ours that this entry records."""
        return pushes_of(self.items)

    def amount_of(self, push_id: str) -> int:
        """What this entry's items of one push come to, before tax."""
        return sum(item.amount for item in self.items if item.price.push_id == push_id)


ONE_OFF_CHARGE = "subscription_one_off_charge_applied"
"""The history action of an accepted charge."""


@dataclass(frozen=True)
class FoundCharge:
    """A push of ours that a look-up found. `amount` is before tax, in minor units.

    `transaction_status` "canceled" is what a declined immediate charge leaves behind: found, but not billed.
    `times` above 1 means that Paddle has accepted the same push more than once.
    """

    push_id: str
    transaction_id: str | None
    transaction_status: str | None
    where: str
    amount: int
    times: int = 1

    @property
    def billed(self) -> bool:
        """False for what a declined charge left behind."""
        return self.transaction_status != CANCELED


CANCELED = "canceled"


@dataclass(frozen=True)
class Currency:
    """A currency Paddle takes."""

    code: str
    name: str
    decimal_places: int
    minimum_payment_amount: int

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a currency."""
        return cls(
            code=reading.identifier(data, "code"),
            name=reading.text(data, "name"),
            decimal_places=reading.whole(data, "decimal_places"),
            minimum_payment_amount=reading.minor_units(data, "minimum_payment_amount"),
        )


@dataclass(frozen=True)
class Event:
    """A fact as the event list tells it; the same envelope as a notification's, without a notification id."""

    event_id: str
    event_type: str
    occurred_at: datetime
    data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an event."""
        return cls(
            event_id=reading.identifier(data, "event_id"),
            event_type=reading.text(data, "event_type"),
            occurred_at=reading.moment(data, "occurred_at"),
            data=reading.mapping(data.get("data"), "data"),
            raw=data,
        )


@dataclass(frozen=True)
class NotificationSetting:
    """A webhook destination at Paddle. Its secret is in the answer too, and is left there."""

    id: str
    description: str
    type: str
    destination: str
    active: bool
    traffic_source: str | None
    subscribed_events: tuple[str, ...]

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a notification setting."""
        return cls(
            id=reading.identifier(data),
            description=reading.text(data, "description"),
            type=reading.text(data, "type"),
            destination=reading.text(data, "destination"),
            active=reading.flag(data, "active", default=True),
            traffic_source=reading.optional_text(data, "traffic_source"),
            subscribed_events=tuple(
                reading.text(event, "name") for event in reading.entries(data, "subscribed_events")
            ),
        )


@dataclass(frozen=True)
class ChargeItem:
    """One line of a charge: a non-catalog price, quantity 1, for a catalog product or for a product of its own."""

    name: str
    description: str
    amount_minor: int
    currency: str
    tax_mode: str
    custom_data: Mapping[str, str]
    product_id: str | None = None
    product_name: str | None = None
    tax_category: str | None = None
    product_custom_data: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.product_id is None) == (self.product_name is None):
            raise ValueError("a charge's item names either a product id or a product of its own")
        if self.product_name is not None and self.tax_category is None:
            raise ValueError("a product of its own needs a tax category")
        if isinstance(self.amount_minor, bool) or not isinstance(self.amount_minor, int) or self.amount_minor <= 0:
            raise ValueError("a charge's item is a whole amount above zero")

    def to_paddle(self) -> dict[str, Any]:
        """Write the item, texts cut to what Paddle takes."""
        price: dict[str, Any] = {
            "name": self.name[:LONGEST_PRICE_NAME],
            "description": self.description[:LONGEST_PRICE_DESCRIPTION],
            "tax_mode": self.tax_mode,
            "unit_price": {"amount": str(self.amount_minor), "currency_code": self.currency},
            "quantity": {"minimum": 1, "maximum": 1},
            "custom_data": dict(self.custom_data),
        }
        if self.product_id is not None:
            price["product_id"] = self.product_id
        else:
            price["product"] = {
                "name": (self.product_name or "")[:LONGEST_PRODUCT_NAME],
                "tax_category": self.tax_category,
                "custom_data": dict(self.product_custom_data),
            }
        return {"quantity": 1, "price": price}


@dataclass(frozen=True)
class Charge:
    """A one-time charge on a subscription; `effective_from` is `immediately` or `next_billing_period`."""

    effective_from: str
    items: tuple[ChargeItem, ...]
    on_payment_failure: str | None = None

    def to_paddle(self) -> dict[str, Any]:
        """Write the request; nothing Paddle does not know may stand in it."""
        body: dict[str, Any] = {
            "effective_from": self.effective_from,
            "items": [item.to_paddle() for item in self.items],
        }
        if self.on_payment_failure is not None:
            body["on_payment_failure"] = self.on_payment_failure
        return body
