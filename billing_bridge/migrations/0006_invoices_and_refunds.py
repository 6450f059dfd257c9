import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0005_review_replaces_automatic"),
    ]

    operations = [
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="issue_invoices",
            field=models.BooleanField(
                default=True, help_text="Off: invoices are drafts in Paddle, which a person issues there."
            ),
        ),
        migrations.AddField(
            model_name="historicalpushpolicy",
            name="payment_days",
            field=models.PositiveSmallIntegerField(
                default=14,
                help_text="Payment terms of invoices.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(365)],
            ),
        ),
        migrations.AddField(
            model_name="push",
            name="discounted",
            field=models.BigIntegerField(
                default=0, help_text="What a discount of the subscription took off it, in minor units."
            ),
        ),
        migrations.AddField(
            model_name="push",
            name="paddle_adjustment_id",
            field=models.CharField(
                blank=True, default="", help_text="Of a refund: the adjustment that Paddle made of it.", max_length=64
            ),
        ),
        migrations.AddField(
            model_name="push",
            name="refunded",
            field=models.BigIntegerField(
                default=0, help_text="Given back of what was collected, whoever asked for it; in minor units."
            ),
        ),
        migrations.AddField(
            model_name="pushedbill",
            name="purchase_order_number",
            field=models.CharField(
                blank=True, default="", help_text="The account's, as the bill carries it; for invoices.", max_length=100
            ),
        ),
        migrations.AddField(
            model_name="pushedbill",
            name="refunded",
            field=models.BigIntegerField(
                default=0,
                help_text="Given back by Paddle of that, by refunds, credits and chargebacks; in minor units.",
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="issue_invoices",
            field=models.BooleanField(
                default=True, help_text="Off: invoices are drafts in Paddle, which a person issues there."
            ),
        ),
        migrations.AddField(
            model_name="pushpolicy",
            name="payment_days",
            field=models.PositiveSmallIntegerField(
                default=14,
                help_text="Payment terms of invoices.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(365)],
            ),
        ),
        migrations.AlterField(
            model_name="historicalpushpolicy",
            name="mode",
            field=models.CharField(
                choices=[
                    ("next_billing_period", "With the next renewal"),
                    ("immediately", "At once, with the stored payment method"),
                    ("invoice", "By an invoice of its own"),
                ],
                default="next_billing_period",
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="pushpolicy",
            name="mode",
            field=models.CharField(
                choices=[
                    ("next_billing_period", "With the next renewal"),
                    ("immediately", "At once, with the stored payment method"),
                    ("invoice", "By an invoice of its own"),
                ],
                default="next_billing_period",
                max_length=30,
            ),
        ),
    ]
