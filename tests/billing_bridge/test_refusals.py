"""A push that Paddle refuses lands where the table of error codes says, with a sentence for people."""

import re

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import CarriedEntry, PaddleCurrency, Push, PushedBill, PushPolicy
from billing_bridge.refusals import REFUSALS, TOO_MANY_ITEMS
from integration_project import clock
from integration_project.models import Circuit
from integration_project.vendors.http import Policy
from integration_project.vendors.paddle.errors import POLICIES
from tests.billing_bridge import truth
from tests.billing_bridge.world import World, fresh, push_of

pytestmark = pytest.mark.django_db

State = PushedBill.State
WAYS = {
    "next_billing_period": ("preview charge", "charge subscription"),
    "immediately": ("preview charge", "charge subscription"),
    "invoice": ("preview transaction", "create transaction"),
    "refund": ("get transaction", "create adjustment"),
}
"""The look before, and the request that moves money."""
EXPECTED = {
    "too_many_requests": "ready",
    "subscription_immediate_charge_hour_limit_exceeded": "waiting charge limit",
    "subscription_immediate_charge_24_hour_limit_exceeded": "waiting charge limit",
    "concurrent_modification": "ready",
    "conflict": "ready",
    "subscription_locked_renewal": "waiting renewal lock",
    "subscription_locked_processing": "waiting renewal lock",
    "subscription_outstanding_transaction": "waiting past due",
    "subscription_locked_pending_changes": "held cancelled",
    "subscription_update_when_past_due": "waiting past due",
    "subscription_update_when_canceled": "held cancelled",
    "subscription_is_canceled_action_invalid": "held cancelled",
    "subscription_not_active": "waiting paused",
    "subscription_is_inactive_action_invalid": "waiting paused",
    "subscription_update_when_trialing": "waiting trial",
    "subscription_trialing_items_update_invalid_options": "waiting trial",
    "subscription_payment_declined": "failed",
    "subscription_update_transaction_balance_less_than_charge_limit": "held below minimum",
    "transaction_balance_less_than_charge_limit": "held below minimum",
    "transaction_recurring_balance_less_than_charge_limit": "held below minimum",
    "subscription_charge_duplicate_price_ids": "failed",
    "transaction_duplicate_price_ids": "failed",
    "subscription_maximum_number_of_line_items_reached": "failed",
    "transaction_maximum_number_of_line_items_reached": "failed",
    "subscription_product_tax_category_not_approved": "held configuration",
    "product_tax_category_not_approved": "held configuration",
    "subscription_missing_payment_method_cannot_update": "held mode",
    "subscription_credit_creation_against_processing_transaction": "ready",
    "subscription_credit_creation_against_uncompleted_transaction_not_allowed": "ready",
    "subscription_consent_granted_too_early": "held configuration",
    "subscription_locked_consent_review_period": "held configuration",
    "transaction_item_quantity_out_of_range": "failed",
    "subscription_quantity_not_valid": "failed",
    "transaction_immutable": "failed",
    "transaction_immutable_while_processing_payment": "ready",
    "transaction_default_checkout_url_not_set": "held configuration",
    "transaction_billing_details_object_required": "failed",
    "transaction_billing_details_must_be_null": "failed",
    "transaction_payment_terms_object_required": "failed",
    "transaction_currency_code_not_valid_for_manual": "held mode",
    "transaction_custom_data_numeric_value_too_large": "failed",
    "receipt_data_not_enabled": "held configuration",
    "entity_archived": "held configuration",
    "not_found": "failed",
    "invalid_url": "failed",
    "bad_request": "failed",
    "invalid_field": "failed",
    "invalid_json": "failed",
    "unexpected_request_body": "failed",
    "invalid_time_query_parameter": "failed",
    "authentication_missing": "ready",
    "authentication_malformed": "ready",
    "invalid_token": "ready",
    "forbidden": "ready",
    "method_not_allowed": "failed",
    "unsupported_media_type": "failed",
    "request_body_too_large": "failed",
    "request_headers_too_large": "failed",
    "a_code_that_nobody_knows_yet": "failed",
}
EXPECTED_OF_REFUNDS = {
    "adjustment_pending_refund_request": "waiting refund",
    "adjustment_amount_above_remaining_allowed": "held refund",
    "adjustment_transaction_item_has_already_been_fully_adjusted": "held refund",
    "adjustment_transaction_invalid_status_for_refund": "held refund",
    "adjustment_transaction_invalid_status_for_credit": "held refund",
    "adjustment_amount_cannot_be_zero": "failed",
    "not_found": "failed",
    "forbidden": "ready",
    "concurrent_modification": "ready",
}
OPEN = ("internal_error", "bad_gateway", "service_unavailable", "temporarily_unavailable")
STATUSES = {"forbidden": 403, "too_many_requests": 429}
SENTENCE = re.compile(r"[A-Z].*[.)]$", re.DOTALL)
ELSEWHERE = re.compile("notification_|customer_already_exists")


def ready(world: World, way: str) -> PushedBill:
    """A bill that is ready to be charged, or of which something is ready to be given back."""
    PushPolicy.objects.update(
        review="never", small="hold", lock_after_days=30, mode="immediately" if way == "refund" else way
    )
    world.complete_the_customer()
    world.paddle.rate_limit.limit = None  # dozens of refusals in a row are more than a minute's calls
    bill = world.imported()
    if way == "refund":
        jobs.drain_bills()
        Push.objects.update(payment="paid", paddle_transaction_id=world.paddle.charges[0].transaction_id)
        world.m3ter.recalculate(bill.m3ter_bill_id)
        world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
        world.m3ter.approve_bill(bill.m3ter_bill_id)
        importing.import_bill(bill.m3ter_bill_id, world.vendors)
        review.refund(bill.pk, by="fiona", reason="corrected")
    return fresh(bill)


def again(bill: PushedBill, way: str) -> None:
    """Everything is as it was before the refusal."""
    Circuit.objects.all().delete()
    Push.objects.filter(bill=bill).exclude(state="pushed").update(state="intended", sent_at=None)
    PushedBill.objects.filter(pk=bill.pk).update(
        state=State.READY,
        reason="",
        due_at=clock.now(),
        attempts=0,
        chosen_mode=way,
        m3ter_read_at=clock.now(),
        reviewed_revision=bill.revision_id,
    )


def refused(world: World, bill: PushedBill, way: str, operation: str, code: str) -> PushedBill:
    """Let Paddle refuse it with this code, once."""
    again(bill, way)
    world.paddle.fault(operation, "refuse", code=code, status=STATUSES.get(code, 400))
    jobs.drain_bills()
    world.paddle.clear_faults()
    return fresh(bill)


@pytest.mark.parametrize("moment", [0, 1], ids=["preview", "charge"])
@pytest.mark.parametrize("way", ["next_billing_period", "invoice"])
def test_every_code_lands_where_the_table_says(world: World, way: str, moment: int) -> None:
    bill = ready(world, way)
    operation = WAYS[way][moment]
    codes = [code for code in EXPECTED if moment or code not in TOO_MANY_ITEMS]  # seen before: sent as one item
    landed, said = {}, {}

    for code in codes:
        after = refused(world, bill, way, operation, code)
        landed[code] = f"{after.state} {after.reason}".strip()
        said[code] = after.reason_detail
        assert push_of(bill).sent_at is None, code

    assert landed == {code: EXPECTED[code] for code in codes}
    assert [code for code, words in said.items() if not SENTENCE.match(words)] == []
    assert truth.net(world.paddle, bill.m3ter_bill_id) == 0


def test_every_code_for_refunds_lands_where_the_table_says(world: World) -> None:
    bill = ready(world, "refund")

    landed = {}
    for code in EXPECTED_OF_REFUNDS:
        after = refused(world, bill, "refund", "create adjustment", code)
        landed[code] = f"{after.state} {after.reason}".strip()

    assert landed == EXPECTED_OF_REFUNDS
    assert world.paddle.adjustments == {}


@pytest.mark.parametrize("way", ["next_billing_period", "immediately", "invoice", "refund"])
def test_codes_that_leave_it_open_are_looked_for(world: World, way: str) -> None:
    bill = ready(world, way)

    for code in OPEN:
        again(bill, way)
        world.paddle.fault(WAYS[way][1], "refuse", code=code, status=500)
        jobs.drain_bills()
        assert fresh(bill).state == State.UNCONFIRMED, code


def test_too_little_is_carried_where_policy_says_so(world: World) -> None:
    bill = ready(world, "next_billing_period")
    PushPolicy.objects.update(small="carry")

    after = refused(
        world, bill, "next_billing_period", "charge subscription", "transaction_balance_less_than_charge_limit"
    )

    large = (after.state, after.reason, after.carried)
    PaddleCurrency.objects.create(code="USD", decimal_places=2, minimum=10_000, read_at=clock.now())
    after = refused(
        world, bill, "next_billing_period", "charge subscription", "transaction_balance_less_than_charge_limit"
    )

    assert large == (State.HELD, "below minimum", 0)
    assert (after.state, after.carried, after.outstanding) == (State.CARRIED, 14345, 0)
    assert CarriedEntry.objects.get().remaining == 14345


def test_every_code_we_know_of_means_something_for_a_bill() -> None:
    not_refusals = {Policy.LOOK_FIRST, Policy.KEY_REFUSED, Policy.PERMISSION_MISSING}
    meant = {code for code, policy in POLICIES.items() if policy not in not_refusals and not ELSEWHERE.match(code)}

    assert {code for code in REFUSALS if not code.isdecimal()} == meant  # the numbers are Paddle Classic's
    assert meant - EXPECTED.keys() == {code for code in meant if code.startswith("adjustment_")} | {
        "subscription_cannot_be_paused"
    }
    assert all(SENTENCE.match(refusal.words) for refusal in REFUSALS.values())
