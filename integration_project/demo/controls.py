"""Plays the buyer, the calendar and the person at m3ter's console, through the simulators' control interface."""

from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT_SECONDS = 30


def without_proxy() -> requests.Session:
    """A session that asks no proxy the environment may name: everything in the demo is on this machine."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass(frozen=True)
class Controls:
    """The control interface of one simulator."""

    url: str

    def do(self, control: str, **arguments: Any) -> Any:
        """Run one control and return what it said; a refusal is an error with the simulator's words."""
        answer = without_proxy().post(f"{self.url}/_control/{control}", json=arguments, timeout=TIMEOUT_SECONDS)
        said = answer.json()
        if answer.status_code != requests.codes.ok:
            raise ValueError(f"{control}: {said.get('error', answer.status_code)}")
        return said["result"]

    def state(self) -> dict[str, Any]:
        """Read everything that the simulated vendor remembers."""
        answer = without_proxy().get(f"{self.url}/_control/state", timeout=TIMEOUT_SECONDS)
        remembered: dict[str, Any] = answer.json()
        return remembered


def connect_webhooks(paddle: Controls, classic: Controls, m3ter: Controls, *, site: str, token: str) -> None:
    """Tell the vendors where the application listens, as an engineer does once in their consoles."""
    classic.do("send_webhooks_to", url=f"{site}/webhooks/paddle-classic/")
    paddle.do("send_webhooks_to", url=f"{site}/webhooks/paddle/")
    m3ter.do("send_webhooks_to", url=f"{site}/webhooks/m3ter/{token}/")
