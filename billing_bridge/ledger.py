"""A bill's ledger: entries are appended, and the bill's columns added up anew in the same transaction."""

from datetime import datetime

from django.db.models import Q, QuerySet

from billing_bridge import owed
from billing_bridge.models import BillEntry, CarriedEntry, Push, PushAttempt, PushedBill, PushPolicy
from billing_bridge.queues import PUSH
from integration_project import clock, work

State = PushedBill.State
Reason = PushedBill.Reason
LOCKABLE = ("self",)
OPEN = (Push.State.PUSHING, Push.State.UNCONFIRMED)
ACCEPTED = frozenset({Push.State.PUSHED, Push.State.LOST})
GONE = "deleted"
"""Our word in the place of m3ter's status, for a bill that m3ter does not have."""


def locked(bill_id: int) -> PushedBill:
    """Lock a bill for the rest of the transaction; bills are always locked before their pushes."""
    return PushedBill.objects.select_for_update(of=LOCKABLE).get(pk=bill_id)


def locked_of(push_id: int) -> PushedBill:
    """Lock the bill of a push for the rest of the transaction."""
    return PushedBill.objects.select_for_update(of=LOCKABLE).get(pushes=push_id)


def locked_with_push(push_id: int) -> tuple[PushedBill, Push]:
    """Lock the bill of a push, and then the push, for the rest of the transaction."""
    bill = locked_of(push_id)
    return bill, Push.objects.select_for_update(of=LOCKABLE).get(pk=push_id)


def post(
    bill: PushedBill,
    kind: str,
    amount: int,
    *,
    push: Push | None = None,
    carried: CarriedEntry | None = None,
    by: str = "",
    note: str = "",
) -> None:
    """Append an entry to a locked bill and add up its columns."""
    BillEntry.objects.create(
        bill=bill, push=push, carried=carried, kind=kind, amount=amount, at=clock.now(), by=by, note=note
    )
    add_up(bill)


def add_up(bill: PushedBill, *, payable: int | None = None) -> None:
    """Write a locked bill's columns from its ledger, with a new payable where one is given."""
    entries = [owed.Entry(kind, amount) for kind, amount in bill.entries.values_list("kind", "amount")]
    stands = owed.position(bill.payable if payable is None else payable, entries)
    for column in ("payable", "pushed", "credited", "carried", "written_off", "lost", "outstanding"):
        setattr(bill, column, getattr(stands, column))
    bill.updated_at = clock.now()
    bill.save(
        update_fields=(
            "payable",
            "pushed",
            "credited",
            "carried",
            "written_off",
            "lost",
            "outstanding",
            "updated_at",
        )
    )


def still_owned(owner: PushedBill) -> None:
    """Make sure, inside the transaction that records an outcome, that the bill is still ours to record."""
    if not work.fenced(owner).select_for_update(of=LOCKABLE).exists():
        raise work.LeaseLost(f"{owner} belongs to another worker now.")


def owned(owner: PushedBill) -> PushedBill:
    """Lock a claimed bill for the rest of the transaction, as it is stored, if it is still ours to record."""
    known = work.fenced(owner).select_for_update(of=LOCKABLE).first()
    if known is None:
        raise work.LeaseLost(f"{owner} belongs to another worker now.")
    return known


def lost_charges(pushes: QuerySet[Push]) -> QuerySet[Push]:
    """Those that Paddle will not collect, and may have all the same; not what it has given back whole since."""
    gone_back = (PushedBill.Payment.REFUNDED, PushedBill.Payment.CREDITED)
    lost = pushes.filter(state=Push.State.LOST)
    return lost.exclude(Q(kind=Push.Kind.REFUND) | Q(payment__in=gone_back)).order_by("bill_id", "ordinal")


def open_beside(push: Push) -> QuerySet[Push]:
    """Other pushes of the same bill that Paddle may or may not have: what becomes of the bill hangs on them."""
    return Push.objects.filter(bill_id=push.bill_id, state__in=OPEN).exclude(pk=push.pk)


def immediate_charges(*, since: datetime, subscription_id: str = "") -> dict[str, list[datetime]]:
    """When immediate charges were asked of Paddle since a moment, in order, by subscription: refused ones count too.

    What was refused has no `sent_at` any more, so it is found by its history.
    """
    pushes = Push.objects.filter(mode=PushPolicy.Mode.IMMEDIATELY)
    if subscription_id:
        pushes = pushes.filter(paddle_subscription_id=subscription_id)
    sent = pushes.filter(sent_at__gte=since).values_list("paddle_subscription_id", "sent_at")
    asked = PushAttempt.objects.filter(step="charge", phase="after", outcome__in=REFUSED, at__gte=since)
    refused = asked.filter(push__in=pushes).values_list("push__paddle_subscription_id", "at")
    found: dict[str, list[datetime]] = {}
    for subscription, at in (*sent, *refused):
        if at is not None:
            found.setdefault(subscription, []).append(at)
    return {subscription: sorted(moments) for subscription, moments in found.items()}


REFUSED = (State.FAILED, State.HELD)
"""What a charge comes to that Paddle refused, such as one that was declined: that counts too."""


def waiting_for(subscription_id: str) -> QuerySet[PushedBill]:
    """Bills that wait for something on a subscription to change."""
    return PushedBill.objects.filter(serial_key=subscription_id, state=State.WAITING)


def resume(subscription_id: str, *reasons: str) -> int:
    """Let bills that wait on a subscription try again now: for another push, or for what else is named."""
    waiting = waiting_for(subscription_id).filter(reason__in=reasons or (Reason.ANOTHER_PUSH,))
    count = waiting.update(due_at=clock.now())
    if count:
        work.wake_up(PUSH)
    return count
