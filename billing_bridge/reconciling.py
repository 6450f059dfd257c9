"""What m3ter, our ledger and Paddle say of some bills, read in an order in which nothing that happens meanwhile shows
as a difference: m3ter first, then Paddle, then the ledger, which knows of everything the others did by then."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from django.db import transaction
from django.db.models import Q

from billing_bridge import explaining, looking, money, owed
from billing_bridge.explaining import Billed, Explanation, GivenBack, InLedger, InM3ter, Line, Part, Sent, Why
from billing_bridge.ledger import GONE, LOCKABLE, OPEN
from billing_bridge.models import Push, PushedBill, PushPolicy, ReconciliationRow
from integration_project import clock
from integration_project.errors import NotFound, Unreadable, VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Bill, UnreadBill
from integration_project.vendors.paddle.entities import CANCELED, Adjustment, Transaction
from integration_project.vendors.words import safe
from paddle_sync.models import AccountLink, WebhookEvent

State = PushedBill.State
USUAL_ID = re.compile(r"sub_[a-z0-9]{26}", re.ASCII)
"""An id of a subscription that Paddle itself would write: asked for any other, it refuses the whole list."""
IDS_TOGETHER = 25
LONGEST_MARK = 80
JUST_NOW = timedelta(hours=1)
"""A bill approved so lately may not have been imported yet, though it is looked for every minute."""
GRACE = timedelta(days=1)
"""How long after its moment a renewal may take to show."""
UNNAMED_RENEWAL = timedelta(days=35)
"""How long a push whose renewal Paddle did not name may wait for one, before that is a difference."""
STANDS: Mapping[str, Why | None] = {
    State.SKIPPED: Why.SKIPPED,
    State.PUSHED: None,
    State.CARRIED: None,
    State.SUPERSEDED: None,
}
"""What a state makes of an outstanding amount: in any other state, it is open."""


@dataclass(frozen=True)
class Mark:
    """A push id of ours in Paddle that this database has no push for."""

    push_id: str
    transaction: Transaction


@dataclass(frozen=True)
class InPaddle:
    """What Paddle has for some accounts: every transaction that carries a push, and what was given back of it."""

    carrying: Mapping[str, Sequence[Transaction]] = field(default_factory=dict)
    adjustments: Mapping[str, Sequence[Adjustment]] = field(default_factory=dict)
    problem: str = ""


# --- What m3ter's list said -------------------------------------------------------------------------------------------


def listed(bill: Bill | UnreadBill) -> ReconciliationRow:
    """Make the row of a bill that m3ter lists."""
    row = ReconciliationRow(subject=bill.id[:LONGEST_MARK] or "without id", m3ter_bill_id=bill.id[:64])
    say(row, bill)
    return row


def say(row: ReconciliationRow, bill: Bill | UnreadBill | None) -> None:
    """Note at a row what m3ter says of its bill; None: that it has no such bill."""
    if bill is None:
        row.said = {"gone": True}
    elif isinstance(bill, UnreadBill):
        row.said = {"problem": bill.why}
    else:
        row.m3ter_account_id = bill.account_id[:64]
        row.account_code = (bill.account_code or "")[:80]
        row.currency = bill.currency[:3]
        row.period_start, row.period_end = bill.start_date, bill.end_date
        row.said = {
            "currency": bill.currency,
            "total": None if bill.total is None else f"{bill.total:f}",
            "version": bill.version,
            "approved": bill.is_approved,
            "approved_at": bill.approved_at.isoformat() if bill.approved_at else "",
        }


def _in_m3ter(row: ReconciliationRow) -> InM3ter:
    said = row.said
    if said.get("gone"):
        return InM3ter(row.currency, None, is_gone=True)
    if said.get("problem"):
        return InM3ter(row.currency, None, problem=str(said["problem"]))
    approved_at = datetime.fromisoformat(said["approved_at"]) if said["approved_at"] else None
    return InM3ter(
        said["currency"],
        Decimal(said["total"]) if said["total"] is not None else None,
        version=said["version"],
        is_approved=said["approved"],
        is_new=approved_at is not None and clock.now() - approved_at < JUST_NOW,
        problem="" if said["total"] is not None else "it has no total",
    )


# --- Comparing --------------------------------------------------------------------------------------------------------


def compare(rows: Sequence[ReconciliationRow], vendors: Vendors) -> list[Mark]:
    """Fill in rows from what all three say; gives the marks in Paddle that nobody here made."""
    accounts = {row.m3ter_account_id for row in rows if row.m3ter_account_id}
    in_paddle = _paddle(rows, accounts, vendors)
    if in_paddle.problem and len(accounts) > 1:  # one account's transactions must not keep the others from being read
        apart = [[row for row in rows if row.m3ter_account_id == account] for account in sorted(accounts)]
        return list(chain.from_iterable(compare(each, vendors) for each in apart))
    _read_again(rows, vendors)
    with transaction.atomic():
        bills = _ledger([row.m3ter_bill_id for row in rows])
        marks = [push_id for push_id in in_paddle.carrying if push_id.isprintable()]
        known = set(Push.objects.filter(push_id__in=marks).values_list("push_id", flat=True))
    for row in rows:
        _fill_in(row, bills.get(row.m3ter_bill_id), in_paddle)
    return [
        Mark(push_id, found)
        for push_id, transactions in sorted(in_paddle.carrying.items())
        if push_id not in known
        for found in transactions[:1]
    ]


def _read_again(rows: Sequence[ReconciliationRow], vendors: Vendors) -> None:
    """What was read by us after m3ter's list had been is read once more, or the list would seem to be wrong."""
    versions = dict(
        PushedBill.objects.filter(m3ter_bill_id__in=[row.m3ter_bill_id for row in rows]).values_list(
            "m3ter_bill_id", "m3ter_version"
        )
    )
    for row in rows:
        if "version" in row.said and versions.get(row.m3ter_bill_id, 0) > row.said["version"]:
            say(row, bill_now(row.m3ter_bill_id, vendors))


def bill_now(bill_id: str, vendors: Vendors) -> Bill | UnreadBill | None:
    """Read one bill; None when m3ter has no such bill."""
    try:
        return vendors.m3ter.get_bill(bill_id)
    except NotFound:
        return None
    except Unreadable as problem:
        return UnreadBill(bill_id, str(problem))


def _fill_in(row: ReconciliationRow, bill: PushedBill | None, in_paddle: InPaddle) -> None:
    """Write what was found out into a row."""
    in_m3ter, sent = _in_m3ter(row), [_sent(push, in_paddle) for push in bill.pushes.all()] if bill else []
    found = explaining.explain(in_m3ter, _in_ledger(bill) if bill else None, sent)
    parts = found.parts
    if in_paddle.problem:
        parts = (Part(Why.UNKNOWN, 0, f"Paddle's transactions could not be read: {in_paddle.problem}"), *parts)
    if bill is not None:
        _name(row, bill)
    write(row, found, parts)
    row.transactions = [billed.transaction_id for each in sent for billed in each.billed]


def write(row: ReconciliationRow, found: Explanation, parts: Sequence[Part] | None = None) -> None:
    """Write an explanation into a row."""
    chosen = found.parts if parts is None else parts
    for name in ("m3ter", "ledger", "billed", "collected", "refunded", "unknown"):
        setattr(row, name, getattr(found, name))
    row.is_unknown = any(part.why == Why.UNKNOWN for part in chosen)
    row.parts = [asdict(part) for part in chosen]
    reasons = dict.fromkeys(part.why.value for part in chosen)
    row.reasons = f",{','.join(reasons)}," if reasons else ""
    row.compared_at = clock.now()


def _name(row: ReconciliationRow, bill: PushedBill) -> None:
    """Say whose bill it is, by what is known here."""
    link = bill.link
    row.bill = bill
    row.currency = row.currency or bill.currency
    row.m3ter_account_id, row.account_code = bill.m3ter_account_id, bill.m3ter_account_code or row.account_code
    row.period_start, row.period_end = row.period_start or bill.period_start, row.period_end or bill.period_end
    row.customer = link.name if link is not None else ""
    pushes = list(bill.pushes.all())
    row.paddle_subscription_id = (
        pushes[-1].paddle_subscription_id if pushes else link.paddle_subscription_id if link is not None else ""
    )


def of_mark(mark: Mark, account: AccountLink | None) -> ReconciliationRow:
    """Make the row of what Paddle billed under a mark that nobody here made."""
    found, mark_text = mark.transaction, safe(mark.push_id)[:LONGEST_MARK]
    sent = Sent(mark_text, billed=(_billed(mark.push_id, found, ()),))
    row = ReconciliationRow(
        subject=mark_text,
        m3ter_account_id=account.m3ter_account_id if account else "",
        account_code=account.m3ter_account_code if account else "",
        customer=account.name if account else "",
        paddle_subscription_id=found.subscription_id or "",
        currency=found.currency_code,
        transactions=[found.id],
    )
    write(row, explaining.explain(InM3ter(found.currency_code, None, is_gone=True), None, (sent,)))
    return row


# --- The ledger -------------------------------------------------------------------------------------------------------


def _ledger(bill_ids: Sequence[str]) -> dict[str, PushedBill]:
    """Read bills with entries and pushes, locked, so that none is read while it is written."""
    chosen = PushedBill.objects.select_for_update(of=LOCKABLE).filter(m3ter_bill_id__in=bill_ids).order_by("pk")
    found = chosen.select_related("link").prefetch_related("entries", "pushes__entries")
    return {bill.m3ter_bill_id: bill for bill in found}


def _in_ledger(bill: PushedBill) -> InLedger:
    columns = {each.name: getattr(bill, each.name) for each in fields(owed.Position)}
    reason = f": {bill.get_reason_display()}" if bill.reason else ""
    return InLedger(
        bill.currency,
        owed.Position(**columns),
        bill.outstanding,
        [owed.Entry(entry.kind, entry.amount) for entry in bill.entries.all()],
        version=bill.m3ter_version,
        is_gone=bill.m3ter_status == GONE,
        stands=STANDS.get(bill.state, Why.OPEN),
        words=f"{str(bill.get_state_display()).partition(':')[0]}{reason}. {bill.reason_detail}".strip(),
    )


def _sent(push: Push, in_paddle: InPaddle) -> Sent:
    amounts: defaultdict[str, int] = defaultdict(int)
    for entry in push.entries.all():
        amounts[entry.kind] += entry.amount
    transactions = in_paddle.carrying.get(push.push_id, ())
    return Sent(
        push.push_id,
        accepted=amounts["pushed"],
        given_up=amounts["lost"],
        is_open=push.state in OPEN,
        awaits=_awaits(push),
        billed=[_billed(push.push_id, each, in_paddle.adjustments.get(each.id, ())) for each in transactions],
    )


def _awaits(push: Push) -> str:
    """Why it is right that Paddle has not billed a push yet; empty where it should have by now."""
    now, renewal = clock.now(), push.expected_renewal_at
    since = push.settled_at or push.created_at
    if push.mode == PushPolicy.Mode.IMMEDIATELY:
        words, until = "It was charged at once; Paddle's list may not show it yet.", since + GRACE
    elif renewal is None:
        words, until = "It is collected with the next renewal, which Paddle has not named.", since + UNNAMED_RENEWAL
    else:
        words, until = f"It is collected with the renewal of {renewal:%Y-%m-%d %H:%M} UTC.", renewal + GRACE
    return words if now < until else ""


# --- Paddle -----------------------------------------------------------------------------------------------------------


def _paddle(rows: Sequence[ReconciliationRow], accounts: Iterable[str], vendors: Vendors) -> InPaddle:
    """Read each subscription's transactions once, and what was given back of those that carry pushes."""
    pushes = list(Push.objects.filter(bill__m3ter_account_id__in=list(accounts)).select_related("bill"))
    links = AccountLink.objects.filter(
        Q(m3ter_account_id__in=list(accounts)), source=WebhookEvent.Source.PADDLE
    ).values_list("paddle_subscription_id", flat=True)
    ids = {push.paddle_subscription_id for push in pushes} | set(links)
    subscriptions = sorted(each for each in ids if USUAL_ID.fullmatch(each))
    if not subscriptions:
        return InPaddle()
    try:
        carrying = _carrying(vendors, subscriptions, _since(rows, pushes))
        return InPaddle(carrying, _adjustments(vendors, carrying))
    except (Unreadable, VendorRejected) as problem:
        return InPaddle(problem=str(problem))


def _since(rows: Sequence[ReconciliationRow], pushes: Sequence[Push]) -> datetime:
    """Since when a transaction can carry what these bills are charged with."""
    periods = [datetime.combine(row.period_start, time.min, UTC) for row in rows if row.period_start is not None]
    of_rows = {row.m3ter_bill_id for row in rows}
    earliest = [looking.earliest(push) for push in pushes if push.bill.m3ter_bill_id in of_rows]
    return min([*(period - looking.DAY for period in periods), *earliest, clock.now() - looking.DAY])


def _carrying(vendors: Vendors, subscriptions: Sequence[str], since: datetime) -> dict[str, list[Transaction]]:
    """Every transaction of these subscriptions that carries pushes, by push; of any origin, whoever made it."""
    found: defaultdict[str, list[Transaction]] = defaultdict(list)
    for ids in _together(subscriptions):
        for each in vendors.paddle.list_transactions(subscription_id=ids, created_since=since):
            for push_id in each.push_ids:
                found[push_id].append(each)
    return dict(found)


def _adjustments(vendors: Vendors, carrying: Mapping[str, Sequence[Transaction]]) -> dict[str, list[Adjustment]]:
    """What was given back of the transactions that carry pushes, by transaction."""
    standing = {each.id for transactions in carrying.values() for each in transactions if each.status != CANCELED}
    found: defaultdict[str, list[Adjustment]] = defaultdict(list)
    for ids in _together(sorted(standing)):
        for each in vendors.paddle.list_adjustments(transaction_ids=ids):
            found[each.transaction_id].append(each)
    return dict(found)


def _together(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_TOGETHER):
        yield ids[start : start + IDS_TOGETHER]


def _billed(push_id: str, found: Transaction, adjustments: Sequence[Adjustment]) -> Billed:
    """What a transaction says of one push: a line of each of its items, and what was given back of those lines."""
    lines = {line.id for line in found.lines_of(push_id)}
    given_back = [
        GivenBack(each.id, each.action, each.status, sum(item.totals.subtotal for item in items))
        for each in adjustments
        if (items := [item for item in each.items if item.item_id in lines])
    ]
    return Billed(found.id, found.status, tuple(_lines(push_id, found)), tuple(given_back))


def _lines(push_id: str, found: Transaction) -> Iterator[Line]:
    """Pair items with their lines by price; a draft may have no lines yet, and an item no line."""
    by_price: defaultdict[str | None, list[Any]] = defaultdict(list)
    for line in found.lines_of(push_id):
        by_price[line.price_id].append(line.totals)
    asked: defaultdict[tuple[str | None, bool], int] = defaultdict(int)
    for item in found.items_of(push_id):
        asked[item.price.id, item.price.tax_mode == "internal"] += item.amount
    for (price_id, is_tax_inside), amount in asked.items():
        totals = by_price.get(price_id, ())
        if not totals:
            yield Line(amount, amount, total=amount, is_tax_inside=is_tax_inside)
            continue
        yield Line(
            amount,
            sum(each.subtotal for each in totals),
            sum(each.discount for each in totals),
            sum(each.tax for each in totals),
            sum(each.total for each in totals),
            is_tax_inside,
        )


def words_of(parts: Iterable[Mapping[str, Any]], currency: str) -> str:
    """Write a row's parts for people, those without a reason first."""
    ordered = sorted(parts, key=lambda part: part["why"] != Why.UNKNOWN)
    return "; ".join(f"{money.words(part['amount'], currency)} {part['why']}: {part['words']}" for part in ordered)
