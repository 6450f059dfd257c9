"""A transaction that a person names for a push: believed where Paddle says so too. One look, and nothing is sent."""

from collections.abc import Callable

from billing_bridge import doubting, looking, modes, money
from billing_bridge.models import Push, PushedBill
from billing_bridge.modes import CannotTell, classic
from billing_bridge.modes.charge import READY
from integration_project import installation
from integration_project.errors import IntegrationError, NotPossible
from integration_project.vendors import CLASSIC, Vendors
from integration_project.vendors.paddle.entities import CANCELED, FoundCharge
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry

ELSE = "If you have seen the charge itself and are sure, leave the transaction empty."
OF_ITS_OWN = frozenset(mode.name for mode in (*modes.AT_ONCE, *modes.INVOICED))
"""Ways of charging whose every push has a transaction to itself; a renewal collects several pushes in one."""


def vouch(bill_id: int, transaction_id: str, vendors: Vendors) -> FoundCharge | None:
    """Find the push that a bill's question is about in the transaction that a person names; NotPossible says why not.

    None where nothing of the bill is in question: then there is nothing to name a transaction for.
    """
    named = doubting.in_question(PushedBill.objects.get(pk=bill_id))
    if named is None:
        return None
    _refuse_anothers(named, transaction_id)
    if installation.mismatches(installation.current()):
        raise NotPossible("The settings name another Paddle account than this database belongs to; it was not asked.")
    try:
        return _look_in(named)(named, transaction_id, vendors)
    except (IntegrationError, CannotTell) as problem:
        raise NotPossible(
            f"Paddle could not say whether {transaction_id} has push {named.push_id}: {problem} Try again. {ELSE}"
        ) from None


def _refuse_anothers(push: Push, transaction_id: str) -> None:
    """One transaction cannot be that of two pushes, where each has its own."""
    if push.mode in OF_ITS_OWN and (other := _other(push, transaction_id)) is not None:
        raise NotPossible(f"{transaction_id} is already that of push {other.push_id} of {other.bill}.")


def _other(push: Push, transaction_id: str) -> Push | None:
    """Another charge that is known to be in a transaction."""
    charges = Push.objects.filter(paddle_transaction_id=transaction_id).exclude(kind=Push.Kind.REFUND)
    return charges.exclude(pk=push.pk).select_related("bill").order_by("id").first()


def _look_in(push: Push) -> Callable[[Push, str, Vendors], FoundCharge]:
    mode = modes.of(push.mode)
    if mode is modes.REFUND:
        return _in_refund
    if mode.vendor == CLASSIC:
        return _in_one_off if mode in modes.AT_ONCE else _in_payment
    return _in_transaction


def _in_transaction(push: Push, transaction_id: str, vendors: Vendors) -> FoundCharge:
    """Read a transaction of Paddle Billing: it must be the buyer's, carry the push, and not be cancelled."""
    happened = vendors.paddle.find_transaction(transaction_id)
    if happened is None:
        raise NotPossible(f"Paddle has no transaction {transaction_id}. {ELSE}")
    if modes.of(push.mode).on_subscription and happened.subscription_id != push.paddle_subscription_id:
        of = f"of subscription {happened.subscription_id}" if happened.subscription_id else "of no subscription"
        raise NotPossible(f"{transaction_id} is {of}; push {push.push_id} was sent to {push.paddle_subscription_id}.")
    if push.paddle_customer_id and happened.customer_id != push.paddle_customer_id:
        raise NotPossible(
            f"{transaction_id} is of customer {happened.customer_id}; push {push.push_id} was made out to "
            f"{push.paddle_customer_id}."
        )
    if push.push_id not in happened.push_ids:
        other = _other(push, transaction_id)
        whose = f" It is that of push {other.push_id} of {other.bill}." if other is not None else ""
        raise NotPossible(f"{transaction_id} does not carry the mark of push {push.push_id}.{whose} {ELSE}")
    if happened.status == CANCELED:
        raise NotPossible(f"{transaction_id} is cancelled in Paddle, so nothing was charged with it.")
    if happened.status == READY and modes.of(push.mode).on_subscription:
        raise NotPossible(f"Paddle has not finished charging {transaction_id} yet. Try again in some minutes.")
    amount = happened.amount_of(push.push_id)
    return FoundCharge(push.push_id, transaction_id, happened.status, "transactions", amount)


def _in_refund(push: Push, transaction_id: str, vendors: Vendors) -> FoundCharge:
    """Read the adjustments of the transaction that was refunded."""
    push.paddle_transaction_id = transaction_id  # where to look; it is not saved
    found = modes.REFUND.find(
        push, subscription_id=push.paddle_subscription_id, since=looking.earliest(push), vendors=vendors
    )
    if found is None:
        raise NotPossible(f"{transaction_id} has no refund with the mark of push {push.push_id}. {ELSE}")
    if not found.billed:
        raise NotPossible(f"The refund of push {push.push_id} on {transaction_id} was rejected or taken back.")
    return found


def _in_one_off(push: Push, order_id: str, vendors: Vendors) -> FoundCharge:
    """Read Paddle Classic's one-off charges: it must be one of the subscription's, and large enough."""
    payment = _payment(push, order_id, vendors, one_off=True)
    asked = money.in_major_units(push.amount, push.currency)
    if payment.currency != push.currency or payment.amount < asked:
        raise NotPossible(
            f"{order_id} is of {payment.amount:f} {payment.currency}; push {push.push_id} is of "
            f"{money.words(push.amount, push.currency)} before tax."
        )
    return FoundCharge(push.push_id, classic.name_of(payment), None, "one-off charges", push.amount)


def _in_payment(push: Push, order_id: str, vendors: Vendors) -> FoundCharge:
    """Read Paddle Classic's payments: one of the subscription's may have collected a modifier that is not listed."""
    if vendors.classic_on.find_modifiers(push.push_id, subscription_id=push.paddle_subscription_id):
        raise NotPossible(f"The modifier of push {push.push_id} still waits for a payment: leave the payment empty.")
    payment = _payment(push, order_id, vendors, one_off=False)
    return FoundCharge(push.push_id, classic.name_of(payment), None, "payments", push.amount)


def _payment(push: Push, order_id: str, vendors: Vendors, *, one_off: bool) -> ClassicPaymentEntry:
    subscription_id = push.paddle_subscription_id
    since = classic.first_sent(push, looking.earliest(push))
    made = classic.paid_since(vendors.classic_on, subscription_id, since, one_off=one_off)
    for payment in made:
        if order_id in {payment.id, payment.order_id}:
            return payment
    kind = "one-off charge" if one_off else "payment"
    raise NotPossible(
        f"Paddle Classic lists no {kind} {order_id} on subscription {subscription_id} since the push was sent on "
        f"{since:%Y-%m-%d}. {ELSE}"
    )
