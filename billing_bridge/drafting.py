"""Drafts what would be asked for a bill as it stands: which push, how much of it carried, in which way, in which words.

Reads tables only, and writes nothing: whoever is about to charge writes the draft down (`intending`), and whoever only
wants to know what would be charged does not (`previewing`). There is one draft for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing_bridge import (
    carrying,
    charge_limits,
    charges,
    composing,
    currencies,
    deciding,
    ledger,
    looking,
    modes,
    money,
)
from billing_bridge.charges import Circumstances, Verdict
from billing_bridge.composing import Composed, Marks, Owed, Tax
from billing_bridge.ledger import ACCEPTED
from billing_bridge.models import CarriedEntry, Push, PushAttempt, PushedBill, PushPolicy
from billing_bridge.modes import Mode, Order, Request
from billing_bridge.netting import Netting, net
from integration_project import clock
from integration_project.vendors import CLASSIC, PADDLE
from paddle_sync.models import AccountLink

State = PushedBill.State
Reason = PushedBill.Reason
ANOTHER_PUSH_AGAIN = timedelta(minutes=5)
CROSSES = (
    "A credit is larger than what is taxed as it is, so it would lower what has another tax category, or has tax in it "
    "where the credit has none. That changes the tax, so a person must agree."
)
SEVERAL = (
    "Its lines are taxed in several ways: by several tax categories, or some with tax in the amount. What is left of "
    "it would be taxed as its largest line is, so a person must agree."
)
MIXED = (
    "Some of its amounts have tax in them, and others do not; carried to the next bill, they would be taxed as the "
    "push policy says. Approve it where that is right, or settle it outside."
)
NAMES = {PADDLE: "Paddle Billing", CLASSIC: "Paddle Classic"}


class NotNow(Exception):
    """The bill cannot be charged now; the verdict says what becomes of it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


@dataclass(frozen=True)
class Intent:
    """A push, and what it asks of the vendor, in its way of charging."""

    push: Push
    mode: Mode
    order: Order
    request: Request
    owed: Owed
    sent_before: datetime | None
    """When an earlier attempt, whose outcome was never seen, was sent."""
    sent_in: str
    """The way of charging of that attempt."""
    one_item: bool = False


@dataclass(frozen=True)
class Draft:
    """How a bill would be settled as it stands; `intent` None where nothing of it would be charged."""

    given: Circumstances
    netting: Netting
    push: Push
    """The push that is to be made, not saved: a new one, or the last one with the number of its next attempt."""
    intent: Intent | None
    given_up: Push | None
    """A push left behind, which a person has let go of; a new one takes its place."""


def mode_of(bill: PushedBill) -> Mode:
    """The way of charging that a person chose for the bill, else the policy's."""
    link = deciding.live_link(bill.m3ter_account_id)
    return modes.for_bill(bill, link, deciding.policy_for(link))


def was_to_give_back(bill: PushedBill) -> str:
    """The way in which a customer was to get back what they are owed, which stays so; empty where there was none."""
    if bill.outstanding < 0 and bill.chosen_mode and modes.of(bill.chosen_mode).gives_back:
        return bill.chosen_mode
    last = last_push(bill)
    failed = last is not None and last.kind == Push.Kind.REFUND and last.state == Push.State.FAILED
    return last.mode if last is not None and failed and bill.outstanding < 0 else ""


def misfit(mode: Mode, link: AccountLink) -> str:
    """Say why a subscription cannot be charged in a way; empty where it can."""
    if mode.serves(link):
        return ""
    return (
        f'"{mode.label}" is a way of {NAMES[mode.vendor]}, and {link.paddle_subscription_id} is a subscription of '
        f"{NAMES[link.source]}."
    )


def draft(bill: PushedBill, *, lock: bool, released: bool = False) -> Draft:
    """Say what would be asked for a bill, or raise NotNow.

    `lock`: what it hangs on stays so until the transaction ends. `released`: as if a person had let go of what was left
    behind on another subscription.
    """
    given = deciding.circumstances(bill)
    verdict = deciding.judge(bill, given)
    if not verdict.chargeable or given.link is None or bill.revision is None:
        raise NotNow(verdict)
    if bill.is_settled_in_part and bill.outstanding == 0:
        raise NotNow(charges.nothing_more(clock.now()))
    subscription_id = given.link.paddle_subscription_id
    mode = modes.for_bill(bill, given.link, given.policy)
    if problem := misfit(mode, given.link):
        raise NotNow(charges.held(Reason.MODE, f"{problem} Approve it to have it charged as the policy says."))
    push, given_up = _push_row(bill, subscription_id, mode, lock=lock, released=released)
    entries = carrying.available(bill, *(each for each in (push, given_up) if each is not None), lock=lock)
    netting = netting_of(bill, entries, mode)
    if not netting.charge:
        return Draft(given, netting, push, None, given_up)
    _refuse_a_second_open_push(push, subscription_id)
    refuse_beyond_the_limits(mode, subscription_id)
    taken = {part.entry_id for part in netting.taken}
    owed = Owed(bill.revision, bill.outstanding, tuple(entry for entry in entries if entry.pk in taken))
    order, request = _order(bill, push, owed, mode, link=given.link, policy=given.policy)
    intent = Intent(push, mode, order, request, owed, push.sent_at, push.mode or mode.name)
    return Draft(given, netting, push, intent, given_up)


def netting_of(bill: PushedBill, entries: Sequence[CarriedEntry], mode: Mode) -> Netting:
    """What is charged of a bill, or given back: that takes nothing of the carried balance."""
    if mode.gives_back:
        if bill.outstanding >= 0:
            raise NotNow(charges.held(Reason.CHANGED, charges.changed_words(bill)))
        return Netting((), -bill.outstanding, 0)
    return net(bill.outstanding, carrying.as_parts(entries), minimum=mode.minimum(bill.currency))


def _order(
    bill: PushedBill,
    push: Push,
    owed: Owed,
    mode: Mode,
    *,
    link: AccountLink,
    policy: PushPolicy,
    one_item: bool = False,
) -> tuple[Order, Request]:
    """Compose what is asked. What a credit does to what is taxed in another way needs a person."""
    marks = Marks(push.push_id, bill.m3ter_bill_id, push.attempt)
    composed = Composed((), crosses=False)
    if mode.has_items:
        rules = composing.rules_by_product()
        composed = composing.compose(owed, marks=marks, policy=policy, rules=rules, one_item=one_item)
    if composed.crosses and bill.reviewed_revision_id != owed.revision.pk:
        raise NotNow(charges.held(Reason.NEGATIVE, CROSSES))
    unseen = not owed.is_whole and bill.reviewed_revision_id != owed.revision.pk
    if mode.has_items and unseen and tax_of(bill, policy) is None:
        raise NotNow(charges.held(Reason.CHANGED, f"{charges.changed_words(bill)} {SEVERAL}"))
    order = Order(
        marks=marks,
        subscription_id=link.paddle_subscription_id,
        currency=bill.currency,
        amount=abs(owed.total),
        composed=composed,
        owed=owed,
        bill=bill,
        link=link,
        policy=policy,
        sent_before=push.sent_at is not None,
    )
    return order, mode.request(order)


def as_one_item(intent: Intent) -> Intent:
    """Ask for the same amount in one item, because the lines do not fit on the subscription."""
    asked = intent.order
    order, request = _order(
        asked.bill, intent.push, intent.owed, intent.mode, link=asked.link, policy=asked.policy, one_item=True
    )
    return replace(intent, order=order, request=request, one_item=True)


def in_another_way(intent: Intent, name: str) -> Intent:
    """Ask for the same amount in the way that policy has for what the first cannot do."""
    other = modes.of(name)
    refuse_beyond_the_limits(other, intent.order.subscription_id)
    return replace(intent, mode=other, request=other.request(intent.order))


def refuse_to_carry(bill: PushedBill, netting: Netting, policy: PushPolicy) -> None:
    """Raise NotNow where a person must agree to settle a bill by the carried balance alone."""
    if netting.carry > 0 and policy.small == PushPolicy.Rest.HOLD:
        raise NotNow(charges.held(Reason.BELOW_MINIMUM, _below_minimum(netting.carry, bill.currency)))
    refuse_to_net(bill, netting, policy)


def refuse_to_net(bill: PushedBill, netting: Netting, policy: PushPolicy) -> None:
    """Raise NotNow where what a bill takes of the carried balance, or leaves to it, is taxed in another way."""
    if bill.reviewed_revision_id == bill.revision_id:
        return
    if netting.taken and not _all_of(netting, tax_of(bill, policy), policy):
        raise NotNow(charges.held(Reason.NEGATIVE, CROSSES))
    if netting.carry and len({tax.mode for tax in _taxes(bill, policy)}) > 1:
        raise NotNow(charges.held(Reason.NEGATIVE, MIXED))


def _all_of(netting: Netting, tax: Tax | None, policy: PushPolicy) -> bool:
    """Whether everything that is taken is taxed in this way, and it is one."""
    entries = CarriedEntry.objects.filter(pk__in=[part.entry_id for part in netting.taken])
    return tax is not None and all(composing.carried_tax(entry, policy) == tax for entry in entries)


def tax_of(bill: PushedBill, policy: PushPolicy) -> Tax | None:
    """How all of a bill is taxed; None where that is in several ways, or nothing was read of it yet."""
    taxes = _taxes(bill, policy)
    return next(iter(taxes)) if len(taxes) == 1 else None


def _taxes(bill: PushedBill, policy: PushPolicy) -> frozenset[Tax]:
    if bill.revision is None:
        return frozenset()
    return composing.taxes_of(bill.revision, policy, composing.rules_by_product())


def _below_minimum(amount: int, currency: str) -> str:
    least = money.words(currencies.minimum(currency), currency)
    return f"{money.words(amount, currency)} is less than the {least} that Paddle charges at least."


def _push_row(
    bill: PushedBill, subscription_id: str, mode: Mode, *, lock: bool, released: bool
) -> tuple[Push, Push | None]:
    """The push that is still to be made, under its old id; a new one only after what went before was accepted.

    Or after a person has given up what was left behind: a new id tells the two apart.
    """
    last, given_up = last_push(bill, lock=lock), None
    if last is not None and was_left_behind(last, subscription_id, mode):
        if not (released or was_released(last)):
            raise NotNow(left_behind(last, subscription_id))
        given_up = last
    elif last is not None and _is_still_to_be_made(last, mode):
        last.attempt += 1
        return last, None
    ordinal = last.ordinal + 1 if last is not None else 1
    push_id = _push_id(bill, ordinal)
    return Push(push_id=push_id, bill=bill, ordinal=ordinal, attempt=1, created_at=clock.now()), given_up


def _is_still_to_be_made(push: Push, mode: Mode) -> bool:
    return push.state not in ACCEPTED and (push.kind == Push.Kind.REFUND) == mode.gives_back


def _push_id(bill: PushedBill, ordinal: int) -> str:
    return f"{bill.m3ter_bill_id}-{ordinal}"


def coming_push_id(bill: PushedBill, mode: Mode) -> str:
    """The id under which the next push of a bill would be made, as far as it can be told before."""
    last, link = last_push(bill), deciding.live_link(bill.m3ter_account_id)
    if last is None:
        return _push_id(bill, 1)
    is_left = link is not None and was_left_behind(last, link.paddle_subscription_id, mode)
    is_last = not is_left and _is_still_to_be_made(last, mode)
    return last.push_id if is_last else _push_id(bill, last.ordinal + 1)


def last_push(bill: PushedBill, *, lock: bool = False) -> Push | None:
    pushes = bill.pushes.select_for_update(of=ledger.LOCKABLE) if lock else bill.pushes.select_related("bill")
    return pushes.order_by("-ordinal").first()


def _refuse_a_second_open_push(push: Push, subscription_id: str) -> None:
    others = Push.objects.filter(
        paddle_subscription_id=subscription_id,
        state__in=ledger.OPEN,
    ).exclude(pk=push.pk)
    other = others.select_related("bill").first()
    if other is not None:
        raise NotNow(another_push(f"push {other.push_id} of {other.bill}"))


def refuse_beyond_the_limits(mode: Mode, subscription_id: str) -> None:
    """Wait where Paddle would refuse another immediate charge; with one open push at a time, nobody else makes one."""
    if mode.name != PushPolicy.Mode.IMMEDIATELY:
        return
    now = clock.now()
    made = ledger.immediate_charges(since=now - charge_limits.LONGEST, subscription_id=subscription_id)
    reached = charge_limits.reached(made.get(subscription_id, ()), now)
    if reached is not None:
        words = (
            f"Paddle takes {reached.most} immediate charges {reached.per} on one subscription, and so many were made on"
            f" {subscription_id}; it goes on at {reached.until:%Y-%m-%d %H:%M} UTC."
        )
        raise NotNow(charges.waiting(Reason.CHARGE_LIMIT, words, reached.until))


def another_push(which: str) -> Verdict:
    """Wait for a push that is open on the same subscription."""
    return charges.waiting(
        Reason.ANOTHER_PUSH,
        f"Waits for {which}, which is open on the same subscription; it goes on by itself.",
        clock.now() + ANOTHER_PUSH_AGAIN,
    )


ANSWERS = ("was not made", "approve", "resend")
"""What a person decides who has looked for a push that Paddle cannot tell of."""


def was_answered(push: Push) -> bool:
    """Whether a person has let a push go on since Paddle could not tell, for the first time, if its last request was
    carried out."""
    request = push.history.filter(step="charge", phase="before").order_by("-id").values_list("id", flat=True).first()
    asked = push.history.filter(step="look", outcome=looking.CANNOT_TELL, id__gt=request or 0).order_by("id").first()
    if asked is None:
        return False
    return PushAttempt.objects.filter(bill=push.bill_id, step="decision", outcome__in=ANSWERS, id__gt=asked.pk).exists()


def was_left_behind(push: Push, subscription_id: str, mode: Mode) -> bool:
    """Whether a push may have been made that is not what would be made now: elsewhere, or a charge and no refund."""
    may_have_been_made = push.sent_at is not None and push.state not in ACCEPTED
    return may_have_been_made and (
        push.paddle_subscription_id != subscription_id or not _is_still_to_be_made(push, mode)
    )


def was_released(push: Push) -> bool:
    """Whether a person has let the bill go on after it was held because this push was left behind."""
    held = push.history.filter(step="look", outcome=State.HELD).order_by("-id").first()
    if held is None:
        return False
    return PushAttempt.objects.filter(bill=push.bill_id, step="decision", outcome__in=ANSWERS, id__gt=held.pk).exists()


LEFT_BEHIND = (Reason.SENT_ELSEWHERE, Reason.CANNOT_TELL)
"""Why a bill is held of which a push was left behind; approving it lets go of that."""


def left_behind(push: Push, subscription_id: str, *, seen: str = "") -> Verdict:
    """Leave it to a person whether a push was made that was left behind; `seen` is what Paddle shows in its place."""
    if push.paddle_subscription_id == subscription_id:
        return charges.held(
            Reason.CANNOT_TELL,
            f"Push {push.push_id} may have been made, and what is open of the bill is of another kind since. "
            f"{seen or 'Paddle shows no trace of it.'} Say first whether it is in Paddle.",
        )
    return charges.held(
        Reason.SENT_ELSEWHERE,
        seen
        or f"Push {push.push_id} may have been sent to {push.paddle_subscription_id}, which shows no trace of it, and "
        f"the account belongs to {subscription_id} by now.",
    )
