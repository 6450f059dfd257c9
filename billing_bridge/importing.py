"""Reads bills from m3ter and keeps what each says, by revision. Decides what becomes of a bill; charges nothing."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from billing_bridge import charges, contents, deciding, ledger, looking, money, owed, periods, renewals
from billing_bridge.charges import Verdict, held, waiting
from billing_bridge.contents import Content
from billing_bridge.models import BillRevision, PushedBill
from billing_bridge.queues import FINISH, PUSH
from integration_project import clock, installation, wakeups, work
from integration_project.errors import Ignored, NotFound, Temporary, Unreadable
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Bill
from paddle_sync.models import EventAttempt, WebhookEvent

logger = logging.getLogger(__name__)

State = PushedBill.State
Reason = PushedBill.Reason

OPEN = frozenset({State.PUSHING, State.UNCONFIRMED})
"""While a push is open, nothing about the bill is computed."""
SETTLED = frozenset({State.PUSHED, State.CARRIED})
GOES_ON = frozenset({State.READY, State.WAITING})
ANOTHER_PUSH_AGAIN = timedelta(minutes=5)
ANOTHER_PUSH_WORDS = "Its account has another subscription, on which a bill is being charged; it goes on by itself."
PENDING_AGAIN = timedelta(hours=1)
"""A bill that m3ter is calculating is read again then, should neither notice nor poll have told of its approval."""
MOST_DIGITS = 13
"""Digits before the point of the largest total that is believed; in smallest units it fits every column."""
NO_CURRENCY = "XXX"
"""ISO's code for none, where m3ter names something that is no currency code."""


# --- One bill ---------------------------------------------------------------------------------------------------------


def import_bill(bill_id: str, vendors: Vendors) -> PushedBill | None:
    """Read a bill from m3ter and keep what it says; None when m3ter has no such bill, or has not approved it yet."""
    installation.require_match(installation.current())
    read_at = clock.now()
    try:
        bill = vendors.m3ter.get_bill(bill_id)
    except NotFound:
        return record_deleted(bill_id, read_at=read_at)
    return record(bill, read_at=read_at)


def record(bill: Bill, *, read_at: datetime) -> PushedBill | None:
    """Keep what a bill said when it was asked for, unless a newer version was read while this one was on its way.

    While one of its pushes is open nothing is kept: it is read again afterwards.
    """
    with transaction.atomic():
        known = _known(bill)
        if known is None or known.state in OPEN or _is_overtaken(known, bill, read_at):
            return known
        _keep(known, bill, read_at)
        _follow_link(known)
        if not bill.is_approved:
            _settle(known, _pending(known))
        elif (verdict := _next(known, changed=_take_revision(known, bill))) is not None:
            _settle(known, verdict)
    return known


def absorb(owner: PushedBill, bill: Bill, *, read_at: datetime, judge: bool = True) -> Verdict:
    """Keep what a claimed bill says now, for whoever is about to charge it, and say whether it may be charged.

    Without `judge`, only whether m3ter and its account's subscriptions let it.
    """
    with transaction.atomic():
        known = ledger.owned(owner)
        if bill.version < known.m3ter_version and known.m3ter_status != ledger.GONE:
            raise _older(known, bill)
        _keep(known, bill, read_at)
        try:
            _follow_link(known)
        except IntegrityError:  # the account has another subscription by now, and a bill is being charged on that one
            return waiting(Reason.ANOTHER_PUSH, ANOTHER_PUSH_WORDS, clock.now() + ANOTHER_PUSH_AGAIN)
        if not bill.is_approved:
            return _pending(known) or waiting(Reason.PENDING, PENDING_WORDS, clock.now() + PENDING_AGAIN)
        _take_revision(known, bill)
        return deciding.judge(known) if judge else charges.READY


def _known(bill: Bill) -> PushedBill | None:
    """The locked row of a bill; made when it is approved and new."""
    found = PushedBill.objects.select_for_update(of=ledger.LOCKABLE).filter(m3ter_bill_id=bill.id).first()
    if found is not None or not bill.is_approved:
        return found
    now = clock.now()
    fresh = PushedBill(
        m3ter_bill_id=bill.id,
        m3ter_account_id=bill.account_id,
        currency=_code(bill.currency),
        state=State.HELD,
        reason=Reason.REVIEW,
        first_seen_at=now,
        updated_at=now,
    )
    try:
        with transaction.atomic():
            fresh.save()
    except IntegrityError:  # another worker imported it in between
        pass
    return PushedBill.objects.select_for_update(of=ledger.LOCKABLE).get(m3ter_bill_id=bill.id)


def _is_overtaken(known: PushedBill, bill: Bill, read_at: datetime) -> bool:
    """Whether a newer version was read while this one was on its way; Unreadable where m3ter itself is behind."""
    if bill.version >= known.m3ter_version or known.m3ter_status == ledger.GONE:
        return False
    if known.m3ter_read_at is not None and read_at > known.m3ter_read_at:
        raise _older(known, bill)
    return True


def _older(known: PushedBill, bill: Bill) -> Unreadable:
    return Unreadable(
        f"m3ter answered with version {bill.version} of bill {bill.id}, of which version {known.m3ter_version} was "
        "read before; it is read again."
    )


def _follow_link(known: PushedBill) -> None:
    """Keep which subscription pays for the bill's account now, and when that renews; it rarely is another."""
    before = (known.link_id, known.serial_key, known.renews_at)
    known.link = deciding.live_link(known.m3ter_account_id)
    known.serial_key = deciding.serial_key(known, known.link)
    if known.state in renewals.FOLLOWS:
        known.renews_at = renewals.of(known.link)
    if before != (known.link_id, known.serial_key, known.renews_at):
        with transaction.atomic():
            known.save(update_fields=("link", "serial_key", "renews_at"))


def _keep(known: PushedBill, bill: Bill, read_at: datetime) -> None:
    before = _of_its_period(known)
    known.m3ter_account_id = bill.account_id
    known.m3ter_account_code = (bill.account_code or "")[:80]
    known.purchase_order_number = (bill.purchase_order_number or "")[:100]
    known.m3ter_version = max(bill.version, 0)
    known.m3ter_status = bill.status[:20]
    known.m3ter_locked = bill.locked
    known.m3ter_read_at = read_at
    known.bill_date = bill.bill_date
    known.period_start = bill.start_date
    known.period_end = bill.end_date
    known.save(
        update_fields=(
            "m3ter_account_id",
            "m3ter_account_code",
            "purchase_order_number",
            "m3ter_version",
            "m3ter_status",
            "m3ter_locked",
            "m3ter_read_at",
            "bill_date",
            "period_start",
            "period_end",
        )
    )
    if before != _of_its_period(known):
        periods.note_settled(known)


def _of_its_period(known: PushedBill) -> tuple[object, ...]:
    """What decides how usage of the bill's period is taken in."""
    period = (known.m3ter_account_id, known.period_start, known.period_end)
    return (*period, known.m3ter_status, known.m3ter_locked)


def _take_revision(known: PushedBill, bill: Bill) -> bool:
    """Make the bill's content its current revision; True when that is another one than before."""
    content = contents.content_of(bill)
    if known.revision is not None and known.revision.content_hash == content.hash:
        if known.payable != known.revision.payable:  # it was gone in between
            _count(known, known.revision)
        return False
    first_time = known.revision is None
    currency = _code(content.currency)
    rounded = _payable(content)
    revision, _ = BillRevision.objects.get_or_create(
        bill=known,
        content_hash=content.hash,
        defaults={
            "number": known.revisions.count() + 1,
            "m3ter_version": max(bill.version, 0),
            "currency": currency,
            "total": contents.exact_text(content.total),
            "payable": rounded.minor,
            "remainder": contents.exact_text(rounded.remainder),
            "lines": list(content.lines),
            "first_seen_at": clock.now(),
            "approved_at": bill.approved_at,
        },
    )
    known.revision = revision
    known.chosen_mode = ""  # it was chosen for what the bill said before
    known.save(update_fields=("revision", "chosen_mode"))
    _count(known, revision)
    return not first_time


def _count(known: PushedBill, revision: BillRevision) -> None:
    """Let the bill be what its revision says; never in another currency than what stands, or may stand, of it."""
    if known.currency != revision.currency:
        if known.entries.exists() or known.pushes.filter(sent_at__isnull=False).exists():
            return  # nothing is computed across currencies: it is held (charges.py)
        known.currency = revision.currency
        known.save(update_fields=("currency",))
    ledger.add_up(known, payable=revision.payable)


def _code(currency: str) -> str:
    return currency if len(currency) == len(NO_CURRENCY) else NO_CURRENCY


def _payable(content: Content) -> owed.Payable:
    """What Paddle would be asked for; nothing where it cannot be counted (such a bill is held)."""
    if content.currency not in money.EXPONENTS or content.total.adjusted() >= MOST_DIGITS:
        return owed.Payable(0, content.total)
    return owed.payable(content.total, content.currency)


PENDING_WORDS = "m3ter has taken its approval back, or calculates it again; it goes on when it is approved there."


def _pending(known: PushedBill) -> Verdict | None:
    """Approval was taken back in m3ter. What Paddle has already, or a person has decided, stays as it is."""
    if known.is_settled_in_part or known.state in DECIDED or _by_a_person(known) or _was_found_out(known):
        return None
    return waiting(Reason.PENDING, PENDING_WORDS, clock.now() + PENDING_AGAIN)


DECIDED = frozenset({State.SKIPPED, State.SUPERSEDED, State.FAILED, State.LOST})
"""Nothing comes of such a bill by itself, so it need not wait for m3ter's approval either."""


def _by_a_person(known: PushedBill) -> bool:
    return known.reason == Reason.OPERATOR and known.state in {State.HELD, State.SKIPPED}


def _next(known: PushedBill, *, changed: bool) -> Verdict | None:
    """Say what becomes of an approved bill that has been read; None: it stays what it is."""
    if known.state == State.LOST:
        is_settled = not known.outstanding and not deciding.in_doubt_words(known)
        return _nothing_is_lost(known) if changed and is_settled else None
    if known.is_settled_in_part and (verdict := _after_settling(known, changed=changed)) is not JUDGE:
        return verdict
    if known.state == State.FAILED and not changed:
        return None
    if _by_a_person(known):
        if not changed:
            return None
        before = "skipped" if known.state == State.SKIPPED else "held"
        return held(Reason.OPERATOR, f"A person {before} it, and m3ter has changed it since: {known.reason_detail}")
    if _was_found_out(known) and not changed:
        return None
    return deciding.judge(known)


def _nothing_is_lost(known: PushedBill) -> Verdict:
    """m3ter has lowered a bill to what stands of it, so nothing of what Paddle will not collect is owed any more."""
    looking.loss_is_dealt_with(known, "m3ter has changed the bill, and nothing of it is open.")
    return Verdict(State.PUSHED if known.in_paddle else State.CARRIED, due_at=clock.now())


def _was_found_out(known: PushedBill) -> bool:
    return known.state == State.HELD and known.reason in FOUND_OUT_LATER


FOUND_OUT_LATER = frozenset(
    {
        Reason.CHANGED,
        Reason.NEGATIVE,
        Reason.BELOW_MINIMUM,
        Reason.REFUND,
        Reason.RENEWAL_TOO_FAR,
        Reason.CANCELLED,
        Reason.CONFIGURATION,
        Reason.MODE,
        Reason.PAUSED,
        Reason.COLLECTED,
        Reason.SENT_ELSEWHERE,
        Reason.CANNOT_TELL,
        Reason.WORKERS_LOST,
    }
)
"""Reasons that Paddle gave when it was asked: the bill says the same as then, so only a person can try again."""


JUDGE = Verdict("judge")
"""No verdict: the bill is judged like any other."""


def _after_settling(known: PushedBill, *, changed: bool) -> Verdict | None:
    """What becomes of a bill of which something stands in Paddle or the balance, as far as that decides it."""
    if known.revision is not None and known.revision.currency != known.currency:
        return None if _by_a_person(known) or not changed else JUDGE
    if known.outstanding == 0:
        if deciding.in_doubt_words(known):
            return None
        if known.state in {State.HELD, State.WAITING, State.READY, State.FAILED} and not _by_a_person(known):
            return Verdict(State.PUSHED if known.in_paddle else State.CARRIED, due_at=clock.now())
        return None
    if known.state == State.HELD and not changed and not _by_a_person(known):
        return None if known.reason != Reason.DELETED else JUDGE
    return JUDGE


def _settle(known: PushedBill, verdict: Verdict | None) -> None:
    """Write what was decided about a locked bill that no worker holds for a push.

    A worker that holds it to finish it in m3ter loses it: what it would write is about what the bill was before.
    """
    if verdict is None:
        return
    if known.state == verdict.state and verdict.chargeable and known.due_at is not None:
        return  # it has a place in the queue already
    if known.state in SETTLED and verdict.state not in SETTLED:  # what is open of it goes with another renewal
        known.renews_at = renewals.of(known.link)
    for column, value in deciding.columns(verdict).items():
        setattr(known, column, value)
    known.attempts = 0
    known.lease, known.lease_until, known.leased_by = None, None, ""
    known.save(
        update_fields=(
            "state",
            "reason",
            "reason_detail",
            "due_at",
            "updated_at",
            "attempts",
            "renews_at",
            "lease",
            "lease_until",
            "leased_by",
        )
    )
    if known.due_at is not None:
        work.wake_up(FINISH if known.state in SETTLED else PUSH)


def record_deleted(bill_id: str, *, read_at: datetime) -> PushedBill | None:
    """m3ter has no such bill: what is known of it is held, with nothing payable, for a person to look at."""
    with transaction.atomic():
        known = PushedBill.objects.select_for_update(of=ledger.LOCKABLE).filter(m3ter_bill_id=bill_id).first()
        if known is None or known.state in OPEN or known.state == State.SUPERSEDED:
            return known
        if known.m3ter_read_at is not None and known.m3ter_read_at > read_at:
            return known  # it was there when it was asked for later
        if known.m3ter_status == ledger.GONE and known.state in GOES_ON and known.chosen_mode:
            return known  # a person has seen that it is gone, and has it refunded
        ledger.add_up(known, payable=0)
        known.m3ter_status = ledger.GONE
        known.m3ter_read_at = read_at
        known.reviewed_revision = None
        known.save(update_fields=("m3ter_status", "m3ter_read_at", "reviewed_revision"))
        periods.note_settled(known)
        if known.reason != Reason.DELETED and (known.is_settled_in_part or not _by_a_person(known)):
            _settle(known, deciding.deleted_verdict(known))
    return known


def absorb_deletion(owner: PushedBill) -> Verdict:
    """The claimed bill turned out to be deleted in m3ter."""
    with transaction.atomic():
        ledger.still_owned(owner)
        known = ledger.locked(owner.pk)
        ledger.add_up(known, payable=0)
        PushedBill.objects.filter(pk=known.pk).update(m3ter_status=ledger.GONE, m3ter_read_at=clock.now())
        known.m3ter_status = ledger.GONE
        periods.note_settled(known)
        return deciding.deleted_verdict(known)


def outcome_of(known: PushedBill | None) -> str:
    if known is None:
        return "not approved yet"
    return f"{known.state}: {known.reason}" if known.reason else str(known.state)


ENDS_BY_ITSELF = frozenset({Reason.PERIOD_OPEN, Reason.MAPPING, Reason.NOT_LIVE, Reason.BEFORE_GO_LIVE})


def reconsider() -> int:
    """Judge again the bills whose reason may have ended by itself: a link, a period's end, the go-live date."""
    count = 0
    for bill in _to_reconsider():
        count += reconsider_one(bill.pk)
    return count


def _to_reconsider() -> Iterator[PushedBill]:
    due = PushedBill.objects.filter(state=State.HELD, reason=Reason.PERIOD_OPEN, period_end__lte=deciding.today())
    yield from due.iterator()
    for bill in PushedBill.objects.filter(state=State.HELD, reason=Reason.MAPPING).iterator():
        if deciding.live_link(bill.m3ter_account_id) is not None:
            yield bill
    if installation.current().charge_from is not None:
        yield from PushedBill.objects.filter(state=State.WAITING, reason=Reason.NOT_LIVE).iterator()


def reconsider_one(bill_id: int) -> bool:
    """Judge a bill again that no worker holds; True when that changed its state or reason."""
    with transaction.atomic():
        known = ledger.locked(bill_id)
        settled = known.is_settled_in_part
        if known.state not in {State.HELD, State.WAITING, State.SKIPPED} or settled or known.revision is None:
            return False
        if known.reason not in ENDS_BY_ITSELF:  # a person has decided since it was listed
            return False
        before = (known.state, known.reason)
        _follow_link(known)
        _settle(known, deciding.judge(known))
        return before != (known.state, known.reason)


# --- Notices ----------------------------------------------------------------------------------------------------------

AT_MOST_EVERY = timedelta(seconds=5)
"""However many notices name a bill, it is read this often at most."""


def bill_noticed(event: WebhookEvent, vendors: Vendors) -> None:
    """m3ter says that something about a bill has changed: read it, or all unfinished ones where none is named."""
    if not event.subject_id:
        wakeups.ask_for("poll of bills", POLL)
        event.note = "It names no bill: all unfinished bills are looked through."
        return
    last_read = _last_read(event)
    if last_read is not None and last_read > event.received_at:
        raise Ignored("The bill was read after this notice came.")
    if last_read is not None and clock.now() - last_read < AT_MOST_EVERY:
        wait = AT_MOST_EVERY - (clock.now() - last_read)
        raise Temporary("The bill was read a moment ago.", retry_after=max(wait.total_seconds(), 0.1))
    known = import_bill(event.subject_id, vendors)
    event.note = f"Bill read. {outcome_of(known).capitalize()}."


POLL = "billing_bridge.jobs.import_new_bills"


def _last_read(event: WebhookEvent) -> datetime | None:
    """When a notice last had this bill read, at the earliest: the attempt had begun then."""
    others = EventAttempt.objects.filter(
        event__source=WebhookEvent.Source.M3TER,
        event__subject_id=event.subject_id,
        outcome=WebhookEvent.State.PROCESSED,
    )
    return others.order_by("-started_at").values_list("started_at", flat=True).first()
