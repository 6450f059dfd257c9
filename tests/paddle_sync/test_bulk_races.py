"""Feeders at once, each in a thread with a connection of its own, begin every item of a bulk run once."""

from collections import Counter

import pytest

from integration_project import installation
from paddle_sync import bulk
from paddle_sync.models import BulkRun, WebhookEvent
from tests.builders import paddle_id
from tests.paddle_sync.test_bulk import WHY, counts
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

COUNT = 60


def moving() -> BulkRun:
    """A run whose every item, each time it is begun, asks for a subscription to be looked at."""
    installation.current()
    run = bulk.create(BulkRun.Kind.MOVE, "Move", **WHY)
    bulk.add(
        run, [(paddle_id("sub"), {"price_ids": [], "moves_at": "2026-01-01T00:00:00+00:00"}) for _ in range(COUNT)]
    )
    bulk.prepared(run)
    bulk.start(run.pk, **WHY)
    return run


def asked() -> Counter[str]:
    return Counter(WebhookEvent.objects.values_list("paddle_subscription_id", flat=True))


def test_feeders_at_once_begin_every_item_once() -> None:
    run = moving()

    raised = at_once(*[bulk.feed] * 4)

    assert raised == []
    assert counts(run) == {"begun": COUNT}
    assert asked() == dict.fromkeys(run.items.values_list("subject", flat=True), 1)


def test_what_is_cancelled_while_it_is_fed_is_either_begun_or_skipped() -> None:
    run = moving()

    raised = at_once(bulk.feed, bulk.feed, lambda: bulk.cancel(run.pk, **WHY))

    assert raised == []
    reached = counts(run)
    assert set(reached) <= {"begun", "skipped"}
    assert sum(reached.values()) == COUNT
    assert asked() == dict.fromkeys(run.items.filter(outcome="begun").values_list("subject", flat=True), 1)
    assert BulkRun.objects.get().state == "cancelled"
