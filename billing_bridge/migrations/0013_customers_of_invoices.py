from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0012_reasons_of_limits_and_classic"),
    ]

    operations = [
        migrations.AddField(
            model_name="push",
            name="paddle_customer_id",
            field=models.CharField(
                blank=True, default="", help_text="Of an invoice: whom it was made out to.", max_length=64
            ),
        ),
    ]
