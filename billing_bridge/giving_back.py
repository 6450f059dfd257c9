"""Paddle's adjustments tell what was given back: by a refund of ours, by somebody in Paddle's console, by a bank."""

from collections.abc import Sequence
from dataclasses import replace

from django.db import transaction
from django.db.models import QuerySet, Sum

from billing_bridge import carrying, charges, deciding, importing, ledger, looking, money, payments, settlement
from billing_bridge.charges import Verdict
from billing_bridge.ledger import ACCEPTED
from billing_bridge.models import BillEntry, Push, PushedBill
from billing_bridge.modes.refund import marked
from billing_bridge.payments import GIVEN_BY_OTHERS, GivenInAll
from integration_project import finding
from integration_project.errors import Ignored, Permanent, Temporary
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import APPROVED, Adjustment, Transaction
from integration_project.vendors.reading import Unreadable
from paddle_sync.models import WebhookEvent

State = PushedBill.State
Reason = PushedBill.Reason
Payment = PushedBill.Payment


def adjustment_changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A refund, credit or chargeback came about or was decided: ours is settled by it, and payments show it.

    News comes in any order, so what counts is what Paddle says of the transaction now.
    """
    happened = _adjustment(event)
    refunds = list(payments.refunds_named(happened.words).select_related("bill").order_by("id"))
    mark = marked(happened.reason)
    unknown = ""
    if mark and not Push.objects.filter(push_id=mark).exists():
        unknown = settlement.report_mark(mark, f"Adjustment {happened.id} of transaction {happened.transaction_id}")
    if not refunds and not _is_on_ours(happened):
        if unknown:
            event.note = unknown
            return
        raise Ignored("It concerns no charge of ours.")
    carried = vendors.paddle.get_transaction(happened.transaction_id)
    adjustments = list(vendors.paddle.list_adjustments(transaction_ids=(happened.transaction_id,)))
    newest = next((each for each in adjustments if each.id == happened.id), happened)
    said = [_settle_refund(push, newest, adjustments) for push in refunds]
    charged = Push.objects.filter(push_id__in=carried.push_ids).exclude(kind=Push.Kind.REFUND)
    said += [_give_back(push, carried, adjustments) for push in charged.filter(state__in=ACCEPTED).order_by("id")]
    if charged.exclude(state__in=ACCEPTED).exists():
        raise Temporary(
            "It is about a charge that is not known to be made yet; it is noted after that.", retry_after=300
        )
    if unknown:
        said.append(unknown)
    if not said:
        raise Ignored("It concerns no charge of ours.")
    event.note = " ".join(said)


def _is_on_ours(happened: Adjustment) -> bool:
    """Whether the transaction may carry something of ours."""
    charged = Push.objects.exclude(kind=Push.Kind.REFUND)
    if charged.filter(paddle_transaction_id=happened.transaction_id).exists():
        return True
    of = happened.subscription_id
    return bool(of) and charged.filter(paddle_subscription_id=of).exists()


def _adjustment(event: WebhookEvent) -> Adjustment:
    try:
        return Adjustment.from_paddle(event.payload.entity())
    except Unreadable as error:
        raise Permanent(f"The adjustment cannot be read: {error}") from None


def _settle_refund(push: Push, happened: Adjustment, adjustments: Sequence[Adjustment]) -> str:
    """Apply what an adjustment says to the refund that it is.

    A refund whose answer was lost, and which was rejected unseen, is asked for again under its push id: then what was
    rejected says nothing any more.
    """
    again = any(each.stands and push.push_id in each.words for each in adjustments)
    if not happened.stands and (again or push.state not in ACCEPTED):
        return f"Adjustment {happened.id} of refund {push.push_id} is {happened.status}; nothing hangs on it."
    if push.paddle_adjustment_id not in {"", happened.id}:
        if happened.stands:
            looking.report_double(push, f"in adjustments {push.paddle_adjustment_id} and {happened.id}")
        return f"Refund {push.push_id} is in adjustment {push.paddle_adjustment_id} too."
    Push.objects.filter(pk=push.pk, paddle_adjustment_id="").update(paddle_adjustment_id=happened.id)
    if push.state not in ACCEPTED and happened.stands:
        looking.record_made(
            push,
            amount=payments.asked_or(push, subtotal=happened.totals.subtotal, total=happened.totals.total),
            detail=f"Paddle made adjustment {happened.id} of it.",
            owner=None,
            transaction_id=happened.transaction_id,
        )
        push.refresh_from_db()
    if happened.status == APPROVED:
        Push.objects.filter(pk=push.pk).update(payment=Payment.REFUNDED)
    if not happened.stands:
        looking.lose(push, f"Paddle's adjustment {happened.id} is {happened.status}.")
    return f"Refund {push.push_id} in adjustment {happened.id}: {happened.status}."


def _give_back(push: Push, carried: Transaction, adjustments: Sequence[Adjustment]) -> str:
    told = payments.given_back(push, carried, adjustments)
    with transaction.atomic():
        bill, locked = ledger.locked_with_push(push.pk)
        gone_before, asked_before = deciding.gone_outside(bill), deciding.others_ask_for(bill)
        locked.refunded, locked.given_by_others, locked.others_ask_for = told.given, told.by_others, told.asked
        paid = Payment.PAID if locked.payment in payments.GIVEN_OR_TAKEN else locked.payment
        had_gone_back, locked.payment = locked.payment != Payment.PAID, payments.with_refunds(locked, paid)
        locked.save(update_fields=("refunded", "given_by_others", "others_ask_for", "payment"))
        payments.add_up(bill)
        _report_given_by_others(locked, told.by_others, carried.id)
        if had_gone_back and locked.payment == Payment.PAID and locked.state == Push.State.LOST:
            settlement.collected_after_all(bill, locked, carried.id, is_news=True)
        _open_what_came_back(bill, gone_before=gone_before, asked_before=asked_before)
        _take_back_what_was_given_twice(bill, locked, carried, adjustments)
    return f"{money.words(told.given, push.currency)} of push {push.push_id} was given back."


def _open_what_came_back(bill: PushedBill, *, gone_before: int, asked_before: int) -> None:
    """What a locked bill wrote off because it had gone back is owed again where Paddle took that back since.

    A person decides about it. Whoever waited for Paddle's decision about a refund reads that it was made.
    """
    counted = max(-bill.written_off, 0)
    again = min(counted, gone_before) - min(counted, deciding.gone_outside(bill))
    if again > 0:
        note = f"{money.words(again, bill.currency)} that had gone back was taken back in Paddle."
        ledger.post(bill, BillEntry.Kind.WRITTEN_OFF, again, note=note)
    waited_for = charges.asked_words(bill, asked_before)
    waits = bill.state == State.HELD and waited_for and waited_for in bill.reason_detail
    if waits or (again > 0 and bill.state in (*importing.SETTLED, State.SUPERSEDED)):
        _hold(bill)


def _take_back_what_was_given_twice(
    bill: PushedBill, push: Push, carried: Transaction, adjustments: Sequence[Adjustment]
) -> None:
    """A credit that a locked bill left is none where others had given that back before, and the news of it is late.

    It is counted as given, and what of the credit nobody has used yet is taken back; where that is less, or Paddle has
    yet to decide, a person decides too. What is given back after a credit was left may be meant to come on top of it.
    """
    left, told = _left_too_late(bill, push, carried, adjustments)
    counted = _sum_of(BillEntry.Kind.WRITTEN_OFF, bill.entries.all())  # whatever a person decided about it since
    twice = max(min(told.by_others, deciding.gone_outside(bill) - counted, left), 0)
    words = f"{money.words(twice, bill.currency)} of it was given back in Paddle before it was carried as a credit too."
    used = asked = 0
    if twice:
        ledger.post(bill, BillEntry.Kind.WRITTEN_OFF, -twice, note=words)
        used = twice - carrying.call_in_credits(bill, twice, note=words)
    if told.asked > 0:
        note = "Somebody had asked Paddle to give that back before it was carried."
        asked = carrying.call_in_credits(bill, min(told.asked, left - twice), note=note)
    goes_on = bill.state in (*importing.SETTLED, *importing.GOES_ON, State.SUPERSEDED, State.FAILED)
    is_held_for_it = bill.state == State.HELD and bill.reason in {Reason.CHANGED, Reason.DELETED}
    if (used or asked) and (goes_on or is_held_for_it):
        _hold(bill, f"{words} Later bills have used {money.words(used, bill.currency)} of that." if used else "")


def _left_too_late(
    bill: PushedBill, push: Push, carried: Transaction, adjustments: Sequence[Adjustment]
) -> tuple[int, GivenInAll]:
    """How much of a bill's credits was left after others gave back something of a push, and what they gave until then.

    What the bill has taken back of its credits since is none, nor is what was found here to be given twice.
    """
    left, taken_back, told = 0, 0, GivenInAll(0, 0, 0)
    for entry in bill.carried_entries.filter(amount__lt=0).order_by("at", "id"):
        before = [each for each in adjustments if each.created_at is not None and each.created_at < entry.at]
        given = payments.given_back(push, carried, before)
        if given.by_others > 0 or given.asked > 0:
            left, told = left - entry.amount, given
            taken_back += _sum_of(BillEntry.Kind.CARRIED_IN, entry.entries.filter(bill=bill))
    found_before = _sum_of(BillEntry.Kind.WRITTEN_OFF, bill.entries.filter(by=""))
    return max(left - max(taken_back, found_before), 0), told


def _sum_of(kind: BillEntry.Kind, entries: QuerySet[BillEntry]) -> int:
    """What credits of a kind come to, above zero."""
    return -(entries.filter(kind=kind, amount__lt=0).aggregate(sum=Sum("amount"))["sum"] or 0)


def _hold(bill: PushedBill, said: str = "") -> None:
    verdict = deciding.deleted_verdict(bill) if bill.m3ter_status == ledger.GONE else _changed(bill)
    columns = deciding.columns(replace(verdict, detail=f"{verdict.detail} {said}".rstrip()))
    PushedBill.objects.filter(pk=bill.pk).update(
        **columns, reviewed_revision=None, lease=None, lease_until=None, leased_by=""
    )


def _changed(bill: PushedBill) -> Verdict:
    told = charges.told_words(bill, deciding.gone_outside(bill), deciding.others_ask_for(bill))
    return charges.held(Reason.CHANGED, f"{charges.changed_words(bill)} {told}".rstrip())


def _report_given_by_others(push: Push, amount: int, transaction_id: str) -> None:
    """Money of a bill went back without a refund of ours: m3ter and the ledger still say that it is owed."""
    if amount <= 0:
        finding.settle(GIVEN_BY_OTHERS, push.push_id, reason="It was taken back, or is a refund of ours.")
        return
    finding.report(
        GIVEN_BY_OTHERS,
        push.push_id,
        detail=f"{money.words(amount, push.currency)} of push {push.push_id} was refunded, credited or charged back on "
        f"transaction {transaction_id}, and not by this application. m3ter's bill still says that it is owed.",
        next_step="If the bill was wrong, correct it in m3ter: it is held then, and what the customer has already is "
        "written off there. Close this when the loss is accepted.",
    )
