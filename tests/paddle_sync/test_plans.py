"""Which plans a story calls for and since when, and what else it says: pure, without database or vendor."""

import dataclasses
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from integration_project.vendors.paddle.entities import Subscription
from paddle_sync import plans
from paddle_sync.plans import Terms
from paddle_sync.story import Item, Snapshot, SubscriptionStory
from paddle_sync.wanted import WantedPlan
from tests.builders import subscription, subscription_item

UTC = Terms(zone=dt.UTC, lead_days=2)
BERLIN = Terms(zone=ZoneInfo("Europe/Berlin"), lead_days=2)
BEGAN = "2026-03-01T09:00:00.100000Z"
DAY = dt.timedelta(days=1)


def snapshot(event_type: str, *, at: str = BEGAN, **changes: Any) -> Snapshot:
    data = subscription("sub_1", **{"started_at": BEGAN, "next_billed_at": "2026-04-01T09:00:00.1Z", **changes})
    items = tuple(
        Item(item["price"]["id"], item["price"]["name"], item["price"]["product_id"], "Product", item["quantity"])
        for item in data["items"]
    )
    moment = dt.datetime.fromisoformat(at)
    return Snapshot(f"evt_{at}", event_type, moment, Subscription.from_paddle(data), items, "", "")


def story(*snapshots: Snapshot) -> SubscriptionStory:
    ordered = sorted(snapshots, key=lambda entry: (entry.occurred_at, entry.event_id))
    return SubscriptionStory("sub_1", tuple(ordered))


def created(**changes: Any) -> Snapshot:
    return snapshot("subscription.created", **changes)


def later(**changes: Any) -> Snapshot:
    return snapshot("subscription.updated", at="2026-03-10T09:00:00Z", **changes)


def kinds(*snapshots: Snapshot) -> list[tuple[str, str]]:
    return [(difference.kind, difference.key) for difference in plans.differences(story(*snapshots))]


def items(*prices: str, quantity: int = 1, product: str = "") -> list[dict[str, Any]]:
    return [subscription_item(price, product or f"pro_of_{price}", quantity=quantity) for price in prices]


def test_metering_begins_with_the_subscription_in_whole_seconds() -> None:
    spans = plans.desired_spans(story(created(items=items("pri_1", "pri_2"))), UTC)

    assert [span.item.price_id for span in spans] == ["pri_1", "pri_2"]
    assert {span.starts_at for span in spans} == {dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)}


def test_nothing_is_desired_while_nobody_knows_how_the_subscription_began() -> None:
    assert plans.desired_spans(story(later()), UTC) == ()


def test_a_swapped_item_ends_where_the_new_one_begins() -> None:
    spans = plans.desired_spans(story(created(items=items("pri_1")), later(items=items("pri_2"))), UTC)

    swapped = dt.datetime(2026, 3, 10, 9, tzinfo=dt.UTC)
    assert [(span.item.price_id, span.starts_at, span.pieces[-1].ends_at) for span in spans] == [
        ("pri_1", dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), swapped),
        ("pri_2", swapped, None),
    ]


def pieces(*snapshots: Snapshot) -> list[tuple[str, str, int, bool]]:
    """The metered pieces of the only item, as days of March."""
    (span,) = plans.desired_spans(story(*snapshots), UTC)
    return [
        (f"{p.begins_at:%d %H:%M}", f"{p.ends_at:%d %H:%M}" if p.ends_at else "", p.quantity, p.is_trial)
        for p in span.pieces
    ]


def at(day: int, event_type: str = "subscription.updated", **changes: Any) -> Snapshot:
    return snapshot(
        event_type, at=f"2026-03-{day:02d}T09:00:00Z", items=items("pri_1", **quantity_of(changes)), **changes
    )


def quantity_of(changes: dict[str, Any]) -> dict[str, int]:
    return {"quantity": changes.pop("quantity", 1)}


def test_a_quantity_that_changes_makes_a_new_piece_of_the_same_stay() -> None:
    assert pieces(at(1, "subscription.created"), at(5, quantity=7)) == [
        ("01 09:00", "05 09:00", 1, False),
        ("05 09:00", "", 7, False),
    ]


def test_nothing_is_metered_during_a_pause_which_begins_and_ends_when_paddle_says() -> None:
    paused = at(5, status="paused", paused_at="2026-03-05T08:59:58.9Z", current_billing_period=None)
    period = {"starts_at": "2026-03-09T08:59:57.2Z", "ends_at": "2026-04-09T08:59:57.2Z"}

    assert pieces(at(1, "subscription.created"), paused, at(9, current_billing_period=period)) == [
        ("01 09:00", "05 08:59", 1, False),
        ("09 08:59", "", 1, False),
    ]


def test_a_trial_ends_with_the_period_that_follows_it() -> None:
    trial = {"status": "trialing"}
    period = {"starts_at": "2026-03-08T00:00:00Z", "ends_at": "2026-04-08T00:00:00Z"}

    assert pieces(at(1, "subscription.created", **trial), at(9, current_billing_period=period)) == [
        ("01 09:00", "08 00:00", 1, True),
        ("08 00:00", "", 1, False),
    ]


def test_a_cancellation_ends_everything_on_its_own_date() -> None:
    ended = at(20, status="canceled", canceled_at="2026-03-19T23:59:59Z", current_billing_period=None)

    assert pieces(at(1, "subscription.created"), ended) == [("01 09:00", "19 23:59", 1, False)]
    assert plans.canceled_at(story(at(1, "subscription.created"), ended)) == dt.datetime(
        2026, 3, 19, 23, 59, 59, tzinfo=dt.UTC
    )


def test_a_past_due_subscription_goes_on() -> None:
    assert pieces(at(1, "subscription.created"), at(5, status="past_due")) == [("01 09:00", "", 1, False)]


def test_a_read_has_the_moment_of_the_event_whose_content_it_has() -> None:
    changed = at(5, quantity=3, updated_at="2026-03-05T08:59:00Z")
    read = dataclasses.replace(at(4, "read", quantity=3), updated_at=dt.datetime(2026, 3, 5, 8, 59, tzinfo=dt.UTC))
    event = dataclasses.replace(changed, updated_at=read.updated_at)

    assert pieces(at(1, "subscription.created"), read, event)[-1] == ("05 09:00", "", 3, False)


def test_a_move_cuts_a_stay_in_two_decisions() -> None:
    moved = dt.datetime(2026, 3, 20, tzinfo=dt.UTC)

    spans = plans.desired_spans(story(created(items=items("pri_1"))), UTC, {"pri_1": [moved]})

    assert [(span.decided_at, span.starts_at, span.pieces[-1].ends_at, span.is_current) for span in spans] == [
        (dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), moved, False),
        (moved, moved, None, True),
    ]


def test_one_price_on_two_items_is_one_stay_with_their_quantities_added() -> None:
    (span,) = plans.desired_spans(story(created(items=[*items("pri_1", quantity=2), *items("pri_1")])), UTC)

    assert span.pieces[0].quantity == 3


@pytest.mark.parametrize(
    ("go_live", "starts_at"),
    [
        (None, dt.datetime(2026, 3, 15, 9, tzinfo=dt.UTC)),
        (dt.date(2026, 3, 1), dt.datetime(2026, 3, 15, 9, tzinfo=dt.UTC)),
        (dt.date(2026, 3, 20), dt.datetime(2026, 3, 19, 23, tzinfo=dt.UTC)),
    ],
)
def test_an_existing_subscription_begins_with_its_period_and_never_before_go_live(
    go_live: dt.date | None, starts_at: dt.datetime
) -> None:
    period = {"starts_at": "2026-03-15T09:00:00.9Z", "ends_at": "2026-04-15T09:00:00.9Z"}
    imported = snapshot("subscription.imported", started_at="2024-01-01T00:00:00Z", current_billing_period=period)

    spans = plans.desired_spans(story(imported), Terms(BERLIN.zone, lead_days=2, go_live=go_live))

    assert [span.starts_at for span in spans] == [starts_at]


def test_the_day_of_a_start_is_the_organisations() -> None:
    late = created(started_at="2026-03-01T23:30:00Z")

    spans = plans.desired_spans(story(late), BERLIN)

    assert [span.day for span in spans] == [dt.date(2026, 3, 2)]


def test_the_first_bill_is_two_days_before_the_renewal_that_carries_it() -> None:
    assert plans.bill_epoch(created(next_billed_at="2026-04-01T09:00:00Z"), UTC) == dt.date(2026, 3, 30)


def test_the_renewals_date_is_the_organisations() -> None:
    renewal = created(next_billed_at="2026-03-31T22:30:00Z")

    assert plans.bill_epoch(renewal, BERLIN) == dt.date(2026, 3, 30)
    assert plans.bill_epoch(renewal, UTC) == dt.date(2026, 3, 29)


def test_without_a_renewal_a_scheduled_change_ends_the_period() -> None:
    change = {"action": "cancel", "effective_at": "2026-04-10T09:00:00Z", "resume_at": None}

    epoch = plans.bill_epoch(created(next_billed_at=None, scheduled_change=change), UTC)

    assert epoch == dt.date(2026, 4, 8)


def test_without_renewal_and_change_m3ter_keeps_its_own_epoch() -> None:
    assert plans.bill_epoch(created(next_billed_at=None), UTC) is None


def test_a_plans_code_names_subscription_product_and_start() -> None:
    plan = WantedPlan("plan", "", "product", dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), 1, ("pri_1",))
    group = WantedPlan("", "group", "", dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), 1, ("pri_1",))

    assert plan.code("sub_1") == "sub_1:product:1772355600"
    assert group.code("sub_1") == "sub_1:group:1772355600"


def test_a_code_of_real_ids_fits_what_m3ter_takes() -> None:
    product = "11111111-aaaa-4a01-8a01-000000000001"
    plan = WantedPlan("p", "", product, dt.datetime(2026, 3, 1, tzinfo=dt.UTC), 1, ())

    assert len(plan.code("sub_01hv8x29kz0t586xy6zn1a62ny")) == 78


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, []),
        ({"status": "canceled", "next_billed_at": None}, []),
        (
            {"scheduled_change": {"action": "cancel", "effective_at": "2026-04-01T09:00:00Z"}},
            [("change scheduled", "cancel")],
        ),
        ({"scheduled_change": {"action": "resume", "effective_at": "2026-04-01T09:00:00Z"}}, []),
        ({"status": "a word of tomorrow"}, []),
    ],
)
def test_what_a_person_should_know_is_told(now: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert kinds(created(), later(**now)) == expected


@pytest.mark.parametrize(
    ("cycle", "first", "renewal", "moved"),
    [
        (("month", 1), "2026-01-31", "2026-02-28", False),
        (("month", 1), "2026-01-31", "2026-03-31", False),
        (("month", 1), "2026-01-31", "2026-03-30", True),
        (("month", 3), "2026-01-15", "2026-04-15", False),
        (("month", 3), "2026-01-15", "2026-03-15", True),
        (("year", 1), "2024-02-29", "2025-02-28", False),
        (("year", 1), "2025-02-28", "2026-03-28", True),
        (("week", 2), "2026-01-01", "2026-01-29", False),
        (("week", 2), "2026-01-01", "2026-01-08", True),
        (("day", 10), "2026-01-01", "2026-01-21", False),
        (("day", 10), "2026-01-01", "2026-01-22", True),
    ],
)
def test_a_renewal_on_none_of_its_days_has_moved(cycle: tuple[str, int], first: str, renewal: str, moved: bool) -> None:
    billing_cycle = {"interval": cycle[0], "frequency": cycle[1]}
    began = created(billing_cycle=billing_cycle, next_billed_at=f"{first}T09:00:00Z")
    now = later(billing_cycle=billing_cycle, next_billed_at=f"{renewal}T09:00:00Z", items=subscription()["items"])

    epoch = dt.date.fromisoformat(renewal) - 2 * DAY
    assert plans.moved_epoch(story(began, now), UTC) == (epoch if moved else None)


def test_a_renewal_that_moved_twice_is_measured_from_the_last_place() -> None:
    dates = ("2026-04-01", "2026-04-10", "2026-05-10")
    began, *others = [
        snapshot(
            "subscription.updated" if number else "subscription.created",
            at=f"2026-03-{number + 1:02d}T10:00:00Z",
            next_billed_at=f"{day}T09:00:00Z",
        )
        for number, day in enumerate(dates)
    ]

    assert plans.moved_epoch(story(began, *others), UTC) == dt.date(2026, 4, 8)
