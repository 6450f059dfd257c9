"""An invoice of its own: a manually collected transaction, paid by its terms and of no subscription."""

from datetime import datetime

from billing_bridge import charges, composing
from billing_bridge.models import Push, PushPolicy
from billing_bridge.modes.base import Mode, Order, Request, Seen, WouldBe
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import (
    INVOICE_CURRENCIES,
    FoundCharge,
    NewInvoice,
    PaymentTerms,
    Subscription,
)

DAY = "day"


class Invoice(Mode):
    """`POST /transactions`, previewed before; found by the push id in the custom data of the customer's transactions.

    Needs no living subscription: a cancelled one still says whom to invoice.
    """

    name = PushPolicy.Mode.INVOICE.value
    label = str(PushPolicy.Mode.INVOICE.label)
    on_subscription = False
    needs = (
        (PADDLE, "get subscription"),
        (PADDLE, "get customer"),
        (PADDLE, "get address"),
        (PADDLE, "preview transaction"),
        (PADDLE, "create transaction"),
    )

    def request(self, order: Order) -> Request:
        """Whom to invoice, only the subscription can say."""
        items = [item.to_paddle() for item in order.composed.items]
        return Request(None, items, order.composed.total)

    def preview(self, order: Order, request: Request, vendors: Vendors, now: datetime) -> Seen:
        """Read whose subscription it is, and ask Paddle what the invoice would come to."""
        if order.currency not in INVOICE_CURRENCIES:
            words = f"Paddle offers no invoices in {order.currency}."
            return Seen(verdict=charges.held(charges.Reason.MODE, words))
        subscription = vendors.paddle.get_subscription(order.subscription_id)
        if subscription.currency_code != order.currency:
            return Seen(verdict=charges.other_currency(order.currency, subscription.currency_code))
        if subscription.address_id is None:
            return _nobody_to_bill("an address")
        if missing := self._missing(subscription.customer_id, subscription.address_id, vendors):
            return _nobody_to_bill(missing)
        invoice = _invoice(order, subscription, subscription.address_id)
        preview = vendors.paddle.preview_invoice(invoice)
        problem = composing.unlike(preview.details.lines, order.composed.items)
        return Seen(
            subscription.next_billed_at,
            charges.held(charges.Reason.MISMATCH, problem) if problem else None,
            request=Request(invoice, request.items, request.amount, paddle_customer_id=invoice.customer_id),
            would_be=WouldBe(preview.details.totals, preview.details.lines),
        )

    def in_words(self, order: Order, renews_at: datetime | None) -> str:
        """Say by when the customer has to pay it."""
        days = f"{order.policy.payment_days} days after it is issued"
        if order.policy.issue_invoices:
            return f"invoiced by itself, to be paid {days}"
        return f"drafted as an invoice that a person issues in Paddle, to be paid {days}"

    def _missing(self, customer_id: str, address_id: str, vendors: Vendors) -> str:
        """Name what the buyer lacks that Paddle puts on every invoice, which a checkout by card need not ask for."""
        if not vendors.paddle.get_customer(customer_id).name:
            return "a name"
        address = vendors.paddle.get_address(customer_id, address_id)
        return "" if address.first_line and address.city else "a whole address, with street and city"

    def send(self, order: Order, request: Request, vendors: Vendors) -> str:
        """Make the invoice; Paddle answers with the transaction."""
        return vendors.paddle.create_invoice(request.body).id

    def find(self, push: Push, *, subscription_id: str, since: datetime, vendors: Vendors) -> FoundCharge | None:
        """Read every transaction that an API key made for the subscription's customer."""
        asked = push.paddle_customer_id
        customer_id = asked or vendors.paddle.get_subscription(subscription_id).customer_id
        return vendors.paddle.find_invoice(push.push_id, customer_id=customer_id, since=since)


def _nobody_to_bill(missing: str) -> Seen:
    words = (
        f"The customer does not have {missing} in Paddle, which an invoice needs. Add it there, then approve the bill."
    )
    return Seen(verdict=charges.held(charges.Reason.CONFIGURATION, words))


def _invoice(order: Order, subscription: Subscription, address_id: str) -> NewInvoice:
    policy = order.policy
    return NewInvoice(
        customer_id=subscription.customer_id,
        address_id=address_id,
        business_id=subscription.business_id,
        currency=order.currency,
        items=order.composed.items,
        custom_data=order.marks.of_price,
        payment_terms=PaymentTerms(DAY, policy.payment_days),
        issue=policy.issue_invoices,
        purchase_order_number=order.bill.purchase_order_number,
    )
