"""A subscription in the simulated Paddle, its account in the simulated m3ter, and an approved bill between them."""

from collections.abc import Callable

import pytest
from pytest_django import Settings

from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import LIVE_SINCE, World


@pytest.fixture
def live(installation: Installation) -> Installation:
    """Charging has begun, and everything it depends on has been looked up."""
    installation.charge_from = LIVE_SINCE
    installation.save(update_fields=["charge_from"])
    return installation


@pytest.fixture
def world(
    live: Installation, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, settings: Settings
) -> World:
    """One subscription that renews in five days, linked to an account, and no bill yet."""
    settings.PADDLE_CALLS_PER_MINUTE = settings.M3TER_CALLS_PER_SECOND = 100_000  # budgets have tests of their own
    return World.begun(paddle, m3ter, vendors)


@pytest.fixture
def classic_world(
    live: Installation,
    classic: ClassicSimulator,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    settings: Settings,
) -> ClassicWorld:
    """One subscription of Paddle Classic that is paid again in some days, linked to an account, and no bill yet."""
    settings.PADDLE_CALLS_PER_MINUTE = settings.M3TER_CALLS_PER_SECOND = 100_000  # budgets have tests of their own
    settings.PADDLE_CLASSIC_CALLS_PER_MINUTE = 100_000
    classic.rate_limit.limit = None
    return ClassicWorld.begun_in(classic, paddle, m3ter, vendors)


@pytest.fixture
def tell(deliver: Callable[[], int], run_jobs: Callable[[], int]) -> Callable[[], None]:
    """Paddle tells, and its events are worked on."""

    def both() -> None:
        deliver()
        run_jobs()

    return both
