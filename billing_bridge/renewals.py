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
    """Bring a subscription's bills up to date with its renewal; how many differed."""
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is None:
        return 0
    others = PushedBill.objects.filter(link=link, state__in=FOLLOWS).exclude(renews_at=of(link))
    return others.update(renews_at=of(link), updated_at=clock.now())
