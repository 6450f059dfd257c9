"""Bulk runs in the console: asked for, looked at, begun with a reason, followed, paused, cancelled."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from integration_project import installation
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import bulk, jobs
from paddle_sync.models import AccountLink, BulkItem, BulkRun, EventDecision, WebhookEvent
from tests.builders import make_event, make_mapping
from tests.console.rows import make_run
from tests.paddle_sync.test_existing import subscribed

Browser = Callable[[str], Client]
EVENTS = "/admin/paddle_sync/webhookevent/"
RUNS = "/admin/paddle_sync/bulkrun/"
ITEMS = "/admin/paddle_sync/bulkitem/"


def page_of(run: BulkRun) -> str:
    return reverse("admin:paddle_sync_bulkrun_change", args=(run.pk,))


def decide(run: BulkRun, name: str) -> str:
    return reverse("admin:paddle_sync_bulkrun_decide", args=(run.pk, name))


def buttons(client: Client, run: BulkRun) -> list[str]:
    return [button["label"] for button in client.get(page_of(run)).context["buttons"]]


def test_an_import_is_asked_for_looked_at_begun_and_followed_on_pages(
    browser: Browser, paddle: PaddleSimulator, run_jobs: Callable[[], int]
) -> None:
    installation.current()
    make_mapping()
    ids = subscribed(paddle, 12)
    client = browser("Operator")

    asked = client.post(f"{RUNS}import/", {"source": "paddle", "reason": "We go live."})
    run = BulkRun.objects.get()
    preparing = client.get(page_of(run))
    jobs.carry_on_bulk_runs()
    looked_at = client.get(page_of(run))
    confirmation = client.get(decide(run, "begin"))
    begun = client.post(decide(run, "begin"), {"reason": "Looks right."}, follow=True)
    jobs.carry_on_bulk_runs()
    run_jobs()
    jobs.carry_on_bulk_runs()
    done = client.get(page_of(run))

    assert asked["Location"] == page_of(run)
    assert (preparing["Refresh"], preparing.context["story"].effect) == (
        "3",
        "0 listed so far. Nothing has been changed.",
    )
    assert "12 of 12 subscriptions to do." in looked_at.context["story"].cause
    assert "No go-live date is set" in looked_at.context["story"].effect
    assert "Refresh" not in looked_at
    assert "Begin: 12 subscriptions" in confirmation.text
    assert f"{ids[0]}: A new account" in confirmation.text
    assert "And 2 more." in confirmation.text
    assert (begun["Refresh"], buttons(client, run)) == ("3", [])
    assert '<progress max="12" value="0">' in begun.text
    assert '<progress max="12" value="12">12 of 12 done: 12 changed</progress>' in done.text
    assert AccountLink.objects.count() == 12
    assert set(EventDecision.objects.values_list("by", "reason")) == {("operator", "Looks right.")}
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Import existing subscriptions (source paddle). Reason: We go live.", "Begin. Reason: Looks right."]


def test_a_run_offers_what_fits_its_state(browser: Browser) -> None:
    client = browser("Operator")
    runs = {state: make_run(state) for state in BulkRun.State.values}

    offered = {state: buttons(client, run) for state, run in runs.items()}

    assert offered == {
        "preparing": ["Cancel the run"],
        "previewed": ["Begin", "Look again", "Cancel the run"],
        "running": ["Pause", "Cancel the run"],
        "paused": ["Continue", "Cancel the run"],
        "cancelled": [],
        "done": [],
        "failed": [],
    }


def test_pausing_and_cancelling_ask_for_a_reason_and_keep_it(browser: Browser) -> None:
    client = browser("Operator")
    run = make_run(items=3)

    client.post(decide(run, "pause"), {"reason": ""})
    unasked = BulkRun.objects.get().state
    client.post(decide(run, "pause"), {"reason": "Lunch."})
    paused = BulkRun.objects.get().state
    client.post(decide(run, "cancel"), {"reason": "Wrong day."})

    run.refresh_from_db()
    assert (unasked, paused, run.state, run.note) == (
        "running",
        "paused",
        "cancelled",
        "Cancelled by operator: Wrong day.",
    )
    assert dict(bulk.progress(run).counts) == {"skipped": 3, "failed": 1}
    history = client.get(reverse("admin:paddle_sync_bulkrun_history", args=(run.pk,)))
    assert "Pause. Reason: Lunch." in history.text


def test_every_number_of_a_run_leads_to_its_items(browser: Browser) -> None:
    client = browser("Auditor")
    run = make_run(items=3)
    make_run(items=5)

    waiting = client.get(f"{ITEMS}?run__id__exact={run.pk}&outcome__exact=waiting")
    foreseen = client.get(f"{ITEMS}?run__id__exact={run.pk}&verdict__exact=create&about=")

    assert f"{ITEMS}?run__id__exact={run.pk}&amp;outcome__exact=waiting" in client.get(page_of(run)).text
    assert [listed.context["cl"].result_count for listed in (waiting, foreseen)] == [3, 3]


def test_those_who_may_not_begin_a_run_may_not_ask_for_one(browser: Browser) -> None:
    for role in ("Finance", "Auditor"):
        client = browser(role)
        assert client.post(f"{RUNS}import/", {"source": "paddle", "reason": "Curious."}).status_code == 403
        assert "Import existing subscriptions" not in client.get(RUNS).text

    assert BulkRun.objects.count() == 0


@pytest.mark.parametrize(("count", "is_run"), [(100, False), (101, True)])
def test_a_replay_of_all_that_match_becomes_a_run_when_they_are_many(
    browser: Browser, count: int, is_run: bool
) -> None:
    client = browser("Operator")
    for _ in range(count):
        make_event("customer.updated", {"id": "ctm_1"}, state="failed", due_at=None)
    make_event("customer.updated", {"id": "ctm_1"}, state="ignored", due_at=None)
    chosen = {"action": "replay_selected", "select_across": "1", "_selected_action": ["0"]}

    answer = client.post(f"{EVENTS}?state__exact=failed", chosen)

    assert WebhookEvent.objects.filter(state="received").count() == 0
    if not is_run:
        assert "Replay: 100 events" in answer.text
        return
    run = BulkRun.objects.get()
    assert (answer["Location"], run.title, run.state) == (page_of(run), "Replay of 101 events", "previewed")
    assert "Begin: 101 events" in client.get(decide(run, "begin")).text
    client.post(decide(run, "begin"), {"reason": "m3ter is back."})
    bulk.feed()
    assert WebhookEvent.objects.filter(state="received", replays=1).count() == 101
    assert set(EventDecision.objects.values_list("action", "by", "reason")) == {
        ("replay", "operator", "m3ter is back.")
    }


def test_too_many_events_for_a_run_are_refused_and_nothing_is_made(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_IN_A_RUN", 100)
    for _ in range(101):
        make_event("customer.updated", {"id": "ctm_1"}, state="failed", due_at=None)
    chosen = {"action": "replay_selected", "select_across": "1", "_selected_action": ["0"]}

    answer = browser("Operator").post(EVENTS, chosen, follow=True)

    assert "More than 100 events are chosen." in answer.text
    assert (BulkRun.objects.count(), BulkItem.objects.count()) == (0, 0)


def test_classic_is_no_choice_of_an_import_where_it_is_off(browser: Browser) -> None:
    asked = browser("Operator").post(f"{RUNS}import/", {"source": "paddle_classic", "reason": "We go live."})

    assert asked.status_code == 200
    assert "not one of the available choices" in asked.text
    assert not BulkRun.objects.exists()


@pytest.mark.usefixtures("adapters")
def test_what_was_foreseen_can_be_looked_at_again(browser: Browser, paddle: PaddleSimulator) -> None:
    installation.current()
    (unmapped,) = subscribed(paddle)
    client = browser("Operator")
    client.post(f"{RUNS}import/", {"source": "paddle", "reason": "We go live."})
    jobs.carry_on_bulk_runs()
    run = BulkRun.objects.get()
    before = list(run.items.values_list("subject", "verdict"))
    make_mapping()

    client.post(decide(run, "look_again"), {"reason": "The price is mapped now."})
    jobs.carry_on_bulk_runs()

    assert before == [(unmapped, "unmapped")]
    assert list(run.items.values_list("subject", "verdict")) == [(unmapped, "create")]
    assert "Look again" in buttons(client, run)
