"""What others gave back of a charge stands beside all that was given back."""

from collections import defaultdict
from typing import Any

from django.db import migrations, models

CLASSIC = "classic_"


def tell_apart(apps: Any, schema_editor: Any) -> None:
    """Until Paddle tells more of a transaction, ours are the refunds that were made on it, each counted once.

    Paddle Classic's refunds are never ours.
    """
    pushes = apps.get_model("billing_bridge", "Push").objects
    given = pushes.filter(refunded__gt=0).exclude(kind="refund")
    ours: defaultdict[str, list[list[int]]] = defaultdict(list)
    made = pushes.filter(mode="refund", payment="refunded").exclude(paddle_transaction_id="")
    for on, bill_id, amount in made.values_list("paddle_transaction_id", "bill_id", "amount"):
        ours[on].append([bill_id, amount])
    for own_bill in (True, False):
        for push in given.exclude(mode__startswith=CLASSIC).order_by("pk").iterator():
            left = push.refunded if own_bill else push.given_by_others
            for entry in ours[push.paddle_transaction_id]:
                if (entry[0] == push.bill_id) is own_bill:
                    taken = min(left, entry[1])
                    left, entry[1] = left - taken, entry[1] - taken
            pushes.filter(pk=push.pk).update(given_by_others=left)
    given.filter(mode__startswith=CLASSIC).update(given_by_others=models.F("refunded"))


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
