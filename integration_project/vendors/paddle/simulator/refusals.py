"""Paddle's error answers: every code the simulator uses, with its status and its words."""

from collections.abc import Sequence
from http import HTTPStatus

from integration_project.vendors.paddle.simulator import guesses
from integration_project.vendors.paddle.simulator.envelope import request_id
from integration_project.vendors.simulation import Answer, Refusal

DOCUMENTED_STATUSES: dict[str, int] = {
    "bad_request": 400,
    "invalid_field": 400,
    "invalid_json": 400,
    "invalid_time_query_parameter": 400,
    "unexpected_request_body": 400,
    "invalid_url": 404,
    "not_found": 404,
    "forbidden": 403,
    "method_not_allowed": 405,
    "unsupported_media_type": 415,
    "too_many_requests": 429,
    "internal_error": 500,
    "bad_gateway": 502,
    "service_unavailable": 503,
    "subscription_immediate_charge_hour_limit_exceeded": 429,
    "subscription_immediate_charge_24_hour_limit_exceeded": 429,
    "subscription_locked_renewal": 409,
    "subscription_locked_processing": 409,
    "subscription_locked_pending_changes": 400,
    "subscription_not_active": 400,
    "subscription_outstanding_transaction": 409,
    "subscription_payment_declined": 400,
    "subscription_update_transaction_balance_less_than_charge_limit": 400,
    "subscription_update_when_past_due": 400,
    "transaction_balance_less_than_charge_limit": 400,
    "adjustment_amount_above_remaining_allowed": 400,
    "adjustment_amount_cannot_be_zero": 400,
    "adjustment_invalid_combination_of_types": 400,
    "adjustment_pending_refund_request": 400,
    "adjustment_tax_mode_not_allowed": 400,
    "adjustment_transaction_invalid_status_for_credit": 400,
    "adjustment_transaction_invalid_status_for_refund": 400,
    "adjustment_transaction_item_has_already_been_fully_adjusted": 400,
    "adjustment_transaction_item_invalid": 400,
    "adjustment_transaction_item_over_adjustment": 400,
    "adjustment_transaction_missing_customer_id": 400,
}
STATUSES = DOCUMENTED_STATUSES | guesses.UNCONFIRMED_STATUSES
SHARED = frozenset(
    {
        "authentication_malformed",
        "authentication_missing",
        "bad_gateway",
        "bad_request",
        "entity_archived",
        "forbidden",
        "internal_error",
        "invalid_field",
        "invalid_json",
        "invalid_time_query_parameter",
        "invalid_token",
        "invalid_url",
        "method_not_allowed",
        "not_found",
        "service_unavailable",
        "too_many_requests",
        "unexpected_request_body",
        "unsupported_media_type",
    }
)
BY_STATUS = {
    404: "invalid_url",
    405: "method_not_allowed",
    429: "too_many_requests",
    500: "internal_error",
    502: "bad_gateway",
    503: "service_unavailable",
}
Problem = tuple[str, str]
"""A field's path and what is wrong with it."""


def error_answer(
    code: str, detail: str, *, errors: Sequence[Problem] = (), status: int | None = None, retry_after: int | None = None
) -> Answer:
    """One error in Paddle's envelope."""
    answered = STATUSES[code] if status is None else status
    group = "shared" if code in SHARED else code.split("_")[0] + "s"
    error: dict[str, object] = {
        "type": "api_error" if answered >= 500 or code == "too_many_requests" else "request_error",
        "code": code,
        "detail": detail,
        "documentation_url": f"https://developer.paddle.com/v1/errors/{group}/{code}",
    }
    if errors:
        error["errors"] = [{"field": field, "message": message} for field, message in errors]
    number = request_id()
    headers = {"Request-Id": number}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(answered, {"error": error, "meta": {"request_id": number}}, headers)


def refuse(code: str, detail: str, *, errors: Sequence[Problem] = ()) -> Refusal:
    """A refusal to raise."""
    return Refusal(error_answer(code, detail, errors=errors))


def invalid(*problems: Problem) -> Refusal:
    """The refusal of a request whose fields do not pass validation."""
    return refuse("invalid_field", "Request does not pass validation.", errors=problems)


def plain_error(status: int, retry_after: int | None = None) -> Answer:
    """The error answer for a bare status, for faults and unknown paths."""
    code = BY_STATUS.get(status, "internal_error" if status >= 500 else "bad_request")
    return error_answer(code, HTTPStatus(status).phrase + ".", status=status, retry_after=retry_after)
