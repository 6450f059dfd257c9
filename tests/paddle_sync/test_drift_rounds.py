"""Rounds of comparing everything: bounded, resumed, and held up by nothing that cannot be read."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock, finding
from integration_project.errors import Temporary
from integration_project.models import Finding, Installation
from paddle_sync import comparing, drift, jobs
from paddle_sync.models import AccountLink, ListPosition, PlanMapping, WebhookEvent
from tests.builders import make_event, make_mapping
from tests.paddle_sync.drift_world import (
    World,
    buy,
    check,
    mapping_deleted,
)
from tests.paddle_sync.seen import open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


# --- Rounds -----------------------------------------------------------------------------------------------------------


def several(world: World, deliver: Run, run_jobs: Run, count: int = 4) -> None:
    for number in range(2, 2 + count):
        buy(world.paddle, number)
    deliver()
    run_jobs()
    for row in list(world.m3ter.memory.external_mappings):
        world.m3ter.memory.external_mappings.remove(row)


def test_a_round_is_walked_in_runs_that_each_go_on_where_the_last_ended(
    world: World, deliver: Run, run_jobs: Run
) -> None:
    several(world, deliver, run_jobs)
    runs = 0

    while not drift.check(world.vendors, most_steps=1).at_end:
        runs += 1
        assert Finding.objects.count() == max(0, runs - 1)

    assert runs == 6
    assert open_findings() == [(comparing.MAPPING_MISSING, "")] * 5
    assert ListPosition.objects.get().found == 5


def test_a_round_that_ended_is_not_begun_again_within_a_day(world: World) -> None:
    jobs.check_drift()
    world.paddle.calls.clear()

    said = jobs.check_drift()
    ListPosition.objects.update(began_at=clock.now() - dt.timedelta(days=2))
    again = jobs.check_drift()

    assert said == "0 looked at again; the last round is young enough"
    assert again == "2 compared, 0 differences"
    assert operations(world.paddle) == ["list subscriptions", "list subscriptions"]


def test_a_round_whose_very_first_call_failed_is_not_taken_for_done(world: World) -> None:
    jobs.check_drift()
    ListPosition.objects.update(began_at=clock.now() - dt.timedelta(days=2))
    world.paddle.fault("list subscriptions", "error_before")
    with pytest.raises(Temporary):
        jobs.check_drift()

    assert jobs.check_drift() == "2 compared, 0 differences"


def test_what_was_fixed_is_looked_at_again_without_waiting_for_the_next_round(world: World, run_jobs: Run) -> None:
    mapping_deleted(world)
    jobs.check_drift()
    (row,) = [dict(row) for row in world.m3ter.memory.account_plans]
    world.m3ter.memory.external_mappings.add(
        {
            "m3terEntity": "Account",
            "m3terId": row["accountId"],
            "externalSystem": "PaddleBridge",
            "externalTable": "Subscription",
            "externalId": world.subscription_id,
        }
    )
    WebhookEvent.objects.filter(event_type="subscription.created").update(finished_at=clock.now())

    said = jobs.check_drift()

    assert said.startswith("1 looked at again")
    assert open_findings() == []


def test_a_subscription_that_is_worked_on_meanwhile_is_left_for_the_next_time(world: World) -> None:
    mapping_deleted(world)
    WebhookEvent.objects.filter(event_type="subscription.created").update(state="received", due_at=clock.now())

    assert check(world) == []


def test_what_a_person_acknowledged_stays_closed_as_long_as_it_says_the_same(world: World, operator: Any) -> None:
    mapping_deleted(world)
    check(world)
    Finding.objects.update(state="closed", closed_by=operator, closed_at=clock.now())

    same = check(world)
    AccountLink.objects.update(m3ter_account_code=f"{world.subscription_id}-x")
    other = [name for name, _ in check(world)]

    assert same == []
    assert comparing.MAPPING_MISSING in other


def test_a_finding_that_the_subscriptions_own_events_opened_keeps_their_words(world: World, operator: Any) -> None:
    unheard_of = buy(world.paddle, 2)
    world.paddle.outbox.clear()
    finding.report(comparing.NOT_LINKED, unheard_of, detail="An event came, but none says how it began.")

    check(world)
    words = Finding.objects.get().detail
    Finding.objects.update(state="closed", closed_by=operator, closed_at=clock.now())

    assert words == "An event came, but none says how it began."
    assert check(world) == []


def test_findings_of_a_link_that_ended_are_closed(world: World) -> None:
    mapping_deleted(world)
    check(world)
    AccountLink.objects.update(state="ended")

    assert check(world) == []
    assert Finding.objects.get().close_reason == "The subscription is no longer linked."


def test_looking_records_nothing(world: World) -> None:
    mapping_deleted(world)

    found = [each.kind for compared in drift.look(world.vendors, wait=print) for each in compared.found]

    assert found == [comparing.MAPPING_MISSING]
    assert (Finding.objects.count(), ListPosition.objects.count()) == (0, 0)


# --- What cannot be read, and what nobody can put right ---------------------------------------------------------------


def test_a_subscription_that_cannot_be_read_does_not_keep_the_others_from_being_compared(
    world: World, deliver: Run, run_jobs: Run
) -> None:
    unreadable = buy(world.paddle, 2)
    deliver()
    run_jobs()
    unheard_of = buy(world.paddle, 3)
    world.paddle.outbox.clear()
    world.paddle.subscriptions[unreadable]["items"][0]["price"] = None
    mapping_deleted(world)

    found = check(world)

    about = Finding.objects.filter(state="open").values_list("kind", "subject")
    assert (comparing.NOT_LINKED, unheard_of) in about
    assert (comparing.MAPPING_MISSING, world.subscription_id) in about
    assert (comparing.UNREADABLE, unreadable) in about
    assert found.count((comparing.UNREADABLE, "")) == 1


def test_what_cannot_be_looked_at_again_does_not_stand_before_what_can(world: World) -> None:
    mapping_deleted(world)
    check(world)
    for number in range(drift.MOST_AGAIN):
        finding.report(comparing.NOT_LINKED, f"sub_{number:026}", detail="It is not linked.")
        make_event("subscription.updated", {"id": f"sub_{number:026}"}, state="ignored", finished_at=clock.now())
    WebhookEvent.objects.filter(event_type="subscription.created").update(finished_at=clock.now())

    assert drift.look_again(world.vendors) == 1


def test_what_the_core_would_not_meter_is_not_called_unlinked(world: World) -> None:
    """By the day that decides: the import would begin at go-live, when the price is not metered any more."""
    PlanMapping.objects.all().delete()
    day = clock.now().date()
    Installation.objects.update(charge_from=day + dt.timedelta(days=2))
    target = {"target": PlanMapping.Target.NOT_METERED, "plan": "", "m3ter_product": ""}
    make_mapping(effective_from=day + dt.timedelta(days=1), **target)
    buy(world.paddle, 2)
    world.paddle.outbox.clear()

    assert check(world) == []


def test_what_began_before_its_price_was_metered_is_not_called_unlinked(
    world: World, deliver: Run, run_jobs: Run
) -> None:
    PlanMapping.objects.all().delete()
    make_mapping(target=PlanMapping.Target.NOT_METERED, plan="", m3ter_product="")
    own = buy(world.paddle, 2)
    deliver()
    run_jobs()
    make_mapping(effective_from=clock.now().date())
    period = world.paddle.subscriptions[own]["current_billing_period"]
    period["starts_at"] = clock.now().isoformat().replace("+00:00", "Z")

    assert check(world) == []


def test_a_subscription_that_was_marked_as_not_metered_since_is_no_longer_called_unlinked(world: World) -> None:
    buy(world.paddle, 2)
    world.paddle.outbox.clear()
    before = check(world)
    PlanMapping.objects.update(target=PlanMapping.Target.NOT_METERED, m3ter_plan_id="", m3ter_product_id="")

    assert (before, check(world)) == ([(comparing.NOT_LINKED, "")], [])
