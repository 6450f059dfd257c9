"""Bills that usage came too late for, what late usage costs, whose a failure is, and when meters were read."""

import django.core.serializers.json
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("paddle_sync", "0011_usage"),
    ]

    operations = [
        migrations.CreateModel(
            name="LateForBill",
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
                ("m3ter_bill_id", models.CharField(max_length=64, unique=True)),
                ("m3ter_account_id", models.CharField(max_length=64)),
                ("m3ter_account_code", models.CharField(max_length=80)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Later usage: to be decided"),
                            ("asked", "To be calculated again"),
                            ("done", "m3ter was asked to calculate it again"),
                            ("left", "Left as it is"),
                        ],
                        default="open",
                        max_length=5,
                    ),
                ),
                ("last_at", models.DateTimeField(help_text="When usage of its period was last accepted.")),
                ("asked_at", models.DateTimeField(blank=True, help_text="When a person decided.", null=True)),
                ("asked_by", models.CharField(blank=True, default="", max_length=150)),
                ("reason", models.TextField(blank=True, default="")),
                ("done_at", models.DateTimeField(blank=True, help_text="When m3ter was asked.", null=True)),
            ],
            options={
                "verbose_name": "approved bill with later usage",
                "verbose_name_plural": "approved bills with later usage",
                "permissions": (("recalculate_lateforbill", "Can have m3ter calculate approved bills again"),),
            },
        ),
        migrations.CreateModel(
            name="LateInBatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("m3ter_bill_id", models.CharField(db_index=True, max_length=64)),
                ("items", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="SeenMeter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("meter", models.CharField(help_text="The meter's code.", max_length=80, unique=True)),
                ("read_at", models.DateTimeField(blank=True, help_text="When all of it was last read.", null=True)),
                ("asked_at", models.DateTimeField(blank=True, help_text="When a person last asked for it.", null=True)),
                (
                    "error",
                    models.TextField(blank=True, default="", help_text="Why it could not be read the last time."),
                ),
            ],
        ),
        migrations.AlterModelOptions(
            name="usageday",
            options={
                "permissions": (("refresh_usageday", "Can have m3ter's usage read again"),),
                "verbose_name": "usage of a day",
                "verbose_name_plural": "usage of days",
            },
        ),
        migrations.AlterModelOptions(
            name="usagefailure",
            options={
                "permissions": (("close_usagefailure", "Can close usage failures"),),
                "verbose_name": "usage failure",
            },
        ),
        migrations.AddField(
            model_name="lateusage",
            name="attempts",
            field=models.PositiveIntegerField(default=0, help_text="How often work on this row has begun."),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="deaths",
            field=models.PositiveIntegerField(
                default=0, editable=False, help_text="How many workers in a row were lost while they held it."
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="due_at",
            field=models.DateTimeField(
                blank=True, help_text="When work on this row may begin; empty = nothing to do.", null=True
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="exact",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The amount in the currency's own units, as m3ter is told.",
                max_length=40,
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="last_error",
            field=models.TextField(blank=True, default="", help_text="What went wrong last, in words."),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="lease",
            field=models.UUIDField(
                blank=True, editable=False, help_text="Token of whoever works on the row now.", null=True
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="lease_until",
            field=models.DateTimeField(blank=True, editable=False, help_text="When that claim ends.", null=True),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="leased_by",
            field=models.CharField(
                blank=True, default="", editable=False, help_text="Worker that claimed it.", max_length=120
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="serial_key",
            field=models.CharField(
                blank=True,
                default="",
                help_text="At most one row of a key runs at a time; empty = no limit.",
                max_length=120,
            ),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="unit_price",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AddField(
            model_name="lateusage",
            name="units",
            field=models.CharField(
                blank=True, default="", help_text="How many were priced, if by the unit.", max_length=40
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="problem",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "-"),
                    ("no_plan", "No plan of the account covers it"),
                    ("no_account", "No subscription has this account"),
                ],
                default="",
                help_text="Why nothing would bill it.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="usagefailure",
            name="api_key_prefix",
            field=models.CharField(blank=True, default="", help_text="The key it came with.", max_length=24),
        ),
        migrations.AddField(
            model_name="usagefailure",
            name="client",
            field=models.CharField(blank=True, default="", help_text="Client of the API that sent it.", max_length=150),
        ),
        migrations.AddField(
            model_name="usagefailure",
            name="close_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="usagefailure",
            name="due_at",
            field=models.DateTimeField(blank=True, help_text="When its details are to be read from m3ter.", null=True),
        ),
        migrations.AddField(
            model_name="usagefailure",
            name="whose",
            field=models.CharField(
                choices=[
                    ("ours", "Sent from here"),
                    ("elsewhere", "Like ours, and unknown here: another copy of this database"),
                    ("others", "Somebody else's measurement"),
                    ("unknown", "Cannot be told"),
                ],
                default="ours",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="usagefailure",
            name="measurement",
            field=models.JSONField(
                blank=True,
                encoder=django.core.serializers.json.DjangoJSONEncoder,
                help_text="As it was sent.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="usagefailure",
            name="state",
            field=models.CharField(
                choices=[
                    ("new", "Details still to be read from m3ter"),
                    ("open", "To be looked at"),
                    ("harmless", "Nothing to do"),
                    ("closed", "Closed by a person"),
                ],
                default="new",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="lateusage",
            index=models.Index(fields=["m3ter_account_id", "-id"], name="late_usage_by_account"),
        ),
        migrations.AddIndex(
            model_name="lateusage",
            index=models.Index(condition=models.Q(("state", "asked")), fields=["due_at", "id"], name="late_usage_due"),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(fields=["meter", "day"], name="usage_day_by_meter"),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(
                condition=models.Q(("problem", ""), _negated=True), fields=["problem", "day"], name="usage_day_problem"
            ),
        ),
        migrations.AddIndex(
            model_name="usagefailure",
            index=models.Index(condition=models.Q(("state", "new")), fields=["due_at", "id"], name="usage_failure_due"),
        ),
        migrations.AddIndex(
            model_name="usagefailure",
            index=models.Index(
                condition=models.Q(("uid_key__isnull", False)), fields=["uid_key"], name="usage_failure_by_uid"
            ),
        ),
        migrations.AddIndex(
            model_name="lateforbill",
            index=models.Index(fields=["state", "-id"], name="late_for_bill_by_state"),
        ),
        migrations.AddIndex(
            model_name="lateforbill",
            index=models.Index(fields=["m3ter_account_id"], name="late_for_bill_by_account"),
        ),
        migrations.AddIndex(
            model_name="lateforbill",
            index=models.Index(
                condition=models.Q(("state", "asked")), fields=["due_at", "id"], name="late_for_bill_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="lateforbill",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("open", "asked", "done", "left"))), name="late_for_bill_state_known"
            ),
        ),
        migrations.AddField(
            model_name="lateinbatch",
            name="batch",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="late_for", to="paddle_sync.usagebatch"
            ),
        ),
        migrations.AddConstraint(
            model_name="lateinbatch",
            constraint=models.UniqueConstraint(fields=("batch", "m3ter_bill_id"), name="late_in_batch_once"),
        ),
    ]
