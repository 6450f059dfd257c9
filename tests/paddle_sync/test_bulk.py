"""Bulk runs: begun gradually, each item once, whoever feeds them and whoever dies; paused, continued, cancelled."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connection

from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import bulk, jobs
from paddle_sync.models import BulkItem, BulkRun, EventDecision, PlanMove, WebhookEvent
from tests.builders import make_event, subscription

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Kind, State = BulkRun.Kind, BulkRun.State
WHY: dict[str, Any] = {"by": "ann", "reason": "m3ter was down"}


class Killed(BaseException):
    """The process is gone: nothing between here and the test may catch this."""


@contextmanager
def killed_at(statement: int) -> Iterator[list[str]]:
    """Die ahead of the statement with that number, if it comes to that; what the database undoes then, it undoes."""
    reached: list[str] = []

    def die(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        reached.append(sql)
        if len(reached) == statement:
            raise Killed
        return execute(sql, *rest)

    with connection.execute_wrapper(die), suppress(Killed):
        yield reached


def replay_of(count: int, *, begin: bool = True) -> BulkRun:
    """A run that replays events which are done."""
    run = bulk.create(Kind.REPLAY, "Replay of what failed", **WHY)
    events = [make_event("customer.updated", {"id": "ctm_1"}, state="ignored", due_at=None) for _ in range(count)]
    bulk.add(run, ((str(event.pk), {}) for event in events))
    bulk.prepared(run)
    if begin:
        bulk.start(run.pk, **WHY)
    run.refresh_from_db()
    return run


def counts(run: BulkRun) -> dict[str, int]:
    return dict(bulk.progress(run).counts)


def received() -> int:
    return WebhookEvent.objects.filter(state="received").count()


def test_no_more_than_so_many_are_begun_and_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_AT_ONCE", 3)
    run = replay_of(8)

    began = [bulk.feed(), bulk.feed()]
    first = set(run.items.filter(outcome="begun").values_list("position", flat=True))
    oldest = WebhookEvent.objects.filter(state="received").order_by("pk")[0]
    WebhookEvent.objects.filter(pk=oldest.pk).update(state="processed")
    began.append(bulk.feed())

    assert (began, first) == ([3, 0, 1], {1, 2, 3})
    assert counts(run) == {"waiting": 4, "begun": 3, "changed": 1}


def test_an_items_outcome_is_its_events_and_the_run_ends_with_the_last_one(run_jobs: Callable[[], int]) -> None:
    run = replay_of(4)
    bulk.feed()
    events = list(WebhookEvent.objects.order_by("pk"))
    for event, state in zip(events, ("processed", "ignored", "parked", "failed"), strict=True):
        assert event.state == "received"
        WebhookEvent.objects.filter(pk=event.pk).update(state=state)

    bulk.feed()

    run.refresh_from_db()
    assert counts(run) == {"changed": 1, "unchanged": 1, "parked": 1, "failed": 1}
    assert run.state == State.DONE
    assert run.finished_at is not None
    assert str(bulk.progress(run)) == "4 of 4 done: 1 changed, 1 unchanged, 1 parked, 1 failed"


def test_what_a_run_left_parked_is_followed_after_its_end(run_jobs: Callable[[], int]) -> None:
    run = replay_of(2)
    bulk.feed()
    WebhookEvent.objects.update(state="parked")
    bulk.feed()
    WebhookEvent.objects.filter(pk=WebhookEvent.objects.order_by("pk")[0].pk).update(state="processed")

    said = jobs.follow_bulk_runs()

    assert (said, counts(run)) == ("1 items went on", {"parked": 1, "changed": 1})


def test_a_paused_run_begins_nothing_until_it_goes_on() -> None:
    run = replay_of(2)
    bulk.pause(run.pk, **WHY)

    paused = bulk.feed()
    bulk.go_on(run.pk, **WHY)

    assert (paused, bulk.feed(), received()) == (0, 2, 2)


def test_a_cancelled_run_leaves_what_was_not_begun_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_AT_ONCE", 1)
    run = replay_of(3)
    bulk.feed()

    bulk.cancel(run.pk, by="ann", reason="too early")
    bulk.feed()
    WebhookEvent.objects.filter(state="received").update(state="processed")
    bulk.feed()

    run.refresh_from_db()
    assert counts(run) == {"changed": 1, "skipped": 2}
    assert (run.state, run.note) == (State.CANCELLED, "Cancelled by ann: too early")
    assert WebhookEvent.objects.filter(state="ignored", replays=0).count() == 2


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        (bulk.start, "It is done by now; it cannot be begun."),
        (bulk.pause, "It is done by now; it cannot be paused."),
        (bulk.go_on, "It is done by now; it cannot be continued."),
        (bulk.cancel, "It is done by now; it cannot be cancelled."),
    ],
)
def test_a_decision_that_comes_too_late_is_refused(decide: Callable[..., None], said: str) -> None:
    run = replay_of(0)
    bulk.feed()

    with pytest.raises(NotPossible, match=said):
        decide(run.pk, **WHY)

    assert BulkRun.objects.get().state == State.DONE


def test_what_was_not_looked_at_is_never_begun() -> None:
    replay_of(2, begin=False)

    assert (bulk.feed(), received()) == (0, 0)


def test_two_feeders_with_the_same_item_in_hand_begin_it_once() -> None:
    run = replay_of(1)
    first, second = run.items.get(), run.items.get()

    began = [bulk._begin(first), bulk._begin(second)]

    assert began == [True, False]
    assert (WebhookEvent.objects.get().replays, EventDecision.objects.count()) == (1, 1)


def test_a_feeder_killed_at_any_statement_begins_nothing_twice_and_forgets_nothing() -> None:
    for statement in itertools.count(1):
        run = replay_of(2)
        with killed_at(statement) as reached:
            bulk.feed()

        bulk.feed()

        assert counts(run) == {"begun": 2}
        assert list(WebhookEvent.objects.values_list("replays", flat=True)) == [1, 1]
        assert EventDecision.objects.count() == 2
        BulkRun.objects.all().delete()
        WebhookEvent.objects.all().delete()
        if len(reached) < statement:
            break

    assert statement > 20


def test_an_item_whose_event_is_gone_keeps_no_run_from_its_end() -> None:
    run = replay_of(2)
    bulk.feed()
    oldest, newest = WebhookEvent.objects.order_by("pk")
    oldest.delete()
    WebhookEvent.objects.filter(pk=newest.pk).update(state="processed")

    bulk.feed()

    run.refresh_from_db()
    assert (run.state, counts(run)) == ("done", {"failed": 1, "changed": 1})
    assert run.items.get(outcome="failed").note == "Its event was deleted before it was done."


def test_an_item_that_cannot_be_begun_says_why_and_holds_up_no_other() -> None:
    run = replay_of(3)
    events = list(WebhookEvent.objects.order_by("pk"))
    WebhookEvent.objects.filter(pk=events[0].pk).update(state="processing")
    BulkItem.objects.filter(subject=str(events[1].pk)).update(subject="no number")

    bulk.feed()

    notes = {item.outcome: item.note for item in run.items.all()}
    assert counts(run) == {"skipped": 1, "failed": 1, "begun": 1}
    assert notes["skipped"].startswith("It is processing; only an event that is")
    assert notes["failed"] == "A fault of this application (ValueError); the log has the details."


def test_a_move_notes_the_moment_and_has_the_account_looked_at() -> None:
    moment = (clock.now() + dt.timedelta(days=3)).replace(microsecond=0)
    data = subscription()
    run = bulk.create(Kind.MOVE, "Move to the new plan", **WHY)
    price = paddle_sample.PRICE_CLOUD_EUR
    bulk.add(run, [(data["id"], {"price_ids": [price], "moves_at": moment.isoformat()})])
    bulk.prepared(run)
    bulk.start(run.pk, **WHY)

    bulk.feed()

    move, event = PlanMove.objects.get(), WebhookEvent.objects.get()
    assert (move.paddle_subscription_id, move.paddle_price_id, move.moves_at) == (data["id"], price, moment)
    assert (move.by, move.reason) == ("ann", "m3ter was down")
    assert (event.event_type, event.paddle_subscription_id) == ("subscription.sync", data["id"])
    assert run.items.get().event == event


def test_a_subject_stands_once_in_a_run() -> None:
    run = bulk.create(Kind.REPLAY, "Twice", **WHY)

    bulk.add(run, [("7", {}), ("7", {})])
    bulk.add(run, [("7", {}), ("8", {})], after=2)

    assert list(run.items.order_by("position").values_list("subject", flat=True)) == ["7", "8"]
