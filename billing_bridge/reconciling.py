"""What m3ter, our ledger and Paddle say of some bills, read in an order in which nothing that happens meanwhile shows
as a difference: m3ter first, then Paddle, then the ledger, which knows of everything the others did by then."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing_bridge import explaining, in_billing, in_classic, looking, money, owed
from billing_bridge.explaining import ADJUSTMENT, MODIFIER, Explanation, InLedger, InM3ter, Part, Sent, Why
from billing_bridge.in_billing import InBilling, Mark, Wanted
from billing_bridge.in_classic import InClassic
from billing_bridge.ledger import GONE, LOCKABLE, OPEN
from billing_bridge.models import Push, PushedBill, ReconciliationRow
from integration_project import clock
from integration_project.errors import NeedsConfiguration, NotFound, Unreadable, VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Bill, UnreadBill
from integration_project.vendors.words import safe
from paddle_sync.models import AccountLink

State = PushedBill.State
LONGEST_MARK = 80
JUST_NOW = timedelta(hours=1)
"""A bill approved so lately may not have been imported yet, though it is looked for every minute."""
STANDS: Mapping[str, Why | None] = {
    State.SKIPPED: Why.SKIPPED,
    State.PUSHED: None,
    State.CARRIED: None,
    State.SUPERSEDED: None,
}
"""What a state makes of an outstanding amount: in any other state, it is open."""


@dataclass(frozen=True)
class InPaddle:
    """What Paddle's two products have for some accounts, or why that could not be read."""

    billing: InBilling = field(default_factory=InBilling)
    classic: InClassic = field(default_factory=InClassic)
    problem: str = ""

    def side(self, push: Push) -> InBilling | InClassic:
        """The product that a push is charged in."""
        return self.classic if in_classic.is_of_classic(push) else self.billing

    def marks(self) -> list[Mark]:
        """Every push id that anything there bears, whoever wrote it."""
        return [mark for mark in (*self.billing.marks(), *self.classic.marks()) if mark.push_id.isprintable()]


@dataclass(frozen=True)
class Compared:
    """What comparing found beside the rows: marks that nobody here made, and pushes that are there more than once."""

    marks: Sequence[Mark] = ()
    doubles: Sequence[tuple[Push, tuple[str, ...]]] = ()


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


def compare(rows: Sequence[ReconciliationRow], vendors: Vendors) -> Compared:
    """Fill in rows from what all three say."""
    accounts = {row.m3ter_account_id for row in rows if row.m3ter_account_id}
    in_paddle = _paddle(rows, accounts, vendors)
    if in_paddle.problem and len(accounts) > 1:  # one account's transactions must not keep the others from being read
        apart = [[row for row in rows if row.m3ter_account_id == account] for account in sorted(accounts)]
        compared = [compare(each, vendors) for each in apart]
        return Compared(
            [mark for each in compared for mark in each.marks],
            [double for each in compared for double in each.doubles],
        )
    _read_again(rows, vendors)
    with transaction.atomic():
        bills = _ledger([row.m3ter_bill_id for row in rows])
        marks = in_paddle.marks()
        known = set(Push.objects.filter(push_id__in=[mark.push_id for mark in marks]).values_list("push_id", flat=True))
    doubles = []
    for row in rows:
        doubles += _fill_in(row, bills.get(row.m3ter_bill_id), in_paddle)
    return Compared([mark for mark in marks if mark.push_id not in known], doubles)


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


def _fill_in(
    row: ReconciliationRow, bill: PushedBill | None, in_paddle: InPaddle
) -> list[tuple[Push, tuple[str, ...]]]:
    """Write what was found out into a row; gives the bill's pushes that Paddle has more than once, and where."""
    sent = {push: _sent(push, in_paddle) for push in bill.pushes.all()} if bill else {}
    found = explaining.explain(_in_m3ter(row), _in_ledger(bill) if bill else None, list(sent.values()))
    parts = found.parts
    if in_paddle.problem:
        parts = (Part(Why.UNKNOWN, 0, f"Paddle's transactions could not be read: {in_paddle.problem}"), *parts)
    if bill is not None:
        _name(row, bill)
    write(row, found, parts)
    row.transactions = _transactions(sent.values())
    return [(push, places) for push, each in sent.items() if (places := explaining.doubled(each))]


def _transactions(sent: Iterable[Sent]) -> list[str]:
    """The ids of transactions and payments, each once."""
    billed = [billed for each in sent for billed in each.billed if billed.kind not in {ADJUSTMENT, MODIFIER}]
    return list(dict.fromkeys(each.transaction_id for each in billed))


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
    mark_text = safe(mark.push_id)[:LONGEST_MARK]
    sent = Sent(mark_text, billed=mark.billed)
    row = ReconciliationRow(
        subject=mark_text,
        m3ter_account_id=account.m3ter_account_id if account else "",
        account_code=account.m3ter_account_code if account else "",
        customer=account.name if account else "",
        paddle_subscription_id=mark.paddle_subscription_id,
        currency=mark.currency,
        transactions=_transactions([sent]),
    )
    write(row, explaining.explain(InM3ter(mark.currency, None, is_gone=True), None, (sent,)))
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
    side = in_paddle.side(push)
    return Sent(
        push.push_id,
        accepted=amounts["pushed"],
        given_up=amounts["lost"],
        is_open=push.state in OPEN,
        absent=side.absent(push),
        billed=side.billed(push),
    )


# --- Paddle -----------------------------------------------------------------------------------------------------------


def _paddle(rows: Sequence[ReconciliationRow], accounts: Iterable[str], vendors: Vendors) -> InPaddle:
    """Read what both products have of these accounts' pushes."""
    pushes = list(Push.objects.filter(bill__m3ter_account_id__in=list(accounts)).select_related("bill"))
    links = list(AccountLink.objects.filter(m3ter_account_id__in=list(accounts)))
    bill_ids = frozenset(row.m3ter_bill_id for row in rows)
    wanted = Wanted(
        pushes, links, bill_ids, _since(rows, [push for push in pushes if push.bill.m3ter_bill_id in bill_ids])
    )
    try:
        return InPaddle(in_billing.read(wanted, vendors), in_classic.read(wanted, vendors))
    except (NeedsConfiguration, Unreadable, VendorRejected) as problem:
        return InPaddle(problem=str(problem))


def _since(rows: Sequence[ReconciliationRow], pushes: Sequence[Push]) -> datetime:
    """Since when a transaction can carry what these bills are charged with."""
    periods = [datetime.combine(row.period_start, time.min, UTC) for row in rows if row.period_start is not None]
    earliest = [looking.earliest(push) for push in pushes]
    return min([*(period - looking.DAY for period in periods), *earliest, clock.now() - looking.DAY])


def words_of(parts: Iterable[Mapping[str, Any]], currency: str) -> str:
    """Write a row's parts for people, those without a reason first."""
    ordered = sorted(parts, key=lambda part: part["why"] != Why.UNKNOWN)
    return "; ".join(f"{money.words(part['amount'], currency)} {part['why']}: {part['words']}" for part in ordered)
