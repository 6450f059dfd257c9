from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0007_reconciliation"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["reason", "-id"], name="bill_by_reason"),
        ),
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["payment", "-id"], name="bill_by_payment"),
        ),
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["currency", "-id"], name="bill_by_currency"),
        ),
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["renews_at"], name="bill_by_renewal"),
        ),
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["first_seen_at"], name="bill_by_age"),
        ),
        migrations.AddIndex(
            model_name="pushedbill",
            index=models.Index(fields=["m3ter_account_code"], name="bill_by_account_code"),
        ),
    ]
