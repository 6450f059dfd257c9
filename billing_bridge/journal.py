"""Writes down what is about to be done to a bill and what came of it, with the vendor calls in between."""

from dataclasses import asdict, dataclass, field
from typing import Any

from billing_bridge.models import Push, PushAttempt, PushedBill
from integration_project import clock
from integration_project.vendors.http import CallRecord

LONGEST_OUTCOME = 30


@dataclass
class Journal:
    """The steps of one attempt at a bill; the calls made since the last step go with the next."""

    bill: PushedBill
    push: Push | None = None
    step: str = "read"
    """What is being done now, for whoever has to say what became of it."""
    renewal_seen: bool = False
    """Whether the vendor has said in this attempt when the subscription renews."""
    calls: list[dict[str, Any]] = field(default_factory=list)

    def listen(self, record: CallRecord) -> None:
        """Remember a vendor call."""
        self.calls.append(asdict(record))

    def before(self, step: str, detail: str = "") -> None:
        """Say what is about to be done."""
        self.step = step
        self._write(step, "before", "", detail)

    def after(self, step: str, outcome: str, detail: str = "") -> None:
        """Say what came of it."""
        self._write(step, "after", outcome, detail)

    def after_and_before(self, step: str, outcome: str, next_step: str, detail: str) -> None:
        """Say what came of one step and that the next begins, in one go."""
        self.step = next_step
        rows = [self._row(step, "after", outcome, ""), self._row(next_step, "before", "", detail)]
        PushAttempt.objects.bulk_create(rows)

    def _write(self, step: str, phase: str, outcome: str, detail: str) -> None:
        self._row(step, phase, outcome, detail).save(force_insert=True)

    def _row(self, step: str, phase: str, outcome: str, detail: str) -> PushAttempt:
        calls, self.calls = self.calls, []
        return PushAttempt(
            bill=self.bill,
            push=self.push,
            attempt=self.push.attempt if self.push else 0,
            step=step,
            phase=phase,
            at=clock.now(),
            outcome=outcome[:LONGEST_OUTCOME],
            detail=detail,
            calls=calls,
        )


def decision(bill: PushedBill, action: str, *, by: str, reason: str, push: Push | None = None) -> None:
    """Write down what a person decided about a bill, and why."""
    PushAttempt.objects.create(
        bill=bill,
        push=push,
        attempt=push.attempt if push else 0,
        step="decision",
        phase="after",
        at=clock.now(),
        outcome=action[:LONGEST_OUTCOME],
        detail=reason,
        by=by,
    )
