"""A modifier on a Paddle Classic subscription: the next payment is raised by a bill, or lowered by what is owed."""

from dataclasses import replace
from datetime import datetime

from billing_bridge import charges, composing, money
from billing_bridge.models import Push, PushPolicy
from billing_bridge.modes import classic
from billing_bridge.modes.base import CannotTell, Mode, Order, Request, Seen
from billing_bridge.modes.one_off import CHARGE_AT_ONCE
from integration_project.vendors import CLASSIC, Vendors
from integration_project.vendors.paddle.entities import FoundCharge
from integration_project.vendors.paddle_classic.entities import LONGEST_DESCRIPTION, Modifier

CREDIT = "classic_credit"


class OnNextPayment(Mode):
    """`/subscription/modifiers/create`, once; found by the push id in its description for as long as it is listed.

    What a customer is owed is the same with the sign turned. Classic keeps what is more than the payment, for later.
    """

    vendor = CLASSIC
    has_items = False
    untold = (
        "Paddle Classic has no preview: what tax the payment will bear, and what else is on it, shows when it is made."
    )
    needs = ((CLASSIC, "list users"), (CLASSIC, "list modifiers"), (CLASSIC, "create modifier"))

    def __init__(self, name: str, label: str, *, gives_back: bool = False) -> None:
        self.name, self.label, self.gives_back = name, label, gives_back

    def minimum(self, currency: str) -> int:
        """It is collected with the plan's own price, so nothing is too little."""
        return 1

    def request(self, order: Order) -> Request:
        """Write the modifier: all of the bill in one amount, for Classic has no items."""
        policy = order.policy
        text = composing.one_text(order.owed, marks=order.marks, policy=policy, longest=LONGEST_DESCRIPTION)
        amount = money.in_major_units(-order.amount if self.gives_back else order.amount, order.currency)
        item = {"modifier_amount": format(amount, "f"), "modifier_description": text}
        return Request((amount, text), [item], order.amount)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Read the subscription, and what waits for its next payment already."""
        client = vendors.classic_on
        now_is = classic.standing(order, client)
        if isinstance(now_is, charges.Verdict):
            return Seen(verdict=now_is)
        renews_at = now_is.next_billed_at
        why = charges.why_not_now(now_is, currency=order.currency, policy=order.policy, now=now)
        if why is not None:
            at_once = not (self.gives_back or order.sent_before) and charges.at_once_instead(why, order.policy)
            then_mode = CHARGE_AT_ONCE.name if why.then_mode and not self.gives_back else ""
            return Seen(renews_at, replace(why, then_mode=then_mode), switch_to=CHARGE_AT_ONCE.name if at_once else "")
        listed = client.list_modifiers(subscription_id=order.subscription_id)
        ours = Push.objects.filter(bill__in=order.bill_ids).values_list("push_id", flat=True)
        pending = frozenset(push_id for push_id in ours if any(each.carries(push_id) for each in listed))
        push_id = order.marks.push_id
        return Seen(renews_at, there_already=push_id in pending, pending=pending - {push_id})

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Make the modifier. Which payment collects it is learnt later."""
        amount, text = request.body
        vendors.classic_on.create_modifier(order.subscription_id, amount=amount, description=text)
        return ""

    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say which payment is raised or lowered; Classic names its day."""
        day = f" on {renews_at:%Y-%m-%d}" if renews_at is not None else ""
        if self.gives_back:
            return f"taken off the next payment{day}, as a negative modifier in Paddle Classic"
        return f"added to the next payment{day}, as a modifier in Paddle Classic"

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every modifier that waits. None of ours proves nothing once a payment could have collected it."""
        client = vendors.classic_on
        found = [
            each
            for each in client.find_modifiers(push.push_id, subscription_id=subscription_id)
            if (each.amount < 0) is self.gives_back
        ]
        if found:
            places = tuple(f"modifier {each.id}" for each in found)
            return FoundCharge(push.push_id, None, None, "modifiers", self._minor_units(found[0], push), places)
        sent_at = classic.first_sent(push, since)
        payments = classic.paid_since(client, subscription_id, sent_at, one_off=False)
        if payments:
            names = ", ".join(classic.name_of(payment) for payment in payments)
            raise CannotTell(
                f"Paddle Classic lists no modifier of push {push.push_id} on {subscription_id}, and payment {names} of "
                f"about {sent_at:%Y-%m-%d} or later may have collected it."
            )
        return None

    def is_collected(self, transaction_id: str) -> bool:
        """Say whether a payment has it; what only waits has none."""
        return bool(transaction_id)

    def _minor_units(self, modifier: Modifier, push: Push) -> int:
        return abs(money.round_half_up(modifier.amount, push.currency))


NEXT_PAYMENT = OnNextPayment(PushPolicy.ClassicMode.MODIFIER.value, str(PushPolicy.ClassicMode.MODIFIER.label))
OFF_NEXT_PAYMENT = OnNextPayment(CREDIT, "Off the next payment, as a negative modifier", gives_back=True)
