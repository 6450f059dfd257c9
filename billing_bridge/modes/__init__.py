"""The ways of charging, one strategy each behind one interface: what is asked, previewed, sent, and found again."""

from billing_bridge.modes.base import Mode, Order, Request, Seen
from billing_bridge.modes.charge import ON_RENEWAL, ONCE

MODES: dict[str, Mode] = {mode.name: mode for mode in (ON_RENEWAL, ONCE)}
"""By the name that stands in policies, bills and pushes."""


def of(name: str) -> Mode:
    """The way of charging with this name; KeyError where there is none."""
    return MODES[name]


__all__ = ["MODES", "Mode", "Order", "Request", "Seen", "of"]
