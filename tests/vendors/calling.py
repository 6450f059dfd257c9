"""One vendor call on its own, the two kinds there are: a look that may be repeated, a charge that may not."""

from collections.abc import Callable
from typing import Any

from integration_project.vendors.http import OpenGate, VendorHTTP
from integration_project.vendors.paddle.errors import judge
from integration_project.vendors.transport import Sessions
from tests.vendors.loopback import LoopbackServer, Script

KEY = "pdl_sdbx_apikey_01hv6y1jedq4p1n0yqn5ba3ky4_abcdefghijklmnopqrstuv_abc"
PERSON = "jane.roe@customer.example"


def bearer(*, fresh: bool) -> str:
    return f"Bearer {KEY}"


def http(url: str, **options: Any) -> VendorHTTP:
    sessions = Sessions()
    settings: dict[str, Any] = {
        "vendor": "paddle",
        "base_url": url,
        "session": lambda: sessions.get("paddle"),
        "gate": OpenGate(),
        "authorise": bearer,
        "judge": judge,
        "deadline": 5.0,
    }
    return VendorHTTP(**{**settings, **options})


def one(make: Callable[[LoopbackServer], Script]) -> Callable[[LoopbackServer], list[Script]]:
    return lambda server: [make(server)]


def charge(client: VendorHTTP, **options: Any) -> Any:
    return client.call("charge subscription", "POST", "/charge", repeatable=False, json={"a": 1}, **options)


def look(client: VendorHTTP, **options: Any) -> Any:
    return client.call("get thing", "GET", "/thing", **options)
