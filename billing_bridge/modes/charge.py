"""A one-time charge on a Paddle Billing subscription: with the next renewal, or at once."""

from datetime import datetime

from billing_bridge import charges, composing
from billing_bridge.models import Push, PushPolicy
from billing_bridge.modes.base import Mode, Order, Request, Seen, WouldBe, on
from integration_project.errors import Temporary
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import Charge, FoundCharge

Kind = PushPolicy.Mode
READY = "ready"
"""How a transaction stands that Paddle is about to collect; it is billed when that succeeded, or cancelled."""


class SubscriptionCharge(Mode):
    """`POST /subscriptions/{id}/charge`, previewed before; found by the push id in history and transactions."""

    needs = ((PADDLE, "preview charge"), (PADDLE, "charge subscription"))

    def __init__(self, name: PushPolicy.Mode) -> None:
        self.name = name.value
        self.label = str(name.label)
        self.at_once = name == Kind.IMMEDIATELY

    def request(self, order: Order) -> Request:
        """Write the charge."""
        charge = Charge(
            effective_from=self.name,
            items=order.composed.items,
            on_payment_failure=order.policy.on_payment_failure if self.at_once else None,
        )
        return Request(charge, charge.to_paddle()["items"], order.composed.total)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Ask Paddle what the charge would do. Its answer is also the freshest word on the subscription."""
        preview = vendors.paddle.preview_charge(order.subscription_id, request.body)
        subscription = preview.subscription
        renews_at = subscription.next_billed_at
        why = charges.why_not_now(
            subscription, currency=order.currency, policy=order.policy, now=now, at_once=self.at_once
        )
        if why is not None:
            at_once = not self.at_once and not order.sent_before and charges.at_once_instead(why, order.policy)
            return Seen(renews_at, why, switch_to=ONCE.name if at_once else "")
        pending = composing.pending(preview)
        would_be = preview.immediate_transaction if self.at_once else preview.next_transaction
        shown = composing.read_preview(would_be, order.composed.items, push_id=order.marks.push_id)
        return Seen(
            renews_at,
            charges.held(charges.Reason.MISMATCH, shown.problem) if shown.problem else None,
            there_already=shown.there_already or (self.at_once and order.marks.push_id in pending),
            too_many=shown.lines > composing.MOST_ITEMS,
            pending=pending - {order.marks.push_id},
            would_be=None if would_be is None else WouldBe(would_be.details.totals, shown.ours, shown.others),
        )

    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say which renewal collects it, or that nothing is waited for."""
        if self.at_once:
            return "charged at once, with the stored payment method"
        return f"charged with the renewal{on(renews_at)}"

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Charge. Paddle answers with the subscription, so the transaction's id is learnt later."""
        vendors.paddle.charge_subscription(order.subscription_id, request.body)
        return ""

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every page of the subscription's history and transactions; Temporary while Paddle still collects it."""
        found = vendors.paddle.find_charge(push.push_id, subscription_id=subscription_id, since=since)
        if found is not None and found.transaction_status == READY and found.where != "history":
            raise Temporary(f"Paddle has not finished charging {push.push_id}: its transaction is not billed yet.")
        return found


ON_RENEWAL = SubscriptionCharge(Kind.NEXT_BILLING_PERIOD)
ONCE = SubscriptionCharge(Kind.IMMEDIATELY)
