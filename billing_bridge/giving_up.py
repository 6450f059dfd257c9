"""What becomes of a bill that one worker after the other is lost with: it stops by itself, and people know."""

from django.db import transaction

from billing_bridge import charges, deciding, finishing, looking, money
from billing_bridge.models import Push, PushedBill
from integration_project import finding, work
from integration_project.models import Finding

FINDING = "workers lost"
LOOK_INTO_LOGS = "Find out in the workers' logs and the system's what ended them."


def hold(bill: PushedBill) -> None:
    """Charge nothing by itself: a charge under way would have made the bill unconfirmed."""
    words = f"{bill.deaths} workers in a row were lost while they charged it."
    with transaction.atomic():
        verdict = charges.held(PushedBill.Reason.WORKERS_LOST, words)
        if not work.settle(bill, **deciding.columns(verdict), last_error=words):
            return
        finding.report(
            FINDING,
            bill.m3ter_bill_id,
            detail=f"{bill} is held: {words}",
            next_step=f"{LOOK_INTO_LOGS} Then approve the bill.",
        )


def stop_looking(bill: PushedBill) -> None:
    """Leave the question whether it was charged to a person."""
    push = bill.pushes.filter(state=Push.State.UNCONFIRMED).order_by("-ordinal").first()
    words = f"{bill.deaths} workers in a row were lost while they looked for it in Paddle."
    with transaction.atomic():
        if not work.settle(bill, due_at=None, reason_detail=words, last_error=words) or push is None:
            return
        finding.report(
            looking.UNCONFIRMED,
            push.push_id,
            detail=f"A charge of {money.words(push.amount, push.currency)} on {push.paddle_subscription_id} was sent "
            f"and not answered. {words}",
            next_step="Look at the subscription in Paddle's console; say on the bill's page whether it was charged.",
            severity=Finding.Severity.ALARM,
        )


def leave_unfinished(bill: PushedBill) -> None:
    """Leave the bill as it is in m3ter; the charge itself is made and known."""
    words = f"{bill.deaths} workers in a row were lost while they locked or mapped it in m3ter."
    with transaction.atomic():
        if not work.settle(bill, due_at=None, last_error=words):
            return
        finding.report(
            finishing.FINDING,
            bill.m3ter_bill_id,
            detail=f"{bill} is charged in Paddle. {words}",
            next_step=f"Nothing is wrong with the charge. {LOOK_INTO_LOGS} Lock the bill in m3ter.",
        )
