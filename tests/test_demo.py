"""`manage.py demo --once` runs the whole loop with real processes, and its exit status can be believed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    )

    assert told.returncode == 0, told.stdout + told.stderr
    rows = told.stdout.split("WHAT WAS READ BACK THERE\n")[1].split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == STEPS
    assert "194.11" in told.stdout or "EUR paid by the customer" in told.stdout
    assert not list((ROOT / ".demo").glob("run-*/demo.sqlite3"))


def test_a_demo_whose_vendors_are_not_there_fails_and_says_so() -> None:
    told = demo("--tell", "--once", DEMO_DATABASE_URL="sqlite:///:memory:")

    assert told.returncode != 0
