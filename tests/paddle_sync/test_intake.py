"""What people decide about events: run again, leave, go on; each with who and why, and never by rewriting history."""

from collections.abc import Callable

import pytest

from integration_project.errors import NotPossible
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import intake, parking
from paddle_sync.models import EventDecision, WebhookEvent
from tests.builders import make_event, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD, created, operations

pytestmark = pytest.mark.django_db

Run = Callable[[], int]
STATES = ("received", "processing", "processed", "ignored", "parked", "failed")


def test_a_replay_runs_the_same_function_and_changes_nothing_that_is_done(
    paddle: PaddleSimulator, m3ter: M3terSimulator, installation: Installation, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])
    deliver()
    run_jobs()
    before = ([dict(row) for row in m3ter.memory.accounts], [dict(row) for row in m3ter.memory.account_plans])

    intake.replay(created().pk, by="anna", reason="to be sure")
    run_jobs()

    event = created()
    assert ([dict(row) for row in m3ter.memory.accounts], [dict(row) for row in m3ter.memory.account_plans]) == before
    assert (event.state, event.replays) == ("ignored", 1)
    assert [attempt.outcome for attempt in event.history.order_by("number")] == ["processed", "ignored"]
    assert [attempt.number for attempt in event.history.order_by("number")] == [1, 2]
    assert list(event.decisions.values_list("action", "by", "reason")) == [("replay", "anna", "to be sure")]


def test_a_replay_reads_the_subscription_again(
    paddle: PaddleSimulator, installation: Installation, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])
    deliver()
    run_jobs()

    intake.replay(created().pk, by="anna", reason="")
    run_jobs()

    assert operations(paddle) == ["get transaction", "list subscriptions"]


def test_an_exhausted_event_begins_anew_when_it_is_replayed() -> None:
    event = make_event(
        "x.y", {}, state="failed", failure_kind="exhausted", attempts=30, due_at=None, last_error="m3ter was down"
    )

    intake.replay(event.pk, by="anna", reason="it is up")

    event.refresh_from_db()
    assert (event.state, event.failure_kind, event.attempts) == ("received", "", 0)
    assert event.due_at is not None


@pytest.mark.parametrize("state", STATES)
def test_only_what_is_done_with_can_be_replayed(state: str) -> None:
    event = make_event("x.y", {}, state=state)
    allowed = state in {"processed", "ignored", "parked", "failed"}

    if allowed:
        intake.replay(event.pk, by="anna", reason="")
    else:
        with pytest.raises(NotPossible, match="only an event that is processed, ignored, parked, failed"):
            intake.replay(event.pk, by="anna", reason="")

    event.refresh_from_db()
    assert event.state == ("received" if allowed else state)
    assert EventDecision.objects.count() == int(allowed)


@pytest.mark.parametrize("state", STATES)
def test_only_what_still_waits_can_be_ignored_and_the_reason_is_kept(state: str) -> None:
    event = make_event("x.y", {}, state=state, waiting_for_kind="price", waiting_for_key="pri_1")
    allowed = state in {"received", "parked", "failed"}

    if allowed:
        intake.ignore(event.pk, by="anna", reason="a test purchase")
    else:
        with pytest.raises(NotPossible):
            intake.ignore(event.pk, by="anna", reason="a test purchase")

    event.refresh_from_db()
    assert event.state == ("ignored" if allowed else state)
    if allowed:
        assert event.note == "Ignored by anna: a test purchase"
        assert (event.due_at, event.waiting_for_key) == (None, "")


def test_ignoring_needs_a_reason() -> None:
    event = make_event("x.y", {}, state="parked")

    with pytest.raises(NotPossible, match="Say why"):
        intake.ignore(event.pk, by="anna", reason=" ")

    event.refresh_from_db()
    assert event.state == "parked"


def test_an_event_that_is_gone_cannot_be_replayed() -> None:
    with pytest.raises(NotPossible, match="no such event"):
        intake.replay(4711, by="anna", reason="")


def test_what_is_decided_resumes_exactly_what_waits_for_it() -> None:
    for key, product in (("pri_1", "pro_1"), ("pri_2", "pro_1"), ("pri_3", "pro_3")):
        make_event(
            "x.y", {}, state="parked", waiting_for_kind="price", waiting_for_key=key, waiting_for_product=product
        )
    make_event("x.y", {}, state="parked", waiting_for_kind="account conflict", waiting_for_key="pri_1")
    make_event("x.y", {}, state="failed", waiting_for_kind="price", waiting_for_key="pri_1")

    by_price = parking.resume(parking.waiting_for("price", "pri_3"), by="anna", reason="decided")
    by_product = parking.resume(parking.waiting_for("product", "pro_1"), by="anna", reason="decided")
    again = parking.resume(parking.waiting_for("product", "pro_1"), by="anna", reason="decided")

    assert (by_price, by_product, again) == (1, 2, 0)
    assert WebhookEvent.objects.filter(state="parked").get().waiting_for_kind == "account conflict"
    assert EventDecision.objects.filter(action="resume").count() == 3


def test_a_type_without_a_handler_is_ignored_in_words(
    m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    make_event("discount.created", {"id": "dsc_1"})

    run_jobs()

    event = WebhookEvent.objects.get()
    assert (event.state, event.note) == (
        "ignored",
        "Stored; nothing is done for events of the type discount.created.",
    )


def test_many_events_are_resumed_by_few_queries(django_assert_max_num_queries: Callable[[int], object]) -> None:
    for _ in range(50):
        make_event("x.y", subscription(), state="parked", waiting_for_kind="price", waiting_for_key="pri_1")

    with django_assert_max_num_queries(12):  # type: ignore[attr-defined]
        resumed = parking.resume(parking.waiting_for("price", "pri_1"), by="anna", reason="decided")

    assert resumed == 50
