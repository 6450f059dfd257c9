"""A one-off charge on a Paddle Classic subscription, collected at once with the stored payment method."""

from dataclasses import replace
from datetime import datetime

from billing_bridge import charges, money
from billing_bridge.models import Push, PushPolicy
from billing_bridge.modes import classic
from billing_bridge.modes.base import CannotTell, Mode, Order, Request, Seen
from integration_project.vendors import CLASSIC, Vendors
from integration_project.vendors.paddle.entities import FoundCharge
from integration_project.vendors.paddle_classic.entities import LONGEST_CHARGE_NAME

NAME_WORDS = "Usage"


class ChargeAtOnce(Mode):
    """`/subscription/{id}/charge`; its name is in no list, so it is found by amount, date and our journal."""

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
        """Read every one-off charge since then that no push of ours is known to be.

        Exactly one, of exactly our amount, is this push; none at all means that it was not made; anything else means
        that nobody can tell from the list.
        """
        known = set(
            Push.objects.filter(paddle_subscription_id=subscription_id, mode=self.name)
            .exclude(pk=push.pk)
            .values_list("paddle_transaction_id", flat=True)
        )
        sent_at = classic.first_sent(push, since)
        listed = classic.paid_since(vendors.classic_on, subscription_id, sent_at, one_off=True)
        unknown = [payment for payment in listed if not known & {payment.id, classic.name_of(payment)}]
        if not unknown:
            return None
        asked = money.in_major_units(push.amount, push.currency)
        if len(unknown) == 1 and (unknown[0].amount, unknown[0].currency) == (asked, push.currency):
            return FoundCharge(push.push_id, classic.name_of(unknown[0]), None, "one-off charges", push.amount)
        there = ", ".join(f"{classic.name_of(each)} of {each.amount:f} {each.currency}" for each in unknown)
        raise CannotTell(
            f"Paddle Classic lists one-off charges on {subscription_id} that no other push is known to be: {there}. "
            f"Whether push {push.push_id} of {money.words(push.amount, push.currency)} before tax is one of them, the "
            "list does not say."
        )

    def is_collected(self, transaction_id: str) -> bool:
        """Say that it is paid: Classic makes no charge that is not."""
        return True


CHARGE_AT_ONCE = ChargeAtOnce()
