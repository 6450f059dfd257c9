"""What every test has at hand. The mode and the database are chosen in tests/environment.py, before Django loads.

The vendors are simulators behind the real clients; nothing else stands in for them. Webhooks are really signed and go
through the real addresses.
"""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils.module_loading import import_string
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings

from integration_project import clock, wakeups, work
from integration_project import installation as installing
from integration_project.models import Installation
from integration_project.queues import all_queues
from integration_project.vendors import VendorConfig, Vendors, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from integration_project.vendors.simulation import Simulator
from integration_project.vendors.wsgi import WsgiAdapter

# Two cores shared by several workers make any deadline a lottery.
hypothesis_settings.register_profile(
    "suite", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.register_profile("long", parent=hypothesis_settings.get_profile("suite"), max_examples=2_000)
hypothesis_settings.load_profile("suite")

M3TER_WEBHOOK_TOKEN = "t" * 40
ADDRESS = "http://127.0.0.1"


@pytest.fixture
def paddle(client: Client) -> PaddleSimulator:
    """A fresh simulated Paddle whose webhooks reach this application."""
    return PaddleSimulator(post=post_to(client), webhook_url=f"{ADDRESS}/webhooks/paddle/")


@pytest.fixture
def m3ter(client: Client) -> M3terSimulator:
    """A fresh simulated m3ter organisation whose notifications reach this application."""
    url = f"{ADDRESS}/webhooks/m3ter/{M3TER_WEBHOOK_TOKEN}/"
    return M3terSimulator(post=post_to(client), webhook_url=url)


@pytest.fixture
def classic(client: Client, settings: Settings) -> ClassicSimulator:
    """A fresh simulated Paddle Classic whose alerts reach this application; Classic is off in tests without it."""
    simulator = ClassicSimulator(post=post_to(client), webhook_url=f"{ADDRESS}/webhooks/paddle-classic/")
    settings.PADDLE_CLASSIC_VENDOR_ID = classic_sample.VENDOR_ID
    settings.PADDLE_CLASSIC_VENDOR_AUTH_CODE = classic_sample.AUTH_CODE
    settings.PADDLE_CLASSIC_PUBLIC_KEY = simulator.public_key()
    return simulator


@pytest.fixture
def adapters(
    request: pytest.FixtureRequest, paddle: PaddleSimulator, m3ter: M3terSimulator, settings: Settings
) -> dict[str, WsgiAdapter]:
    """The simulators mounted under the real clients, also for jobs that open the vendors themselves."""
    settings.PADDLE_API_KEY = paddle_sample.API_KEY
    settings.PADDLE_WEBHOOK_SECRETS = [paddle_sample.WEBHOOK_SECRET]
    settings.M3TER_ORG_ID = m3ter_sample.ORG_ID
    settings.M3TER_ACCESS_KEY_ID = m3ter_sample.ACCESS_KEY_ID
    settings.M3TER_API_SECRET = m3ter_sample.API_SECRET
    settings.M3TER_WEBHOOK_TOKENS = [M3TER_WEBHOOK_TOKEN]
    mounted = {"paddle": WsgiAdapter(paddle), "m3ter": WsgiAdapter(m3ter)}
    if "classic" in request.fixturenames:
        mounted["paddle_classic"] = WsgiAdapter(request.getfixturevalue("classic"))
    settings.VENDOR_TRANSPORTS = dict(mounted)
    return mounted


@pytest.fixture
def vendors(adapters: dict[str, WsgiAdapter], settings: Settings) -> Vendors:
    """Clients of the simulators, with no budget and no circuit in the way."""
    config = VendorConfig(
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
    return connect(config, gate_for=lambda vendor: OpenGate(), transports=dict(adapters))


@pytest.fixture
def installation(db: None, adapters: dict[str, WsgiAdapter]) -> Installation:
    """This database belongs to the simulators, and the organisation has been read."""
    row = installing.current()
    row.organization_read_at = row.native_integration_checked_at = clock.now()
    row.save(update_fields=["organization_read_at", "native_integration_checked_at"])
    return row


@pytest.fixture
def deliver(db: None, adapters: dict[str, WsgiAdapter]) -> Callable[[], int]:
    """Push every webhook that is due to the application, signed afresh; gives how many were answered 200."""

    def push() -> int:
        simulators = [adapter.app for adapter in adapters.values() if isinstance(adapter.app, Simulator)]
        return sum(int(simulator.deliver_webhooks()["delivered"]) for simulator in simulators)

    return push


@pytest.fixture
def run_jobs(db: None, adapters: dict[str, WsgiAdapter]) -> Callable[[], int]:
    """Drain every queue until nothing is due, as a worker would; gives how many rows were run."""

    def drain() -> int:
        total = 0
        while run := sum(_drain_if_due(queue) for queue in all_queues()):
            total += run
        return total

    return drain


@pytest.fixture(autouse=True)
def no_wake_up_is_remembered() -> Iterator[None]:
    """Forget when this process asked for a drain last, so that tests do not depend on each other."""
    wakeups._asked.clear()
    yield
    wakeups._asked.clear()


@pytest.fixture
def operator(db: None) -> User:
    """A member of the role Operator, who may use the console."""
    return _member("Operator")


@pytest.fixture
def finance(db: None) -> User:
    """A member of the role Finance, who may use the console."""
    return _member("Finance")


def post_to(client: Client) -> Callable[[str, bytes, Mapping[str, str]], int]:
    """A vendor's way of posting a webhook, straight into this application."""

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        content_type = headers.get("Content-Type", "application/json")
        others = {name: value for name, value in headers.items() if name != "Content-Type"}
        path = urlsplit(url).path
        return client.post(path, data=body, content_type=content_type, headers=others).status_code

    return post


def _drain_if_due(queue: work.Queue[work.WorkItem]) -> int:
    if not work.has_due(queue, since=clock.now()):
        return 0
    run: int = import_string(queue.job)()
    return run


def _member(role: str) -> User:
    user = User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user
