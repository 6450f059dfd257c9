"""What becomes of a bill whose charge met an error of our tree before it was made. Nothing is written here."""

from datetime import datetime, timedelta

from billing_bridge import charges, currencies, deciding, modes, refusals, renewals
from billing_bridge.charges import Verdict
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import work
from integration_project.errors import (
    BudgetSpent,
    IntegrationError,
    NeedsConfiguration,
    Temporary,
    VendorClosed,
    VendorRejected,
)
from integration_project.vendors import M3TER

State = PushedBill.State
Reason = PushedBill.Reason

SMALL_WITHOUT_A_MINIMUM = 1000
"""Minor units below which an amount counts as small in a currency whose minimum nobody has said."""
CLOSED_AGAIN = timedelta(seconds=60)
BUDGET_AGAIN = timedelta(seconds=5)


def verdict(bill: PushedBill, error: IntegrationError, now: datetime) -> Verdict:
    """Say what an error means for a bill of which nothing was charged by this attempt."""
    words = str(error)
    match error:
        case BudgetSpent():
            return Verdict(State.READY, "", words, now + _wait(error, BUDGET_AGAIN))
        case VendorClosed():
            return Verdict(State.READY, "", words, now + CLOSED_AGAIN)
        case Temporary():
            return _later(bill, error, now, _wait(error, work.backoff(bill.attempts)))
        case NeedsConfiguration(key=key):
            known = key in refusals.REFUSALS
            return refusals.verdict(key, words, now) if known else charges.held(Reason.CONFIGURATION, words)
        case VendorRejected(code=code, vendor=vendor) if vendor != M3TER:
            return refusals.verdict(code, words, now)
        case _:
            return Verdict(State.FAILED, "", words)


def is_below_minimum(error: IntegrationError) -> bool:
    """Whether Paddle says that it is too little."""
    return isinstance(error, VendorRejected) and error.code in refusals.BELOW_MINIMUM


def is_carried_instead(amount: int, currency: str, policy: PushPolicy) -> bool:
    """Whether policy carries an amount that Paddle refused as too little, and it is little.

    It must be of the order of what Paddle charges at least: a discount can make it refuse a large one.
    """
    if policy.small == PushPolicy.Rest.HOLD:
        return False
    least = currencies.minimum(currency)
    return amount < (2 * least if least > 1 else SMALL_WITHOUT_A_MINIMUM)


def _later(bill: PushedBill, error: Temporary, now: datetime, wait: timedelta) -> Verdict:
    """What Paddle refuses for some time is waited for; anything else is tried again."""
    words = str(error)
    if not error.code:
        return Verdict(State.READY, "", words, now + wait)
    link = deciding.live_link(bill.m3ter_account_id)
    policy, renews_at = deciding.policy_for(link), renewals.of(link)
    meaning = Verdict(State.READY, "", words, now + wait)
    if error.code in refusals.REFUSALS:
        meaning = refusals.verdict(error.code, words, now, wait=wait)
    delayed = charges.delayed(
        error.code,
        meaning.detail,
        renews_at=renews_at,
        policy=policy,
        now=now,
        until=now + wait,
        at_once=modes.for_bill(bill, link, policy) in modes.AT_ONCE,
    )
    return delayed or meaning


def _wait(error: Temporary, otherwise: timedelta) -> timedelta:
    return timedelta(seconds=error.retry_after) if error.retry_after else otherwise
