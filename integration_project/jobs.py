"""Recurring work on what both flows stand on; the schedule runs it."""

from datetime import timedelta

from integration_project import clock, finding, installation
from integration_project.connections import open_vendors
from integration_project.models import Finding

PINNED_ELSEWHERE = "pinned elsewhere"
READ_AGAIN = timedelta(days=1)


def check_installation() -> str:
    """Compare the settings with what this database was pinned to; read the organisation again once a day."""
    row = installation.current()
    wrong = installation.mismatches(row)
    if wrong:
        finding.report(
            PINNED_ELSEWHERE,
            "installation",
            detail=f"{' '.join(wrong)} Nothing is sent to either vendor.",
            next_step="Correct the settings, or start with a new database.",
            severity=Finding.Severity.ALARM,
        )
        return " ".join(wrong)
    finding.settle(PINNED_ELSEWHERE, "installation", reason="The settings match again.")
    if row.organization_read_at and clock.now() - row.organization_read_at < READ_AGAIN:
        return "The settings match."
    with open_vendors() as vendors:
        row = installation.read_organization(row, vendors.m3ter)
    return f"The settings match; the organisation's time zone is {row.organization_timezone}."
