"""The plan of pushes, for any bills: in the order of need, within every limit, each bill once, with a reason."""

import datetime as dt
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_bridge import planning
from billing_bridge.charges import RENEWAL_LOCK
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.planning import Bill, Collected, Given, Hindrance, Planned, Terms

State = PushedBill.State
Reason = PushedBill.Reason
Mode = PushPolicy.Mode
NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
PAST = NOW - MINUTE


def bill(number: int = 1, **values: object) -> Bill:
    """A bill that may go out now and renews in ten days, unless told."""
    columns: dict[str, object] = {"subscription_id": f"sub_{number}", "renews_at": NOW + 10 * DAY, "due_at": PAST}
    return Bill(number, **{**columns, **values})  # type: ignore[arg-type]


def one(*bills: Bill, **given_: object) -> Planned:
    """What the plan says of the last of these."""
    asked = Given(NOW, **{"calls_a_minute": 90, **given_})  # type: ignore[arg-type]
    (found,) = (each for each in planning.plan(bills, asked).entries if each.bill == bills[-1])
    return found


# --- For any bills ----------------------------------------------------------------------------------------------------

minutes_from_now = st.integers(min_value=-60, max_value=180) | st.integers(min_value=-60, max_value=60 * 24 * 3)
moments = minutes_from_now.map(lambda minutes: NOW + minutes * MINUTE)
terms = st.builds(
    Terms,
    late_at_once=st.booleans(),
    far_at_once=st.booleans(),
    ending_at_once=st.booleans(),
    longest_wait=st.sampled_from([DAY, 35 * DAY]),
)
any_bill = st.builds(
    Bill,
    id=st.just(0),
    subscription_id=st.sampled_from(["sub_a", "sub_b", "sub_c"]),
    renews_at=st.none() | moments,
    due_at=st.none() | moments,
    state=st.sampled_from([State.READY] * 6 + [State.WAITING, State.HELD, State.UNCONFIRMED]),
    reason=st.sampled_from(["", Reason.RENEWAL_LOCK, Reason.PAST_DUE, Reason.CHARGE_LIMIT]),
    mode=st.sampled_from([Mode.NEXT_BILLING_PERIOD, Mode.NEXT_BILLING_PERIOD, Mode.IMMEDIATELY, Mode.INVOICE]),
    items=st.integers(min_value=1, max_value=150),
    status=st.sampled_from(["active"] * 6 + ["trialing", "past_due", "canceled"]),
    scheduled=st.sampled_from(["", "", "", "", "cancel"]),
    terms=terms,
)
many = st.lists(any_bill, max_size=60).map(
    lambda bills: [Bill(**{**vars(each), "id": number}) for number, each in enumerate(bills, start=1)]
)
circumstances = st.builds(
    Given,
    now=st.just(NOW),
    calls_a_minute=st.integers(min_value=0, max_value=100),
    made=st.dictionaries(
        st.sampled_from(["sub_a", "sub_b"]),
        st.lists(st.integers(min_value=1, max_value=60 * 24), max_size=40).map(
            lambda ago: sorted(NOW - minutes * MINUTE for minutes in ago)
        ),
    ),
    open_until=st.dictionaries(st.just("sub_c"), st.none() | moments),
)


@settings(max_examples=150)
@given(bills=many, asked=circumstances)
def test_every_bill_is_planned_once_and_what_is_not_sent_in_time_says_why(bills: list[Bill], asked: Given) -> None:
    entries = planning.plan(bills, asked).entries

    assert sorted(each.bill.id for each in entries) == [each.id for each in bills]
    assert all(each.hindrance is not None and each.why for each in entries if each.sends_at is None or each.misses)
    assert all(each.collected == Collected.NOT for each in entries if each.sends_at is None)


@settings(max_examples=150)
@given(bills=many, asked=circumstances)
def test_nothing_goes_out_before_it_may_or_inside_the_lock(bills: list[Bill], asked: Given) -> None:
    for each in planning.plan(bills, asked).going_out:
        assert each.sends_at is not None
        assert each.bill.due_at is not None
        assert each.sends_at >= max(NOW, each.bill.due_at)
        if each.bill.renews_at is not None and each.bill.mode != Mode.INVOICE:
            assert not each.bill.renews_at - RENEWAL_LOCK <= each.sends_at < each.bill.renews_at
            assert each.misses == (each.sends_at >= each.bill.renews_at - RENEWAL_LOCK)
        elif each.bill.mode == Mode.INVOICE:
            assert not each.misses


@settings(max_examples=150)
@given(bills=many, asked=circumstances)
def test_no_minute_has_more_calls_than_there_are(bills: list[Bill], asked: Given) -> None:
    sent = [each for each in planning.plan(bills, asked).going_out if each.sends_at is not None]
    calls = [(each.sends_at, 2 if each.bill.mode != Mode.INVOICE else 3) for each in sent]

    for at, _ in calls:
        assert at is not None
        assert sum(count for other, count in calls if other is not None and at - MINUTE < other <= at) <= max(
            asked.calls_a_minute, 0
        )


@settings(max_examples=100)
@given(due=st.lists(minutes_from_now, min_size=15, max_size=130), asked=circumstances)
def test_no_subscription_has_more_immediate_charges_than_paddle_takes(due: list[int], asked: Given) -> None:
    bills = [
        bill(number, subscription_id="sub_a", mode=Mode.IMMEDIATELY, due_at=NOW + minutes * MINUTE)
        for number, minutes in enumerate(due, start=1)
    ]
    charged = defaultdict(list, {name: list(made) for name, made in asked.made.items()})
    planned = defaultdict(list)
    for each in planning.plan(bills, asked).going_out:
        if each.collected == Collected.AT_ONCE:
            assert each.sends_at is not None
            charged[each.bill.subscription_id].append(each.sends_at)
            planned[each.bill.subscription_id].append(each.sends_at)

    for subscription_id, moments_ in planned.items():
        for at in moments_:
            before = [other for other in charged[subscription_id] if other <= at]
            assert sum(1 for other in before if other > at - HOUR) <= 20
            assert sum(1 for other in before if other > at - DAY) <= 100


@settings(max_examples=150)
@given(renewals=st.lists(st.integers(min_value=36, max_value=60 * 24 * 9), max_size=60), calls=st.integers(2, 100))
def test_what_may_go_now_goes_in_the_order_of_renewal(renewals: list[int], calls: int) -> None:
    bills = [bill(number, renews_at=NOW + minutes * MINUTE) for number, minutes in enumerate(renewals, start=1)]

    sent = planning.plan(bills, Given(NOW, calls)).going_out

    in_time = [each for each in sent if not each.misses]
    assert all(one.bill.need < other.bill.need for one, other in pairwise(in_time))
    assert all(one.sends_at < other.sends_at for one, other in pairwise(sent) if one.sends_at and other.sends_at)


# --- One by one -------------------------------------------------------------------------------------------------------


def test_a_bill_that_is_in_time_goes_out_now_and_says_which_renewal_collects_it() -> None:
    found = one(bill(renews_at=NOW + 2 * HOUR))

    assert (found.sends_at, found.collected, found.misses) == (NOW, Collected.WITH_RENEWAL, False)
    assert found.why == "The renewal of 2026-03-10 14:00 UTC collects it."


def test_bills_are_spread_over_the_minute_by_the_calls_that_are_left() -> None:
    plan = planning.plan([bill(number) for number in range(1, 5)], Given(NOW, 90))

    assert [each.sends_at for each in plan.going_out] == [NOW + number * (MINUTE / 45) for number in range(4)]


@pytest.mark.parametrize(
    ("late", "collected"), [(False, Collected.WITH_LATER_RENEWAL), (True, Collected.AT_ONCE)], ids=["wait", "at once"]
)
def test_a_bill_inside_the_lock_goes_after_the_renewal_as_policy_says(late: bool, collected: Collected) -> None:
    found = one(bill(renews_at=NOW + 20 * MINUTE, terms=Terms(late_at_once=late)))

    assert (found.sends_at, found.collected) == (NOW + 25 * MINUTE, collected)
    assert (found.misses, found.hindrance) == (True, Hindrance.LOCK)


def test_where_the_calls_do_not_suffice_those_that_renew_last_miss_it() -> None:
    bills = [bill(number, renews_at=NOW + 37 * MINUTE + number * dt.timedelta(seconds=1)) for number in range(1, 8)]

    plan = planning.plan(bills, Given(NOW, 4))

    assert [each.bill.id for each in plan.missing] == [6, 7]
    assert {each.hindrance for each in plan.missing} == {Hindrance.BUDGET}
    assert "not enough calls" in plan.missing[0].why


NOT_SENT = [
    ({"state": State.HELD, "reason": Reason.REVIEW, "detail": "Waits for Finance."}, {}, Hindrance.HELD),
    ({"state": State.FAILED}, {}, Hindrance.FAILED),
    ({"state": State.LOST}, {}, Hindrance.LOST),
    ({"state": State.UNCONFIRMED}, {}, Hindrance.UNCONFIRMED),
    ({"state": State.WAITING, "reason": Reason.PAST_DUE}, {}, Hindrance.PAST_DUE),
    ({"status": "past_due"}, {}, Hindrance.PAST_DUE),
    ({"state": State.WAITING, "reason": Reason.PAUSED}, {}, Hindrance.PAUSED),
    ({"status": "paused"}, {}, Hindrance.PAUSED),
    ({"state": State.WAITING, "reason": Reason.PENDING}, {}, Hindrance.WAITS),
    ({"state": State.WAITING, "reason": Reason.NOT_LIVE, "due_at": None}, {}, Hindrance.STOPPED),
    ({"status": "canceled"}, {}, Hindrance.ENDING),
    ({"scheduled": "cancel"}, {}, Hindrance.ENDING),
    ({}, {"stopped": "m3ter itself sends bills to Paddle."}, Hindrance.STOPPED),
    ({}, {"calls_a_minute": 1}, Hindrance.BUDGET),
    ({}, {"open_until": {"sub_1": None}}, Hindrance.ANOTHER_PUSH),
]


@pytest.mark.parametrize(("values", "asked", "hindrance"), NOT_SENT)
@pytest.mark.parametrize(("renews_in", "misses"), [(HOUR, True), (DAY, True), (2 * DAY, False)])
def test_what_is_not_sent_by_itself_misses_the_renewal_of_today(
    values: dict[str, object], asked: dict[str, object], hindrance: Hindrance, renews_in: dt.timedelta, misses: bool
) -> None:
    found = one(replace(bill(renews_at=NOW + renews_in), **values), **asked)  # type: ignore[arg-type]

    assert (found.sends_at, found.hindrance, found.misses) == (None, hindrance, misses)
    assert found.why
    assert str(values.get("detail", "")) in found.why


@pytest.mark.parametrize("renews_at", [None, NOW + 40 * DAY])
def test_a_renewal_too_far_away_is_held_or_charged_at_once(renews_at: dt.datetime | None) -> None:
    held = one(bill(renews_at=renews_at))
    at_once = one(bill(renews_at=renews_at, terms=Terms(far_at_once=True)))

    assert (held.sends_at, held.hindrance, held.misses) == (None, Hindrance.TOO_FAR, False)
    assert (at_once.sends_at, at_once.collected) == (NOW, Collected.AT_ONCE)


def test_what_ends_is_charged_at_once_where_policy_says_so() -> None:
    found = one(bill(renews_at=None, scheduled="cancel", terms=Terms(ending_at_once=True)))

    assert (found.sends_at, found.collected) == (NOW, Collected.AT_ONCE)


def test_a_trial_carries_nothing_until_it_has_ended() -> None:
    found = one(bill(status="trialing", renews_at=NOW + 3 * HOUR))

    assert (found.sends_at, found.collected) == (NOW + 3 * HOUR + 5 * MINUTE, Collected.WITH_LATER_RENEWAL)
    assert (found.hindrance, found.misses) == (Hindrance.TRIAL, True)


def test_a_bill_goes_when_the_charge_before_it_is_settled() -> None:
    found = one(bill(), open_until={"sub_1": NOW + HOUR})

    assert (found.sends_at, found.hindrance, found.misses) == (NOW + HOUR, Hindrance.ANOTHER_PUSH, False)


def test_the_twenty_first_immediate_charge_of_an_hour_waits() -> None:
    found = one(bill(mode=Mode.IMMEDIATELY), made={"sub_1": [NOW - 50 * MINUTE] * 20})

    assert (found.sends_at, found.hindrance) == (NOW + 11 * MINUTE, Hindrance.LIMIT)
    assert "20 immediate charges an hour" in found.why


def test_a_limit_that_lasts_longer_than_the_renewal_is_why_it_is_missed() -> None:
    found = one(bill(mode=Mode.IMMEDIATELY, renews_at=NOW + 2 * HOUR), made={"sub_1": [NOW - 20 * HOUR] * 100})

    assert (found.misses, found.hindrance, found.collected) == (True, Hindrance.LIMIT, Collected.AT_ONCE)


def test_a_renewal_that_has_come_already_says_so() -> None:
    found = one(bill(renews_at=NOW - HOUR))

    assert (found.sends_at, found.collected) == (NOW, Collected.WITH_LATER_RENEWAL)
    assert (found.hindrance, found.misses) == (Hindrance.GONE, True)


def test_an_invoice_needs_no_renewal_and_one_call_more() -> None:
    bills = [bill(number, mode=Mode.INVOICE, renews_at=NOW + 5 * MINUTE, status="canceled") for number in (1, 2)]

    plan = planning.plan(bills, Given(NOW, 6))

    assert [each.sends_at for each in plan.going_out] == [NOW, NOW + MINUTE / 2]
    assert {each.collected for each in plan.going_out} == {Collected.BY_ITSELF}
    assert plan.missing == []


def test_more_items_than_fit_beside_others_cost_another_preview() -> None:
    bills = [bill(number, subscription_id="sub_1", items=60) for number in (1, 2, 3)]

    plan = planning.plan(bills, Given(NOW, 6))

    assert [each.sends_at for each in plan.going_out] == [NOW, NOW + MINUTE / 3, NOW + MINUTE]
