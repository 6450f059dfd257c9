"""What Paddle collected and gave back of our charges, added up on each bill."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from billing_bridge import adjusting, ledger, money
from billing_bridge.explaining import Line
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.vendors.paddle.entities import Adjustment, PlainTotals, Totals, Transaction

Payment = PushedBill.Payment
GIVEN_OR_TAKEN = frozenset({Payment.PAID, Payment.REFUNDED, Payment.CREDITED})
"""What was paid does not become unpaid by older or lesser news."""
LONGEST_MARK = 80
"""No push id of ours is longer; a mark is somebody else's text until the push is found."""
GIVEN_BY_OTHERS = "given back outside"
"""The finding that somebody gave back what nobody here asked to."""


def in_payment(push: Push) -> Decimal:
    """What a push adds to a payment of Paddle Classic, in major units; what the customer is owed lowers it."""
    return money.in_major_units(-push.amount if push.kind == Push.Kind.REFUND else push.amount, push.currency)


def with_refunds(push: Push, payment: str) -> str:
    """What was paid and given back whole is not paid any more."""
    if payment != Payment.PAID or not push.refunded or push.refunded < push.collected:
        return payment
    return Payment.CREDITED if push.mode == PushPolicy.Mode.INVOICE else Payment.REFUNDED


def note_collected(push_id: int, transaction_id: str) -> bool:
    """Paddle Classic's payment has a push: all of it, since Classic does not say what a payment is made of.

    What the customer was owed and the payment was lowered by is given back with that. False: it was known.
    """
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        if push.payment in GIVEN_OR_TAKEN:
            return False
        push.paddle_transaction_id = push.paddle_transaction_id or transaction_id
        if push.kind == Push.Kind.REFUND:
            push.payment = Payment.REFUNDED
        else:
            push.payment, push.collected = Payment.PAID, push.amount
        push.save(update_fields=("paddle_transaction_id", "payment", "collected"))
        add_up(bill)
    return True


def note_in_doubt(push_id: int, transaction_id: str, words: str) -> PushedBill | None:
    """A payment of Paddle Classic should have a push, and what it comes to does not say whether it has.

    Gives the locked bill, inside the caller's transaction; None: it was known, or is settled by now.
    """
    with transaction.atomic(savepoint=False):
        bill, push = ledger.locked_with_push(push_id)
        if push.state != Push.State.PUSHED or push.payment in GIVEN_OR_TAKEN or push.paddle_transaction_id:
            return None
        push.payment, push.paddle_transaction_id, push.detail = Payment.NONE, transaction_id, words
        push.save(update_fields=("payment", "paddle_transaction_id", "detail"))
        add_up(bill)
    return bill


def forget_collected(push_id: int) -> None:
    """Nothing was collected of a push, whatever was said before."""
    with transaction.atomic():
        bill, push = ledger.locked_with_push(push_id)
        push.payment, push.collected = Payment.NONE, 0
        push.save(update_fields=("payment", "collected"))
        add_up(bill)


def add_up(bill: PushedBill) -> None:
    """A bill is paid when all its standing charges are; else the worst of them shows."""
    standing = bill.pushes.filter(Q(state=Push.State.PUSHED) | Q(payment=Payment.PAID)).exclude(kind=Push.Kind.REFUND)
    payments = set(standing.values_list("payment", flat=True))
    worst = (
        Payment.PAST_DUE,
        Payment.PAYMENT_FAILED,
        Payment.NONE,
        Payment.PAID,
        Payment.REFUNDED,
        Payment.CREDITED,
    )
    payment = next((candidate for candidate in worst if candidate in payments), Payment.NONE)
    sums = standing.aggregate(paid=Sum("collected"), refunded=Sum("refunded"))
    PushedBill.objects.filter(pk=bill.pk).update(
        payment=payment, paid=sums["paid"] or 0, refunded=sums["refunded"] or 0, updated_at=clock.now()
    )


def asked_or(push: Push, *, subtotal: int, total: int) -> int:
    """What a refund of ours gave back: what was asked, where Paddle's adjustment comes to that with or without tax."""
    return push.amount if push.amount in {subtotal, total} else subtotal


def refunds_named(words: Iterable[str]) -> QuerySet[Push]:
    """Our refunds whose ids are among the words of adjustments' reasons."""
    possible = [word for word in words if len(word) <= LONGEST_MARK and word.isprintable()]
    return Push.objects.filter(push_id__in=possible, kind=Push.Kind.REFUND)


@dataclass(frozen=True)
class GivenInAll:
    """What went back of a push, in minor units: in all, without a refund of ours, and what others still ask for."""

    given: int
    by_others: int
    asked: int


def given_back(push: Push, carried: Transaction, adjustments: Sequence[Adjustment]) -> GivenInAll:
    """Add up what all adjustments of its transaction say of a push."""
    lines, inside = {line.id for line in carried.lines_of(push.push_id)}, carried.lines_with_tax_inside
    words = {word for adjustment in adjustments for word in adjustment.words}
    ours = set(refunds_named(words).values_list("push_id", flat=True))
    given = by_others = asked = 0
    for adjustment in adjustments:
        size = sum(
            counted(item.totals, tax_inside=item.item_id in inside)
            for item in adjustment.items
            if item.item_id in lines
        )
        amount = adjusting.moved(adjustment.action, adjustment.status) * size
        given += amount
        if not ours & adjustment.words:
            by_others += amount
            asked += adjusting.claimed(adjustment.action, adjustment.status) * size - amount
        elif adjustment.status == adjusting.REVERSED:  # what reverses it names nobody: it is ours too
            by_others += amount
    return GivenInAll(given, by_others, asked)


def counted(totals: PlainTotals | Totals, *, tax_inside: bool) -> int:
    """An amount of Paddle's, counted as the item was asked for: before tax, or with it where that includes tax."""
    return totals.total if tax_inside else totals.subtotal


def collected(totals: Totals, *, tax_inside: bool) -> int:
    """What a line comes to after discounts, counted as its item was asked; a total has them taken off already."""
    return totals.total if tax_inside else totals.subtotal - totals.discount


def lines_of(push_id: str, found: Transaction) -> Iterator[Line]:
    """Pair items with their lines by price; a draft may have no lines yet, and an item no line."""
    by_price: defaultdict[str | None, list[Totals]] = defaultdict(list)
    for line in found.lines_of(push_id):
        by_price[line.price_id].append(line.totals)
    asked: defaultdict[tuple[str | None, bool], int] = defaultdict(int)
    for item in found.items_of(push_id):
        asked[item.price.id, item.price.tax_mode == "internal"] += item.amount
    for (price_id, is_tax_inside), amount in asked.items():
        totals = by_price.get(price_id, ())
        if not totals:
            yield Line(amount, amount, total=amount, is_tax_inside=is_tax_inside)
            continue
        yield Line(
            amount,
            sum(each.subtotal for each in totals),
            sum(each.discount for each in totals),
            sum(each.tax for each in totals),
            sum(each.total for each in totals),
            is_tax_inside,
        )
