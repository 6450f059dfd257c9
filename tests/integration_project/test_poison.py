"""A row that ends whatever works on it: it may neither drag others down with it nor go on for ever."""

from datetime import timedelta

import pytest

from integration_project import clock, heartbeats, work
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import EVENTS, LOOKS, make_row

pytestmark = pytest.mark.django_db


def die_at_work(queue: work.Queue[WebhookEvent]) -> list[str]:
    """Claim as a worker does and be killed at the first row; the ticker frees what was left."""
    WebhookEvent.objects.filter(due_at__isnull=False).update(due_at=clock.now() - timedelta(seconds=1))
    rows = work.claim(queue)
    WebhookEvent.objects.filter(lease__isnull=False).update(lease_until=clock.now() - timedelta(seconds=1))
    work.release_expired(queue)
    return [row.event_id for row in rows]


def finish(row: WebhookEvent) -> None:
    work.settle(row, state="processed")


def park(row: WebhookEvent) -> None:
    work.settle(row, state="parked", due_at=None, note="Its workers died.")


def test_a_row_whose_worker_died_is_claimed_alone_from_then_on() -> None:
    for number in range(3):
        make_row(number, due_in=-60 + number)

    assert die_at_work(EVENTS) == ["evt_0", "evt_1", "evt_2"]
    make_row(3, due_in=-5)
    WebhookEvent.objects.update(due_at=clock.now() - timedelta(seconds=60))

    claims = [[row.event_id for row in work.claim(EVENTS)] for _ in range(4)]
    assert claims == [["evt_0"], ["evt_1"], ["evt_2"], ["evt_3"]]


def test_rows_that_never_met_a_death_are_claimed_together_up_to_the_one_that_did() -> None:
    make_row(0, due_in=-60)
    make_row(1, due_in=-50)
    make_row(2, due_in=-40, deaths=1)
    make_row(3, due_in=-30)

    claims = [[row.event_id for row in work.claim(EVENTS)] for _ in range(3)]

    assert claims == [["evt_0", "evt_1"], ["evt_2"], ["evt_3"]]


def test_one_poisoned_row_costs_the_others_no_more_than_one_attempt_each() -> None:
    for number in range(20):
        make_row(number, due_in=-60 + number)
    die_at_work(EVENTS)

    def die_of_the_first(row: WebhookEvent) -> None:
        if row.event_id == "evt_0":
            raise SystemExit
        finish(row)

    for _ in range(3):
        WebhookEvent.objects.filter(event_id="evt_0").update(due_at=clock.now() - timedelta(seconds=90))
        with pytest.raises(SystemExit):
            work.drain(EVENTS, die_of_the_first)
        WebhookEvent.objects.filter(event_id="evt_0").update(lease_until=clock.now() - timedelta(seconds=1))
        work.release_expired(EVENTS)
    work.drain(EVENTS, die_of_the_first)

    others = WebhookEvent.objects.exclude(event_id="evt_0")
    assert set(others.values_list("state", "attempts", "deaths")) == {("processed", 2, 0)}
    poison = WebhookEvent.objects.get(event_id="evt_0")
    assert (poison.state, poison.attempts, poison.deaths) == ("received", 4, 4)


def test_the_first_death_costs_a_row_no_time_and_each_further_one_more() -> None:
    make_row(1)
    waits = []

    for _ in range(4):
        die_at_work(EVENTS)
        due_at = WebhookEvent.objects.get().due_at
        assert due_at is not None
        waits.append((due_at - clock.now()).total_seconds())

    assert waits[0] <= 0
    assert 2 < waits[1] <= 5
    assert 4 < waits[2] <= 10
    assert 9 < waits[3] <= 20


@pytest.mark.parametrize("queue", [EVENTS, LOOKS], ids=["with a state for running", "without one"])
def test_deaths_are_counted_until_an_attempt_has_an_outcome(queue: work.Queue[WebhookEvent]) -> None:
    make_row(1, state=queue.ready[0])
    die_at_work(queue)
    die_at_work(queue)
    assert WebhookEvent.objects.get().deaths == 2

    WebhookEvent.objects.update(due_at=clock.now())
    [row] = work.claim(queue)
    work.settle(row, state=queue.ready[0], due_at=clock.now())

    assert WebhookEvent.objects.get().deaths == 0


def test_an_expired_lease_that_a_claim_finds_by_itself_counts_as_a_death() -> None:
    make_row(1, state="parked")
    work.claim(LOOKS)
    WebhookEvent.objects.update(lease_until=clock.now() - timedelta(seconds=1))

    [row] = work.claim(LOOKS)

    assert (row.deaths, WebhookEvent.objects.get().deaths) == (1, 1)


def test_rows_freed_because_their_worker_is_dead_count_it_too() -> None:
    make_row(1)
    work.claim(EVENTS)

    assert work.release_dead(EVENTS, [heartbeats.name()]) == 1

    assert WebhookEvent.objects.get().deaths == 1


def test_after_too_many_deaths_a_queue_gives_a_row_up_in_its_own_way() -> None:
    ran: list[str] = []

    def run(row: WebhookEvent) -> None:
        ran.append(row.event_id)
        finish(row)

    queue = work.Queue(
        name="poisoned",
        model=WebhookEvent,
        ready=("received",),
        running="processing",
        job="-",
        give_up=f"{__name__}.park",
    )
    make_row(1, deaths=work.MOST_DEATHS)
    make_row(2, deaths=work.MOST_DEATHS - 1)

    work.drain(queue, run)

    assert ran == ["evt_2"]
    stored = WebhookEvent.objects.get(event_id="evt_1")
    assert (stored.state, stored.note, stored.deaths, stored.lease) == ("parked", "Its workers died.", 0, None)
