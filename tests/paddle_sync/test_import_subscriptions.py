"""The command that takes in existing subscriptions: it looks first, asks, and can be interrupted anywhere."""

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import bulk
from paddle_sync.management.commands import import_subscriptions
from paddle_sync.models import AccountLink, BulkRun, EventDecision
from tests.builders import make_mapping
from tests.paddle_sync.seen import INSIGHTS, operations
from tests.paddle_sync.test_existing import subscribed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


class Terminal(io.StringIO):
    """Where somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def while_waiting(run_jobs: Run) -> Callable[[float], object]:
    """A worker that does its part whenever the command waits."""

    def work(seconds: float) -> None:
        bulk.feed()
        run_jobs()

    return work


def run_it(*arguments: str, pause: Callable[[float], object], out: io.StringIO | None = None, **people: Any) -> str:
    command = import_subscriptions.Command()
    command.pause = pause
    command.ask = people.get("ask", input)
    stdout = out or io.StringIO()
    try:
        call_command(command, *arguments, stdout=stdout)
    except CommandError as error:
        error.args = (*error.args, stdout.getvalue())
        raise
    return stdout.getvalue()


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    paddle: PaddleSimulator, m3ter: M3terSimulator, while_waiting: Callable[[float], object]
) -> None:
    make_mapping()
    ids = subscribed(paddle, 2)
    (unmapped,) = subscribed(paddle, items=[INSIGHTS])

    said = run_it("--dry-run", pause=while_waiting)

    assert "      2  Create: a new account with its plans\n" in said
    assert f"      1  Unmapped: a price is mapped to nothing ({paddle_sample.PRICE_INSIGHTS_EUR})\n" in said
    assert f'{ids[0]}: A new account "{ids[0]}", with ' in said
    assert f"{unmapped}: No m3ter plan is mapped to" in said
    assert "No go-live date is set" in said
    assert BulkRun.objects.get().state == "previewed"
    assert [call for call in operations(m3ter) if call.startswith("create")] == []


def test_what_was_looked_at_is_done_on_yes_and_waited_for(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    make_mapping()
    ids = subscribed(paddle, 3)
    Installation.objects.update(charge_from=dt.date(2026, 1, 1))
    run_it("--dry-run", pause=while_waiting)

    said = run_it("--yes", "--reason", "we go live", pause=while_waiting)

    assert said.startswith("Going on with run ")
    assert "Plans begin with the current billing period, and not before the go-live date, 2026-01-01." in said
    assert said.endswith("3 of 3 done: 3 changed\nDone.\n")
    assert sorted(AccountLink.objects.values_list("paddle_subscription_id", flat=True)) == ids
    assert set(EventDecision.objects.values_list("action", "reason")) == {("ask", "we go live")}
    assert BulkRun.objects.get().state == "done"


def test_without_a_yes_nothing_is_done(paddle: PaddleSimulator, while_waiting: Callable[[float], object]) -> None:
    make_mapping()
    subscribed(paddle)

    with pytest.raises(CommandError, match="say --yes") as refused:
        run_it(pause=while_waiting)

    assert refused.value.returncode == 2
    assert BulkRun.objects.get().state == "previewed"


@pytest.mark.parametrize(("answer", "state"), [("y", "done"), ("", "previewed"), ("n", "previewed")])
def test_somebody_at_a_terminal_is_asked(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object], answer: str, state: str
) -> None:
    make_mapping()
    subscribed(paddle)
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return answer

    try:
        said = run_it(pause=while_waiting, out=Terminal(), ask=ask)
    except CommandError as error:
        said = str(error.args[1])

    assert questions == ["Take in 1 subscriptions? [y/N] "]
    assert BulkRun.objects.get().state == state
    assert ("[########################################] 1 of 1 done" in said) == (state == "done")


def test_what_is_left_for_a_person_shows_in_the_exit_status(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    subscribed(paddle)

    with pytest.raises(CommandError, match="1 are left for a person") as left:
        run_it("--yes", pause=while_waiting)

    assert left.value.returncode == 1
    assert "parked: sub_" in left.value.args[1]


def test_an_interrupted_wait_leaves_the_run_to_the_worker(paddle: PaddleSimulator, run_jobs: Run) -> None:
    make_mapping()
    subscribed(paddle, 2)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(CommandError, match="The worker carries run") as left:
        run_it("--yes", pause=interrupted)
    running = BulkRun.objects.get().state
    bulk.feed()
    run_jobs()
    bulk.feed()

    assert (left.value.returncode, running) == (130, "running")
    assert (AccountLink.objects.count(), BulkRun.objects.get().state) == (2, "done")


def test_no_wait_returns_at_once(paddle: PaddleSimulator, while_waiting: Callable[[float], object]) -> None:
    make_mapping()
    subscribed(paddle)

    said = run_it("--yes", "--no-wait", pause=while_waiting)

    assert "is under way" in said
    assert (BulkRun.objects.get().state, AccountLink.objects.count()) == ("running", 0)


def test_resume_takes_the_newest_unfinished_import_whatever_it_is_about(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    make_mapping()
    subscribed(paddle, 3)
    run_it("--dry-run", "--limit", "1", pause=while_waiting)

    run_it("--resume", "--yes", pause=while_waiting)

    assert (AccountLink.objects.count(), BulkRun.objects.get().state) == (1, "done")
    with pytest.raises(CommandError, match="There is no unfinished import"):
        run_it("--resume", pause=while_waiting)


def test_a_refused_key_is_said_and_the_run_can_go_on_later(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    paddle.revoke_key()

    with pytest.raises(CommandError, match="The list could not be read") as refused:
        run_it("--yes", pause=while_waiting)

    assert refused.value.returncode == 1
    assert BulkRun.objects.get().state == "preparing"


def test_wrong_arguments_are_refused(db: None, while_waiting: Callable[[float], object]) -> None:
    with pytest.raises(CommandError, match="is not a number above 0"):
        run_it("--limit", "0", pause=while_waiting)

    assert BulkRun.objects.count() == 0


def test_what_was_foreseen_earlier_is_looked_at_anew_before_it_is_shown(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    subscribed(paddle)
    before = run_it("--dry-run", pause=while_waiting)
    make_mapping()
    subscribed(paddle)

    after = run_it("--dry-run", pause=while_waiting)

    assert "      1  Unmapped: a price is mapped to nothing" in before
    assert "2 subscriptions:\n      2  Create: a new account with its plans\n" in after
    assert BulkRun.objects.get().state == "previewed"


def test_a_dry_run_says_so_where_the_import_is_under_way_already(
    paddle: PaddleSimulator, while_waiting: Callable[[float], object]
) -> None:
    make_mapping()
    subscribed(paddle)
    run_it("--yes", "--no-wait", pause=while_waiting)

    said = run_it("--dry-run", pause=while_waiting)

    assert "Nothing was changed" not in said
    assert "was begun already; its page in the console shows how far it is" in said


def test_an_import_from_classic_is_refused_where_classic_is_off(
    db: None, while_waiting: Callable[[float], object]
) -> None:
    with pytest.raises(CommandError, match="Paddle Classic is off") as refused:
        run_it("--source", "paddle_classic", pause=while_waiting)

    assert refused.value.returncode == 1
    assert BulkRun.objects.count() == 0
