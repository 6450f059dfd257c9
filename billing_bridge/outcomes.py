"""What became of a push, written into its bill and the bill's ledger: Paddle has it, or will not collect it."""

from typing import Any

from django.db import transaction

from billing_bridge import carrying, charges, ledger, modes
from billing_bridge.ledger import LOCKABLE
from billing_bridge.models import BillEntry, Push, PushedBill, PushPolicy
from billing_bridge.queues import CONFIRM, FINISH, PUSH
from integration_project import clock, work

State = PushedBill.State
Reason = PushedBill.Reason
Kind = BillEntry.Kind


def record_pushed(
    push_id: int, *, amount: int, detail: str, owner: PushedBill | None, transaction_id: str = ""
) -> bool:
    """Paddle has this push: note it once, whoever learns of it and how often. False: it was known already.

    `owner` is the claimed bill of whoever records; None means a webhook or a person, who take it from any worker.
    Where another push of the bill is open, that one settles the bill, and whoever sees to it keeps it.
    """
    with transaction.atomic(savepoint=False):
        if owner is not None:
            ledger.still_owned(owner)
        bill = ledger.locked_of(push_id)
        push = Push.objects.select_for_update(of=LOCKABLE).get(pk=push_id)
        if push.state in {Push.State.PUSHED, Push.State.LOST}:
            return False
        push.state = Push.State.PUSHED
        push.settled_at = clock.now()
        push.detail = detail
        push.sent_at = push.sent_at or push.settled_at
        push.paddle_transaction_id = transaction_id or push.paddle_transaction_id
        push.save(update_fields=("state", "settled_at", "detail", "sent_at", "paddle_transaction_id"))
        if push.kind == Push.Kind.REFUND:
            ledger.post(bill, Kind.CREDITED, amount, push=push, note=detail)
            if _lowered_what_is_no_more(bill, push):
                _take_out(bill, push, NO_MORE)
        else:
            ledger.post(bill, Kind.PUSHED, amount, push=push, note=detail)
            carrying.take_reserved(bill, push)
        if not ledger.open_beside(push).exists():
            _settled_by_push(bill, push)
        elif owner is not None:
            _look_for_the_other(bill)
        ledger.resume(push.paddle_subscription_id)
    return True


NO_MORE = "It lowered an invoice that is no more."


def _lowered_what_is_no_more(bill: PushedBill, credit: Push) -> bool:
    """Whether a credit that was found late is one on an invoice of the bill that was cancelled meanwhile."""
    lost = bill.pushes.filter(state=Push.State.LOST, mode=PushPolicy.Mode.INVOICE)
    on_it = credit.paddle_transaction_id
    return bool(on_it) and lost.filter(paddle_transaction_id=on_it).exclude(kind=Push.Kind.REFUND).exists()


def _look_for_the_other(bill: PushedBill) -> None:
    """The owner of a bill recorded one of its pushes and is done with it; another push has yet to be looked for."""
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.UNCONFIRMED, due_at=clock.now(), lease=None, lease_until=None, leased_by="", updated_at=clock.now()
    )
    work.wake_up(CONFIRM)


def _settled_by_push(bill: PushedBill, push: Push) -> None:
    """Move a bill on that Paddle has something of: all of it, or not what it says. That needs a new review then.

    Where one transaction had less to refund than the customer is owed, the refund goes on with the next, as long as
    what a person chose stands.
    """
    goes_on = bool(bill.chosen_mode) and modes.of(bill.chosen_mode).gives_back
    if goes_on and push.kind == Push.Kind.REFUND and bill.outstanding < 0:
        columns = {"state": State.READY, "reason": Reason.NONE, "reason_detail": "", "due_at": clock.now()}
    else:
        columns = settled_columns(bill) if bill.outstanding == 0 else _changed_columns(bill)
        columns["chosen_mode"] = ""
    PushedBill.objects.filter(pk=bill.pk).update(
        **columns,
        attempts=0,
        looks=0,
        last_error="",
        lease=None,
        lease_until=None,
        leased_by="",
        updated_at=clock.now(),
    )
    work.wake_up(PUSH if columns["state"] == State.READY else FINISH)


def settled_columns(bill: PushedBill, words: str = "") -> dict[str, Any]:
    """What becomes of a bill of which nothing is open: it is due to be finished in m3ter, where there is one."""
    if bill.m3ter_status == ledger.GONE:
        return {
            "state": State.SUPERSEDED,
            "reason": Reason.DELETED,
            "reason_detail": words,
            "due_at": None,
            "reviewed_revision": None,
        }
    state = State.PUSHED if bill.in_paddle else State.CARRIED
    return {"state": state, "reason": Reason.NONE, "reason_detail": words, "due_at": clock.now()}


def _changed_columns(bill: PushedBill) -> dict[str, Any]:
    return {
        "state": State.HELD,
        "reason": Reason.CHANGED,
        "reason_detail": charges.changed_words(bill),
        "due_at": None,
        "reviewed_revision": None,
    }


def record_withdrawn(push_id: int, *, detail: str) -> None:
    """We have taken a push back ourselves: it is open again, and what becomes of its bill is being decided already."""
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        if push.state != Push.State.PUSHED:
            return
        _take_out(bill, push, detail)


def _take_out(bill: PushedBill, push: Push, detail: str) -> None:
    """Note in a locked bill's ledger that Paddle does not carry a locked push of it out."""
    accepted = push.entries.filter(kind__in=(Kind.PUSHED, Kind.CREDITED)).get()
    push.state = Push.State.LOST
    push.detail = detail
    if push.kind == Push.Kind.REFUND:
        push.payment = PushedBill.Payment.NONE
    push.save(update_fields=("state", "detail", "payment"))
    if push.kind == Push.Kind.REFUND:
        ledger.post(bill, Kind.CREDITED, -accepted.amount, push=push, note=detail)
        return
    ledger.post(bill, Kind.LOST, accepted.amount, push=push, note=detail)
    if push.mode == PushPolicy.Mode.INVOICE and push.paddle_transaction_id:
        credits = bill.pushes.filter(kind=Push.Kind.REFUND, state=Push.State.PUSHED)
        for credit in credits.filter(paddle_transaction_id=push.paddle_transaction_id).select_for_update(of=LOCKABLE):
            _take_out(bill, credit, f"{NO_MORE} {detail}")


def record_lost(push_id: int, *, detail: str) -> bool:
    """Paddle accepted this push and will not carry it out: it is open again. False: known already, or never accepted.

    Where another push of the bill is open, that one settles the bill. A refund that Paddle rejected is taken back.
    """
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        if push.state != Push.State.PUSHED:
            return False
        _take_out(bill, push, detail)
        if not ledger.open_beside(push).exists():
            _reopen(bill, push, detail)
        elif push.kind == Push.Kind.REFUND:  # who chose how it goes back did not know that
            PushedBill.objects.filter(pk=bill.pk).update(chosen_mode="", reviewed_revision=None)
    return True


def _reopen(bill: PushedBill, push: Push, detail: str) -> None:
    """Leave it to Finance what becomes of an amount that Paddle will not collect, or not give back."""
    refund = push.kind == Push.Kind.REFUND
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.HELD if refund else State.LOST,
        reason=Reason.REFUND if refund else Reason.NONE,
        reason_detail=detail,
        due_at=None,
        reviewed_revision=None,
        chosen_mode="",
        lease=None,
        lease_until=None,
        leased_by="",
        updated_at=clock.now(),
    )
