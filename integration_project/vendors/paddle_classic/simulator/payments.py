"""What is collected from a subscription and given back: payments with their modifiers, one-off charges, refunds."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from integration_project.vendors.paddle_classic.simulator import amounts, guesses
from integration_project.vendors.paddle_classic.simulator.amounts import NOTHING, Tax, Taxed, written
from integration_project.vendors.paddle_classic.simulator.telling import Teller
from integration_project.vendors.paddle_classic.simulator.world import (
    Due,
    Memory,
    Modifier,
    Overdue,
    Payment,
    Refund,
    Subscription,
)


class Payments:
    """What happens to a subscription's money, whoever asked for it."""

    def __init__(
        self,
        memory: Callable[[], Memory],
        now: Callable[[], datetime],
        transport_now: Callable[[], datetime],
        teller: Teller,
    ) -> None:
        self._memory = memory
        self._now = now
        self._transport_now = transport_now
        self._teller = teller

    # What is due.

    def coming(self, subscription: Subscription) -> Decimal:
        """What the next payment takes: the overdue one where there is one; never below nothing."""
        due = subscription.overdue.due if subscription.overdue else self.next_due(subscription)
        return max(due.sum.total - subscription.balance, NOTHING)

    def next_due(self, subscription: Subscription) -> Due:
        """What the next period comes to, with every modifier that waits for it."""
        waiting = tuple(
            modifier
            for modifier in self._memory().modifiers.values()
            if modifier.subscription_id == subscription.id and not modifier.is_paid
        )
        plan = self._teller.unit_price(subscription) * subscription.quantity
        whole = plan + sum((modifier.amount for modifier in waiting), NOTHING)
        return Due(amounts.taxed(whole, self._tax(subscription.plan_id)), waiting)

    def is_taken_up(self, modifier: Modifier) -> bool:
        """Say whether a modifier stands in a payment that is past due."""
        overdue = self._memory().subscriptions[modifier.subscription_id].overdue
        return overdue is not None and any(each.id == modifier.id for each in overdue.due.modifiers)

    def is_under_way(self, subscription: Subscription) -> bool:
        """Say whether a payment is due and not yet collected: the invoice is being processed then."""
        goes_on = subscription.paused_from is None or subscription.paused_from > subscription.next_bill
        return subscription.state in {"active", "trialing"} and goes_on and subscription.next_bill <= self._now().date()

    # Collecting.

    def collect(self, subscription: Subscription, *, initial: bool, on: date) -> Payment:
        """Make the payment of a period, or the one that is past due; what it took up is paid by it."""
        memory, overdue = self._memory(), subscription.overdue
        due = overdue.due if overdue else self.next_due(subscription)
        subscription.overdue, subscription.state = None, "active"
        for modifier in due.modifiers:
            modifier.is_paid = not modifier.is_recurring
        left = due.sum.total - subscription.balance
        subscription.balance = max(-left, NOTHING)
        number = overdue.payment_id if overdue else next(memory.payment_ids)
        return self._make(subscription, number, self._reduced(subscription, due.sum, left), on=on, initial=initial)

    def fail(self, subscription: Subscription) -> None:
        """The payment of a period is declined; what it comes to stays as it is until it is made."""
        if subscription.overdue is None:
            number = next(self._memory().payment_ids)
            subscription.overdue = Overdue(number, self.next_due(subscription))
        subscription.overdue.attempts += 1
        subscription.state = "past_due"
        retry = self._now().date() + timedelta(days=guesses.DAYS_TO_RETRY)
        self._teller.alert(
            "subscription_payment_failed",
            subscription,
            amount=written(self.coming(subscription)),
            attempt_number=str(subscription.overdue.attempts),
            instalments=str(self._instalments(subscription) + 1),
            next_retry_date=retry.isoformat(),
            order_id="",
            subscription_payment_id=str(subscription.overdue.payment_id),
            **self._teller.counted(subscription),
            **self._teller.urls(subscription),
        )

    def charge(self, subscription: Subscription, amount: Decimal, name: str) -> Payment:
        """Collect an amount once, at once, beside what the plan costs; modifiers and balance stay out of it."""
        whole = amounts.taxed(amount, self._tax(subscription.plan_id))
        number = next(self._memory().payment_ids)
        return self._make(subscription, number, whole, on=self._now().date(), name=name)

    def announce(self, subscription: Subscription, payment: Payment) -> None:
        """Tell of a payment that was made. What it is made of is not told: sale_gross is all of it."""
        net = payment.amount - payment.tax - payment.fee
        self._teller.alert(
            guesses.ONE_OFF_ALERT if payment.is_one_off else "subscription_payment_succeeded",
            subscription,
            balance_currency=payment.currency,
            balance_earnings=written(net),
            balance_fee=written(payment.fee),
            balance_gross=written(payment.amount),
            balance_tax=written(payment.tax),
            country=subscription.country,
            coupon="",
            customer_name=subscription.name,
            earnings=written(net),
            fee=written(payment.fee),
            initial_payment=str(int(payment.is_initial)),
            instalments=str(self._instalments(subscription)),
            next_payment_amount=written(self.coming(subscription)),
            order_id=payment.order_id,
            payment_method="card",
            payment_tax=written(payment.tax),
            plan_name=self._memory().plans[subscription.plan_id]["name"],
            receipt_url=payment.receipt_url,
            sale_gross=written(payment.amount),
            subscription_payment_id=str(payment.id),
            **self._teller.dated(subscription),
        )

    # Giving back.

    def refundable(self, payment: Payment, *, vat: bool = False) -> Decimal:
        """What nobody has asked back yet; of the tax alone where only that is to be given back."""
        asked = [refund for refund in self._pending() if refund.payment_id == payment.id]
        left = payment.amount - payment.refunded - sum((refund.amount for refund in asked), NOTHING)
        tax = payment.tax - payment.tax_refunded - sum((refund.amount for refund in asked if refund.is_vat), NOTHING)
        return min(left, tax) if vat else left

    def ask_back(self, payment: Payment, amount: Decimal, reason: str, *, vat: bool = False) -> Refund:
        """Let somebody ask for a refund; Paddle's people decide."""
        refund = Refund(next(self._memory().refund_ids), payment.id, amount, reason, is_vat=vat)
        self._memory().refunds[refund.id] = refund
        return refund

    def settle(self, *, reject: bool) -> list[int]:
        """Decide on every refund that was asked for; their ids."""
        settled = self._pending()
        for refund in settled:
            if reject:
                refund.state = "rejected"
            else:
                self.give_back(refund)
        return [refund.id for refund in settled]

    def give_back(self, refund: Refund) -> None:
        """Give a refund's amount back, with its share of tax and fee."""
        payment = self._memory().payments[refund.payment_id]
        tax, fee = self._shares(payment, refund)
        payment.refunded += refund.amount
        payment.tax_refunded += tax
        payment.fee_refunded += fee
        refund.state = "approved"
        self._announce_refund(payment, refund, tax=tax, fee=fee)

    def of_order(self, order_id: str) -> Payment | None:
        """The payment with this order id."""
        return next((each for each in self._memory().payments.values() if each.order_id == order_id), None)

    # Parts of these.

    def _pending(self) -> list[Refund]:
        return [refund for refund in self._memory().refunds.values() if refund.state == "pending"]

    def _tax(self, plan_id: int) -> Tax:
        return self._memory().taxes.get(plan_id, Tax())

    def _reduced(self, subscription: Subscription, whole: Taxed, left: Decimal) -> Taxed:
        """What is paid of a sum once the balance went into it."""
        if left == whole.total:
            return whole if left > 0 else Taxed(NOTHING, NOTHING)
        return amounts.holding(max(left, NOTHING), self._tax(subscription.plan_id))

    def _make(
        self,
        subscription: Subscription,
        number: int,
        paid: Taxed,
        *,
        on: date,
        initial: bool = False,
        name: str = "",
    ) -> Payment:
        order_id = f"{subscription.id}-{number}"
        payment = Payment(
            id=number,
            order_id=order_id,
            subscription_id=subscription.id,
            plan_id=subscription.plan_id,
            amount=paid.total,
            tax=paid.tax,
            fee=amounts.fee(paid.total),
            currency=subscription.currency,
            paid_on=on,
            receipt_url=f"https://buyer.example/receipt/{order_id}/{subscription.checkout_id}",
            is_initial=initial,
            is_one_off=bool(name),
            name=name,
        )
        self._memory().keep(payment, at=self._transport_now())
        subscription.last_payment = payment
        return payment

    def _instalments(self, subscription: Subscription) -> int:
        made = self._memory().payments.values()
        return sum(1 for payment in made if payment.subscription_id == subscription.id and not payment.is_one_off)

    def _shares(self, payment: Payment, refund: Refund) -> tuple[Decimal, Decimal]:
        if refund.is_vat:
            return refund.amount, NOTHING
        left = payment.amount - payment.refunded
        tax = amounts.share(
            payment.tax, given=payment.tax_refunded, part=refund.amount, total=payment.amount, left=left
        )
        fee = amounts.share(
            payment.fee, given=payment.fee_refunded, part=refund.amount, total=payment.amount, left=left
        )
        return tax, fee

    def _announce_refund(self, payment: Payment, refund: Refund, *, tax: Decimal, fee: Decimal) -> None:
        subscription = self._memory().subscriptions[payment.subscription_id]
        kind = "vat" if refund.is_vat else "full" if payment.refunded == payment.amount else "partial"
        decrease = refund.amount - tax - fee
        self._teller.alert(
            "subscription_payment_refunded",
            subscription,
            amount=written(refund.amount),
            balance_currency=payment.currency,
            balance_earnings_decrease=written(decrease),
            balance_fee_refund=written(fee),
            balance_gross_refund=written(refund.amount),
            balance_tax_refund=written(tax),
            earnings_decrease=written(decrease),
            fee_refund=written(fee),
            gross_refund=written(refund.amount),
            tax_refund=written(tax),
            initial_payment=str(int(payment.is_initial)),
            instalments=str(self._instalments(subscription)),
            order_id=payment.order_id,
            refund_reason=refund.reason,
            refund_type=kind,
            subscription_payment_id=str(payment.id),
            **self._teller.counted(subscription),
        )
