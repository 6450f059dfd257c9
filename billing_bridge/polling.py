"""Goes through m3ter's bills: the unfinished ones every minute, all of the last 400 days once a day."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice

from django.db.models import Q

from billing_bridge import importing
from billing_bridge.models import PushedBill
from integration_project import clock, finding, installation
from integration_project.errors import BudgetSpent, IntegrationError, Temporary, Unreadable, VendorClosed
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Bill, UnreadBill

logger = logging.getLogger(__name__)

State = PushedBill.State
Reason = PushedBill.Reason

SWEEP_DAYS = 400
UNREAD = "bill not read"
LONGEST_SUBJECT = 120
WITHOUT_ID = "without id"
SILENCES_IN_A_ROW = 3
"""After so many bills in a row that were not answered for it is m3ter that is at fault, not a bill."""


@dataclass(frozen=True)
class Seen:
    """A bill of a list, and what was done about it."""

    bill_id: str
    account: str
    total: str
    outcome: str
    failed: bool = False
    unanswered: bool = False
    """m3ter did not answer at all, which may hold for every bill."""


def import_approved_bills(vendors: Vendors, *, since: date | None = None, dry_run: bool = False) -> Iterator[Seen]:
    """Go through m3ter's unfinished bills: approved, not locked; whole only those whose version is new."""
    installation.require_match(installation.current())
    listed = vendors.m3ter.look_through_bills(status="APPROVED", locked=False, bill_date_start=since)
    yield from _go_through(vendors, listed, dry_run)


def sweep(vendors: Vendors, *, since: date | None = None, dry_run: bool = False) -> Iterator[Seen]:
    """Go through all bills of the last 400 days, locked and pending ones too, and look for those that are gone."""
    installation.require_match(installation.current())
    start = since or clock.now().date() - timedelta(days=SWEEP_DAYS)
    listed = set()
    for seen in _go_through(vendors, vendors.m3ter.look_through_bills(bill_date_start=start), dry_run):
        listed.add(seen.bill_id)
        yield seen
    dated = Q(bill_date__gte=start) | Q(bill_date__isnull=True)
    unfinished = PushedBill.objects.filter(dated, m3ter_locked=False).exclude(
        state__in=(State.SUPERSEDED, State.PUSHING, State.UNCONFIRMED)
    )
    for bill_id in unfinished.exclude(reason=Reason.DELETED).values_list("m3ter_bill_id", flat=True):
        if bill_id not in listed:
            yield _read_one(Seen(bill_id, "", "", "would be read"), vendors, dry_run)


def _go_through(vendors: Vendors, bills: Iterator[Bill | UnreadBill], dry_run: bool) -> Iterator[Seen]:
    """Read what is news; what could not be read before comes last, so that it keeps nothing else back."""
    unread = set(Finding.objects.filter(kind=UNREAD, state=Finding.State.OPEN).values_list("subject", flat=True))
    last = []
    silences = 0
    nameless = False
    while batch := list(islice(bills, BATCH)):
        for seen, is_news in _compare(batch):
            nameless = nameless or not seen.bill_id
            if is_news and seen.bill_id in unread:
                last.append(seen)
                continue
            done = _read_one(seen, vendors, dry_run) if is_news else seen
            silences = silences + 1 if done.unanswered else 0 if is_news else silences
            yield done
            _stop_after(silences, done)
    for seen in last:
        done = _read_one(seen, vendors, dry_run)
        silences = silences + 1 if done.unanswered else 0
        yield done
        _stop_after(silences, done)
    if WITHOUT_ID in unread and not nameless and not dry_run:
        finding.settle(UNREAD, WITHOUT_ID, reason="Every bill has an id.")


def _stop_after(silences: int, done: Seen) -> None:
    if silences >= SILENCES_IN_A_ROW:
        raise Temporary(f"{silences} bills in a row could not be read. The last: {done.outcome}")


def _compare(batch: list[Bill | UnreadBill]) -> Iterator[tuple[Seen, bool]]:
    """Say of listed bills which must be read whole."""
    rows = PushedBill.objects.filter(m3ter_bill_id__in=[bill.id for bill in batch])
    known = {row[0]: row[1:] for row in rows.values_list("m3ter_bill_id", "m3ter_version", "m3ter_status", "state")}
    for bill in batch:
        if isinstance(bill, UnreadBill):
            yield Seen(bill.id, "", "", f"not read: {bill.why}", failed=True), True
        else:
            seen = Seen(bill.id, bill.account_code or bill.account_id, f"{bill.total} {bill.currency}", "unchanged")
            yield seen, _is_news(bill, known.get(bill.id))


def _read_one(seen: Seen, vendors: Vendors, dry_run: bool) -> Seen:
    """Import a bill of a list; one that cannot be read is a finding, and does not keep the others back."""
    if dry_run:
        return replace(seen, outcome="would be read", failed=False)
    if not seen.bill_id:
        return _not_read(seen, seen.outcome.removeprefix("not read: "))
    unanswered = False
    try:
        known = importing.import_bill(seen.bill_id, vendors)
    except (VendorClosed, BudgetSpent):
        raise
    except IntegrationError as error:
        words = str(error)
        unanswered = isinstance(error, Temporary) and not isinstance(error, Unreadable)
    except Exception as error:
        logger.exception("Bill %s: unforeseen, while importing", seen.bill_id)
        words = f"a fault of this application ({type(error).__name__}); the log has the details"
    else:
        finding.settle(UNREAD, seen.bill_id, reason="It was read.")
        return replace(seen, outcome=importing.outcome_of(known), failed=False)
    return _not_read(seen, words, unanswered=unanswered)


def _not_read(seen: Seen, words: str, *, unanswered: bool = False) -> Seen:
    which = f"Bill {seen.bill_id or WITHOUT_ID} of {seen.account or 'an unknown account'}"
    finding.report(
        UNREAD,
        seen.bill_id[:LONGEST_SUBJECT] or WITHOUT_ID,
        detail=f"{which} could not be imported: {words}",
        next_step="Look at the bill in m3ter. It is tried again every minute.",
    )
    return replace(seen, outcome=f"not read: {words}", failed=True, unanswered=unanswered)


BATCH = 100
"""As many bills as m3ter puts on a page are compared with ours in one query."""


def _is_news(bill: Bill, known: tuple[int, str, str] | None) -> bool:
    """Compare a listed bill with what is stored; a pending one that is not known is not our business yet."""
    if known is None:
        return bill.is_approved
    version, status, state = known
    return state not in importing.OPEN and (version, status) != (bill.version, bill.status)
