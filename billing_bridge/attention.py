"""Tells people, by findings and so by mail, that bills wait for them: refused ones each, held ones by their reason.

That is looked up anew every minute, so that nothing that holds a bill, or lets it go, has to think of it.
"""

from collections.abc import Iterable

from django.db.models import Count, Max

from billing_bridge import money
from billing_bridge.models import Push, PushedBill
from integration_project import finding
from integration_project.finding import Found
from integration_project.models import Finding

State = PushedBill.State
Reason = PushedBill.Reason

REFUSED, HELD, TO_REVIEW = "charge refused", "bills held", "bills to review"
KINDS = (REFUSED, HELD, TO_REVIEW)
BY_A_PERSON = frozenset({Reason.OPERATOR})
"""What somebody decided needs no telling."""


def keep_in_step() -> int:
    """Open what waits for a person now, and close what does not any more; how many causes there are."""
    refused, held = _refused(), _held()
    _tell(REFUSED, refused, reason="It is not failed any more.")
    for kind in (TO_REVIEW, HELD):
        now = {subject: found for subject, found in held.items() if found.kind == kind}
        _tell(kind, now, reason="No bill is held for that any more.")
    return len(refused) + len(held)


def _refused() -> dict[str, Found]:
    failed = PushedBill.objects.filter(state=State.FAILED)
    pushes = Push.objects.filter(bill__state=State.FAILED).order_by("ordinal")
    tried = {push.bill_id: f"Attempt {push.attempt} of push {push.push_id} failed" for push in pushes.iterator()}
    return {bill.m3ter_bill_id: _refusal(bill, tried.get(bill.pk, "It failed")) for bill in failed.iterator()}


def _refusal(bill: PushedBill, tried: str) -> Found:
    """Which attempt it was is said too: what somebody acknowledged of one says nothing about the next."""
    amount = money.words(bill.outstanding, bill.currency)
    return Found(
        REFUSED,
        f"{amount} of {bill} is open. {tried}: {bill.reason_detail or bill.last_error}",
        "Put right what it names, then resend the bill on its page, or decide otherwise about it there.",
    )


def _held() -> dict[str, Found]:
    held = PushedBill.objects.filter(state=State.HELD).exclude(reason__in=BY_A_PERSON)
    counted = held.order_by("reason").values_list("reason").annotate(bills=Count("pk"), newest=Max("pk"))
    named = PushedBill.objects.in_bulk([newest for _, _, newest in counted])
    return {f"held: {reason}": _cause(reason, bills, named.get(newest)) for reason, bills, newest in counted}


def _cause(reason: str, bills: int, newest: PushedBill | None) -> Found:
    """How many, and the newest: what somebody acknowledged says nothing about bills that are held later."""
    words = f"{bills} bill{' is' if bills == 1 else 's are'} held: {Reason(reason).label}. The newest is {newest}."
    if reason == Reason.REVIEW:
        next_step = "Compare them with m3ter's lines, then approve, hold or skip them."
        return Found(TO_REVIEW, words, next_step, severity=Finding.Severity.NOTICE)
    return Found(HELD, words, "Each bill's page says what to do about it.")


def _tell(kind: str, now: dict[str, Found], *, reason: str) -> None:
    """Say what holds now of one kind; what is open and says the same is left alone."""
    open_ones = dict(Finding.objects.filter(kind=kind, state=Finding.State.OPEN).values_list("subject", "detail"))
    for subject in _differing(open_ones, now):
        found = [now[subject]] if subject in now else []
        finding.keep_in_step(subject, found, (kind,), reason=reason)


def _differing(open_ones: dict[str, str], now: dict[str, Found]) -> Iterable[str]:
    return sorted(
        subject
        for subject in open_ones.keys() | now.keys()
        if subject not in now or open_ones.get(subject) != now[subject].detail
    )


def bills_of(subject: str) -> dict[str, str]:
    """By which filters of the list of bills those of a cause are found; empty where it is of a single bill."""
    state, _, reason = subject.partition(": ")
    return {"state__exact": state, "reason__exact": reason} if state == State.HELD else {}
