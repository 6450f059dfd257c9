"""Writes down what is about to be asked of Paddle: which push, how much of it carried, in which way, in which words.

A bill that comes to nothing chargeable, by the carried balance or because it is too little, is settled here instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

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
    outcomes,
)
from billing_bridge.charges import Circumstances, Verdict
from billing_bridge.composing import Composed, Marks, Owed
from billing_bridge.journal import Journal
from billing_bridge.ledger import ACCEPTED
from billing_bridge.models import CarriedEntry, Push, PushAttempt, PushedBill, PushPolicy
from billing_bridge.modes import Mode, Order, Request
from billing_bridge.netting import Netting, net
from billing_bridge.queues import FINISH
from integration_project import clock, work
from integration_project.vendors import CLASSIC, PADDLE
from paddle_sync.models import AccountLink

State = PushedBill.State
Reason = PushedBill.Reason
ANOTHER_PUSH_AGAIN = timedelta(minutes=5)
CROSSES = (
    "A credit is larger than what is charged in the same tax category, so it would lower what has another one. That "
    "changes the tax, so a person must agree."
)
SEVERAL = (
    "Its lines have several tax categories; what is left of it would have that of its largest line, so a person must "
    "agree."
)
NAMES = {PADDLE: "Paddle Billing", CLASSIC: "Paddle Classic"}


class NotNow(Exception):
    """The bill cannot be charged now; the verdict says what becomes of it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


@dataclass(frozen=True)
class Intent:
    """A push that is written down, and what it asks of the vendor, in its way of charging."""

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


def mode_of(bill: PushedBill) -> Mode:
    """The way of charging that a person chose for the bill, else the policy's."""
    link = deciding.live_link(bill.m3ter_account_id)
    return modes.for_bill(bill, link, deciding.policy_for(link))


def misfit(mode: Mode, link: AccountLink) -> str:
    """Say why a subscription cannot be charged in a way; empty where it can."""
    if mode.serves(link):
        return ""
    return (
        f'"{mode.label}" is a way of {NAMES[mode.vendor]}, and {link.paddle_subscription_id} is a subscription of '
        f"{NAMES[link.source]}."
    )


def write_intent(bill: PushedBill, journal: Journal) -> Intent | None:
    """Write down what is about to be asked, under the id it will be found by. None: nothing was to be charged."""
    try:
        with transaction.atomic():
            return _intent(bill, ledger.owned(bill), journal)
    except IntegrityError:  # a push was opened on this subscription since we looked
        raise NotNow(_another_push("a bill of the same subscription")) from None


def _intent(bill: PushedBill, known: PushedBill, journal: Journal) -> Intent | None:
    given = deciding.circumstances(known)
    verdict = deciding.judge(known, given)
    if not verdict.chargeable or given.link is None or known.revision is None:
        raise NotNow(verdict)
    if known.is_settled_in_part and known.outstanding == 0:
        raise NotNow(charges.nothing_more(clock.now()))
    subscription_id = given.link.paddle_subscription_id
    mode = modes.for_bill(known, given.link, given.policy)
    if problem := misfit(mode, given.link):
        raise NotNow(charges.held(Reason.MODE, f"{problem} Approve it to have it charged as the policy says."))
    push = _push_row(known, subscription_id, gives_back=mode.gives_back)
    entries = carrying.available(known, push)
    netting = _netting(known, entries, mode)
    if not netting.charge:
        settle_without_charge(bill, known, netting, given.policy, journal)
        return None
    _refuse_a_second_open_push(push, subscription_id)
    _refuse_beyond_the_limits(mode, subscription_id)
    taken = {part.entry_id for part in netting.taken}
    owed = Owed(known.revision, known.outstanding, tuple(entry for entry in entries if entry.pk in taken))
    sent_in, sent_before = push.mode, push.sent_at
    order, request = _order(known, push, owed, given, mode)
    push.kind = _kind(known, mode)
    push.revision = known.revision
    push.mode = mode.name if push.sent_at is None else push.mode  # where it may have been sent, it is looked for
    push.paddle_subscription_id = subscription_id
    push.currency = known.currency
    push.amount, push.carried = netting.charge, netting.carried_in
    push.items = request.items
    push.state = Push.State.PUSHING
    push.detail = ""
    push.save()
    carrying.reserve(push, netting.taken)
    Journal(bill, push).before("preview", f"{len(request.items)} items on {subscription_id}, {mode.label.lower()}")
    return Intent(push, mode, order, request, owed, sent_before, sent_in or mode.name)


def _netting(bill: PushedBill, entries: Sequence[CarriedEntry], mode: Mode) -> Netting:
    """What is charged of a bill, or given back: that takes nothing of the carried balance."""
    if mode.gives_back:
        if bill.outstanding >= 0:
            raise NotNow(charges.held(Reason.CHANGED, charges.changed_words(bill)))
        return Netting((), -bill.outstanding, 0)
    return net(bill.outstanding, carrying.as_parts(entries), minimum=mode.minimum(bill.currency))


def _kind(bill: PushedBill, mode: Mode) -> Push.Kind:
    if mode.gives_back:
        return Push.Kind.REFUND
    return Push.Kind.CORRECTION if bill.is_settled_in_part else Push.Kind.CHARGE


def _order(
    bill: PushedBill, push: Push, owed: Owed, given: Circumstances, mode: Mode, *, one_item: bool = False
) -> tuple[Order, Request]:
    """Compose what is asked. What a credit does across tax categories needs a person."""
    if given.link is None:
        raise ValueError("nobody to charge")
    marks = Marks(push.push_id, bill.m3ter_bill_id, push.attempt)
    composed = Composed((), crosses=False)
    if mode.has_items:
        rules = composing.rules_by_product()
        composed = composing.compose(owed, marks=marks, policy=given.policy, rules=rules, one_item=one_item)
    if composed.crosses and bill.reviewed_revision_id != owed.revision.pk:
        raise NotNow(charges.held(Reason.NEGATIVE, CROSSES))
    unseen = not owed.is_whole and bill.reviewed_revision_id != owed.revision.pk
    if mode.has_items and unseen and not _tax_category(bill, given.policy):
        raise NotNow(charges.held(Reason.CHANGED, f"{charges.changed_words(bill)} {SEVERAL}"))
    order = Order(
        marks=marks,
        subscription_id=given.link.paddle_subscription_id,
        currency=bill.currency,
        amount=abs(owed.total),
        composed=composed,
        owed=owed,
        bill=bill,
        link=given.link,
        policy=given.policy,
        sent_before=push.sent_at is not None,
    )
    return order, mode.request(order)


def settle_without_charge(
    owner: PushedBill, bill: PushedBill, netting: Netting, policy: PushPolicy, journal: Journal
) -> None:
    """Settle a locked bill by the carried balance alone: Paddle is asked for nothing."""
    if netting.carry > 0 and policy.small == PushPolicy.Rest.HOLD:
        raise NotNow(charges.held(Reason.BELOW_MINIMUM, _below_minimum(netting.carry, bill.currency)))
    category = _tax_category(bill, policy)
    if netting.taken and bill.reviewed_revision_id != bill.revision_id and not _all_of(netting, category):
        raise NotNow(charges.held(Reason.NEGATIVE, CROSSES))
    words = carrying.settle(bill, netting, tax_category=category)
    journal.after("carry", "carried", words)
    work.settle(owner, **outcomes.settled_columns(bill, words), chosen_mode="", attempts=0, last_error="")
    ledger.resume(bill.serial_key)
    work.wake_up(FINISH)


def _all_of(netting: Netting, category: str) -> bool:
    """Whether everything that is taken has this tax category, and it is one."""
    entries = CarriedEntry.objects.filter(pk__in=[part.entry_id for part in netting.taken])
    return bool(category) and set(entries.values_list("tax_category", flat=True)) == {category}


def _tax_category(bill: PushedBill, policy: PushPolicy) -> str:
    if bill.revision is None:
        return ""
    return composing.tax_category_of(bill.revision, policy, composing.rules_by_product())


def _below_minimum(amount: int, currency: str) -> str:
    least = money.words(currencies.minimum(currency), currency)
    return f"{money.words(amount, currency)} is less than the {least} that Paddle charges at least."


def _push_row(bill: PushedBill, subscription_id: str, *, gives_back: bool) -> Push:
    """The push that is still to be made, under its old id; a new one only after what went before was accepted.

    Or after a person has given up what was left behind on another subscription: a new id tells the two apart there.
    """
    last = last_push(bill, lock=True)
    if last is not None and was_left_behind(last, subscription_id):
        if not was_released(last):
            raise NotNow(sent_elsewhere(last, subscription_id))
        last.state = Push.State.FAILED
        last.detail = f"Given up: no trace of it on {last.paddle_subscription_id}, which the account has left."
        last.save(update_fields=("state", "detail"))
        last.release_carried()
    elif last is not None and last.state not in ACCEPTED and (last.kind == Push.Kind.REFUND) == gives_back:
        last.attempt += 1
        return last
    elif last is not None and last.state not in ACCEPTED and last.sent_at is not None:
        raise NotNow(_may_have_been_made(last))
    ordinal = last.ordinal + 1 if last is not None else 1
    return Push(
        push_id=f"{bill.m3ter_bill_id}-{ordinal}", bill=bill, ordinal=ordinal, attempt=1, created_at=clock.now()
    )


def _may_have_been_made(push: Push) -> Verdict:
    """A charge may have been made, and now the customer is owed something, or the other way round."""
    return charges.held(
        Reason.CHANGED,
        f"Push {push.push_id} may have been made, and the bill has become another kind since. Say on its page whether "
        "it was made, or settle it in Paddle by hand and write off what is left.",
    )


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
        raise NotNow(_another_push(f"push {other.push_id} of {other.bill}"))


def _refuse_beyond_the_limits(mode: Mode, subscription_id: str) -> None:
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


def _another_push(which: str) -> Verdict:
    return charges.waiting(
        Reason.ANOTHER_PUSH,
        f"Waits for {which}, which is open on the same subscription; it goes on by itself.",
        clock.now() + ANOTHER_PUSH_AGAIN,
    )


def as_one_item(bill: PushedBill, intent: Intent) -> Intent:
    """Ask for the same amount in one item, because the lines do not fit on the subscription."""
    given = deciding.circumstances(bill)
    order, request = _order(intent.order.bill, intent.push, intent.owed, given, intent.mode, one_item=True)
    return replace(intent, order=order, request=request, one_item=True)


def in_another_way(bill: PushedBill, intent: Intent, name: str, journal: Journal) -> Intent:
    """Ask for the same amount in the way that policy has for what the first cannot do."""
    journal.after(
        "preview", "another way", f"{intent.mode.label} cannot be; policy says: {modes.of(name).label.lower()}."
    )
    other = modes.of(name)
    push = intent.push
    _refuse_beyond_the_limits(other, intent.order.subscription_id)
    request = other.request(intent.order)
    with transaction.atomic():
        ledger.still_owned(bill)
        push.mode = other.name if push.sent_at is None else push.mode
        push.items = request.items
        push.save(update_fields=("mode", "items"))
    return replace(intent, mode=other, request=request)


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


def was_left_behind(push: Push, subscription_id: str) -> bool:
    may_have_been_made = push.sent_at is not None and push.state not in ACCEPTED
    return may_have_been_made and push.paddle_subscription_id != subscription_id


def was_released(push: Push) -> bool:
    """Whether a person has approved the bill after it was held because this push was left behind."""
    held = push.history.filter(step="look", outcome=State.HELD).order_by("-id").first()
    if held is None:
        return False
    return PushAttempt.objects.filter(bill=push.bill_id, step="decision", outcome="approve", id__gt=held.pk).exists()


def sent_elsewhere(push: Push, subscription_id: str) -> Verdict:
    return charges.held(
        Reason.SENT_ELSEWHERE,
        f"Push {push.push_id} may have been sent to {push.paddle_subscription_id}, which shows no trace of it, and the "
        f"account belongs to {subscription_id} by now.",
    )
