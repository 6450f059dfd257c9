"""Who is alive: every worker's main process says so in a row, and leases carry that row's name.

On PostgreSQL the time is the database's: a host whose clock is wrong is not taken for dead, nor takes others for it.
"""

import os
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from integration_project import clock
from integration_project.models import Heartbeat

DEAD_AFTER = timedelta(seconds=15)
FORGOTTEN_AFTER = timedelta(days=1)
NAME_VARIABLE = "INTEGRATION_WORKER"


def name() -> str:
    """Name this process's worker: children carry the name of the main process they were forked from."""
    return os.environ.get(NAME_VARIABLE) or f"{socket.gethostname()}:{os.getpid()}"


def become_worker() -> str:
    """Make this process a worker's main process; its children inherit the name.

    The start time is part of the name, so that a new process is never taken for a dead one with the same number.
    """
    own = f"{socket.gethostname()[:80]}:{os.getpid()}:{clock.now():%H%M%S%f}"
    os.environ[NAME_VARIABLE] = own
    return own


def beat(detail: Mapping[str, Any]) -> None:
    """Say that this worker is alive."""
    now = _now()
    if not Heartbeat.objects.filter(name=name()).update(seen_at=now, detail=detail):
        Heartbeat.objects.create(name=name(), started_at=now, seen_at=now, detail=detail)


def end() -> None:
    """Take this worker's row away: it stopped in order and left no leases behind."""
    Heartbeat.objects.filter(name=name()).delete()


def dead_workers() -> list[str]:
    """List the workers whose heartbeat stopped."""
    return list(Heartbeat.objects.filter(seen_at__lt=_now() - DEAD_AFTER).values_list("name", flat=True))


def count_alive() -> int:
    """Count the workers that are there to do what is due."""
    return Heartbeat.objects.filter(seen_at__gte=_now() - DEAD_AFTER).count()


def forget_old_ones() -> int:
    """Remove rows of workers that have been dead for a day."""
    return Heartbeat.objects.filter(seen_at__lt=_now() - FORGOTTEN_AFTER).delete()[0]


def _now() -> datetime | Now:
    """Tell the time of the database on PostgreSQL; SQLite lives on this machine and has its clock."""
    return Now() if connection.vendor == "postgresql" else clock.now()
