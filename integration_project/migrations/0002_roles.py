"""Creates the four roles; permissions come after migrations otherwise, so they are created here first."""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from integration_project import roles

APPS = ("auth", "admin", "django_q", "integration_project", "paddle_sync", "billing_bridge")


def create_roles(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in APPS:
        config = installed.get_app_config(name)
        create_permissions(config, apps=apps, verbosity=0, interactive=False, using=schema_editor.connection.alias)
    roles.grant(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("integration_project", "0001_initial"),
        ("paddle_sync", "0001_initial"),
        ("billing_bridge", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
