"""Scheduled jobs that belong to neither flow."""

from datetime import timedelta

from django_q.models import Task

from integration_project import clock, heartbeats, installation
from integration_project.connections import open_vendors

FAILED_TASKS_KEPT = timedelta(days=14)


def read_organization() -> str:
    """Read the m3ter organisation's time zone again; billing dates are dates there."""
    row = installation.current()
    installation.require_match(row)
    with open_vendors() as vendors:
        row = installation.read_organization(row, vendors.m3ter)
    return f"the organisation's time zone is {row.organization_timezone}"


def prune() -> str:
    """Forget what nobody needs: rows of dead workers, and django-q2's record of failed tasks."""
    workers = heartbeats.forget_old_ones()
    tasks, _ = Task.objects.filter(stopped__lt=clock.now() - FAILED_TASKS_KEPT).delete()
    return f"{workers} workers and {tasks} failed tasks forgotten"
