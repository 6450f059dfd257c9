"""What Paddle Billing has of the pushes of some accounts: transactions, invoices among them, and what was given back.

A renewal or a charge is listed with its subscription, an invoice only with its customer. A refund of ours is known by
the push id in its reason, whichever bill's payment it was taken from; any other adjustment is of the lines it names.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from billing_bridge import payments
from billing_bridge.explaining import ADJUSTMENT, INVOICE, NOWHERE, TRANSACTION, Absent, Billed, GivenBack, Why
from billing_bridge.models import Push, PushPolicy
from integration_project import clock
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import API_ORIGIN, CANCELED, COMPLETED, Adjustment, Transaction
from paddle_sync.models import AccountLink, WebhookEvent

IDS_TOGETHER = 25
GRACE = timedelta(days=1)
"""How long after its moment a renewal may take to show, or a charge made at once to be listed."""
UNNAMED_RENEWAL = timedelta(days=35)
"""How long a push whose renewal Paddle did not name may wait for one, before that is a difference."""


@dataclass(frozen=True)
class Wanted:
    """What is looked up: all pushes and links of some accounts, since when, and whose bills are compared."""

    pushes: Sequence[Push]
    links: Sequence[AccountLink]
    bill_ids: frozenset[str]
    since: datetime


@dataclass(frozen=True)
class Mark:
    """A push id of ours in Paddle that this database has no push for, and all that carries it."""

    push_id: str
    billed: tuple[Billed, ...]
    currency: str
    paddle_subscription_id: str = ""
    paddle_customer_id: str = ""

    @property
    def places(self) -> str:
        """Where it is, in words."""
        return " and ".join(f"{each.kind.capitalize()} {each.transaction_id}" for each in self.billed)


@dataclass(frozen=True)
class InBilling:
    """Every transaction that carries a push, by push, and every adjustment of these transactions."""

    carrying: Mapping[str, Sequence[Transaction]] = field(default_factory=dict)
    adjustments: Sequence[Adjustment] = ()
    refunds: frozenset[str] = frozenset()
    """Our refunds that adjustments name in their reasons."""

    def billed(self, push: Push) -> tuple[Billed, ...]:
        """Everything that Paddle has of a push."""
        found = self.carrying.get(push.push_id, ())
        charged = tuple(_billed(push.push_id, each, tuple(self._given_back(push, each))) for each in found)
        if push.kind != Push.Kind.REFUND:
            return charged
        ours = (each for each in self.adjustments if push.push_id in each.words and each.stands)
        return (*(_refunded(push, each, self._status(each)) for each in ours), *charged)

    def absent(self, push: Push) -> Absent:
        """Why Paddle need not have billed a push yet; nothing explains it where it should have by now."""
        now, renewal = clock.now(), push.expected_renewal_at
        since = push.settled_at or push.created_at
        if push.mode != PushPolicy.Mode.NEXT_BILLING_PERIOD:
            why, until = Why.UNLISTED, since + GRACE
            words = "It was made a moment ago; Paddle's list may not show it yet."
        elif renewal is None:
            why, until = Why.PENDING, since + UNNAMED_RENEWAL
            words = "It is collected with the next renewal, which Paddle has not named."
        else:
            why, until = Why.PENDING, renewal + GRACE
            words = f"It is collected with the renewal of {renewal:%Y-%m-%d %H:%M} UTC."
        return Absent(why, words) if now < until else NOWHERE

    def marks(self) -> Iterator[Mark]:
        """Every push id that a transaction carries, whoever wrote it there."""
        for push_id, found in sorted(self.carrying.items()):
            first = found[0]
            yield Mark(
                push_id,
                tuple(_billed(push_id, each, ()) for each in found),
                first.currency_code,
                first.subscription_id or "",
                first.customer_id or "",
            )

    def _status(self, of: Adjustment) -> str:
        """How the transaction stands that was adjusted; of one too old to be listed, that it was collected."""
        listed = chain.from_iterable(self.carrying.values())
        return next((each.status for each in listed if each.id == of.transaction_id), COMPLETED)

    def _given_back(self, push: Push, found: Transaction) -> Iterator[GivenBack]:
        """What others than we gave back of a push's lines, counted as settlement counts it."""
        lines, inside = {line.id for line in found.lines_of(push.push_id)}, found.lines_with_tax_inside
        for each in self.adjustments:
            if each.transaction_id != found.id or self.refunds & each.words:
                continue
            items = [item for item in each.items if item.item_id in lines]
            if items:
                amount = sum(payments.counted(item.totals, tax_inside=item.item_id in inside) for item in items)
                tax = amount - sum(item.totals.subtotal for item in items)
                yield GivenBack(each.id, each.action, each.status, amount, tax)


def read(wanted: Wanted, vendors: Vendors) -> InBilling:
    """Read each subscription's and each invoiced customer's transactions once, and what was given back of them."""
    subscriptions = {push.paddle_subscription_id for push in wanted.pushes}
    subscriptions |= {link.paddle_subscription_id for link in wanted.links if link.source == WebhookEvent.Source.PADDLE}
    customers = _customers(wanted)
    found: dict[str, Transaction] = {}
    for ids in _together(subscriptions, "sub"):
        listed = vendors.paddle.list_transactions(subscription_id=ids, created_since=wanted.since)
        found.update((each.id, each) for each in listed)
    for ids in _together(customers, "ctm"):
        listed = vendors.paddle.list_transactions(customer_id=ids, origin=(API_ORIGIN,), created_since=wanted.since)
        found.update((each.id, each) for each in listed)
    carrying: defaultdict[str, list[Transaction]] = defaultdict(list)
    for each in found.values():
        for push_id in each.push_ids:
            carrying[push_id].append(each)
    adjustments = _adjustments(wanted, carrying, vendors)
    return InBilling(dict(carrying), adjustments, _our_refunds(adjustments))


def _customers(wanted: Wanted) -> set[str]:
    """Whom invoices were made out to."""
    of_links = {link.paddle_subscription_id: link.paddle_customer_id for link in wanted.links}
    invoiced = [push for push in wanted.pushes if push.mode == PushPolicy.Mode.INVOICE]
    return {push.paddle_customer_id or of_links.get(push.paddle_subscription_id, "") for push in invoiced}


def _adjustments(
    wanted: Wanted, carrying: Mapping[str, Sequence[Transaction]], vendors: Vendors
) -> tuple[Adjustment, ...]:
    """What was given back of the transactions that carry pushes, and of those that our refunds were taken from."""
    standing = {each.id for transactions in carrying.values() for each in transactions if each.status != CANCELED}
    refunds = [push for push in wanted.pushes if push.kind == Push.Kind.REFUND]
    older = {push.paddle_transaction_id for push in refunds if push.bill.m3ter_bill_id in wanted.bill_ids}
    lists = (vendors.paddle.list_adjustments(transaction_ids=ids) for ids in _together(standing | older, "txn"))
    return tuple(each for listed in lists for each in listed)


def _our_refunds(adjustments: Sequence[Adjustment]) -> frozenset[str]:
    words = {word for each in adjustments for word in each.words}
    return frozenset(payments.refunds_named(words).values_list("push_id", flat=True))


def _together(ids: set[str], prefix: str) -> Iterator[Sequence[str]]:
    """So many ids that one request asks for; asked for one that Paddle would not write, it refuses the whole list."""
    usual = sorted(each for each in ids if re.fullmatch(rf"{prefix}_[a-z0-9]{{26}}", each, re.ASCII))
    for start in range(0, len(usual), IDS_TOGETHER):
        yield usual[start : start + IDS_TOGETHER]


def _refunded(push: Push, found: Adjustment, status: str) -> Billed:
    """What an adjustment says of the refund that it is."""
    totals = found.totals
    amount = payments.asked_or(push, subtotal=totals.subtotal, total=totals.total)
    given = GivenBack(found.id, found.action, found.status, amount, amount - totals.subtotal)
    return Billed(found.id, status, (), (given,), ADJUSTMENT)


def _billed(push_id: str, found: Transaction, given_back: tuple[GivenBack, ...]) -> Billed:
    """What a transaction says of one push: a line of each of its items, and what was given back of those lines."""
    kind = INVOICE if found.invoiced_push_id == push_id else TRANSACTION
    return Billed(found.id, found.status, tuple(payments.lines_of(push_id, found)), given_back, kind)
