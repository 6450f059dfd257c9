"""Starts real processes on the test's own database, looks at their children, and kills them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
PROC = Path("/proc")

needs_proc = pytest.mark.skipif(not PROC.joinpath("self/stat").exists(), reason="looks at processes through /proc")


def database_url() -> str:
    """The address of the test's own database, for another process."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    login = quote(values["USER"]) + (f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else "")
    port = f":{values['PORT']}" if values["PORT"] else ""
    return f"postgres://{login}@{quote(values['HOST'] or 'localhost', safe='')}{port}/{values['NAME']}"


def wait_until(condition: Callable[[], object], *, within: float = 60.0, what: str | Callable[[], object]) -> None:
    """Look again and again until the condition holds; fail when it does not in time, saying what is missing."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            missing = what if isinstance(what, str) else what()
            pytest.fail(f"after {within:g} s there is still missing: {missing}")
        time.sleep(0.05)


def parents() -> dict[int, int]:
    """Read the parent of every live process; zombies are dead."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state, parent = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def descendants(pid: int) -> list[int]:
    """List the live processes below one, parents before children, siblings by age."""
    tree = parents()
    found, waiting = [], [pid]
    while waiting:
        above = waiting.pop(0)
        below = sorted(child for child, parent in tree.items() if parent == above)
        found += below
        waiting += below
    return found


def alive(pids: Sequence[int]) -> list[int]:
    """Say which of these processes still run."""
    running = parents()
    return [pid for pid in pids if pid in running]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; the process may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@contextmanager
def program(
    *arguments: str, log: Path, environment: Mapping[str, str] | None = None, talks: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Python program in a group of its own on the test's database; nothing of it outlives the test.

    One that talks has pipes for its input and output, and only its errors go into the log.
    """
    surroundings = {
        **os.environ,
        "INTEGRATION_MODE": "test",
        "TEST_DATABASE_URL": database_url(),
        "TEST_SECRET_KEY": "the same for all processes of one test, so that they can read each other's tasks",
        "DJANGO_SETTINGS_MODULE": "integration_project.settings",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "default",
        **(environment or {}),
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=surroundings,
            stdin=subprocess.PIPE if talks else None,
            stdout=subprocess.PIPE if talks else output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        everything = [process.pid, *descendants(process.pid)]
        for pid in everything:
            kill(pid)
        process.wait(10)
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()
