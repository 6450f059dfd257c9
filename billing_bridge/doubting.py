"""Charges of which a payment of Paddle Classic does not say whether it has them: held, until a person has looked."""

from django.db import transaction

from billing_bridge import charges, classic_refunds, deciding, looking, payments
from billing_bridge.models import Push, PushedBill
from integration_project import finding
from integration_project.errors import NotPossible
from integration_project.models import Finding

State = PushedBill.State
Reason = PushedBill.Reason

SHORT = "modifier not in payment"
MAY_BE_HELD = (State.HELD, State.WAITING, State.READY, State.FAILED, State.PUSHED, State.CARRIED)
"""Where no worker has a charge of the bill under way, and nobody has decided that nothing comes of it."""
ASKED = frozenset({State.HELD, State.LOST})
"""Where a person is asked about what is in doubt: a lost bill stays lost, for that goes on when this is said."""
NEXT_STEP = (
    "Look at the payment in Paddle Classic: a coupon, a balance or another modifier explains it too. Then say on the "
    "bill's page whether it is in Paddle."
)


def note(push: Push, transaction_id: str, words: str) -> bool:
    """Hold the bill of a push that a payment may or may not have, and raise the alarm. False: it was known."""
    with transaction.atomic():
        bill = payments.note_in_doubt(push.pk, transaction_id, words)
        if bill is None:
            return False
        verdict = charges.held(Reason.CANNOT_TELL, words)
        PushedBill.objects.filter(pk=bill.pk, state__in=MAY_BE_HELD).update(
            **deciding.columns(verdict), lease=None, lease_until=None, leased_by=""
        )
        finding.report(SHORT, push.push_id, detail=words, next_step=NEXT_STEP, severity=Finding.Severity.ALARM)
    return True


def in_question(bill: PushedBill) -> Push | None:
    """The push of which a person is to say whether Paddle has it: what a payment does not say; else one that may have
    been made, which is unconfirmed, or was looked for once more before it would have been sent again."""
    if bill.state == State.UNCONFIRMED:
        return _latest(bill, Push.State.UNCONFIRMED)
    if bill.state not in ASKED:
        return None
    if bill.is_settled_in_part and (first := deciding.in_doubt(bill).first()) is not None:
        return first
    return _latest(bill, Push.State.INTENDED) if bill.reason == Reason.CANNOT_TELL else None


def is_accepted(push: Push) -> bool:
    """Whether the question is only what a payment did with it."""
    return push.state == Push.State.PUSHED


def is_asked(bill: PushedBill) -> bool:
    """Whether a held or lost bill waits for somebody to say whether Paddle has something of it."""
    return bill.state in ASKED and in_question(bill) is not None


def _latest(bill: PushedBill, state: str) -> Push | None:
    return bill.pushes.filter(state=state).select_related("bill").order_by("-ordinal").first()


def refuse_unanswered(bill: PushedBill) -> None:
    """Nothing else is decided about a bill before that is said."""
    if words := deciding.in_doubt_words(bill):
        raise NotPossible(f"Say first whether it is in Paddle, or is not. {words}")


def collected(bill: PushedBill, *, by: str, reason: str, transaction_id: str = "") -> None:
    """A person has seen that a payment has what was in doubt of a locked bill; `transaction_id`: which one."""
    for push in list(deciding.in_doubt(bill)):
        if transaction_id:
            Push.objects.filter(pk=push.pk).update(paddle_transaction_id=transaction_id)
        Push.objects.filter(pk=push.pk).update(detail=f"Collected, says {by}: {reason}")
        classic_refunds.note_collected(push.pk, push.paddle_transaction_id)
        finding.settle(SHORT, push.push_id, reason=f"{by}: it was collected.")


def not_collected(bill: PushedBill, *, by: str, reason: str) -> None:
    """A person has seen that no payment has what was in doubt of a locked bill: it is lost."""
    for push in list(deciding.in_doubt(bill)):
        Push.objects.filter(pk=push.pk).update(paddle_transaction_id="")
        push.paddle_transaction_id = ""
        looking.lose(push, f"It is in no payment, says {by}: {reason}")
        finding.settle(SHORT, push.push_id, reason=f"{by}: it was not collected.")
