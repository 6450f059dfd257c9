"""What became of a bill between a look at it and a click, in words: who decided what, or what went on by itself."""

from dataclasses import astuple, dataclass, fields
from typing import Self

from billing_bridge import carrying, deciding, money
from billing_bridge.models import BillEntry, CarriedEntry, PushAttempt, PushedBill
from integration_project import showing

DID = {
    "approve": "approved it",
    "carry": "had it carried to the next bills",
    "go-live date": "set the go-live date",
    "hold": "held it",
    "refund": "had it refunded",
    "resend": "had it sent again",
    "restore confirmed": "confirmed that the database was restored",
    "skip": "skipped it",
    "take back": "took back what it had left in the carried balance",
    "was made": "said that it is in Paddle",
    "was not made": "said that it is not in Paddle",
    "write off": "wrote off what was open of it",
}
"""What a person did, by the word that the journal has for it."""


def last_decision(bill: PushedBill) -> PushAttempt | None:
    """What a person decided last about a bill, if anybody has."""
    return bill.steps.filter(step="decision").order_by("-id").first()


def last_decision_in_words(bill: PushedBill, *, reader: str) -> str:
    """Say who decided last, what, when and why, to somebody who may be that person; empty where nobody has."""
    decision = last_decision(bill)
    if decision is None:
        return ""
    did = DID.get(decision.outcome, f'decided "{decision.outcome}"')
    who = "You" if decision.by == reader else decision.by
    why = f": {decision.detail}" if decision.detail else ""
    return showing.sentence(f"{who} {did} {showing.since(decision.at)}{why}")


def who_took(entry: CarriedEntry, *, reader: str) -> str:
    """Say who or what took the last of a carried entry, and when; empty where nothing did."""
    taken = BillEntry.objects.filter(carried=entry, kind=BillEntry.Kind.CARRIED_IN).select_related("bill")
    last = taken.order_by("-id").first()
    if last is None:
        return ""
    who = "You" if last.by == reader else last.by or f"Bill {last.bill.m3ter_bill_id}"
    return showing.sentence(f"{who} took it {showing.since(last.at)}: {last.note}")


def what_it_is(bill: PushedBill) -> str:
    """Say what state a bill is in."""
    return f"It is now {showing.in_a_sentence(bill.get_state_display())}."


@dataclass(frozen=True)
class Shown:
    """What a person sees of a bill who is asked about it, part by part; written in one line, it goes with the page."""

    revision: str
    open: str
    outside: str
    """What went back without a refund of ours: an approval counts it."""
    balance: str
    state: str
    reason: str
    way: str
    decision: str
    """The last one that a person took about it."""

    @classmethod
    def of(cls, bill: PushedBill) -> Self:
        """Read it as it is now."""
        decision = last_decision(bill)
        return cls(
            revision=str(bill.revision_id or "-"),
            open=str(bill.outstanding),
            outside=str(deciding.gone_outside(bill)),
            balance=str(carrying.balance(bill.m3ter_account_id, bill.currency)),
            state=bill.state,
            reason=bill.reason,
            way=bill.chosen_mode,
            decision=str(decision.pk if decision is not None else "-"),
        )

    def __str__(self) -> str:
        return ":".join(astuple(self))

    def other_than(self, seen: str) -> frozenset[str]:
        """Name the parts that were not so in what was seen; none where that says nothing of the kind."""
        then = seen.split(":")
        if len(then) != len(fields(self)):
            return frozenset()
        return frozenset(
            field.name for field, before in zip(fields(self), then, strict=True) if before != getattr(self, field.name)
        )


def in_words(bill: PushedBill, seen: str, *, reader: str) -> str:
    """Say why a bill is not any more what somebody saw: who decided what, or what went on by itself."""
    now = Shown.of(bill)
    changed = now.other_than(seen)
    if "decision" in changed:
        return f"{last_decision_in_words(bill, reader=reader)} {what_it_is(bill)}"
    said = []
    if changed & {"state", "reason", "way"}:
        said.append(f"It has gone on by itself meanwhile. {what_it_is(bill)}")
    if "revision" in changed:
        said.append("m3ter says something else of it by now.")
    if "open" in changed:
        said.append(f"{money.words(bill.outstanding, bill.currency)} is open of it now.")
    if "outside" in changed:
        words = money.words(int(now.outside), bill.currency)
        said.append(f"{words} of it was refunded or discounted in Paddle by now.")
    if "balance" in changed:
        said.append(f"The carried balance of its account is {money.words(int(now.balance), bill.currency)} now.")
    return " ".join(said) or "The page did not say what it showed."
