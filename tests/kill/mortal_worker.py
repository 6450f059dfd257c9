"""A program whose children do real jobs and kill themselves, by SIGKILL, at the vendor call they were told.

It reads orders, one line of JSON each, and answers each with what became of it. Every order is carried out by a fork
with a database connection of its own: starting a Python for each would take most of the time.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string
from requests import PreparedRequest, Response

from integration_project.vendors import CLASSIC, M3TER, PADDLE
from integration_project.vendors.transport import DeadlineAdapter

logger = logging.getLogger(__name__)


class Fate:
    """The points a process passes at its vendor calls, told at once to whoever listens, and the one it dies at."""

    def __init__(self, report: int, dies_at: int | None) -> None:
        self._report = report
        self._dies_at = dies_at
        self._passed = 0

    def point(self, name: str) -> None:
        """Pass a point, or die there."""
        os.write(self._report, f"{name}\n".encode())
        if self._passed == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passed += 1


class MortalAdapter(DeadlineAdapter):
    """The real transport. Death comes before the request leaves, or when its answer is here and nobody has read it."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send the request over the network."""
        call = f"{request.method} {urlsplit(request.url or '').path}"
        self._fate.point(f"before {call}")
        response = super().send(request, *args, **kwargs)
        self._fate.point(f"unread {call}")
        return response


class MortalLog(logging.Filter):
    """Death comes when an answer has been read and judged: its line is written before anything is made of it."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through."""
        call = record.__dict__.get("call")
        if call is not None:
            self._fate.point(f"read {call['method']} {call['path']}")
        return True


def main() -> None:
    """Carry out orders until there are no more."""
    django.setup()
    for line in sys.stdin:
        print(json.dumps(carry_out(**json.loads(line))), flush=True)


def carry_out(jobs: Sequence[str], dies_at: int | None, knows: Mapping[str, Any]) -> dict[str, Any]:
    """Do the jobs in a child that has these settings, and say how it ended and what it passed."""
    functions = [import_string(job) for job in jobs]  # imported here once, for every child
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        live(functions, Fate(writer, dies_at), knows)
    os.close(writer)
    with os.fdopen(reader) as report:
        points = report.read().splitlines()
    _, status = os.waitpid(child, 0)
    return {"ended": os.waitstatus_to_exitcode(status), "points": points}


def live(jobs: Sequence[Callable[[], object]], fate: Fate, knows: Mapping[str, Any]) -> None:
    """Do the jobs and end, one way or the other."""
    status = 1
    try:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the answer is the parent's to give
        for name, value in knows.items():
            setattr(settings, name, value)
        settings.VENDOR_TRANSPORTS = {vendor: MortalAdapter(fate) for vendor in (PADDLE, CLASSIC, M3TER)}
        logging.getLogger("integration_project.vendors").addFilter(MortalLog(fate))
        for job in jobs:
            job()
        connections.close_all()
        status = 0
    except Exception:
        logger.exception("A job failed")
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
