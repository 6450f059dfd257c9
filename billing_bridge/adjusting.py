"""Which way Paddle's adjustments move money, seen from the customer: one rule for all who count them. Pure.

A credit or chargeback that is taken back is called reversed, and an adjustment of its own takes it back; so the first
counts as before, and both together come to nothing.
"""

from collections.abc import Mapping

APPROVED, PENDING_APPROVAL, REVERSED = "approved", "pending_approval", "reversed"
MOVES: Mapping[str, int] = {
    "refund": 1,
    "credit": 1,
    "chargeback": 1,
    "credit_reverse": -1,
    "chargeback_reverse": -1,
    "chargeback_warning": 0,  # guess: a warning moves no money; the chargeback that may follow does
    "chargeback_warning_reverse": 0,
}
"""Paddle's actions -> whether money goes to the customer or comes back."""
REVERSIBLE = frozenset({"credit", "chargeback"})


def moved(action: str, status: str) -> int:
    """Say whether an adjustment gave the customer money (1), took it back (-1), or did neither (yet)."""
    counts = status == APPROVED or (status == REVERSED and action in REVERSIBLE)
    return MOVES.get(action, 0) if counts else 0


def claimed(action: str, status: str) -> int:
    """The same, where what still waits for Paddle's approval counts as well."""
    return MOVES.get(action, 0) if status == PENDING_APPROVAL else moved(action, status)
