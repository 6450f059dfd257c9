"""How a dry run is made: outside every transaction where it reads, inside one that is rolled back where it works."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django_q.models import OrmQ

from integration_project import budgets, clock, wakeups, work
from integration_project.connections import open_rehearsal
from integration_project.errors import BudgetSpent, NotPossible, Temporary
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter import rehearsed
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import jobs, rehearsing
from paddle_sync.models import AccountLink, EventDecision, EventRehearsal, WebhookEvent
from paddle_sync.processing import Handler
from paddle_sync.queues import EVENTS, REHEARSALS
from paddle_sync.rehearsing import DryRun
from tests.builders import make_event, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]
ANNA = NewAccount(code="sub_1", name="Anna Person", email_address="anna@example.com", currency="EUR")


def done(**changes: Any) -> WebhookEvent:
    """An event of a type whose handler a test brings along."""
    return make_event("x.y", {"id": "1"}, **{"state": "processed", "due_at": None, "attempts": 3, **changes})


def dry_run(event: WebhookEvent, handler: Handler) -> DryRun:
    with open_rehearsal() as (vendors, rehearsal):
        return rehearsing.dry_run(event.pk, vendors=vendors, rehearsal=rehearsal, handlers={"paddle": {"x.y": handler}})


@pytest.fixture
def asked() -> WebhookEvent:
    """An event whose dry run somebody asked for."""
    event = done()
    rehearsing.ask([event.pk], by="operator")
    return event


def result() -> Any:
    return EventRehearsal.objects.get().result


# --- The run ----------------------------------------------------------------------------------------------------------


def test_no_vendor_is_called_inside_a_transaction(m3ter: M3terSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = len(connection.savepoint_ids)
    depths: list[int] = []
    answer = m3ter.guard

    def guard(request: Any, route: Any) -> None:
        depths.append(len(connection.savepoint_ids))
        answer(request, route)

    monkeypatch.setattr(m3ter, "guard", guard)

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        assert len(connection.savepoint_ids) > outside
        vendors.m3ter.get_organization_config()
        vendors.m3ter.find_account("sub_1")

    dry_run(done(), handler)

    assert depths == [outside] * 3  # a token, and two reads


def test_a_dry_run_of_n_reads_runs_the_handler_once_more_than_that() -> None:
    runs = []

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        runs.append(event.attempts)
        vendors.m3ter.get_organization_config()
        vendors.m3ter.find_account("sub_1")

    dry_run(done(), handler)

    assert runs == [1, 1, 1]


def test_the_event_is_what_its_replay_would_be_and_stays_what_it_is() -> None:
    event, seen = done(replays=2, note="Done.", failure_kind=""), []

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        stored = WebhookEvent.objects.get(pk=event.pk)
        seen.append((event.state, event.attempts, event.replays, stored.state))

    dry_run(event, handler)

    event.refresh_from_db()
    assert seen == [("processing", 1, 3, "received")]
    assert (event.state, event.attempts, event.replays, event.note) == ("processed", 3, 2, "Done.")
    assert EventDecision.objects.count() == 0


def test_what_the_handler_keeps_is_gone_afterwards_and_nobody_is_woken() -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        Finding.objects.create(kind="k", subject="s", opened_at=clock.now(), seen_at=clock.now())
        work.wake_up(EVENTS)
        wakeups.ask_for("anything", EVENTS.job)
        event.note = "Kept."

    found = dry_run(done(), handler)

    assert (found.state, found.note) == ("processed", "Kept.")
    assert (Finding.objects.count(), OrmQ.objects.count()) == (0, 0)


def test_a_failing_handler_leaves_nothing_either() -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        Finding.objects.create(kind="k", subject="s", opened_at=clock.now(), seen_at=clock.now())
        raise Temporary("m3ter is busy.")

    found = dry_run(done(), handler)

    assert found.sentences == ("would be tried again later: m3ter is busy.",)
    assert Finding.objects.count() == 0


def test_an_event_that_is_being_worked_on_cannot_be_rehearsed() -> None:
    with pytest.raises(NotPossible, match="It is processing"):
        dry_run(done(state="processing"), lambda event, vendors: None)


def test_a_handler_that_never_asks_for_the_same_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "MOST_READS", 3)
    codes = (f"sub_{number}" for number in range(100))

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        vendors.m3ter.find_account(next(codes))

    with pytest.raises(NotPossible, match="more than 3 times"):
        dry_run(done(), handler)


def test_a_write_that_no_table_names_is_a_fault_and_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(rehearsed.WRITES, "create account")

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        vendors.m3ter.create_account(ANNA)

    with pytest.raises(LookupError, match="create account"):
        dry_run(done(), handler)


# --- Asked for --------------------------------------------------------------------------------------------------------


def test_a_worker_makes_the_dry_run_that_was_asked_for(asked: WebhookEvent) -> None:
    jobs.drain_rehearsals()

    row = EventRehearsal.objects.get()
    assert (row.state, row.by, row.due_at, row.lease) == ("done", "operator", None, None)
    assert result()["sentences"] == ["would skip: Stored; nothing is done for events of the type x.y."]
    assert result()["calls"] == []


def test_nothing_personal_is_kept_of_it(paddle: PaddleSimulator) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Anna Person", items=[CLOUD], country="IE")
    data = {**subscription(), **paddle.subscriptions[bought["subscription_id"]]}
    data["transaction_id"] = bought["transaction_id"]
    event = make_event("subscription.created", data, state="failed", due_at=None)
    rehearsing.ask([event.pk], by="operator")

    jobs.drain_rehearsals()

    text = str(result())
    assert "create external mapping" in text
    assert [word for word in ("Anna", "harbour", "example") if word in text] == []
    assert AccountLink.objects.count() == 0


def test_while_our_share_is_used_up_it_waits_and_its_attempt_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = make_event("subscription.updated", subscription(), state="processed", due_at=None)
    rehearsing.ask([event.pk], by="operator")

    def spent(vendor: str, purpose: str, **patience: object) -> None:
        raise BudgetSpent("all used", retry_after=30)

    monkeypatch.setattr(budgets, "take", spent)

    jobs.drain_rehearsals()

    row = EventRehearsal.objects.get()
    assert (row.state, row.attempts, row.result) == ("asked", 0, None)
    assert row.due_at is not None
    assert row.due_at > clock.now() + dt.timedelta(seconds=20)


def test_an_event_that_somebody_replayed_meanwhile_says_so(asked: WebhookEvent) -> None:
    WebhookEvent.objects.filter(pk=asked.pk).update(state="received")

    jobs.drain_rehearsals()

    assert result()["problem"].startswith("It is received; only an event that is")


def test_a_fault_of_ours_is_said_and_not_repeated_for_ever(
    asked: WebhookEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Iterator[None]:
        raise RuntimeError("oops")

    monkeypatch.setattr(rehearsing, "dry_run", broken)

    jobs.drain_rehearsals()

    row = EventRehearsal.objects.get()
    assert row.state == "done"
    assert row.result == {"problem": "A fault of this application (RuntimeError); the log has the details."}


def test_who_lost_the_row_writes_nothing(asked: WebhookEvent) -> None:
    (row,) = work.claim(REHEARSALS)
    EventRehearsal.objects.update(lease="00000000-0000-0000-0000-00000000000f")

    def reading(event: WebhookEvent, vendors: Vendors) -> None:
        vendors.m3ter.get_organization_config()

    with open_rehearsal() as (vendors, rehearsal):
        rehearsing.carry_out(row, vendors=vendors, rehearsal=rehearsal, handlers={"paddle": {"x.y": reading}})

    assert (EventRehearsal.objects.get().state, rehearsal.reads) == ("running", 0)


def test_a_dry_run_that_ends_its_workers_is_given_up(asked: WebhookEvent) -> None:
    EventRehearsal.objects.update(deaths=work.MOST_DEATHS)

    jobs.drain_rehearsals()

    assert "Several workers in a row" in result()["problem"]


def test_of_many_events_a_sample_is_rehearsed() -> None:
    events = [done() for _ in range(rehearsing.SAMPLE + 2)]

    batch = rehearsing.ask([event.pk for event in events], by="operator")

    assert [row.event_id for row in rehearsing.of_batch(batch)] == [event.pk for event in events[: rehearsing.SAMPLE]]


def test_dry_runs_are_forgotten_after_a_day(asked: WebhookEvent) -> None:
    rehearsing.ask([done().pk], by="operator")
    EventRehearsal.objects.filter(event=asked).update(asked_at=clock.now() - dt.timedelta(days=1, seconds=1))

    said = jobs.forget_rehearsals()

    assert said == "1 dry runs forgotten"
    assert EventRehearsal.objects.count() == 1
