"""What Paddle Classic has of the pushes of some accounts: modifiers that wait, and the payments that collected them.

Classic does not say what a payment is made of, nor what was given back of it: which payment has a push, and what of it
went back, its alerts have told us (classic_settlement). Here the payment itself must be in Classic's list; that a
regular one has all of the push in it is taken for granted (modes.classic has the guesses).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from billing_bridge import looking, modes, money
from billing_bridge.adjusting import APPROVED, PENDING_APPROVAL
from billing_bridge.composing import mark_of
from billing_bridge.explaining import MODIFIER, NOWHERE, PAYMENT, WAITING, Absent, Billed, GivenBack, Line, Why
from billing_bridge.in_billing import GRACE, Mark, Wanted
from billing_bridge.models import Push
from billing_bridge.modes import classic
from integration_project import clock
from integration_project.errors import NeedsConfiguration
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import CANCELED
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry, Modifier
from paddle_sync.models import WebhookEvent

PAID = "paid"
REFUND, CREDIT = "refund", "credit"


@dataclass(frozen=True)
class InClassic:
    """Modifiers and payments that were made, by subscription."""

    modifiers: Mapping[str, Sequence[Modifier]] = field(default_factory=dict)
    payments: Mapping[str, Sequence[ClassicPaymentEntry]] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    """Cancelled subscriptions: what waits there, no payment will collect."""

    def billed(self, push: Push) -> tuple[Billed, ...]:
        """Everything that Classic has of a push: at most one payment, and modifiers that still wait."""
        paid = self._payment(push)
        found = [] if paid is None else [_in_payment(push, paid)]
        found += [self._waiting(push.push_id, each) for each in self._carrying(push)]
        absent = self.absent(push)
        if not found and push.kind == Push.Kind.REFUND and absent.why != Why.UNKNOWN:
            given = GivenBack(push.push_id, CREDIT, PENDING_APPROVAL, push.amount)
            found.append(Billed(push.push_id, WAITING, (), (given,), MODIFIER))
        return tuple(found)

    def absent(self, push: Push) -> Absent:
        """Why a push is neither in a payment nor among the modifiers, as far as the lists tell."""
        settled_at = push.settled_at or push.created_at
        if push.paddle_transaction_id:
            if clock.now() < settled_at + GRACE:
                return Absent(Why.UNLISTED, "Paddle Classic's list may not show its payment yet.")
            words = f"It is said to be in payment {push.paddle_transaction_id}, which Paddle Classic does not list."
            return Absent(Why.UNKNOWN, words)
        if push.mode not in modes.on_classic_payments():
            return NOWHERE
        payment = self._first_after(push)
        if payment is None and clock.now() < settled_at + looking.SCHEDULE[-1]:
            return Absent(Why.UNLISTED, "Its modifier was made a moment ago, and the list may not show it yet.")
        if payment is None:
            words = "Its modifier is not listed, and no payment could have collected it: somebody took it away."
            return Absent(Why.UNKNOWN, words)
        name = classic.name_of(payment)
        if clock.now() < _morning_of(payment.payout_date) + classic.DAY + GRACE:
            return Absent(Why.PENDING_PAYMENT, f"Payment {name} seems to have collected it; its alert is not here yet.")
        words = f"Its modifier is not listed; payment {name} may have collected it, and no alert said so."
        return Absent(Why.UNKNOWN, words)

    def marks(self) -> Iterator[Mark]:
        """Every push id that the description of a modifier bears, whoever wrote it there."""
        found: dict[str, list[Modifier]] = {}
        for modifiers in self.modifiers.values():
            for each in modifiers:
                if push_id := mark_of(each.description):
                    found.setdefault(push_id, []).append(each)
        for push_id, carrying in sorted(found.items()):
            first = carrying[0]
            billed = tuple(self._waiting(push_id, each) for each in carrying)
            yield Mark(push_id, billed, first.currency, first.subscription_id)

    def _payment(self, push: Push) -> ClassicPaymentEntry | None:
        listed = self.payments.get(push.paddle_subscription_id, ())
        names = {push.paddle_transaction_id} - {""}
        return next((each for each in listed if names & {each.id, each.order_id}), None)

    def _carrying(self, push: Push) -> Iterator[Modifier]:
        for modifiers in self.modifiers.values():
            yield from (each for each in modifiers if each.carries(push.push_id))

    def _waiting(self, push_id: str, found: Modifier) -> Billed:
        """What a modifier that no payment has collected says of a push."""
        status = CANCELED if found.subscription_id in self.ended else WAITING
        amount = money.round_half_up(found.amount, found.currency)
        if amount < 0:
            given = GivenBack(f"{MODIFIER} {found.id}", CREDIT, PENDING_APPROVAL, -amount)
            return Billed(found.id, status, (), (given,), MODIFIER)
        return Billed(found.id, status, (Line(amount, amount, total=amount),), (), MODIFIER)

    def _first_after(self, push: Push) -> ClassicPaymentEntry | None:
        """The first payment of its period that was made since the one which was to collect it."""
        expected = push.expected_renewal_at or push.sent_at or push.created_at
        since = (expected - classic.DAY).date()
        regular = [each for each in self.payments.get(push.paddle_subscription_id, ()) if not each.is_one_off_charge]
        return min(
            (each for each in regular if each.payout_date >= since), key=lambda each: each.payout_date, default=None
        )


def read(wanted: Wanted, vendors: Vendors) -> InClassic:
    """Read what waits on each subscription, and what was paid on those that carry pushes of the bills compared."""
    links = [link for link in wanted.links if link.source == WebhookEvent.Source.PADDLE_CLASSIC]
    pushes = [push for push in wanted.pushes if is_of_classic(push)]
    subscriptions = {link.paddle_subscription_id for link in links} | {push.paddle_subscription_id for push in pushes}
    if not subscriptions:
        return InClassic()
    client = vendors.classic
    if client is None:  # no work of ours waits for it to be switched on: the other accounts are compared meanwhile
        setting = "PADDLE_CLASSIC_VENDOR_ID"
        raise NeedsConfiguration("setting", setting, f"Paddle Classic is off: set {setting} and the keys beside it.")
    payments: dict[str, list[ClassicPaymentEntry]] = {}
    for subscription_id, moment in sorted(_first_sent(wanted, pushes).items()):
        since = (moment - classic.DAY).date()
        listed = client.list_payments(subscription_id=subscription_id, is_paid=True, since=since)
        payments[subscription_id] = [each for each in listed if each.is_paid]
    return InClassic(
        {each: client.list_modifiers(subscription_id=each) for each in sorted(subscriptions)},
        payments,
        frozenset(link.paddle_subscription_id for link in links if link.paddle_status == CANCELED),
    )


def is_of_classic(push: Push) -> bool:
    """Whether a push is charged on a subscription of Classic."""
    return push.mode in CLASSIC_MODES


CLASSIC_MODES = frozenset(
    name for name, mode in modes.MODES.items() if mode.vendor == WebhookEvent.Source.PADDLE_CLASSIC
)


def _first_sent(wanted: Wanted, pushes: Sequence[Push]) -> dict[str, datetime]:
    """Since when a payment can have any of the pushes of the bills compared, by subscription."""
    found: dict[str, datetime] = {}
    for push in pushes:
        if push.bill.m3ter_bill_id in wanted.bill_ids:
            sent_at = push.sent_at or push.created_at
            on = push.paddle_subscription_id
            found[on] = min(found.get(on, sent_at), sent_at)
    return found


def _in_payment(push: Push, found: ClassicPaymentEntry) -> Billed:
    """What a payment says of a push that it is known to have; of a one-off charge, its amount is all there is."""
    name = classic.name_of(found)
    if push.kind == Push.Kind.REFUND:
        return Billed(name, PAID, (), (GivenBack(f"{PAYMENT} {name}", CREDIT, APPROVED, push.amount),), PAYMENT)
    given = (GivenBack(f"{REFUND} of {name}", REFUND, APPROVED, push.refunded),) if push.refunded else ()
    amount, tax = push.amount, 0
    if found.is_one_off_charge:
        paid = money.round_half_up(found.amount, found.currency)
        amount, tax = min(amount, paid), max(paid - amount, 0)
    return Billed(name, PAID, (Line(push.amount, amount, tax=tax, total=amount + tax),), given, PAYMENT)


def _morning_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
