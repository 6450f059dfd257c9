from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing_bridge", "0004_answer_of_review")]

    operations = [
        migrations.RemoveField(
            model_name="historicalpushpolicy",
            name="automatic",
        ),
        migrations.RemoveField(
            model_name="pushpolicy",
            name="automatic",
        ),
    ]
