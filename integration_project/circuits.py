"""Whether a vendor may be called at all: a refused key closes the way for everybody, a missing permission for one call.

Rows wait meanwhile instead of failing one by one. Every minute one caller may try whether it works again; its normal
answer lets everybody through and settles the finding.
"""

from collections.abc import Container, Iterable
from datetime import timedelta

from django.db.models import Q

from integration_project import clock, finding
from integration_project.errors import VendorClosed
from integration_project.models import Circuit, Finding
from integration_project.vendors.http import NAMES

PROBE_EVERY = timedelta(seconds=60)
FINDING = "vendor closed"


def to_try(vendor: str, operation: str, *, tried: Container[int] = ()) -> list[Circuit]:
    """Say which open circuits are due to be tried; VendorClosed where nobody may call.

    `tried` are those that the caller is trying already: one call may take several requests.
    """
    now = clock.now()
    opened = Circuit.objects.filter(_concerned(vendor, operation), is_open=True)
    due = [circuit for circuit in opened if circuit.pk not in tried]
    for circuit in due:
        if circuit.probe_at is not None and circuit.probe_at > now:
            raise _closed(circuit)
    return due


def all_to_try(needed: Iterable[tuple[str, str]]) -> None:
    """Make sure that every one of these operations may be called, or tried; VendorClosed where nobody may call one."""
    now = clock.now()
    shut = {(row.vendor, row.operation): row for row in Circuit.objects.filter(is_open=True, probe_at__gt=now)}
    for vendor, operation in needed:
        circuit = shut.get((vendor, "")) or shut.get((vendor, operation))
        if circuit is not None:
            raise _closed(circuit)


def nobody_may_call(vendor: str) -> bool:
    """Say whether the whole vendor is closed, and it is not yet time for anybody to try."""
    return Circuit.objects.filter(vendor=vendor, operation="", is_open=True, probe_at__gt=clock.now()).exists()


def begin(circuit: Circuit) -> None:
    """Be the one caller who tries; VendorClosed when somebody else was faster."""
    now = clock.now()
    due = Circuit.objects.filter(pk=circuit.pk, is_open=True).filter(Q(probe_at=None) | Q(probe_at__lte=now))
    if not due.update(probe_at=now + PROBE_EVERY):
        raise _closed(circuit)


def open_for(vendor: str, operation: str, *, detail: str) -> None:
    """Let nobody call: the operation, or everything when it is empty."""
    now = clock.now()
    Circuit.objects.bulk_create([Circuit(vendor=vendor, operation=operation)], ignore_conflicts=True)
    circuit = Circuit.objects.filter(vendor=vendor, operation=operation)
    circuit.filter(is_open=False).update(opened_at=now)
    circuit.update(is_open=True, probe_at=now + PROBE_EVERY, detail=detail)
    finding.report(
        FINDING,
        vendor,
        key=operation,
        severity=Finding.Severity.PROBLEM,
        detail=_in_words(vendor, operation, detail),
        next_step=(
            f"Correct the key or its permissions in {NAMES.get(vendor, vendor)} or in the settings. "
            "It is tried again every minute, so work goes on by itself."
        ),
    )


def works_again(vendor: str, operation: str) -> None:
    """A normal answer came while the circuit was being tried: everybody may call."""
    now = clock.now()
    for circuit in Circuit.objects.filter(_concerned(vendor, operation), is_open=True):
        Circuit.objects.filter(pk=circuit.pk).update(is_open=False, probe_at=None, last_success_at=now)
        finding.settle(FINDING, vendor, key=circuit.operation, reason="The vendor answers normally again.")


def note_success(vendor: str) -> None:
    """Remember when the vendor last answered normally."""
    if not Circuit.objects.filter(vendor=vendor, operation="").update(last_success_at=clock.now()):
        Circuit.objects.bulk_create(
            [Circuit(vendor=vendor, operation="", last_success_at=clock.now())], ignore_conflicts=True
        )


def _concerned(vendor: str, operation: str) -> Q:
    return Q(vendor=vendor, operation__in=("", operation))


def _closed(circuit: Circuit) -> VendorClosed:
    detail = _in_words(circuit.vendor, circuit.operation, circuit.detail)
    return VendorClosed(circuit.vendor, detail, circuit.operation or None)


def _in_words(vendor: str, operation: str, detail: str) -> str:
    name = NAMES.get(vendor, vendor)
    what = f"{name} does not let us {operation}" if operation else f"{name} refuses our key"
    return f"{what}, so nobody calls it now: {detail}"
