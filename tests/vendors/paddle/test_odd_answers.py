"""Answers the simulated Paddle never gives, made by hand: other shapes, other hosts, codes of tomorrow."""

from collections.abc import Callable
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle.entities import NewAdjustment, NewAdjustmentItem
from integration_project.vendors.paddle.errors import POLICIES
from integration_project.vendors.paddle.simulator.refusals import STATUSES
from tests.vendors.opening import config, opened
from tests.vendors.paddle.stage import charge


def scripted(*bodies: str, status: str = "200 OK") -> tuple[PaddleClient, list[str]]:
    asked: list[str] = []
    replies = list(bodies)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        asked.append(f"{environ['HTTP_HOST']}{environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        body = (replies.pop(0) if len(replies) > 1 else replies[0]).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return opened(config(paddle_api_key="key"), paddle=app).paddle, asked


PRODUCT = '{"id": "pro_1", "name": "Gauge", "status": "a word of tomorrow", "type": "new", "tax_category": "moon"}'


def page(pagination: str, entries: str = PRODUCT) -> str:
    return f'{{"data": [{entries}], "meta": {{"request_id": "r", "pagination": {pagination}}}}}'


def test_the_next_page_is_asked_of_our_host_and_path_whatever_next_says() -> None:
    client, asked = scripted(
        page('{"has_more": true, "next": "https://evil.example/steal?after=pro_1&per_page=2&status=active"}'),
        page('{"has_more": false, "next": "https://evil.example/steal?after=pro_2"}'),
    )

    assert len(list(client.list_products())) == 2
    assert asked[1] == "paddle.localhost/products?after=pro_1&per_page=2&status=active"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "pagination",
    [
        "{}",
        '{"next": "https://api.example/products?after=pro_1"}',
        '{"has_more": null}',
        '{"has_more": true}',
        '{"has_more": true, "next": "https://api.example/products"}',
        '{"has_more": 1}',
        "null",
    ],
)
def test_a_page_that_does_not_say_how_to_go_on_is_unreadable(pagination: str) -> None:
    client, _ = scripted(page(pagination))

    with pytest.raises(errors.Temporary, match="could not be read"):
        list(client.list_products())


def test_pages_that_go_round_in_a_circle_are_noticed() -> None:
    client, asked = scripted(page('{"has_more": true, "next": "https://api.example/products?after=pro_1"}'))

    with pytest.raises(errors.Temporary, match="round in a circle"):
        list(client.list_products())
    assert len(asked) == 2


def test_an_unknown_word_is_read_as_it_is() -> None:
    client, _ = scripted(page('{"has_more": false}'))

    (product,) = client.list_products()

    assert (product.status, product.type, product.tax_category) == ("a word of tomorrow", "new", "moon")


SUBSCRIPTION = '{{"data": {{"id": "sub_1", "status": "active", "customer_id": "c", "currency_code": "EUR", {}}}}}'


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '"text"',
        "12",
        "{}",
        '{"data": null}',
        '{"data": []}',
        '{"data": {"id": 5}}',
        '{"data": {"id": "sub_1", "status": null}}',
        SUBSCRIPTION.format('"items": {}'),
        SUBSCRIPTION.format('"items": [1]'),
        SUBSCRIPTION.format('"items": [], "next_billed_at": "tomorrow"'),
        SUBSCRIPTION.format('"items": [], "next_billed_at": "2026-03-01T09:00:00"'),
    ],
)
def test_an_entity_of_another_shape_is_unreadable_and_a_charge_then_open(body: str) -> None:
    client, _ = scripted(body)

    with pytest.raises(errors.Temporary, match="could not be read"):
        client.get_subscription("sub_1")
    with pytest.raises(errors.OutcomeUnknown, match="could not be read"):
        client.charge_subscription("sub_1", charge())


def error_body(code: str) -> str:
    return f'{{"error": {{"type": "request_error", "code": "{code}", "detail": "Words."}}}}'


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("409 Conflict", error_body("concurrent_modification"), errors.Temporary),
        ("409 Conflict", error_body("subscription_outstanding_transaction"), errors.VendorRejected),
        ("409 Conflict", error_body("a_code_of_tomorrow"), errors.Conflict),
        ("400 Bad Request", error_body("a_code_of_tomorrow"), errors.VendorRejected),
        ("400 Bad Request", error_body("receipt_data_not_enabled"), errors.NeedsConfiguration),
        ("400 Bad Request", "{}", errors.OutcomeUnknown),
        ("400 Bad Request", '{"error": "text"}', errors.OutcomeUnknown),
        ("400 Bad Request", '{"error": {"code": 7, "detail": 7, "errors": 7}}', errors.OutcomeUnknown),
        ("400 Bad Request", "<html>", errors.OutcomeUnknown),
        ("401 Unauthorized", error_body("a_code_of_tomorrow"), errors.VendorClosed),
        ("403 Forbidden", error_body("forbidden"), errors.VendorClosed),
        ("403 Forbidden", error_body("invalid_token"), errors.VendorClosed),
        ("403 Forbidden", "<html>firewall</html>", errors.OutcomeUnknown),
        ("404 Not Found", error_body("a_code_of_tomorrow"), errors.NotFound),
        ("408 Request Timeout", "", errors.OutcomeUnknown),
        ("429 Too Many Requests", "", errors.Temporary),
        ("500 Internal Server Error", error_body("internal_error"), errors.OutcomeUnknown),
        ("500 Internal Server Error", error_body("invalid_field"), errors.OutcomeUnknown),
        ("503 Service Unavailable", error_body("service_unavailable"), errors.OutcomeUnknown),
        ("504 Gateway Timeout", "", errors.OutcomeUnknown),
        ("304 Not Modified", "", errors.OutcomeUnknown),
        ("599 Strange", "", errors.OutcomeUnknown),
    ],
)
def test_a_charge_s_refusal_is_judged_by_code_and_by_status_only_without_one(
    status: str, body: str, kind: type[errors.IntegrationError]
) -> None:
    client, asked = scripted(body, status=status)

    with pytest.raises(errors.IntegrationError) as caught:
        client.charge_subscription("sub_1", charge())

    assert type(caught.value) is kind
    assert len(asked) == 1


@pytest.mark.parametrize(
    "status", ["400 Bad", "401 No", "403 No", "404 None", "409 No", "413 Large", "422 No", "451 No"]
)
@pytest.mark.parametrize("body", ["<html>no</html>", "", "[]", '{"message": "no"}', '{"error": {}}', '{"error": "no"}'])
def test_a_charge_that_something_else_than_paddle_refused_is_open(status: str, body: str) -> None:
    client, asked = scripted(body, status=status)

    with pytest.raises(errors.OutcomeUnknown):
        client.charge_subscription("sub_1", charge())

    assert len(asked) == 1


def test_too_many_requests_is_no_charge_whoever_says_so() -> None:
    client, _ = scripted("<html>slow down</html>", status="429 Too Many Requests")

    with pytest.raises(errors.Temporary):
        client.charge_subscription("sub_1", charge())


def test_every_code_the_simulated_paddle_can_answer_is_in_the_table() -> None:
    assert set(STATUSES) - set(POLICIES) == set()


DOCUMENTED_CODES = """
    too_many_requests subscription_immediate_charge_hour_limit_exceeded
    subscription_immediate_charge_24_hour_limit_exceeded internal_error bad_gateway service_unavailable
    temporarily_unavailable concurrent_modification conflict subscription_locked_renewal subscription_locked_processing
    subscription_outstanding_transaction subscription_locked_pending_changes subscription_update_when_past_due
    subscription_update_when_canceled subscription_is_canceled_action_invalid subscription_not_active
    subscription_is_inactive_action_invalid subscription_cannot_be_paused subscription_update_when_trialing
    subscription_trialing_items_update_invalid_options subscription_payment_declined
    subscription_update_transaction_balance_less_than_charge_limit transaction_balance_less_than_charge_limit
    transaction_recurring_balance_less_than_charge_limit subscription_charge_duplicate_price_ids
    transaction_duplicate_price_ids subscription_maximum_number_of_line_items_reached
    transaction_maximum_number_of_line_items_reached subscription_product_tax_category_not_approved
    product_tax_category_not_approved subscription_missing_payment_method_cannot_update
    subscription_credit_creation_against_processing_transaction
    subscription_credit_creation_against_uncompleted_transaction_not_allowed subscription_consent_granted_too_early
    subscription_locked_consent_review_period transaction_item_quantity_out_of_range subscription_quantity_not_valid
    transaction_immutable transaction_immutable_while_processing_payment transaction_default_checkout_url_not_set
    transaction_billing_details_object_required transaction_billing_details_must_be_null
    transaction_payment_terms_object_required transaction_currency_code_not_valid_for_manual
    transaction_custom_data_numeric_value_too_large receipt_data_not_enabled entity_archived not_found invalid_url
    bad_request invalid_field invalid_json unexpected_request_body invalid_time_query_parameter authentication_missing
    authentication_malformed invalid_token forbidden method_not_allowed unsupported_media_type request_body_too_large
    request_headers_too_large notification_cannot_replay notification_replay_invalid_origin_type
    notification_maximum_active_settings_reached
    adjustment_amount_above_remaining_allowed adjustment_amount_cannot_be_zero
    adjustment_invalid_combination_of_types adjustment_invalid_credit_action adjustment_no_tax_available_to_adjust
    adjustment_payout_earnings_cannot_be_zero adjustment_pending_refund_request adjustment_tax_mode_not_allowed
    adjustment_total_amount_above_remaining_allowed adjustment_transaction_customer_mismatch
    adjustment_transaction_invalid_status_for_credit adjustment_transaction_invalid_status_for_refund
    adjustment_transaction_item_has_already_been_fully_adjusted adjustment_transaction_item_invalid
    adjustment_transaction_item_over_adjustment adjustment_transaction_missing_customer_id
    adjustment_transaction_subscription_mismatch
""".split()
"""The codes that Paddle's pages and kits name for the operations we call."""


def test_every_documented_code_is_in_the_table() -> None:
    assert set(DOCUMENTED_CODES) - set(POLICIES) == set()


ADJUSTMENT_CODES = [code for code in DOCUMENTED_CODES if code.startswith("adjustment_")]


@pytest.mark.parametrize("code", ADJUSTMENT_CODES)
def test_a_refused_adjustment_is_never_open_and_never_tried_again_by_itself(code: str) -> None:
    client, asked = scripted(error_body(code), status="400 Bad Request")
    adjustment = NewAdjustment("refund", "txn_1", "bill-1", "corrected", (NewAdjustmentItem("txnitm_1"),))

    with pytest.raises(errors.VendorRejected) as caught:
        client.create_adjustment(adjustment)

    assert caught.value.code == code
    assert caught.value.policy == ("person" if code == "adjustment_pending_refund_request" else "permanent")
    assert len(asked) == 1


ADJUSTMENT = (
    '{{"data": {{"id": "adj_1", "action": "refund", "status": "approved", "transaction_id": "txn_1", "reason": "r",'
    ' "customer_id": "ctm_1", "currency_code": "EUR", {}}}}}'
)


@pytest.mark.parametrize(
    "rest",
    [
        '"items": []',
        '"items": [], "totals": {"subtotal": "1"}',
        '"items": [], "totals": {"subtotal": 1, "total": 1}',
        '"items": [{"id": "adjitm_1"}], "totals": {"subtotal": "1", "total": "1"}',
        '"items": [], "totals": {"subtotal": "1", "total": "1"}, "reason": null',
    ],
)
def test_an_adjustment_of_another_shape_leaves_the_refund_open(rest: str) -> None:
    client, _ = scripted(ADJUSTMENT.format(rest))
    adjustment = NewAdjustment("refund", "txn_1", "bill-1", "corrected", (NewAdjustmentItem("txnitm_1"),))

    with pytest.raises(errors.OutcomeUnknown, match="could not be read"):
        client.create_adjustment(adjustment)


def test_the_fields_paddle_names_are_in_the_words() -> None:
    body = (
        '{"error": {"code": "invalid_field", "detail": "Request does not pass validation.",'
        ' "errors": [{"field": "items.0.quantity", "message": "must be greater than 0"}, 5]}}'
    )
    client, _ = scripted(body, status="400 Bad Request")

    with pytest.raises(errors.VendorRejected) as caught:
        client.charge_subscription("sub_1", charge())

    assert caught.value.detail == "Request does not pass validation.; items.0.quantity: must be greater than 0"
