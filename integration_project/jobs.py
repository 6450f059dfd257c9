"""Scheduled jobs that belong to neither flow."""

from datetime import timedelta

from django.conf import settings
from django_q.models import Task

from integration_project import clock, heartbeats, installation, work
from integration_project.connections import open_vendors
from integration_project.mailing import outbox, sending

FAILED_TASKS_KEPT = timedelta(days=14)


def read_organization() -> str:
    """Read the m3ter organisation's time zone again; billing dates are dates there."""
    row = installation.current()
    installation.require_match(row)
    with open_vendors() as vendors:
        row = installation.read_organization(row, vendors.m3ter)
    return f"the organisation's time zone is {row.organization_timezone}"


def prune() -> str:
    """Forget what nobody needs: rows of dead workers, django-q2's record of failed tasks, old mails."""
    workers = heartbeats.forget_old_ones()
    tasks, _ = Task.objects.filter(stopped__lt=clock.now() - FAILED_TASKS_KEPT).delete()
    mails = outbox.forget()
    return f"{workers} workers, {tasks} failed tasks and {mails} mails forgotten"


def mail_findings() -> str:
    """Ask for mails about what opened and closed since the last time."""
    asked = outbox.gather()
    return f"{asked} mail{'' if asked == 1 else 's'} asked for" if settings.MAIL_IS_ON else "mail is off"


def send_mails() -> int:
    """Send the mails that are due; say how many were tried."""
    return work.drain(outbox.MAIL, sending.deliver)
