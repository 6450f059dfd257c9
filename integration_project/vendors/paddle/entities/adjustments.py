"""Refunds and credits: what Paddle says of them, what we ask for, and one of ours found again.

An adjustment has no custom data, so our push id stands in its reason, as a word of its own.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from integration_project.vendors import reading
from integration_project.vendors.paddle.entities.previews import PlainTotals
from integration_project.vendors.reading import Json

REFUND = "refund"
"""Money goes back to the customer; for completed transactions only."""
CREDIT = "credit"
"""An invoice that is billed or past due becomes smaller."""
ACTIONS = frozenset({REFUND, CREDIT})
"""What can be asked for; Paddle alone makes the others, and may repeat our reason in them."""
TAX_MODES = frozenset({"external", "internal"})
"""Whether tax comes on top of an amount, or is part of it."""

PENDING_APPROVAL = "pending_approval"
APPROVED = "approved"
REJECTED = "rejected"
REVERSED = "reversed"
UNDONE = frozenset({REJECTED, REVERSED})
"""The customer did not get it, or lost it again."""

MOST_ADJUSTED_ITEMS = 100
AROUND_A_WORD = ".,;:()[]{}<>'\""


@dataclass(frozen=True)
class AdjustmentItem:
    """What was adjusted of one line of a transaction; `amount_minor` is what was asked for."""

    id: str
    item_id: str
    type: str
    amount_minor: int | None
    totals: PlainTotals

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an item of an adjustment."""
        return cls(
            id=reading.text(data, "id"),
            item_id=reading.text(data, "item_id"),
            type=reading.text(data, "type"),
            amount_minor=reading.optional_minor_units(data, "amount"),
            totals=PlainTotals.from_paddle(reading.mapping(data.get("totals"), "totals")),
        )


@dataclass(frozen=True)
class Adjustment:
    """A refund, a credit, or something of that kind that Paddle made; from the API or a notification."""

    id: str
    action: str
    type: str | None
    status: str
    transaction_id: str
    subscription_id: str | None
    customer_id: str
    currency_code: str
    items: tuple[AdjustmentItem, ...]
    totals: PlainTotals
    created_at: datetime | None
    updated_at: datetime | None
    reason: str = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an adjustment."""
        return cls(
            id=reading.identifier(data),
            action=reading.text(data, "action"),
            type=reading.optional_text(data, "type"),
            status=reading.text(data, "status"),
            transaction_id=reading.text(data, "transaction_id"),
            subscription_id=reading.optional_text(data, "subscription_id"),
            customer_id=reading.text(data, "customer_id"),
            currency_code=reading.text(data, "currency_code"),
            items=tuple(AdjustmentItem.from_paddle(item) for item in reading.entries(data, "items")),
            totals=PlainTotals.from_paddle(reading.mapping(data.get("totals"), "totals")),
            created_at=reading.optional_moment(data, "created_at"),
            updated_at=reading.optional_moment(data, "updated_at"),
            reason=reading.text(data, "reason"),
            raw=data,
        )

    @property
    def stands(self) -> bool:
        """False once it was rejected or reversed."""
        return self.status not in UNDONE

    @property
    def words(self) -> frozenset[str]:
        """The words of its reason, one of which is the push id where we made it; of what Paddle made, none."""
        return words_of(self.reason) if self.action in ACTIONS else frozenset()


def words_of(reason: str) -> frozenset[str]:
    """The words of a reason, with and without the marks around them."""
    return frozenset(form for word in reason.split() for form in (word, word.strip(AROUND_A_WORD)) if form)


@dataclass(frozen=True)
class NewAdjustmentItem:
    """What to adjust of one line of a transaction: an amount of it, or all that is left."""

    item_id: str
    amount_minor: int | None = None

    def __post_init__(self) -> None:
        if self.amount_minor is not None and (type(self.amount_minor) is not int or self.amount_minor <= 0):
            raise ValueError("an adjustment's item is a whole amount above zero")

    def to_paddle(self) -> dict[str, Any]:
        """Write the item."""
        if self.amount_minor is None:
            return {"item_id": self.item_id, "type": "full"}
        return {"item_id": self.item_id, "type": "partial", "amount": str(self.amount_minor)}


@dataclass(frozen=True)
class NewAdjustment:
    """A refund or a credit of some lines of one transaction. `tax_mode` external: tax comes on top of the amounts."""

    action: str
    transaction_id: str
    push_id: str
    explanation: str
    items: tuple[NewAdjustmentItem, ...]
    tax_mode: str = "external"

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError("an adjustment is a refund or a credit")
        if self.tax_mode not in TAX_MODES:
            raise ValueError("the tax of an adjustment is external or internal")
        if not 1 <= len(self.items) <= MOST_ADJUSTED_ITEMS:
            raise ValueError(f"an adjustment has 1 to {MOST_ADJUSTED_ITEMS} items")
        if len({item.item_id for item in self.items}) < len(self.items):
            raise ValueError("an adjustment names each line once")
        if self.reason.split()[:1] != [self.push_id]:
            raise ValueError("a push id is one word, or it could not be found again")

    @property
    def reason(self) -> str:
        """The push id as its first word, then the explanation."""
        return f"{self.push_id} {self.explanation}".strip()

    def to_paddle(self) -> dict[str, Any]:
        """Write the request; nothing Paddle does not know may stand in it."""
        return {
            "action": self.action,
            "type": "partial",
            "transaction_id": self.transaction_id,
            "reason": self.reason,
            "tax_mode": self.tax_mode,
            "items": [item.to_paddle() for item in self.items],
        }


@dataclass(frozen=True)
class FoundAdjustment:
    """An adjustment of ours that a look-up found. `amount` is before tax, `total` with it, both in minor units.

    `places` names all that stand: more than one means that Paddle has made the same adjustment more than once.
    """

    push_id: str
    adjustment_id: str
    transaction_id: str
    action: str
    status: str
    amount: int
    total: int
    places: tuple[str, ...] = ()

    @property
    def times(self) -> int:
        """How often Paddle has made it."""
        return max(len(self.places), 1)

    @property
    def stands(self) -> bool:
        """False for what was rejected or reversed: found, but the customer does not have it."""
        return self.status not in UNDONE
