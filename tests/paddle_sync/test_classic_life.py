"""A subscription of Paddle Classic from checkout to cancellation, over the real addresses and clients."""

from collections.abc import Callable

import pytest
from pytest_django import Settings

from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from paddle_sync.models import AccountLink, SubscriptionSnapshot, WebhookEvent
from paddle_sync.story import SubscriptionStory
from tests.builders import make_mapping

Run = Callable[[], int]


@pytest.fixture(autouse=True)
def mapped(classic: ClassicSimulator, installation: Installation) -> None:
    make_mapping(str(sample.PLAN_TEAM))


def states() -> list[tuple[str, str]]:
    return list(WebhookEvent.objects.order_by("pk").values_list("event_type", "state"))


def test_a_checkout_becomes_an_account_with_its_plan(
    classic: ClassicSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example", name="Kai Ünal", quantity=3)

    deliver()
    run_jobs()

    link = AccountLink.objects.get()
    account = vendors.m3ter.get_account(link.m3ter_account_id)
    (plan,) = vendors.m3ter.list_account_plans(account_id=account.id)
    assert (link.source, link.paddle_subscription_id) == ("paddle_classic", made["subscription_id"])
    assert (link.paddle_customer_id, link.currency, link.paddle_status) == (made["user_id"], "EUR", "active")
    assert (account.code, account.email_address) == (made["subscription_id"], "kai@customer.example")
    assert plan.plan_id == m3ter_sample.PLAN_SCALE
    assert states() == [("subscription_created", "processed"), ("subscription_payment_succeeded", "ignored")]


def test_a_plan_nobody_mapped_parks_its_event_and_saving_it_lets_it_go_on(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    classic.subscribe(email="kai@customer.example", plan_id=sample.PLAN_STUDIO)
    deliver()
    run_jobs()

    event = WebhookEvent.objects.get(event_type="subscription_created")

    assert (event.state, event.waiting_for_kind, event.waiting_for_key) == ("parked", "price", str(sample.PLAN_STUDIO))


def test_a_cancellation_is_followed(classic: ClassicSimulator, deliver: Run, run_jobs: Run) -> None:
    made = classic.subscribe(email="kai@customer.example")
    classic.cancel(made["subscription_id"])

    deliver()
    run_jobs()

    last = SubscriptionSnapshot.objects.get(event_type="subscription_cancelled")
    ends = classic.memory.subscriptions[int(made["subscription_id"])].next_bill
    assert AccountLink.objects.get().paddle_status == "canceled"
    assert (last.data["status"], last.data["canceled_at"]) == ("canceled", f"{ends}T00:00:00Z")


def test_a_payment_that_fails_is_read_in_classic_instead_of_believed(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    before = len(classic.calls)
    classic.fail_payment(made["subscription_id"])
    WebhookEvent.objects.all().delete()
    classic.outbox.deliveries = classic.outbox.deliveries[:3]  # the alert of the change that follows is lost

    deliver()
    run_jobs()

    assert [call.operation for call in classic.calls[before:]] == ["list users"]
    assert AccountLink.objects.get().paddle_status == "past_due"


def test_a_change_of_plan_and_quantity_becomes_part_of_the_story(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping(str(sample.PLAN_STUDIO))
    made = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    classic.change_plan(made["subscription_id"], sample.PLAN_STUDIO)
    classic.change_quantity(made["subscription_id"], 7)

    deliver()
    run_jobs()

    story = SubscriptionStory.stored(made["subscription_id"])
    assert story.founding is not None
    assert [(item.price_id, item.quantity) for item in story.founding.items] == [(str(sample.PLAN_TEAM), 1)]
    assert [(item.price_id, item.quantity) for item in story.latest.items] == [(str(sample.PLAN_STUDIO), 7)]
    assert {state for _, state in states()} <= {"processed", "ignored"}


def test_an_old_alert_is_not_believed_but_read_again(classic: ClassicSimulator, deliver: Run, run_jobs: Run) -> None:
    classic.clock_move(days=-3)
    made = classic.subscribe(email="kai@customer.example", quantity=2)
    classic.change_quantity(made["subscription_id"], 5)
    classic.outbox.deliveries = classic.outbox.deliveries[:1]  # of what came later nothing arrives

    deliver()
    run_jobs()

    story = SubscriptionStory.stored(made["subscription_id"])
    assert [snapshot.event_type for snapshot in story.snapshots] == ["subscription_created", "read"]
    assert [item.quantity for item in story.latest.items] == [5]
    assert AccountLink.objects.get().paddle_subscription_id == made["subscription_id"]


def test_an_alert_of_a_payment_that_came_first_waits_for_nobody(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    classic.subscribe(email="kai@customer.example")
    classic.outbox.deliveries.reverse()

    deliver()
    run_jobs()

    assert AccountLink.objects.count() == 1
    first, second = WebhookEvent.objects.order_by("pk")
    assert (first.event_type, first.state) == ("subscription_payment_succeeded", "processed")
    assert (second.event_type, second.state, second.note[:15]) == ("subscription_created", "ignored", "Nothing changed")


def test_an_alert_of_a_subscription_that_classic_does_not_know_is_ignored_with_the_reason(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example")
    classic.fail_payment(made["subscription_id"])
    failed = next(alert.id for alert in classic.memory.alerts.values() if alert.name == "subscription_payment_failed")
    classic.outbox.deliveries = [each for each in classic.outbox.deliveries if each.id == str(failed)]
    classic.memory.subscriptions.clear()

    deliver()
    run_jobs()

    event = WebhookEvent.objects.get()
    assert (event.state, event.note[:40]) == ("ignored", "Paddle does not know the subscription 48")


def test_while_classic_is_off_its_events_stay_where_they_are(
    classic: ClassicSimulator, settings: Settings, deliver: Run, run_jobs: Run
) -> None:
    classic.subscribe(email="kai@customer.example")
    deliver()
    settings.PADDLE_CLASSIC_VENDOR_ID = ""
    WebhookEvent.objects.exclude(event_type="subscription_created").delete()

    run_jobs()

    event = WebhookEvent.objects.get()
    assert (event.state, event.failure_kind) == ("received", "")
    assert "Paddle Classic is off" in event.last_error
