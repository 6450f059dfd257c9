"""A bill changes while it is charged in another way than with the renewal: what stands is its last approved content."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from pytest_django import Settings

from billing_bridge import carrying
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.wsgi import WsgiAdapter
from tests.billing_bridge import truth
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.interrupting import Interrupter
from tests.billing_bridge.killing import DeadlyAdapter
from tests.billing_bridge.test_changed_meanwhile import CHANGES, change, come_to_rest
from tests.billing_bridge.world import World, fresh

pytestmark = pytest.mark.django_db
State = PushedBill.State


@dataclass(frozen=True)
class Way:
    """A way of charging, and its two calls."""

    policy: dict[str, str]
    look: str
    send: str
    world: str = "world"


WAYS = {
    "at once": Way({"mode": "immediately"}, "POST .*/charge/preview", "POST .*/charge$"),
    "invoice": Way({"mode": "invoice"}, "POST .*/transactions/preview", "POST .*/transactions$"),
    "Classic modifier": Way(
        {"classic_mode": "classic_modifier"},
        "POST .*/subscription/modifiers$",
        "POST .*/subscription/modifiers/create",
        "classic_world",
    ),
    "Classic charge": Way(
        {"classic_mode": "classic_charge"}, "POST .*/subscription/users$", "POST .*/charge$", "classic_world"
    ),
}
MOMENTS = {
    "between look and charge": "after {look}",
    "as the charge leaves": "before {send}",
    "before the charge is answered": "after {send}",
    "between charge and lock": "before PUT .*/lock",
}


def in_paddle(world: World, bill: PushedBill) -> int:
    """What the simulators have of a bill, in minor units, read in their own memory."""
    if not isinstance(world, ClassicWorld):
        return truth.net(world.paddle, bill.m3ter_bill_id)
    assert world.modifiers() or world.one_offs()
    everything = [each.amount for each in world.modifiers()] + [each.amount for each in world.one_offs()]
    return int(sum(everything, Decimal(0)) * 100)


@pytest.mark.parametrize("how", ["more", "less", "gone"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", WAYS)
def test_whenever_a_bill_changes_the_difference_is_settled_or_shown(
    request: pytest.FixtureRequest,
    classic: ClassicSimulator,
    adapters: dict[str, WsgiAdapter],
    settings: Settings,
    name: str,
    moment: str,
    how: str,
) -> None:
    way = WAYS[name]
    world: World = request.getfixturevalue(way.world)
    if name == "invoice":
        world.complete_the_customer()
    interrupter = Interrupter()
    settings.VENDOR_TRANSPORTS = {vendor: DeadlyAdapter(adapter, interrupter) for vendor, adapter in adapters.items()}
    PushPolicy.objects.update_or_create(link=None, defaults={"review": "never", "changed": "settle", **way.policy})
    bill = world.imported()
    place = MOMENTS[moment].format(look=way.look, send=way.send)
    interrupter.at(place, lambda: change(world, bill.m3ter_bill_id, how, seen=how == "more"))

    with interrupter.watching(None):
        come_to_rest(world)

    assert interrupter.once == []
    bill = fresh(bill)
    stands = in_paddle(world, bill) + carrying.balance(world.account_id, "USD") + bill.outstanding
    assert stands == CHANGES[how], (bill.state, bill.reason, bill.reason_detail)
    assert bill.outstanding == 0 or bill.state == State.HELD
