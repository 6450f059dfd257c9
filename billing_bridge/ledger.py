"""A bill's ledger: entries are appended, and the bill's columns added up anew in the same transaction."""

from django.db import transaction
from django.db.models import QuerySet

from billing_bridge import money, owed
from billing_bridge.models import BillEntry, Push, PushedBill
from billing_bridge.queues import CONFIRM, FINISH, PUSH
from integration_project import clock, work

State = PushedBill.State
Reason = PushedBill.Reason
LOCKABLE = ("self",)
OPEN = (Push.State.PUSHING, Push.State.UNCONFIRMED)


def locked(bill_id: int) -> PushedBill:
    """Lock a bill for the rest of the transaction; bills are always locked before their pushes."""
    return PushedBill.objects.select_for_update(of=LOCKABLE).get(pk=bill_id)


def post(bill: PushedBill, kind: str, amount: int, *, push: Push | None = None, by: str = "", note: str = "") -> None:
    """Append an entry to a locked bill and add up its columns."""
    BillEntry.objects.create(bill=bill, push=push, kind=kind, amount=amount, at=clock.now(), by=by, note=note)
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


def record_pushed(
    push_id: int, *, amount: int, detail: str, owner: PushedBill | None, transaction_id: str = ""
) -> bool:
    """Paddle has this push: note it once, whoever learns of it and how often. False: it was known already.

    `owner` is the claimed bill of whoever records; None means a webhook or a person, who take it from any worker.
    Where another push of the bill is open, that one settles the bill, and whoever sees to it keeps it.
    """
    with transaction.atomic():
        if owner is not None:
            still_owned(owner)
        bill = locked(Push.objects.values_list("bill_id", flat=True).get(pk=push_id))
        push = Push.objects.select_for_update(of=LOCKABLE).get(pk=push_id)
        if push.state in {Push.State.PUSHED, Push.State.LOST}:
            return False
        push.state = Push.State.PUSHED
        push.settled_at = clock.now()
        push.detail = detail
        push.sent_at = push.sent_at or push.settled_at
        push.paddle_transaction_id = transaction_id or push.paddle_transaction_id
        push.save(update_fields=("state", "settled_at", "detail", "sent_at", "paddle_transaction_id"))
        post(bill, BillEntry.Kind.PUSHED, amount, push=push, note=detail)
        if not open_beside(push).exists():
            _settled_by_push(bill)
        elif owner is not None:
            _look_for_the_other(bill)
        resume(push.paddle_subscription_id)
    return True


def open_beside(push: Push) -> QuerySet[Push]:
    """Other pushes of the same bill that Paddle may or may not have: what becomes of the bill hangs on them."""
    return Push.objects.filter(bill_id=push.bill_id, state__in=OPEN).exclude(pk=push.pk)


def _look_for_the_other(bill: PushedBill) -> None:
    """The owner of a bill recorded one of its pushes and is done with it; another push has yet to be looked for."""
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.UNCONFIRMED, due_at=clock.now(), lease=None, lease_until=None, leased_by="", updated_at=clock.now()
    )
    work.wake_up(CONFIRM)


def _settled_by_push(bill: PushedBill) -> None:
    """Move a bill on that Paddle has something of: all of it, or not what it says."""
    whole = bill.outstanding == 0
    detail = "" if whole else _difference(bill)
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.PUSHED if whole else State.HELD,
        reason=Reason.NONE if whole else Reason.CHANGED,
        reason_detail=detail,
        due_at=clock.now() if whole else None,
        attempts=0,
        looks=0,
        last_error="",
        lease=None,
        lease_until=None,
        leased_by="",
        updated_at=clock.now(),
    )
    work.wake_up(FINISH)


def _difference(bill: PushedBill) -> str:
    in_paddle = money.words(bill.in_paddle, bill.currency)
    return (
        f"m3ter says {money.words(bill.payable, bill.currency)}, Paddle has {in_paddle}: "
        f"{money.words(bill.outstanding, bill.currency)} is open. A difference is not charged or credited by itself."
    )


def changed_words(bill: PushedBill) -> str:
    """Say what is different between m3ter and Paddle for a bill that was charged."""
    return _difference(bill)


def record_lost(push_id: int, *, detail: str) -> bool:
    """Paddle accepted this push and will not collect it: what it was for is outstanding again. False: known already.

    Where another push of the bill is open, that one settles the bill.
    """
    with transaction.atomic():
        bill = locked(Push.objects.values_list("bill_id", flat=True).get(pk=push_id))
        push = Push.objects.select_for_update(of=LOCKABLE).get(pk=push_id)
        entry = push.entries.filter(kind=BillEntry.Kind.PUSHED).first()
        if push.state != Push.State.PUSHED or entry is None:
            return False
        push.state = Push.State.LOST
        push.detail = detail
        push.save(update_fields=("state", "detail"))
        post(bill, BillEntry.Kind.LOST, entry.amount, push=push, note=detail)
        if open_beside(push).exists():
            return True
        PushedBill.objects.filter(pk=bill.pk).update(
            state=State.LOST,
            reason=Reason.NONE,
            reason_detail=detail,
            due_at=None,
            lease=None,
            lease_until=None,
            leased_by="",
            updated_at=clock.now(),
        )
    return True


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
