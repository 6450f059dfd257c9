"""The ways of charging, one strategy each behind one interface: what is asked, previewed, sent, and found again."""

from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.modes.base import CannotTell, Mode, Order, Request, Seen, WouldBe
from billing_bridge.modes.charge import ON_RENEWAL, ONCE
from billing_bridge.modes.invoice import Invoice
from billing_bridge.modes.modifier import NEXT_PAYMENT, OFF_NEXT_PAYMENT
from billing_bridge.modes.one_off import CHARGE_AT_ONCE
from billing_bridge.modes.refund import Refund
from integration_project.vendors import CLASSIC
from paddle_sync.models import AccountLink

INVOICE, REFUND = Invoice(), Refund()
MODES: dict[str, Mode] = {
    mode.name: mode for mode in (ON_RENEWAL, ONCE, INVOICE, REFUND, NEXT_PAYMENT, CHARGE_AT_ONCE, OFF_NEXT_PAYMENT)
}
"""By the name that stands in policies, bills and pushes."""
AT_ONCE: tuple[Mode, ...] = (ONCE, CHARGE_AT_ONCE)
WITH_RENEWAL: tuple[Mode, ...] = (ON_RENEWAL, NEXT_PAYMENT)
INVOICED: tuple[Mode, ...] = (INVOICE,)
GIVEN_BACK: tuple[Mode, ...] = (REFUND, OFF_NEXT_PAYMENT)
"""What people ask for in one word, in the way of each of Paddle's two products that has it."""


def of(name: str) -> Mode:
    """The way of charging with this name; KeyError where there is none."""
    return MODES[name]


def label_of(name: str) -> str:
    """What people call the way of charging with this name."""
    return MODES[name].label if name in MODES else name


def for_bill(bill: PushedBill, link: AccountLink | None, policy: PushPolicy) -> Mode:
    """The way of charging that a person chose for a bill, else the policy's for the product that its account is in."""
    if bill.chosen_mode:
        return of(bill.chosen_mode)
    if link is None or not NEXT_PAYMENT.serves(link):
        return of(policy.mode)
    if bill.outstanding < 0 and policy.negative == PushPolicy.Negative.CREDIT:
        return OFF_NEXT_PAYMENT
    return of(policy.classic_mode)


def on_subscription() -> list[str]:
    """The ways of charging whose pushes a subscription collects, and loses when it ends."""
    return [name for name, mode in MODES.items() if mode.on_subscription]


def on_classic_payments() -> list[str]:
    """The ways of charging whose pushes the next payment of a Classic subscription collects."""
    return [name for name, mode in MODES.items() if mode.on_subscription and mode.vendor == CLASSIC]


__all__ = [
    "AT_ONCE",
    "CHARGE_AT_ONCE",
    "GIVEN_BACK",
    "INVOICED",
    "MODES",
    "WITH_RENEWAL",
    "CannotTell",
    "Mode",
    "Order",
    "Request",
    "Seen",
    "WouldBe",
    "for_bill",
    "label_of",
    "of",
    "on_classic_payments",
    "on_subscription",
]
