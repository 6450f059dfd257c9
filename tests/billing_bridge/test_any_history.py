"""Whatever happens to a bill, in whatever order: Paddle has what it owes, once, or the bill visibly waits."""

import contextlib
from collections.abc import Callable

import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_bridge import jobs, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import IntegrationError, NotPossible
from tests.billing_bridge.world import LINES, World, end_lease

State = PushedBill.State
OTHER_LINES = (("API calls", "150.00"), ("Standing Charge", "20.00"))
FAULTS = ("lose_answer", "error_before", "error_after", "too_many", "html", "truncated")
OPERATIONS = ("charge subscription", "preview charge", "list subscription history", "list transactions")
STEPS = (
    "poll",
    "push",
    "look",
    "finish",
    "time",
    "approve",
    "hold",
    "skip",
    "resend",
    "answer",
    "same",
    "other",
    "sweep",
)

steps = st.one_of(
    st.sampled_from(STEPS),
    st.builds("{0}|{1}".format, st.sampled_from(OPERATIONS), st.sampled_from(FAULTS)),
    st.builds("{0}|{1}".format, st.sampled_from(("lock bill", "get bill")), st.sampled_from(FAULTS)),
)


class History:
    """One bill, and everything that can happen to it."""

    def __init__(self, world: World, account_id: str) -> None:
        self.world = world
        self.bill_id = world.make_bill(account_id=account_id)

    @property
    def bill(self) -> PushedBill | None:
        return PushedBill.objects.filter(m3ter_bill_id=self.bill_id).first()

    @property
    def in_paddle(self) -> int:
        return sum(
            charge.subtotal
            for charge in self.world.paddle.charges
            if any(push_id.startswith(self.bill_id) for push_id in charge.push_ids)
        )

    def take(self, step: str) -> None:
        """Let one thing happen; what a person or a vendor refuses does not happen."""
        if "|" in step:
            operation, kind = step.split("|")
            vendor = self.world.m3ter if operation in {"lock bill", "get bill"} else self.world.paddle
            vendor.fault(operation, kind)
            return
        known: dict[str, Callable[[], object]] = {
            "poll": jobs.import_new_bills,
            "push": jobs.drain_bills,
            "look": jobs.confirm_bills,
            "finish": jobs.finish_bills,
            "sweep": jobs.sweep_bills,
            "time": self.let_time_pass,
            "same": lambda: self.change(LINES),
            "other": lambda: self.change(OTHER_LINES),
        }
        with contextlib.suppress(NotPossible, IntegrationError, requests.RequestException):
            known.get(step, lambda: self.decide(step))()

    def let_time_pass(self) -> None:
        """Leases run out, and what waits for a time is due."""
        bill = self.bill
        if bill is not None:
            end_lease(bill)
        PushedBill.objects.filter(m3ter_bill_id=self.bill_id, due_at__isnull=False).update(due_at=clock.now())
        PushedBill.objects.update(m3ter_read_at=None)

    def change(self, lines: tuple[tuple[str, str], ...]) -> None:
        """m3ter calculates again, and somebody approves it there; a locked bill stays as it is."""
        row = self.world.m3ter.memory.bills.get(self.bill_id)
        if row is None or row["locked"]:
            return
        self.world.m3ter.recalculate(self.bill_id)
        self.world.change_bill(self.bill_id, lines)
        self.world.m3ter.approve_bill(self.bill_id)

    def decide(self, step: str) -> None:
        """A person decides; asked whether it was charged, they look in Paddle and say what is true."""
        bill = self.bill
        if bill is None:
            return
        truth = review.charge_was_made if self.in_paddle else review.charge_was_not_made
        decisions = {"hold": review.hold, "skip": review.skip, "resend": review.resend, "answer": truth}
        decisions.get(step, review.approve)(bill.pk, by="finance", reason=step)

    def come_to_rest(self) -> None:
        """All faults are over; everything due is done."""
        self.world.paddle.clear_faults()
        self.world.m3ter.clear_faults()
        for _ in range(8):
            for step in ("time", "poll", "push", "look", "finish"):
                self.take(step)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.booleans(), st.booleans(), st.lists(steps, max_size=14))
def test_paddle_has_what_is_owed_once_or_the_bill_waits_for_somebody(
    world: World, automatic: bool, resends: bool, happens: list[str]
) -> None:
    world.paddle.rate_limit.limit = None
    world.m3ter.limit_requests(None)
    PushPolicy.objects.update(review="never" if automatic else "always", resend_when_absent=resends)
    _, account_id = world.subscribe()
    history = History(world, account_id)

    for step in happens:
        history.take(step)
        bill = history.bill
        if bill is not None and bill.state not in {State.PUSHING, State.UNCONFIRMED}:
            assert history.in_paddle == bill.pushed, step
    history.come_to_rest()

    bill = history.bill
    assert bill is not None
    assert history.in_paddle in {0, 14345, 17000}
    assert bill.state not in {State.PUSHING, State.READY}
    if bill.state == State.UNCONFIRMED:
        assert (history.in_paddle, bill.due_at) == (0, None)
    else:
        assert history.in_paddle == bill.pushed
    if bill.state == State.PUSHED:
        assert bill.outstanding == 0
        assert history.in_paddle == bill.payable - bill.written_off
    else:
        assert bill.reason or bill.reason_detail
