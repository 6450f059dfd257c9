"""Vendor calls per new subscription and per pushed bill, counted at the vendors."""

from collections.abc import Callable

import pytest

from billing_bridge.models import PushedBill
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink
from tests.benchmarks import report
from tests.billing_bridge.conftest import live, world
from tests.billing_bridge.world import World, fresh
from tests.builders import make_mapping

pytestmark = pytest.mark.django_db
__all__ = ["live", "world"]


def operations(*simulators: PaddleSimulator | M3terSimulator) -> list[str]:
    """What the vendors were asked; a token is fetched once an hour, not once a subscription."""
    return [
        f"{simulator.vendor} {call.operation}"
        for simulator in simulators
        for call in simulator.calls
        if call.operation != "get token"
    ]


def test_calls_per_new_subscription(
    installation: Installation,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    deliver: Callable[[], int],
    run_jobs: Callable[[], int],
) -> None:
    make_mapping()
    paddle.complete_checkout(
        email="buyer@example.com", items=[{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]
    )
    before = len(operations(paddle, m3ter))

    deliver()
    run_jobs()

    assert AccountLink.objects.count() == 1
    calls = operations(paddle, m3ter)[before:]
    report.at_most(
        "vendor calls per new one-item subscription", len(calls), aim=4, unit="calls", detail=", ".join(calls)
    )
    assert len(calls) <= 4


def test_paddle_calls_per_pushed_bill(world: World) -> None:
    world.pushed()  # once an hour it is also looked whether the key may still read histories
    _, world.account_id = world.subscribe(email="another@example.com")
    bill = world.approved()
    before = len(operations(world.paddle))

    world.work()

    assert fresh(bill).state == PushedBill.State.PUSHED
    calls = operations(world.paddle)[before:]
    report.at_most("Paddle calls per pushed bill", len(calls), aim=2, unit="calls", detail=", ".join(calls))
    assert len(calls) <= 2
