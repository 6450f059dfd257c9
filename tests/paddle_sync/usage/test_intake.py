"""Items that stand the checks are counted once, whoever sends them and however often."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, LateUsage, SettledPeriod, UsageBatch, UsageUid
from paddle_sync.usage import meters
from paddle_sync.usage.addresses import Destination
from paddle_sync.usage.checking import Checked, Circumstances, check
from paddle_sync.usage.intake import Outcome, Source, take_in
from paddle_sync.usage.items import BILL_ON_NEXT
from tests.paddle_sync.usage.metered import METER, accept, at, checked, item, totals

pytestmark = pytest.mark.django_db


def test_accepted_usage_reaches_m3ter(link: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]) -> None:
    taken = accept(item(link, "a", 5), item(link, "b", Decimal("0.25")))

    run_jobs()

    assert set(taken.outcomes.values()) == {Outcome.ACCEPTED}
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal("5.25")}
    assert UsageBatch.objects.get().state == UsageBatch.State.SENT


def test_what_comes_again_is_told_and_not_counted_again(
    link: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    accept(item(link, "a", 5, ts=at(hours=5)))

    again = accept(
        item(link, "a", Decimal("5.0"), ts=at(hours=5, zone=1)),
        item(link, "a", 6, ts=at(hours=5)),
        item(link, "b", 1),
    )
    run_jobs()

    assert again.outcomes == {0: Outcome.DUPLICATE, 1: Outcome.CONFLICT, 2: Outcome.ACCEPTED}
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(6)}
    assert UsageUid.objects.count() == 2


def test_what_repeats_itself_in_a_request_is_compared_with_what_counts(link: AccountLink) -> None:
    accept(item(link, "a", 5, ts=at(hours=2)))

    again = accept(*(item(link, "a", calls, ts=at(hours=2)) for calls in (6, 6, 5)))

    assert again.outcomes == {0: Outcome.CONFLICT, 1: Outcome.CONFLICT, 2: Outcome.DUPLICATE}


def test_what_repeats_an_item_of_an_undecided_file_is_refused_each_time(link: AccountLink) -> None:
    (good,) = checked([item(link, "a", 5, ts=at(hours=2))])
    assert isinstance(good, Checked)
    take_in([(0, good)], Source(client="tests"), stage=True)

    again = accept(item(link, "a", 5, ts=at(hours=2)), item(link, "a", 5, ts=at(hours=2)))

    assert again.outcomes == {0: Outcome.REFUSED, 1: Outcome.REFUSED}
    assert {refusal.code for refusal in again.refusals.values()} == {"undecided"}


def test_sums_for_the_next_bill_keep_every_digit(link: AccountLink) -> None:
    SettledPeriod.objects.create(
        m3ter_bill_id="bill-1",
        m3ter_account_id=link.m3ter_account_id,
        starts_at=clock.now() - dt.timedelta(days=20),
        ends_at=clock.now() + dt.timedelta(days=10),
        state=SettledPeriod.State.LOCKED,
    )
    values = (Decimal("123456789012345678901234567.891"), Decimal("1e-30"), Decimal("1e30"))

    accept(*(item(link, str(value), value, marks=[BILL_ON_NEXT]) for value in values))

    sums = {"calls": "1000123456789012345678901234567.891000000000000000000000000001"}
    assert LateUsage.objects.get().sums == sums


def test_usage_of_many_subscriptions_without_accounts_costs_as_many_queries_as_of_one(
    link: AccountLink, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    circumstances = Circumstances(meters.known(), clock.now())
    items = []
    for number in range(200):
        to = Destination(f"sub_{number}", subscription_id=f"sub_{number}", waits=True)
        good = check(item(None, "a", paddle_subscription_id=f"sub_{number}"), to, "a", circumstances)
        assert isinstance(good, Checked)
        items.append((number, good))

    with django_assert_max_num_queries(15):
        taken = take_in(items, Source(client="tests"))
    with django_assert_max_num_queries(25):
        again = take_in(items, Source(client="tests"))

    assert (len(taken.held), again.count(Outcome.DUPLICATE)) == (200, 200)
    assert UsageBatch.objects.filter(body__isnull=False, state=UsageBatch.State.HELD).count() == 200
    assert UsageBatch.objects.count() == 200
