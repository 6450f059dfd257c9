"""What we ask Paddle to charge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_PRICE_NAME = 50


LONGEST_PRICE_DESCRIPTION = 200


LONGEST_PRODUCT_NAME = 200


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
        if type(self.amount_minor) is not int or self.amount_minor <= 0:
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
