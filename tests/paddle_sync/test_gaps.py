"""Events that no webhook brought are found in Paddle's list, and run like all others."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock
from integration_project.events import needed_of
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle import event_ids
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import gaps, jobs
from paddle_sync.models import AccountLink, AccountPlanLink, ListPosition, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, created, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
MISSING = (gaps.MISSING, "")


@pytest.fixture(autouse=True)
def _pinned_two_days_ago(installation: Installation, paddle: PaddleSimulator) -> None:
    """The database has belonged to its account for two days, and Paddle's clock stands a day back."""
    Installation.objects.update(pinned_at=clock.now() - dt.timedelta(days=2))
    paddle.clock.move(-dt.timedelta(days=1))


def buy(paddle: PaddleSimulator, number: int = 1) -> str:
    bought = paddle.complete_checkout(email=f"ap{number}@harbour.example", name=f"Harbour {number}", items=[CLOUD])
    return str(bought["subscription_id"])


def destination_is_down(paddle: PaddleSimulator) -> None:
    """What waits to be delivered never will be."""
    paddle.outbox.clear()


def event_types(**filters: Any) -> list[str]:
    events = WebhookEvent.objects.filter(**filters).order_by("occurred_at", "event_id")
    return list(events.values_list("event_type", flat=True))


def needed_and_listed(paddle: PaddleSimulator) -> list[str]:
    return [str(event["event_type"]) for event in paddle.events if event["event_type"] in needed_of("paddle")]


def end_state(m3ter: M3terSimulator) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Accounts and their plans in m3ter, without the ids it chose and the moments that differ."""
    plans = list(m3ter.memory.account_plans)
    return sorted(
        (
            account["name"],
            account["currency"],
            account["emailAddress"],
            [(plan["planId"], plan["code"].split(":")[1]) for plan in plans if plan["accountId"] == account["id"]],
        )
        for account in m3ter.memory.accounts
    )


def test_a_destination_that_was_down_is_made_whole_by_the_gap_detector_alone(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    delivered = [buy(paddle, number) for number in range(3)]
    deliver()
    run_jobs()
    as_delivered = end_state(m3ter)
    paddle.clock.move(dt.timedelta(hours=1))
    lost = [buy(paddle, number) for number in range(10, 13)]
    paddle.clock.move(dt.timedelta(hours=5))
    paddle.cancel(lost[0])
    destination_is_down(paddle)

    jobs.fetch_missed_events()
    run_jobs()

    assert event_types(event_type__in=needed_of("paddle")) == needed_and_listed(paddle)
    assert set(AccountLink.objects.values_list("paddle_subscription_id", flat=True)) == {*delivered, *lost}
    assert AccountPlanLink.objects.count() == 6
    fetched = [row for row in end_state(m3ter) if row not in as_delivered]
    assert [(currency, plans) for _, currency, _, plans in fetched] == [
        (currency, plans) for _, currency, _, plans in as_delivered
    ]
    assert [name for name, *_ in fetched] == ["Harbour 10", "Harbour 11", "Harbour 12"]
    assert {link.paddle_status for link in AccountLink.objects.filter(paddle_subscription_id=lost[0])} == {"canceled"}


def test_a_run_without_a_gap_stores_nothing_and_costs_one_call(
    paddle: PaddleSimulator, vendors: Vendors, deliver: Run
) -> None:
    buy(paddle)
    deliver()
    before = WebhookEvent.objects.count()

    looked = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert (looked.fetched, looked.at_end) == (0, True)
    assert WebhookEvent.objects.count() == before
    assert operations(paddle) == ["list events"]
    assert open_findings() == []


def test_what_was_fetched_is_told_until_a_run_finds_nothing_missing(paddle: PaddleSimulator, vendors: Vendors) -> None:
    buy(paddle)
    destination_is_down(paddle)

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))
    told = Finding.objects.get()
    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    count = len(needed_and_listed(paddle))
    assert (told.kind, told.subject) == ("webhooks missing", "Paddle's events")
    assert told.detail.startswith(f"{count} events that Paddle lists did not arrive here as webhooks")
    told.refresh_from_db()
    assert (told.state, told.close_reason) == ("closed", "Everything that Paddle lists had arrived.")


def test_a_fetched_event_shows_that_no_webhook_brought_it(paddle: PaddleSimulator, vendors: Vendors) -> None:
    buy(paddle)
    destination_is_down(paddle)

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert set(WebhookEvent.objects.values_list("notification_id", flat=True)) == {""}
    assert created().payload.entity()["status"] == "active"


def test_a_webhook_that_comes_after_all_adds_nothing(
    paddle: PaddleSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    buy(paddle)
    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))
    run_jobs()

    deliver()
    run_jobs()

    needed = [name for name in event_types() if name in needed_of("paddle")]
    assert needed == needed_and_listed(paddle)
    assert AccountLink.objects.count() == 1


def test_what_happened_just_now_is_left_to_its_webhook(paddle: PaddleSimulator, vendors: Vendors) -> None:
    paddle.clock.move(dt.timedelta(days=1))
    buy(paddle)

    looked = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert looked.listed > 0
    assert WebhookEvent.objects.count() == 0


def test_what_is_a_few_minutes_old_is_fetched_without_an_alarm(paddle: PaddleSimulator, vendors: Vendors) -> None:
    paddle.clock.move(dt.timedelta(days=1, minutes=-5))
    buy(paddle)

    looked = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert (looked.fetched, looked.late) == (len(needed_and_listed(paddle)), 0)
    assert open_findings() == []


def test_an_event_that_the_list_shows_late_is_found_by_the_overlap(paddle: PaddleSimulator, vendors: Vendors) -> None:
    paddle.clock.move(dt.timedelta(days=1, minutes=-9))
    buy(paddle)
    hidden = paddle.events.pop()
    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))
    paddle.clock.move(dt.timedelta(minutes=5))
    buy(paddle, 2)
    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))
    paddle.events.append(hidden)

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert WebhookEvent.objects.filter(event_id=hidden["event_id"]).count() == 1


def test_nothing_from_before_this_database_existed_is_fetched(paddle: PaddleSimulator, vendors: Vendors) -> None:
    paddle.clock.move(-dt.timedelta(days=20))
    buy(paddle)
    paddle.clock.move(dt.timedelta(days=20))
    later = buy(paddle, 2)
    destination_is_down(paddle)

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert created().paddle_subscription_id == later


def test_only_types_that_something_is_done_for_are_asked_for(paddle: PaddleSimulator, vendors: Vendors) -> None:
    buy(paddle)
    paddle.world.publish("discount.created", {"id": "dsc_01hv6scyf7qdnzcdq01t2y8dx4"})

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert set(event_types()) <= set(needed_of("paddle"))
    assert not [name for name in needed_of("paddle") if "sync" in name or "repair" in name or "found" in name]


def test_a_run_reads_so_many_pages_and_the_next_one_goes_on(
    paddle: PaddleSimulator, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "PAGE", 10)
    for number in range(6):
        buy(paddle, number)
    listed = needed_and_listed(paddle)
    assert len(listed) > 40

    first = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"), most_pages=2)
    second = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"), most_pages=2)
    rest = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert (first.listed, first.at_end, second.listed) == (20, False, 20)
    assert rest.at_end
    assert event_types() == listed
    assert first.listed + second.listed + rest.listed == len(listed)
    assert ListPosition.objects.get().finished_at is not None


def test_a_dry_run_counts_and_stores_nothing(paddle: PaddleSimulator, vendors: Vendors) -> None:
    buy(paddle)

    looked = gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"), dry_run=True)

    assert looked.fetched == looked.late == len(needed_and_listed(paddle))
    assert (WebhookEvent.objects.count(), ListPosition.objects.count(), Finding.objects.count()) == (0, 0, 0)


def test_an_entry_that_cannot_be_read_is_told_and_stops_no_other(paddle: PaddleSimulator, vendors: Vendors) -> None:
    buy(paddle)
    broken = next(event for event in paddle.events if event["event_type"] == "transaction.ready")
    broken["data"] = {"status": "ready"}

    gaps.fetch(vendors, gaps.PADDLE, needed_of("paddle"))

    assert WebhookEvent.objects.count() == len(needed_and_listed(paddle)) - 1
    told = Finding.objects.get(kind="event unreadable")
    assert told.subject == broken["event_id"]
    assert "data.id" in told.detail


def test_a_list_that_cannot_be_read_is_told_until_it_can(paddle: PaddleSimulator) -> None:
    paddle.fault("list events", "html")

    with pytest.raises(Exception, match="Paddle"):
        jobs.fetch_missed_events()
    told = open_findings()
    jobs.fetch_missed_events()

    assert told == [("events not read", "")]
    assert open_findings() == []


def test_an_events_id_tells_its_moment(paddle: PaddleSimulator) -> None:
    moment = paddle.clock.now()
    buy(paddle)

    first = str(paddle.events[0]["event_id"])

    assert event_ids.first_at(moment) <= first < event_ids.first_at(moment + dt.timedelta(seconds=30))
    assert len(event_ids.first_at(moment)) == len(first)


def fetched_a_while_ago(paddle: PaddleSimulator) -> None:
    """What every run of the detector does while things are young: nothing is late yet, so nothing is told."""
    make_mapping()
    paddle.clock.set(clock.now() - gaps.LATE - dt.timedelta(minutes=2))
    buy(paddle, 1)
    jobs.fetch_missed_events()
    Finding.objects.all().delete()


def test_webhooks_that_never_come_are_told_though_each_was_fetched_while_it_was_young(paddle: PaddleSimulator) -> None:
    """As with a wrong secret: the destination is active, and everything it sends is refused."""
    fetched_a_while_ago(paddle)

    jobs.fetch_missed_events()

    assert open_findings() == [MISSING]


def test_a_webhook_that_comes_after_its_event_was_fetched_is_not_called_missing(
    paddle: PaddleSimulator, deliver: Run
) -> None:
    fetched_a_while_ago(paddle)
    deliver()

    jobs.fetch_missed_events()

    assert open_findings() == []
    assert not WebhookEvent.objects.filter(notification_id="").exists()
