"""Wake-ups carry no data and may be lost. Each queue has at most one waiting, so that a burst costs next to nothing."""

import time
from datetime import timedelta

from django_q.tasks import async_task

from integration_project import clock, waiting
from integration_project.models import ScheduledJob

LOST_AFTER = timedelta(seconds=15)
"""A wake-up that no drain took up to now, and that waits for no worker any more, is taken for lost."""
QUIET = 0.1
"""Seconds in which one process does not ask again: whoever drains now, or the ticker, finds the row."""

_asked: dict[str, float] = {}


def ask_for(queue: str, job: str) -> bool:
    """Send a wake-up unless one is waiting already; say whether one was sent."""
    now = time.monotonic()
    if now - _asked.get(queue, -QUIET) < QUIET:
        return False
    _asked[queue] = now
    if not _mark(queue, job):
        return False
    async_task(job)
    return True


def taken(queue: str) -> None:
    """A drain begins: what becomes due from now on may need another one."""
    ScheduledJob.objects.filter(name=_marker(queue), lease_until__isnull=False).update(lease_until=None)


def all_lost() -> None:
    """A cluster starts: what an earlier one had taken and not begun is lost."""
    ScheduledJob.objects.filter(name__startswith=_marker(""), lease_until__isnull=False).update(lease_until=None)


def _marker(queue: str) -> str:
    return f"wake-up {queue}"


def _mark(queue: str, job: str) -> bool:
    """Note that a wake-up waits; False: one does already, however long the workers are busy with other things."""
    now = clock.now()
    marker = ScheduledJob.objects.filter(name=_marker(queue))
    if marker.filter(lease_until=None).update(lease_until=now + LOST_AFTER):
        return True
    if marker.filter(lease_until__lte=now).update(lease_until=now + LOST_AFTER):
        return not waiting.waits(job)
    fresh = ScheduledJob(name=_marker(queue), due_at=now, lease_until=now + LOST_AFTER)
    if ScheduledJob.objects.filter(name=fresh.name).exists():
        return False
    ScheduledJob.objects.bulk_create([fresh], ignore_conflicts=True)
    return True
