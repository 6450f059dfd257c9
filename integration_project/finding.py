"""Opens and closes findings: each kind, subject and key at most once open, whoever looks and how often."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from integration_project import clock
from integration_project.models import Finding


@dataclass(frozen=True)
class Found:
    """Something that was found to hold now, as a finding will say it."""

    kind: str
    detail: str
    next_step: str = ""
    key: str = ""
    severity: Finding.Severity = Finding.Severity.PROBLEM


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
    return settle_kinds((kind,), subject, reason=reason, key=key)


def settle_kinds(kinds: Iterable[str], subject: str, *, reason: str, key: str | None = None) -> int:
    """Close what no longer holds of several kinds; say how many were open."""
    open_ones = Finding.objects.filter(kind__in=tuple(kinds), subject=subject, state=Finding.State.OPEN)
    if key is not None:
        open_ones = open_ones.filter(key=key)
    return open_ones.update(state=Finding.State.CLOSED, closed_at=clock.now(), close_reason=reason)


def keep_in_step(
    subject: str, found: Sequence[Found], kinds: Iterable[str], *, reason: str, shared: frozenset[str] = frozenset()
) -> list[str]:
    """Open what holds now of these kinds and close what does not; say which kinds were opened.

    What a person closed stays closed as long as it says the same. Kinds that are `shared` are opened by somebody else
    too, in other words: those of an open one are left, and one that a person closed stays closed whatever it says.
    """
    ours = Finding.objects.filter(subject=subject, kind__in=tuple(kinds))
    is_open = {(row.kind, row.key): row for row in ours.filter(state=Finding.State.OPEN)}
    closed = ours.filter(state=Finding.State.CLOSED, closed_by__isnull=False)
    dismissed = set(closed.values_list("kind", "key", "detail"))
    opened = []
    now = {(each.kind, each.key): each for each in found}
    for place, each in now.items():
        if place in is_open and each.kind in shared:
            Finding.objects.filter(pk=is_open[place].pk).update(seen_at=clock.now())
            continue
        if any(was[:2] == place and (each.kind in shared or was[2] == each.detail) for was in dismissed):
            continue
        report(each.kind, subject, detail=each.detail, next_step=each.next_step, key=each.key, severity=each.severity)
        if place not in is_open:
            opened.append(each.kind)
    for kind, key in is_open.keys() - now.keys():
        settle(kind, subject, reason=reason, key=key)
    return opened
