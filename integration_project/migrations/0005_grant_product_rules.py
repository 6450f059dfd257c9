"""Lets Finance say what Paddle is told that charges are for, and everybody see it."""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from integration_project import roles


def grant(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = installed.get_app_config("billing_bridge")
    create_permissions(config, apps=apps, verbosity=0, interactive=False, using=schema_editor.connection.alias)
    roles.grant(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("integration_project", "0004_grant_relinking"),
        ("billing_bridge", "0005_review_replaces_automatic"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
