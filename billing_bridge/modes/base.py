"""What every way of charging has: the order it is given, what it sees before, and the four things it does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing_bridge import currencies
from billing_bridge.charges import Verdict
from billing_bridge.composing import Composed, Marks, Owed
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import FoundCharge, PreviewLine, Totals
from paddle_sync.models import AccountLink


@dataclass(frozen=True)
class Order:
    """What is to be charged: the items of one push, for whom, and by which policy."""

    marks: Marks
    subscription_id: str
    currency: str
    amount: int
    composed: Composed
    owed: Owed
    bill: PushedBill
    link: AccountLink
    policy: PushPolicy
    sent_before: bool = False
    """Whether an earlier attempt may have been sent: then nothing goes to another way of charging by itself."""

    @property
    def bill_ids(self) -> frozenset[int]:
        """The bills that it charges: its own, and those that left something for it."""
        return frozenset({self.bill.pk} | {entry.source_bill_id for entry in self.owed.carried if entry.remaining > 0})


@dataclass(frozen=True)
class Request:
    """What is sent, as the vendor's client takes it and as it is written down."""

    body: Any
    items: Sequence[Mapping[str, Any]]
    amount: int
    """In minor units of the bill's currency."""
    paddle_transaction_id: str = ""
    """The transaction that it is about, where there is one before it is sent."""
    paddle_customer_id: str = ""
    """Whom it is made out to, where that is not the subscription's own customer for ever."""


@dataclass(frozen=True)
class WouldBe:
    """The transaction that would collect a push, as the vendor shows it before: which lines are ours, what it comes to.

    `totals` are Paddle's, of all its lines, tax included.
    """

    totals: Totals
    ours: tuple[PreviewLine, ...]
    others: tuple[PreviewLine, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What the vendor shows before anything is sent.

    `verdict`: why it cannot be charged now. `there_already`: this push is there. `too_many`: its items do not fit.
    `pending`: pushes of ours that are waiting there to be collected. `switch_to`: policy wants another way for it.
    `request`: what is to be sent, where only this look could say; its `amount` may be less than was ordered.
    `would_be`: the transaction that would collect it, where the vendor shows one.
    """

    renews_at: datetime | None = None
    verdict: Verdict | None = None
    there_already: bool = False
    too_many: bool = False
    pending: frozenset[str] = frozenset()
    switch_to: str = ""
    request: Request | None = None
    would_be: WouldBe | None = None


def on(moment: datetime | None) -> str:
    """Say when, after the name of something; empty where that is not known."""
    return f" on {moment:%Y-%m-%d %H:%M} UTC" if moment is not None else ""


class CannotTell(Exception):
    """Every page was read, and what is there fits a push that was made as well as one that was not: a person decides.

    The text says what was seen.
    """


class Mode(ABC):
    """One way of charging."""

    name: str
    label: str
    vendor: str = PADDLE
    """Which of Paddle's two products keeps the subscriptions that can be charged in this way."""
    has_items: bool = True
    """Whether a charge has items of its own, and not one amount for all of it."""
    on_subscription: bool = True
    """Whether it is collected by the subscription, and lost with it."""
    gives_back: bool = False
    """Whether it settles what a customer is owed, not what a customer owes."""
    untold: str = ""
    """What no preview tells of it, in a sentence; empty where the vendor shows all that it would come to."""
    needs: tuple[tuple[str, str], ...]
    """Vendor and operation of each call without which no attempt can succeed."""

    @abstractmethod
    def request(self, order: Order) -> Request:
        """Write what is sent. Pure."""

    @abstractmethod
    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Look at the subscription as it is at this moment, and at what the request would do; changes nothing."""

    @abstractmethod
    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Make the one request. Gives the vendor's id of what was made, where it tells."""

    @abstractmethod
    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Look everywhere where a push of this kind would be; raises where a page could not be read, or CannotTell."""

    @abstractmethod
    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say how an amount would be collected, and when, to follow on "would be"; `renews_at` is as it is known."""

    def serves(self, link: AccountLink) -> bool:
        """Say whether the subscription of a link can be charged in this way."""
        return link.source == self.vendor

    def minimum(self, currency: str) -> int:
        """The least that can be charged, in minor units."""
        return currencies.minimum(currency)

    def is_collected(self, transaction_id: str) -> bool:
        """Say whether a push that was made is paid for by that alone."""
        return False
