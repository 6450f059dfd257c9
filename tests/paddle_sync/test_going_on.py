"""Events that wait for one thing together go on together when it is put right."""

from collections.abc import Callable

import pytest
from django.test import Client

from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import intake
from paddle_sync.models import AccountPlanLink, EventDecision, WebhookEvent
from tests.builders import make_event, make_mapping, notification, post_notification, subscription
from tests.paddle_sync.seen import CLOUD, created
from tests.paddle_sync.test_accounts import taken_account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def test_a_solved_account_conflict_lets_all_events_of_the_subscription_go_on(
    client: Client, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    account = taken_account(vendors, data["id"])
    for event_type in ("subscription.created", "subscription.activated", "subscription.updated"):
        post_notification(client, notification(event_type, data))
        run_jobs()
    make_event("subscription.updated", subscription("sub_other"), state="parked", due_at=None)
    parked = WebhookEvent.objects.filter(state="parked").count()
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=data["id"]
    )

    intake.replay(created().pk, by="anna", reason="mapped by hand")
    run_jobs()

    assert parked == 4
    left = WebhookEvent.objects.filter(state="parked").values_list("paddle_subscription_id", flat=True)
    assert list(left) == ["sub_other"]
    assert AccountPlanLink.objects.count() == 1
    decisions = EventDecision.objects.filter(action="resume").values_list("by", "reason")
    assert list(decisions) == [("another event", f'its account "{data["id"]}" was linked')] * 2


def test_a_firewalls_refusal_says_what_to_do_and_its_end_lets_all_events_go_on(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    deliver()
    WebhookEvent.objects.exclude(event_type__startswith="subscription.").delete()
    m3ter.fault("create account", "firewall", times=None)
    run_jobs()
    parked = WebhookEvent.objects.filter(state="parked").count()
    m3ter.clear_faults()

    intake.replay(created().pk, by="anna", reason="the name was changed")
    run_jobs()

    assert parked == 2
    assert "Change that text in Paddle, or ask m3ter to let it pass" in created().history.order_by("pk")[0].detail
    assert not WebhookEvent.objects.filter(state="parked").exists()


def test_a_subscription_without_items_says_so(m3ter: M3terSimulator, run_jobs: Run) -> None:
    make_event("subscription.created", subscription(items=[]))

    run_jobs()

    assert created().state == "ignored"
    assert created().note == "This subscription began without any item, so m3ter needs nothing."
