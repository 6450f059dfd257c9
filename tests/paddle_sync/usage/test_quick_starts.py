"""What README tells a newcomer to type works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink
from tests.paddle_sync.usage.metered import METER, totals

pytestmark = pytest.mark.django_db(transaction=True)

README = Path(__file__).parents[3] / "README.md"
QUICK_STARTS = README.read_text().partition("## Usage: quick starts")[2].partition("### Usage by API")[0]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", QUICK_STARTS, flags=re.DOTALL)


def block(beginning: str) -> str:
    """The one block of README that begins so."""
    (found,) = [text for _, text in BLOCKS if text.startswith(beginning)]
    return str(found)


@pytest.fixture
def exported(live_server: Any, api_key: str, link: AccountLink) -> dict[str, str]:
    """What the demo tells people to export."""
    ours = {
        "USAGE_URL": f"{live_server.url}/api/v1/usage/measurements/",
        "USAGE_KEY": api_key,
        "SUBSCRIPTION": link.paddle_subscription_id,
    }
    return {**{name: value for name, value in os.environ.items() if "proxy" not in name.lower()}, **ours}


def run(command: list[str], text: str, exported: dict[str, str], folder: Path | None = None) -> str:
    """Type a block of README into a program."""
    typed = subprocess.run(
        command, input=text, env=exported, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert typed.returncode == 0, typed.stderr
    return typed.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_lines_for_curl(
    exported: dict[str, str], link: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    said = run(["sh"], block("curl"), exported)
    run_jobs()

    assert '"accepted":1' in said
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(12)}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_lines_for_a_file(
    exported: dict[str, str], link: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int], tmp_path: Path
) -> None:
    lines = block("cat > usage.csv")
    said = run(["sh"], lines, exported, folder=tmp_path)
    run_jobs()
    again = run(["sh"], lines.partition("\nEND\n")[2], exported, folder=tmp_path)
    run_jobs()

    assert '"state":"checking"' in said
    assert "The same bytes were received" in again
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(42)}


def test_the_lines_for_python(
    exported: dict[str, str], link: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    said = run([sys.executable, "-"], block("import"), exported)
    run_jobs()

    assert "'accepted': 1" in said
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3)}
