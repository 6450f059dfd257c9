"""A bill to date is asked of m3ter before a subscription is cancelled, once, and charged while it lives."""

import datetime as dt
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.db.models import F
from pytest_django import Settings

from billing_bridge import jobs, review
from billing_bridge.models import BillToDate, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding, Installation
from integration_project.vendors.m3ter.entities import Measurement
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink
from tests.billing_bridge.world import LIVE_SINCE, World
from tests.builders import make_mapping

pytestmark = pytest.mark.django_db
Deliver = Callable[[], int]
A_DAY = dt.timedelta(days=1)
DAYS, CALLS = 28, 100_000


@pytest.fixture
def ending(
    world: World, paddle: PaddleSimulator, deliver: Deliver, run_jobs: Deliver, installation: Installation
) -> World:
    """A subscription that used something every day of its month, and that its customer has ended with it, tomorrow."""
    PushPolicy.objects.update(review="never", ending="immediately")
    make_mapping(paddle_sample.PRICE_CLOUD_USD)
    Installation.objects.update(charge_from=LIVE_SINCE)
    bought_at = clock.now() - dt.timedelta(days=29)
    paddle.clock_set(bought_at)
    bought = paddle.complete_checkout(
        email="leaving@example.com", items=[{"price_id": paddle_sample.PRICE_CLOUD_USD, "quantity": 1}], currency="USD"
    )
    paddle.clock_set(clock.now())
    deliver()
    run_jobs()
    world.subscription_id = bought["subscription_id"]
    world.account_id = world.link.m3ter_account_id
    paddle.move_renewal(world.subscription_id, f"{clock.now() + A_DAY:%FT%TZ}")
    midnight = dt.datetime.combine(clock.now().date(), dt.time(), tzinfo=dt.UTC)
    world.vendors.m3ter.submit_measurements(
        [
            Measurement(
                uid=f"use-{day}",
                meter=m3ter_sample.METER_API_CALLS,
                account=world.link.m3ter_account_code,
                ts=midnight - day * A_DAY,
                measure={"calls": CALLS},
            )
            for day in range(1, DAYS + 1)
        ]
    )
    world.m3ter.process_measurements()
    paddle.cancel(world.subscription_id, effective_from="next_billing_period")
    deliver()
    run_jobs()
    assert (world.link.scheduled_action, world.link.paddle_status) == ("cancel", "active")
    return world


def asked(world: World) -> BillToDate:
    return BillToDate.objects.get(link=world.link)


def found() -> list[tuple[str, str]]:
    return list(Finding.objects.filter(kind="bill to date").values_list("state", "severity"))


def go(times: int = 1) -> None:
    for _ in range(times):
        jobs.ask_for_bills_to_date()


def bills_of(world: World) -> list[Any]:
    return sorted(
        (row for row in world.m3ter.memory.bills if row["accountId"] == world.account_id),
        key=lambda row: row["endDate"],
    )


def test_what_was_used_until_the_day_before_is_billed_and_charged_while_the_subscription_lives(
    ending: World, deliver: Deliver, run_jobs: Deliver
) -> None:
    go(4)

    assert ending.calls("create bill job", "m3ter") == 1
    bills = bills_of(ending)
    assert bills[-1]["endDate"] == str(clock.now().date())
    assert (asked(ending).state, asked(ending).m3ter_bill_id) == ("made", bills[-1]["id"])
    assert found() == [("open", "notice")]

    for bill in bills:
        ending.m3ter.approve_bill(bill["id"])
    ending.import_all()
    ending.work()
    go()

    assert (asked(ending).state, found()) == ("approved", [("closed", "notice")])
    pushed = PushedBill.objects.filter(m3ter_account_id=ending.account_id)
    assert {(bill.state, bill.outstanding) for bill in pushed} == {("pushed", 0)}
    assert {charge.effective_from for charge in ending.paddle.charges} == {"immediately"}
    assert len(ending.paddle.charges) == len(bills)

    # What is used after that day is on a bill of its own.
    ending.paddle.cancel(ending.subscription_id)
    deliver()
    run_jobs()
    go(3)
    assert BillToDate.objects.count() == 1
    assert {(bill.state, bill.outstanding) for bill in pushed} == {("pushed", 0)}


def test_everything_used_is_on_one_bill_or_another_once(ending: World) -> None:
    go(4)
    ending.m3ter.clock_set(clock.now() + dt.timedelta(days=40))
    ending.m3ter.run_bill_job([ending.account_id])

    periods = [(bill["startDate"], bill["endDate"]) for bill in bills_of(ending)]
    assert all(before[1] == after[0] for before, after in pairwise(periods)), periods
    lines = [line for bill in bills_of(ending) for line in bill["lineItems"]]
    units = sum(line["units"] for line in lines if line["lineItemType"] == "USAGE")
    assert units == DAYS * CALLS


@pytest.mark.parametrize(
    "why_not",
    [
        "policy holds",
        "left out",
        "its own policy holds",
        "not live",
        "too early",
        "trialing",
        "paused",
        "ended",
        "pause",
    ],
)
def test_nothing_is_asked_where_nothing_could_be_charged(ending: World, why_not: str) -> None:
    links = AccountLink.objects.filter(pk=ending.link.pk)
    match why_not:
        case "policy holds":
            PushPolicy.objects.update(ending="hold")
        case "its own policy holds":
            PushPolicy.objects.create(link=ending.link, ending="hold")
        case "left out":
            PushPolicy.objects.update(excluded_accounts=ending.link.m3ter_account_code)
        case "not live":
            Installation.objects.update(charge_from=None)
        case "too early":
            links.update(scheduled_at=clock.now() + 4 * A_DAY)
        case "ended":
            links.update(state="ended")
        case "pause":
            links.update(scheduled_action="pause")
        case status:
            links.update(paddle_status=status)

    go(2)

    assert BillToDate.objects.count() == ending.calls("create bill job", "m3ter") == 0


def test_its_own_policy_alone_may_charge_at_once(ending: World) -> None:
    PushPolicy.objects.update(ending="hold")
    PushPolicy.objects.create(link=ending.link, review="never", ending="immediately")

    go(4)

    assert asked(ending).state == "made"


def test_the_lead_days_are_those_of_the_installation(ending: World) -> None:
    AccountLink.objects.filter(pk=ending.link.pk).update(scheduled_at=clock.now() + 5 * A_DAY)
    Installation.objects.update(lead_days=4)
    go()
    assert BillToDate.objects.count() == 0

    Installation.objects.update(lead_days=5)
    go()
    assert asked(ending).state == "asked"


def test_a_bill_that_m3ter_has_anyhow_is_not_calculated_again(ending: World) -> None:
    ending.m3ter.run_bill_job([ending.account_id])
    today = str(clock.now().date())
    bill = bills_of(ending)[-1]
    ending.m3ter.memory.bills.change(bill, {"endDate": today, "billDate": today})
    ending.m3ter.approve_bill(bill["id"])

    go(3)

    assert ending.calls("create bill job", "m3ter") == 0
    assert (asked(ending).state, asked(ending).m3ter_bill_id) == ("made", bill["id"])
    assert bill["status"] == "APPROVED"


@pytest.mark.parametrize("kind", ["lose_answer", "error_after", "error_before"])
def test_an_answer_that_is_lost_leads_to_no_second_bill(ending: World, kind: str) -> None:
    ending.m3ter.fault("create bill job", kind)
    go()
    state, findings = asked(ending).state, found()
    for job in ending.m3ter.memory.bill_jobs:
        ending.m3ter.bill_jobs.finish(job)

    go(4)

    assert (state, findings) == ("due", [("open", "problem")])
    assert (asked(ending).state, asked(ending).detail) == ("made", "")
    assert ("open", "notice") in found()
    assert ("open", "problem") not in found()
    until = [bill["endDate"] for bill in bills_of(ending)]
    assert len(until) == len(set(until))


def test_one_account_that_m3ter_does_not_answer_for_keeps_no_other_back(ending: World) -> None:
    _, other = ending.subscribe(email="second@example.com")
    AccountLink.objects.filter(m3ter_account_id=other).update(
        scheduled_action="cancel", scheduled_at=clock.now() + A_DAY, paddle_status="active"
    )
    first = AccountLink.objects.filter(scheduled_action="cancel").order_by("scheduled_at").first()
    assert first is not None
    ending.m3ter.fault("list bills", "error_before")

    go()

    states = dict(BillToDate.objects.values_list("link_id", "state"))
    assert sorted(states.values()) == ["asked", "due"]
    assert states[first.pk] == "due"


def test_what_m3ter_refuses_is_a_problem_that_ends_with_an_approved_bill(ending: World) -> None:
    account_id = ending.account_id
    AccountLink.objects.filter(pk=ending.link.pk).update(m3ter_account_id="gone")
    go(3)
    assert (asked(ending).state, found()) == ("refused", [("open", "problem")])
    assert ending.calls("create bill job", "m3ter") == 1

    AccountLink.objects.filter(pk=ending.link.pk).update(m3ter_account_id=account_id)
    ending.m3ter.bill_jobs.finish(
        ending.m3ter.bill_jobs.start(
            {"accountIds": [ending.account_id], "lastDateInBillingPeriod": str(clock.now().date() - A_DAY)}
        )
    )
    for bill in bills_of(ending):
        ending.m3ter.approve_bill(bill["id"])
    ending.import_all()
    ending.work()
    go()

    assert (asked(ending).state, found()) == ("approved", [("closed", "problem")])


def test_where_nothing_was_used_nothing_is_left_open(ending: World) -> None:
    ending.m3ter.memory.organization_config["suppressedEmptyBills"] = True
    for plan in ending.m3ter.memory.account_plans:
        if plan["accountId"] == ending.account_id:
            ending.m3ter.memory.account_plans.change(plan, {"endDate": plan["startDate"]})

    go(5)

    assert (asked(ending).state, found()) == ("nothing", [])


def test_a_job_that_m3ter_has_forgotten_is_over(ending: World) -> None:
    go()
    for job in list(ending.m3ter.memory.bill_jobs):
        ending.m3ter.memory.bill_jobs.remove(job)

    go()

    assert asked(ending).state == "nothing"


def test_a_cancellation_that_is_called_off_ends_it_and_a_later_one_begins_again(
    ending: World, deliver: Deliver, run_jobs: Deliver
) -> None:
    go(4)
    ending.paddle.call_off_change(ending.subscription_id)
    deliver()
    run_jobs()
    go()
    assert (asked(ending).state, found()) == ("taken back", [("closed", "notice")])

    ends_at = clock.now() + dt.timedelta(hours=30)
    AccountLink.objects.filter(pk=ending.link.pk).update(scheduled_action="cancel", scheduled_at=ends_at)
    go(4)

    again = BillToDate.objects.get(ends_at=ends_at)
    assert (BillToDate.objects.count(), again.state) == (2, "made")
    assert ending.calls("create bill job", "m3ter") == 1  # the bill of before reaches as far


@pytest.mark.parametrize("runs", [1, 4], ids=["asked", "made"])
def test_a_cancellation_called_off_and_made_again_for_the_same_moment_is_asked_for_again(
    ending: World, deliver: Deliver, run_jobs: Deliver, runs: int
) -> None:
    go(runs)
    ends_at = ending.link.scheduled_at
    ending.paddle.call_off_change(ending.subscription_id)
    deliver()
    run_jobs()
    go()
    assert asked(ending).state == "taken back"
    earlier = asked(ending).until - A_DAY
    BillToDate.objects.update(until=earlier)

    ending.paddle.cancel(ending.subscription_id, effective_from="next_billing_period")
    deliver()
    run_jobs()
    assert ending.link.scheduled_at == ends_at
    go(4)

    assert (asked(ending).state, asked(ending).until) == ("made", earlier + A_DAY)
    assert ("open", "notice") in found()
    until = [bill["endDate"] for bill in bills_of(ending)]
    assert len(until) == len(set(until))


@pytest.mark.parametrize("state", ["refused", "too late"])
def test_no_problem_is_left_of_a_cancellation_that_is_called_off_later(
    ending: World, deliver: Deliver, run_jobs: Deliver, state: str
) -> None:
    if state == "refused":
        AccountLink.objects.filter(pk=ending.link.pk).update(m3ter_account_id="gone")
    else:  # what Paddle did instead is told later than the moment itself
        ended_at = clock.now() - dt.timedelta(minutes=1)
        go()
        BillToDate.objects.update(ends_at=ended_at)
        AccountLink.objects.filter(pk=ending.link.pk).update(scheduled_at=ended_at)
    go()
    assert (asked(ending).state, found()) == (state, [("open", "problem")])

    ending.paddle.call_off_change(ending.subscription_id)
    deliver()
    run_jobs()
    go()

    assert (asked(ending).state, found()) == ("taken back", [("closed", "problem")])


def test_a_pause_instead_of_the_cancellation_calls_it_off(ending: World, deliver: Deliver, run_jobs: Deliver) -> None:
    go()
    ending.paddle.call_off_change(ending.subscription_id)
    ending.paddle.pause(ending.subscription_id)
    deliver()
    run_jobs()
    BillToDate.objects.update(ends_at=F("ends_at") - 2 * A_DAY)

    go(2)

    assert (ending.link.paddle_status, asked(ending).state, found()) == ("paused", "taken back", [])


def approve_all(world: World) -> None:
    for bill in bills_of(world):
        world.m3ter.approve_bill(bill["id"])
    world.import_all()
    go()


def test_a_bill_that_is_held_for_review_here_is_told_of_until_it_is_charged(ending: World) -> None:
    PushPolicy.objects.update(review="always")
    go(4)
    approve_all(ending)

    told = Finding.objects.get(kind="bill to date")
    assert (asked(ending).state, told.state, told.severity) == ("approved", "open", "notice")
    assert told.detail.startswith(f"It is here, the bill of account {ending.link.m3ter_account_code} up to ")
    assert "waits for Finance to approve it here" in told.detail
    assert told.next_step.startswith("Approve it here before then")

    for bill in PushedBill.objects.filter(state="held"):
        review.approve(bill.pk, by="fiona", reason="right")
    ending.work()
    go()
    assert (asked(ending).state, asked(ending).detail, found()) == ("approved", "", [("closed", "notice")])


def test_a_bill_that_nobody_reviewed_before_the_end_is_a_problem_until_it_is_settled(
    ending: World, deliver: Deliver, run_jobs: Deliver
) -> None:
    PushPolicy.objects.update(review="always")
    go(4)
    approve_all(ending)
    ending.paddle.cancel(ending.subscription_id)
    deliver()
    run_jobs()
    go(2)

    assert (asked(ending).state, found()) == ("too late", [("open", "problem")])
    assert Finding.objects.get(kind="bill to date").next_step.startswith("Invoice it")

    for bill in PushedBill.objects.filter(state="held"):
        review.write_off(bill.pk, by="fiona", reason="given up")
    go()
    assert (asked(ending).state, found()) == ("approved", [("closed", "problem")])


def test_a_finding_that_a_person_has_closed_stays_so_while_nothing_changes(ending: World) -> None:
    PushPolicy.objects.update(review="always")
    go(4)
    approve_all(ending)
    Finding.objects.filter(kind="bill to date").update(state="closed")

    go(3)

    assert found() == [("closed", "notice")]


@pytest.mark.parametrize("is_read", [False, True], ids=["made", "read"])
def test_a_bill_that_m3ter_does_not_have_any_more_is_asked_for_again(ending: World, is_read: bool) -> None:
    PushPolicy.objects.update(review="always")
    go(4)
    first = asked(ending).m3ter_bill_id
    if is_read:
        approve_all(ending)
        assert (asked(ending).state, asked(ending).m3ter_bill_id) == ("approved", first)
    ending.m3ter.memory.bills.remove(ending.in_m3ter(first))
    jobs.sweep_bills()

    go(5)

    again = asked(ending)
    assert (again.state, ending.calls("create bill job", "m3ter")) == ("made", 2)
    assert again.m3ter_bill_id != first
    assert ending.in_m3ter(again.m3ter_bill_id)["endDate"] == str(again.until)
    assert ("open", "notice") in found()


@pytest.mark.parametrize("runs", [1, 4], ids=["asked", "made"])
def test_a_bill_not_approved_in_time_is_a_problem_until_it_is_approved(
    ending: World, deliver: Deliver, run_jobs: Deliver, runs: int
) -> None:
    go(runs)
    BillToDate.objects.update(ends_at=F("ends_at") - 2 * A_DAY)
    AccountLink.objects.filter(pk=ending.link.pk).update(scheduled_at=F("scheduled_at") - 2 * A_DAY)
    ending.paddle.cancel(ending.subscription_id)
    deliver()
    run_jobs()

    go(2)
    assert (asked(ending).state, found()) == ("too late", [("open", "problem")])

    for bill in bills_of(ending):
        ending.m3ter.approve_bill(bill["id"])
    ending.import_all()
    go()
    if runs > 1:
        held = PushedBill.objects.filter(m3ter_account_id=ending.account_id)
        assert {(bill.state, bill.reason) for bill in held} == {("held", "cancelled")}
        assert (asked(ending).state, found()) == ("too late", [("open", "problem")])
        for bill in held:
            review.settled_outside(bill.pk, by="fiona", reason="paid by bank transfer")
        go()
        assert (asked(ending).state, found()) == ("approved", [("closed", "problem")])


def test_a_closed_vendor_leaves_it_due_without_a_finding_for_each(ending: World) -> None:
    ending.m3ter.fault("list bills", "forbidden", 9)

    said = jobs.ask_for_bills_to_date()

    assert said.startswith("not gone through to the end: ")
    assert (asked(ending).state, found()) == ("due", [])
    assert Finding.objects.filter(kind="vendor closed", state="open").exists()


def test_the_settings_of_another_database_ask_nobody(ending: World, settings: Settings) -> None:
    settings.M3TER_ORG_ID = "another"

    jobs.ask_for_bills_to_date()

    assert (BillToDate.objects.count(), ending.calls("create bill job", "m3ter")) == (0, 0)
