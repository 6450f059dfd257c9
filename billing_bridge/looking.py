"""Looks in Paddle for a charge that may have been made, and settles what it finds. Sends nothing."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import product

from django.db import transaction

from billing_bridge import classic_refunds, deciding, ledger, modes, money, outcomes
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushAttempt, PushedBill
from billing_bridge.modes import CannotTell
from billing_bridge.queues import CONFIRM, PUSH
from integration_project import clock, finding, installation, work
from integration_project.errors import IntegrationError, Temporary
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import CANCELED, FoundCharge
from paddle_sync.models import AccountLink

logger = logging.getLogger(__name__)

State = PushedBill.State

SCHEDULE = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=60),
)
"""How long after the request Paddle is looked through; its reads lag its writes, so one look proves nothing."""
SHORTEST_GAP = timedelta(seconds=15)
LOOK_AGAIN = timedelta(seconds=60)
"""After a look-up that was refused or could not be finished; the schedule does not advance by it."""
DAY = timedelta(days=1)
UNCONFIRMED = "charge unconfirmed"
LOST = "charge lost"
TWICE = "charged twice"
COLLECTED = "lost and collected"
NOT_REFUNDED = "refund not made"
NOT_LOOKED = "charge not looked for"
CANNOT_TELL = "cannot tell"
"""How a look-up ended that saw all there is, and could not tell by it."""
ANOTHER_OPEN = "another charge open"
UNKNOWN_FOR_LONG = timedelta(hours=1)
"""So long after the request the look-ups should be over; where they could not be made, somebody must know."""
CANCELLED_WORDS = "Its subscription was cancelled before Paddle collected it; Paddle forgives what was pending."


def next_look(sent_at: datetime, looks: int) -> datetime | None:
    """When to look next, after so many look-ups that counted and found nothing; None after the whole schedule."""
    if looks >= len(SCHEDULE):
        return None
    return max(sent_at + SCHEDULE[looks], clock.now() + SHORTEST_GAP)


def look(
    push: Push, vendors: Vendors, journal: Journal, *, also_on: Sequence[str] = (), ways: Sequence[str] = ()
) -> FoundCharge | None:
    """Search Paddle for a push, every page of history and transactions; raises when a page could not be read.

    A push that is found on one of the other subscriptions belongs to that one from now on; it is not saved here.
    "absent" is written down only when all of them have been searched, in every way that it may have been charged.
    CannotTell is raised only then, too: where it is found, it does not matter what could not be told elsewhere.
    """
    subscriptions = (push.paddle_subscription_id, *also_on)
    journal.before("look", f"push {push.push_id} on {', '.join(subscriptions)}")
    open_questions = []
    for subscription_id, way in _places(subscriptions, ways or _ways(push)):
        try:
            found = modes.of(way).find(push, subscription_id=subscription_id, since=earliest(push), vendors=vendors)
        except CannotTell as unknown:
            open_questions.append(str(unknown))
            continue
        if found is not None and found.billed:
            push.paddle_subscription_id, push.mode = subscription_id, way
            journal.after("look", "found", f"{subscription_id}: {_where(found)}")
            return found
    if open_questions:
        journal.after("look", CANNOT_TELL, " ".join(open_questions))
        raise CannotTell(" ".join(open_questions))
    journal.after("look", "absent", _where(None))
    return None


def _ways(push: Push) -> tuple[str, ...]:
    """How it may have been charged: after its first attempt, in any way that asks for the same kind of thing."""
    asked = modes.of(push.mode)
    if push.attempt <= 1:
        return (push.mode,)
    others = [name for name, mode in modes.MODES.items() if mode.vendor == asked.vendor]
    return tuple(name for name in others if modes.of(name).gives_back == asked.gives_back)


def _places(subscriptions: Sequence[str], ways: Sequence[str]) -> list[tuple[str, str]]:
    """Where to look, and for what: each subscription in the ways of the product that keeps it."""
    links = AccountLink.objects.filter(paddle_subscription_id__in=subscriptions)
    kept_by = dict(links.values_list("paddle_subscription_id", "source"))
    pairs = product(subscriptions, ways)
    return [pair for pair in pairs if kept_by.get(pair[0], modes.of(pair[1]).vendor) == modes.of(pair[1]).vendor]


def other_subscriptions(push: Push) -> list[str]:
    """Where else the original of a restored database may have made this push: wherever its account has been."""
    links = AccountLink.objects.filter(m3ter_account_id=push.bill.m3ter_account_id)
    others = links.exclude(paddle_subscription_id=push.paddle_subscription_id)
    return list(others.order_by("id").values_list("paddle_subscription_id", flat=True))


def earliest(push: Push) -> datetime:
    """Since when a push can have been made: not before its period began, whichever database made it."""
    written = push.created_at - DAY
    start = push.bill.period_start
    return min(written, datetime.combine(start, time.min, UTC) - DAY) if start else written


def _where(found: FoundCharge | None) -> str:
    if found is None:
        return "No trace in the subscription's history, nor in its transactions."
    transaction_words = f", transaction {found.transaction_id}" if found.transaction_id else ""
    return f"Found in the {found.where}{transaction_words}."


def is_first_after_restore(push: Push) -> bool:
    """After a restore, whether this push has not yet been looked for: the original may have made it."""
    ours = installation.current()
    if not ours.look_before_first_push:
        return False
    if ours.restore_confirmed_at is None:  # nobody knows which looks came after the restore, so none counts
        return True
    return not PushAttempt.objects.filter(
        push=push, step="look", phase="after", outcome="absent", at__gte=ours.restore_confirmed_at
    ).exists()


def record_found(push: Push, found: FoundCharge, *, owner: PushedBill | None) -> bool:
    """Note what a look-up found and where; twice the same push is an alarm, since it was charged twice."""
    with transaction.atomic():
        _of_its_kind(push)
        recorded = record_made(
            push,
            amount=found.amount,
            detail=f"Found by looking. {_where(found)}",
            owner=owner,
            transaction_id=found.transaction_id or "",
        )
        if recorded:
            Push.objects.filter(pk=push.pk).update(paddle_subscription_id=push.paddle_subscription_id, mode=push.mode)
        if found.times > 1:
            report_double(push, f"{found.times} times: in {' and '.join(found.places)}")
    return recorded


def _of_its_kind(push: Push) -> None:
    """What was found is what it was found as: after a restore, the original may have charged what a copy refunds."""
    is_refund = modes.of(push.mode).gives_back
    if is_refund != (push.kind == Push.Kind.REFUND):
        push.kind = Push.Kind.REFUND if is_refund else Push.Kind.CORRECTION
        Push.objects.filter(pk=push.pk).update(kind=push.kind)


def record_made(push: Push, *, amount: int, detail: str, owner: PushedBill | None, transaction_id: str = "") -> bool:
    """Note that Paddle has a push, and whatever follows from that: all of it, or nothing. False: it was known."""
    with transaction.atomic(savepoint=False):
        recorded = outcomes.record_pushed(
            push.pk, amount=amount, detail=detail, owner=owner, transaction_id=transaction_id
        )
        finding.settle_kinds((UNCONFIRMED, NOT_LOOKED), push.push_id, reason=detail)
        if recorded:
            _report_another_open(push)
        mode = modes.of(push.mode)
        if recorded and mode.is_collected(transaction_id):
            classic_refunds.note_collected(push.pk, transaction_id)
        is_pending = recorded and not transaction_id and mode in modes.WITH_RENEWAL
        if is_pending and _is_cancelled(push.paddle_subscription_id):
            lose(push, CANCELLED_WORDS)
    return recorded


def _report_another_open(push: Push) -> None:
    """Raise the alarm that a bill whose push Paddle has may be charged once more: another push of it is open."""
    for other in ledger.open_beside(push):
        finding.report(
            ANOTHER_OPEN,
            other.push_id,
            detail=f"The bill has another charge open: Paddle has {push.push_id} on {push.paddle_subscription_id}, "
            f"and {other.push_id} of {money.words(other.amount, other.currency)} on "
            f"{other.paddle_subscription_id} is under way or unconfirmed.",
            next_step=f"Look in Paddle whether {other.paddle_subscription_id} has push {other.push_id} too. If so, the "
            "customer is charged twice: refund one of them once it is paid. The bill is not charged again.",
            severity=Finding.Severity.ALARM,
        )


def lose(push: Push, words: str) -> None:
    """What Paddle accepted will not be collected: it is owed again, and Finance must choose how."""
    with transaction.atomic():
        if not outcomes.record_lost(push.pk, detail=words):
            return
        if push.kind == Push.Kind.REFUND:
            _report_no_refund(push, words)
            return
        finding.report(
            LOST,
            push.push_id,
            detail=f"Paddle accepted {money.words(push.amount, push.currency)} on {push.paddle_subscription_id} and "
            f"will not collect it. {words}",
            next_step="On the bill's page, resend it, or skip it once it is settled in another way.",
            severity=Finding.Severity.ALARM,
        )
    logger.warning("push %s is lost: %s", push.push_id, words)


def loss_is_dealt_with(bill: PushedBill, reason: str) -> None:
    """Nobody has to choose any more what becomes of what Paddle will not collect of a bill."""
    for push_id in bill.pushes.filter(state=Push.State.LOST).values_list("push_id", flat=True):
        finding.settle(LOST, push_id, reason=reason)


def _report_no_refund(push: Push, words: str) -> None:
    finding.report(
        NOT_REFUNDED,
        push.push_id,
        detail=f"The refund of {money.words(push.amount, push.currency)} on transaction {push.paddle_transaction_id} "
        f"did not reach the customer. {words}",
        next_step="On the bill's page, refund it on another payment, carry it to the next bills, or write it off.",
        severity=Finding.Severity.ALARM,
    )


def report_collected(push: Push, transaction_id: str) -> None:
    """Raise the alarm that what was taken for lost is in Paddle; that it was lost holds no more."""
    finding.settle(LOST, push.push_id, reason=f"It is in transaction {transaction_id} after all.")
    finding.report(
        COLLECTED,
        push.push_id,
        detail=f"Push {push.push_id} was taken for lost, but it is in transaction {transaction_id}.",
        next_step="Do not charge it again: skip the bill, or refund what is too much.",
        severity=Finding.Severity.ALARM,
    )


def note_cancellation(subscription_id: str) -> bool:
    """Note that a subscription is cancelled, which it stays for good, before what it still owed is gone through."""
    with transaction.atomic():
        link = AccountLink.objects.select_for_update().filter(paddle_subscription_id=subscription_id).first()
        if link is None or link.paddle_status == CANCELED:
            return False
        link.paddle_status, link.updated_at = CANCELED, clock.now()
        link.save(update_fields=["paddle_status", "updated_at"])
    return True


def _is_cancelled(subscription_id: str) -> bool:
    """Whether a subscription is known to be cancelled; locked, so that a charge recorded now is seen by whoever notes
    its cancellation afterwards."""
    link = AccountLink.objects.select_for_update().filter(paddle_subscription_id=subscription_id).first()
    return link is not None and link.paddle_status == CANCELED


def report_double(push: Push, how_often: str) -> None:
    """Raise the alarm that Paddle has a push more than once."""
    finding.report(
        TWICE,
        push.push_id,
        detail=f"Paddle has push {push.push_id} of {money.words(push.amount, push.currency)} {how_often}.",
        next_step=f"Refund what is too much on {push.paddle_subscription_id} in Paddle, once it is paid.",
        severity=Finding.Severity.ALARM,
    )


def confirm_bill(bill: PushedBill, vendors: Vendors) -> None:
    """Look once for a claimed unconfirmed bill's push, and settle the bill by what was seen."""
    push = bill.pushes.filter(state=Push.State.UNCONFIRMED).select_related("bill").order_by("-ordinal").first()
    if push is None:
        work.settle(bill, due_at=None)
        return
    journal = Journal(bill, push)
    try:
        with vendors.listening(before=lambda operation: work.renew(CONFIRM, bill), after=journal.listen):
            found = look(push, vendors, journal)
        if found is not None:
            record_found(push, found, owner=bill)
            logger.info("%s: push %s was found by looking", bill, push.push_id)
        else:
            _absent(bill, push)
    except CannotTell as unknown:
        _absent(bill, push, unknown=str(unknown))
    except work.LeaseLost:
        logger.warning("%s: another worker owns it by now; nothing more is written.", bill)
    except IntegrationError as error:
        _not_looked(bill, push, journal, error)
    except Exception:
        logger.exception("%s: unforeseen, while looking", bill)
        _not_looked(bill, push, journal, IntegrationError("Internal error while looking: the log has the details."))


def _absent(bill: PushedBill, push: Push, *, unknown: str = "") -> None:
    """A complete look-up found nothing: look again later, or leave it to a person after the whole schedule.

    `unknown` says what it saw instead of a trace, where that leaves the question open: then only a person can answer.
    """
    finding.settle(NOT_LOOKED, push.push_id, reason="A look-up was completed.")
    looks = bill.looks + 1
    due_at = next_look(push.sent_at or push.created_at, looks)
    if due_at is not None:
        words = unknown or f"No trace in Paddle after {looks} of {len(SCHEDULE)} look-ups."
        work.settle(bill, due_at=due_at, looks=looks, reason_detail=words, last_error="")
        return
    if deciding.policy_for(bill.link).resend_when_absent and not unknown:
        _resend(bill, push, looks)
        return
    seen = unknown or f"No trace in Paddle after all {looks} look-ups."
    words = f"{seen} A person must say whether it was charged."
    with transaction.atomic():
        if not work.settle(bill, due_at=None, looks=looks, reason_detail=words, last_error=""):
            return
        finding.report(
            UNCONFIRMED,
            push.push_id,
            detail=f"A charge of {money.words(push.amount, push.currency)} on {push.paddle_subscription_id} was sent "
            f"and not answered. {seen}",
            next_step="Look at the subscription in Paddle's console; say on the bill's page whether it was charged.",
            severity=Finding.Severity.ALARM,
        )


def _resend(bill: PushedBill, push: Push, looks: int) -> None:
    """Policy lets what left no trace be sent again; the next attempt looks once more before it sends."""
    words = f"No trace in Paddle after all {looks} look-ups; it is sent again, as the policy says."
    try:
        with transaction.atomic():
            ledger.still_owned(bill)
            push.state = Push.State.INTENDED
            push.detail = words
            push.save(update_fields=("state", "detail"))
            push.release_carried()
            work.settle(
                bill, state=State.READY, reason_detail=words, due_at=clock.now(), looks=0, attempts=0, last_error=""
            )
            ledger.resume(push.paddle_subscription_id)
            work.wake_up(PUSH)
    except work.LeaseLost:
        logger.warning("%s: another worker owns it by now; nothing more is written.", bill)


def _not_looked(bill: PushedBill, push: Push, journal: Journal, error: IntegrationError) -> None:
    """The look-up was refused or broke off: it counts for nothing. That it goes on like that does not stay unsaid."""
    wait = LOOK_AGAIN
    if isinstance(error, Temporary) and error.retry_after:
        wait = timedelta(seconds=error.retry_after)
    with transaction.atomic():
        journal.after("look", "not complete", str(error))
        if not work.settle(bill, due_at=clock.now() + wait, last_error=str(error)):
            return
        sent_at = push.sent_at or push.created_at
        if clock.now() - sent_at < UNKNOWN_FOR_LONG:
            return
        finding.report(
            NOT_LOOKED,
            push.push_id,
            detail=f"A charge of {money.words(push.amount, push.currency)} on {push.paddle_subscription_id} was sent "
            f"at {sent_at:%Y-%m-%d %H:%M} UTC and not answered, and Paddle could not be searched for it: {error}",
            next_step="Correct what keeps Paddle from being searched; the look-ups go on by themselves.",
            severity=Finding.Severity.ALARM,
        )
