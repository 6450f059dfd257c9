"""`manage.py demo --once` runs the whole loop with real processes, and its exit status can be believed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration_project.demo import stage

ROOT = Path(__file__).resolve().parent.parent
STEPS = [
    "mapping",
    "checkout",
    "account",
    "plan",
    "usage",
    "bill",
    "review",
    "charge",
    "lock",
    "mapping",
    "renewal",
    "payment",
]


def demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    environment.pop("INTEGRATION_MODE", None)
    command = [sys.executable, "manage.py", "demo", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False)


@pytest.mark.xdist_group("processes")
def test_the_loop_comes_round_whatever_the_environment_says_of_a_real_installation() -> None:
    told = demo(
        "--once",
        DATABASE_URL="postgres://nobody@production.example/real",
        PADDLE_API_URL="https://api.paddle.com",
        PADDLE_API_KEY="pdl_live_apikey_never_used",
        HTTP_PROXY="http://127.0.0.1:9",
    )

    assert told.returncode == 0, told.stdout + told.stderr
    rows = told.stdout.split("WHAT WAS READ BACK THERE\n")[1].split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == STEPS
    assert "EUR paid by the customer" in told.stdout


def test_a_demo_whose_vendors_are_not_there_fails_and_says_so() -> None:
    told = demo("--tell", "--once", DEMO_DATABASE_URL="sqlite:///:memory:")

    assert told.returncode != 0


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_demo_that_is_interrupted_does_not_count_as_one_that_came_round_and_leaves_nothing(number: int) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "INTEGRATION_MODE"}
    command = [sys.executable, "-u", "manage.py", "demo", "--once"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("Starting")
        folders = wait_for_folders(running.pid)

        running.send_signal(number)
        running.send_signal(number)

        assert running.wait(timeout=60) == 130
    assert len(folders) == 1
    assert not folders[0].exists()


def wait_for_folders(process_id: int) -> list[Path]:
    """Wait until the demo has set up its folder, which is named after its process."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        folders = list((ROOT / ".demo").glob(f"run-{process_id}-*/simulators.log"))
        if folders:
            return [log.parent for log in folders]
    return []


def test_what_a_killed_demo_left_is_thrown_away_and_a_running_ones_is_not(tmp_path: Path) -> None:
    left, kept = tmp_path / "run-999999999-abc", tmp_path / f"run-{os.getpid()}-abc"
    left.mkdir()
    kept.mkdir()

    stage.sweep(tmp_path)

    assert not left.exists()
    assert kept.exists()
