"""Migrations 0003 to 0007 on a database that has charged already."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone


@pytest.mark.django_db(transaction=True)
def test_the_tables_move_on_with_what_is_in_them() -> None:
    executor = MigrationExecutor(connection)
    latest = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "billing_bridge"]
    executor.migrate([("billing_bridge", "0002_default_policy"), ("integration_project", "0005_mail_rules")])
    apps = MigrationExecutor(connection).loader.project_state([("billing_bridge", "0002_default_policy")]).apps
    get = lambda name: apps.get_model("billing_bridge", name)  # noqa: E731
    now = timezone.now()
    get("PushPolicy").objects.all().delete()
    get("PushPolicy").objects.create(automatic=True)
    bill = get("PushedBill").objects.create(
        m3ter_bill_id="b",
        m3ter_account_id="a",
        currency="USD",
        state="pushed",
        first_seen_at=now,
        updated_at=now,
        payable=100,
        pushed=100,
    )
    revision = get("BillRevision").objects.create(
        bill=bill,
        content_hash="h",
        number=1,
        m3ter_version=1,
        currency="USD",
        total="1",
        payable=100,
        lines=[],
        first_seen_at=now,
    )
    push = get("Push").objects.create(
        push_id="b-1",
        bill=bill,
        revision=revision,
        ordinal=1,
        mode="next_billing_period",
        paddle_subscription_id="s",
        currency="USD",
        amount=100,
        state="pushed",
        created_at=now,
    )
    get("BillEntry").objects.create(bill=bill, push=push, kind="pushed", amount=100, at=now)
    executor = MigrationExecutor(connection)
    executor.migrate(
        [*latest, *[node for node in executor.loader.graph.leaf_nodes() if node[0] == "integration_project"]]
    )
    from billing_bridge.models import BillEntry, Push, PushPolicy

    assert PushPolicy.objects.get().review == "never"
    assert (BillEntry.objects.get().amount, Push.objects.get().refunded) == (100, 0)
