"""check_drift says what differs, has what is safe put right, and tells the outcome by its exit status."""

import datetime as dt
import time
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from integration_project import budgets, clock
from integration_project.errors import BudgetSpent
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import ListPosition, WebhookEvent
from tests.paddle_sync.drift_world import World, buy, delete_account, mapping_deleted, world

__all__ = ["world"]  # a fixture
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


@pytest.fixture(autouse=True)
def _pinned_two_days_ago(installation: Installation) -> None:
    Installation.objects.update(pinned_at=clock.now() - dt.timedelta(days=2))


def run(*arguments: str) -> tuple[int, list[str]]:
    """The exit status, and the lines that were said."""
    out = StringIO()
    try:
        call_command("check_drift", *arguments, stdout=out)
    except CommandError as problem:
        return problem.returncode, [*out.getvalue().splitlines(), str(problem)]
    return 0, out.getvalue().splitlines()


def test_nothing_found_is_exit_status_nought(world: World) -> None:
    status, said = run()

    assert status == 0
    assert said[-2:] == ["2 compared, 0 differences", "Nothing was found."]


def test_differences_are_exit_status_one_and_are_findings(world: World) -> None:
    mapping_deleted(world)

    status, said = run()

    assert status == 1
    assert said[-2:] == ["mapping missing: 1 open", "1 differences were found."]
    assert Finding.objects.get().kind == "mapping missing"


def test_that_it_could_not_run_is_exit_status_two(world: World) -> None:
    world.paddle.revoke_key()

    status, said = run()

    assert status == 2
    assert said[-1].startswith("Not compared to the end: ")


def test_a_dry_run_says_each_difference_and_writes_nothing(world: World) -> None:
    mapping_deleted(world)
    buy(world.paddle, 2)
    before = WebhookEvent.objects.count()

    status, said = run("--dry-run")

    assert status == 1
    assert any(line.startswith("mapping missing, sub_") for line in said)
    assert any(line.startswith("subscription not linked, sub_") for line in said)
    assert (Finding.objects.count(), ListPosition.objects.count(), WebhookEvent.objects.count()) == (0, 0, before)


def test_events_alone_fetch_what_never_arrived(world: World) -> None:
    buy(world.paddle, 2)
    world.paddle.outbox.clear()
    world.m3ter.calls.clear()

    status, said = run("--events")
    again, _ = run("--events")

    assert (status, again) == (1, 0)
    assert "fetched because no webhook had come" in said[0]
    assert WebhookEvent.objects.filter(event_type="subscription.created", notification_id="").count() == 1
    assert world.m3ter.calls == []


def test_fix_applies_what_is_safe_and_says_what_it_left(world: World) -> None:
    delete_account(world)
    unheard_of = buy(world.paddle, 2)
    world.paddle.events.clear()

    status, said = run("--fix")

    assert status == 1
    assert f"subscription not linked, {unheard_of}: queued to be imported" in said
    assert f'left: account missing, {world.subscription_id}. In the console: "Make the account again".' in said
    assert said[-2] == "1 findings are left for a person."
    asked = WebhookEvent.objects.get(event_type="repair.import_subscription")
    assert asked.paddle_subscription_id == unheard_of
    assert world.link.m3ter_account_code == world.subscription_id


def test_fix_with_a_dry_run_only_says_what_it_would_do(world: World) -> None:
    mapping_deleted(world)
    run()

    _, said = run("--fix", "--dry-run")

    assert f"would fix: mapping missing, {world.subscription_id}: Sync the subscription" in said
    assert not WebhookEvent.objects.filter(event_type="subscription.sync").exists()


def test_it_goes_on_with_a_round_that_was_interrupted(
    world: World, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    mapping_deleted(world)
    m3ter.fault("list accounts", "error_before")
    first, _ = run()
    paddle.calls.clear()

    second, _ = run()

    assert (first, second) == (2, 1)
    listed = [call for call in paddle.calls if call.operation == "list subscriptions"]
    assert f"after={world.subscription_id}" in listed[0].query


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]], ids=["for real", "dry run"])
def test_it_waits_while_our_share_of_calls_is_used_up(
    world: World, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    mapping_deleted(world)
    buy(world.paddle, 2)
    waits: list[float] = []
    allowed = iter(range(1000))

    def take(vendor: str, purpose: str, **patience: object) -> None:
        if next(allowed) in {0, 2, 4, 8}:
            raise BudgetSpent("all used", retry_after=0.25)

    monkeypatch.setattr(budgets, "take_unless_open", lambda *where: False)
    monkeypatch.setattr(budgets, "take", take)
    monkeypatch.setattr(time, "sleep", waits.append)

    status, said = run(*arguments)

    assert status == 1
    assert set(waits) == {0.25}
    assert len(waits) == 4
    assert sum(line.startswith("mapping missing") for line in said) == 1
