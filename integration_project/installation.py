"""What this database belongs to: pinned at the first start, compared ever after, and the organisation's time zone."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings

from integration_project import clock, finding
from integration_project.errors import VendorClosed
from integration_project.models import Finding, Installation
from integration_project.vendors.m3ter.client import M3terClient

PINNED = {
    "paddle_environment": "PADDLE_ENVIRONMENT",
    "paddle_api_url": "PADDLE_API_URL",
    "m3ter_api_url": "M3TER_API_URL",
    "m3ter_org_id": "M3TER_ORG_ID",
}
"""Column -> the setting it is pinned from."""
ZONE_FINDING = "unknown time zone"
OVERLAPPING = "overlapping plans allowed"
KINDS = (ZONE_FINDING, OVERLAPPING)
"""The kinds of findings opened here, and closed here when they no longer hold."""


def current() -> Installation:
    """Give the one row, and pin what it belongs to if this is the first start."""
    row = Installation.objects.filter(pk=1).first()
    if row is None:
        pinned = {column: getattr(settings, name) for column, name in PINNED.items()}
        row, _ = Installation.objects.get_or_create(pk=1, defaults={**pinned, "pinned_at": clock.now()})
    return row


def mismatches(row: Installation) -> tuple[str, ...]:
    """Say in sentences what the settings name that differs from what this database was pinned to."""
    return tuple(
        f"{name} is {getattr(settings, name)!r}, but this database belongs to {getattr(row, column)!r}."
        for column, name in PINNED.items()
        if getattr(settings, name) != getattr(row, column)
    )


def require_match(row: Installation) -> None:
    """Refuse to call anybody for a database that belongs to another account; rows stay where they are."""
    wrong = mismatches(row)
    if wrong:
        raise VendorClosed(
            "both",
            f"Nothing is sent: {' '.join(wrong)} Correct the settings, or start with a new database.",
        )


def zone(row: Installation) -> dt.tzinfo:
    """The organisation's time zone, in which billing dates are dates."""
    return named_zone(row.organization_timezone) or dt.UTC


def named_zone(name: str) -> dt.tzinfo | None:
    """The time zone of that name; None for a name nobody here knows."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # an unknown name is a KeyError; one that is no name at all, the others
        return None


def read_organization(row: Installation, m3ter: M3terClient) -> Installation:
    """Read the organisation's time zone; a name we do not know leaves the last one in force, visibly."""
    config = m3ter.get_organization_config()
    _tell_of_overlaps(row, allowed=config.allow_overlapping_plans)
    name = config.timezone
    if named_zone(name) is None:
        finding.report(
            ZONE_FINDING,
            row.m3ter_org_id,
            detail=f"m3ter's organisation names the time zone {name!r}, which is unknown here; "
            f"{row.organization_timezone} is used instead.",
            next_step="Correct the time zone in m3ter's organisation configuration.",
        )
        name = row.organization_timezone
    else:
        finding.settle(ZONE_FINDING, row.m3ter_org_id, reason="The time zone is known.")
    row.organization_timezone, row.organization_read_at = name, clock.now()
    row.save(update_fields=["organization_timezone", "organization_read_at"])
    return row


def with_organization(row: Installation, m3ter: M3terClient) -> Installation:
    """Read the organisation once, unless that was done; a daily job reads it again."""
    return row if row.organization_read_at else read_organization(row, m3ter)


def _tell_of_overlaps(row: Installation, *, allowed: bool) -> None:
    """Say where m3ter would bill two plans of one product beside each other, since nothing there refuses them then."""
    if not allowed:
        finding.settle(OVERLAPPING, row.m3ter_org_id, reason="m3ter refuses overlapping plans.")
        return
    finding.report(
        OVERLAPPING,
        row.m3ter_org_id,
        detail="m3ter's organisation allows overlapping plans (allowOverlappingPlans), so an account may have two plans"
        " of one product at a time, and a customer may be billed twice for the same usage. Plans made here never"
        " overlap; m3ter no longer refuses those that people make beside them.",
        next_step="Switch it off in m3ter's organisation configuration, unless you need it; this then closes itself.",
        severity=Finding.Severity.NOTICE,
    )
