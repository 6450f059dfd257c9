"""Transactions, the history of a subscription, and a push of ours found in either."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.paddle.entities.catalogue import PUSH_ID, Period, Price, Product
from integration_project.vendors.paddle.entities.people import Address, Business, Customer
from integration_project.vendors.paddle.entities.previews import PlainTotals, Totals
from integration_project.vendors.reading import Json

API_ORIGIN = "api"
"""What Paddle calls transactions that an API key made, our invoices among them."""
COMPLETED = "completed"
MANUAL = "manual"


TAX_INSIDE = "internal"
"""The tax mode of a price that includes tax."""


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
    adjusted_totals: PlainTotals | None
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
            adjusted_totals=reading.optional(details, "adjusted_totals", PlainTotals.from_paddle),
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
        invoiced = self.invoiced_push_id
        return pushes_of(self.items) | (frozenset() if invoiced is None else frozenset({invoiced}))

    @property
    def invoiced_push_id(self) -> str | None:
        """The push that this is the invoice of. Any other transaction's custom data may come from a buyer's browser."""
        value = self.custom_data.get(PUSH_ID)
        is_invoice = self.origin == API_ORIGIN and self.collection_mode == MANUAL
        return value if is_invoice and isinstance(value, str) and value else None

    def is_of_attempt(self, push_id: str, attempt: int) -> bool:
        """Whether this attempt at a push made its items here."""
        return any(item.price.attempt == attempt for item in self.items_of(push_id))

    def items_of(self, push_id: str) -> tuple[TransactionItem, ...]:
        """The items that one push made; of its invoice, all."""
        is_whole = self.invoiced_push_id == push_id
        return tuple(item for item in self.items if is_whole or item.price.push_id == push_id)

    def lines_of(self, push_id: str) -> tuple[TransactionLine, ...]:
        """What the items of one push came to; their ids are what a refund names."""
        prices = {item.price.id for item in self.items_of(push_id)}
        return tuple(line for line in self.lines if line.price_id in prices)

    @property
    def lines_with_tax_inside(self) -> frozenset[str]:
        """The ids of the lines whose prices include tax; on any other, tax comes on top."""
        inside = {item.price.id for item in self.items if item.price.tax_mode == TAX_INSIDE}
        return frozenset(line.id for line in self.lines if line.price_id in inside)

    def amount_of(self, push_id: str) -> int:
        """What this transaction's items of one push come to, before tax."""
        return sum(item.amount for item in self.items_of(push_id))


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
    `places` names all that carries it: more than one means that Paddle has accepted the same push more than once.
    """

    push_id: str
    transaction_id: str | None
    transaction_status: str | None
    where: str
    amount: int
    places: tuple[str, ...] = ()

    @property
    def times(self) -> int:
        """How often Paddle has accepted it."""
        return max(len(self.places), 1)

    @property
    def billed(self) -> bool:
        """False for what a declined charge left behind."""
        return self.transaction_status != CANCELED


CANCELED = "canceled"
