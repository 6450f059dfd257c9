"""What a customer is owed goes back to them: a refund adjustment on a transaction that was paid."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from billing_bridge import adjusting, charges, money, payments
from billing_bridge.explaining import NOT_BILLED
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.modes.base import Mode, Order, Request, Seen
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import (
    CANCELED,
    COMPLETED,
    CREDIT,
    MANUAL,
    PENDING_APPROVAL,
    REFUND,
    Adjustment,
    FoundCharge,
    NewAdjustment,
    NewAdjustmentItem,
    Transaction,
)

NAME = "refund"
UNPAID = frozenset({"billed", "past_due"})
"""How an issued invoice stands that Paddle takes a credit on."""
LOOK_AGAIN = timedelta(hours=6)
SOON = timedelta(minutes=5)
"""Paddle's news of an adjustment should have come by then."""
MOST_TRANSACTIONS = 10
"""So many of an account's paid transactions are looked through for one that can be refunded, newest first."""


EXPLANATION = "bill {} corrected"
OURS = re.compile(rf"(?P<push>(?P<bill>\S+)-[0-9]+) {EXPLANATION.format('(?P=bill)')}")
"""The reason of an adjustment that some copy of this application asked for: push id, then the explanation."""


def marked(reason: str) -> str:
    """The push id in an adjustment's reason, whoever's it is; empty where the reason is none of ours."""
    found = OURS.fullmatch(reason)
    return found["push"] if found else ""


class Refund(Mode):
    """`POST /adjustments` for what one transaction has left; found by the push id in its reason.

    What was paid is refunded; what an invoice still asks for is lowered by a credit.
    """

    name = NAME
    label = "As a refund"
    on_subscription = False
    gives_back = True
    has_items = False
    untold = "Paddle has no preview of that: it gives back the tax on the amount as well."
    needs = (
        (PADDLE, "get transaction"),
        (PADDLE, "list adjustments"),
        (PADDLE, "create adjustment"),
    )

    def request(self, order: Order) -> Request:
        """Which transaction can be refunded, only Paddle can say."""
        return Request(None, [], order.amount)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Find a transaction with something left to give back: of this bill first, then of the account's others."""
        for push in (*_unpaid_invoices(order.bill), *_paid_pushes(order.bill)):
            transaction = vendors.paddle.get_transaction(push.paddle_transaction_id)
            adjustments = list(vendors.paddle.list_adjustments(transaction_ids=(transaction.id,)))
            if any(order.marks.push_id in adjustment.words and adjustment.stands for adjustment in adjustments):
                return Seen(there_already=True, request=Request(None, [], order.amount, transaction.id))
            if push.bill_id == order.bill.pk and _is_news(payments.given_back(push, transaction, adjustments), push):
                words = f"Somebody has given something back on transaction {transaction.id}, which is not noted here."
                return Seen(verdict=charges.waiting(charges.Reason.REFUND, f"{words} It goes on then.", now + SOON))
            action = _action(transaction)
            asked = _request(order, push, transaction, adjustments, action or REFUND)
            if asked is None:
                continue
            if transaction.status in NOT_BILLED:
                words = f"Invoice {transaction.id} is a draft: correct or cancel it in Paddle."
                return Seen(verdict=charges.held(charges.Reason.REFUND, words))
            if not action or _is_pending(adjustments):  # Paddle takes none on it as yet
                words = f"Transaction {transaction.id} takes no refund yet; it goes on when Paddle is done with it."
                return Seen(verdict=charges.waiting(charges.Reason.REFUND, words, now + LOOK_AGAIN))
            return Seen(request=asked)
        words = (
            f"No paid transaction of the account has anything of ours left to refund "
            f"{money.words(order.amount, order.currency)} from."
        )
        return Seen(verdict=charges.held(charges.Reason.REFUND, words))

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Ask for the refund; it may wait for Paddle's approval."""
        return vendors.paddle.create_adjustment(request.body).transaction_id

    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say that Paddle may take its time."""
        return "given back in Paddle, which may take days to approve a refund"

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every adjustment that it may be: of its transaction, or of all of the account's where none is known."""
        on = push.paddle_transaction_id
        found = vendors.paddle.find_adjustment(
            push.push_id,
            transaction_ids=(on,) if on else _transactions_of(push),
            subscription_id="" if on else subscription_id,
        )
        if found is None:
            return None
        status = found.status if found.stands else CANCELED
        amount = payments.asked_or(push, subtotal=found.amount, total=found.total)
        return FoundCharge(push.push_id, found.transaction_id, status, "adjustments", amount, found.places)


def _action(transaction: Transaction) -> str:
    """What gives money back on a transaction as it stands now: credit lowers what an unpaid invoice asks for."""
    if transaction.status == COMPLETED:
        return REFUND
    is_invoice = transaction.collection_mode == MANUAL
    return CREDIT if is_invoice and transaction.status in UNPAID else ""


def _is_news(told: payments.GivenInAll, push: Push) -> bool:
    """Whether others gave back more of a push, or ask for more, than is known here."""
    return told.by_others > push.given_by_others or told.asked > push.others_ask_for


def _is_pending(adjustments: Sequence[Adjustment]) -> bool:
    return any(adjustment.status == PENDING_APPROVAL for adjustment in adjustments)


def _transactions_of(push: Push) -> list[str]:
    """The transactions that collected anything of the push's account, refunded since or not."""
    collected = Push.objects.filter(bill__m3ter_account_id=push.bill.m3ter_account_id, collected__gt=0)
    ids = collected.exclude(paddle_transaction_id="").values_list("paddle_transaction_id", flat=True)
    return sorted(set(ids))


def _unpaid_invoices(bill: PushedBill) -> Sequence[Push]:
    """Invoices of the bill that nobody has paid yet, as far as is known."""
    invoices = bill.pushes.filter(mode=PushPolicy.Mode.INVOICE, state=Push.State.PUSHED)
    return list(invoices.exclude(payment__in=payments.GIVEN_OR_TAKEN).exclude(paddle_transaction_id="").order_by("-id"))


def _paid_pushes(bill: PushedBill) -> Sequence[Push]:
    """Charges that were paid: of the bill itself, or the newest of the account's where nothing of it was collected."""
    paid = Push.objects.filter(
        bill__m3ter_account_id=bill.m3ter_account_id,
        currency=bill.currency,
        state=Push.State.PUSHED,
        payment=PushedBill.Payment.PAID,
        mode__in=PushPolicy.Mode.values,
    ).exclude(kind=Push.Kind.REFUND)
    own = bill.pushes.filter(payment__in=payments.GIVEN_OR_TAKEN).exclude(kind=Push.Kind.REFUND)
    if own.exists():  # what was paid of this bill is all that can go back for it
        return list(paid.filter(bill=bill).order_by("-id"))
    return list(paid.exclude(bill=bill).order_by("-id")[:MOST_TRANSACTIONS])


def _request(
    order: Order, push: Push, transaction: Transaction, adjustments: Sequence[Adjustment], action: str
) -> Request | None:
    """Write the adjustment of as much as the push's lines have left; None when nothing is left of them.

    An adjustment has its amounts with tax in them or without, so it is of lines of one kind: those of the largest that
    has something left. What they do not cover goes on with the next.
    """
    inside = transaction.lines_with_tax_inside
    taken: dict[str, int] = {}
    for adjustment in adjustments:
        sign = adjusting.claimed(adjustment.action, adjustment.status)
        for item in adjustment.items:
            amount = payments.counted(item.totals, tax_inside=item.item_id in inside)
            taken[item.item_id] = taken.get(item.item_id, 0) + sign * amount
    left, kind = order.amount, None
    items = []
    for line in sorted(transaction.lines_of(push.push_id), key=lambda line: (-line.totals.subtotal, line.id)):
        tax_inside = line.id in inside
        share = min(left, payments.collected(line.totals, tax_inside=tax_inside) - taken.get(line.id, 0))
        if share > 0 and kind in {None, tax_inside}:
            kind = tax_inside
            items.append(NewAdjustmentItem(line.id, share))
            left -= share
    if not items:
        return None
    refund = NewAdjustment(
        action=action,
        transaction_id=transaction.id,
        push_id=order.marks.push_id,
        explanation=EXPLANATION.format(order.marks.bill_id),
        items=tuple(items),
        tax_mode="internal" if kind else "external",
    )
    return Request(refund, [refund.to_paddle()], order.amount - left, transaction.id)
