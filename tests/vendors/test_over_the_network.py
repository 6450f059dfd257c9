"""The clients over real sockets: pooled connections, and the faults only a network has."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration_project import errors
from integration_project.vendors import Vendors, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.simulation import BusinessClock, serve
from tests.vendors.m3ter import client_stage as m3ter_stage
from tests.vendors.paddle.stage import EMAIL, START, charge


class Network:
    """Both simulated vendors, each on a port of its own."""

    def __init__(self, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors) -> None:
        self.paddle = paddle
        self.m3ter = m3ter
        self.vendors = vendors


@pytest.fixture
def network() -> Iterator[Network]:
    paddle, m3ter = PaddleSimulator(clock=BusinessClock(START)), M3terSimulator(clock=BusinessClock(START))
    with serve(paddle) as paddle_server, serve(m3ter) as m3ter_server:
        config = replace(
            m3ter_stage.settings(),
            paddle_api_key=sample.API_KEY,
            paddle_api_url=paddle_server.url,
            m3ter_api_url=m3ter_server.url,
            m3ter_ingest_url=m3ter_server.url,
        )
        yield Network(paddle, m3ter, connect(config, gate_for=lambda vendor: OpenGate()))


def subscribe(network: Network) -> str:
    made = network.paddle.complete_checkout(email=EMAIL, items=[{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}])
    return str(made["subscription_id"])


def test_both_vendors_are_called_over_the_network(network: Network) -> None:
    subscription_id = subscribe(network)

    account, made = network.vendors.m3ter.ensure_account(m3ter_stage.new_account(subscription_id))
    network.vendors.paddle.charge_subscription(subscription_id, charge())

    assert (account.code, made) == (subscription_id, True)
    assert len(network.paddle.charges) == 1


@pytest.mark.parametrize("fault", ["lose_answer", "truncated", "error_after", "html", "redirect"])
def test_a_charge_without_a_good_answer_is_open_and_then_found(network: Network, fault: str) -> None:
    subscription_id = subscribe(network)
    network.paddle.fault("charge subscription", fault)
    push_id = "bill-1"

    with pytest.raises(errors.OutcomeUnknown):
        network.vendors.paddle.charge_subscription(subscription_id, charge(push_id=push_id))

    found = network.vendors.paddle.find_charge(push_id, subscription_id=subscription_id, since=START)
    assert (found is not None) == (len(network.paddle.charges) == 1)
    assert [call.operation for call in network.paddle.calls].count("charge subscription") == 1


def test_a_huge_answer_is_cut_off_and_the_next_call_is_fine(network: Network) -> None:
    subscription_id = subscribe(network)
    network.paddle.fault("get subscription", "huge", size=30 * 1024 * 1024)

    with pytest.raises(errors.Temporary, match="larger than"):
        network.vendors.paddle.get_subscription(subscription_id)

    assert network.vendors.paddle.get_subscription(subscription_id).id == subscription_id


def test_threads_share_one_token(network: Network) -> None:
    barrier = threading.Barrier(4)
    found: list[str] = []

    def ask() -> None:
        barrier.wait()
        found.append(network.vendors.m3ter.get_organization_config().timezone)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["UTC"] * 4
    assert [call.operation for call in network.m3ter.calls].count("get token") == 1
