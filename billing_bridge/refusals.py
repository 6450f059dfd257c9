"""What each of Paddle's refusals means for a bill, by its code: the state it goes to, and a sentence for people. Pure.

Nothing was charged where one of these codes came. Codes that leave it open whether something was are not refusals, and
those of the key close Paddle for everybody: neither is in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing_bridge.charges import LOOK_AGAIN, Verdict
from billing_bridge.models import PushedBill

State = PushedBill.State
Reason = PushedBill.Reason


@dataclass(frozen=True)
class Refusal:
    """What becomes of a bill that Paddle refused, and why, as a finance person would say it."""

    state: str
    reason: str
    words: str


def _same(state: str, reason: str, words: str, *codes: str) -> dict[str, Refusal]:
    return dict.fromkeys(codes, Refusal(state, reason, words))


BELOW_MINIMUM = frozenset(
    {
        "subscription_update_transaction_balance_less_than_charge_limit",
        "transaction_balance_less_than_charge_limit",
        "transaction_recurring_balance_less_than_charge_limit",
        "186",
    }
)
"""An amount that is too small by itself; the number is Paddle Classic's."""
TOO_MANY_ITEMS = frozenset(
    {"subscription_maximum_number_of_line_items_reached", "transaction_maximum_number_of_line_items_reached"}
)
FAULT = "Paddle could not make sense of the request, which is a fault of this application; report it, then resend."

REFUSALS: Mapping[str, Refusal] = {
    # Time decides.
    **_same(
        State.WAITING,
        Reason.RENEWAL_LOCK,
        "Paddle takes no changes around a renewal; it is tried again after that.",
        "subscription_locked_renewal",
        "subscription_locked_processing",
    ),
    **_same(
        State.WAITING,
        Reason.CHARGE_LIMIT,
        "Paddle makes only so many immediate charges on a subscription; it is tried again later.",
        "subscription_immediate_charge_hour_limit_exceeded",
        "subscription_immediate_charge_24_hour_limit_exceeded",
    ),
    **_same(
        State.READY,
        Reason.NONE,
        "Something else was changing there at the same moment; it is tried again shortly.",
        "concurrent_modification",
        "conflict",
        "subscription_credit_creation_against_processing_transaction",
        "subscription_credit_creation_against_uncompleted_transaction_not_allowed",
        "transaction_immutable_while_processing_payment",
    ),
    **_same(
        State.READY, Reason.NONE, "Paddle was asked too much at once; it is tried again shortly.", "too_many_requests"
    ),
    **_same(
        State.WAITING,
        Reason.PAST_DUE,
        "An earlier payment of the subscription is open; it is charged when that is paid.",
        "subscription_update_when_past_due",
        "subscription_outstanding_transaction",
    ),
    **_same(
        State.WAITING,
        Reason.TRIAL,
        "The subscription is in trial; it is charged when the trial has ended.",
        "subscription_update_when_trialing",
        "subscription_trialing_items_update_invalid_options",
    ),
    **_same(
        State.WAITING,
        Reason.PAUSED,
        "The subscription is not active; it is charged when it is resumed.",
        "subscription_not_active",
        "subscription_is_inactive_action_invalid",
    ),
    **_same(
        State.WAITING,
        Reason.REFUND,
        "Another refund of the same payment waits for Paddle's approval; it goes on after that.",
        "adjustment_pending_refund_request",
    ),
    # A person decides.
    **_same(
        State.HELD,
        Reason.BELOW_MINIMUM,
        "It is less than Paddle charges at least. Carry it to the next bill, or write it off.",
        *BELOW_MINIMUM,
    ),
    **_same(
        State.HELD,
        Reason.CANCELLED,
        "A change is scheduled on the subscription, and Paddle charges nothing until it is carried out or called off.",
        "subscription_locked_pending_changes",
    ),
    **_same(
        State.HELD,
        Reason.CANCELLED,
        "The subscription is cancelled. Invoice it, mark it as settled outside, or write it off.",
        "subscription_update_when_canceled",
        "subscription_is_canceled_action_invalid",
    ),
    **_same(
        State.HELD,
        Reason.MODE,
        "The customer has no payment method on file. Ask for one, or send an invoice.",
        "subscription_missing_payment_method_cannot_update",
    ),
    **_same(
        State.HELD,
        Reason.MODE,
        "Paddle makes no invoices in this currency. Charge it in another way.",
        "transaction_currency_code_not_valid_for_manual",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "The customer's consent to charges is not settled in Paddle yet. Settle it there, then approve the bill.",
        "subscription_consent_granted_too_early",
        "subscription_locked_consent_review_period",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "Paddle has not approved the tax category for this account. Have it approved, or choose another one.",
        "subscription_product_tax_category_not_approved",
        "product_tax_category_not_approved",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "The Paddle account has no default payment link, without which it makes no invoices. Set one in Paddle.",
        "transaction_default_checkout_url_not_set",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "Texts on receipts are not enabled for the Paddle account. Have them enabled.",
        "receipt_data_not_enabled",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "A product, price or customer that it needs is archived in Paddle. Restore it, then approve the bill.",
        "entity_archived",
    ),
    **_same(
        State.HELD,
        Reason.REFUND,
        "What was charged has less left to give back than was asked, or takes no refund or credit as it stands now. "
        "Look at it in Paddle; then refund the bill again, or carry what is owed.",
        "adjustment_amount_above_remaining_allowed",
        "adjustment_total_amount_above_remaining_allowed",
        "adjustment_transaction_item_has_already_been_fully_adjusted",
        "adjustment_transaction_item_over_adjustment",
        "adjustment_transaction_invalid_status_for_refund",
        "adjustment_transaction_invalid_status_for_credit",
        "adjustment_transaction_missing_customer_id",
        "adjustment_no_tax_available_to_adjust",
        "adjustment_payout_earnings_cannot_be_zero",
    ),
    # Paddle Classic's, which are numbers. 102, 107 and 184 close it to everybody, and after 120 it is looked for.
    **_same(
        State.READY,
        Reason.NONE,
        "Paddle Classic is busy with a payment or a change of the subscription; it is tried again shortly.",
        "146",
        "151",
    ),
    **_same(
        State.READY,
        Reason.NONE,
        "Paddle Classic makes only so many charges on a subscription at once; it is tried again shortly.",
        "189",
    ),
    **_same(
        State.HELD,
        Reason.CANCELLED,
        "The subscription is cancelled in Paddle Classic. Mark it as settled outside, or write it off.",
        "119",
        "187",
        "197",
    ),
    **_same(
        State.HELD,
        Reason.CONFIGURATION,
        "The customer has no payment method in Paddle Classic. Ask for one, then approve the bill.",
        "190",
    ),
    **_same(
        State.WAITING,
        Reason.PAUSED,
        "The subscription is paused, or being paused; it is charged when it is resumed.",
        "192",
        "194",
    ),
    **_same(
        State.WAITING, Reason.PAST_DUE, "The subscription is past due; it is charged when that is paid.", "196", "199"
    ),
    **_same(
        State.FAILED,
        Reason.NONE,
        "Paddle Classic does not take such an amount in this currency. Charge it in another way, or skip it.",
        "109",
        "118",
    ),
    # Refused for good, as it stands.
    **_same(
        State.FAILED,
        Reason.NONE,
        "The customer's payment was declined, and nothing was charged. Ask the customer, then resend.",
        "subscription_payment_declined",
        "188",
    ),
    **_same(
        State.FAILED,
        Reason.NONE,
        "There are too many items on the subscription. Resend it with the policy's grouping by bill.",
        *TOO_MANY_ITEMS,
    ),
    **_same(
        State.FAILED,
        Reason.NONE,
        "Paddle does not know the subscription or payment that it is about. Look whether the account is the right one.",
        "not_found",
        "invalid_url",
    ),
    **_same(
        State.FAILED,
        Reason.NONE,
        FAULT,
        *("101", "116", "155", "181", "182", "183"),
        "adjustment_amount_cannot_be_zero",
        "adjustment_invalid_combination_of_types",
        "adjustment_invalid_credit_action",
        "adjustment_tax_mode_not_allowed",
        "adjustment_transaction_customer_mismatch",
        "adjustment_transaction_item_invalid",
        "adjustment_transaction_subscription_mismatch",
        "bad_request",
        "invalid_field",
        "invalid_json",
        "invalid_time_query_parameter",
        "method_not_allowed",
        "request_body_too_large",
        "request_headers_too_large",
        "subscription_cannot_be_paused",
        "subscription_charge_duplicate_price_ids",
        "subscription_quantity_not_valid",
        "transaction_billing_details_must_be_null",
        "transaction_billing_details_object_required",
        "transaction_custom_data_numeric_value_too_large",
        "transaction_duplicate_price_ids",
        "transaction_immutable",
        "transaction_item_quantity_out_of_range",
        "transaction_payment_terms_object_required",
        "unexpected_request_body",
        "unsupported_media_type",
    ),
}
UNKNOWN = Refusal(State.FAILED, Reason.NONE, "Paddle refused it, and nothing was charged.")
"""For codes that nobody has heard of yet."""


def verdict(
    code: str, said: str, now: datetime, *, otherwise: Refusal = UNKNOWN, wait: timedelta | None = None
) -> Verdict:
    """Say what a refusal means for the bill, in our words and Paddle's; `wait`: how long before it is tried again."""
    meaning = REFUSALS.get(code, otherwise)
    tried_again = meaning.state in {State.WAITING, State.READY}
    return Verdict(
        meaning.state,
        meaning.reason,
        f"{meaning.words} ({said})",
        now + (wait or LOOK_AGAIN) if tried_again else None,
    )
