"""Our client over a simulated Classic, for real and for a rehearsal."""

import datetime as dt

from integration_project.vendors import VendorConfig, Vendors, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from integration_project.vendors.rehearsal import Rehearsal
from integration_project.vendors.wsgi import WsgiAdapter

NOW = dt.datetime(2026, 3, 10, 9, tzinfo=dt.UTC)
CODE = sample.AUTH_CODE


def config(auth_code: str = CODE) -> VendorConfig:
    return VendorConfig(
        paddle_api_url="http://127.0.0.1:1",
        paddle_api_key="",
        m3ter_api_url="http://127.0.0.1:1",
        m3ter_ingest_url="http://127.0.0.1:1",
        m3ter_org_id="org",
        m3ter_access_key_id="",
        m3ter_api_secret="",
        m3ter_external_system="PaddleBridge",
        paddle_classic_api_url="http://127.0.0.1:1",
        paddle_classic_vendor_id=sample.VENDOR_ID,
        paddle_classic_auth_code=auth_code,
    )


def connected(simulator: ClassicSimulator, auth_code: str = CODE, *, rehearsal: Rehearsal | None = None) -> Vendors:
    mounted = {"paddle_classic": WsgiAdapter(simulator)}
    return connect(config(auth_code), gate_for=lambda vendor: OpenGate(), transports=mounted, rehearsal=rehearsal)
