"""`manage.py replay_events`: what it selects, that a dry run changes nothing, and what its exit status says."""

import datetime as dt
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from integration_project import budgets, clock
from integration_project.errors import BudgetSpent
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import bulk
from paddle_sync.management.commands import replay_events
from paddle_sync.models import BulkRun, EventDecision, WebhookEvent
from tests.builders import make_event, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("adapters")]


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


def test_a_dry_run_says_what_each_replay_would_do_and_changes_nothing() -> None:
    out, _ = run("--state", "failed", "--dry-run")

    assert "evt_a a.failed, failed:\n  would skip: Stored; nothing is done for events of the type a.failed.\n" in out
    assert "2 of 2 events would be replayed; nothing was changed." in out
    assert (queued(), EventDecision.objects.count()) == (set(), 0)


@pytest.mark.usefixtures("installation")
def test_a_dry_run_prints_the_calls_and_what_they_would_do(paddle: PaddleSimulator, m3ter: M3terSimulator) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Anna Person", items=[CLOUD])
    data = {**subscription(), **paddle.subscriptions[bought["subscription_id"]]}
    data["transaction_id"] = bought["transaction_id"]
    make_event("subscription.created", data, state="failed", event_id="evt_real", due_at=None)

    out, _ = run("evt_real", "--dry-run")

    lines = out.splitlines()
    organisation = f"/organizations/{m3ter_sample.ORG_ID}"
    assert lines[0] == "evt_real subscription.created, failed:"
    assert lines[1:6] == [
        "  paddle GET /subscriptions",
        f"  paddle GET /transactions/{bought['transaction_id']}",
        f"  m3ter POST {organisation}/accounts",
        f"  m3ter POST {organisation}/accountplans",
        f"  m3ter POST {organisation}/externalmappings",
    ]
    assert lines[6].startswith(f"  would create account {bought['subscription_id']} in EUR with bill date ")
    assert lines[7].startswith(f"  would put plan {m3ter_sample.PLAN_SCALE} on it from ")
    assert lines[8] == f"  would note in m3ter that it is {bought['subscription_id']} in Paddle"
    assert lines[9].startswith("  The event would then be processed: Account")
    assert "Anna" not in out
    assert "harbour" not in out
    assert list(m3ter.memory.accounts) == []


def test_a_dry_run_of_the_whole_past_wants_a_limit() -> None:
    with pytest.raises(CommandError) as refusal:
        run("--dry-run")
    out, _ = run("--dry-run", "--limit", "1")

    assert refusal.value.returncode == 2
    assert "1 of 1 events would be replayed" in out


def test_a_dry_run_of_an_event_that_is_not_there_makes_the_status_one() -> None:
    with pytest.raises(CommandError) as refusal:
        run("evt_a", "evt_unknown", "--dry-run")

    assert refusal.value.returncode == 1


@pytest.mark.usefixtures("installation")
def test_a_dry_run_waits_while_our_share_of_calls_is_used_up(
    paddle: PaddleSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_event("subscription.updated", subscription(), state="failed", event_id="evt_slow", due_at=None)
    waits: list[float] = []
    refusals = iter([BudgetSpent("all used", retry_after=0.25), BudgetSpent("still")])

    def take(vendor: str, purpose: str, **patience: object) -> None:
        for refusal in refusals:
            raise refusal

    monkeypatch.setattr(budgets, "take", take)
    monkeypatch.setattr(time, "sleep", waits.append)

    out, _ = run("evt_slow", "--dry-run")

    assert waits == [0.25, 1.0]
    assert "1 of 1 events would be replayed" in out


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "yesterday"],
        ["--since", "99999999999d"],
        ["--waiting-for", "price"],
        ["--state", "running"],
        ["--state", "failed", "--limit", "0"],
        ["--state", "failed", "--limit", "-1"],
    ],
)
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


@pytest.mark.parametrize("arguments", [[], ["--wait"]], ids=["queued", "waited for"])
def test_where_nothing_is_chosen_all_is_done(arguments: list[str]) -> None:
    out, _ = run("--type", "nothing.like.it", *arguments)

    assert "0 of 0 events queued" in out
    assert BulkRun.objects.count() == 0
