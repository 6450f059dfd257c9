"""What was attached before decisions were written down counts as decided: later changes of mappings leave it alone."""

from typing import Any

from django.db import migrations


def write_down(apps: Any, schema_editor: Any) -> None:
    """Make a decision of each price that a plan was attached for."""
    plans = apps.get_model("paddle_sync", "AccountPlanLink").objects.select_related("link").order_by("starts_at", "pk")
    decisions = apps.get_model("paddle_sync", "PlanDecision")
    for plan in plans.iterator():
        for price_id in plan.paddle_price_ids:
            decisions.objects.get_or_create(
                paddle_subscription_id=plan.link.paddle_subscription_id,
                paddle_price_id=price_id,
                decided_at=plan.starts_at,
                defaults={
                    "link_id": plan.link_id,
                    "target": "plan_group" if plan.m3ter_plan_group_id else "plan",
                    "m3ter_plan_id": plan.m3ter_plan_id,
                    "m3ter_plan_group_id": plan.m3ter_plan_group_id,
                    "m3ter_product_id": plan.m3ter_product_id,
                    "metering_starts": "creation",
                    "quantity_use": "ignored",
                },
            )


class Migration(migrations.Migration):
    dependencies = [("paddle_sync", "0006_bulk_runs")]

    operations = [migrations.RunPython(write_down, migrations.RunPython.noop)]
