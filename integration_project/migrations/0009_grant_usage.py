"""Lets Operators look after usage on its way, Finance price what came late, and everybody see both."""

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
        ("integration_project", "0008_api_keys"),
        ("paddle_sync", "0012_usage_corrections"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
