"""Mail rules, the mails they give, and what was told; Operators and Finance may change the rules of their topics."""

import uuid
from typing import Any

import django.db.models.deletion
import simple_history.models
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
        ("integration_project", "0004_grant_relinking"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="MailRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("addresses", models.TextField(help_text="One address a line.")),
                (
                    "topics",
                    models.JSONField(
                        default=list, help_text="What it is about, by codes of the closed list of topics."
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[
                            ("alarm", "Alarm: money may be wrong"),
                            ("problem", "Problem: something waits for you"),
                            ("notice", "Notice"),
                        ],
                        default="problem",
                        help_text="Findings of this severity, and of worse ones.",
                        max_length=10,
                    ),
                ),
                ("active", models.BooleanField(default=True, help_text="Off: nothing is mailed by it.")),
            ],
            options={
                "permissions": (
                    ("mail_bills", "Can decide who is mailed about charging and bills"),
                    ("mail_operations", "Can decide who is mailed about events, connections and usage"),
                ),
            },
        ),
        migrations.CreateModel(
            name="HistoricalMailRule",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("addresses", models.TextField(help_text="One address a line.")),
                (
                    "topics",
                    models.JSONField(
                        default=list, help_text="What it is about, by codes of the closed list of topics."
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[
                            ("alarm", "Alarm: money may be wrong"),
                            ("problem", "Problem: something waits for you"),
                            ("notice", "Notice"),
                        ],
                        default="problem",
                        help_text="Findings of this severity, and of worse ones.",
                        max_length=10,
                    ),
                ),
                ("active", models.BooleanField(default=True, help_text="Off: nothing is mailed by it.")),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.TextField(null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical mail rule",
                "verbose_name_plural": "historical mail rules",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "due_at",
                    models.DateTimeField(
                        blank=True, help_text="When work on this row may begin; empty = nothing to do.", null=True
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, help_text="How often work on this row has begun.")),
                (
                    "deaths",
                    models.PositiveIntegerField(
                        default=0, editable=False, help_text="How many workers in a row were lost while they held it."
                    ),
                ),
                (
                    "lease",
                    models.UUIDField(
                        blank=True, editable=False, help_text="Token of whoever works on the row now.", null=True
                    ),
                ),
                (
                    "lease_until",
                    models.DateTimeField(blank=True, editable=False, help_text="When that claim ends.", null=True),
                ),
                (
                    "leased_by",
                    models.CharField(
                        blank=True, default="", editable=False, help_text="Worker that claimed it.", max_length=120
                    ),
                ),
                (
                    "serial_key",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="At most one row of a key runs at a time; empty = no limit.",
                        max_length=120,
                    ),
                ),
                ("last_error", models.TextField(blank=True, default="", help_text="What went wrong last, in words.")),
                (
                    "about",
                    models.CharField(
                        choices=[("opened", "Opened"), ("closed", "Closed"), ("test", "Test")], max_length=10
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        blank=True, default="", help_text="Kind of the findings; empty for a test.", max_length=60
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waits to be sent"),
                            ("sending", "Being sent"),
                            ("sent", "Sent"),
                            ("dropped", "Not needed any more"),
                            ("failed", "Not sent"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "token",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        help_text="Names the mail for mail servers, the same however often it goes.",
                    ),
                ),
                ("created_at", models.DateTimeField()),
                (
                    "written_at",
                    models.DateTimeField(
                        blank=True, help_text="When its text was fixed: from then on somebody may have it.", null=True
                    ),
                ),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("findings", models.PositiveIntegerField(default=0, help_text="How many findings it is about.")),
                ("subject", models.CharField(blank=True, default="", max_length=200)),
                ("body", models.TextField(blank=True, default="")),
                ("recipients", models.JSONField(default=list, help_text="To whom it was written.")),
                ("reached", models.JSONField(default=list, help_text="For whom the mail server took it.")),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mails",
                        to="integration_project.mailrule",
                    ),
                ),
            ],
            options={
                "verbose_name": "mail",
            },
        ),
        migrations.CreateModel(
            name="MailedFinding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("known", "Was open before the rule asked for it: not mailed"),
                            ("opening", "That it opened waits to be mailed"),
                            ("open", "That it opened was mailed"),
                            ("closing", "That it closed waits to be mailed"),
                            ("done", "Nothing more is to be mailed"),
                            ("unsent", "Could not be mailed"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "finding",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mailings",
                        to="integration_project.finding",
                    ),
                ),
                (
                    "mail",
                    models.ForeignKey(
                        blank=True,
                        help_text="The last one.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="about_findings",
                        to="integration_project.mail",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="told",
                        to="integration_project.mailrule",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["rule", "state"], name="mailed_finding_by_state")],
                "constraints": [
                    models.UniqueConstraint(fields=("rule", "finding"), name="mailed_finding_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("known", "opening", "open", "closing", "done", "unsent"))),
                        name="mailed_finding_state_known",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="mail",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["state", "due_at"], name="mail_due"
            ),
        ),
        migrations.AddIndex(
            model_name="mail",
            index=models.Index(
                condition=models.Q(("lease__isnull", False)), fields=["lease_until"], name="mail_leased"
            ),
        ),
        migrations.AddConstraint(
            model_name="mail",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("waiting", "sending"))),
                fields=("rule", "kind", "about"),
                name="mail_one_on_its_way",
            ),
        ),
        migrations.AddConstraint(
            model_name="mail",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("waiting", "sending", "sent", "dropped", "failed"))),
                name="mail_state_known",
            ),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
