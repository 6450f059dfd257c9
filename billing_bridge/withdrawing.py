"""Takes back what waits for the next payment of a Classic subscription, where its bill has become less since.

A modifier can be deleted until a payment collects it. So a bill corrected downwards is charged anew, by a modifier of
what it is now, instead of leaving the customer with too much first and a credit later.
"""

from collections.abc import Sequence

from django.db import transaction

from billing_bridge import ledger, modes, outcomes
from billing_bridge.charges import held
from billing_bridge.drafting import NotNow
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import classic
from integration_project.errors import Conflict, NotFound, Temporary
from integration_project.vendors import Vendors
from integration_project.vendors.paddle_classic.client import ClassicClient

STEP = "withdraw"
COLLECTED = "collected"
WITHDRAWN = "Taken back before a payment collected it, because m3ter has changed the bill."


def withdraw(bill: PushedBill, vendors: Vendors, journal: Journal) -> None:
    """Take back the modifiers that stand of a claimed bill of which more was charged than it is now."""
    for push in standing(bill):
        journal.push = push
        if _is_gone(push, vendors.classic_on, journal):
            _record(bill, push, journal)
    journal.push, journal.step = None, "read"


def standing(bill: PushedBill) -> Sequence[Push]:
    """The pushes of a bill that would be taken back before anything else: it has become less, and they still wait."""
    if bill.outstanding >= 0 or (bill.chosen_mode and modes.of(bill.chosen_mode).gives_back):
        return ()
    waiting = bill.pushes.filter(
        mode__in=modes.on_classic_payments(), state=Push.State.PUSHED, paddle_transaction_id=""
    ).exclude(kind=Push.Kind.REFUND)
    return list(waiting.select_related("bill").order_by("-ordinal"))


def _is_gone(push: Push, client: ClassicClient, journal: Journal) -> bool:
    """Delete the push's modifier. False: a payment has it, or may have it, so that it stands."""
    listed = client.find_modifiers(push.push_id, subscription_id=push.paddle_subscription_id)
    if not listed:
        return _was_withdrawn(push, client)
    journal.before(STEP, f"modifier {', '.join(modifier.id for modifier in listed)} of push {push.push_id}")
    try:
        for modifier in listed:
            client.delete_modifier(modifier.id)
    except Conflict:
        journal.after(STEP, COLLECTED, "A payment has collected it by now.")
        return False
    except NotFound:
        raise Temporary(
            f"The modifier of push {push.push_id} went while it was taken back; it is looked at again."
        ) from None
    return True


def _was_withdrawn(push: Push, client: ClassicClient) -> bool:
    """Say whether a modifier that is not listed was deleted from here, and that was not written down any more.

    That it was about to be deleted is written down before. But a payment may have been faster.
    """
    steps = push.history.filter(step=STEP)
    if not steps.filter(phase="before").exists() or steps.filter(outcome=COLLECTED).exists():
        return False
    paid = classic.paid_since(
        client, push.paddle_subscription_id, classic.first_sent(push, push.created_at), one_off=False
    )
    if paid:
        raise NotNow(
            held(
                PushedBill.Reason.CANNOT_TELL,
                f"The modifier of push {push.push_id} was being taken back, and payment {classic.name_of(paid[-1])} "
                "may have collected it before.",
            )
        )
    return True


def _record(bill: PushedBill, push: Push, journal: Journal) -> None:
    """Paddle will not collect it: it is open again, and the bill stays with whoever is charging it."""
    with transaction.atomic():
        ledger.still_owned(bill)
        journal.after(STEP, "done", WITHDRAWN)
        outcomes.record_withdrawn(push.pk, detail=WITHDRAWN)
    bill.refresh_from_db(fields=("outstanding", "lost", "pushed"))
