"""Charges bills in Paddle, each exactly once although Paddle knows no idempotency keys. The only module that charges.

    intent       the push and its id are written down; at most one is open per subscription
    look         where an earlier attempt may have been sent, Paddle is searched for it first
    preview      tells what the charge would do, and what the subscription is at this moment
    sent_at      is committed just before the request: from here on no answer means unconfirmed, never again
    charge       the one request
    outcome      pushed, refused, not sent, or unconfirmed; an unconfirmed one is settled by looking only

Everything written after the claim is fenced by the bill's lease. A worker that loses it writes nothing more, except
that Paddle has accepted its charge: that is true whoever owns the bill by now.
"""

import logging

from django.db import transaction

from billing_bridge import (
    carrying,
    charges,
    deciding,
    drafting,
    importing,
    intending,
    ledger,
    looking,
    modes,
    previewing,
    renewals,
    safeguards,
    setbacks,
    settlement,
    withdrawing,
)
from billing_bridge.charges import Verdict
from billing_bridge.drafting import Intent, NotNow
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import CannotTell, Seen
from billing_bridge.netting import Netting
from billing_bridge.previewing import Unsettled
from billing_bridge.queues import CONFIRM, FINISH, FIRST_LOOK, PUSH
from integration_project import circuits, clock, finding, work
from integration_project.errors import (
    BudgetSpent,
    IntegrationError,
    NotFound,
    OutcomeUnknown,
    VendorClosed,
)
from integration_project.models import Finding
from integration_project.vendors import PADDLE, Vendors

logger = logging.getLogger(__name__)

State = PushedBill.State
Reason = PushedBill.Reason

NOT_SENT = (BudgetSpent, VendorClosed)
"""Nothing was asked of the vendor on the bill's behalf, so the attempt does not count."""


def push_bill(bill: PushedBill, vendors: Vendors) -> None:
    """Charge a claimed bill, or find out why not, and settle it either way."""
    journal = Journal(bill)
    try:
        with vendors.listening(before=lambda operation: work.renew(PUSH, bill), after=journal.listen):
            _push(bill, vendors, journal)
    except work.LeaseLost:
        logger.warning("%s: another worker owns it by now; nothing more is written.", bill)
    except NotNow as reason:
        _close(bill, journal, reason.verdict)
    except Unsettled as reason:
        _unconfirmed(bill, journal, str(reason))
    except IntegrationError as error:
        _not_charged(bill, journal, error)
    except Exception:
        logger.exception("%s: unforeseen", bill)
        _internal(bill, journal)


def _push(bill: PushedBill, vendors: Vendors, journal: Journal) -> None:
    if safeguards.what_stands_in_the_way():
        raise VendorClosed(PADDLE, safeguards.why_no_push())
    circuits.all_to_try((*drafting.mode_of(bill).needs, *previewing.NEEDED))
    begun = bill.pushes.exists()
    _up_to_date(bill, vendors, judge=begun)
    if begun:
        _look_for_what_was_lost(bill, vendors, journal)
        if _is_where_it_was_sent(bill, vendors, journal):
            return
        withdrawing.withdraw(bill, vendors, journal)
    _look_for_what_was_carried(bill, vendors)
    intent = intending.write_intent(bill, journal)
    if intent is None:
        return
    journal.push, journal.step = intent.push, "preview"
    if intent.mode.vendor == PADDLE and not safeguards.history_is_proven():
        safeguards.prove_history(vendors, intent.push.paddle_subscription_id)
    if _is_there(bill, intent, vendors, journal):
        return
    intent = _preview(bill, intent, vendors, journal)
    _write_sent(bill, intent, journal)
    _charge(bill, intent, vendors, journal)


def _up_to_date(bill: PushedBill, vendors: Vendors, *, judge: bool) -> None:
    """Make sure that what is charged is what m3ter says, approved, now; and that nothing else stands in the way.

    Without `judge`, whoever writes the intent judges; that is done in any case, and comes next for a first push.
    """
    if bill.m3ter_status == ledger.GONE and bill.chosen_mode and modes.of(bill.chosen_mode).gives_back:
        return  # m3ter cannot say any more about it, and a person has looked at it
    if previewing.is_fresh(bill):
        verdict = deciding.judge(bill) if judge else charges.READY
    else:
        read_at = clock.now()
        try:
            read = vendors.m3ter.get_bill(bill.m3ter_bill_id)
            verdict = importing.absorb(bill, read, read_at=read_at, judge=judge)
        except NotFound:
            verdict = importing.absorb_deletion(bill)
        bill.refresh_from_db(
            fields=("revision", "chosen_mode", "payable", "outstanding", "pushed", "serial_key", "period_start")
        )
    if not verdict.chargeable:
        raise NotNow(verdict)


def _look_for_what_was_lost(bill: PushedBill, vendors: Vendors, journal: Journal) -> None:
    """Before what was lost is charged again: Paddle may have collected it after all, and the news may not have come.

    That it was accepted stands in the history for ever; only a transaction says that it is not lost.
    """
    for lost in ledger.lost_charges(bill.pushes.select_related("bill")):
        journal.push = lost
        try:
            found = looking.look(lost, vendors, journal)
        except CannotTell:  # that it is lost was decided by all that can be known
            continue
        if found is not None and found.transaction_id is not None:
            looking.report_collected(lost, found.transaction_id)
            raise NotNow(charges.held(Reason.COLLECTED, deciding.collected_words(lost.push_id, found.transaction_id)))
    journal.push = None


def _look_for_what_was_carried(bill: PushedBill, vendors: Vendors) -> None:
    """The same before a bill takes what others left for it to charge: what was collected after all is called in."""
    for lost in carrying.lost_and_left(bill).select_related("bill"):
        transaction_id = lost.paddle_transaction_id if _was_collected(lost) else _where_it_was_paid(lost, vendors)
        if transaction_id is not None:
            with transaction.atomic():
                settlement.collected_after_all(ledger.locked(lost.bill_id), lost, transaction_id)


def _was_collected(lost: Push) -> bool:
    return lost.payment == PushedBill.Payment.PAID


def _where_it_was_paid(lost: Push, vendors: Vendors) -> str | None:
    """Look for the transaction that a lost push was paid with; None where there is none, or nobody can tell."""
    try:
        found = looking.look(lost, vendors, Journal(lost.bill, lost))
    except CannotTell:
        return None
    return found.transaction_id if found is not None and settlement.is_paid(found.transaction_status) else None


def _is_where_it_was_sent(bill: PushedBill, vendors: Vendors, journal: Journal) -> bool:
    """Look for a push where it may have been sent, if it is not what would be sent now, or not there any more."""
    last = drafting.last_push(bill)
    link = deciding.live_link(bill.m3ter_account_id)
    if last is None or link is None:
        return False
    if not drafting.was_left_behind(last, link.paddle_subscription_id, drafting.mode_of(bill)):
        return False
    journal.push = last
    try:
        found = looking.look(last, vendors, journal)
    except CannotTell as unknown:
        if not drafting.was_released(last):
            raise NotNow(drafting.left_behind(last, link.paddle_subscription_id, seen=str(unknown))) from None
        found = None
    if found is not None:
        looking.record_found(last, found, owner=bill)
        return True
    if not drafting.was_released(last):
        raise NotNow(drafting.left_behind(last, link.paddle_subscription_id))
    journal.push = None
    return False


def _is_there(bill: PushedBill, intent: Intent, vendors: Vendors, journal: Journal) -> bool:
    """Look for a push that may be known to Paddle: from an attempt here, or from the database this is a copy of."""
    push = intent.push
    restored = looking.is_first_after_restore(push)
    if push.sent_at is None and not restored:
        return False
    also_on = looking.other_subscriptions(push) if restored else ()
    ways = tuple(modes.MODES) if restored else (intent.sent_in,)
    try:
        found = looking.look(push, vendors, journal, also_on=also_on, ways=ways)
    except CannotTell as unknown:
        if not drafting.was_answered(push):
            raise NotNow(charges.held(Reason.CANNOT_TELL, str(unknown))) from None
        return False
    if found is not None:
        looking.record_found(push, found, owner=bill)
    return found is not None


# --- Preview ----------------------------------------------------------------------------------------------------------


def _preview(bill: PushedBill, intent: Intent, vendors: Vendors, journal: Journal) -> Intent:
    """Ask Paddle what the charge would do. Its answer is also the freshest word on the subscription."""
    journal.step = "preview"
    push = intent.push

    def note(seen: Seen) -> None:
        push.expected_renewal_at = bill.renews_at = seen.renews_at
        journal.renewal_seen = True
        if seen.there_already and seen.request is not None:
            push.paddle_transaction_id = seen.request.paddle_transaction_id
        for mark in sorted(seen.pending - _known(seen.pending)):
            settlement.report_mark(mark, f"The next renewal of {bill.serial_key}")

    def switch(before: Intent, name: str) -> Intent:
        return intending.in_another_way(bill, before, name, journal)

    return previewing.ask(intent, vendors, note=note, switch=switch)


def _known(marks: frozenset[str]) -> set[str]:
    """Which of the pushes that Paddle shows as pending were made by this database."""
    return set(Push.objects.filter(push_id__in=marks).values_list("push_id", flat=True)) if marks else set()


# --- Charge -----------------------------------------------------------------------------------------------------------


def _write_sent(bill: PushedBill, intent: Intent, journal: Journal) -> None:
    """Commit that the request is about to leave. Whoever finds this without an outcome looks, and never sends."""
    push = intent.push
    with transaction.atomic():
        known = ledger.owned(bill)
        push.amount = intent.request.amount
        _refuse_another_amount(known, push)
        _refuse_what_was_collected(bill)
        _refuse_what_others_collected(push)
        _refuse_what_was_given_back(known)
        push.sent_at = clock.now()
        push.mode = intent.mode.name
        push.items = intent.request.items
        push.paddle_transaction_id = intent.request.paddle_transaction_id
        push.paddle_customer_id = intent.request.paddle_customer_id or push.paddle_customer_id
        push.save(
            update_fields=(
                "sent_at",
                "amount",
                "mode",
                "items",
                "expected_renewal_at",
                "paddle_transaction_id",
                "paddle_customer_id",
            )
        )
        work.fenced(bill).update(renews_at=bill.renews_at)
        words = f"{push.push_id}, attempt {push.attempt}, {intent.mode.label.lower()}"
        journal.after_and_before("preview", "ok", "charge", words)


def _refuse_another_amount(bill: PushedBill, push: Push) -> None:
    """Another push of the bill may have shown late while this one was prepared: then less is open than it asks for."""
    if push.kind == Push.Kind.REFUND:  # what one transaction has left may be less than all that is owed
        if 0 < push.amount <= -bill.outstanding:
            return
    elif bill.outstanding + push.carried == push.amount:
        return
    if bill.outstanding == 0:
        raise NotNow(charges.nothing_more(clock.now()))
    raise NotNow(charges.held(Reason.CHANGED, charges.changed_words(bill)))


def _refuse_what_was_collected(bill: PushedBill) -> None:
    """The last moment at which news of a lost push can keep a charge from being sent; the bill is locked."""
    words = deciding.collected(bill)
    if words:
        raise NotNow(charges.held(Reason.COLLECTED, words))


def _refuse_what_others_collected(push: Push) -> None:
    """The same for losses of other bills that this push charges with its own: the next attempt takes them no more."""
    sources = push.reserved_entries.filter(remaining__gt=0).values("source_bill")
    for lost in ledger.lost_charges(Push.objects.filter(bill__in=sources)).select_for_update(of=ledger.LOCKABLE):
        if _was_collected(lost):
            words = deciding.collected_words(lost.push_id, lost.paddle_transaction_id)
            raise NotNow(Verdict(State.READY, "", f"{words} What was carried of it is called in first."))


def _refuse_what_was_given_back(bill: PushedBill) -> None:
    """The last moment for news that somebody else has given back what a locked bill is about to."""
    told = charges.told_words(bill, deciding.gone_outside(bill), deciding.others_ask_for(bill))
    if told:
        raise NotNow(charges.held(Reason.CHANGED, f"{charges.changed_words(bill)} {told}"))


def _charge(bill: PushedBill, intent: Intent, vendors: Vendors, journal: Journal) -> None:
    push = intent.push
    try:
        made = intent.mode.send(intent.order, intent.request, vendors)
    except OutcomeUnknown as unknown:
        _unconfirmed(bill, journal, str(unknown))
        return
    except IntegrationError:
        push.sent_at = intent.sent_before  # refused, or never left: Paddle has nothing of this attempt
        push.mode = intent.sent_in if intent.sent_before else push.mode
        raise
    _accepted(bill, push, journal, made)


def _accepted(bill: PushedBill, push: Push, journal: Journal, made: str) -> None:
    """Paddle has it, whoever owns the bill by now. Accepted at two attempts, the customer is charged twice."""
    with transaction.atomic():
        ledger.locked(bill.pk)
        journal.after("charge", "accepted")
        looking.record_made(push, amount=push.amount, detail="Paddle accepted it.", owner=None, transaction_id=made)
        accepted = list(push.history.filter(step="charge", outcome="accepted").order_by("id"))
        if len({step.attempt for step in accepted}) > 1:
            answers = [f"of attempt {step.attempt}, answered at {step.at:%Y-%m-%d %H:%M:%S} UTC" for step in accepted]
            looking.report_double(push, f"{len(accepted)} times: {' and '.join(answers)}")
    logger.info("%s: push %s accepted by Paddle", bill, push.push_id)


# --- Outcomes ---------------------------------------------------------------------------------------------------------


def _not_charged(bill: PushedBill, journal: Journal, error: IntegrationError) -> None:
    """Record an error of our tree: nothing was charged by this attempt."""
    words = str(error)
    if setbacks.is_below_minimum(error) and _carry_instead(bill, journal, words):
        return
    verdict = setbacks.verdict(bill, error, clock.now())
    _close(bill, journal, verdict, error=words, counted=not isinstance(error, NOT_SENT))


def _carry_instead(bill: PushedBill, journal: Journal, words: str) -> bool:
    """Paddle says that it is too little: it is carried to the next bill, where policy has it so."""
    policy = deciding.policy_for(deciding.live_link(bill.m3ter_account_id))
    push = journal.push
    if push is None or not setbacks.is_carried_instead(push.amount, push.currency, policy):
        return False
    try:
        with transaction.atomic():
            known = ledger.owned(bill)
            journal.after(journal.step, "carried", words)
            _close_push(push, Verdict(State.READY, "", words))
            intending.settle_without_charge(bill, known, Netting((), 0, known.outstanding), policy, journal)
    except work.LeaseLost:
        logger.warning("%s: outcome discarded, because another worker owns it by now: %s", bill, words)
    return True


def _close(bill: PushedBill, journal: Journal, verdict: Verdict, *, error: str = "", counted: bool = True) -> None:
    """Settle a bill that was not charged by this attempt, and its push with it."""
    push = journal.push
    try:
        with transaction.atomic():
            ledger.still_owned(bill)
            if counted or push is not None or journal.calls:  # a bill that only waits its turn has no history
                journal.after(journal.step, verdict.state, verdict.detail)
            _close_push(push, verdict)
            if verdict.state == State.PUSHED:
                _is_whole(bill, verdict.detail)
            columns = deciding.columns(verdict)
            if not journal.renewal_seen:  # news of it may have come meanwhile
                bill.renews_at = renewals.of(deciding.live_link(bill.m3ter_account_id))
            attempts = bill.attempts if counted else max(bill.attempts - 1, 0)
            work.settle(bill, **columns, attempts=attempts, last_error=error, renews_at=bill.renews_at)
    except work.LeaseLost:
        logger.warning("%s: outcome discarded, because another worker owns it by now: %s", bill, verdict.detail)
        return
    logger.info("%s: %s %s: %s", bill, verdict.state, verdict.reason, verdict.detail)


def _is_whole(bill: PushedBill, reason: str) -> None:
    """Paddle has all of a bill without this attempt, and none of its pushes is open."""
    for push_id in bill.pushes.values_list("push_id", flat=True):
        finding.settle(looking.ANOTHER_OPEN, push_id, reason=reason)
    work.wake_up(FINISH)


def _close_push(push: Push | None, verdict: Verdict) -> None:
    """An open push that was not accepted is none any more; the next attempt takes it up under its id."""
    if push is None or push.state != Push.State.PUSHING:
        return
    push.state = Push.State.FAILED if verdict.state == State.FAILED else Push.State.INTENDED
    push.detail = verdict.detail
    push.save(update_fields=("state", "detail", "sent_at", "mode"))
    push.release_carried()
    ledger.resume(push.paddle_subscription_id)


def _unconfirmed(bill: PushedBill, journal: Journal, words: str) -> None:
    """Nobody knows whether Paddle has it: from here on it is looked for, and never sent again by itself."""
    push = journal.push
    if push is None:
        raise ValueError("nothing was sent")
    try:
        with transaction.atomic():
            ledger.still_owned(bill)
            journal.after("charge", "unconfirmed", words)
            push.state = Push.State.UNCONFIRMED
            push.sent_at = push.sent_at or clock.now()
            push.detail = words
            push.save(update_fields=("state", "detail", "sent_at", "expected_renewal_at", "paddle_transaction_id"))
            work.settle(
                bill,
                state=State.UNCONFIRMED,
                reason=Reason.NONE,
                reason_detail=words,
                due_at=push.sent_at + FIRST_LOOK,
                looks=0,
                attempts=0,
                last_error=words,
                updated_at=clock.now(),
            )
            work.wake_up(CONFIRM)
    except work.LeaseLost:
        logger.warning("%s: outcome discarded, because another worker owns it by now: %s", bill, words)
        return
    logger.warning("%s: unconfirmed: %s", bill, words)


def _internal(bill: PushedBill, journal: Journal) -> None:
    """A fault of ours: visible, and settled by what is certain. What may have been sent is looked for."""
    words = "Internal error: the log has the details."
    push = journal.push
    if push is not None and Push.objects.filter(pk=push.pk, state=Push.State.PUSHING, sent_at__isnull=False).exists():
        push.refresh_from_db()
        _unconfirmed(bill, journal, words)
        return
    with transaction.atomic():
        _close(bill, journal, Verdict(State.FAILED, "", words), error=words)
        finding.report(
            "internal error",
            bill.m3ter_bill_id,
            detail=f"Charging {bill} met a fault of this application. Nothing was charged.",
            next_step="Report the traceback in the log; then resend the bill.",
            severity=Finding.Severity.PROBLEM,
        )
