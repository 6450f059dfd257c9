"""What people decide about bills. Each decision is one transaction, names who and why, and says when it cannot be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from django.db import transaction

from billing_bridge import (
    carrying,
    charges,
    deciding,
    doubting,
    drafting,
    importing,
    intending,
    journal,
    ledger,
    looking,
    meanwhile,
    modes,
    money,
    outcomes,
    owed,
)
from billing_bridge.charges import Verdict, held
from billing_bridge.models import BillEntry, CarriedEntry, Push, PushedBill
from billing_bridge.modes import Mode
from billing_bridge.queues import FINISH, PUSH
from integration_project import finding, installation, work
from integration_project.errors import NotPossible
from integration_project.models import Installation
from integration_project.vendors.m3ter.entities import PENDING
from integration_project.vendors.paddle.entities import FoundCharge

State = PushedBill.State
Reason = PushedBill.Reason

OPEN_WORDS = "A charge of it is under way or unconfirmed; wait until that is settled."


@contextmanager
def _deciding(
    bill_id: int, action: str, *, by: str, reason: str, only_from: frozenset[str], seen: str | None
) -> Iterator[PushedBill]:
    """Lock a bill that is still what the person saw and may be decided so, and write down who decided it and why."""
    with transaction.atomic():
        bill = ledger.locked(bill_id)
        _refuse_unseen(bill, seen, by=by)
        if bill.state not in only_from:
            words = OPEN_WORDS if bill.state in importing.OPEN else meanwhile.what_it_is(bill)
            last = meanwhile.last_decision_in_words(bill, reader=by)
            raise NotPossible(f"Bill {bill.m3ter_bill_id} cannot be changed by {action}: {words} {last}".rstrip())
        journal.decision(bill, action, by=by, reason=reason, push=_last_push(bill))
        yield bill


def _last_push(bill: PushedBill) -> Push | None:
    return bill.pushes.order_by("-ordinal").first()


def _become(bill: PushedBill, verdict: Verdict) -> None:
    """Write the verdict; whatever worker holds the bill loses it."""
    values = deciding.columns(verdict)
    if verdict.state not in GOES_ON:  # what was chosen for what was open then, says nothing about what is open later
        values["chosen_mode"] = ""
    if verdict.state == State.SUPERSEDED:
        values["reviewed_revision"] = None
    PushedBill.objects.filter(pk=bill.pk).update(
        **values, attempts=0, last_error="", lease=None, lease_until=None, leased_by=""
    )
    if values["due_at"] is not None:
        work.wake_up(FINISH if verdict.state in importing.SETTLED else PUSH)


def what_is_seen(bill: PushedBill) -> str:
    """Name what a person sees who is asked about a bill, so that it is known again when they answer."""
    return str(meanwhile.Shown.of(bill))


def _refuse_unseen(bill: PushedBill, seen: str | None, *, by: str) -> None:
    """What is decided must be about what the person saw; `seen` is None where nobody looked at a page."""
    if seen is not None and seen != what_is_seen(bill):
        why = meanwhile.in_words(bill, seen, reader=by)
        raise NotPossible(f"It has changed since this was asked. {why} Nothing was done: look again, then decide.")


def _refuse_too_much(bill: PushedBill) -> None:
    if words := charges.too_much_words(bill):
        raise NotPossible(words)


def _refuse_uncountable(bill: PushedBill) -> None:
    """What is open must be in one currency before anything is entered in the ledger for it."""
    if bill.revision is not None and bill.revision.currency != bill.currency:
        raise NotPossible(f"It cannot be settled here: {deciding.judge(bill).detail}")


def _refuse_pending(bill: PushedBill) -> None:
    if bill.m3ter_status == PENDING:
        raise NotPossible("m3ter calculates it again, so what is open is not certain. Wait until it is approved there.")


def _refuse_uncertain(bill: PushedBill) -> None:
    """What is entered in the ledger must be certain: nothing asked is unanswered, and m3ter and the ledger agree."""
    doubting.refuse_unanswered(bill)
    _refuse_pending(bill)
    _refuse_uncountable(bill)


def _count_what_was_settled(bill: PushedBill, *, by: str) -> None:
    """Leave open only what is: neither what was written off and never charged, nor what went back outside already."""
    if words := deciding.collected(bill):
        raise NotPossible(words)
    outside = deciding.gone_outside(bill)
    settled = owed.settled_before(bill.outstanding, written_off=bill.written_off, gone_outside=outside)
    if settled:
        _refuse_pending(bill)
        note = charges.settled_words(bill, outside)
        ledger.post(bill, BillEntry.Kind.WRITTEN_OFF, settled.write_off, by=by, note=note)
    if words := charges.asked_words(bill, deciding.others_ask_for(bill)):
        raise NotPossible(words)


def approve(bill_id: int, *, by: str, reason: str = "", seen: str | None = None, mode: str = "") -> None:
    """Let a held bill be charged as it stands now; everything else that speaks against it is checked again.

    `mode` is the way of charging that the person chose for it; empty: the policy's. What the customer is owed is
    carried, and so is what is too little to charge.
    """
    with _deciding(bill_id, "approve", by=by, reason=reason, only_from=frozenset({State.HELD}), seen=seen) as bill:
        doubting.refuse_unanswered(bill)
        if bill.reason == Reason.DELETED:
            _close_deleted(bill, by=by, reason=reason)
            return
        if bill.revision is None:
            raise NotPossible("Nothing of it has been read from m3ter yet.")
        _refuse_misfit(bill, mode)
        bill.reviewed_revision, bill.chosen_mode = bill.revision, mode
        bill.save(update_fields=("reviewed_revision", "chosen_mode"))
        _refuse_uncountable(bill)
        was_settled = bill.is_settled_in_part
        _count_what_was_settled(bill, by=by)
        if was_settled and not bill.outstanding:
            _become(bill, _nothing_open(bill))
            return
        _refuse_too_much(bill)
        verdict = deciding.judge(bill)
        if verdict.state == State.HELD:
            raise NotPossible(f"It cannot be charged: {verdict.detail}")
        looking.loss_is_dealt_with(bill, f"{by} approved it: {reason}")
        words = ""
        if verdict.chargeable and bill.reason == Reason.BELOW_MINIMUM and not mode:
            words = intending.carry_what_is_too_little(bill, by=by)
        _become(bill, _nothing_open(bill, words) if words else verdict)


def _nothing_open(bill: PushedBill, words: str = "") -> Verdict:
    """All of it stands in Paddle, in the carried balance, or is written off: it is finished in m3ter next."""
    columns = outcomes.settled_columns(bill, words)
    return Verdict(columns["state"], columns["reason"], words, columns["due_at"])


def _close_deleted(bill: PushedBill, *, by: str, reason: str) -> None:
    """Close a bill that m3ter no longer has: what Paddle has of it, the customer is owed, and it is carried.

    What it left itself the other way, and no other bill has taken, is none any more.
    """
    _count_what_was_settled(bill, by=by)
    note = f"Deleted in m3ter. {by}: {reason}"
    if bill.outstanding:
        carrying.call_in(bill, note=note, credits=bill.outstanding > 0, by=by)
    if bill.outstanding > 0:
        words = money.words(bill.outstanding, bill.currency)
        raise NotPossible(f"{words} is open of a bill that is gone: write it off, or settle it in Paddle by hand.")
    if bill.outstanding:
        tax = drafting.tax_of(bill, deciding.policy_for(deciding.live_link(bill.m3ter_account_id)))
        carrying.carry_out(bill, bill.outstanding, note=note, by=by, tax=tax)
    looking.loss_is_dealt_with(bill, f"{by} closed it: {reason}")
    _become(bill, _nothing_open(bill, bill.reason_detail))


def carry(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Let a bill's open amount be taken by the next bills of its account, whatever the policy says."""
    with _deciding(bill_id, "carry", by=by, reason=reason, only_from=HOLDABLE, seen=seen) as bill:
        _refuse_uncertain(bill)
        if not bill.outstanding or bill.m3ter_status == ledger.GONE:
            raise NotPossible("Nothing of it is open that could be carried.")
        _count_what_was_settled(bill, by=by)
        _refuse_too_much(bill)
        if bill.outstanding:
            tax = drafting.tax_of(bill, deciding.policy_for(deciding.live_link(bill.m3ter_account_id)))
            carrying.carry_out(bill, bill.outstanding, note=reason, by=by, tax=tax)
        looking.loss_is_dealt_with(bill, f"{by} had it carried: {reason}")
        _become(bill, _nothing_open(bill, f"Carried to the next bills by {by}: {reason}"))


def write_off(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Ask for nothing more of what is open of a bill: it was settled outside, or is given up."""
    with _deciding(bill_id, "write off", by=by, reason=reason, only_from=HOLDABLE, seen=seen) as bill:
        _refuse_uncertain(bill)
        if not bill.outstanding:
            raise NotPossible("Nothing of it is open.")
        ledger.post(bill, BillEntry.Kind.WRITTEN_OFF, bill.outstanding, by=by, note=reason)
        looking.loss_is_dealt_with(bill, f"{by} wrote it off: {reason}")
        _become(bill, _nothing_open(bill, f"Written off by {by}: {reason}"))


def settled_outside(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Write off what is open, because it was paid in another way."""
    write_off(bill_id, by=by, reason=f"Settled outside. {reason}", seen=seen)


def refund(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Give back what the customer is owed for a bill: on what was paid of it, or else on an earlier payment.

    In Paddle Classic, whose refunds are in no list to find one again, it is taken off the next payment.
    """
    with _deciding(bill_id, "refund", by=by, reason=reason, only_from=frozenset({State.HELD}), seen=seen) as bill:
        doubting.refuse_unanswered(bill)
        if bill.outstanding >= 0:
            raise NotPossible("The customer is owed nothing for it.")
        if bill.revision is None:
            raise NotPossible("Nothing of it has been read from m3ter yet.")
        _refuse_uncountable(bill)
        _count_what_was_settled(bill, by=by)
        if carrying.call_in(bill, note=f"{by} has the rest refunded: {reason}", by=by) and bill.outstanding > 0:
            raise NotPossible("It is owed nothing beside what it left in the carried balance: take that back instead.")
        if not bill.outstanding:
            _become(bill, _nothing_open(bill))
            return
        bill.reviewed_revision, bill.chosen_mode = bill.revision, _in_its_way(bill, modes.GIVEN_BACK, "refund")
        bill.save(update_fields=("reviewed_revision", "chosen_mode"))
        verdict = deciding.judge(bill)
        if not verdict.chargeable:
            raise NotPossible(f"It cannot be refunded: {verdict.detail}")
        _become(bill, verdict)


def take_back(entry_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Let the bill that left something in the carried balance have it again: it is held, to be settled otherwise."""
    with transaction.atomic():
        found = CarriedEntry.objects.filter(pk=entry_id).values_list("source_bill_id", flat=True).first()
        if found is None:
            raise NotPossible("It is not there any more.")
        with _deciding(found, "take back", by=by, reason=reason, only_from=TAKES_BACK, seen=seen) as bill:
            doubting.refuse_unanswered(bill)
            entry = CarriedEntry.objects.select_for_update(of=("self",)).get(pk=entry_id)
            if not entry.remaining:
                raise NotPossible(f"Nothing is left of it. {meanwhile.who_took(entry, reader=by)}".rstrip())
            if entry.reserved_by_id is not None:
                raise NotPossible("A charge that takes it is under way; wait until that is settled.")
            carrying.take(bill, carrying.as_parts([entry]), note=f"Taken back: {reason}", by=by)
            carrying.settle_left_over(bill.m3ter_account_id, bill.currency, reason=f"{by} took it back: {reason}")
            PushedBill.objects.filter(pk=bill.pk).update(reviewed_revision=None)
            kind = Reason.DELETED if bill.m3ter_status == ledger.GONE else Reason.CHANGED
            _become(bill, held(kind, f"{by} took back what it had left in the carried balance: {reason}"))


TAKES_BACK = frozenset({State.CARRIED, State.PUSHED, State.HELD, State.SUPERSEDED, State.SKIPPED})


HOLDABLE = frozenset({State.HELD, State.WAITING, State.READY, State.FAILED, State.LOST})


def hold(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Keep a bill from being charged until somebody approves it."""
    with _deciding(bill_id, "hold", by=by, reason=reason, only_from=HOLDABLE, seen=seen) as bill:
        if bill.reason in {Reason.CHANGED, Reason.DELETED} and bill.state == State.HELD:
            raise NotPossible(f"It is held already: {bill.reason_detail}")
        PushedBill.objects.filter(pk=bill.pk).update(reviewed_revision=None, chosen_mode="")
        _become(bill, held(Reason.OPERATOR, f"Held by {by}: {reason}"))


def skip(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Charge nothing more for a bill. What Paddle has already stays; a difference is written off."""
    with _deciding(bill_id, "skip", by=by, reason=reason, only_from=HOLDABLE, seen=seen) as bill:
        doubting.refuse_unanswered(bill)
        PushedBill.objects.filter(pk=bill.pk).update(reviewed_revision=None, chosen_mode="")
        looking.loss_is_dealt_with(bill, f"{by} skipped it: {reason}")
        if not bill.is_settled_in_part:
            _become(bill, Verdict(State.SKIPPED, Reason.OPERATOR, f"Skipped by {by}: {reason}"))
            return
        if bill.outstanding:
            _refuse_pending(bill)
            note = f"Difference left as it is: {reason}"
            ledger.post(bill, BillEntry.Kind.WRITTEN_OFF, bill.outstanding, by=by, note=note)
        _become(bill, _nothing_open(bill, f"The difference was written off by {by}: {reason}"))


GOES_ON = frozenset({State.READY, State.WAITING})
APPROVAL_DECIDES = frozenset(
    {Reason.REVIEW, Reason.LOCKED_ELSEWHERE, Reason.PERIOD_OPEN, Reason.DIFFERS, Reason.NEGATIVE}
)
"""What a bill is held for until somebody approves it; anything else has to be put right first."""


def resend(bill_id: int, *, by: str, reason: str, seen: str | None = None, mode: str = "") -> None:
    """Try again what failed, was lost or was skipped; Paddle is searched first where it may have been charged."""
    states = frozenset({State.FAILED, State.LOST, State.SKIPPED, State.READY, State.WAITING})
    with _deciding(bill_id, "resend", by=by, reason=reason, only_from=states, seen=seen) as bill:
        if bill.state == State.WAITING and bill.reason == Reason.NOT_LIVE:
            raise NotPossible("Nothing is charged until the go-live date is set.")
        if bill.revision is None:
            raise NotPossible("Nothing of it has been read from m3ter yet.")
        _refuse_misfit(bill, mode)
        if bill.state == State.SKIPPED:
            bill.reviewed_revision = None
        elif bill.state in {State.FAILED, State.LOST}:
            bill.reviewed_revision = bill.revision
        was_settled = bill.is_settled_in_part
        _count_what_was_settled(bill, by=by)
        bill.chosen_mode = mode or drafting.was_to_give_back(bill)
        bill.save(update_fields=("reviewed_revision", "chosen_mode"))
        if was_settled and not bill.outstanding:
            looking.loss_is_dealt_with(bill, f"{by} has it sent again: {reason}")
            _become(bill, _nothing_open(bill))
            return
        _refuse_too_much(bill)
        verdict = deciding.judge(bill)
        if verdict.state not in GOES_ON and verdict.reason not in APPROVAL_DECIDES:
            raise NotPossible(f"It cannot be charged: {verdict.detail}")
        if verdict.state in GOES_ON:
            looking.loss_is_dealt_with(bill, f"{by} has it sent again: {reason}")
        _become(bill, verdict)


def send(bill_id: int, *, by: str, reason: str, mode: str, seen: str | None = None) -> None:
    """Have what is open of a bill charged in this way, whatever the policy says; held bills are approved by it."""
    state = PushedBill.objects.filter(pk=bill_id).values_list("state", flat=True).first()
    act = approve if state == State.HELD else resend
    act(bill_id, by=by, reason=reason, seen=seen, mode=mode)


def send_now(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Have a bill charged at once, in the way of the product that keeps its subscription."""
    _send_in(modes.AT_ONCE, "send now", bill_id, by=by, reason=reason, seen=seen)


def send_with_renewal(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Have a bill charged with the next renewal, in the way of the product that keeps its subscription."""
    _send_in(modes.WITH_RENEWAL, "send with renewal", bill_id, by=by, reason=reason, seen=seen)


def send_invoice(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """Have a bill become an invoice of its own, which Paddle Classic does not make."""
    _send_in(modes.INVOICED, "invoice", bill_id, by=by, reason=reason, seen=seen)


def _send_in(ways: Sequence[Mode], action: str, bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    way = _in_its_way(PushedBill.objects.get(pk=bill_id), ways, action)
    send(bill_id, by=by, reason=reason, mode=way, seen=seen)


def _in_its_way(bill: PushedBill, ways: Sequence[Mode], action: str) -> str:
    """Choose the way that the product has which keeps the bill's subscription; the first where there is none."""
    link = deciding.live_link(bill.m3ter_account_id)
    if link is None:
        return ways[0].name
    fitting = next((way.name for way in ways if way.serves(link)), None)
    if fitting is None:
        kept_by = drafting.NAMES[link.source]
        raise NotPossible(
            f"{kept_by} keeps subscription {link.paddle_subscription_id}, and has no way to {action} what is open."
        )
    return fitting


def _refuse_misfit(bill: PushedBill, mode: str) -> None:
    """What a person chose must be a way of the product that keeps the subscription."""
    link = deciding.live_link(bill.m3ter_account_id)
    problem = drafting.misfit(modes.of(mode), link) if mode and link is not None else ""
    if problem:
        raise NotPossible(problem)


ASKED = doubting.ASKED | {State.UNCONFIRMED}
"""Where a person may be asked whether Paddle has a charge; except of an unconfirmed one, where Paddle cannot tell."""


def charge_was_not_made(bill_id: int, *, by: str, reason: str, seen: str | None = None) -> None:
    """A person has looked in Paddle and found nothing: the charge may be sent again, under the same id.

    What a payment should have collected is lost then, and Finance chooses.
    """
    with _deciding(bill_id, "was not made", by=by, reason=reason, only_from=ASKED, seen=seen) as bill:
        push = _push_in_question(bill)
        if doubting.is_accepted(push):
            doubting.not_collected(bill, by=by, reason=reason)
            return
        _refuse_while_looking(bill, push)
        push.state = Push.State.INTENDED
        push.detail = f"Not made, says {by}: {reason}"
        push.save(update_fields=("state", "detail"))
        push.release_carried()
        _become(bill, Verdict(State.READY, "", f"Sent again, because {by} found that it was not made: {reason}"))
        ledger.resume(push.paddle_subscription_id)
        for kind in (looking.UNCONFIRMED, looking.NOT_LOOKED):
            finding.settle(kind, push.push_id, reason=f"{by}: it was not made.")


def charge_was_made(
    bill_id: int,
    *,
    by: str,
    reason: str,
    seen: str | None = None,
    paddle_transaction_id: str = "",
    found: FoundCharge | None = None,
) -> None:
    """A person has found the charge in Paddle: it is recorded as pushed, or as paid where a payment did not say.

    Where they name a transaction, `found` is what Paddle says of it, which was asked before.
    """
    with _deciding(bill_id, "was made", by=by, reason=reason, only_from=ASKED, seen=seen) as bill:
        push = _push_in_question(bill)
        if paddle_transaction_id and (found is None or found.push_id != push.push_id):
            raise NotPossible(f"Paddle was not asked whether {paddle_transaction_id} has push {push.push_id}.")
        transaction_id = (found.transaction_id or "") if found is not None else ""
        if doubting.is_accepted(push):
            doubting.collected(bill, by=by, reason=reason, transaction_id=transaction_id)
            bill.refresh_from_db()
            if bill.state == State.LOST and bill.outstanding:
                return  # somebody has yet to choose what becomes of that
            if not bill.outstanding:
                looking.loss_is_dealt_with(bill, f"{by} found the rest of it in Paddle.")
            judge = deciding.deleted_verdict if bill.m3ter_status == ledger.GONE else deciding.judge
            _become(bill, judge(bill) if bill.outstanding else _nothing_open(bill))
            return
        looking.record_made(
            push,
            amount=found.amount if found is not None else push.amount,
            detail=f"Made, says {by}: {reason}",
            owner=None,
            transaction_id=transaction_id,
        )


def _push_in_question(bill: PushedBill) -> Push:
    push = doubting.in_question(bill)
    if push is None:
        raise NotPossible("It has no push that waits for an answer.")
    return push


def _refuse_while_looking(bill: PushedBill, push: Push) -> None:
    """What was just sent may still be under way in Paddle, so no person can know yet that it was not made."""
    if bill.due_at is not None or bill.lease is not None:
        raise NotPossible(
            f"Paddle is still being searched for push {push.push_id}; this can be said after the last look-up."
        )


def set_charge_from(day: date | None, *, by: str, reason: str) -> None:
    """Set the go-live date, and judge again every bill whose fate hangs on it."""
    installation.current()
    with transaction.atomic():
        Installation.objects.select_for_update().filter(pk=1).update(charge_from=day)
        affected = PushedBill.objects.filter(
            state__in=(State.WAITING, State.SKIPPED), reason__in=(Reason.NOT_LIVE, Reason.BEFORE_GO_LIVE)
        )
        for bill in affected.iterator():
            if importing.reconsider_one(bill.pk):
                journal.decision(bill, "go-live date", by=by, reason=f"{day}: {reason}")
