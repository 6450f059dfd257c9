"""Once a second: say that this worker lives; on one host at a time, find what is due, stuck or was never woken."""

import logging
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django_q.models import OrmQ
from django_q.tasks import async_task

from integration_project import clock, heartbeats, pulse, queues, scheduling, wakeups, work
from integration_project.models import ScheduledJob
from integration_project.work import Queue

logger = logging.getLogger(__name__)

OFFICE = "ticker"
IN_OFFICE = timedelta(seconds=5)
"""How long the others wait for the host that looks after the queues before one of them does."""
QUIET = 30.0
"""Seconds without any task after which one is sent, to see that the cluster still works."""
UNTAKEN = 20.0
"""Seconds after which a task that nobody takes, though a worker is idle, shows that the cluster hangs."""


class Ticker:
    """What one worker's main process does every second."""

    def __init__(self) -> None:
        self._token = uuid.uuid4()

    def tick(self) -> None:
        """Go round once."""
        heartbeats.beat({"busy": pulse.busy(), "workers": settings.WORKER_PROCESSES})
        if self._takes_office():
            look_after_everything()
        self._ping()

    def leave(self) -> None:
        """Let another host take over at once."""
        ScheduledJob.objects.filter(name=OFFICE, lease=self._token).update(lease=None, lease_until=None)

    def _takes_office(self) -> bool:
        now = clock.now()
        office = ScheduledJob.objects.filter(name=OFFICE)
        free = Q(lease=self._token) | Q(lease_until=None) | Q(lease_until__lte=now)
        if office.filter(free).update(lease=self._token, lease_until=now + IN_OFFICE):
            return True
        if not office.exists():
            ScheduledJob.objects.bulk_create([ScheduledJob(name=OFFICE, due_at=now)], ignore_conflicts=True)
        return False

    def _ping(self) -> None:
        """Send an empty task when nothing moved for long and none is waiting."""
        if pulse.seconds_since_moved() < QUIET or _waiting_since(0.0):
            return
        async_task("integration_project.ticker.ping")


def look_after_everything() -> None:
    """See to every queue and to the schedule; what fails in one does not stop the others."""
    dead = heartbeats.dead_workers()
    for queue in queues.all_queues():
        try:
            look_after(queue, dead)
        except Exception:
            logger.exception("Looking after the queue %s failed", queue.name)
    scheduling.hand_out_due()


def look_after(queue: Queue[Any], dead: list[str]) -> None:
    """Free what dead workers held, move on what ran out, and wake somebody up for what is due."""
    freed = work.release_dead(queue, dead) + work.release_expired(queue)
    if freed:
        logger.warning("%s: %s rows were left by workers that died or hung; they go on now.", queue.name, freed)
    if work.has_due(queue, since=clock.now()):
        wakeups.ask_for(queue.name, queue.job)


def nobody_takes_tasks() -> bool:
    """Say whether tasks wait although this host's cluster has idle workers: then it hangs."""
    if pulse.busy() >= settings.WORKER_PROCESSES or pulse.seconds_since_moved() < UNTAKEN:
        return False
    return _waiting_since(UNTAKEN)


def ping() -> None:
    """Do nothing: that a worker got here is all that counts."""


def _waiting_since(seconds: float) -> bool:
    """Say whether a task has waited for so long. Its lock is its time of arrival until somebody takes it."""
    return bool(OrmQ.objects.filter(lock__lte=clock.now() - timedelta(seconds=seconds)).exists())
