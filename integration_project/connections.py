"""Opens the vendors for a job: addresses and keys from settings, budget and circuit from the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils.module_loading import import_string
from requests.adapters import BaseAdapter

from integration_project import circuits
from integration_project.gates import gates
from integration_project.vendors import VendorConfig, Vendors, connect
from integration_project.vendors.rehearsal import Rehearsal


@contextmanager
def open_vendors(purpose: str = "import") -> Iterator[Vendors]:
    """Give clients of the vendors whose calls come out of the share of `purpose`: push, look or import."""
    yield connect(_configuration(), gate_for=gates(purpose), transports=_transports())


@contextmanager
def open_rehearsal(purpose: str = "import") -> Iterator[tuple[Vendors, Rehearsal]]:
    """Give clients for one dry run: their reads come out of the share of `purpose`, their writes are never sent."""
    rehearsal = Rehearsal(may_write=circuits.to_try)
    yield connect(_configuration(), gate_for=gates(purpose), transports=_transports(), rehearsal=rehearsal), rehearsal


def _configuration() -> VendorConfig:
    return VendorConfig(
        paddle_api_url=settings.PADDLE_API_URL,
        paddle_api_key=settings.PADDLE_API_KEY,
        m3ter_api_url=settings.M3TER_API_URL,
        m3ter_ingest_url=settings.M3TER_INGEST_URL,
        m3ter_org_id=settings.M3TER_ORG_ID,
        m3ter_access_key_id=settings.M3TER_ACCESS_KEY_ID,
        m3ter_api_secret=settings.M3TER_API_SECRET,
        m3ter_external_system=settings.M3TER_EXTERNAL_SYSTEM,
        paddle_classic_api_url=settings.PADDLE_CLASSIC_API_URL,
        paddle_classic_vendor_id=settings.PADDLE_CLASSIC_VENDOR_ID,
        paddle_classic_auth_code=settings.PADDLE_CLASSIC_VENDOR_AUTH_CODE,
    )


def _transports() -> dict[str, BaseAdapter]:
    """Read what a test mounted under a client: an adapter, or the dotted path of something that makes one."""
    named: dict[str, BaseAdapter | str | Callable[[], BaseAdapter]] = settings.VENDOR_TRANSPORTS
    return {vendor: _adapter(transport) for vendor, transport in named.items()}


def _adapter(transport: BaseAdapter | str | Callable[[], BaseAdapter]) -> BaseAdapter:
    if isinstance(transport, str):
        transport = import_string(transport)
    return transport if isinstance(transport, BaseAdapter) else transport()  # type: ignore[operator]
