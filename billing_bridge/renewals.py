"""Keeps when the subscription of a bill renews, so that bills are charged in the order of need."""

from datetime import datetime

from billing_bridge.models import PushedBill
from integration_project import clock
from paddle_sync.models import AccountLink

State = PushedBill.State

FOLLOWS = (State.HELD, State.WAITING, State.READY, State.FAILED, State.LOST, State.SKIPPED)
"""States in which a bill's renewal is the subscription's next. What Paddle has, or may have, keeps the one it is on."""


def of(link: AccountLink | None) -> datetime | None:
    """The renewal that would carry what is charged on a subscription now; None where Paddle names none."""
    return link.next_billed_at if link is not None else None


def follow(subscription_id: str) -> int:
    """Bring a subscription's bills up to date with its renewal; how many differed.

    They are those that were seen with it last, and all of the account that it pays for by now: what another
    subscription was to pay before this one came is charged on this one.
    """
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is None:
        return 0
    now = clock.now()
    bills = PushedBill.objects.filter(state__in=FOLLOWS)
    moved = 0
    if link.state == AccountLink.State.LIVE:
        others = bills.filter(m3ter_account_id=link.m3ter_account_id).exclude(link=link)
        moved = others.update(link=link, serial_key=subscription_id, renews_at=of(link), updated_at=now)
    behind = bills.filter(link=link).exclude(renews_at=of(link))
    return moved + behind.update(renews_at=of(link), updated_at=now)
