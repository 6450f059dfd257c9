"""Paddle's error codes and what each means for us: one table, by code; the status counts only where that is unknown."""

import re
from collections.abc import Mapping
from typing import Any

from integration_project.vendors.http import Answer, Policy, Ruling

HALF_AN_HOUR_LOCK = 35 * 60.0
"""Paddle locks a subscription for 30 minutes around its renewal; five more make sure that it is over."""
AN_HOUR = 60 * 60.0

POLICIES: Mapping[str, Policy] = {
    # Not done, and may succeed later.
    "too_many_requests": Policy.LATER,
    "subscription_immediate_charge_hour_limit_exceeded": Policy.LATER,
    "subscription_immediate_charge_24_hour_limit_exceeded": Policy.LATER,
    "concurrent_modification": Policy.LATER,
    "conflict": Policy.LATER,
    "subscription_locked_renewal": Policy.LATER,
    "subscription_locked_processing": Policy.LATER,
    "subscription_credit_creation_against_processing_transaction": Policy.LATER,
    "subscription_credit_creation_against_uncompleted_transaction_not_allowed": Policy.LATER,
    "transaction_immutable_while_processing_payment": Policy.LATER,
    # May have been done: look before anything else.
    "internal_error": Policy.LOOK_FIRST,
    "bad_gateway": Policy.LOOK_FIRST,
    "service_unavailable": Policy.LOOK_FIRST,
    "temporarily_unavailable": Policy.LOOK_FIRST,
    # Not done; a person decides how to go on.
    "subscription_outstanding_transaction": Policy.PERSON,
    "subscription_locked_pending_changes": Policy.PERSON,
    "subscription_update_when_past_due": Policy.PERSON,
    "subscription_payment_declined": Policy.PERSON,
    "subscription_missing_payment_method_cannot_update": Policy.PERSON,
    "subscription_consent_granted_too_early": Policy.PERSON,
    "subscription_locked_consent_review_period": Policy.PERSON,
    "subscription_update_transaction_balance_less_than_charge_limit": Policy.PERSON,
    "transaction_balance_less_than_charge_limit": Policy.PERSON,
    "transaction_recurring_balance_less_than_charge_limit": Policy.PERSON,
    "adjustment_pending_refund_request": Policy.PERSON,
    # Not done, and never will be as it stands.
    "subscription_update_when_canceled": Policy.PERMANENT,
    "subscription_is_canceled_action_invalid": Policy.PERMANENT,
    "subscription_not_active": Policy.PERMANENT,
    "subscription_is_inactive_action_invalid": Policy.PERMANENT,
    "subscription_cannot_be_paused": Policy.PERMANENT,
    "subscription_update_when_trialing": Policy.PERMANENT,
    "subscription_trialing_items_update_invalid_options": Policy.PERMANENT,
    "subscription_charge_duplicate_price_ids": Policy.PERMANENT,
    "transaction_duplicate_price_ids": Policy.PERMANENT,
    "subscription_maximum_number_of_line_items_reached": Policy.PERMANENT,
    "transaction_maximum_number_of_line_items_reached": Policy.PERMANENT,
    "transaction_item_quantity_out_of_range": Policy.PERMANENT,
    "subscription_quantity_not_valid": Policy.PERMANENT,
    "transaction_immutable": Policy.PERMANENT,
    "transaction_billing_details_object_required": Policy.PERMANENT,
    "transaction_billing_details_must_be_null": Policy.PERMANENT,
    "transaction_payment_terms_object_required": Policy.PERMANENT,
    "transaction_currency_code_not_valid_for_manual": Policy.PERMANENT,
    "transaction_custom_data_numeric_value_too_large": Policy.PERMANENT,
    "entity_archived": Policy.PERMANENT,
    "bad_request": Policy.PERMANENT,
    "invalid_field": Policy.PERMANENT,
    "invalid_json": Policy.PERMANENT,
    "unexpected_request_body": Policy.PERMANENT,
    "invalid_time_query_parameter": Policy.PERMANENT,
    "method_not_allowed": Policy.PERMANENT,
    "unsupported_media_type": Policy.PERMANENT,
    "request_body_too_large": Policy.PERMANENT,
    "request_headers_too_large": Policy.PERMANENT,
    "adjustment_amount_above_remaining_allowed": Policy.PERMANENT,
    "adjustment_amount_cannot_be_zero": Policy.PERMANENT,
    "adjustment_invalid_combination_of_types": Policy.PERMANENT,
    "adjustment_invalid_credit_action": Policy.PERMANENT,
    "adjustment_no_tax_available_to_adjust": Policy.PERMANENT,
    "adjustment_payout_earnings_cannot_be_zero": Policy.PERMANENT,
    "adjustment_tax_mode_not_allowed": Policy.PERMANENT,
    "adjustment_total_amount_above_remaining_allowed": Policy.PERMANENT,
    "adjustment_transaction_customer_mismatch": Policy.PERMANENT,
    "adjustment_transaction_invalid_status_for_credit": Policy.PERMANENT,
    "adjustment_transaction_invalid_status_for_refund": Policy.PERMANENT,
    "adjustment_transaction_item_has_already_been_fully_adjusted": Policy.PERMANENT,
    "adjustment_transaction_item_invalid": Policy.PERMANENT,
    "adjustment_transaction_item_over_adjustment": Policy.PERMANENT,
    "adjustment_transaction_missing_customer_id": Policy.PERMANENT,
    "adjustment_transaction_subscription_mismatch": Policy.PERMANENT,
    "notification_cannot_replay": Policy.PERMANENT,
    "notification_replay_invalid_origin_type": Policy.PERMANENT,
    "not_found": Policy.NOT_FOUND,
    "invalid_url": Policy.NOT_FOUND,
    "customer_already_exists": Policy.CONFLICT,
    # A setting of the Paddle account.
    "subscription_product_tax_category_not_approved": Policy.CONFIGURATION,
    "product_tax_category_not_approved": Policy.CONFIGURATION,
    "transaction_default_checkout_url_not_set": Policy.CONFIGURATION,
    "receipt_data_not_enabled": Policy.CONFIGURATION,
    "notification_maximum_active_settings_reached": Policy.CONFIGURATION,
    # The key.
    "authentication_missing": Policy.KEY_REFUSED,
    "authentication_malformed": Policy.KEY_REFUSED,
    "invalid_token": Policy.KEY_REFUSED,
    "forbidden": Policy.PERMISSION_MISSING,
}

WAITS: Mapping[str, float] = {
    "subscription_locked_renewal": HALF_AN_HOUR_LOCK,
    "subscription_locked_processing": HALF_AN_HOUR_LOCK,
    "subscription_immediate_charge_hour_limit_exceeded": AN_HOUR,
    "subscription_immediate_charge_24_hour_limit_exceeded": AN_HOUR,
}
"""Seconds after which trying again makes sense, where Paddle does not say."""

STATUSES: Mapping[int, Policy] = {
    401: Policy.KEY_REFUSED,
    403: Policy.PERMISSION_MISSING,
    404: Policy.NOT_FOUND,
    408: Policy.LOOK_FIRST,
    409: Policy.CONFLICT,
    429: Policy.LATER,
}
"""For codes that are not in the table."""

_CODE = re.compile(r"[a-z0-9_]{1,100}")


def judge(answer: Answer) -> Ruling:
    """Say what a refusal of Paddle's means. A 5xx is never proof that nothing happened, whatever its code.

    Only Paddle's own error, with its code, is certain: anything else may come from something between us, which may
    have let the request through. A 429 is one of those, but says itself that nothing was done.
    """
    error = _error(answer)
    code = error.get("code")
    code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    policy = POLICIES.get(code) or _by_status(answer, is_paddles=bool(error))
    if answer.status >= 500 or answer.status < 400:
        policy = Policy.LOOK_FIRST
    return Ruling(policy, code, _words(answer, error), WAITS.get(code), certain=bool(code) or answer.status == 429)


def _by_status(answer: Answer, *, is_paddles: bool) -> Policy:
    """Without a known code. A 403 that is not Paddle's JSON comes from a firewall and says nothing about the key."""
    if answer.status == 403 and not is_paddles:
        return Policy.LOOK_FIRST
    return STATUSES.get(answer.status, Policy.PERMANENT)


def _error(answer: Answer) -> Mapping[str, Any]:
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    return error if isinstance(error, dict) else {}


def _words(answer: Answer, error: Mapping[str, Any]) -> str:
    if not error:
        return answer.in_words
    detail = error.get("detail")
    said = [detail if isinstance(detail, str) and detail else "no reason given"]
    fields = error.get("errors")
    for entry in fields[:5] if isinstance(fields, list) else []:
        if isinstance(entry, dict):
            said.append(f"{entry.get('field')}: {entry.get('message')}")
    return "; ".join(said)
