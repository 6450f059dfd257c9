import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0002_default_policy"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoricalProductRule",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                (
                    "accounting_product",
                    models.CharField(
                        db_index=True,
                        help_text="Its id or its name in m3ter, exactly as bills carry it.",
                        max_length=200,
                    ),
                ),
                (
                    "paddle_product_id",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="A product of Paddle's catalogue; empty: one is named after the accounting product.",
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^pro_[a-z0-9]{1,60}$", "A Paddle product's id begins with pro_."
                            )
                        ],
                    ),
                ),
                (
                    "tax_category",
                    models.CharField(
                        help_text="Its Paddle tax category: of the product named above, the one that it has in Paddle.",
                        max_length=40,
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.TextField(null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
            ],
            options={
                "verbose_name": "historical product rule",
                "verbose_name_plural": "historical product rules",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="PaddleCurrency",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=3, unique=True)),
                ("decimal_places", models.PositiveSmallIntegerField()),
                ("minimum", models.BigIntegerField(help_text="The least Paddle charges, in minor units.")),
                ("read_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "Paddle currencies",
            },
        ),
        migrations.CreateModel(
            name="ProductRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "accounting_product",
                    models.CharField(
                        help_text="Its id or its name in m3ter, exactly as bills carry it.", max_length=200, unique=True
                    ),
                ),
                (
                    "paddle_product_id",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="A product of Paddle's catalogue; empty: one is named after the accounting product.",
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^pro_[a-z0-9]{1,60}$", "A Paddle product's id begins with pro_."
                            )
                        ],
                    ),
                ),
                (
                    "tax_category",
                    models.CharField(
                        help_text="Its Paddle tax category: of the product named above, the one that it has in Paddle.",
                        max_length=40,
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="billentry",
            name="entry_amount_positive",
        ),
        migrations.AddField(
            model_name="billentry",
            name="carried",
            field=models.ForeignKey(
                blank=True,
                help_text="What of the carried balance it made, or took.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="billing_bridge.carriedentry",
            ),
        ),
        migrations.AddField(
            model_name="carriedentry",
            name="tax_category",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Paddle tax category of what it is for; empty where it is for several.",
                max_length=40,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="allowed_accounts",
            field=models.TextField(
                blank=True, default="", help_text="m3ter account codes or ids; empty: every account."
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="changed",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("settle", "Charge or carry the difference")],
                default="hold",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="differs_percent",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Hold a bill that differs by more from the account's last one; empty: never for that reason.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="ending",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("immediately", "Charge it at once")], default="hold", max_length=15
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="excluded_accounts",
            field=models.TextField(blank=True, default="", help_text="m3ter account codes or ids."),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="far",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("immediately", "Charge it at once")], default="hold", max_length=15
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="grouping",
            field=models.CharField(
                choices=[
                    ("line", "One item per line of the bill"),
                    ("product", "One item per product"),
                    ("bill", "One item for the whole bill"),
                ],
                default="line",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="late",
            field=models.CharField(
                choices=[("wait", "Wait for the renewal after that"), ("immediately", "Charge it at once")],
                default="wait",
                max_length=15,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="negative",
            field=models.CharField(
                choices=[("carry", "Carry it to the next bill"), ("hold", "Hold the bill")],
                default="carry",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="on_payment_failure",
            field=models.CharField(
                choices=[
                    ("prevent_change", "Nothing is billed"),
                    ("apply_change", "It stays billed, and the subscription is past due"),
                ],
                default="prevent_change",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="review",
            field=models.CharField(
                choices=[
                    ("always", "Finance approves every bill"),
                    ("above", "Finance approves bills above an amount"),
                    ("never", "No review: bills are charged as m3ter approved them"),
                ],
                default="always",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="review_above",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="In the bill's own currency, whichever that is.",
                max_digits=14,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="small",
            field=models.CharField(
                choices=[("carry", "Carry it to the next bill"), ("hold", "Hold the bill")],
                default="carry",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="push",
            name="carried",
            field=models.BigIntegerField(
                default=0, help_text="The part of the amount that comes from the carried balance; below zero, a credit."
            ),
        ),
        migrations.AddField(
            model_name="pushedbill",
            name="chosen_mode",
            field=models.CharField(
                blank=True,
                default="",
                help_text="How a person wants it settled, whatever the policy says; empty: by the policy.",
                max_length=30,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="allowed_accounts",
            field=models.TextField(
                blank=True, default="", help_text="m3ter account codes or ids; empty: every account."
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="changed",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("settle", "Charge or carry the difference")],
                default="hold",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="differs_percent",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Hold a bill that differs by more from the account's last one; empty: never for that reason.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="ending",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("immediately", "Charge it at once")], default="hold", max_length=15
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="excluded_accounts",
            field=models.TextField(blank=True, default="", help_text="m3ter account codes or ids."),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="far",
            field=models.CharField(
                choices=[("hold", "Hold the bill"), ("immediately", "Charge it at once")], default="hold", max_length=15
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="grouping",
            field=models.CharField(
                choices=[
                    ("line", "One item per line of the bill"),
                    ("product", "One item per product"),
                    ("bill", "One item for the whole bill"),
                ],
                default="line",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="late",
            field=models.CharField(
                choices=[("wait", "Wait for the renewal after that"), ("immediately", "Charge it at once")],
                default="wait",
                max_length=15,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="negative",
            field=models.CharField(
                choices=[("carry", "Carry it to the next bill"), ("hold", "Hold the bill")],
                default="carry",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="on_payment_failure",
            field=models.CharField(
                choices=[
                    ("prevent_change", "Nothing is billed"),
                    ("apply_change", "It stays billed, and the subscription is past due"),
                ],
                default="prevent_change",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="review",
            field=models.CharField(
                choices=[
                    ("always", "Finance approves every bill"),
                    ("above", "Finance approves bills above an amount"),
                    ("never", "No review: bills are charged as m3ter approved them"),
                ],
                default="always",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="review_above",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="In the bill's own currency, whichever that is.",
                max_digits=14,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="small",
            field=models.CharField(
                choices=[("carry", "Carry it to the next bill"), ("hold", "Hold the bill")],
                default="carry",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="historicalpushpolicy",
            name="mode",
            field=models.CharField(
                choices=[
                    ("next_billing_period", "With the next renewal"),
                    ("immediately", "At once, with the stored payment method"),
                ],
                default="next_billing_period",
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="pushedbill",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "-"),
                    ("review", "review: Finance approves every bill"),
                    ("mapping", "no live link to a Paddle subscription"),
                    ("currency", "currency differs or is unknown to Paddle"),
                    ("negative", "credits that a person must decide about"),
                    ("below minimum", "below Paddle's minimum charge"),
                    ("changed", "changed in m3ter after it was pushed"),
                    ("mismatch", "lines do not add up to the total"),
                    ("period open", "its period has not ended"),
                    ("renewal too far", "the renewal is too far away"),
                    ("locked elsewhere", "already locked in m3ter when first seen"),
                    ("cancelled", "the subscription is cancelled"),
                    ("configuration", "a setting or permission is missing"),
                    ("deleted", "deleted in m3ter"),
                    ("operator", "held by a person"),
                    ("not live", "no go-live date is set"),
                    ("before go-live", "its period ended before the go-live date"),
                    ("zero", "nothing to charge"),
                    ("renewal lock", "Paddle is about to renew the subscription"),
                    ("past due", "the subscription is past due"),
                    ("paused", "the subscription is paused"),
                    ("trial", "the subscription is in trial"),
                    ("another push", "another bill is being charged on this subscription"),
                    ("pending", "m3ter is calculating it again"),
                    ("mode", "this way of charging needs a person"),
                    ("collected", "taken for lost, and in Paddle after all"),
                    ("sent elsewhere", "sent to a subscription that the account has left"),
                    ("workers lost", "workers were lost while they charged it"),
                    ("excluded", "the push policy leaves its account out"),
                    ("differs", "differs much from the account's last bill"),
                    ("refund", "no payment of it can be refunded now"),
                ],
                default="",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="pushpolicy",
            name="mode",
            field=models.CharField(
                choices=[
                    ("next_billing_period", "With the next renewal"),
                    ("immediately", "At once, with the stored payment method"),
                ],
                default="next_billing_period",
                max_length=30,
            ),
        ),
        migrations.AddConstraint(
            model_name="billentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    models.Q(
                        ("kind__in", ("credited", "carried_out", "carried_in", "written_off")),
                        models.Q(("amount", 0), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="entry_amount_signed",
            ),
        ),
        migrations.AddConstraint(
            model_name="carriedentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("remaining__gte", 0), ("remaining__lte", models.F("amount"))),
                    models.Q(("amount__lt", 0), ("remaining__gte", models.F("amount")), ("remaining__lte", 0)),
                    _connector="OR",
                ),
                name="carried_remains_of_amount",
            ),
        ),
        migrations.AddField(
            model_name="historicalproductrule",
            name="history_user",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
    ]
