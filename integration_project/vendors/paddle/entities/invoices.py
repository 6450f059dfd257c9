"""What we ask Paddle to invoice: a manually collected transaction, paid by its terms and not from a stored card."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.paddle.entities.catalogue import PUSH_ID, Period
from integration_project.vendors.paddle.entities.charges import ChargeItem
from integration_project.vendors.paddle.entities.previews import PreviewDetails
from integration_project.vendors.reading import Json

INVOICE_CURRENCIES = frozenset({"USD", "EUR", "GBP"})
"""Paddle collects no other by hand."""
MOST_INVOICE_ITEMS = 100
LONGEST_PURCHASE_ORDER_NUMBER = 100
LONGEST_ADDITIONAL_INFORMATION = 1500


@dataclass(frozen=True)
class PaymentTerms:
    """How long the customer has to pay: `frequency` intervals of day, week, month or year."""

    interval: str
    frequency: int

    def to_paddle(self) -> dict[str, Any]:
        """Write the terms."""
        return {"interval": self.interval, "frequency": self.frequency}


@dataclass(frozen=True)
class NewInvoice:
    """An invoice of things billed once. Without `issue` it waits in Paddle until a person issues it there.

    An issued invoice is sent to the customer and cannot be changed, only canceled. Customer and address must be
    complete for that; one that is not is refused.
    """

    customer_id: str
    address_id: str
    currency: str
    items: tuple[ChargeItem, ...]
    custom_data: Mapping[str, str]
    payment_terms: PaymentTerms
    business_id: str | None = None
    issue: bool = True
    enable_checkout: bool = False
    purchase_order_number: str = field(default="", repr=False)
    additional_information: str = field(default="", repr=False)
    billing_period: Period | None = None

    def __post_init__(self) -> None:
        if not self.custom_data.get(PUSH_ID):
            raise ValueError("an invoice carries its push id, or it could not be found again")
        if not 1 <= len(self.items) <= MOST_INVOICE_ITEMS:
            raise ValueError(f"an invoice has 1 to {MOST_INVOICE_ITEMS} items")
        if any(item.currency != self.currency for item in self.items):
            raise ValueError("an invoice's items are in its currency")
        if len(self.purchase_order_number) > LONGEST_PURCHASE_ORDER_NUMBER:  # cut, it would be another number
            raise ValueError(f"a purchase order number has at most {LONGEST_PURCHASE_ORDER_NUMBER} characters")

    def to_preview(self) -> dict[str, Any]:
        """Write what a preview is asked: items and buyer; how it is collected, Paddle wants to hear only later."""
        return {
            "customer_id": self.customer_id,
            "address_id": self.address_id,
            "business_id": self.business_id,
            "currency_code": self.currency,
            "items": [item.to_paddle() for item in self.items],
        }

    def to_paddle(self) -> dict[str, Any]:
        """Write the request; nothing Paddle does not know may stand in it."""
        details: dict[str, Any] = {
            "payment_terms": self.payment_terms.to_paddle(),
            "enable_checkout": self.enable_checkout,
            "purchase_order_number": self.purchase_order_number,
        }
        if self.additional_information:
            details["additional_information"] = self.additional_information[:LONGEST_ADDITIONAL_INFORMATION]
        body = {
            **self.to_preview(),
            "collection_mode": "manual",
            "custom_data": dict(self.custom_data),
            "billing_details": details,
        }
        if self.billing_period is not None:
            body["billing_period"] = self.billing_period.to_paddle()
        if self.issue:
            body["status"] = "billed"
        return body


@dataclass(frozen=True)
class InvoicePreview:
    """What an invoice would come to."""

    currency_code: str
    details: PreviewDetails

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read the preview of a transaction that is of no subscription."""
        return cls(
            currency_code=reading.text(data, "currency_code"),
            details=PreviewDetails.from_paddle(reading.mapping(data.get("details"), "details")),
        )
