"""A fresh simulated Classic, and our client over it."""

import pytest

from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.simulation import BusinessClock
from tests.vendors.paddle_classic.opening import NOW, connected


@pytest.fixture
def simulator() -> ClassicSimulator:
    return ClassicSimulator(clock=BusinessClock(NOW))


@pytest.fixture
def client(simulator: ClassicSimulator) -> ClassicClient:
    classic = connected(simulator).classic
    assert classic is not None
    return classic


@pytest.fixture
def subscription_id(simulator: ClassicSimulator) -> str:
    made: str = simulator.subscribe(email="kai@customer.example")["subscription_id"]
    return made
