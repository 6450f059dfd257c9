"""The carried balance of a m3ter account: what a bill leaves to the next, and what a bill takes of it.

Entries are taken oldest first. A push reserves what it takes in the transaction that writes down its intent; what is
reserved becomes the bill's when Paddle accepts the push, and is free again when it is refused or proved absent.
"""

from collections.abc import Sequence

from django.db.models import Q, QuerySet, Sum

from billing_bridge import ledger, money
from billing_bridge.composing import Tax
from billing_bridge.models import BillEntry, CarriedEntry, Push, PushedBill
from billing_bridge.netting import Carried, Netting
from integration_project import clock, finding
from integration_project.models import Finding
from integration_project.vendors.paddle.entities import CANCELED
from paddle_sync.models import AccountLink

LEFT_OVER = "carried balance left"
Kind = BillEntry.Kind


def available(bill: PushedBill, *pushes: Push, lock: bool) -> list[CarriedEntry]:
    """What a bill may take: nobody's else, or reserved by these pushes of its own already; oldest first."""
    free = Q(reserved_by__isnull=True)
    for push in pushes:
        if push.pk is not None:
            free |= Q(reserved_by=push)
    entries = _of_account(bill.m3ter_account_id, bill.currency).filter(free).order_by("id")
    return list(entries.select_for_update(of=("self",)) if lock else entries)


def free_entries(m3ter_account_id: str, currency: str) -> list[CarriedEntry]:
    """What the next bill of an account would find, oldest first; locks nothing."""
    return list(_of_account(m3ter_account_id, currency).filter(reserved_by__isnull=True).order_by("id"))


def debits(bill: PushedBill) -> int:
    """What earlier bills of the account left to be charged with the next."""
    return sum(entry.remaining for entry in free_entries(bill.m3ter_account_id, bill.currency) if entry.remaining > 0)


def lost_and_left(bill: PushedBill) -> QuerySet[Push]:
    """Charges that Paddle will not collect, of other bills that left something for this one to charge."""
    left = _of_account(bill.m3ter_account_id, bill.currency).filter(remaining__gt=0, reserved_by=None)
    return ledger.lost_charges(Push.objects.filter(bill__in=left.values("source_bill")).exclude(bill=bill))


def _of_account(m3ter_account_id: str, currency: str) -> QuerySet[CarriedEntry]:
    return CarriedEntry.objects.filter(m3ter_account_id=m3ter_account_id, currency=currency).exclude(remaining=0)


def as_parts(entries: Sequence[CarriedEntry]) -> list[Carried]:
    """What of entries the sums need."""
    return [Carried(entry.pk, entry.remaining) for entry in entries]


def balance(m3ter_account_id: str, currency: str) -> int:
    """What an account has carried; above zero the customer owes it."""
    return _of_account(m3ter_account_id, currency).aggregate(total=Sum("remaining"))["total"] or 0


def carry_out(bill: PushedBill, amount: int, *, note: str, by: str = "", tax: Tax | None = None) -> None:
    """Let a locked bill leave an amount to the next one of its account; below zero, a credit.

    `tax` is how all of it is taxed; None where that is in several ways, or nobody knows.
    """
    entry = CarriedEntry.objects.create(
        m3ter_account_id=bill.m3ter_account_id,
        currency=bill.currency,
        source_bill=bill,
        amount=amount,
        remaining=amount,
        tax_category=tax.category if tax is not None else "",
        tax_mode=tax.mode if tax is not None else "",
        at=clock.now(),
        note=note,
    )
    ledger.post(bill, Kind.CARRIED_OUT, amount, carried=entry, by=by, note=note)
    living = AccountLink.objects.filter(m3ter_account_id=bill.m3ter_account_id, state=AccountLink.State.LIVE)
    if not living.exclude(paddle_status=CANCELED).exists():
        report_left_over(bill.m3ter_account_id, bill.m3ter_account_code)


def take(bill: PushedBill, parts: Sequence[Carried], *, note: str, by: str = "", push: Push | None = None) -> None:
    """Let a locked bill take parts of locked entries."""
    for part in parts:
        entry = CarriedEntry.objects.select_for_update(of=("self",)).get(pk=part.entry_id)
        entry.remaining -= part.remaining
        entry.reserved_by = None
        entry.save(update_fields=("remaining", "reserved_by"))
        ledger.post(bill, Kind.CARRIED_IN, part.remaining, carried=entry, push=push, by=by, note=note)
    if parts:
        settle_left_over(bill.m3ter_account_id, bill.currency, reason=note)


def call_in(bill: PushedBill, *, note: str, credits: bool = False, by: str = "") -> bool:
    """Let a locked bill have again what it left for later bills to charge, as far as none of them has taken it.

    `credits`: what it left to lower them, instead.
    """
    sign = Q(remaining__lt=0) if credits else Q(remaining__gt=0)
    left = CarriedEntry.objects.select_for_update(of=("self",)).filter(sign, source_bill=bill)
    free = list(left.filter(reserved_by=None).order_by("pk"))
    take(bill, as_parts(free), note=note, by=by)
    return bool(free)


def call_in_credits(bill: PushedBill, amount: int, *, note: str) -> int:
    """Let a locked bill have again so much of the credits that it left, newest first; how much nobody has taken yet."""
    left = CarriedEntry.objects.select_for_update(of=("self",)).filter(source_bill=bill, remaining__lt=0)
    called_in = 0
    for entry in left.filter(reserved_by=None).order_by("-pk"):
        if part := min(amount - called_in, -entry.remaining):
            take(bill, [Carried(entry.pk, -part)], note=note)
            called_in += part
    return called_in


def settle(bill: PushedBill, netting: Netting, *, tax: Tax | None, by: str = "") -> str:
    """Settle a locked bill without a charge: it takes what it may, and carries the rest. In words, what was done."""
    taken, left = taken_words(netting, bill.currency), left_words(netting, bill.currency)
    if taken:
        take(bill, netting.taken, note=taken, by=by)
    if left:
        carry_out(bill, netting.carry, note=left, by=by, tax=tax)
    return " ".join(words for words in (taken, left) if words)


def taken_words(netting: Netting, currency: str) -> str:
    """Say what a bill that is settled without a charge takes of the balance; empty where it takes nothing."""
    if not netting.taken:
        return ""
    return f"{money.words(-netting.carried_in, currency)} of earlier credits paid for it."


def left_words(netting: Netting, currency: str) -> str:
    """Say what a bill that is settled without a charge leaves to the next; empty where it leaves nothing."""
    if not netting.carry:
        return ""
    whose = "is carried to the next bill" if netting.carry > 0 else "of credit is carried to the next bills"
    return f"{money.words(abs(netting.carry), currency)} {whose}."


def reserve(push: Push, parts: Sequence[Carried]) -> None:
    """Keep entries for a push that is about to be made; they are free again when it is not."""
    if push.attempt > 1:
        push.release_carried()
    CarriedEntry.objects.filter(pk__in=[part.entry_id for part in parts]).update(reserved_by=push)


def take_reserved(bill: PushedBill, push: Push) -> None:
    """Paddle accepted a push: what it had reserved is the locked bill's."""
    entries = CarriedEntry.objects.filter(reserved_by=push).order_by("id")
    take(bill, as_parts(list(entries)), note=f"Charged with push {push.push_id}.", push=push)


def report_left_over(m3ter_account_id: str, account_code: str) -> None:
    """A subscription is cancelled: what its account has carried, no later bill may ever take."""
    currencies = CarriedEntry.objects.filter(m3ter_account_id=m3ter_account_id).exclude(remaining=0)
    for currency in sorted(set(currencies.values_list("currency", flat=True))):
        amount = balance(m3ter_account_id, currency)
        whom = "the customer owes" if amount > 0 else "the customer is owed"
        finding.report(
            LEFT_OVER,
            m3ter_account_id,
            key=currency,
            detail=f'The subscription of the account "{account_code}" is cancelled, and {whom} '
            f"{money.words(abs(amount), currency)} that was carried for a later bill.",
            next_step="If no later bill is coming, settle each carried entry on its page: take it back, then refund "
            "it, charge it or write it off on its bill.",
            severity=Finding.Severity.PROBLEM,
        )


def settle_left_over(m3ter_account_id: str, currency: str, *, reason: str) -> None:
    """Close the finding once nothing is left."""
    if not _of_account(m3ter_account_id, currency).exists():
        finding.settle(LEFT_OVER, m3ter_account_id, key=currency, reason=reason)
