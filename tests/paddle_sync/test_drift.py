"""Paddle, our links and m3ter compared: each kind of difference is found, put right by its fix, and closed."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock, fixes
from integration_project.errors import NotPossible
from integration_project.models import Finding
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from paddle_sync import comparing
from paddle_sync.models import AccountLink, AccountPlanLink, EventDecision, ListPosition, PlanMapping, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.drift_world import (
    BROKEN,
    World,
    buy,
    check,
    delete_account,
    fix,
    mapping_deleted,
)
from tests.paddle_sync.seen import CLOUD, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def test_nothing_is_found_where_everybody_agrees(world: World) -> None:
    assert check(world) == []
    row = ListPosition.objects.get()
    assert (row.position, row.found) == ("", 0)
    assert row.finished_at is not None


def test_a_link_costs_one_call_of_its_own_and_four_together(world: World) -> None:
    world.paddle.calls.clear()
    world.m3ter.calls.clear()

    check(world)

    assert operations(world.paddle) == ["list subscriptions", "list subscriptions"]
    assert [name for name in operations(world.m3ter) if name != "get token"] == [
        "list accounts",
        "list external mappings",
        "list account plans",
    ]


@pytest.mark.parametrize("kind", BROKEN)
def test_what_was_broken_is_found(world: World, kind: str) -> None:
    BROKEN[kind](world)

    found = check(world)

    assert [name for name, _ in found] == [kind]
    told = Finding.objects.get(kind=kind)
    assert (told.subject, told.state) == (world.subscription_id, "open")
    assert told.next_step


@pytest.mark.parametrize("kind", BROKEN)
def test_what_was_broken_is_put_right_by_its_fix_and_the_finding_closes(world: World, run_jobs: Run, kind: str) -> None:
    BROKEN[kind](world)
    check(world)

    fix(kind)
    run_jobs()

    assert (kind, "") not in [(name, "") for name, _ in check(world)]
    assert Finding.objects.get(kind=kind).state == "closed"


@pytest.mark.parametrize("kind", BROKEN)
def test_what_was_broken_and_comes_right_by_itself_closes_by_itself(world: World, kind: str) -> None:
    memory = world.m3ter.memory
    kept = {"subscription": dict(world.subscription), "account": dict(world.account), "plan": dict(world.plan)}
    (mapping,) = [dict(row) for row in memory.external_mappings]
    BROKEN[kind](world)
    check(world)

    world.subscription.clear()
    world.subscription.update(kept["subscription"])
    memory.accounts.change(world.account, {"billEpoch": kept["account"]["billEpoch"]})
    for row in list(memory.account_plans):
        memory.account_plans.remove(row)
    memory.account_plans.add(dict(kept["plan"]))
    if not len(memory.external_mappings):
        memory.external_mappings.add(mapping)

    assert check(world) == []
    assert Finding.objects.get(kind=kind).closed_by is None


# --- Not linked -------------------------------------------------------------------------------------------------------


def test_a_subscription_that_no_event_told_of_is_found_and_imported_by_its_fix(world: World, run_jobs: Run) -> None:
    unheard_of = buy(world.paddle, 2)
    world.paddle.outbox.clear()
    found = check(world)

    fix(comparing.NOT_LINKED)
    run_jobs()

    assert found == [(comparing.NOT_LINKED, "")]
    assert AccountLink.objects.filter(paddle_subscription_id=unheard_of).count() == 1
    assert check(world) == []


def test_the_import_fix_reads_the_subscription_and_has_it_taken_in_as_found(world: World, run_jobs: Run) -> None:
    unheard_of = buy(world.paddle, 2)
    world.paddle.outbox.clear()
    check(world)

    fix(comparing.NOT_LINKED)
    run_jobs()

    found = WebhookEvent.objects.get(event_type="subscription.found")
    assert found.payload.entity()["items"][0]["price"]["id"] == CLOUD["price_id"]
    assert found.paddle_subscription_id == unheard_of
    decision = EventDecision.objects.get(event=found)
    assert (decision.by, decision.reason) == ("olga", "It was broken.")


def test_a_new_subscription_has_an_hour_for_its_own_events(world: World) -> None:
    world.paddle.clock.set(clock.now() - dt.timedelta(minutes=10))
    buy(world.paddle, 2)

    assert check(world) == []


def test_a_subscription_whose_event_waits_is_not_called_unlinked(world: World, deliver: Run, run_jobs: Run) -> None:
    PlanMapping.objects.all().delete()
    buy(world.paddle, 2)
    deliver()
    run_jobs()

    assert WebhookEvent.objects.filter(state="parked").exists()
    assert check(world) == []


def test_a_subscription_that_is_not_metered_needs_no_account(world: World) -> None:
    PlanMapping.objects.all().delete()
    make_mapping(target=PlanMapping.Target.NOT_METERED, plan="", m3ter_product="")
    buy(world.paddle, 2)
    world.paddle.outbox.clear()

    assert check(world) == []


def test_a_subscription_that_was_cancelled_before_anybody_linked_it_is_forgotten(world: World) -> None:
    unheard_of = buy(world.paddle, 2)
    world.paddle.outbox.clear()
    before = check(world)
    world.paddle.cancel(unheard_of)
    world.paddle.outbox.clear()

    after = check(world)

    assert (before, after) == ([(comparing.NOT_LINKED, "")], [])
    assert Finding.objects.get().close_reason == "It is canceled in Paddle."


def test_a_linked_subscription_that_paddle_lost_is_told_and_only_acknowledged(world: World) -> None:
    del world.paddle.subscriptions[world.subscription_id]

    assert check(world) == [("unknown to Paddle", "")]
    assert fixes.fix_of("unknown to Paddle") is None
    assert fixes.acknowledgement_of("unknown to Paddle")


# --- The account is gone ----------------------------------------------------------------------------------------------


def test_an_account_that_is_gone_is_made_again_by_its_fix(world: World, run_jobs: Run) -> None:
    gone = delete_account(world)
    found = check(world)

    fix(comparing.ACCOUNT_MISSING)
    run_jobs()

    assert found == [(comparing.ACCOUNT_MISSING, "")]
    assert world.link.m3ter_account_id == world.account["id"] != gone
    assert AccountPlanLink.objects.get().m3ter_account_plan_id == world.plan["id"]
    assert check(world) == []
    removed = AccountLink.log.filter(paddle_subscription_id=world.subscription_id, history_type="-").get()
    assert (removed.m3ter_account_id, removed.history_change_reason) == (gone, "It was broken.")


def test_what_lists_that_lag_behind_do_not_show_is_not_gone(world: World) -> None:
    for operation in ("list accounts", "list account plans", "list external mappings"):
        world.m3ter.fault(operation, "list_lag", times=None, seconds=3600)

    assert check(world) == []
    asked = [name for name in operations(world.m3ter) if name != "get token"]
    assert asked[-3:] == ["list account plans", "get account plan", "find external mapping"]


# --- Plans ------------------------------------------------------------------------------------------------------------


def add_plan(world: World, plan_id: str, product_id: str, **changes: Any) -> str:
    row = {
        "accountId": world.account["id"],
        "planId": plan_id,
        "productId": product_id,
        "startDate": world.plan["startDate"],
        "code": f"by-hand-{plan_id}",
        **changes,
    }
    return str(world.m3ter.memory.account_plans.add(row)["id"])


def test_a_plan_beside_ours_for_the_same_product_is_a_notice(world: World) -> None:
    stranger = add_plan(world, m3ter_sample.PLAN_SCALE, m3ter_sample.PRODUCT_CLOUD)

    assert check(world) == [(comparing.PLAN_UNKNOWN, stranger)]
    assert Finding.objects.get().severity == "notice"
    assert fixes.acknowledgement_of(comparing.PLAN_UNKNOWN)


def test_a_plan_of_another_product_or_another_time_is_nobodys_business(world: World) -> None:
    add_plan(world, m3ter_sample.PLAN_SEATS, m3ter_sample.PRODUCT_SEATS)
    add_plan(
        world,
        m3ter_sample.PLAN_SCALE,
        m3ter_sample.PRODUCT_CLOUD,
        code="earlier",
        startDate="2024-01-01T00:00:00Z",
        endDate="2024-02-01T00:00:00Z",
    )

    assert check(world) == []


def test_a_quantity_that_m3ter_no_longer_holds_is_found(world: World) -> None:
    AccountPlanLink.objects.update(quantity_field="seats", quantity=10)
    world.m3ter.memory.account_plans.change(world.plan, {"customFields": {"seats": 10}})
    before = check(world)
    world.m3ter.memory.account_plans.change(world.plan, {"customFields": {"seats": 7}})

    after = check(world)

    assert before == []
    assert after == [(comparing.PLAN_CHANGED, AccountPlanLink.objects.get().code)]
    assert "quantity 10 here, 7 there" in Finding.objects.get().detail


# --- Fixes that need no vendor ----------------------------------------------------------------------------------------


def test_a_fix_of_a_closed_finding_is_refused(world: World) -> None:
    mapping_deleted(world)
    check(world)
    told = Finding.objects.get()
    Finding.objects.update(state="closed")

    with pytest.raises(NotPossible, match="closed already"):
        fixes.apply(fixes.SYNC, told.pk, by="olga", reason="It was broken.")

    assert not WebhookEvent.objects.filter(event_type="subscription.sync").exists()
