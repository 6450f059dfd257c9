"""Subscriptions, and what a charge would do to one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.paddle.entities.catalogue import BillingCycle, Period, Price, Product
from integration_project.vendors.paddle.entities.previews import PreviewDetails, PreviewTransaction
from integration_project.vendors.reading import Json


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
