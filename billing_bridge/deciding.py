"""Judges a bill by the tables: its live link, the policy that applies to it, the go-live date, today's date."""

from datetime import date
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from billing_bridge import carrying, charges, classic_refunds, currencies, ledger, modes, money, payments
from billing_bridge.charges import Circumstances, Verdict, held, why_not_chargeable
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock, installation
from integration_project.models import Installation
from paddle_sync.models import AccountLink

Reason = PushedBill.Reason


def live_link(m3ter_account_id: str) -> AccountLink | None:
    """The subscription that pays for an account now; there is at most one."""
    return AccountLink.objects.filter(m3ter_account_id=m3ter_account_id, state=AccountLink.State.LIVE).first()


def policy_for(link: AccountLink | None) -> PushPolicy:
    """The link's own policy, else everybody's, else the defaults."""
    its = (
        PushPolicy.objects.filter(Q(link=link) | Q(link=None))
        if link is not None
        else PushPolicy.objects.filter(link=None)
    )
    return its.order_by(F("link").asc(nulls_last=True)).first() or PushPolicy()


def circumstances(bill: PushedBill) -> Circumstances:
    """Everything a bill is judged by, read now."""
    ours = installation.current()
    link = live_link(bill.m3ter_account_id)
    policy = policy_for(link)
    return Circumstances(
        link=link,
        policy=policy,
        charge_from=ours.charge_from,
        today=today(ours),
        collected=collected(bill),
        in_doubt=in_doubt_words(bill),
        paddle_decimals=currencies.decimals(bill.currency),
        gone_outside=gone_outside(bill) if bill.outstanding < 0 or bill.written_off < 0 else 0,
        others_ask_for=others_ask_for(bill) if bill.outstanding < 0 else 0,
        carried_debits=carrying.debits(bill) if policy.review == PushPolicy.Review.ABOVE else 0,
        last_payable=_last_payable(bill) if policy.differs_percent is not None else None,
    )


def gone_outside(bill: PushedBill) -> int:
    """What of a bill was given back without a refund of ours, or discounted away."""
    sums = _standing(bill).aggregate(given=Sum("given_by_others"), discounted=Sum("discounted"))
    given = (sums["given"] or 0) - classic_refunds.counted_too_often(bill)
    return max(given, 0) + (sums["discounted"] or 0)


def others_ask_for(bill: PushedBill) -> int:
    """What somebody else asked Paddle to give back of a bill, and Paddle has not decided about."""
    return _standing(bill).aggregate(asked=Sum("others_ask_for"))["asked"] or 0


def _standing(bill: PushedBill) -> QuerySet[Push]:
    """The charges that Paddle collects or has collected; what came off others went with them."""
    standing = bill.pushes.filter(Q(state=Push.State.PUSHED) | Q(payment=PushedBill.Payment.PAID))
    return standing.exclude(kind=Push.Kind.REFUND)


def _last_payable(bill: PushedBill) -> int | None:
    """What the bill before this one came to, of the same account and currency; None where there is none."""
    if bill.period_end is None:
        return None
    before = PushedBill.objects.filter(
        m3ter_account_id=bill.m3ter_account_id,
        currency=bill.currency,
        period_end__lt=bill.period_end,
        revision__isnull=False,
    ).exclude(m3ter_status=ledger.GONE)
    return before.order_by("-period_end", "-id").values_list("payable", flat=True).first()


def collected(bill: PushedBill) -> str:
    """Say which push of a bill was taken for lost and paid after all; empty when there is none."""
    paid = bill.pushes.filter(state=Push.State.LOST, payment=PushedBill.Payment.PAID).order_by("ordinal").first()
    return collected_words(paid.push_id, paid.paddle_transaction_id) if paid is not None else ""


def in_doubt(bill: PushedBill) -> QuerySet[Push]:
    """Pushes of a bill that a payment of Paddle Classic should have collected, where nobody can tell whether it has."""
    accepted = bill.pushes.filter(state=Push.State.PUSHED, mode__in=modes.on_classic_payments())
    return accepted.exclude(paddle_transaction_id="").exclude(payment__in=payments.GIVEN_OR_TAKEN).order_by("ordinal")


def in_doubt_words(bill: PushedBill) -> str:
    """Say what is in doubt of a bill; empty where nothing is."""
    first = in_doubt(bill).first() if bill.is_settled_in_part else None
    return first.detail if first is not None else ""


def collected_words(push_id: str, transaction_id: str) -> str:
    """Say that what was taken for lost is in Paddle, so that charging it again would be charging it twice."""
    return f"Push {push_id} was taken for lost, but it is in transaction {transaction_id}. It is not charged again."


def today(ours: Installation | None = None) -> date:
    """Today's date where the m3ter organisation is."""
    return clock.now().astimezone(installation.zone(ours or installation.current())).date()


def judge(bill: PushedBill, given: Circumstances | None = None) -> Verdict:
    """Say what becomes of a bill now, by its current revision; `given` is what it is judged by, where it was read."""
    if bill.revision is None:
        raise ValueError(f"{bill} has no revision")
    return why_not_chargeable(bill, bill.revision, given or circumstances(bill))


def deleted_verdict(bill: PushedBill, words: str = "") -> Verdict:
    """What becomes of a bill that m3ter no longer has; `words` say what was collected after all, where that is news.

    What is open of it besides is less to give back where the customer has had a credit, and else more.
    """
    if words := words or collected(bill):
        amount = money.words(abs(bill.outstanding), bill.currency)
        if bill.outstanding:
            besides = f"less the {amount} that they have had" if bill.outstanding > 0 else f"with {amount} more"
            words = f"{words} Give it back in Paddle by hand, {besides}, then skip it."
        else:
            words = f"{words} Give it back in Paddle by hand, then skip it."
        return held(Reason.DELETED, f"It was deleted in m3ter. {words}")
    if not bill.outstanding:
        return held(
            Reason.DELETED, "It was deleted in m3ter. Nothing of it stands in Paddle or in the carried balance."
        )
    told = charges.told_words(bill, gone_outside(bill), others_ask_for(bill))
    said = ("It was deleted in m3ter.", charges.changed_words(bill), "Nothing more is charged.", told)
    return held(Reason.DELETED, " ".join(filter(None, said)))


def columns(verdict: Verdict) -> dict[str, Any]:
    """The columns that a verdict sets; due now when the bill is ready."""
    due_at = clock.now() if verdict.chargeable and verdict.due_at is None else verdict.due_at
    chosen = {"chosen_mode": verdict.then_mode} if verdict.then_mode else {}
    return {
        **chosen,
        "state": verdict.state,
        "reason": verdict.reason,
        "reason_detail": verdict.detail,
        "due_at": due_at,
        "updated_at": clock.now(),
    }


def serial_key(bill: PushedBill, link: AccountLink | None) -> str:
    """What may be charged one at a time: everything on one subscription."""
    return link.paddle_subscription_id if link is not None else f"bill:{bill.m3ter_bill_id}"
