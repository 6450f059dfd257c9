"""Whether Paddle has a destination that leads here, and tells it of everything that is needed."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from integration_project import fixes
from integration_project.admin import findings
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from paddle_sync import destinations, jobs
from paddle_sync.models import WebhookEvent
from tests.paddle_sync.seen import open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
NEEDED = ("subscription.created", "transaction.completed")
MISSING = [("destination missing", "")]


def told_of(paddle: PaddleSimulator) -> list[str]:
    setting = paddle.world.memory.settings[sample.NOTIFICATION_SETTING_ID]
    return [entry["name"] for entry in setting["subscribed_events"]]


def tell_only_of(paddle: PaddleSimulator, *names: str) -> None:
    setting = paddle.world.memory.settings[sample.NOTIFICATION_SETTING_ID]
    setting["subscribed_events"] = [entry for entry in setting["subscribed_events"] if entry["name"] in names]


def test_a_destination_that_is_told_of_everything_is_right(paddle: PaddleSimulator, vendors: Vendors) -> None:
    assert destinations.check(vendors, NEEDED) == ()
    assert jobs.check_destination() == "Paddle tells us everything we need"
    assert open_findings() == []


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"destination": "https://elsewhere.example/hooks/"},
        {"traffic_source": "simulation"},
        {"type": "email", "destination": "ops@harbour.example"},
    ],
    ids=["inactive", "elsewhere", "simulations only", "e-mail"],
)
def test_a_destination_that_does_not_lead_here_is_missing_until_it_does(
    paddle: PaddleSimulator, vendors: Vendors, change: dict[str, object]
) -> None:
    setting = paddle.world.memory.settings[sample.NOTIFICATION_SETTING_ID]
    before = dict(setting)

    setting.update(change)
    (said,) = destinations.check(vendors, NEEDED)
    told = open_findings()
    setting.update(before)
    destinations.check(vendors, NEEDED)

    assert "None of Paddle's active webhook destinations leads here" in said
    assert told == MISSING
    assert open_findings() == []


def test_a_destination_on_another_host_than_ours_is_not_ours(
    paddle: PaddleSimulator, vendors: Vendors, settings: Settings
) -> None:
    settings.SITE_URL = "https://console.harbour.example"

    destinations.check(vendors, NEEDED)

    assert open_findings() == MISSING
    assert "https://console.harbour.example/webhooks/paddle/" in Finding.objects.get().next_step


def test_types_that_nobody_is_told_of_are_subscribed_to_by_the_fix(
    paddle: PaddleSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    tell_only_of(paddle, "subscription.created", "customer.updated")
    jobs.check_destination()
    told = Finding.objects.get()

    fixes.apply(fixes.SUBSCRIBE, told.pk, by="olga", reason="We need them.")
    run_jobs()

    told.refresh_from_db()
    assert (told.kind, told.subject, told.state) == ("event types missing", sample.NOTIFICATION_SETTING_ID, "closed")
    assert "subscription.canceled" in told.detail
    assert "customer.updated" in told_of(paddle)
    assert destinations.check(vendors, ("subscription.canceled", "transaction.completed")) == ()
    assert jobs.check_destination() == "Paddle tells us everything we need"


def test_the_fix_changes_nothing_where_somebody_was_faster(paddle: PaddleSimulator, run_jobs: Run) -> None:
    everything = told_of(paddle)
    tell_only_of(paddle, "subscription.created")
    jobs.check_destination()
    fixes.apply(fixes.SUBSCRIBE, Finding.objects.get().pk, by="olga", reason="We need them.")
    paddle.notices.add_sample_setting("http://127.0.0.1/webhooks/paddle/")

    run_jobs()

    assert told_of(paddle) == everything
    assert "update notification setting" not in operations(paddle)
    assert open_findings() == []


def test_without_the_permission_the_finding_says_how_to_do_it_by_hand(paddle: PaddleSimulator, run_jobs: Run) -> None:
    tell_only_of(paddle, "subscription.created")
    paddle.withhold_permission("notification_setting.write")
    jobs.check_destination()
    fixes.apply(fixes.SUBSCRIBE, Finding.objects.get().pk, by="olga", reason="We need them.")
    run_jobs()

    jobs.check_destination()

    told = Finding.objects.get(kind="event types missing")
    assert told.state == "open"
    assert "lacks the permission notification_setting.write, so do it by hand" in told.next_step
    assert "subscription.canceled" in told.next_step
    assert WebhookEvent.objects.get().state == "received"


def test_a_dry_run_says_what_is_wrong_and_opens_nothing(paddle: PaddleSimulator, vendors: Vendors) -> None:
    tell_only_of(paddle, "subscription.created")

    (said,) = destinations.check(vendors, NEEDED, dry_run=True)

    assert "transaction.completed" in said
    assert Finding.objects.count() == 0


def acknowledge(operator: User) -> None:
    (told,) = Finding.objects.filter(state="open")
    findings.close(told.pk, by=operator.username, reason="It is meant so.")


def test_a_missing_destination_that_somebody_acknowledged_stays_quiet_until_it_comes_and_goes(
    paddle: PaddleSimulator, vendors: Vendors, operator: User
) -> None:
    setting = paddle.world.memory.settings[sample.NOTIFICATION_SETTING_ID]
    setting["active"] = False
    destinations.check(vendors, NEEDED)
    acknowledge(operator)

    destinations.check(vendors, NEEDED)

    assert open_findings() == []


def test_missing_types_that_somebody_closed_stay_quiet_until_others_are_missing(
    paddle: PaddleSimulator, vendors: Vendors, operator: User
) -> None:
    tell_only_of(paddle, "subscription.created")
    destinations.check(vendors, NEEDED)
    acknowledge(operator)

    destinations.check(vendors, NEEDED)
    same = open_findings()
    destinations.check(vendors, (*NEEDED, "subscription.canceled"))

    assert same == []
    assert open_findings() == [("event types missing", "")]
