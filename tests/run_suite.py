"""Runs the suite: `make test` on SQLite and then on PostgreSQL, `make bench` and `make chaos` on the better of them.

The first run takes everything. The second, on PostgreSQL, takes every test that touches the database, and no other: a
parser or a client gives the same answer again. What was found and what came of it is said plainly at the end.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.postgresql import Found, a_postgresql

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5
MOST_WORKERS = 8


@dataclass(frozen=True)
class Outcome:
    """How one run of pytest ended."""

    where: str
    status: int
    seconds: float

    def __str__(self) -> str:
        """One line for the end of the log."""
        result = "passed" if self.status == 0 else f"FAILED (exit status {self.status})"
        return f"suite: {self.where}: {result} in {self.seconds:.0f} s"


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", action="store_true", help="run tests/benchmarks instead of the suite")
    parser.add_argument("--chaos", action="store_true", help="run the long fault schedules instead of the suite")
    options, passed_on = parser.parse_known_args(arguments)
    with a_postgresql() as found:
        say(found.words)
        if options.benchmarks:
            return benchmarks(found, passed_on)
        if options.chaos:
            return chaos(found, passed_on)
        return suite(found, passed_on)


def suite(found: Found, passed_on: Sequence[str]) -> int:
    """Run everything on SQLite, then what touches the database on PostgreSQL."""
    parallel = ["-n", str(workers())]
    outcomes = [run("SQLite", None, [*parallel, *passed_on])]
    if found.url:
        outcomes.append(run("PostgreSQL", found.url, [*parallel, "--database-tests-only", *passed_on]))
    print(flush=True)
    say(found.words)
    for outcome in outcomes:
        print(outcome, flush=True)
    return max(outcome.status for outcome in outcomes)


def benchmarks(found: Found, passed_on: Sequence[str]) -> int:
    """Measure one after the other, so that nothing else runs beside what is measured."""
    files = ["-o", "python_files=bench_*.py test_*.py"]
    plain = ["-p", "no:randomly", "-s", "--timeout=1800", *files, "tests/benchmarks"]
    return run(name_of(found), found.url, [*plain, *passed_on]).status


def chaos(found: Found, passed_on: Sequence[str]) -> int:
    """Run the tests marked chaos."""
    return run(name_of(found), found.url, ["-m", "chaos", "--timeout=3600", *passed_on]).status


def run(where: str, url: str | None, arguments: Sequence[str]) -> Outcome:
    """Run pytest once against one database; a run that has nothing to do is not a failure."""
    say(f"running on {where}")
    environment = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}
    if url:
        environment["TEST_DATABASE_URL"] = url
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, check=False)
    status = 0 if done.returncode == NO_TESTS else done.returncode
    return Outcome(where, status, time.monotonic() - began)


def name_of(found: Found) -> str:
    """Name the better database of the two."""
    return "PostgreSQL" if found.url else "SQLite"


def workers() -> int:
    """Use the machine's cores, two at least: some tests wait for other processes most of the time."""
    return min(max(os.cpu_count() or 2, 2), MOST_WORKERS)


def say(words: str) -> None:
    """Print one line of progress."""
    print(f"suite: {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
