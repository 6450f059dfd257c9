"""`manage.py replay_events`: what it selects, that a dry run changes nothing, and what its exit status says."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from integration_project import clock
from paddle_sync import bulk
from paddle_sync.management.commands import replay_events
from paddle_sync.models import BulkRun, EventDecision, WebhookEvent
from tests.builders import make_event

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("replay_events", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def queued() -> set[str]:
    return set(WebhookEvent.objects.filter(state="received").values_list("event_type", flat=True))


@pytest.fixture(autouse=True)
def events() -> None:
    long_ago = clock.now() - dt.timedelta(days=10)
    make_event("a.failed", {}, state="failed", event_id="evt_a", due_at=None)
    make_event("b.failed", {}, state="failed", event_id="evt_b", received_at=long_ago, due_at=None)
    make_event("c.parked", {}, state="parked", event_id="evt_c", waiting_for_kind="price", waiting_for_key="pri_1")
    make_event("d.done", {}, state="processed", event_id="evt_d", paddle_subscription_id="sub_1", due_at=None)
    make_event("e.running", {}, state="processing", event_id="evt_e")


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        (["evt_a", "evt_d"], {"a.failed", "d.done"}),
        (["--state", "failed"], {"a.failed", "b.failed"}),
        (["--state", "failed", "--state", "parked"], {"a.failed", "b.failed", "c.parked"}),
        (["--state", "failed", "--since", "24h"], {"a.failed"}),
        (["--state", "failed", "--since", "2020-01-01"], {"a.failed", "b.failed"}),
        (["--type", "b.failed"], {"b.failed"}),
        (["--waiting-for", "price:pri_1"], {"c.parked"}),
        (["--subscription", "sub_1"], {"d.done"}),
        (["--state", "failed", "--limit", "1"], {"a.failed"}),
    ],
)
def test_the_filters_select_what_is_replayed(arguments: list[str], types: set[str]) -> None:
    out, _ = run(*arguments, "--reason", "m3ter was down")

    assert queued() == types
    assert f"{len(types)} of {len(types)} events queued" in out
    assert set(EventDecision.objects.values_list("reason", flat=True)) == {"m3ter was down"}


def test_a_dry_run_lists_and_changes_nothing() -> None:
    out, _ = run("--state", "failed", "--dry-run")

    assert "would replay evt_a a.failed" in out
    assert "2 events would be replayed; nothing was changed." in out
    assert (queued(), EventDecision.objects.count()) == (set(), 0)


def test_the_whole_past_is_not_replayed_by_mistake() -> None:
    with pytest.raises(CommandError) as refusal:
        run()

    assert refusal.value.returncode == 2
    assert queued() == set()


def test_an_event_that_is_not_there_or_not_done_makes_the_status_one() -> None:
    with pytest.raises(CommandError) as refusal:
        run("evt_a", "evt_e", "evt_unknown")

    assert refusal.value.returncode == 1
    assert queued() == {"a.failed"}


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--waiting-for", "price"], ["--state", "running"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)

    assert queued() == set()


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("replay_events", "--help")

    assert "manage.py replay_events --state failed --dry-run" in capsys.readouterr().out


def run_and_wait(*arguments: str, outcome: str) -> str:
    """Run the command beside a worker that gives every event this outcome."""

    def work(seconds: float) -> None:
        bulk.feed()
        WebhookEvent.objects.filter(state="received").update(state=outcome, note="So it is.")

    command = replay_events.Command()
    command.pause = work
    out = StringIO()
    call_command(command, *arguments, "--wait", stdout=out)
    return out.getvalue()


def test_a_replay_that_is_waited_for_says_how_far_it_is_and_ends_with_the_last_event() -> None:
    out = run_and_wait("--state", "failed", "--limit", "1", "--reason", "m3ter is back", outcome="processed")

    assert "1 of 1 done: 1 changed\nDone." in out
    assert (BulkRun.objects.get().state, EventDecision.objects.get().reason) == ("done", "m3ter is back")


def test_a_replay_that_fails_again_makes_the_status_one() -> None:
    with pytest.raises(CommandError, match="1 are left for a person") as failed:
        run_and_wait("--state", "failed", "--limit", "1", outcome="failed")

    assert failed.value.returncode == 1


def test_waiting_for_an_event_that_is_not_there_makes_the_status_one() -> None:
    with pytest.raises(CommandError, match="1 events could not be replayed") as refusal:
        run_and_wait("evt_a", "evt_unknown", outcome="ignored")

    assert refusal.value.returncode == 1
    assert BulkRun.objects.get().state == "done"
