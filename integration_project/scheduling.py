"""Keeps the schedule table: finds what is due, hands it to a worker, records how it went.

A job's row carries its own due time and lease. A task that was lost, or died half-way, is due again when its lease is
over; a task that still waits for a worker is not lost, and is not handed out twice. One that comes late runs the job if
it is due and nobody's; one that finds another's token in the row does nothing.
"""

import logging
import uuid
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.module_loading import import_string
from django_q.tasks import async_task

from integration_project import clock, waiting
from integration_project.errors import IntegrationError
from integration_project.models import ScheduledJob
from integration_project.schedules import SCHEDULES, Schedule

logger = logging.getLogger(__name__)

QUEUED = timedelta(seconds=60)
"""How long a job may wait for a worker before it is looked for, and handed out again if it waits no more."""
RUNNING = timedelta(seconds=260)
"""How long a job may run: a little more than the timeout of its task."""
AFTER_FAILURE = timedelta(minutes=5)
RUN = "integration_project.scheduling.run"
"""The task that a worker gets."""


def hand_out_due() -> list[str]:
    """Give every job that is due to a worker; say which."""
    now = clock.now()
    rows = {row.name: row for row in ScheduledJob.objects.filter(name__in=[schedule.name for schedule in SCHEDULES])}
    missing = [schedule for schedule in SCHEDULES if schedule.name not in rows]
    ScheduledJob.objects.bulk_create(
        [ScheduledJob(name=schedule.name, due_at=now) for schedule in missing], ignore_conflicts=True
    )
    due = [schedule for schedule in SCHEDULES if schedule in missing or _is_due(rows[schedule.name], now)]
    return [schedule.name for schedule in due if _hand_out(schedule, now)]


def run(name: str, token: str) -> None:
    """Run one job, as a worker's task."""
    schedule = next(schedule for schedule in SCHEDULES if schedule.name == name)
    now = clock.now()
    row, own = ScheduledJob.objects.filter(name=name), ScheduledJob.objects.filter(name=name, lease=uuid.UUID(token))
    began = {"started_at": now, "lease": uuid.UUID(token), "lease_until": now + RUNNING}
    if not own.filter(lease_until__gt=now).update(**began) and not row.filter(_free(now), due_at__lte=now).update(
        **began
    ):
        return
    outcome, wait = "interrupted", schedule.every
    try:
        outcome = str(import_string(schedule.job)() or "done")
    except IntegrationError as error:
        logger.warning("Scheduled job %s: %s", name, error)
        outcome, wait = f"failed: {error}", min(schedule.every, AFTER_FAILURE)
    except Exception as error:
        logger.exception("Scheduled job %s failed", name)
        outcome, wait = f"failed: {type(error).__name__}: {error}", min(schedule.every, AFTER_FAILURE)
    finally:
        own.update(due_at=now + wait, finished_at=clock.now(), result=outcome[:2000], lease=None, lease_until=None)


def _free(now: datetime) -> Q:
    """Select what nobody runs and nobody has been given."""
    return Q(lease_until=None) | Q(lease_until__lte=now)


def _is_due(row: ScheduledJob, now: datetime) -> bool:
    return row.due_at <= now and (row.lease_until is None or row.lease_until <= now)


def _hand_out(schedule: Schedule, now: datetime) -> bool:
    """Mark the job as ours to hand out; False: another host was faster, or it waits for a worker already."""
    token = uuid.uuid4()
    ours = ScheduledJob.objects.filter(_free(now), name=schedule.name, due_at__lte=now)
    if waiting.waits(RUN, schedule.name) or not ours.update(lease=token, lease_until=now + QUEUED):
        return False
    async_task(RUN, schedule.name, token.hex)
    return True
