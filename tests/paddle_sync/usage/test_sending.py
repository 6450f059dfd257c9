"""The outbox: whatever happens to a call or a worker, m3ter counts each measurement once, and nothing is forgotten."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from integration_project import clock, work
from integration_project.models import Finding
from integration_project.vendors.m3ter.simulator import M3terSimulator, access
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.models import AccountLink, UsageBatch, UsageBody, UsageFailure, UsageUid
from paddle_sync.usage import failures, jobs, outbox, queues
from paddle_sync.usage.intake import Outcome
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.paddle_sync.usage.metered import METER, accept, item, totals

pytestmark = pytest.mark.django_db

State = UsageBatch.State
SEND = "submit measurements"
SUSPICIOUS = "drop table usage"


def time_passes() -> None:
    """Whatever waits is due, and claims of workers that are gone run out."""
    UsageBatch.objects.filter(state=State.SENDING).update(lease_until=clock.now() - dt.timedelta(seconds=1))
    work.release_expired(queues.OUTBOX)
    UsageBatch.objects.filter(state=State.READY).update(due_at=clock.now())


def sent_until_done() -> None:
    """Send until nothing waits."""
    for _ in range(20):
        time_passes()
        jobs.send()
        if not UsageBatch.objects.filter(state__in=(State.READY, State.SENDING)).exists():
            return
    raise AssertionError("the outbox never empties")


def calls(m3ter: M3terSimulator) -> int:
    """How often usage was sent."""
    return sum(1 for call in m3ter.calls if call.operation == SEND)


def test_small_batches_share_a_call(link: AccountLink, m3ter: M3terSimulator) -> None:
    for number in range(30):
        accept(item(link, f"use-{number}", 1))

    jobs.send()

    assert calls(m3ter) == 1
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(30)}
    assert set(UsageBatch.objects.values_list("state", "sendings")) == {(State.SENT, 1)}


def test_no_call_is_larger_than_m3ter_takes(link: AccountLink, m3ter: M3terSimulator) -> None:
    heavy = "é" * 1_500  # twelve bytes a letter once it is written as JSON

    for start in range(0, 2_400, 800):
        accept(*(item(link, f"use-{start + n}", values={"calls": 1, "endpoint": heavy}) for n in range(40)))
        accept(*(item(link, f"light-{start + n}", 1) for n in range(800)))
    sent_until_done()

    assert {call.status for call in m3ter.calls if call.operation == SEND} == {200}
    assert max(len(call.body) for call in m3ter.calls if call.operation == SEND) < 512_000
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3 * 840)}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("lose_answer", {}),
        ("error_after", {"status": 502}),
        ("error_before", {"status": 503}),
        ("too_many", {"retry_after": 1}),
        ("truncated", {}),
        ("html", {"status": 502}),
        ("slow", {"seconds": 40}),
    ],
)
def test_a_call_that_fails_is_made_again_with_the_same_uids(
    link: AccountLink, m3ter: M3terSimulator, kind: str, params: dict[str, Any]
) -> None:
    accept(item(link, "a", 5), item(link, "b", 6))
    m3ter.fault(SEND, kind, **params)

    jobs.send()
    waiting = UsageBatch.objects.get()
    assert (waiting.state, waiting.sendings) == (State.READY, 1)
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now()
    assert waiting.last_error
    sent_until_done()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(11)}
    batch = UsageBatch.objects.get()
    assert (batch.state, batch.sendings, batch.last_error) == (State.SENT, 2, "")


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_anywhere_loses_and_doubles_nothing(
    link: AccountLink,
    m3ter: M3terSimulator,
    settings: Settings,
    adapters: dict[str, WsgiAdapter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killer = Killer()
    commits_can_kill(monkeypatch, killer)
    settings.VENDOR_TRANSPORTS = {**adapters, "m3ter": DeadlyAdapter(adapters["m3ter"], killer)}
    expected = Decimal(0)
    for dies_at in range(100):
        accept(item(link, f"a-{dies_at}", 5), item(link, f"b-{dies_at}", 6))
        expected += 11
        try:
            with killer.watching(dies_at):
                jobs.send()
        except Killed:
            sent_until_done()
            continue
        break

    assert dies_at > 4
    assert any(point.startswith("after POST") for point in killer.points)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): expected}


def test_a_closed_vendor_leaves_everything_where_it_is(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(item(link, "a", 5))
    m3ter.refuse_key()

    jobs.send()

    batch = UsageBatch.objects.get()
    assert (batch.state, batch.attempts, batch.sendings, batch.first_sent_at) == (State.READY, 0, 0, None)
    assert totals(m3ter) == {}


def test_the_measurement_that_m3ter_refuses_is_found_and_the_rest_is_sent(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    accept(
        *(item(link, f"use-{number}", 1) for number in range(40)),
        item(link, "bad", values={"calls": 7, "endpoint": SUSPICIOUS}),
        *(item(link, f"more-{number}", 1) for number in range(40)),
    )

    sent_until_done()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(80)}
    failure = UsageFailure.objects.get()
    assert (failure.state, failure.row, failure.meter) == ("open", 40, METER)
    assert (failure.measurement or {})["what"] == {"endpoint": SUSPICIOUS}
    assert calls(m3ter) < 20
    batch = UsageBatch.objects.get()
    assert (batch.state, batch.failed_later) == (State.SENT, 1)


def test_what_m3ter_refused_may_be_put_right_and_sent_under_its_uid(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(item(link, "bad", values={"calls": 7, "endpoint": SUSPICIOUS}), item(link, "good", 1))
    sent_until_done()

    accept(item(link, "bad", values={"calls": 7, "endpoint": "search"}))
    sent_until_done()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(8)}


def test_what_m3ter_refuses_altogether_waits_for_a_person_whole(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(*(item(link, f"use-{number}", values={"calls": 1, "endpoint": SUSPICIOUS}) for number in range(5)))

    jobs.send()

    batch = UsageBatch.objects.get()
    assert (batch.state, batch.due_at) == (State.FAILED, None)
    assert "refuses all of it" in batch.note
    assert UsageUid.objects.count() == 5
    assert not UsageFailure.objects.exists()


def test_single_measurements_wait_for_a_person_while_m3ter_takes_nothing_at_all(
    link: AccountLink, m3ter: M3terSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        accept(item(link, f"use-{number}", 1))
    with monkeypatch.context() as blocked:
        blocked.setattr(access, "is_suspicious", lambda text: True)
        sent_until_done()
    accept(item(link, "last", 1))
    with monkeypatch.context() as blocked:
        blocked.setattr(access, "is_suspicious", lambda text: True)
        sent_until_done()

    assert set(UsageBatch.objects.values_list("state", flat=True)) == {State.FAILED}
    assert not UsageFailure.objects.exists()
    assert UsageUid.objects.count() == 4
    for batch in UsageBatch.objects.all():
        outbox.send_again(batch.pk, by="olga", reason="The firewall lets us pass.")
    sent_until_done()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(4)}


def test_a_single_measurement_is_refused_by_itself_where_m3ter_takes_others(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    accept(item(link, "bad", values={"calls": 7, "endpoint": SUSPICIOUS}))
    accept(item(link, "good", 1))
    sent_until_done()
    accept(item(link, "worse", values={"calls": 8, "endpoint": SUSPICIOUS}))
    sent_until_done()

    assert set(UsageBatch.objects.values_list("state", flat=True)) == {State.SENT}
    assert set(UsageFailure.objects.values_list("kind", "is_dropped")) == {("refused", True)}
    assert UsageUid.objects.count() == 1


def test_a_uid_stays_taken_where_m3ter_may_have_counted_it_before_it_refused(
    link: AccountLink, m3ter: M3terSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(item(link, "a", 5), item(link, "bad", values={"calls": 7, "endpoint": SUSPICIOUS}))
    m3ter.fault(SEND, "lose_answer")
    with monkeypatch.context() as open_gate:
        open_gate.setattr(access, "is_suspicious", lambda text: False)
        jobs.send()
    sent_until_done()

    again = accept(item(link, "bad", 8))

    assert again.outcomes == {0: Outcome.CONFLICT}
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(12)}
    failure = UsageFailure.objects.get()
    assert (failure.kind, failure.is_dropped, failure.state) == ("refused again", False, UsageFailure.State.OPEN)
    failures.tell()
    assert "perhaps not counted" in Finding.objects.get(kind=failures.DROPPED).detail


def test_a_wrong_address_fails_whole_batches_after_one_call(
    link: AccountLink, m3ter: M3terSimulator, settings: Settings
) -> None:
    accept(*(item(link, f"use-{number}", 1) for number in range(5)))
    settings.M3TER_INGEST_URL = f"{settings.M3TER_INGEST_URL}/nowhere"

    jobs.send()

    assert UsageBatch.objects.get().state == State.FAILED
    assert "M3TER_INGEST_URL" in UsageBatch.objects.get().note


def test_a_batch_that_may_have_been_counted_long_ago_is_not_sent_again_by_itself(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    accept(item(link, "a", 5))
    m3ter.fault(SEND, "lose_answer")
    jobs.send()
    UsageBatch.objects.update(first_sent_at=clock.now() - dt.timedelta(days=35))

    time_passes()
    jobs.send()

    batch = UsageBatch.objects.get()
    assert (batch.state, batch.sendings) == (State.FAILED, 1)
    assert "might be counted twice" in batch.note
    assert calls(m3ter) == 1


def test_what_another_worker_has_is_left_to_it(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(item(link, "a", 5))
    (claimed,) = work.claim(queues.OUTBOX)

    jobs.send()

    assert calls(m3ter) == 0
    assert UsageBatch.objects.get().lease == claimed.lease


def test_single_requests_go_before_files(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(*(item(link, f"file-{number}", 1) for number in range(600)))
    UsageBatch.objects.update(urgency=UsageBatch.Urgency.FILE)
    accept(*(item(link, f"live-{number}", 1) for number in range(600)))

    jobs.send()

    bodies = [call.body for call in m3ter.calls if call.operation == SEND]
    keys = [next(iter(UsageBody.objects.filter(batch__urgency=urgency))) for urgency in (0, 1)]
    assert [bytes(body.keys)[:16].hex().encode() in sent for body, sent in zip(keys, bodies, strict=True)] == [
        True,
        True,
    ]
