"""Refunds and credits made by our client: asked for once, found again by a word of their reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.paddle.entities import Adjustment, NewAdjustmentItem
from tests.contracts import sample_files
from tests.vendors.paddle.stage import PUSH, Stage

# Asking


def test_a_refund_is_read_as_paddle_made_it(stage: Stage) -> None:
    refund = stage.refund(1000)

    assert (refund.action, refund.type, refund.status, refund.stands) == ("refund", "partial", "pending_approval", True)
    assert (refund.transaction_id, refund.subscription_id) == (stage.transaction_id, stage.subscription_id)
    assert (refund.customer_id, refund.currency_code) == (stage.customer_id, "EUR")
    assert refund.reason == f"{PUSH} bill 91aa was corrected."
    assert (refund.totals.subtotal, refund.totals.tax, refund.totals.total) == (1000, 190, 1190)
    (item,) = refund.items
    assert (item.item_id, item.type, item.amount_minor) == (stage.line_of(stage.transaction_id), "partial", 1000)
    assert item.totals == refund.totals


def test_an_amount_may_hold_its_tax_and_a_line_may_go_whole(stage: Stage) -> None:
    first, second = (NewAdjustmentItem(stage.line_of(stage.transaction_id, n), a) for n, a in ((0, 1190), (1, None)))

    refund = stage.refund(items=(first, second), tax_mode="internal")

    assert [item.totals.subtotal for item in refund.items] == [1000, 2700]
    assert [item.type for item in refund.items] == ["partial", "full"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"action": "chargeback"}, "a refund or a credit"),
        ({"tax_mode": "none"}, "external or internal"),
        ({"items": ()}, "1 to 100 items"),
        ({"items": (NewAdjustmentItem("txnitm_1"), NewAdjustmentItem("txnitm_1", 5))}, "each line once"),
        ({"push_id": ""}, "one word"),
        ({"push_id": "two words"}, "one word"),
        ({"push_id": " padded"}, "one word"),
    ],
)
def test_an_adjustment_that_cannot_be_right_is_not_made(stage: Stage, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stage.refund(**changes)

    assert stage.operations == []


@pytest.mark.parametrize("amount", [0, -1, True])
def test_an_adjustment_s_item_is_above_zero(amount: int) -> None:
    with pytest.raises(ValueError, match="a whole amount above zero"):
        NewAdjustmentItem("txnitm_1", amount)


@pytest.mark.parametrize("fault", ["lose_answer", "error_after", "truncated", "html", "redirect", "error_before"])
def test_a_refund_without_a_good_answer_is_open_and_asked_for_once(stage: Stage, fault: str) -> None:
    stage.simulator.fault("create adjustment", fault)

    with pytest.raises(errors.OutcomeUnknown):
        stage.refund()

    assert stage.operations == ["create adjustment"]


def test_while_one_refund_waits_another_is_a_person_s_matter(stage: Stage) -> None:
    stage.refund(push_id="another-1")

    with pytest.raises(errors.VendorRejected) as caught:
        stage.refund()

    assert (caught.value.code, caught.value.policy) == ("adjustment_pending_refund_request", "person")
    assert len(stage.simulator.adjustments) == 1


@pytest.mark.parametrize(
    ("call", "operation", "permission"),
    [
        (Stage.refund, "create adjustment", "adjustment.write"),
        (Stage.find_refund, "list adjustments", "adjustment.read"),
    ],
)
def test_a_missing_permission_closes_what_needs_it(
    stage: Stage, call: Callable[[Stage], object], operation: str, permission: str
) -> None:
    stage.simulator.withhold_permission(permission)

    with pytest.raises(errors.VendorClosed) as caught:
        call(stage)

    assert caught.value.operation == operation


# Finding


def test_an_absent_refund_is_none_after_reading(stage: Stage) -> None:
    stage.refund(push_id="another-1")

    assert stage.find_refund() is None
    assert stage.operations[-1:] == ["list adjustments"]


def test_a_refund_whose_answer_was_lost_is_found(stage: Stage) -> None:
    stage.simulator.fault("create adjustment", "lose_answer")
    with pytest.raises(errors.OutcomeUnknown):
        stage.refund(1000)

    found = stage.find_refund()

    assert (found.push_id, found.adjustment_id) == (PUSH, next(iter(stage.simulator.adjustments)))
    assert (found.action, found.status, found.stands) == ("refund", "pending_approval", True)
    assert (found.amount, found.total, found.times) == (1000, 1190, 1)
    assert found.transaction_id == stage.transaction_id


def test_a_look_up_behind_paddles_lag_finds_nothing_yet(stage: Stage) -> None:
    stage.simulator.fault("list adjustments", "list_lag")
    stage.refund()

    assert stage.find_refund() is None
    assert stage.find_refund().times == 1


@pytest.mark.parametrize("other", [PUSH + "0", PUSH + ".5", f"x{PUSH}", f"{PUSH}-1", f"{PUSH}/{PUSH}"])
def test_a_push_is_not_taken_for_one_whose_name_holds_it(stage: Stage, other: str) -> None:
    stage.refund(push_id=other)

    assert stage.find_refund() is None
    assert stage.find_refund(other).times == 1


@pytest.mark.parametrize("reason", ["push {}, corrected", "corrected ({}).", "corrected: {}", "\t{}\n", '"{}"'])
def test_a_push_is_found_among_other_words(stage: Stage, reason: str) -> None:
    raw = {**stage.refund(push_id="another-1").raw, "reason": reason.format(PUSH)}

    assert PUSH in Adjustment.from_paddle(raw).words


def test_a_refund_that_was_made_twice_is_told(stage: Stage) -> None:
    first = stage.refund()
    stage.simulator.settle_adjustments()
    stage.refund()

    found = stage.find_refund()

    assert (found.times, found.adjustment_id, found.status) == (2, first.id, "approved")
    assert first.id in found.places[0]


def test_a_rejected_refund_is_found_and_does_not_stand(stage: Stage) -> None:
    refund = stage.refund()
    stage.simulator.reject_refund(refund.id)

    found = stage.find_refund()

    assert (found.adjustment_id, found.status, found.stands, found.times) == (refund.id, "rejected", False, 1)


def test_a_refund_after_a_rejected_one_is_what_counts(stage: Stage) -> None:
    stage.simulator.reject_refund(stage.refund().id)
    second = stage.refund(500)
    stage.simulator.approve_refund(second.id)

    found = stage.find_refund()

    assert (found.adjustment_id, found.status, found.times, found.amount) == (second.id, "approved", 1, 500)


def test_a_reversed_credit_is_found_once_although_paddle_repeats_its_reason(stage: Stage) -> None:
    invoice = stage.invoice(push_id="another-1")
    credit = stage.refund(1000, action="credit", transaction_id=invoice.id)
    stage.simulator.reverse_credit(credit.id)

    found = stage.find_refund(transaction_id=invoice.id)

    assert (found.adjustment_id, found.status, found.stands, found.times) == (credit.id, "reversed", False, 1)
    assert len(stage.simulator.adjustments) == 2


def test_a_refund_of_another_transaction_is_not_this_one(stage: Stage) -> None:
    stage.refund()

    assert stage.find_refund(transaction_id="txn_01hv0000000000000000000000") is None


def test_every_page_is_read_for_a_refund(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.ADJUSTMENTS_PAGE", 2)
    stage.refund()
    for number in range(4):
        stage.simulator.settle_adjustments()
        stage.refund(100, push_id=f"another-{number}")

    assert stage.find_refund().times == 1
    assert stage.operations.count("list adjustments") == 3


@pytest.mark.parametrize("fault", ["error_before", "truncated", "html", "too_many", "lose_answer", "redirect"])
def test_an_unread_page_is_no_answer_about_a_refund(stage: Stage, fault: str) -> None:
    stage.simulator.fault("list adjustments", fault)

    with pytest.raises(errors.Temporary):
        stage.find_refund()


def test_adjustments_are_listed_by_subscription_and_by_transactions(stage: Stage) -> None:
    refund = stage.refund()
    credit = stage.refund(action="credit", transaction_id=stage.invoice().id)

    both = list(stage.client.list_adjustments(transaction_ids=[refund.transaction_id, credit.transaction_id]))

    assert [entry.id for entry in both] == [credit.id, refund.id]
    assert [entry.id for entry in stage.client.list_adjustments(subscription_id=stage.subscription_id)] == [refund.id]
    assert [entry.id for entry in stage.client.list_adjustments()] == [credit.id, refund.id]


# Notifications


def test_a_notification_is_read_like_an_answer(stage: Stage) -> None:
    refund = stage.refund()
    stage.simulator.approve_refund(refund.id)

    told = [event for event in stage.simulator.events if event["event_type"].startswith("adjustment.")]

    assert [event["event_type"] for event in told] == ["adjustment.created", "adjustment.updated"]
    created, updated = (Adjustment.from_paddle(event["data"]) for event in told)
    assert created == refund
    assert (updated.id, updated.status, PUSH in updated.words) == (refund.id, "approved", True)


def test_a_chargeback_carries_no_push_of_ours_whatever_its_reason_says(stage: Stage) -> None:
    chargeback = Adjustment.from_paddle({**stage.refund().raw, "action": "chargeback"})

    assert PUSH in chargeback.reason
    assert chargeback.words == frozenset()


def test_a_reason_is_not_in_a_repr(stage: Stage) -> None:
    assert "corrected" not in repr(stage.refund())


def test_paddles_own_samples_are_read() -> None:
    samples = [path for path in sample_files("paddle-events") if path.stem.startswith("adjustment.")]
    if not samples:
        pytest.skip("Paddle's sample events are not beside the checkout (looked in ../shared/contracts)")

    read = [Adjustment.from_paddle(json.loads(path.read_text(encoding="utf-8"))) for path in samples]

    assert {adjustment.action for adjustment in read} == {"refund"}
    for adjustment in read:
        assert adjustment.totals.subtotal + adjustment.totals.tax == adjustment.totals.total
        assert sum(item.totals.total for item in adjustment.items) == adjustment.totals.total
