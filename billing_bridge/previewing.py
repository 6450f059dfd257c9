"""Says what would become of a bill if it were charged now. Reads our tables and the vendors, and writes nothing.

    first      what a person decides before anything is charged; the rest is as if that had been decided
    draft      the push as it would be made, by the function that a push is made by
    m3ter      whether the bill still says what is drafted
    preview    what Paddle says of it, by the function that every push asks

Where one of them says that nothing would be charged, what would become of the bill instead is the verdict of a push.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from billing_bridge import (
    carrying,
    charges,
    contents,
    deciding,
    drafting,
    importing,
    ledger,
    looking,
    modes,
    owed,
    refusals,
    safeguards,
    setbacks,
    withdrawing,
)
from billing_bridge.charges import Verdict
from billing_bridge.drafting import Intent, NotNow
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import Order, Seen
from billing_bridge.netting import Netting
from integration_project import circuits, clock, installation
from integration_project.errors import IntegrationError, NotFound, NotPossible, VendorClosed, VendorRejected
from integration_project.vendors import M3TER, PADDLE, Vendors

logger = logging.getLogger(__name__)

State = PushedBill.State
Reason = PushedBill.Reason

FRESH = timedelta(seconds=60)
"""A bill read so lately is not read again before it is charged."""
NEEDED = ((M3TER, "get bill"),)
"""Calls, besides those of the way of charging, without which no attempt at a bill can succeed: none is begun then."""
PREVIEWABLE = (State.HELD, State.READY, State.WAITING, State.FAILED, State.LOST)
APPROVE, RESEND = "approve", "resend"
DECIDED_BY = {State.HELD: APPROVE, State.FAILED: RESEND, State.LOST: RESEND}
"""What a person decides before a bill in this state is charged."""
NOT_READ = "Nothing of it has been read from m3ter yet."
FAULT = "A fault of this application; the log has the details."


class Unsettled(Exception):
    """Paddle seems to have this push already: it is looked for, and nothing is sent."""


# --- The one preview, of a push and of a person -----------------------------------------------------------------------


def is_fresh(bill: PushedBill) -> bool:
    """Whether an approved bill was read from m3ter so lately that it is charged as it is."""
    read_at = bill.m3ter_read_at
    return read_at is not None and clock.now() - read_at < FRESH and bill.m3ter_status == "APPROVED"


def ask(
    intent: Intent, vendors: Vendors, *, note: Callable[[Seen], None], switch: Callable[[Intent, str], Intent]
) -> Intent:
    """Ask Paddle what a push would do, and give it as it is to be sent: in one item, or in another way, where need be.

    Raises NotNow where it cannot be sent now, and Unsettled where Paddle seems to have it. `note` is told all that is
    seen; `switch` drafts the same amount in the way with that name.
    """
    try:
        seen = intent.mode.preview(intent.order, intent.request, vendors, clock.now())
    except VendorRejected as refused:
        if refused.code in refusals.TOO_MANY_ITEMS and not intent.one_item:
            return ask(drafting.as_one_item(intent), vendors, note=note, switch=switch)
        raise
    note(seen)
    if seen.switch_to:
        return ask(switch(intent, seen.switch_to), vendors, note=note, switch=switch)
    if seen.verdict is not None and not seen.there_already:
        raise NotNow(seen.verdict)
    _refuse_what_is_pending(intent.order, seen.pending)
    if seen.there_already:
        raise Unsettled("Paddle's preview shows this push as pending already; it is looked for, and nothing is sent.")
    if seen.too_many and not intent.one_item:
        return ask(drafting.as_one_item(intent), vendors, note=note, switch=switch)
    return intent if seen.request is None else replace(intent, request=seen.request)


def _refuse_what_is_pending(order: Order, pending: frozenset[str]) -> None:
    """What was taken for lost may be collected with the next renewal all the same: Paddle shows it there."""
    if not pending:
        return
    shown = Push.objects.filter(bill__in=order.bill_ids, push_id__in=pending)
    lost = ledger.lost_charges(shown.select_related("bill")).first()
    if lost is None:
        return
    words = (
        f"Push {lost.push_id} was taken for lost, but it is still pending on the next renewal. It is not charged again."
    )
    if lost.bill_id != order.bill.pk:
        words = f"{words} Take back what {lost.bill} left in the carried balance, then approve this one."
    raise NotNow(charges.held(Reason.COLLECTED, words))


# --- What a person asks for -------------------------------------------------------------------------------------------


@dataclass
class Preview:
    """What would become of a bill now: charged as `intent` says, unless one of the four after it says otherwise."""

    bill: PushedBill
    """As it would be after what has to be decided first; never saved."""
    first: str = ""
    """What a person decides before it is charged: approve or resend; empty where nobody has to."""
    first_why: str = ""
    intent: Intent | None = None
    """What would be sent, as far as it could be drafted."""
    verdict: Verdict | None = None
    """What would become of it instead of a charge."""
    carried: str = ""
    """In words, where it would be settled by the carried balance instead."""
    unsettled: str = ""
    """In words, where Paddle seems to have it already."""
    error: IntegrationError | None = None
    """Why a vendor could not tell; `verdict` says what a push would make of that."""
    notes: list[str] = field(default_factory=list)
    """What else would be done before, or is to be known."""
    seen: Seen | None = None
    """The last that Paddle showed."""

    @property
    def is_charged(self) -> bool:
        """Whether a push that is made now would be sent."""
        return self.intent is not None and not (self.verdict or self.carried or self.unsettled or self.error)


def why_not(bill: PushedBill) -> str:
    """Say why there is nothing to preview of a bill; empty where there is."""
    if bill.state not in PREVIEWABLE:
        return f"It is {State(bill.state).label.lower()}."
    if bill.state == State.LOST and not bill.outstanding:
        return "Nothing of it is open."
    if bill.pushes.filter(state__in=ledger.OPEN).exists():
        return "A charge of it is under way or unconfirmed; wait until that is settled."
    return ""


def preview(bill: PushedBill, vendors: Vendors) -> Preview:
    """Say what would become of a bill if it were charged now; NotPossible where there is nothing to preview."""
    if problem := why_not(bill):
        raise NotPossible(problem)
    found = _decided(bill)
    try:
        _preview(found, vendors)
    except NotNow as reason:
        found.verdict = reason.verdict
    except Unsettled as reason:
        found.unsettled = str(reason)
    except IntegrationError as error:
        _told_nothing(found, error)
    except Exception:
        logger.exception("%s: unforeseen, in a preview", bill)
        found.verdict = Verdict(State.FAILED, "", FAULT)
    return found


def _decided(bill: PushedBill) -> Preview:
    """Take a bill as it would be once a person has decided what has to be decided first, as `review` decides it."""
    first = DECIDED_BY.get(State(bill.state), "")
    if not first:
        return Preview(bill)
    why = bill.reason_detail or (bill.last_error if bill.state == State.FAILED else "")
    way = drafting.was_to_give_back(bill) if first == RESEND else ""
    found = Preview(_approved(bill, way), first, why or bill.get_reason_display())
    _count_what_was_settled(found)
    return found


def _count_what_was_settled(found: Preview) -> None:
    """A decision writes off first what was given up or given back before; `review` does that for good."""
    bill = found.bill
    outside = deciding.gone_outside(bill)
    settled = owed.settled_before(bill.outstanding, written_off=bill.written_off, gone_outside=outside)
    if settled:
        found.notes.append(charges.settled_words(bill, outside))
        bill.outstanding -= settled.write_off
        bill.written_off += settled.write_off


def _approved(bill: PushedBill, way: str = "") -> PushedBill:
    approved = copy.copy(bill)
    approved.reviewed_revision, approved.chosen_mode = bill.revision, way
    return approved


def _preview(found: Preview, vendors: Vendors) -> None:
    bill = found.bill
    if bill.m3ter_status == ledger.GONE and not _gives_back(bill):
        raise NotNow(deciding.deleted_verdict(bill))
    if bill.revision is None:
        raise NotNow(charges.held(bill.reason or Reason.REVIEW, NOT_READ))
    if found.first and (too_much := charges.too_much_words(bill)):
        raise NotNow(charges.held(Reason.CHANGED, too_much))
    if standing := withdrawing.standing(bill):
        names = ", ".join(push.push_id for push in standing)
        found.notes.append(
            f"Unless a payment has collected it, push {names} would be taken back first, and what the bill is now "
            "would be charged anew; whether that can be, only taking it back shows."
        )
        raise NotNow(charges.held(Reason.CHANGED, charges.changed_words(bill)))
    draft = _draft(found)
    if draft.intent is None:
        is_agreed = found.first == APPROVE and bill.reason == Reason.BELOW_MINIMUM  # as an approval carries it
        refuse = drafting.refuse_to_net if is_agreed else drafting.refuse_to_carry
        refuse(found.bill, draft.netting, draft.given.policy)
        found.carried = _carried_words(found.bill, draft.netting)
        return
    found.intent = draft.intent
    _note_what_is_looked_for(found, draft.intent.push)
    if why := safeguards.what_stands_in_the_way():
        raise VendorClosed(PADDLE, why)
    circuits.all_to_try((*draft.intent.mode.needs, *NEEDED))
    _still_says_so(found.bill, vendors)
    _ask(found, draft.intent, vendors)


def _gives_back(bill: PushedBill) -> bool:
    return bool(bill.chosen_mode) and modes.of(bill.chosen_mode).gives_back


def _draft(found: Preview) -> drafting.Draft:
    """Draft the push; what only an approval is missing for, is drafted as if it had been given."""
    released = found.first == APPROVE and found.bill.reason in drafting.LEFT_BEHIND
    try:
        return drafting.draft(found.bill, lock=False, released=released)
    except NotNow as reason:
        if found.first or reason.verdict.state != State.HELD:
            raise
        approved = _approved(found.bill)
        try:
            draft = drafting.draft(approved, lock=False)
        except NotNow:
            raise reason from None
        found.bill, found.first, found.first_why = approved, APPROVE, reason.verdict.detail
        return draft


def _carried_words(bill: PushedBill, netting: Netting) -> str:
    words = (carrying.taken_words(netting, bill.currency), carrying.left_words(netting, bill.currency))
    return " ".join(each for each in words if each)


def _note_what_is_looked_for(found: Preview, push: Push) -> None:
    """A push begins by looking for what may have been charged; that is left to it, for it writes down what it finds."""
    names = list(ledger.lost_charges(found.bill.pushes.all()).values_list("push_id", flat=True))
    if push._state.adding:
        looked_for = installation.current().look_before_first_push
    else:
        looked_for = push.sent_at is not None or looking.is_first_after_restore(push)
    if looked_for:
        names.append(push.push_id)
    if names:
        found.notes.append(
            f"Before anything is sent, Paddle is searched for push {', '.join(names)}; where it is found, it is not "
            "charged again."
        )


def _still_says_so(bill: PushedBill, vendors: Vendors) -> None:
    """Make sure that m3ter says what is drafted, unless it was read a moment ago; what it says now is not kept."""
    if is_fresh(bill) or bill.revision is None or bill.m3ter_status == ledger.GONE:
        return
    try:
        read = vendors.m3ter.get_bill(bill.m3ter_bill_id)
    except NotFound:
        gone = copy.copy(bill)
        gone.payable, gone.outstanding = 0, bill.outstanding - bill.payable
        raise NotNow(deciding.deleted_verdict(gone)) from None
    if not read.is_approved:
        until = clock.now() + importing.PENDING_AGAIN
        raise NotNow(charges.waiting(Reason.PENDING, importing.PENDING_WORDS, until))
    if contents.content_of(read).hash != bill.revision.content_hash:
        words = "m3ter has changed it since it was read here. It is read again within minutes, and judged anew."
        raise NotNow(charges.waiting(Reason.PENDING, words, None))


def _ask(found: Preview, intent: Intent, vendors: Vendors) -> None:
    """Ask Paddle. What is shown last is what the push would be sent by, whatever comes of it."""

    def note(seen: Seen) -> None:
        found.seen = seen

    def switch(before: Intent, name: str) -> Intent:
        found.notes.append(f"{before.mode.label} cannot be; policy says: {modes.of(name).label.lower()}.")
        found.intent = drafting.in_another_way(before, name)
        return found.intent

    found.intent = ask(intent, vendors, note=note, switch=switch)


def _told_nothing(found: Preview, error: IntegrationError) -> None:
    """Say what a push would make of an error; what is too little by itself is carried where policy has it so."""
    intent = found.intent
    if intent is not None and setbacks.is_below_minimum(error):
        order = intent.order
        if setbacks.is_carried_instead(order.amount, order.currency, order.policy):
            netting = Netting((), 0, found.bill.outstanding)
            found.notes.append(str(error))
            found.carried = _carried_words(found.bill, netting)
            return
    found.error = error
    found.verdict = setbacks.verdict(found.bill, error, clock.now())
