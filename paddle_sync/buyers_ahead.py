"""Buyers of a backlog are read together: a few calls for every customer that the events of one claim will ask for.

Each function answers like the client's of the same name. What it is asked first for, it reads together with what the
claim's other events will want; what was read stays in this thread for as long as the claim lasts, and for a minute at
most. What a list does not show, or would refuse to be asked for, is read alone.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from integration_project import clock
from integration_project.errors import BudgetSpent, Permanent, Temporary
from integration_project.vendors.paddle.client import TRANSACTIONS_PAGE, PaddleClient
from integration_project.vendors.paddle.entities import Address, Business, Customer, Transaction
from paddle_sync.models import AccountLink, WebhookEvent, WebhookPayload
from paddle_sync.reading_ahead import FRESH

logger = logging.getLogger(__name__)

T = TypeVar("T")

INCLUDE = ("customer", "address", "business")
WHERE = ("address", "business")
USUAL = re.compile(r"(txn|ctm|sub|add|biz)_[a-z0-9]{26}", re.ASCII)
"""An id that Paddle itself would write: asked for any other, it refuses the whole list."""
MOST_PAGES = 2
"""Pages of transactions that are worth reading for the addresses of one claim; the rest is read one by one."""


@dataclass
class _Shelf:
    """What was read for the events of one claim, by id; None: Paddle has no such thing."""

    lease: UUID | None
    at: datetime
    transactions: dict[str, Transaction | None] = field(default_factory=dict)
    customers: dict[str, Customer | None] = field(default_factory=dict)
    addresses: dict[str, Address | None] = field(default_factory=dict)
    businesses: dict[str, Business | None] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    asked_where: bool = False
    alone: bool = False
    others: "tuple[_Wanted, ...] | None" = None


@dataclass(frozen=True)
class _Wanted:
    """What an event that still waits for its turn will want to know of its buyer."""

    subscription_id: str
    transaction_id: str
    customer_id: str
    address_id: str
    business_id: str


class _Here(threading.local):
    """The event that this thread works on, and what was read for its claim."""

    event: WebhookEvent | None = None
    shelf: _Shelf | None = None


_here = _Here()


@contextmanager
def working_on(event: WebhookEvent) -> Iterator[None]:
    """Say which event this thread works on: the others of its claim are read for too."""
    before, _here.event = _here.event, event
    try:
        yield
    finally:
        _here.event = before


def find_transaction(transaction_id: str, paddle: PaddleClient) -> Transaction | None:
    """One transaction with its buyer, or None."""
    shelf = _shelf()
    if shelf is None:
        return paddle.find_transaction(transaction_id, include=INCLUDE)
    if transaction_id not in shelf.transactions:
        wanted = _together(shelf, transaction_id, (each.transaction_id for each in _others(shelf)))
        found = _reader(shelf, wanted, lambda ids: paddle.list_transactions(ids=ids, include=INCLUDE))
        shelf.transactions.update(found)
    if transaction_id not in shelf.transactions:
        shelf.transactions[transaction_id] = paddle.find_transaction(transaction_id, include=INCLUDE)
    return shelf.transactions[transaction_id]


def find_customer(customer_id: str, paddle: PaddleClient) -> Customer | None:
    """One customer, or None."""
    shelf = _shelf()
    if shelf is None:
        return paddle.find_customer(customer_id)
    if customer_id not in shelf.customers:
        others = (each.customer_id for each in _others(shelf) if not each.transaction_id)
        wanted = _together(shelf, customer_id, others)
        shelf.customers.update(_reader(shelf, wanted, lambda ids: paddle.list_customers(ids=ids)))
    if customer_id not in shelf.customers:
        shelf.customers[customer_id] = paddle.find_customer(customer_id)
    return shelf.customers[customer_id]


def find_address(subscription_id: str, customer_id: str, address_id: str, paddle: PaddleClient) -> Address | None:
    """One address of a customer, or None."""
    shelf = _shelf()
    if shelf is None:
        return paddle.find_address(customer_id, address_id)
    if address_id not in shelf.addresses:
        _read_where(shelf, subscription_id, paddle)
    if address_id not in shelf.addresses:
        shelf.addresses[address_id] = paddle.find_address(customer_id, address_id)
    return shelf.addresses[address_id]


def find_business(subscription_id: str, customer_id: str, business_id: str, paddle: PaddleClient) -> Business | None:
    """One business of a customer, or None."""
    shelf = _shelf()
    if shelf is None:
        return paddle.find_business(customer_id, business_id)
    if business_id not in shelf.businesses:
        _read_where(shelf, subscription_id, paddle)
    if business_id not in shelf.businesses:
        shelf.businesses[business_id] = paddle.find_business(customer_id, business_id)
    return shelf.businesses[business_id]


def _shelf() -> _Shelf | None:
    """What was read for the claim of this thread's event; None outside of any claim."""
    event = _here.event
    if event is None or event.lease is None:
        return None
    shelf = _here.shelf
    if shelf is None or shelf.lease != event.lease or clock.now() - shelf.at >= FRESH:
        shelf = _here.shelf = _Shelf(event.lease, clock.now())
    return shelf


def _others(shelf: _Shelf) -> tuple[_Wanted, ...]:
    """What the events of the claim that have not had their turn will want of buyers nobody knows yet."""
    event = _here.event
    if shelf.alone or event is None:
        return ()
    if shelf.others is None:
        payloads = WebhookPayload.objects.filter(
            event__lease=shelf.lease, event__event_type__startswith="subscription.", event__source=event.source
        ).exclude(event=event)
        entities = [entity for payload in payloads if (entity := _entity(payload))]
        ids = [str(entity.get("id") or "") for entity in entities]
        linked = AccountLink.objects.filter(paddle_subscription_id__in=ids, buyer_known=True)
        known = set(linked.values_list("paddle_subscription_id", flat=True))
        shelf.others = tuple(_wanted(entity) for entity in entities if entity.get("id") not in known)
    return shelf.others


def _entity(payload: WebhookPayload) -> Mapping[str, Any] | None:
    """The entity of a payload; None for one that is no notification of Paddle."""
    try:
        entity: Any = payload.entity()
    except (ValueError, KeyError, TypeError):
        return None
    return entity if isinstance(entity, dict) else None


def _wanted(entity: Mapping[str, Any]) -> _Wanted:
    names = ("id", "transaction_id", "customer_id", "address_id", "business_id")
    return _Wanted(*(str(entity.get(name) or "") for name in names))


def _together(shelf: _Shelf, own: str, others: Iterable[str]) -> tuple[str, ...]:
    """The ids to read at once; none where there is no other, Paddle would refuse the list, or was asked before."""
    more = dict.fromkeys(each for each in others if USUAL.fullmatch(each) and each not in shelf.asked and each != own)
    return (own, *more) if more and USUAL.fullmatch(own) and own not in shelf.asked else ()


def _reader(shelf: _Shelf, ids: tuple[str, ...], read: Callable[[Sequence[str]], Iterable[Any]]) -> dict[str, Any]:
    """Read these together, as far as they are found; each alone from then on where that goes wrong."""
    if not ids:
        return {}
    shelf.asked.update(ids)
    try:
        return {each.id: each for each in read(ids)}
    except BudgetSpent:
        raise
    except (Temporary, Permanent) as problem:
        logger.warning("%s buyers were not read together: %s", len(ids), problem)
        shelf.alone = True
        return {}


def _read_where(shelf: _Shelf, own: str, paddle: PaddleClient) -> None:
    """Read addresses and businesses out of the newest transactions of the claim's subscriptions, once per claim.

    Paddle has no list of addresses over several customers; its transactions name them, for many subscriptions at once.
    """
    if shelf.asked_where:
        return
    shelf.asked_where = True
    others = (each.subscription_id for each in _others(shelf) if not each.transaction_id)
    ids = _together(shelf, own, others)
    most = MOST_PAGES * TRANSACTIONS_PAGE
    _reader(shelf, ids, lambda ids: _noted(shelf, paddle.list_transactions(subscription_id=ids, include=WHERE), most))


def _noted(shelf: _Shelf, transactions: Iterable[Transaction], most: int) -> Iterator[Transaction]:
    """Note the address and business of each transaction, the newest first."""
    for transaction in islice(transactions, most):
        if transaction.address is not None:
            shelf.addresses.setdefault(transaction.address.id, transaction.address)
        if transaction.business is not None:
            shelf.businesses.setdefault(transaction.business.id, transaction.business)
        yield transaction
