from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_bridge", "0011_renewals_of_known_bills"),
    ]

    operations = [
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
                    ("charge limit", "Paddle takes no more immediate charges on the subscription for some time"),
                    ("pending", "m3ter is calculating it again"),
                    ("mode", "this way of charging needs a person"),
                    ("collected", "taken for lost, and in Paddle after all"),
                    ("sent elsewhere", "sent to a subscription that the account has left"),
                    ("workers lost", "workers were lost while they charged it"),
                    ("excluded", "the push policy leaves its account out"),
                    ("differs", "differs much from the account's last bill"),
                    ("refund", "no payment of it can be refunded now"),
                    ("cannot tell", "whether it was charged, Paddle does not say"),
                ],
                default="",
                max_length=20,
            ),
        ),
    ]
