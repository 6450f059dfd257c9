"""Clients of both simulators for real, and for a dry run."""

from collections.abc import Callable, Collection
from typing import Any

from integration_project.errors import VendorClosed
from integration_project.vendors import Vendors, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.rehearsal import PlannedCall, ReadNeeded, Rehearsal
from integration_project.vendors.wsgi import WsgiAdapter
from tests.vendors.opening import config


class Rehearsing:
    """Clients of both simulators for real, and for a rehearsal."""

    def __init__(
        self, real: Vendors, vendors: Vendors, rehearsal: Rehearsal, paddle: PaddleSimulator, m3ter: M3terSimulator
    ) -> None:
        self.real, self.vendors, self.rehearsal, self.paddle, self.m3ter = real, vendors, rehearsal, paddle, m3ter

    def run(self, work: Callable[[Vendors], Any]) -> Any:
        """Run work as often as it needs reads."""
        while True:
            self.rehearsal.begin()
            try:
                return work(self.vendors)
            except ReadNeeded as needed:
                needed.make()

    @property
    def written(self) -> list[PlannedCall]:
        return [call for call in self.rehearsal.calls if call.written]

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.rehearsal.calls]


def new_rehearsing(closed: Collection[str] = ()) -> Rehearsing:
    """Fresh simulators, and clients of both kinds; nobody may call for the operations that are `closed`."""
    keys = config(
        paddle_api_key=paddle_sample.API_KEY,
        m3ter_org_id=m3ter_sample.ORG_ID,
        m3ter_access_key_id=m3ter_sample.ACCESS_KEY_ID,
        m3ter_api_secret=m3ter_sample.API_SECRET,
    )
    paddle, m3ter = PaddleSimulator(), M3terSimulator()
    transports = {"paddle": WsgiAdapter(paddle), "m3ter": WsgiAdapter(m3ter)}

    def may_write(vendor: str, operation: str) -> None:
        if operation in closed:
            raise VendorClosed(vendor, "the permission is missing", operation)

    def open_gate(vendor: str) -> OpenGate:
        return OpenGate()

    rehearsal = Rehearsal(may_write=may_write)
    real = connect(keys, gate_for=open_gate, transports=transports)
    rehearsed = connect(keys, gate_for=open_gate, transports=transports, rehearsal=rehearsal)
    return Rehearsing(real, rehearsed, rehearsal, paddle, m3ter)
