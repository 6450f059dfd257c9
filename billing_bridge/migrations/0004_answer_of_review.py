"""Who charged without review goes on so."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def answer(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in ("PushPolicy", "HistoricalPushPolicy"):
        apps.get_model("billing_bridge", name).objects.filter(automatic=True).update(review="never")


def take_back(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in ("PushPolicy", "HistoricalPushPolicy"):
        apps.get_model("billing_bridge", name).objects.filter(review="never").update(automatic=True)


class Migration(migrations.Migration):
    dependencies = [("billing_bridge", "0003_policy_and_carried_balance")]

    operations = [migrations.RunPython(answer, take_back)]
