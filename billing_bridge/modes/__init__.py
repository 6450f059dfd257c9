"""The ways of charging, one strategy each behind one interface: what is asked, previewed, sent, and found again."""

from billing_bridge.modes.base import Mode, Order, Request, Seen, tax_mode
from billing_bridge.modes.charge import ON_RENEWAL, ONCE
from billing_bridge.modes.invoice import Invoice
from billing_bridge.modes.refund import Refund

MODES: dict[str, Mode] = {mode.name: mode for mode in (ON_RENEWAL, ONCE, Invoice(), Refund())}
"""By the name that stands in policies, bills and pushes."""


def of(name: str) -> Mode:
    """The way of charging with this name; KeyError where there is none."""
    return MODES[name]


def on_subscription() -> list[str]:
    """The ways of charging whose pushes a subscription collects, and loses when it ends."""
    return [name for name, mode in MODES.items() if mode.on_subscription]


__all__ = ["MODES", "Mode", "Order", "Request", "Seen", "of", "on_subscription", "tax_mode"]
