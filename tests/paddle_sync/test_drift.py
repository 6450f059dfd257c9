"""Paddle, our links and m3ter compared: each kind of difference is found, put right by its fix, and closed."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from integration_project import clock, finding, fixes
from integration_project.errors import NotPossible, Temporary
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import comparing, drift, jobs
from paddle_sync.models import AccountLink, AccountPlanLink, EventDecision, ListPosition, PlanMapping, WebhookEvent
from tests.builders import make_event, make_mapping
from tests.paddle_sync.seen import CLOUD, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


@dataclass
class World:
    """Both vendors and what was bought, all in step."""

    paddle: PaddleSimulator
    m3ter: M3terSimulator
    vendors: Vendors
    subscription_id: str

    @property
    def subscription(self) -> dict[str, Any]:
        return self.paddle.subscriptions[self.subscription_id]

    @property
    def account(self) -> dict[str, Any]:
        (account,) = [row for row in self.m3ter.memory.accounts if row["code"] == self.subscription_id]
        return account

    @property
    def plan(self) -> dict[str, Any]:
        ours = f"{self.subscription_id}:"
        (plan,) = [row for row in self.m3ter.memory.account_plans if row["code"].startswith(ours)]
        return plan

    @property
    def link(self) -> AccountLink:
        return AccountLink.objects.get(paddle_subscription_id=self.subscription_id)


@pytest.fixture
def world(paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run) -> World:
    """A subscription bought yesterday, which everybody agrees on."""
    paddle.clock.move(-dt.timedelta(days=1))
    make_mapping()
    subscription_id = buy(paddle, 1)
    deliver()
    run_jobs()
    return World(paddle, m3ter, vendors, subscription_id)


def buy(paddle: PaddleSimulator, number: int) -> str:
    bought = paddle.complete_checkout(email=f"ap{number}@harbour.example", name=f"Harbour {number}", items=[CLOUD])
    return str(bought["subscription_id"])


def check(world: World) -> list[tuple[str, str]]:
    """Walk a whole round, and say what is open after it."""
    assert drift.check(world.vendors).at_end
    return open_findings()


def fix(kind: str) -> None:
    told = Finding.objects.get(kind=kind, state="open")
    found = fixes.fix_of(kind)
    assert found is not None
    fixes.apply(found, told.pk, by="olga", reason="It was broken.")


# --- What breaks ------------------------------------------------------------------------------------------------------


def lost_webhook(world: World) -> None:
    world.paddle.clock.move(dt.timedelta(hours=2))
    world.paddle.cancel(world.subscription_id)
    world.paddle.outbox.clear()


def account_renamed(world: World) -> None:
    world.m3ter.memory.accounts.change(world.account, {"billEpoch": "2031-05-05"})


def plan_deleted(world: World) -> None:
    world.m3ter.memory.account_plans.remove(world.plan)


def plan_ended(world: World) -> None:
    end = (clock.now() + dt.timedelta(days=3)).isoformat().replace("+00:00", "Z")
    world.m3ter.memory.account_plans.change(world.plan, {"endDate": end})


def mapping_deleted(world: World) -> None:
    for row in list(world.m3ter.memory.external_mappings):
        world.m3ter.memory.external_mappings.remove(row)


BROKEN: dict[str, Callable[[World], None]] = {
    comparing.OUT_OF_STEP: lost_webhook,
    comparing.ACCOUNT_CHANGED: account_renamed,
    comparing.PLAN_MISSING: plan_deleted,
    comparing.PLAN_CHANGED: plan_ended,
    comparing.MAPPING_MISSING: mapping_deleted,
}


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


def delete_account(world: World) -> str:
    account = world.account
    for plan in list(world.m3ter.memory.account_plans):
        world.m3ter.memory.account_plans.remove(plan)
    world.m3ter.memory.accounts.remove(account)
    return str(account["id"])


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


# --- Fixes that need no vendor ----------------------------------------------------------------------------------------


def test_a_fix_of_a_closed_finding_is_refused(world: World) -> None:
    mapping_deleted(world)
    check(world)
    told = Finding.objects.get()
    Finding.objects.update(state="closed")

    with pytest.raises(NotPossible, match="closed already"):
        fixes.apply(fixes.SYNC, told.pk, by="olga", reason="It was broken.")

    assert not WebhookEvent.objects.filter(event_type="subscription.sync").exists()


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
