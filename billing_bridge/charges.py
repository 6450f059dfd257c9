"""Every reason not to charge a bill, or not now, with what becomes of it instead. Pure: no vendor, nothing saved."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from billing_bridge import charge_limits, composing, money, owed
from billing_bridge.models import BillRevision, PushedBill, PushPolicy
from integration_project.vendors.paddle.entities import ScheduledChange
from paddle_sync.models import AccountLink

State = PushedBill.State
Reason = PushedBill.Reason

RENEWAL_LOCK = timedelta(minutes=35)
"""Paddle refuses changes for 30 minutes before a renewal; five more, because a charge takes time too."""
AFTER_RENEWAL = timedelta(minutes=5)
LOOK_AGAIN = timedelta(hours=6)
"""A waiting bill is tried again this often, in case no event said that what it waits for has happened."""
MANUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP"})


NEEDS_NO_SUBSCRIPTION = frozenset({PushPolicy.Mode.INVOICE.value, "refund"})
"""Ways of settling a bill that a cancelled subscription leaves open, where a person chose one."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a bill: its state, with the reason in a word and in a sentence."""

    state: str
    reason: str = ""
    detail: str = ""
    due_at: datetime | None = None
    then_mode: str = ""
    """How it is charged when it goes on, where that is not what the policy says."""

    @property
    def chargeable(self) -> bool:
        """True when nothing stands in the way."""
        return self.state == State.READY


READY = Verdict(State.READY)


@dataclass(frozen=True)
class Circumstances:
    """What a bill is judged by, besides itself."""

    link: AccountLink | None
    policy: PushPolicy
    charge_from: date | None
    today: date
    collected: str = ""
    """In words, where Paddle has collected after all what was taken for lost."""
    in_doubt: str = ""
    """In words, where a payment should have collected a charge of it, and nobody can tell whether it has."""
    paddle_decimals: int | None = None
    """How many decimals Paddle says that the bill's currency has, where its list was read."""
    gone_outside: int = 0
    """What of the bill went back to the customer, or was not collected, without a refund of ours."""
    others_ask_for: int = 0
    """What somebody else asked Paddle to give back of the bill, and Paddle has not decided about."""
    carried_debits: int = 0
    """What the bill would take of the carried balance besides, where that matters."""
    last_payable: int | None = None
    """What the account's bill before this one came to, in the same currency."""


class Standing(Protocol):
    """What of a subscription decides whether it can be charged now, in the words of Paddle Billing."""

    @property
    def status(self) -> str: ...
    @property
    def currency_code(self) -> str: ...
    @property
    def collection_mode(self) -> str | None: ...
    @property
    def next_billed_at(self) -> datetime | None: ...
    @property
    def scheduled_change(self) -> ScheduledChange | None: ...


def held(reason: str, detail: str) -> Verdict:
    """A person must decide."""
    return Verdict(State.HELD, reason, detail)


def waiting(reason: str, detail: str, until: datetime | None) -> Verdict:
    """Time or another thing decides."""
    return Verdict(State.WAITING, reason, detail, until)


def nothing_more(now: datetime) -> Verdict:
    """Paddle has all of it, so it is finished in m3ter next."""
    return Verdict(State.PUSHED, "", "Paddle has all of it already; nothing more is charged.", now)


def why_not_chargeable(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict:
    """Judge a bill by what is known here; the first reason counts, READY when there is none."""
    for question in (
        _not_live,
        _counted_otherwise,
        _collected,
        _in_doubt,
        _locked_elsewhere,
        _left_out,
        _currency,
        _amounts,
        _no_subscription,
        _currency_of_subscription,
        _period_open,
        _changed,
        _negative,
        _differs,  # before the review, so that whoever reviews every bill is told which one to look at closely
        _review,
    ):
        verdict = question(bill, revision, given)
        if verdict is not None:
            return verdict
    return READY


def _not_live(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.charge_from is None:
        return waiting(Reason.NOT_LIVE, "Nothing is charged until Finance sets the go-live date.", None)
    if bill.period_end is not None and bill.period_end <= given.charge_from and not bill.is_settled_in_part:
        return Verdict(
            State.SKIPPED,
            Reason.BEFORE_GO_LIVE,
            f"Its period ended on {bill.period_end}, not after the go-live date {given.charge_from}.",
        )
    return None


def _counted_otherwise(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    """What stands of a bill in one currency is nothing of what m3ter says in another."""
    if revision.currency == bill.currency:
        return None
    return held(
        Reason.CURRENCY,
        f"m3ter says {money.words(revision.payable, revision.currency)} now, but what was charged, carried or written "
        f"off of it is in {bill.currency}; nothing is converted. Settle it in Paddle and m3ter by hand, then skip it.",
    )


def _collected(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    return held(Reason.COLLECTED, given.collected) if given.collected else None


def _in_doubt(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    return held(Reason.CANNOT_TELL, given.in_doubt) if given.in_doubt else None


def _locked_elsewhere(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if not bill.m3ter_locked or bill.locked_at is not None or bill.reviewed_revision_id == revision.pk:
        return None
    return held(
        Reason.LOCKED_ELSEWHERE,
        "It is locked in m3ter, and not by us: it may have been charged in another way. Approve it only if it was not.",
    )


def _no_subscription(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.link is None:
        return held(
            Reason.MAPPING,
            f"The m3ter account {bill.m3ter_account_code or bill.m3ter_account_id} has no live link to a Paddle "
            "subscription. It is tried again as soon as there is one.",
        )
    if given.link.paddle_status == "canceled" and bill.chosen_mode not in NEEDS_NO_SUBSCRIPTION:
        return held(Reason.CANCELLED, f"Subscription {given.link.paddle_subscription_id} is cancelled in Paddle.")
    return None


def _currency(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    currency = revision.currency
    if currency in money.UNCERTAIN:
        return held(Reason.CURRENCY, f"Whether Paddle counts {currency} with decimals is not certain enough to charge.")
    if currency not in money.EXPONENTS:
        return held(Reason.CURRENCY, f"Paddle does not take {currency}.")
    if given.paddle_decimals not in {None, money.EXPONENTS[currency]}:
        return held(
            Reason.CURRENCY, f"Paddle counts {currency} with {given.paddle_decimals} decimals, which is not so here."
        )
    return None


def _currency_of_subscription(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.link is not None and given.link.currency != revision.currency:
        return other_currency(revision.currency, given.link.currency)
    return None


def other_currency(of_bill: str, of_subscription: str) -> Verdict:
    """The bill and the subscription are in different currencies."""
    words = f"The bill is in {of_bill}, the subscription in {of_subscription}; nothing is converted."
    return held(Reason.CURRENCY, words)


def _amounts(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    lines = composing.exact_lines(revision)
    difference = owed.mismatch(revision.exact_total, lines, revision.currency)
    if difference is not None:
        return held(
            Reason.MISMATCH,
            f"The total is {revision.total} {revision.currency}, the lines add up to {money.exact_sum(lines):f}: "
            f"{difference:f} is more than rounding explains.",
        )
    if revision.payable == 0 and abs(revision.exact_total) >= 1:
        return held(Reason.MISMATCH, f"Its total of {revision.total} {revision.currency} is out of all proportion.")
    if revision.payable == 0 and not bill.is_settled_in_part:
        return Verdict(State.SKIPPED, Reason.ZERO, f"Its total is {revision.total} {revision.currency}.")
    return None


def _period_open(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    ended = bill.period_end is not None and bill.period_end <= given.today
    if ended or given.policy.open_periods or bill.reviewed_revision_id == revision.pk:
        return None
    ends = f"ends on {bill.period_end}" if bill.period_end else "has no end that m3ter names"
    return held(Reason.PERIOD_OPEN, f"Its period {ends}: more usage may still come.")


def _left_out(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.policy.leaves_out(bill.m3ter_account_id, bill.m3ter_account_code):
        if bill.is_settled_in_part:
            return None if bill.reviewed_revision_id == revision.pk else held(Reason.CHANGED, changed_words(bill))
        return Verdict(State.SKIPPED, Reason.EXCLUDED, "The push policy leaves its account out.")
    return None


def _changed(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    """What stands in Paddle or the balance is not what m3ter says any more."""
    if not bill.is_settled_in_part or bill.outstanding == 0:
        return None
    if told := told_words(bill, given.gone_outside, given.others_ask_for):  # who approved it before could not know
        return held(Reason.CHANGED, f"{changed_words(bill)} {told}")
    if bill.reviewed_revision_id == revision.pk:
        return None
    if given.policy.changed == PushPolicy.Changed.SETTLE:
        return None
    return held(Reason.CHANGED, changed_words(bill))


def told_words(bill: PushedBill, gone_outside: int, others_ask_for: int) -> str:
    """Say what of a bill's open amount was settled before, or may be soon, in Paddle or here; empty where nothing."""
    return " ".join(filter(None, (settled_words(bill, gone_outside), asked_words(bill, others_ask_for))))


def asked_words(bill: PushedBill, others_ask_for: int) -> str:
    """Say that somebody else may be giving back what the customer is owed for a bill; empty where nobody is."""
    if bill.outstanding >= 0 or others_ask_for <= 0:
        return ""
    asked = money.words(others_ask_for, bill.currency)
    return f"A refund of {asked} that somebody asked for in Paddle waits to be decided there: wait for that."


def settled_words(bill: PushedBill, gone_outside: int) -> str:
    """Say what of a bill's open amount was given up or given back before; empty where that is nothing."""
    settled = owed.settled_before(bill.outstanding, written_off=bill.written_off, gone_outside=gone_outside)
    parts = {
        "was written off here and never charged": settled.never_charged,
        "was refunded or discounted in Paddle already": settled.given_back,
        "is a credit that was written off here and never given": settled.never_given,
    }
    said = [f"{money.words(amount, bill.currency)} of that {what}." for what, amount in parts.items() if amount]
    return " ".join([*said, "Approving it settles the rest alone."] if said else [])


def too_much_words(bill: PushedBill) -> str:
    """Say why a bill may not be charged of which more is open than m3ter says; empty where that is not so.

    A credit that was written off, for a push that is lost since, leaves that. What the bill took of the carried
    balance, and what was refunded of it, is more than m3ter says for a reason.
    """
    if bill.outstanding <= bill.payable - bill.carried + bill.credited:
        return ""
    return (
        f"{money.words(bill.outstanding, bill.currency)} is open, but m3ter's bill is "
        f"{money.words(bill.payable, bill.currency)}: settle it in Paddle by hand, then skip it."
    )


def changed_words(bill: PushedBill) -> str:
    """Say what is different between m3ter and what stands of a bill here."""
    stands = [f"Paddle has {money.words(bill.in_paddle, bill.currency)}"]
    if bill.carried:
        stands.append(f"{money.words(bill.carried, bill.currency)} was carried on")
    if bill.written_off:
        stands.append(f"{money.words(bill.written_off, bill.currency)} was written off")
    return (
        f"m3ter says {money.words(bill.payable, bill.currency)}, {', '.join(stands)}: "
        f"{money.words(bill.outstanding, bill.currency)} is open."
    )


def _negative(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if bill.outstanding >= 0 or given.policy.negative != PushPolicy.Negative.HOLD:
        return None
    if bill.reviewed_revision_id == revision.pk:
        return None
    owed_words = money.words(-bill.outstanding, revision.currency)
    return held(Reason.NEGATIVE, f"The customer is owed {owed_words}, which Paddle cannot charge.")


def _review(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if bill.reviewed_revision_id == revision.pk or given.policy.review == PushPolicy.Review.NEVER:
        return None
    if given.policy.review == PushPolicy.Review.ABOVE:
        limit = given.policy.review_above or Decimal(0)
        amount = bill.outstanding + given.carried_debits
        if abs(money.in_major_units(amount, revision.currency)) <= limit:
            return None
        return held(Reason.REVIEW, f"It is above {limit} {revision.currency}; waits for Finance to approve it here.")
    return held(Reason.REVIEW, "Approved in m3ter; waits for Finance to approve it here.")


def _differs(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    """Say that a bill is far from what the account's last one came to."""
    percent, last = given.policy.differs_percent, given.last_payable
    if percent is None or last is None or bill.reviewed_revision_id == revision.pk or bill.is_settled_in_part:
        return None
    if abs(revision.payable - last) * 100 <= abs(last) * percent:
        return None
    before, now = money.words(last, revision.currency), money.words(revision.payable, revision.currency)
    return held(Reason.DIFFERS, f"It comes to {now}, the account's last bill to {before}: more than {percent} % apart.")


# --- What the subscription says --------------------------------------------------------------------------------------


def why_not_now(
    subscription: Standing, *, currency: str, policy: PushPolicy, now: datetime, at_once: bool = False
) -> Verdict | None:
    """Judge a subscription as Paddle describes it at this moment; None when it can be charged.

    What is charged at once needs no renewal to carry it, so it matters neither how far that is nor whether it comes.
    """
    return (
        _status(subscription, now)
        or _terms(subscription, currency)
        or (None if at_once else _no_renewal(subscription, policy))
        or _renewal_lock(subscription, policy, now, at_once=at_once)
        or (None if at_once else _renewal(subscription, policy, now))
    )


def _status(subscription: Standing, now: datetime) -> Verdict | None:
    later = now + LOOK_AGAIN
    match subscription.status:
        case "active":
            return None
        case "trialing":
            ends = subscription.next_billed_at
            until = ends + AFTER_RENEWAL if ends is not None and ends > now else later
            return waiting(Reason.TRIAL, "The subscription is in trial; it is charged when the trial has ended.", until)
        case "past_due":
            return waiting(Reason.PAST_DUE, "The subscription is past due; it is charged when that is paid.", later)
        case "paused":
            return waiting(Reason.PAUSED, "The subscription is paused; it is charged when it is resumed.", later)
        case "canceled":
            return held(Reason.CANCELLED, "The subscription is cancelled in Paddle.")
        case unknown:
            return held(Reason.CONFIGURATION, f"Paddle gives the subscription the status {unknown!r}, unknown here.")


def _terms(subscription: Standing, currency: str) -> Verdict | None:
    if subscription.currency_code != currency:
        return other_currency(currency, subscription.currency_code)
    if subscription.collection_mode == "manual" and currency not in MANUAL_CURRENCIES:
        return held(Reason.MODE, f"The subscription is paid by invoice, which Paddle does not offer in {currency}.")
    return None


def _no_renewal(subscription: Standing, policy: PushPolicy) -> Verdict | None:
    change = subscription.scheduled_change
    if change is not None and change.action in {"cancel", "pause"}:
        reason = Reason.CANCELLED if change.action == "cancel" else Reason.PAUSED
        return held(
            reason,
            f"Paddle will {change.action} the subscription on {change.effective_at:%Y-%m-%d %H:%M} UTC; a charge added "
            "now would not be collected.",
        )
    if subscription.next_billed_at is None:
        return held(Reason.RENEWAL_TOO_FAR, "Paddle names no next renewal that could carry the charge.")
    return None


def _renewal_lock(subscription: Standing, policy: PushPolicy, now: datetime, *, at_once: bool) -> Verdict | None:
    renews_at = subscription.next_billed_at
    if renews_at is None or renews_at - now > RENEWAL_LOCK:
        return None
    words = f"The subscription renews at {renews_at:%Y-%m-%d %H:%M} UTC; Paddle takes no changes shortly before."
    return _late(words, max(renews_at, now) + AFTER_RENEWAL, policy, at_once=at_once)


def _late(words: str, until: datetime, policy: PushPolicy, *, at_once: bool) -> Verdict:
    """A bill that comes too late for a renewal: policy says whether the one after that carries it.

    What is charged at once anyhow needs none, and goes as soon as Paddle takes changes again.
    """
    by_policy = policy.late == PushPolicy.Late.IMMEDIATELY
    return Verdict(
        State.WAITING,
        Reason.RENEWAL_LOCK,
        f"{words} It is charged {'at once' if at_once or by_policy else 'with the renewal'} after that.",
        until,
        then_mode=PushPolicy.Mode.IMMEDIATELY if by_policy else "",
    )


def _renewal(subscription: Standing, policy: PushPolicy, now: datetime) -> Verdict | None:
    renews_at = subscription.next_billed_at
    if renews_at is not None and renews_at - now > timedelta(days=policy.max_wait_days):
        return held(
            Reason.RENEWAL_TOO_FAR,
            f"The next renewal is on {renews_at:%Y-%m-%d}, more than {policy.max_wait_days} days away.",
        )
    return None


def delayed(
    code: str,
    words: str,
    *,
    renews_at: datetime | None,
    policy: PushPolicy,
    now: datetime,
    until: datetime,
    at_once: bool,
) -> Verdict | None:
    """Say what a refusal of Paddle's means that passes by itself; None: it is no more than tried again.

    `renews_at` is the renewal as it was known before: in its last half hour Paddle refuses the preview that would say.
    """
    if code in LOCKED:
        in_it = renews_at is not None and now <= renews_at <= now + RENEWAL_LOCK
        after = renews_at + AFTER_RENEWAL if in_it and renews_at is not None else until
        return _late(words, after, policy, at_once=at_once)
    if code in charge_limits.CODES:
        return waiting(Reason.CHARGE_LIMIT, words, until)
    return None


def at_once_instead(verdict: Verdict, policy: PushPolicy) -> bool:
    """Whether policy has a bill charged at once that a renewal cannot carry for this reason."""
    answers = {
        Reason.RENEWAL_TOO_FAR: policy.far,
        Reason.CANCELLED: policy.ending,
        Reason.PAUSED: policy.ending,
    }
    return verdict.state == State.HELD and answers.get(Reason(verdict.reason)) == PushPolicy.Far.IMMEDIATELY


LOCKED = frozenset({"subscription_locked_renewal", "subscription_locked_processing"})
"""Paddle's codes for a renewal that is about to come, or under way."""
