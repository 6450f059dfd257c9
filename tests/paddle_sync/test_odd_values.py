"""Values that a vendor's schema allows and nobody expects: decided before m3ter hears of them, and in words."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import sample
from paddle_sync.models import AccountLink, AccountPlanLink, SubscriptionSnapshot, WebhookEvent
from tests.builders import make_event, make_mapping, notification, post_notification, subscription, subscription_item
from tests.paddle_sync.seen import created, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
CODE = {"m3ter_account_code": "harbour-tools"}


def item(**changes: Any) -> dict[str, Any]:
    return subscription_item(sample.PRICE_CLOUD_EUR, sample.PRODUCT_CLOUD, **changes)


def test_a_status_longer_than_any_known_one_is_kept_cut(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    make_event("subscription.created", subscription(status="awaiting_customer_consent_review"))

    run_jobs()

    assert (created().state, AccountLink.objects.get().paddle_status) == ("processed", "awaiting_customer_co")


def test_a_quantity_of_milliards_is_kept(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    make_event("subscription.created", subscription(items=[item(quantity=2**31), item(quantity=10**12)]))

    run_jobs()

    assert (created().state, AccountPlanLink.objects.get().quantity) == ("processed", 2**31 + 10**12)


BEYOND = {
    "a quantity nobody sells": ({"items": [item(quantity=10**12 + 1)]}, "quantity"),
    "a quantity below nothing": ({"items": [item(quantity=-1)]}, "quantity"),
    "a currency of four letters": ({"currency_code": "EURO"}, "currency_code"),
    "a currency that is no letters": ({"currency_code": "E1R"}, "currency_code"),
    "no currency": ({"currency_code": ""}, "currency_code"),
    "a point in time before all": ({"started_at": "0001-01-01T00:00:00Z"}, "started_at"),
    "a point in time before it in UTC": ({"next_billed_at": "0001-01-01T00:00:00+05:00"}, "next_billed_at"),
    "a point in time after all": ({"updated_at": "9999-12-31T23:59:59-05:00"}, "updated_at"),
    "a number with a point": ({"updated_at": 1.5}, "updated_at"),
    "a number with a point in an item": ({"items": [item(created_at=1.5)]}, "created_at"),
    "an object for an id": ({"import_meta": {"external_id": {}, "imported_from": "x"}}, "external_id"),
}


@pytest.mark.parametrize(("changes", "field"), BEYOND.values(), ids=BEYOND.keys())
def test_what_no_subscription_can_have_fails_in_words_before_anything_is_written(
    m3ter: M3terSimulator, run_jobs: Run, changes: dict[str, Any], field: str
) -> None:
    make_mapping()
    make_event("subscription.created", subscription(**changes))

    run_jobs()

    assert (created().state, created().failure_kind) == ("failed", "permanent")
    assert f": {field} " in created().note
    assert operations(m3ter) == []


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59Z", "1899-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_notification_from_no_imaginable_time_is_refused(client: Client, when: str) -> None:
    response = post_notification(client, notification("x.y", {}, occurred_at=when))

    assert (response.status_code, list(response.json())) == (400, ["occurred_at"])


# --- An account code in custom data, which a buyer's browser may have set -------------------------------------------


def stored() -> str:
    return json.dumps([snapshot.data for snapshot in SubscriptionSnapshot.objects.all()])


def test_a_code_in_custom_data_is_not_kept_unless_it_is_trusted(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_mapping()
    make_event("subscription.created", subscription(custom_data=CODE))

    run_jobs()

    assert (created().state, "harbour-tools" in stored()) == ("processed", False)


def test_what_could_be_an_e_mail_address_is_never_an_account_s_code(m3ter: M3terSimulator, run_jobs: Run) -> None:
    Installation.objects.update(customer_codes_trusted=True)
    make_mapping()
    data = subscription(custom_data={"m3ter_account_code": "anna.person@harbour.example"})
    make_event("subscription.created", data)

    run_jobs()

    assert AccountLink.objects.get().m3ter_account_code == data["id"]
    assert "anna.person" not in stored()


def test_a_code_counts_for_what_still_waited_when_it_came_to_be_trusted(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_event("subscription.created", subscription(custom_data=CODE))
    run_jobs()
    Installation.objects.update(customer_codes_trusted=True)
    make_mapping()

    WebhookEvent.objects.update(state="received", due_at=created().received_at)
    run_jobs()

    assert AccountLink.objects.get().m3ter_account_code == "harbour-tools"
