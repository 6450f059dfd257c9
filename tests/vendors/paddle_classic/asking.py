"""Forms for the simulated Classic, and what it told of it."""

from collections.abc import Mapping
from typing import Any

import requests

from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from integration_project.vendors.wsgi import WsgiAdapter

KEYS = {"vendor_id": sample.VENDOR_ID, "vendor_auth_code": sample.AUTH_CODE}


def post(simulator: ClassicSimulator, path: str, **fields: str) -> Any:
    session = requests.Session()
    session.mount("http://", WsgiAdapter(simulator))
    return session.post(f"http://127.0.0.1/api/2.0{path}", data={**KEYS, **fields}).json()


def code(simulator: ClassicSimulator, path: str, **fields: str) -> int:
    answer = post(simulator, path, **fields)
    return 0 if answer["success"] else int(answer["error"]["code"])


def modify(simulator: ClassicSimulator, number: str, amount: str, *, recurring: str = "false") -> str:
    fields = {"modifier_amount": amount, "modifier_recurring": recurring, "modifier_description": "SECRET-WORDS"}
    answer = post(simulator, "/subscription/modifiers/create", subscription_id=number, **fields)
    return str(answer["response"]["modifier_id"])


def delete(simulator: ClassicSimulator, modifier_id: str) -> int:
    return code(simulator, "/subscription/modifiers/delete", modifier_id=modifier_id)


def charge(simulator: ClassicSimulator, number: str, amount: str = "10.00") -> dict[str, Any]:
    answer = post(simulator, f"/subscription/{number}/charge", amount=amount, charge_name="Usage")
    response: dict[str, Any] = answer["response"]
    return response


def told(simulator: ClassicSimulator, name: str) -> list[Mapping[str, str]]:
    return [alert.fields for alert in simulator.memory.alerts.values() if alert.name == f"subscription_{name}"]


def grosses(simulator: ClassicSimulator) -> list[str]:
    return [fields["sale_gross"] for fields in told(simulator, "payment_succeeded")]
