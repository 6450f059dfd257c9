"""How a job opens the vendors: addresses and keys from settings, calls out of the share of its purpose."""

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.connections import open_vendors
from integration_project.errors import VendorClosed
from integration_project.models import CallBudget, Circuit
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.wsgi import WsgiAdapter

pytestmark = pytest.mark.django_db


def make_adapter() -> WsgiAdapter:
    """Make the transport that the test's settings name."""
    return WsgiAdapter(PaddleSimulator())


@pytest.fixture(autouse=True)
def keys(settings: Settings) -> None:
    settings.PADDLE_API_KEY = paddle_sample.API_KEY
    settings.M3TER_ORG_ID = m3ter_sample.ORG_ID
    settings.M3TER_ACCESS_KEY_ID, settings.M3TER_API_SECRET = m3ter_sample.ACCESS_KEY_ID, m3ter_sample.API_SECRET
    settings.VENDOR_TRANSPORTS = {"paddle": f"{__name__}.make_adapter", "m3ter": WsgiAdapter(M3terSimulator())}


def test_a_call_comes_out_of_the_share_of_the_purpose(settings: Settings) -> None:
    with open_vendors("look") as vendors:
        assert vendors.paddle.list_currencies()

    tokens = dict(CallBudget.objects.filter(vendor="paddle").values_list("purpose", "tokens"))
    capacities = dict(CallBudget.objects.filter(vendor="paddle").values_list("purpose", "capacity"))
    assert tokens["look"] < capacities["look"]
    assert tokens["push"] == capacities["push"]
    assert Circuit.objects.get(vendor="paddle", operation="").last_success_at is not None


def test_a_refused_key_closes_the_way_for_the_next_job(settings: Settings) -> None:
    settings.PADDLE_API_KEY = "pdl_sdbx_apikey_of_somebody_else"
    with open_vendors() as vendors, pytest.raises(VendorClosed):
        vendors.paddle.list_currencies()

    settings.PADDLE_API_KEY = paddle_sample.API_KEY
    with open_vendors() as vendors, pytest.raises(VendorClosed, match="nobody calls it now"):
        vendors.paddle.list_currencies()


def test_measurements_come_out_of_a_budget_of_their_own_and_their_token_does_not() -> None:
    with open_vendors() as vendors:
        for _ in range(3):
            vendors.m3ter.submit_encoded([b'{"meter": "api_calls", "account": "a", "ts": "2026-02-03T10:15:00Z"}'])

    left = {(row.vendor, row.purpose): row.capacity - row.tokens for row in CallBudget.objects.all()}
    ingest = {("m3ter_ingest", "any"), ("m3ter_ingest_second", "any")}
    assert set(left) == {("m3ter", "push"), ("m3ter", "look"), ("m3ter", "import"), *ingest}
    assert left["m3ter_ingest", "any"] > 0
    assert left["m3ter", "push"] == 0


def test_a_key_that_works_again_is_seen_by_whoever_only_sends_measurements(settings: Settings) -> None:
    item = b'{"meter": "api_calls", "account": "a", "ts": "2026-02-03T10:15:00Z"}'
    settings.M3TER_API_SECRET = "wrong"
    with open_vendors() as vendors, pytest.raises(VendorClosed):
        vendors.m3ter.submit_encoded([item])
    settings.M3TER_API_SECRET = m3ter_sample.API_SECRET
    Circuit.objects.filter(is_open=True).update(probe_at=clock.now())

    with open_vendors() as vendors:
        vendors.m3ter.submit_encoded([item])
        vendors.m3ter.list_meters()

    assert not Circuit.objects.filter(is_open=True).exists()
