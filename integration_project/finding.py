"""Opens and closes findings: each kind, subject and key at most once open, whoever looks and how often."""

from django.db import IntegrityError, transaction

from integration_project import clock
from integration_project.models import Finding


def report(
    kind: str,
    subject: str,
    *,
    detail: str,
    next_step: str = "",
    key: str = "",
    severity: Finding.Severity = Finding.Severity.PROBLEM,
) -> None:
    """Open the finding, or bring an open one up to date."""
    now = clock.now()
    values = {"detail": detail, "next_step": next_step, "severity": severity, "seen_at": now}
    open_ones = Finding.objects.filter(kind=kind, subject=subject, key=key, state=Finding.State.OPEN)
    if open_ones.update(**values):
        return
    try:
        with transaction.atomic():
            Finding.objects.create(kind=kind, subject=subject, key=key, opened_at=now, **values)
    except IntegrityError:  # somebody opened it in between
        open_ones.update(**values)


def settle(kind: str, subject: str, *, reason: str, key: str | None = None) -> int:
    """Close what no longer holds by itself; say how many were open."""
    open_ones = Finding.objects.filter(kind=kind, subject=subject, state=Finding.State.OPEN)
    if key is not None:
        open_ones = open_ones.filter(key=key)
    return open_ones.update(state=Finding.State.CLOSED, closed_at=clock.now(), close_reason=reason)
