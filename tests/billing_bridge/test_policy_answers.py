"""Answers of the push policy that decide whether a bill is charged, for everybody and for one account alone."""

import datetime as dt
from typing import Any

import pytest

from billing_bridge import importing, jobs, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from tests.billing_bridge.world import World, fresh

pytestmark = pytest.mark.django_db
State = PushedBill.State


def answer(world: World, whose: str, **answers: object) -> None:
    """Answer for everybody; or for the one account alone, everybody's being otherwise."""
    if whose == "everybody":
        PushPolicy.objects.update(**answers)
    else:
        PushPolicy.objects.create(link=world.link, **answers)


def bill_of(world: World, amount: str, *, ended_days_ago: int) -> PushedBill:
    """A bill of the account whose period ended so long ago."""
    end = clock.now().date() - dt.timedelta(days=ended_days_ago)
    dates: dict[str, Any] = {"startDate": str(end - dt.timedelta(days=10)), "endDate": str(end)}
    make = world.another_bill if PushedBill.objects.exists() else world.make_bill
    bill = importing.import_bill(make((("API calls", amount),), **dates), world.vendors)
    assert bill is not None
    return bill


@pytest.mark.parametrize("whose", ["everybody", "one account"])
@pytest.mark.parametrize(
    ("amount", "held"),
    [("110.00", False), ("110.01", True), ("90.00", False), ("89.99", True), ("-100.00", True)],
)
def test_a_bill_that_differs_from_the_last_one_by_more_than_policy_says_is_held(
    world: World, whose: str, amount: str, held: bool
) -> None:
    answer(world, whose, review="never", differs_percent=10)
    bill_of(world, "100.00", ended_days_ago=30)
    jobs.drain_bills()

    bill = bill_of(world, amount, ended_days_ago=1)

    assert (fresh(bill).state, fresh(bill).reason) == ((State.HELD, "differs") if held else (State.READY, ""))
    if held:
        assert fresh(bill).reason_detail == (
            f"It comes to {amount} USD, the account's last bill to 100.00 USD: more than 10 % apart."
        )
        review.approve(bill.pk, by="fiona")
        assert fresh(bill).state == State.READY


def test_whoever_reviews_every_bill_is_told_which_ones_differ(world: World) -> None:
    PushPolicy.objects.update(review="always", differs_percent=10)
    first = bill_of(world, "100.00", ended_days_ago=30)
    alike = bill_of(world, "105.00", ended_days_ago=20)

    unlike = bill_of(world, "300.00", ended_days_ago=1)

    assert [each.reason for each in (first, alike, unlike)] == ["review", "review", "differs"]
    review.approve(unlike.pk, by="fiona")
    assert fresh(unlike).state == State.READY


@pytest.mark.parametrize(("amount", "reason"), [("300.00", "differs"), ("-20.00", "negative")])
def test_a_skipped_bill_can_be_taken_back_although_it_has_to_be_approved_then(
    world: World, amount: str, reason: str
) -> None:
    PushPolicy.objects.update(review="never", differs_percent=1_000 if reason == "negative" else 10, negative="hold")
    bill_of(world, "100.00", ended_days_ago=30)
    bill = bill_of(world, amount, ended_days_ago=1)
    assert bill.reason == reason
    review.skip(bill.pk, by="fiona", reason="not now")

    review.resend(bill.pk, by="fiona", reason="now")

    assert (fresh(bill).state, fresh(bill).reason) == (State.HELD, reason)
    review.approve(bill.pk, by="fiona")
    assert fresh(bill).state == State.READY


def test_the_first_bill_of_an_account_differs_from_none(world: World) -> None:
    PushPolicy.objects.update(review="never", differs_percent=1)

    assert bill_of(world, "100.00", ended_days_ago=1).state == State.READY


@pytest.mark.parametrize("whose", ["everybody", "one account"])
@pytest.mark.parametrize("charged", [False, True])
def test_a_bill_whose_period_runs_is_charged_only_where_policy_says_so(world: World, whose: str, charged: bool) -> None:
    answer(world, whose, review="never", open_periods=charged)

    bill = bill_of(world, "100.00", ended_days_ago=-3)

    assert (bill.state, bill.reason) == ((State.READY, "") if charged else (State.HELD, "period open"))


@pytest.mark.parametrize(
    ("lists", "charged"),
    [
        ({"allowed_accounts": "{code}"}, True),
        ({"allowed_accounts": "somebody else"}, False),
        ({"excluded_accounts": "{code}"}, False),
        ({"excluded_accounts": "somebody else"}, True),
    ],
)
@pytest.mark.parametrize("named_by", ["code", "id"])
def test_only_the_accounts_that_policy_lets_in_are_charged(
    world: World, lists: dict[str, str], charged: bool, named_by: str
) -> None:
    code = world.link.m3ter_account_code if named_by == "code" else world.account_id
    PushPolicy.objects.update(review="never", **{name: text.format(code=code) for name, text in lists.items()})

    bill = bill_of(world, "100.00", ended_days_ago=1)

    assert (bill.state, bill.reason) == ((State.READY, "") if charged else (State.SKIPPED, "excluded"))
