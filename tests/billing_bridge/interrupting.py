"""Lets things happen at chosen points of the work: at a vendor call, before it or with its answer not yet read.

What happens there runs in the same process, between two requests of the work that it interrupts: another worker, a
webhook, somebody in m3ter.
"""

import re
from collections.abc import Callable, Mapping

from tests.billing_bridge.killing import Killed, Killer

CALL = re.compile(r"(before|after) (GET|POST|PUT|PATCH|DELETE) /")
BESIDE = re.compile("integration_project_(callbudget|circuit|scheduledjob|heartbeat)")
"""Writes that say nothing of any bill."""
DIE = "die"


class Interrupter(Killer):
    """Passes points; at those that are named something happens, once."""

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[int, str] = {}
        """Number of a point -> what happens there."""
        self.actions: Mapping[str, Callable[[], None]] = {}
        self.once: list[tuple[re.Pattern[str], Callable[[], None]]] = []
        self.happened: list[str] = []

    def point(self, name: str) -> None:
        """Pass a point, let something happen there, or die."""
        if not self.counting or BESIDE.search(name):
            return
        self.points.append(name)
        action = self.script.pop(len(self.points) - 1, "")
        if action == DIE:
            self.counting = False
            self.happened.append(f"died {name}")
            raise Killed(name)
        if not CALL.match(name):
            return
        if action:
            self._let(self.actions[action], f"{action} {name}")
        for pattern, act in [entry for entry in self.once if entry[0].search(name)]:
            self.once.remove((pattern, act))
            self._let(act, name)

    def at(self, pattern: str, action: Callable[[], None]) -> None:
        """Let something happen at the first call like this."""
        self.once.append((re.compile(pattern), action))

    def _let(self, action: Callable[[], None], name: str) -> None:
        self.counting = False
        try:
            action()
        finally:
            self.counting = True
        self.happened.append(name)
