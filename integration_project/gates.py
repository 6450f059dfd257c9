"""What stands before every vendor call: the circuit (may it be called at all?) and the budget (may we call it now?)."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass
class Trial:
    """The circuits of one vendor that a job is trying now; whatever it calls of that vendor belongs to the trial."""

    circuits: set[int] = field(default_factory=set)
    ends: float = 0.0


class VendorGate:
    """The gate of one vendor, or of a part of it, and purpose, for as long as a job has its vendors open.

    Its budget may be the part's own, its circuits are the vendor's.
    """

    def __init__(
        self, part: str, purpose: str, *, trial: Trial | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._part = part
        self._vendor = budgets.vendor_of(part)
        self._purpose = purpose
        self._trial = trial or Trial()
        self._sleep = sleep
        self._success_noted = False

    def enter(self, operation: str) -> None:
        """Take one call out of the budget; raises BudgetSpent or VendorClosed instead."""
        trial = self._trial
        if time.monotonic() >= trial.ends:
            trial.circuits.clear()
        if not trial.circuits and budgets.take_unless_open(self._part, self._purpose, operation):
            self._keep_to_other_limits()
            return
        due = circuits.to_try(self._vendor, operation, tried=trial.circuits)
        patience = LONGER if operation in PREPARED else budgets.PATIENCE
        budgets.take(self._part, self._purpose, patience=patience, sleep=self._sleep)
        self._keep_to_other_limits()
        for circuit in due:
            circuits.begin(circuit)
            trial.circuits.add(circuit.pk)
            trial.ends = time.monotonic() + TRIAL

    def _keep_to_other_limits(self) -> None:
        for limit in budgets.BESIDES.get(self._part, ()):
            budgets.take(limit, self._purpose, sleep=self._sleep)

    def refused(self, operation: str, *, whole_vendor: bool, detail: str) -> None:
        """The key is refused, or lacks the permission for this operation; the latter shows that the key is good."""
        if not whole_vendor and self._trial.circuits:
            circuits.works_again(self._vendor, "")
        self._trial.circuits.clear()
        circuits.open_for(self._vendor, "" if whole_vendor else operation, detail=detail)

    def answered(self, operation: str) -> None:
        """A normal answer came, so key and permission are good."""
        if operation in NO_PROOF:
            return
        if self._trial.circuits:
            circuits.works_again(self._vendor, operation)
            self._trial.circuits.clear()
        if not self._success_noted:
            circuits.note_success(self._vendor)
            self._success_noted = True


def gate(vendor: str, purpose: str) -> VendorGate:
    """Make the gate for one vendor and one purpose: push, look or import."""
    return VendorGate(vendor, purpose)


def gates(purpose: str) -> Callable[[str], VendorGate]:
    """Make what gives one job its gates, of vendors and their parts: those of one vendor try its circuits together."""
    trials: defaultdict[str, Trial] = defaultdict(Trial)
    return lambda part: VendorGate(part, purpose, trial=trials[budgets.vendor_of(part)])
