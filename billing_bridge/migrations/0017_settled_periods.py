"""Periods of bills that were read before anybody asked which are approved or locked."""

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.db import migrations


def note_settled(apps: Any, schema_editor: Any) -> None:
    """Write down the period of each approved bill, in the organisation's time zone."""
    periods = apps.get_model("paddle_sync", "SettledPeriod").objects
    installation = apps.get_model("integration_project", "Installation").objects.first()
    zone = ZoneInfo(installation.organization_timezone) if installation else UTC
    bills = apps.get_model("billing_bridge", "PushedBill").objects.filter(m3ter_status="APPROVED")
    dated = bills.exclude(period_start=None).exclude(period_end=None)
    columns = ("m3ter_bill_id", "m3ter_account_id", "period_start", "period_end", "m3ter_locked")
    rows = []
    for bill_id, account_id, start, end, is_locked in dated.values_list(*columns).iterator():
        moments = [datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC) for day in (start, end)]
        row = {"m3ter_bill_id": bill_id, "m3ter_account_id": account_id, "starts_at": moments[0], "ends_at": moments[1]}
        rows.append(periods.model(**row, state="locked" if is_locked else "approved"))
    periods.bulk_create(rows, batch_size=500, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0016_given_by_others"),
        ("integration_project", "0007_grant_reconciliations"),
        ("paddle_sync", "0011_usage"),
    ]

    operations = [migrations.RunPython(note_settled, migrations.RunPython.noop, elidable=True)]
