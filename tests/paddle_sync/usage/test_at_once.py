"""Several clients and workers at the same moment: each uid is accepted by one of them, and counted once."""

import json
import random
import uuid
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageBatch, UsageUid
from paddle_sync.usage import jobs
from paddle_sync.usage.bodies import unpack
from paddle_sync.usage.checking import Checked
from paddle_sync.usage.intake import Outcome, Source, TakenIn, take_in
from tests.paddle_sync.usage.metered import METER, at, checked, item, totals
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def in_parallel(*requests: list[Any]) -> list[TakenIn]:
    """Take in requests from threads that begin together."""
    taken: list[TakenIn] = []
    raised = at_once(*[lambda items=items: taken.append(take_in(items, Source(client="tests"))) for items in requests])
    assert raised == []
    return taken


def test_the_same_batch_from_five_clients_at_once_is_counted_once(link: AccountLink, m3ter: M3terSimulator) -> None:
    moment = at(hours=3)
    rows = checked(item(link, f"use-{number}", 1, ts=moment) for number in range(500))
    requests = [list(enumerate(rows)) for _ in range(5)]
    for request in requests:
        random.shuffle(request)

    taken = in_parallel(*requests)
    assert at_once(jobs.send, jobs.send, jobs.send) == []

    outcomes = Counter(outcome for each in taken for outcome in each.outcomes.values())
    assert outcomes == {Outcome.ACCEPTED: 500, Outcome.DUPLICATE: 2000}
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(500)}
    assert UsageUid.objects.count() == 500
    assert sum(UsageBatch.objects.values_list("items", flat=True)) == 500


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_overlapping_requests_at_once_count_each_uid_once(
    link: AccountLink, m3ter: M3terSimulator, data: st.DataObject
) -> None:
    moment, run = at(hours=3), uuid.uuid4()  # the database outlives an example
    drawn = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 2)), min_size=1, max_size=40)
    requests = [
        list(enumerate(checked(item(link, f"{run}-{uid}", calls, ts=moment) for uid, calls in data.draw(drawn))))
        for _ in range(3)
    ]
    before = totals(m3ter).get((link.m3ter_account_code, METER), Decimal(0))

    taken = in_parallel(*requests)
    jobs.send()

    accepted: dict[bytes, Decimal] = {}
    for batch in UsageBatch.objects.select_related("body"):
        for line in unpack(batch.body.measurements, batch.body.keys, batch.body.rows):
            assert line.key not in accepted
            accepted[line.key] = Decimal(json.loads(line.text)["measure"]["calls"])
    mentioned = {each.key for request in requests for _, each in request if isinstance(each, Checked)}
    counted = sum((accepted[key] for key in mentioned), Decimal(0))
    assert sorted(len(each.outcomes) for each in taken) == sorted(len(request) for request in requests)
    assert sum(each.count(Outcome.ACCEPTED) for each in taken) == len(mentioned)
    assert totals(m3ter)[link.m3ter_account_code, METER] - before == counted
