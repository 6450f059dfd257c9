"""A one-off charge on a Paddle Classic subscription, collected at once with the stored payment method."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from django.db.models import Q

from billing_bridge import charges, money
from billing_bridge.models import Push, PushPolicy
from billing_bridge.modes import classic
from billing_bridge.modes.base import CannotTell, Mode, Order, Request, Seen
from integration_project.vendors import CLASSIC, Vendors
from integration_project.vendors.paddle.entities import FoundCharge
from integration_project.vendors.paddle_classic.entities import LONGEST_CHARGE_NAME, ClassicPaymentEntry

NAME_WORDS = "Usage"


class ChargeAtOnce(Mode):
    """`/subscription/{id}/charge`; its name is in no list, so only the order that Classic answered with finds it."""

    name = PushPolicy.ClassicMode.CHARGE.value
    label = str(PushPolicy.ClassicMode.CHARGE.label)
    vendor = CLASSIC
    has_items = False
    on_subscription = False
    untold = "Paddle Classic has no preview: what tax comes with the charge is known when it is made."
    needs = ((CLASSIC, "list users"), (CLASSIC, "charge subscription"))

    def request(self, order: Order) -> Request:
        """Write the charge; its name says for people which push it is, as much of it as fits."""
        amount = money.in_major_units(order.amount, order.currency)
        name = f"{NAME_WORDS} {order.marks.push_id[-(LONGEST_CHARGE_NAME - len(NAME_WORDS) - 1) :]}"
        return Request((amount, name), [{"amount": format(amount, "f"), "charge_name": name}], order.amount)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Read the subscription: Classic shows nothing of what a charge would do."""
        now_is = classic.standing(order, vendors.classic_on)
        if isinstance(now_is, charges.Verdict):
            return Seen(verdict=now_is)
        why = charges.why_not_now(now_is, currency=order.currency, policy=order.policy, now=now, at_once=True)
        if why is not None and why.then_mode:
            why = replace(why, then_mode=self.name)
        return Seen(now_is.next_billed_at, why)

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Charge; Classic answers once it is paid."""
        amount, name = request.body
        made = vendors.classic_on.charge(order.subscription_id, amount=amount, name=name)
        return made.order_id or made.invoice_id

    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say that nothing is waited for."""
        return "charged at once, as a one-off charge in Paddle Classic"

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every one-off charge since then."""
        sent_at = classic.first_sent(push, since)
        listed = classic.paid_since(vendors.classic_on, subscription_id, sent_at, one_off=True)
        return self.among(listed, push, subscription_id=subscription_id)

    def among(self, listed: Sequence[ClassicPaymentEntry], push: Push, *, subscription_id: str) -> FoundCharge | None:
        """Tell a push among a subscription's one-off charges by the order that Classic answered with, if it did.

        None where the list has nothing that could be it. Else CannotTell: the list names no charge, and somebody may
        have charged the same amount by hand.
        """
        known = set(
            Push.objects.filter(paddle_subscription_id=subscription_id, mode=self.name)
            .exclude(Q(pk=push.pk) | Q(paddle_transaction_id=""))
            .values_list("paddle_transaction_id", flat=True)
        )
        unknown = [payment for payment in listed if not known & classic.names_of(payment)]
        answered = push.paddle_transaction_id
        certain = next((each for each in unknown if answered and answered in classic.names_of(each)), None)
        if certain is not None:
            return FoundCharge(push.push_id, classic.name_of(certain), None, "one-off charges", push.amount)
        if not unknown:
            return None
        there = ", ".join(
            f"{classic.name_of(each)} of {each.amount:f} {each.currency} on {each.payout_date}" for each in unknown
        )
        raise CannotTell(
            f"Paddle Classic lists one-off charges on {subscription_id} that no other push is known to be: {there}. "
            f"Whether push {push.push_id} of {money.words(push.amount, push.currency)} before tax is one of them, the "
            "list does not say: it has no names."
        )

    def is_collected(self, transaction_id: str) -> bool:
        """Say that it is paid: Classic makes no charge that is not."""
        return True


CHARGE_AT_ONCE = ChargeAtOnce()
