"""Both clients over transports of the test's choice, with a gate that keeps what it is told."""

from wsgiref.types import WSGIApplication

from integration_project.vendors import VendorConfig, Vendors, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.wsgi import WsgiAdapter

ORG_ID = "0e0e0e0e-0000-4000-8000-00000000000e"
ACCESS_KEY_ID = "access-key-of-the-tests"
API_SECRET = "api-secret-of-the-tests"
EXTERNAL_SYSTEM = "paddle_bridge"


class RecordingGate(OpenGate):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def enter(self, operation: str) -> None:
        self.told.append(("enter", operation))

    def refused(self, operation: str, *, whole_vendor: bool, detail: str) -> None:
        self.told.append(("refused", operation, "whole vendor" if whole_vendor else "operation"))

    def answered(self, operation: str) -> None:
        self.told.append(("answered", operation))

    @property
    def entered(self) -> list[str]:
        return [operation for what, operation, *_ in self.told if what == "enter"]


def config(
    *,
    paddle_api_key: str = "",
    m3ter_org_id: str = ORG_ID,
    m3ter_access_key_id: str = ACCESS_KEY_ID,
    m3ter_api_secret: str = API_SECRET,
) -> VendorConfig:
    return VendorConfig(
        paddle_api_url="http://paddle.localhost",
        paddle_api_key=paddle_api_key,
        m3ter_api_url="http://m3ter.localhost",
        m3ter_ingest_url="http://ingest.m3ter.localhost",
        m3ter_org_id=m3ter_org_id,
        m3ter_access_key_id=m3ter_access_key_id,
        m3ter_api_secret=m3ter_api_secret,
        m3ter_external_system=EXTERNAL_SYSTEM,
    )


def opened(settings: VendorConfig, gate: OpenGate | None = None, **apps: WSGIApplication) -> Vendors:
    transports = {vendor: WsgiAdapter(app) for vendor, app in apps.items()}
    return connect(settings, gate_for=lambda vendor: gate or OpenGate(), transports=transports)
