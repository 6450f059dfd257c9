"""Both of Paddle's products and m3ter on loopback ports, and processes that call them and may be killed.

The vendors live in the test's own process, so what they saw can be looked at. They send nothing by themselves.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pytest_django import Settings

from integration_project import clock, installation
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from integration_project.vendors.simulation import serve
from tests.billing_bridge.world import LIVE_SINCE
from tests.kill.mortal import Mortals, mortals


@pytest.fixture
def paddle() -> PaddleSimulator:
    """A Paddle that sends nothing by itself."""
    simulator = PaddleSimulator()
    simulator.rate_limit.limit = None
    return simulator


@pytest.fixture
def m3ter() -> M3terSimulator:
    """An m3ter that sends nothing by itself."""
    simulator = M3terSimulator()
    simulator.limit_requests(None)
    return simulator


@pytest.fixture
def classic(classic: ClassicSimulator) -> ClassicSimulator:
    """A Paddle Classic that sends nothing by itself; it is off in tests without it."""
    classic.send_webhooks_to("")
    classic.rate_limit.limit = None
    return classic


@pytest.fixture(scope="session")
def program_of_mortals(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    """One program whose children are killed in all tests: starting one for each would take most of the time."""
    with mortals(tmp_path_factory.mktemp("mortals")) as processes:
        yield processes


@pytest.fixture
def workers(
    request: pytest.FixtureRequest,
    program_of_mortals: Mortals,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    settings: Settings,
) -> Iterator[Mortals]:
    """Processes that call the vendors over the network, on a database that is live."""
    with ExitStack() as stack:
        known = settings_of_vendors(stack.enter_context(serve(paddle)).url, stack.enter_context(serve(m3ter)).url)
        if "classic" in request.fixturenames:
            classic: ClassicSimulator = request.getfixturevalue("classic")
            known |= settings_of_classic(classic, stack.enter_context(serve(classic)).url)
        for name, value in known.items():
            setattr(settings, name, value)
        installation.current()
        Installation.objects.update(charge_from=LIVE_SINCE, native_integration_checked_at=clock.now())
        program_of_mortals.settings = known
        yield program_of_mortals


def settings_of_vendors(paddle_url: str, m3ter_url: str) -> dict[str, object]:
    """What calls both vendors at these addresses; no budget is in the way."""
    return {
        "PADDLE_API_URL": paddle_url,
        "PADDLE_API_KEY": paddle_sample.API_KEY,
        "PADDLE_CALLS_PER_MINUTE": 100_000,
        "M3TER_API_URL": m3ter_url,
        "M3TER_INGEST_URL": m3ter_url,
        "M3TER_ORG_ID": m3ter_sample.ORG_ID,
        "M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
        "M3TER_API_SECRET": m3ter_sample.API_SECRET,
        "M3TER_CALLS_PER_SECOND": 100_000,
    }


def settings_of_classic(classic: ClassicSimulator, url: str) -> dict[str, object]:
    """What turns Paddle Classic on, at this address."""
    return {
        "PADDLE_CLASSIC_API_URL": url,
        "PADDLE_CLASSIC_VENDOR_ID": classic_sample.VENDOR_ID,
        "PADDLE_CLASSIC_VENDOR_AUTH_CODE": classic_sample.AUTH_CODE,
        "PADDLE_CLASSIC_PUBLIC_KEY": classic.public_key(),
        "PADDLE_CLASSIC_CALLS_PER_MINUTE": 100_000,
    }
