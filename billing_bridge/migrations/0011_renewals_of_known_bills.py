"""Bills that are still to be charged learn when their subscription renews."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import OuterRef, Subquery


def fill(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    links = apps.get_model("paddle_sync", "AccountLink").objects.filter(pk=OuterRef("link_id"))
    bills = apps.get_model("billing_bridge", "PushedBill").objects.filter(link__isnull=False, renews_at__isnull=True)
    open_ones = bills.filter(state__in=("held", "waiting", "ready", "failed", "lost", "skipped"))
    open_ones.update(renews_at=Subquery(links.values("next_billed_at")[:1]))


class Migration(migrations.Migration):
    dependencies = [("billing_bridge", "0010_order_of_need")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
