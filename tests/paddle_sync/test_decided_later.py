"""A mapping that is removed or changed when subscriptions follow it already: they go on, and a person is told."""

from collections.abc import Callable

import pytest
from django.test import Client

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink, PlanMapping
from tests.builders import make_mapping, notification, post_notification, stamp, subscription
from tests.paddle_sync.seen import CLOUD, SEATS, created, open_findings, told

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def linked(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> str:
    """A subscription of the cloud price, with its account and plan."""
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    deliver()
    run_jobs()
    return str(bought["subscription_id"])


def renew(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> None:
    paddle.clock_move(days=32)
    paddle.run_renewals()
    deliver()
    run_jobs()


def test_a_removed_mapping_changes_nothing_for_whom_it_was_followed(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    mapping = make_mapping()
    subscription_id = linked(paddle, deliver, run_jobs)
    mapping.delete()

    paddle.cancel(subscription_id, effective_from="immediately")
    deliver()
    run_jobs()

    assert AccountLink.objects.get().paddle_status == "canceled"
    assert open_findings() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"m3ter_plan_id": m3ter_sample.PLAN_SEATS, "m3ter_product_id": m3ter_sample.PRODUCT_SEATS},
        {"m3ter_plan_id": m3ter_sample.PLAN_BULK},
        {"target": PlanMapping.Target.NOT_METERED, "m3ter_plan_id": "", "m3ter_product_id": ""},
    ],
    ids=["another product", "another plan of the product", "not metered"],
)
def test_a_changed_mapping_attaches_nothing_by_itself_and_is_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, changes: dict[str, str]
) -> None:
    mapping = make_mapping()
    linked(paddle, deliver, run_jobs)
    PlanMapping.objects.filter(pk=mapping.pk).update(**changes)

    renew(paddle, deliver, run_jobs)
    differing = open_findings()
    PlanMapping.objects.filter(pk=mapping.pk).update(
        target=PlanMapping.Target.PLAN,
        m3ter_plan_id=m3ter_sample.PLAN_SCALE,
        m3ter_product_id=m3ter_sample.PRODUCT_CLOUD,
    )
    renew(paddle, deliver, run_jobs)

    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]
    assert differing == [("mapped otherwise", paddle_sample.PRICE_CLOUD_EUR)]
    assert open_findings() == []


def test_an_item_that_was_not_metered_and_is_now_mapped_to_another_plan_of_the_product_is_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    seats = make_mapping(paddle_sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, SEATS])
    deliver()
    run_jobs()
    PlanMapping.objects.filter(pk=seats.pk).update(
        target="plan", m3ter_plan_id=m3ter_sample.PLAN_BULK, m3ter_product_id=m3ter_sample.PRODUCT_CLOUD
    )

    renew(paddle, deliver, run_jobs)

    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]
    assert open_findings() == [("mapped otherwise", paddle_sample.PRICE_SEATS_EUR)]


def test_an_event_that_waits_for_a_mapping_brings_the_link_up_to_date_first(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    seats = make_mapping(paddle_sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, SEATS])
    deliver()
    run_jobs()
    seats.delete()

    paddle.cancel(bought["subscription_id"], effective_from="immediately")
    deliver()
    run_jobs()

    assert AccountLink.objects.get().paddle_status == "canceled"
    assert open_findings() == []


@pytest.mark.parametrize("first", ["subscription.created", "subscription.updated"])
def test_what_is_told_while_a_mapping_is_missing_does_not_depend_on_the_order(
    client: Client, m3ter: M3terSimulator, run_jobs: Run, first: str
) -> None:
    data = subscription()
    began = stamp(clock.now())
    envelopes = {
        "subscription.created": notification("subscription.created", data, occurred_at=began),
        "subscription.updated": notification("subscription.updated", data),
    }
    for event_type in sorted(envelopes, key=lambda name: name != first):
        post_notification(client, envelopes[event_type])
        run_jobs()

    assert created().state == "parked"
    assert told() == []
