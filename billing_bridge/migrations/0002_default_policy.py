"""Everybody's push policy exists from the start, with the careful answers: review, next renewal, no open periods."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create_policy(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("billing_bridge", "PushPolicy").objects.get_or_create(link=None)


class Migration(migrations.Migration):
    dependencies = [("billing_bridge", "0001_initial")]

    operations = [migrations.RunPython(create_policy, migrations.RunPython.noop)]
