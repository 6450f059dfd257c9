"""How a job opens the vendors: addresses and keys from settings, calls out of the share of its purpose."""

import pytest
from pytest_django import Settings

from integration_project.connections import open_vendors
from integration_project.errors import VendorClosed
from integration_project.models import CallBudget, Circuit
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
    settings.M3TER_ORG_ID = "org"
    settings.VENDOR_TRANSPORTS = {"paddle": f"{__name__}.make_adapter"}


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
