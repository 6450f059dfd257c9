"""Backlogs are read together: one call for every subscription that a batch of claimed events has to see again.

A claim leases up to a batch of events under one token, at most one of each subscription, and nobody else works on those
subscriptions until their turn is over. So what was read after the claim is newer than all that is known of them,
however late in the batch their turn comes.
"""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from integration_project import clock
from integration_project.errors import BudgetSpent, Permanent, Temporary
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.client import PaddleClient
from paddle_sync import classic
from paddle_sync.models import WebhookEvent

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=60)
"""What is younger is taken for what Paddle would say now."""
USUAL_ID = re.compile(r"sub_[a-z0-9]{26}", re.ASCII)
"""An id that Paddle itself would write: asked for any other, it refuses the whole list."""


@dataclass(frozen=True)
class _Read:
    """What one call found for the events of one claim."""

    lease: UUID | None
    at: datetime
    asked: frozenset[str] = frozenset()
    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def knows(self, event: WebhookEvent) -> bool:
        """Say whether this answers what the event would ask now."""
        ours = self.lease is not None and self.lease == event.lease
        return ours and event.paddle_subscription_id in self.asked and clock.now() - self.at < FRESH

    def was_alone(self, event: WebhookEvent) -> bool:
        """Say whether an event of the same claim was read by itself: together did not work, or there was no other."""
        return self.lease == event.lease and len(self.asked) == 1


class _Last(threading.local):
    """The last read of this thread; a thread works on one batch at a time."""

    read: _Read | None = None


_last = _Last()


def subscription(event: WebhookEvent, vendors: Vendors) -> Mapping[str, Any] | None:
    """What the event's subscription is now, as Paddle Billing writes it; None when Paddle does not know it."""
    if event.source == WebhookEvent.Source.PADDLE_CLASSIC:
        return classic.read(event.paddle_subscription_id, vendors)
    last = _last.read
    if last is None or not last.knows(event):
        others = () if last is not None and last.was_alone(event) else _others(event)
        last = _last.read = _read(event, vendors.paddle, others)
    return last.found.get(event.paddle_subscription_id)


def _others(event: WebhookEvent) -> tuple[str, ...]:
    """List the subscriptions of the same claim whose events will not be believed unread either."""
    old = Q(occurred_at__lte=clock.now() - FRESH) | Q(attempts__gt=1) | Q(replays__gt=0)
    claimed = WebhookEvent.objects.filter(old, lease=event.lease, lease__isnull=False, source=event.source)
    waiting = claimed.filter(event_type__startswith="subscription.").exclude(pk=event.pk)
    ids = waiting.order_by("due_at", "pk").values_list("paddle_subscription_id", flat=True)
    return tuple(subscription_id for subscription_id in ids if USUAL_ID.fullmatch(subscription_id))


def _read(event: WebhookEvent, paddle: PaddleClient, others: tuple[str, ...]) -> _Read:
    """Read the event's subscription and the others; alone, and each of the others alone, where that goes wrong."""
    own = event.paddle_subscription_id
    if others and USUAL_ID.fullmatch(own):
        try:
            return _listed(event, paddle, (own, *others))
        except BudgetSpent:
            raise
        except (Temporary, Permanent) as problem:
            logger.warning("%s subscriptions were not read together: %s", len(others) + 1, problem)
    return _listed(event, paddle, (own,))


def _listed(event: WebhookEvent, paddle: PaddleClient, ids: tuple[str, ...]) -> _Read:
    at = clock.now()
    found = {subscription.id: subscription.raw for subscription in paddle.list_subscriptions(ids=ids)}
    return _Read(event.lease, at, frozenset(ids), found)
