"""Gives orders to mortal_worker.py: which jobs to do, and at which point of which vendor call to die."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from tests.kill.programs import program

MOMENTS = ("before", "unread", "read")
"""Nothing has left; the vendor has done it, and its answer is here, unread; it was read, and nothing is committed."""


@dataclass(frozen=True)
class Life:
    """How a process ended, and what it passed: the last point is the one it died at."""

    ended: int
    points: tuple[str, ...]

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.ended == -signal.SIGKILL


class Mortals:
    """Processes that do jobs one after the other, each a new one."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def do(self, *jobs: str, dies_at: int | None = None) -> Life:
        """Let a new process do these jobs, and die at that point of them if one is given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = json.dumps({"jobs": jobs, "dies_at": dies_at})
        self._process.stdin.write(f"{order}\n".encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        life = Life(**json.loads(answer)) if answer else Life(1, ())
        if life.ended not in {0, -signal.SIGKILL}:
            pytest.fail(f"the process failed: {self._log.read_text(errors='replace')}")
        assert life.was_killed == (dies_at is not None), life
        return life


@contextmanager
def mortals(folder: Path, *, paddle_url: str, m3ter_url: str) -> Iterator[Mortals]:
    """Processes on the test's database that call the vendors at these addresses."""
    environment = {
        "TEST_PADDLE_API_URL": paddle_url,
        "TEST_PADDLE_API_KEY": paddle_sample.API_KEY,
        "TEST_M3TER_API_URL": m3ter_url,
        "TEST_M3TER_INGEST_URL": m3ter_url,
        "TEST_M3TER_ORG_ID": m3ter_sample.ORG_ID,
        "TEST_M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
        "TEST_M3TER_API_SECRET": m3ter_sample.API_SECRET,
        "TEST_PADDLE_CALLS_PER_MINUTE": "100000",
        "TEST_M3TER_CALLS_PER_SECOND": "100000",
    }
    log = folder / "mortal.log"
    with program("-m", "tests.kill.mortal_worker", log=log, environment=environment, talks=True) as process:
        yield Mortals(process, log)
