"""Which subscriptions a mapping would take over, when, and what moving them writes."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integration_project import clock
from integration_project.errors import NotPossible
from paddle_sync import bulk, mappings, moving, subscribed
from paddle_sync.models import (
    AccountLink,
    AccountPlanLink,
    BulkRun,
    CatalogueEntry,
    PlanDecision,
    PlanMapping,
    PlanMove,
    SubscriptionSnapshot,
    WebhookEvent,
)
from tests.builders import make_event, make_link, make_mapping, paddle_id, subscription

pytestmark = pytest.mark.django_db
PRICE, PRODUCT = "pri_1", "pro_1"
UTC = dt.UTC


def day(days: int) -> dt.date:
    return clock.now().date() + dt.timedelta(days=days)


def make_subscriber(
    *, price: str = PRICE, product: str = PRODUCT, plan: str = "plan-old", snapshot: dict[str, Any] | None = None,
    decided: dt.datetime | None = None, **changes: Any,
) -> AccountLink:  # fmt: skip
    """A linked subscription with one item, on a plan since 90 days ago unless told."""
    now = clock.now()
    link = make_link(**{"created_at": now - dt.timedelta(days=90), **changes})
    SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=now - dt.timedelta(days=90),
        event_id=paddle_id("evt"),
        event_type="subscription.created",
        data={"status": "active", "items": [{"price": {"id": price, "product_id": product}, "quantity": 1}]}
        | (snapshot or {}),
    )
    if plan:
        starts = now - dt.timedelta(days=90)
        AccountPlanLink.objects.create(
            link=link,
            code=f"{link.paddle_subscription_id}:product:{plan}",
            m3ter_account_plan_id="x",
            m3ter_plan_id=plan,
            m3ter_product_id="product",
            starts_at=starts,
            paddle_price_ids=[price],
        )
    decided_at = decided or now - dt.timedelta(days=90)
    mapping = mappings.deciding(PlanMapping.objects.all(), price, product, decided_at.date())
    PlanDecision.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        link=link,
        paddle_price_id=price,
        decided_at=decided_at,
        mapping=mapping,
        target="plan" if plan else "not_metered",
        m3ter_plan_id=plan,
        m3ter_product_id="product" if plan else "",
        metering_starts="creation",
        quantity_use="ignored",
    )
    return link


@pytest.fixture
def newer() -> PlanMapping:
    """A price on one plan for long, and on another since ten days ago."""
    make_mapping(PRICE, plan="plan-old")
    return make_mapping(PRICE, plan="plan-new", effective_from=day(-10))


def test_subscriptions_on_the_older_mapping_would_move_and_nothing_else(newer: PlanMapping) -> None:
    mine = make_subscriber()
    make_subscriber(price="pri_other")
    make_subscriber(state=AccountLink.State.ENDED)
    make_subscriber(paddle_status="canceled")
    make_subscriber(plan="plan-new", decided=clock.now())
    now = clock.now()

    (move,) = moving.moves_of(newer, now)

    assert (move.subscription_id, move.price_id) == (mine.paddle_subscription_id, PRICE)
    assert (move.before, move.after, move.moves_at, move.refused) == ("plan-old", "plan-new", now, "")
    assert PlanMove.objects.count() == 0


def test_what_was_not_metered_moves_from_nothing(newer: PlanMapping) -> None:
    PlanMapping.objects.exclude(pk=newer.pk).update(target="not_metered", m3ter_plan_id="", m3ter_product_id="")
    make_subscriber(plan="")

    (move,) = moving.moves_of(newer, clock.now())

    assert (move.before, move.after) == ("", "plan-new")


def test_the_same_plan_with_other_settings_is_a_move_too(newer: PlanMapping) -> None:
    PlanMapping.objects.filter(pk=newer.pk).update(m3ter_plan_id="plan-old", metering_starts="trial_end")
    newer.refresh_from_db()
    make_subscriber()

    (move,) = moving.moves_of(newer, clock.now())

    assert (move.before, move.after) == ("plan-old", "plan-old")


def test_a_product_takes_over_only_prices_without_a_mapping_of_their_own() -> None:
    make_mapping(product=PRODUCT, plan="plan-old")
    newer = make_mapping(product=PRODUCT, plan="plan-new", effective_from=day(-10))
    make_mapping("pri_own", plan="plan-own")
    mine = make_subscriber()
    own = make_subscriber(price="pri_own", plan="plan-own")

    moves = {move.subscription_id: move.refused for move in moving.moves_of(newer, clock.now())}

    assert moves[mine.paddle_subscription_id] == ""
    assert moves[own.paddle_subscription_id].startswith("Another mapping is in force at that moment: pri_own")


def test_each_moves_with_its_next_period_where_no_moment_is_given(newer: PlanMapping) -> None:
    renews = clock.now() + dt.timedelta(days=3)
    make_subscriber(next_billed_at=renews)
    make_subscriber(next_billed_at=None)

    found = {move.refused: move.moves_at for move in moving.moves_of(newer, None)}

    assert found == {"": renews, "Paddle names no next period.": None}


@pytest.mark.parametrize(("hours", "refused"), [(-1, "It is charged until"), (0, ""), (1, "")])
def test_nothing_moves_into_what_was_charged(newer: PlanMapping, hours: int, refused: str) -> None:
    charged = clock.now() - dt.timedelta(days=1)
    make_subscriber(charged_until=charged)

    (move,) = moving.moves_of(newer, charged + dt.timedelta(hours=hours))

    assert move.refused.startswith(refused)
    assert bool(move.refused) is bool(refused)


def test_before_a_mapping_begins_nothing_can_follow_it(newer: PlanMapping) -> None:
    make_subscriber()

    (move,) = moving.moves_of(newer, clock.now() - dt.timedelta(days=30))

    assert move.refused.startswith("Another mapping is in force at that moment: pri_1 -> plan-old")


def test_moving_is_written_down_and_the_subscription_worked_out_anew(newer: PlanMapping) -> None:
    link = make_subscriber(source="paddle_classic")
    moment = clock.now()

    run = moving.begin(newer, moving.moves_of(newer, moment), by="anna", reason="new prices")
    bulk.feed()

    assert (run.kind, run.state, run.by, run.reason) == ("move", "running", "anna", "new prices")
    row = PlanMove.objects.get()
    assert (row.paddle_subscription_id, row.paddle_price_id) == (link.paddle_subscription_id, PRICE)
    assert (row.moves_at, row.by, row.reason) == (moment.replace(microsecond=0), "anna", "new prices")
    event = WebhookEvent.objects.get()
    assert (event.event_type, event.subject_id) == ("subscription.sync", link.paddle_subscription_id)
    assert (event.source, event.decisions.get().reason) == ("paddle_classic", "new prices")
    assert run.items.get().event == event


def test_a_subscription_with_several_prices_is_one_item_and_what_is_refused_is_left_out(db: None) -> None:
    product = make_mapping(product=PRODUCT, plan="plan-new")
    link = make_subscriber(price="pri_a", product=PRODUCT)
    snapshot = SubscriptionSnapshot.objects.get(paddle_subscription_id=link.paddle_subscription_id)
    other = {**snapshot.data["items"][0], "price": {**snapshot.data["items"][0]["price"], "id": "pri_b"}}
    snapshot.data["items"].append(other)
    snapshot.save()
    make_subscriber(price="pri_c", product=PRODUCT, charged_until=clock.now() + dt.timedelta(days=9))
    moves = moving.moves_of(product, clock.now())

    run = moving.begin(product, moves, by="anna", reason="new prices")

    (item,) = run.items.all()
    assert [bool(move.refused) for move in sorted(moves, key=lambda move: move.price_id)] == [False, False, True]
    assert (item.subject, item.params["price_ids"]) == (link.paddle_subscription_id, ["pri_a", "pri_b"])
    assert item.note.startswith("pri_a from ")


def test_what_was_moved_or_waits_to_be_is_not_moved_again(newer: PlanMapping) -> None:
    make_subscriber()
    run = moving.begin(newer, moving.moves_of(newer, clock.now()), by="anna", reason="once")
    begun = moving.moves_of(newer, clock.now())
    bulk.feed()

    assert (begun, moving.moves_of(newer, clock.now())) == ([], [])
    assert run.items.count() == 1


def test_a_move_that_a_cancelled_run_left_out_can_be_made_again(newer: PlanMapping) -> None:
    make_subscriber()
    run = moving.begin(newer, moving.moves_of(newer, clock.now()), by="anna", reason="once")

    bulk.cancel(run.pk, by="anna", reason="not yet")

    assert len(moving.moves_of(newer, clock.now())) == 1


def test_nothing_possible_makes_no_run(newer: PlanMapping) -> None:
    make_subscriber(next_billed_at=None)

    with pytest.raises(NotPossible, match="None of these"):
        moving.begin(newer, moving.moves_of(newer, None), by="anna", reason="new prices")

    assert BulkRun.objects.count() == 0


def test_many_are_found_by_as_many_queries_as_few(newer: PlanMapping) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            moving.moves_of(newer, clock.now())
            mappings.users_of(newer, now=clock.now())
            subscribed.undecided(25)
        return len(queries)

    make_subscriber()
    asked()
    few = asked()
    for _ in range(20):
        make_subscriber()
        make_subscriber(price=paddle_id("pri"), product="pro_free")

    assert asked() == few


# --- Who uses a mapping -----------------------------------------------------------------------------------------------


def test_only_plans_chosen_by_a_mapping_use_it(newer: PlanMapping) -> None:
    older = PlanMapping.objects.exclude(pk=newer.pk).get()
    PlanMapping.objects.filter(pk=newer.pk).update(m3ter_plan_id="plan-old")
    newer.refresh_from_db()
    by_older, by_newer = make_subscriber(), make_subscriber(decided=clock.now())
    ended = make_subscriber()
    AccountPlanLink.objects.filter(link=ended).update(ends_at=clock.now() - dt.timedelta(days=1))
    make_subscriber(price="pri_other")

    def links(mapping: PlanMapping) -> tuple[list[int], list[int]]:
        users = mappings.users_of(mapping, now=clock.now())
        of = dict(AccountPlanLink.objects.values_list("pk", "link_id"))
        return [of[key] for key in users.running], [of[key] for key in users.ended]

    assert links(older) == ([by_older.pk], [ended.pk])
    assert links(newer) == ([by_newer.pk], [])


def test_a_product_is_used_by_its_prices_that_have_no_mapping_of_their_own() -> None:
    by_product = make_mapping(product=PRODUCT, plan="plan-1")
    make_mapping("pri_own", plan="plan-1")
    for price in (PRICE, "pri_own"):
        make_subscriber(price=price, plan="plan-1")
        CatalogueEntry.objects.create(
            kind="paddle_price", vendor_id=price, name=price, parent_id=PRODUCT, seen_at=clock.now()
        )

    users = mappings.users_of(by_product, now=clock.now())

    assert [AccountPlanLink.objects.get(pk=key).paddle_price_ids for key in users.running] == [[PRICE]]


# --- What nobody decided ----------------------------------------------------------------------------------------------


def test_undecided_prices_count_events_and_live_subscriptions_once_each() -> None:
    both = make_subscriber(price="pri_both", plan="")
    waits = {"state": "parked", "due_at": None, "waiting_for_kind": "price", "waiting_for_key": "pri_both"}
    for _ in range(2):
        make_event("subscription.updated", subscription(both.paddle_subscription_id), **waits)
    make_event("subscription.created", subscription(), **waits)
    make_subscriber(price="pri_silent", plan="")
    make_subscriber(price="pri_gone", plan="", paddle_status="canceled")
    make_mapping(product="pro_mapped")
    make_subscriber(price="pri_by_product", product="pro_mapped")
    for name, interval in (("pri_sold", "every month"), ("pri_once", "once"), ("pri_mapped", "every month")):
        CatalogueEntry.objects.create(
            kind="paddle_price", vendor_id=name, name=name, interval=interval, seen_at=clock.now()
        )
    make_mapping("pri_mapped")

    found, beyond = subscribed.undecided(25)

    assert [(each.price_id, each.events, len(each.subscriptions)) for each in found] == [
        ("pri_both", 3, 2),
        ("pri_silent", 0, 1),
        ("pri_sold", 0, 0),
    ]
    assert beyond == 0
    assert [each.price_id for each in subscribed.undecided(1)[0]] == ["pri_both"]
    assert subscribed.undecided(1)[1] == 2


def test_a_latest_snapshot_is_the_one_that_happened_last() -> None:
    link = make_subscriber(price="pri_before", plan="")
    SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=clock.now(),
        event_id="evt_later",
        event_type="subscription.updated",
        data={"status": "active", "items": [{"price": {"id": "pri_after", "product_id": ""}}]},
    )

    assert [item.price_id for item in subscribed.live_items()] == ["pri_after"]
