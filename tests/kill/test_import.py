"""The processes that list and take in existing subscriptions are killed by SIGKILL again and again; others go on."""

import datetime as dt
import random
from typing import Any

import pytest

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import bulk, existing
from paddle_sync.models import AccountLink, AccountPlanLink, BulkRun, WebhookEvent
from tests.builders import make_mapping
from tests.kill.mortal import Mortals
from tests.kill.programs import needs_proc
from tests.paddle_sync.test_existing import subscribed

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(600),
    needs_proc,
]

CARRY_ON = "paddle_sync.jobs.carry_on_bulk_runs"
EVENTS = "paddle_sync.jobs.drain_events"
COUNT = 24
WHY: dict[str, Any] = {"by": "ann", "reason": "go-live"}
DEATHS = 4


def a_minute_passes() -> None:
    """Every lease has run out, and what waits for a time is due."""
    past = clock.now() - dt.timedelta(seconds=1)
    BulkRun.objects.filter(lease__isnull=False).update(lease_until=past)
    WebhookEvent.objects.filter(lease__isnull=False).update(lease_until=past)
    WebhookEvent.objects.filter(due_at__isnull=False).update(due_at=past)


def test_an_import_whose_processes_are_killed_again_and_again_ends_complete(
    workers: Mortals, paddle: PaddleSimulator, m3ter: M3terSimulator
) -> None:
    chance = random.Random(7)
    make_mapping()
    ids = subscribed(paddle, COUNT)
    run = existing.ask(**WHY)

    for place in sorted(chance.sample(range(9), DEATHS), reverse=True):
        workers.do(CARRY_ON, dies_at=place)
        a_minute_passes()
    workers.do(CARRY_ON)
    assert BulkRun.objects.get().state == "previewed"
    bulk.start(run.pk, **WHY)
    workers.do(CARRY_ON)
    for _ in range(DEATHS):
        workers.do(EVENTS, dies_at=chance.randrange(30))
        a_minute_passes()
    for _ in range(10):
        workers.do(EVENTS, CARRY_ON)
        a_minute_passes()

    run.refresh_from_db()
    assert (run.state, dict(bulk.progress(run).counts)) == ("done", {"changed": COUNT})
    assert sorted(account["code"] for account in m3ter.memory.accounts) == ids
    assert sorted(plan["accountId"] for plan in m3ter.memory.account_plans) == sorted(
        account["id"] for account in m3ter.memory.accounts
    )
    assert (AccountLink.objects.count(), AccountPlanLink.objects.count()) == (COUNT, COUNT)
