"""What others gave back of a charge stands beside all that was given back."""

from typing import Any

from django.db import migrations, models
from django.db.models import Sum


def tell_apart(apps: Any, schema_editor: Any) -> None:
    """Until Paddle tells more of a transaction, ours are the refunds that were made on it."""
    pushes = apps.get_model("billing_bridge", "Push").objects
    for push in pushes.filter(refunded__gt=0).exclude(kind="refund").iterator():
        on_it = pushes.filter(kind="refund", payment="refunded", paddle_transaction_id=push.paddle_transaction_id)
        ours = on_it.exclude(paddle_transaction_id="").aggregate(sum=Sum("amount"))["sum"] or 0
        pushes.filter(pk=push.pk).update(given_by_others=max(push.refunded - ours, 0))


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0015_tax_mode_of_products"),
    ]

    operations = [
        migrations.AddField(
            model_name="push",
            name="given_by_others",
            field=models.BigIntegerField(
                default=0, help_text="What of that no refund of ours gave back; in minor units."
            ),
        ),
        migrations.AddField(
            model_name="push",
            name="others_ask_for",
            field=models.BigIntegerField(
                default=0,
                help_text="What somebody else asked Paddle to give back, and Paddle has not decided; in minor units.",
            ),
        ),
        migrations.RunPython(tell_apart, migrations.RunPython.noop, elidable=True),
    ]
