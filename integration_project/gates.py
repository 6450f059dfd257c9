"""What stands before every vendor call: the circuit (may it be called at all?) and the budget (may we call it now?)."""

import time
from collections.abc import Callable

from integration_project import budgets, circuits

TRIAL = 20.0
"""Seconds in which one trial of an open circuit may make its requests: a token, the call, the call with a new token."""
LONGER = 30.0
"""Seconds that a call waits for its turn whose preparation took calls of its own: they would be made again for nothing.
The lease of what is charged outlives this and the call's own deadline."""
PREPARED = frozenset({"charge subscription", "create transaction", "create adjustment"})
"""Operations that others come before, such as a preview."""
NO_PROOF = frozenset({"get token"})
"""Operations whose success does not show that the key may do anything else."""


class VendorGate:
    """The gate of one vendor and purpose, for as long as a job has its vendors open."""

    def __init__(self, vendor: str, purpose: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._vendor = vendor
        self._purpose = purpose
        self._sleep = sleep
        self._tried: set[int] = set()
        self._trial_ends = 0.0
        self._success_noted = False

    def enter(self, operation: str) -> None:
        """Take one call out of the budget; raises BudgetSpent or VendorClosed instead."""
        if time.monotonic() >= self._trial_ends:
            self._tried.clear()
        if not self._tried and budgets.take_unless_open(self._vendor, self._purpose, operation):
            return
        due = circuits.to_try(self._vendor, operation, tried=self._tried)
        patience = LONGER if operation in PREPARED else budgets.PATIENCE
        budgets.take(self._vendor, self._purpose, patience=patience, sleep=self._sleep)
        for circuit in due:
            circuits.begin(circuit)
            self._tried.add(circuit.pk)
            self._trial_ends = time.monotonic() + TRIAL

    def refused(self, operation: str, *, whole_vendor: bool, detail: str) -> None:
        """The key is refused, or lacks the permission for this operation; the latter shows that the key is good."""
        if not whole_vendor and self._tried:
            circuits.works_again(self._vendor, "")
        self._tried.clear()
        circuits.open_for(self._vendor, "" if whole_vendor else operation, detail=detail)

    def answered(self, operation: str) -> None:
        """A normal answer came, so key and permission are good."""
        if operation in NO_PROOF:
            return
        if self._tried:
            circuits.works_again(self._vendor, operation)
            self._tried.clear()
        if not self._success_noted:
            circuits.note_success(self._vendor)
            self._success_noted = True


def gate(vendor: str, purpose: str) -> VendorGate:
    """Make the gate for one vendor and one purpose: push, look or import."""
    return VendorGate(vendor, purpose)
