"""A bill is charged exactly once, for exactly its amount, and whatever is not certain is settled by looking."""

import datetime as dt
from typing import Any

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import BillEntry, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Circuit, Finding
from integration_project.vendors.paddle.simulator import sample
from tests.billing_bridge.world import World, fresh, look_through_schedule, make_due, push_of

State = PushedBill.State
Reason = PushedBill.Reason


def test_an_approved_bill_becomes_one_charge_with_the_renewal(world: World) -> None:
    bill = world.approved()

    jobs.drain_bills()

    bill = fresh(bill)
    assert (bill.state, bill.pushed, bill.outstanding) == (State.PUSHED, 14345, 0)
    (charge,) = world.paddle.charges
    assert (charge.subscription_id, charge.effective_from) == (world.subscription_id, "next_billing_period")
    assert (charge.subtotal, charge.currency_code) == (14345, "USD")
    assert set(charge.push_ids) == {f"{bill.m3ter_bill_id}-1"}
    push = push_of(bill)
    assert (push.state, push.amount, push.attempt) == (Push.State.PUSHED, 14345, 1)
    assert push.expected_renewal_at == bill.renews_at


def test_what_is_sent_carries_the_push_in_every_price_and_product(world: World) -> None:
    bill = world.pushed()

    push_id = f"{bill.m3ter_bill_id}-1"
    items = world.paddle.charges[0].items
    for item in items:
        assert item["quantity"] == 1
        assert item["price"]["custom_data"] == {"push_id": push_id, "bill_id": bill.m3ter_bill_id, "attempt": "1"}
        assert push_id in item["price"]["description"]
        assert item["price"]["tax_mode"] == "external"
    assert [item["price"]["unit_price"]["amount"] for item in items] == ["12345", "2000"]


def test_a_pushed_bill_costs_two_calls_of_paddle_and_four_of_m3ter(world: World) -> None:
    Circuit.objects.create(vendor="paddle", operation="list subscription history", last_success_at=clock.now())
    bill_id = world.make_bill()
    world.paddle.calls.clear()
    world.m3ter.calls.clear()

    world.import_all()
    bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
    review.approve(bill.pk, by="finance")
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))
    world.work()

    assert [call.operation for call in world.paddle.calls] == ["preview charge", "charge subscription"]
    assert [call.operation for call in world.m3ter.calls if call.operation != "get token"] == [
        "list bills",
        "get bill",
        "get bill",
        "lock bill",
        "create external mapping",
    ]


def test_the_key_is_proven_to_read_histories_once_before_the_first_push(world: World) -> None:
    world.pushed()
    first = world.calls("list subscription history")
    _, account_id = world.subscribe(email="another@example.com")

    world.pushed(account_id=account_id)

    assert (first, world.calls("list subscription history")) == (1, 1)


# --- No answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("lose_answer", {}),
        ("error_after", {"status": 500}),
        ("error_after", {"status": 503}),
        ("truncated", {}),
        ("html", {"status": 502}),
        ("redirect", {}),
        ("huge", {}),
    ],
)
def test_a_charge_without_a_readable_answer_is_found_by_looking_and_never_sent_twice(
    world: World, kind: str, params: dict[str, Any]
) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", kind, **params)

    jobs.drain_bills()
    after_the_charge = fresh(bill).state
    look_through_schedule(bill)

    assert after_the_charge == State.UNCONFIRMED
    assert world.calls("charge subscription") == 1
    accepted = world.charges_of(bill)
    assert (fresh(bill).state, fresh(bill).pushed) == ((State.PUSHED, 14345) if accepted else (State.UNCONFIRMED, 0))
    assert accepted == (0 if kind in {"html", "redirect"} else 1)


def test_an_unconfirmed_bill_is_looked_for_on_schedule(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    sent_at = push_of(bill).sent_at
    assert sent_at is not None

    waits = [fresh(bill).due_at]
    for _ in range(4):
        make_due(bill)
        jobs.confirm_bills()
        waits.append(fresh(bill).due_at)

    assert waits == [sent_at + dt.timedelta(seconds=seconds) for seconds in (15, 60, 300, 900, 3600)]
    assert fresh(bill).looks == 4


def test_without_a_trace_after_the_whole_schedule_it_waits_for_a_person(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")

    jobs.drain_bills()
    look_through_schedule(bill)

    bill = fresh(bill)
    assert (bill.state, bill.due_at, bill.looks) == (State.UNCONFIRMED, None, 5)
    assert Finding.objects.get(kind="charge unconfirmed").severity == Finding.Severity.ALARM
    world.work()
    assert world.calls("charge subscription") == 1


def test_the_policy_may_send_again_what_left_no_trace(world: World) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")

    jobs.drain_bills()
    look_through_schedule(bill)
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert (push_of(bill).ordinal, push_of(bill).attempt) == (1, 2)
    assert world.paddle.charges[0].items[0]["price"]["custom_data"]["attempt"] == "2"


def test_a_look_up_that_was_refused_does_not_count(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    world.paddle.withhold_permission("subscription_history.read")

    look_through_schedule(bill)

    assert (fresh(bill).state, fresh(bill).looks) == (State.UNCONFIRMED, 0)
    assert fresh(bill).due_at is not None
    assert "not complete" in PushAttempt.objects.filter(step="look").values_list("outcome", flat=True)


def test_a_look_up_with_an_unreadable_page_does_not_count(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "error_before")
    jobs.drain_bills()
    world.paddle.fault("list transactions", "html", times=None)

    look_through_schedule(bill)

    assert (fresh(bill).state, fresh(bill).looks) == (State.UNCONFIRMED, 0)
    assert "HTML" in fresh(bill).last_error


def test_a_charge_that_lists_show_late_is_found_by_a_later_look(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    world.paddle.fault("list subscription history", "list_lag", times=2)
    jobs.drain_bills()

    look_through_schedule(bill)

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert "absent" in PushAttempt.objects.filter(step="look").values_list("outcome", flat=True)


def test_pushing_is_refused_while_the_key_may_not_read_histories(world: World) -> None:
    bill = world.approved()
    world.paddle.withhold_permission("subscription_history.read")

    jobs.drain_bills()
    make_due(bill)
    jobs.drain_bills()

    assert fresh(bill).state == State.READY
    assert world.calls("charge subscription") == 0
    assert "subscription histor" in Finding.objects.get(kind="charging refused", state="open").detail


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_too_many_requests_is_not_sent_and_tried_again_later(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "too_many", retry_after=60)

    jobs.drain_bills()
    waiting = fresh(bill)
    make_due(bill)
    jobs.drain_bills()

    assert waiting.state == State.READY
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now() + dt.timedelta(seconds=50)
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


@pytest.mark.parametrize("permission", ["subscription.read", "subscription.write"])
def test_a_missing_permission_leaves_the_bill_ready_and_uncounted(world: World, permission: str) -> None:
    bill = world.approved()
    world.paddle.withhold_permission(permission)

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).attempts) == (State.READY, 0)
    assert push_of(bill).state == Push.State.INTENDED
    assert push_of(bill).sent_at is None
    assert world.charges_of(bill) == 0


def test_while_the_key_is_refused_bills_wait_without_filling_their_history(world: World) -> None:
    bill = world.approved()
    world.paddle.revoke_key(sample.API_KEY)

    for _ in range(5):
        make_due(bill)
        jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).attempts) == (State.READY, 0)
    assert PushAttempt.objects.filter(bill=bill).exclude(step="decision").count() <= 2


def test_below_the_minimum_is_held_where_policy_wants_that(world: World) -> None:
    PushPolicy.objects.update(small="hold")
    bill = world.approved((("API calls", "0.30"),))

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.BELOW_MINIMUM)
    assert fresh(bill).reason_detail == "0.30 USD is less than the 0.70 USD that Paddle charges at least."
    assert world.calls("charge subscription") == 0


def test_an_html_page_is_recorded_on_the_attempt_in_words(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("preview charge", "html", status=502)

    jobs.drain_bills()

    step = PushAttempt.objects.filter(bill=bill, step="preview", phase="after").latest("id")
    assert "HTML" in step.detail
    assert step.calls[-1]["status"] == 502
    assert fresh(bill).state == State.READY


def test_the_vendors_words_stand_on_the_attempt_and_the_bill(world: World) -> None:
    PushPolicy.objects.update(tax_category="no-such-category")
    bill = world.approved()

    jobs.drain_bills()

    assert fresh(bill).state == State.FAILED
    assert "tax_category" in fresh(bill).reason_detail
    assert "tax_category" in PushAttempt.objects.filter(bill=bill, phase="after").latest("id").detail
    assert push_of(bill).state == Push.State.FAILED


def test_what_failed_can_be_resent_under_the_same_id(world: World) -> None:
    PushPolicy.objects.update(tax_category="no-such-category")
    bill = world.approved()
    jobs.drain_bills()
    PushPolicy.objects.update(tax_category="saas")

    review.resend(bill.pk, by="finance", reason="the category is corrected")
    jobs.drain_bills()

    assert fresh(bill).state == State.PUSHED
    assert (push_of(bill).push_id, push_of(bill).attempt) == (f"{bill.m3ter_bill_id}-1", 2)
    assert Push.objects.filter(bill=bill).count() == 1


# --- One at a time ----------------------------------------------------------------------------------------------------


def test_a_second_bill_waits_for_an_unconfirmed_one_and_goes_on_by_itself(world: World) -> None:
    first = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    second = _another_bill(world, first)

    jobs.drain_bills()
    waiting = fresh(second)
    make_due(first)
    jobs.confirm_bills()
    jobs.drain_bills()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.ANOTHER_PUSH)
    assert push_of(first).push_id in waiting.reason_detail
    assert (fresh(first).state, fresh(second).state) == (State.PUSHED, State.PUSHED)
    assert (world.charges_of(first), world.charges_of(second)) == (1, 1)


def _another_bill(world: World, like: PushedBill) -> PushedBill:
    """A further approved bill on the same subscription."""
    original = world.in_m3ter(like.m3ter_bill_id)
    other_id = "other-" + like.m3ter_bill_id[:20]
    world.m3ter.memory.bills.add({**original, "id": other_id})
    bill = importing.import_bill(other_id, world.vendors)
    assert bill is not None
    review.approve(bill.pk, by="finance")
    return fresh(bill)


# --- The bill changed meanwhile ---------------------------------------------------------------------------------------


def test_a_bill_that_m3ter_calculates_again_waits_and_goes_on_when_approved_with_the_same_content(world: World) -> None:
    bill = world.approved()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id)
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))

    jobs.drain_bills()
    waiting = fresh(bill)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()
    jobs.drain_bills()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.PENDING)
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_other_content_than_was_reviewed_is_not_charged(world: World) -> None:
    bill = world.approved()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "999.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REVIEW)
    assert fresh(bill).payable == 99900
    assert world.charges_of(bill) == 0


def test_a_bill_deleted_in_m3ter_is_not_charged(world: World) -> None:
    bill = world.approved()
    world.delete_in_m3ter(bill)
    PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))

    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).payable) == (State.HELD, Reason.DELETED, 0)
    assert world.charges_of(bill) == 0


def test_the_ledger_has_one_entry_for_one_push(world: World) -> None:
    bill = world.pushed()

    (entry,) = BillEntry.objects.filter(bill=bill)

    assert (entry.kind, entry.amount, entry.push) == ("pushed", 14345, push_of(bill))


def test_an_automatic_policy_charges_without_review(world: World) -> None:
    PushPolicy.objects.update(review="never")
    bill = world.imported()

    jobs.drain_bills()

    assert (bill.state, fresh(bill).state, world.charges_of(bill)) == (State.READY, State.PUSHED, 1)
