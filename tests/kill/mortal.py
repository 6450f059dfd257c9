"""Gives orders to mortal_worker.py: which jobs to do, and at which point of which vendor call to die."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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
    """Processes that do jobs one after the other, each a new one with these settings."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log
        self.settings: dict[str, object] = {}

    def do(self, *jobs: str, dies_at: int | None = None) -> Life:
        """Let a new process do these jobs, and die at that point of them if one is given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = json.dumps({"jobs": jobs, "dies_at": dies_at, "knows": self.settings})
        self._process.stdin.write(f"{order}\n".encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        life = Life(**json.loads(answer)) if answer else Life(1, ())
        if life.ended not in {0, -signal.SIGKILL}:
            pytest.fail(f"the process failed: {self._log.read_text(errors='replace')}")
        assert life.was_killed == (dies_at is not None), life
        return life


def at_every_moment(life: Life) -> bool:
    """Whether a life that nothing ended passed each of its calls before, with its answer unread, and read."""
    return [point.split(" ", 1)[0] for point in life.points] == list(MOMENTS) * (len(life.points) // len(MOMENTS))


@contextmanager
def mortals(folder: Path) -> Iterator[Mortals]:
    """Processes on the test's database; whom they call stands in their settings."""
    log = folder / "mortal.log"
    with program("-m", "tests.kill.mortal_worker", log=log, talks=True) as process:
        yield Mortals(process, log)
