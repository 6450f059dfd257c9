"""Rules, findings and a minute of the mail job, for tests of what is mailed."""

import itertools
from typing import Any

from django.core import mail
from django.core.mail import EmailMessage

from integration_project import clock, finding, jobs
from integration_project.mailing import outbox
from integration_project.models import Finding, Mail, MailRule

KIND = "charge lost"
ADDRESS = "finance@example.com"
_numbers = itertools.count(1)


def make_rule(**columns: Any) -> MailRule:
    """Somebody who is mailed about everything, made as the console makes it."""
    values = {"addresses": ADDRESS, "topics": ["everything"], "severity": Finding.Severity.NOTICE, **columns}
    return change(MailRule(), **values)


def change(rule: MailRule, **columns: Any) -> MailRule:
    """Save a rule as the console does."""
    for name, value in columns.items():
        setattr(rule, name, value)
    with outbox.changing(rule):
        rule.save()
    return rule


def open_one(kind: str = KIND, subject: str = "", **values: Any) -> Finding:
    """A finding that opens now."""
    subject = subject or f"bill-{next(_numbers)}"
    finding.report(kind, subject, detail="It is so.", **values)
    return Finding.objects.get(kind=kind, subject=subject, state=Finding.State.OPEN)


def close(*rows: Finding) -> None:
    """Findings that do not hold any more."""
    for row in rows:
        finding.settle(row.kind, row.subject, reason="It is over.")


def a_minute() -> list[EmailMessage]:
    """Let the job and the worker run once; what reached people meanwhile."""
    before = len(mail.outbox)
    jobs.mail_findings()
    jobs.send_mails()
    return list(mail.outbox[before:])


def try_again() -> list[EmailMessage]:
    """Let the time of the next attempt come, and the worker run."""
    before = len(mail.outbox)
    Mail.objects.filter(state=Mail.State.WAITING).update(due_at=clock.now())
    jobs.send_mails()
    return list(mail.outbox[before:])


def state_of(rule: MailRule) -> list[str]:
    """States of a rule's mails, oldest first."""
    return list(rule.mails.order_by("pk").values_list("state", flat=True))
