"""A bill is imported once, told apart by what a customer would be charged for, and judged by every rule."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_bridge import importing, jobs, review
from billing_bridge.contents import Content, exact_text
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding, Installation
from paddle_sync.models import AccountLink
from tests.billing_bridge.world import LINES, World, fresh
from tests.builders import make_link

State = PushedBill.State
Reason = PushedBill.Reason


def test_an_approved_bill_is_imported_for_review(world: World) -> None:
    bill = world.imported()

    assert (bill.state, bill.reason) == (State.HELD, Reason.REVIEW)
    assert (bill.payable, bill.outstanding, bill.currency) == (14345, 14345, "USD")
    assert bill.link == world.link
    assert bill.serial_key == world.subscription_id
    assert bill.revision is not None
    assert [line["amount"] for line in bill.revision.lines] == ["123.45", "20"]


def test_a_pending_bill_is_not_ours_yet(world: World) -> None:
    bill_id = world.make_bill(approve=False)

    assert importing.import_bill(bill_id, world.vendors) is None
    assert PushedBill.objects.count() == 0


def test_a_bill_that_m3ter_does_not_know_is_nothing(world: World) -> None:
    assert importing.import_bill("no-such-bill", world.vendors) is None


def test_the_poll_reads_whole_only_what_is_new(world: World) -> None:
    world.make_bill()

    world.import_all()
    world.import_all()

    assert (world.calls("list bills", "m3ter"), world.calls("get bill", "m3ter")) == (2, 1)
    assert PushedBill.objects.count() == 1


def test_the_same_content_approved_again_does_nothing(world: World) -> None:
    bill = world.approved()
    before = fresh(bill)

    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id)
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()

    after = fresh(bill)
    assert after.m3ter_version > before.m3ter_version
    assert (after.state, after.revision_id, after.due_at) == (before.state, before.revision_id, before.due_at)
    assert after.revisions.count() == 1


def test_other_content_is_another_revision_and_must_be_reviewed_again(world: World) -> None:
    bill = world.approved()

    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "200.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()

    after = fresh(bill)
    assert (after.state, after.reason, after.payable) == (State.HELD, Reason.REVIEW, 20000)
    assert after.revisions.count() == 2


def test_a_change_after_the_push_is_held_with_both_amounts(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    world.import_all()

    after = fresh(bill)
    assert (after.state, after.reason) == (State.HELD, Reason.CHANGED)
    assert (after.payable, after.pushed, after.outstanding) == (15000, 14345, 655)
    assert "m3ter says 150.00 USD, Paddle has 143.45 USD" in after.reason_detail


def test_a_change_that_is_taken_back_leaves_the_bill_pushed(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()
    for lines in ((("API calls", "150.00"),), LINES):
        world.m3ter.recalculate(bill.m3ter_bill_id)
        world.change_bill(bill.m3ter_bill_id, lines)
        world.m3ter.approve_bill(bill.m3ter_bill_id)
        world.import_all()

    assert (fresh(bill).state, fresh(bill).outstanding) == (State.PUSHED, 0)


def test_our_own_lock_changes_the_version_and_nothing_else(world: World) -> None:
    bill = world.pushed()

    world.work()
    jobs.sweep_bills()

    after = fresh(bill)
    assert (after.state, after.m3ter_locked, after.revisions.count()) == (State.PUSHED, True, 1)


def test_while_a_push_is_open_nothing_is_kept(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "1.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)

    world.import_all()

    assert (fresh(bill).state, fresh(bill).payable) == (State.UNCONFIRMED, 14345)


# --- Judged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "fields", "state", "reason"),
    [
        ((("API calls", "0.00"),), {}, State.SKIPPED, Reason.ZERO),
        ((("API calls", "0.004"),), {}, State.SKIPPED, Reason.ZERO),
        ((("API calls", "50.00"),), {"total": "60.00"}, State.HELD, Reason.MISMATCH),
        ((("API calls", "50.00"),), {"currency": "KWD"}, State.HELD, Reason.CURRENCY),
        ((("API calls", "50.00"),), {"currency": "VND"}, State.HELD, Reason.CURRENCY),
        ((("API calls", "50.00"),), {"currency": "EUR"}, State.HELD, Reason.CURRENCY),
        ((("API calls", "50.00"),), {"endDate": "2099-01-01"}, State.HELD, Reason.PERIOD_OPEN),
        ((("API calls", "50.00"),), {"accountId": "nobody's"}, State.HELD, Reason.MAPPING),
    ],
)
def test_what_cannot_be_charged_is_said_in_a_word_and_a_sentence(
    world: World, lines: tuple[tuple[str, str], ...], fields: dict[str, Any], state: str, reason: str
) -> None:
    PushPolicy.objects.update(review="never")

    bill = world.imported(lines, **fields)

    assert (bill.state, bill.reason) == (state, reason)
    assert len(bill.reason_detail) > 10
    world.work()
    assert world.paddle.charges == []


def test_more_than_half_a_unit_per_line_is_a_mismatch_and_less_is_rounding(world: World) -> None:
    lines = (("One", "10.004"), ("Two", "10.004"), ("Three", "10.004"))

    assert world.imported(lines, total="30.02").reason == Reason.REVIEW


def test_a_bill_already_locked_when_first_seen_is_held_and_a_person_may_let_it_pass(world: World) -> None:
    bill_id = world.make_bill()
    world.vendors.m3ter.lock_bill(bill_id)
    bill = importing.import_bill(bill_id, world.vendors)
    assert bill is not None

    first = (bill.state, bill.reason)
    review.approve(bill.pk, by="finance", reason="not charged anywhere else")
    jobs.drain_bills()

    assert first == (State.HELD, Reason.LOCKED_ELSEWHERE)
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_before_go_live_a_bill_is_skipped_and_never_charged(world: World) -> None:
    PushPolicy.objects.update(review="never")
    Installation.objects.update(charge_from=clock.now().date())

    bill = world.imported()
    world.work()

    assert (bill.state, bill.reason) == (State.SKIPPED, Reason.BEFORE_GO_LIVE)
    assert world.charges_of(bill) == 0


def test_without_a_go_live_date_bills_wait_and_go_on_when_it_is_set(world: World) -> None:
    PushPolicy.objects.update(review="never")
    Installation.objects.update(charge_from=None)
    bill = world.imported()
    world.work()
    waiting = fresh(bill)

    review.set_charge_from(dt.date(2020, 1, 1), by="finance", reason="we go live")
    world.work()

    assert (waiting.state, waiting.reason) == (State.WAITING, Reason.NOT_LIVE)
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_an_earlier_go_live_date_brings_skipped_bills_back_for_review(world: World) -> None:
    Installation.objects.update(charge_from=clock.now().date())
    bill = world.imported()

    review.set_charge_from(dt.date(2020, 1, 1), by="finance", reason="earlier than planned")

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REVIEW)


def test_a_bill_without_a_link_goes_on_as_soon_as_there_is_one(world: World) -> None:
    AccountLink.objects.update(m3ter_account_id="elsewhere")
    bill = world.imported()
    world.import_all()
    held = fresh(bill)

    make_link("sub_other", m3ter_account_id=world.account_id, currency="USD")
    world.import_all()

    assert held.reason == Reason.MAPPING
    assert (fresh(bill).reason, fresh(bill).serial_key) == (Reason.REVIEW, "sub_other")


def test_a_bill_goes_to_the_accounts_live_link(world: World) -> None:
    AccountLink.objects.update(state=AccountLink.State.ENDED)
    make_link("sub_new", m3ter_account_id=world.account_id, currency="USD")

    bill = world.imported()

    assert bill.link is not None
    assert bill.link.paddle_subscription_id == "sub_new"


def test_a_period_that_has_ended_meanwhile_goes_on(world: World) -> None:
    bill = world.imported(endDate="2099-01-01")
    PushedBill.objects.update(period_end=clock.now().date())

    world.import_all()

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, Reason.REVIEW)


def test_the_sweep_finds_what_was_deleted(world: World) -> None:
    bill = world.imported()
    world.delete_in_m3ter(bill)

    jobs.sweep_bills()

    assert (fresh(bill).state, fresh(bill).reason, fresh(bill).payable) == (State.HELD, Reason.DELETED, 0)


def test_the_sweep_sees_a_charged_bill_that_was_deleted(world: World) -> None:
    PushPolicy.objects.update(lock_after_days=3)
    bill = world.pushed()
    world.delete_in_m3ter(bill)

    jobs.sweep_bills()

    after = fresh(bill)
    assert (after.state, after.reason, after.outstanding) == (State.HELD, Reason.DELETED, -14345)
    assert "Paddle has 143.45 USD" in after.reason_detail


def test_an_account_of_its_own_policy_is_charged_by_it(world: World) -> None:
    PushPolicy.objects.create(link=world.link, review="never")

    assert world.imported().state == State.READY


@pytest.mark.parametrize("kind", ["html", "truncated", "redirect", "error_before", "too_many"])
def test_a_poll_that_m3ter_does_not_answer_says_so_and_the_next_one_goes_on(world: World, kind: str) -> None:
    world.make_bill()
    world.m3ter.fault("list bills", kind)

    said = jobs.import_new_bills()
    world.import_all()

    assert "not read to the end" in said
    assert PushedBill.objects.count() == 1


def test_a_bill_that_cannot_be_read_does_not_keep_the_others_back(world: World) -> None:
    odd, good = world.make_bill(), world.make_bill(account_id=world.subscribe(email="other@example.com")[1])
    world.in_m3ter(odd)["lineItems"][0]["convertedSubtotal"] = "no number"

    said = jobs.import_new_bills()

    assert "1 not read" in said
    assert PushedBill.objects.get().m3ter_bill_id == good
    assert "convertedSubtotal" in Finding.objects.get(kind="bill not read", subject=odd).detail


def test_a_bill_that_can_be_read_again_closes_the_finding(world: World) -> None:
    bill_id = world.make_bill()
    world.m3ter.fault("get bill", "html")
    world.import_all()

    world.import_all()

    assert Finding.objects.get(kind="bill not read").state == "closed"
    assert PushedBill.objects.get().m3ter_bill_id == bill_id


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"currency": "USDX"}, Reason.CURRENCY),
        ({"currency": "usd"}, Reason.CURRENCY),
        ({"lines": (("API calls", "1E+20"),)}, Reason.MISMATCH),
        ({"lines": (("API calls", "99999999999999.00"),)}, Reason.MISMATCH),
    ],
)
def test_what_is_out_of_all_proportion_is_held_and_never_taken_for_nothing(
    world: World, fields: dict[str, Any], reason: str
) -> None:
    bill = world.imported(**{"lines": LINES, **fields})

    assert (bill.state, bill.reason, bill.payable) == (State.HELD, reason, 0)


# --- Revision ---------------------------------------------------------------------------------------------------------

texts = st.text(max_size=8)
lines = st.lists(
    st.fixed_dictionaries(
        {
            "type": texts,
            "product_id": texts,
            "accounting_product_id": texts,
            "description": texts,
            "amount": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(exact_text),
            "from": texts,
            "to": texts,
            "units": texts,
        }
    ),
    max_size=5,
)


@given(lines, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_what_is_not_charged_do_not_make_another_revision(
    content: list[dict[str, str]], chance: Any
) -> None:
    shuffled = [{**line, "units": "999"} for line in content]
    chance.shuffle(shuffled)

    assert Content("USD", Decimal(1), tuple(content)).hash == Content("USD", Decimal(1), tuple(shuffled)).hash


@given(
    lines.filter(bool), st.sampled_from(["type", "product_id", "accounting_product_id", "description", "from", "to"])
)
def test_each_part_a_customer_is_charged_for_makes_another_revision(content: list[dict[str, str]], part: str) -> None:
    changed = [{**content[0], part: content[0][part] + "x"}, *content[1:]]

    assert Content("USD", Decimal(1), tuple(content)).hash != Content("USD", Decimal(1), tuple(changed)).hash


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Content("USD", Decimal("5.00"), ()), Content("USD", Decimal(5), ()), True),
        (Content("USD", Decimal("5.00"), ()), Content("USD", Decimal("5E+0"), ()), True),
        (Content("USD", Decimal("0.00"), ()), Content("USD", Decimal("-0"), ()), True),
        (Content("USD", Decimal("5.00"), ()), Content("EUR", Decimal("5.00"), ()), False),
        (Content("USD", Decimal("5.00"), ()), Content("USD", Decimal("5.01"), ()), False),
    ],
)
def test_amounts_count_by_value_and_currency(one: Content, other: Content, same: bool) -> None:
    assert (one.hash == other.hash) is same
