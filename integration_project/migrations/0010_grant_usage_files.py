"""Lets Operators upload usage and decide about it, and everybody see its files."""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from integration_project import roles


def grant(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = installed.get_app_config("paddle_sync")
    create_permissions(config, apps=apps, verbosity=0, interactive=False, using=schema_editor.connection.alias)
    roles.grant(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("integration_project", "0009_grant_usage"),
        ("paddle_sync", "0012_usage_corrections"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
