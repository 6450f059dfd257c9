"""After the charge: the bill is locked in m3ter and mapped to its push there. Failing at this never changes a push."""

import logging
from datetime import datetime, timedelta
from typing import Any

from billing_bridge import contents, deciding, importing, periods
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushedBill
from billing_bridge.queues import FINISH
from integration_project import clock, finding, work
from integration_project.errors import BudgetSpent, IntegrationError, NotFound, Temporary, VendorClosed, VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Bill

logger = logging.getLogger(__name__)

ENTITY = "Bill"
TABLE = "SubscriptionCharge"
"""What our mappings of bills are called in m3ter; the id there is the push id, which every Paddle price carries."""
PENDING_AGAIN = timedelta(minutes=10)
CLOSED_AGAIN = timedelta(seconds=60)
TRIES_BEFORE_A_FINDING = 5
FINDING = "bill not finished in m3ter"


def finish_bill(bill: PushedBill, vendors: Vendors) -> None:
    """Lock a claimed pushed bill when its time has come, and note its push in m3ter."""
    push = bill.pushes.filter(state=Push.State.PUSHED).order_by("-ordinal").first()
    journal = Journal(bill, push, step="finish")
    try:
        with vendors.listening(before=lambda operation: work.renew(FINISH, bill), after=journal.listen):
            due_at = _lock(bill, vendors)
            _map(bill, push, vendors)
        journal.after("finish", "waits" if due_at else "done")
        work.settle(bill, due_at=due_at, attempts=0, last_error="")
        finding.settle(FINDING, bill.m3ter_bill_id, reason="It is finished.")
    except work.LeaseLost:
        logger.warning("%s: another worker owns it by now; nothing more is written.", bill)
    except IntegrationError as error:
        _not_finished(bill, journal, error)
    except Exception:
        logger.exception("%s: unforeseen, while finishing", bill)
        _not_finished(bill, journal, IntegrationError("Internal error: the log has the details."))


def _lock(bill: PushedBill, vendors: Vendors) -> datetime | None:
    """Lock the bill in m3ter. A time: try again then."""
    if bill.m3ter_locked or bill.outstanding:
        return None
    due_at = _may_lock_at(bill)
    if due_at > clock.now():
        return due_at
    try:
        answer = vendors.m3ter.lock_bill(bill.m3ter_bill_id)
    except VendorRejected as refused:
        return _refused(bill, vendors, refused)
    _remember_lock(bill, answer)
    if _is_another(bill, answer):
        importing.import_bill(bill.m3ter_bill_id, vendors)
    return None


def _may_lock_at(bill: PushedBill) -> datetime:
    latest = (
        bill.pushes.filter(settled_at__isnull=False)
        .order_by("-settled_at")
        .values_list("settled_at", flat=True)
        .first()
    )
    days = deciding.policy_for(bill.link).lock_after_days
    return (latest or bill.first_seen_at) + timedelta(days=days)


def _refused(bill: PushedBill, vendors: Vendors, refused: VendorRejected) -> datetime | None:
    """Read the bill to learn why: deleted, locked already, being calculated again, or something else."""
    if isinstance(refused, NotFound):
        importing.import_bill(bill.m3ter_bill_id, vendors)
        return None
    read_at = clock.now()
    current = vendors.m3ter.get_bill(bill.m3ter_bill_id)
    importing.record(current, read_at=read_at)
    if current.locked:
        _remember_lock(bill, current)
        return None
    if not current.is_approved:
        return clock.now() + PENDING_AGAIN
    raise refused


def _remember_lock(bill: PushedBill, answer: Bill) -> None:
    """Keep that the bill is locked, and that its period is."""
    bill.m3ter_locked = True
    periods.note_settled(bill)
    _remember(bill, m3ter_locked=True, locked_at=clock.now(), m3ter_version=max(answer.version, 0))


def _remember(bill: PushedBill, **columns: Any) -> None:
    """Keep what was done in m3ter at once, so that it is not done again: it is true whoever owns the bill by now."""
    PushedBill.objects.filter(pk=bill.pk).update(**columns, updated_at=clock.now())
    if not work.fenced(bill).exists():
        raise work.LeaseLost(f"{bill} belongs to another worker now.")
    for name, value in columns.items():
        setattr(bill, name, value)


def _is_another(bill: PushedBill, answer: Bill) -> bool:
    """Whether what was locked is not what was charged; where the answer has no lines, by its total."""
    if bill.revision is None:
        return True
    if answer.lines is not None:
        return contents.content_of(answer).hash != bill.revision.content_hash
    return answer.total is not None and contents.exact_text(answer.total) != bill.revision.total


def _map(bill: PushedBill, push: Push | None, vendors: Vendors) -> None:
    if bill.external_mapping_id or push is None:
        return
    mapping = vendors.m3ter.ensure_external_mapping(
        entity=ENTITY, m3ter_id=bill.m3ter_bill_id, table=TABLE, external_id=push.push_id
    )
    _remember(bill, external_mapping_id=mapping.id[:64])


def _not_finished(bill: PushedBill, journal: Journal, error: IntegrationError) -> None:
    words = str(error)
    wait = work.backoff(bill.attempts)
    attempts = bill.attempts
    if isinstance(error, BudgetSpent | VendorClosed):
        wait, attempts = CLOSED_AGAIN, max(bill.attempts - 1, 0)
    elif isinstance(error, Temporary) and error.retry_after:
        wait = timedelta(seconds=error.retry_after)
    journal.after("finish", "not done", words)
    work.settle(bill, due_at=clock.now() + wait, attempts=attempts, last_error=words)
    logger.warning("%s is charged, but not finished in m3ter: %s", bill, words)
    if attempts >= TRIES_BEFORE_A_FINDING:
        finding.report(
            FINDING,
            bill.m3ter_bill_id,
            detail=f"{bill} is charged in Paddle, but could not be locked or mapped in m3ter: {words}",
            next_step="Nothing is wrong with the charge. Lock the bill in m3ter, so that nobody changes it.",
        )
