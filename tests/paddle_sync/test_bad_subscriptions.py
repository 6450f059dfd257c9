"""Subscriptions as nobody expects them: decided, parked or refused in words, at once; never a crash, never a loop."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import AccountLink, AccountPlanLink, WebhookEvent
from tests.builders import make_event, make_mapping, subscription, subscription_item
from tests.paddle_sync.people_rows import Row
from tests.paddle_sync.seen import created, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
TYPES = ("subscription.created", "subscription.imported", "subscription.updated")


def item(price_id: str = sample.PRICE_CLOUD_EUR, **changes: Any) -> Row:
    return subscription_item(price_id, sample.PRODUCT_CLOUD, **changes)


def priced(**changes: Any) -> Row:
    """An item whose price is odd."""
    return item(price={**item()["price"], **changes})


def many(count: int) -> list[Row]:
    return [item(f"pri_{number:026d}") for number in range(count)]


ODD: dict[str, Row] = {
    "a currency that Paddle lacks": {"currency_code": "XDR"},
    "a currency in small letters": {"currency_code": "eur"},
    "a currency of nobody": {"currency_code": "ZZZ"},
    "an item without price": {"items": [{**item(), "price": None}]},
    "an item without the word price": {"items": [{"status": "active", "quantity": 1}]},
    "an item that is a text": {"items": ["pri_1"]},
    "no list of items": {"items": None},
    "no items": {"items": []},
    "an item without product": {"items": [{name: part for name, part in item().items() if name != "product"}]},
    "a price of no product": {"items": [priced(product_id=None)]},
    "a price without amount": {"items": [priced(unit_price=None)]},
    "a price that is archived": {"items": [priced(status="archived")]},
    "a product that is archived": {"items": [item(product={**item()["product"], "status": "archived"})]},
    "an item that is inactive": {"items": [item(status="inactive")]},
    "an item of nothing": {"items": [item(quantity=0)]},
    "an item without quantity": {"items": [item(quantity=None)]},
    "a quantity in words": {"items": [item(quantity="many")]},
    "a quantity with a point": {"items": [item(quantity=1.5)]},
    "a quantity of milliards": {"items": [item(quantity=10**12)]},
    "a quantity beyond all": {"items": [item(quantity=10**30)]},
    "a hundred items": {"items": many(100)},
    "a hundred items of the largest quantity": {"items": [{**each, "quantity": 10**12} for each in many(100)]},
    "the same price twice": {"items": [item(quantity=2), item(quantity=3)]},
    "a price with a long id": {"items": [item("pri_" + "9" * 61)]},
    "a status of tomorrow": {"status": "hibernating"},
    "no customer": {"customer_id": None},
    "a billing cycle of tomorrow": {"billing_cycle": {"interval": "fortnight", "frequency": 0}},
    "a period that ends before it begins": {
        "current_billing_period": {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}
    },
    "a change of tomorrow": {
        "scheduled_change": {"action": "hibernate", "effective_at": "2030-01-01T00:00:00Z", "resume_at": None}
    },
}


@pytest.mark.parametrize("event_type", TYPES)
@pytest.mark.parametrize("changes", ODD.values(), ids=ODD.keys())
def test_an_odd_subscription_comes_to_an_end_in_words(run_jobs: Run, event_type: str, changes: Row) -> None:
    make_mapping(product=sample.PRODUCT_CLOUD)
    event = make_event(event_type, subscription(**changes))

    run_jobs()

    event.refresh_from_db()
    assert event.state in {"processed", "ignored", "parked", "failed"}
    assert event.failure_kind in {"", "permanent"}
    assert (event.attempts, event.due_at) == (1, None)
    assert len(event.note) > 20


def quantities() -> list[int]:
    return list(AccountPlanLink.objects.order_by("pk").values_list("quantity", flat=True))


FINISHED: dict[str, list[int]] = {
    "a currency that Paddle lacks": [1],
    "a currency of nobody": [1],
    "an item without product": [1],
    "a price that is archived": [1],
    "a product that is archived": [1],
    "an item of nothing": [0],
    "a quantity of milliards": [10**12],
    "a hundred items": [100],
    "a hundred items of the largest quantity": [100 * 10**12],
    "the same price twice": [5],
    "a status of tomorrow": [1],
    "a billing cycle of tomorrow": [1],
}


@pytest.mark.parametrize("name", FINISHED)
def test_what_can_be_metered_is_although_it_is_odd(m3ter: M3terSimulator, run_jobs: Run, name: str) -> None:
    make_mapping(product=sample.PRODUCT_CLOUD)
    make_event("subscription.created", subscription(**ODD[name]))

    run_jobs()

    assert (created().state, quantities()) == ("processed", FINISHED[name])
    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]


UNREADABLE = {
    "an item without price": "price",
    "an item without the word price": "price",
    "a price without amount": "unit_price",
    "an item that is a text": "items",
    "no list of items": "items",
    "an item without quantity": "quantity",
    "a quantity in words": "quantity",
    "a quantity with a point": "quantity",
    "a quantity beyond all": "quantity",
    "a price with a long id": "id",
    "no customer": "customer_id",
}


@pytest.mark.parametrize(("name", "field"), UNREADABLE.items())
def test_what_cannot_be_read_is_refused_with_the_field_s_name_before_anything_is_written(
    m3ter: M3terSimulator, run_jobs: Run, name: str, field: str
) -> None:
    make_mapping(product=sample.PRODUCT_CLOUD)
    make_event("subscription.created", subscription(**ODD[name]))

    run_jobs()

    assert (created().state, created().failure_kind) == ("failed", "permanent")
    assert field in created().note
    assert operations(m3ter) == []


def test_a_hundred_undecided_items_wait_together(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_event("subscription.created", subscription(items=[item(each["price"]["id"]) for each in many(100)]))

    run_jobs()

    event = created()
    assert (event.state, event.waiting_for_kind, event.waiting_for_product) == ("parked", "price", sample.PRODUCT_CLOUD)
    assert event.note.count("pri_") >= 100
    assert operations(m3ter) == []


def test_a_currency_that_m3ter_does_not_take_waits_for_a_person(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    m3ter.fault("create account", "error_before", times=None, status=400)
    make_event("subscription.created", subscription(currency_code="XDR"))

    run_jobs()

    event = created()
    assert (event.state, event.waiting_for_kind) == ("parked", "account refused")
    assert "XDR" in event.note
    assert AccountLink.objects.count() == 0


def test_none_of_it_is_tried_for_ever(run_jobs: Run) -> None:
    make_mapping(product=sample.PRODUCT_CLOUD)
    for changes in ODD.values():
        make_event("subscription.created", subscription(**changes))
    run_jobs()
    later = clock.now() + dt.timedelta(days=365)

    assert not WebhookEvent.objects.filter(state__in=("received", "processing"), due_at__lte=later).exists()
