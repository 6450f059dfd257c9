"""Keys of the REST API's clients: Operators make and revoke them, everybody sees whose there are."""

import uuid
from typing import Any

import django.db.models.deletion
from django.apps import apps as installed
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from integration_project import roles


def grant(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = installed.get_app_config("integration_project")
    create_permissions(config, apps=apps, verbosity=0, interactive=False, using=schema_editor.connection.alias)
    roles.grant(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("integration_project", "0007_grant_reconciliations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "client",
                    models.CharField(help_text="Who uses it: a program, or the team that runs it.", max_length=100),
                ),
                (
                    "prefix",
                    models.CharField(
                        help_text="How the key begins, so that people can tell keys apart.", max_length=20
                    ),
                ),
                ("digest", models.CharField(help_text="SHA-256 of the key.", max_length=64, unique=True)),
                (
                    "scopes",
                    models.JSONField(default=list, help_text="What it may be used for, by codes of the closed list."),
                ),
                ("calls_per_minute", models.PositiveIntegerField(default=600)),
                ("made_at", models.DateTimeField()),
                (
                    "made_from",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        help_text="Names the form it was made with, so that one sent twice makes one key.",
                        unique=True,
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From then on it is refused; empty = works until it is revoked.",
                        null=True,
                    ),
                ),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="To the minute: a busy key is not written down with every call.",
                        null=True,
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who made it; empty when a command did.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "replaces",
                    models.OneToOneField(
                        blank=True,
                        help_text="The client's key before this one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="replacement",
                        to="integration_project.apikey",
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "permissions": (
                    ("make_apikey", "Can make API keys, and replace them"),
                    ("revoke_apikey", "Can revoke API keys"),
                ),
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("calls_per_minute__gte", 1)), name="api_key_may_make_some_calls"
                    )
                ],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
