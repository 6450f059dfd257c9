"""A subscription that begins, against both simulated vendors: account, plans, mapping and link."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from integration_project import clock, finding
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink, AccountPlanLink, EventAttempt, WebhookEvent
from tests.builders import make_event, make_mapping, subscription, subscription_item
from tests.paddle_sync.seen import CLOUD, INSIGHTS, SEATS, created, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def test_a_fresh_checkout_costs_one_call_to_paddle_and_three_to_m3ter(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])

    deliver()
    run_jobs()

    assert operations(paddle) == ["get transaction"]
    assert operations(m3ter) == ["get token", "create account", "create account plan", "create external mapping"]
    attempt = EventAttempt.objects.get(event=created())
    assert [call["operation"] for call in attempt.calls] == ["get transaction", *operations(m3ter)]
    assert {call["status"] for call in attempt.calls} == {200}


def test_the_account_says_who_bought_and_nothing_else_of_them(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(
        email="ap@harbour.example",
        name="Anna Person",
        business={"name": "Harbour Tools Ltd"},
        items=[CLOUD],
        country="IE",
    )

    deliver()
    run_jobs()

    (account,) = m3ter.memory.accounts
    renewal = dt.datetime.fromisoformat(paddle.subscriptions[bought["subscription_id"]]["next_billed_at"])
    assert (account["code"], account["name"]) == (bought["subscription_id"], "Harbour Tools Ltd")
    assert (account["emailAddress"], account["currency"]) == ("ap@harbour.example", "EUR")
    assert account["address"]["country"] == "IE"
    assert account["billEpoch"] == (renewal.date() - dt.timedelta(days=2)).isoformat()
    assert account["customFields"] == {
        "paddleSubscriptionId": bought["subscription_id"],
        "paddleCustomerId": bought["customer_id"],
    }


def test_plan_mapping_and_link_follow_the_account(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])

    deliver()
    run_jobs()

    (account,), (plan,), (mapping,) = m3ter.memory.accounts, m3ter.memory.account_plans, m3ter.memory.external_mappings
    link, plan_link = AccountLink.objects.get(), AccountPlanLink.objects.get()
    started = dt.datetime.fromisoformat(paddle.subscriptions[bought["subscription_id"]]["started_at"])
    start = started.replace(microsecond=0)
    code = f"{bought['subscription_id']}:{m3ter_sample.PRODUCT_CLOUD}:{int(start.timestamp())}"
    assert (plan["accountId"], plan["planId"], plan["code"]) == (account["id"], m3ter_sample.PLAN_SCALE, code)
    assert dt.datetime.fromisoformat(plan["startDate"]) == start
    assert (mapping["m3terId"], mapping["externalSystem"]) == (account["id"], "PaddleBridge")
    assert (mapping["externalTable"], mapping["externalId"]) == ("Subscription", bought["subscription_id"])
    assert (link.m3ter_account_id, link.m3ter_account_code) == (account["id"], account["code"])
    assert (link.external_mapping_id, link.currency, link.paddle_status) == (mapping["id"], "EUR", "active")
    assert (link.state, link.adopted, link.name) == ("live", False, "Harbour")
    assert (plan_link.code, plan_link.m3ter_account_plan_id, plan_link.quantity) == (code, plan["id"], 1)
    assert plan_link.starts_at == start


def test_two_items_on_one_plan_are_one_account_plan_with_their_quantities_added(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(paddle_sample.PRICE_SEATS_EUR)
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, SEATS])

    deliver()
    run_jobs()

    assert len(list(m3ter.memory.account_plans)) == 1
    plan = AccountPlanLink.objects.get()
    assert plan.quantity == 11
    assert plan.paddle_price_ids == sorted([paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRICE_SEATS_EUR])


def test_each_product_gets_a_plan_of_its_own(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, INSIGHTS])

    deliver()
    run_jobs()

    plans = {plan["planId"] for plan in m3ter.memory.account_plans}
    assert plans == {m3ter_sample.PLAN_SCALE, m3ter_sample.PLAN_SEATS}
    assert len(list(m3ter.memory.accounts)) == 1


def test_a_plan_group_is_attached_as_a_group(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping(target="plan_group", plan="", m3ter_product="", m3ter_plan_group_id=m3ter_sample.GROUP_BUNDLE)
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])

    deliver()
    run_jobs()

    (plan,) = m3ter.memory.account_plans
    assert plan["planGroupId"] == m3ter_sample.GROUP_BUNDLE
    assert f":{m3ter_sample.GROUP_BUNDLE}:" in AccountPlanLink.objects.get().code


def test_a_subscription_of_which_nothing_is_metered_needs_nothing_in_m3ter(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping(target="not_metered", plan="", m3ter_product="")
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])

    deliver()
    run_jobs()

    assert (created().state, AccountLink.objects.count(), operations(m3ter)) == ("ignored", 0, [])
    assert "not metered" in created().note


def test_of_several_items_only_those_that_are_metered_count(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(paddle_sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, SEATS])

    deliver()
    run_jobs()

    assert AccountPlanLink.objects.get().quantity == 1


def test_an_old_event_is_checked_against_paddle_before_it_is_believed(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])
    deliver()
    WebhookEvent.objects.update(occurred_at=clock.now() - dt.timedelta(seconds=61))

    run_jobs()

    assert operations(paddle)[:2] == ["list subscriptions", "get transaction"]
    assert created().state == "processed"


def test_a_subscription_that_paddle_does_not_know_is_gone_by_and_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping()
    make_event("subscription.created", subscription(), occurred_at=clock.now() - dt.timedelta(hours=1))

    run_jobs()

    assert created().state == "processed"
    assert open_findings() == [("unknown to Paddle", "")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"items": "none"}, "items is not a list"),
        ({"items": [{"status": "active", "quantity": 1}]}, "price is not an object"),
        ({"status": 5}, "status is not a text"),
        ({"currency_code": None}, "currency_code is not a text"),
        ({"next_billed_at": "soon"}, "next_billed_at is not a moment"),
        ({"items": [subscription_item("p" * 65, "pro_1")]}, "a price's id has more than 64 characters"),
    ],
)
def test_a_subscription_that_cannot_be_read_fails_and_names_the_field(
    m3ter: M3terSimulator, run_jobs: Run, changes: dict[str, Any], words: str
) -> None:
    make_event("subscription.created", subscription(**changes))

    run_jobs()

    event = created()
    assert (event.state, event.failure_kind) == ("failed", "permanent")
    assert words in event.note
    assert operations(m3ter) == []


def test_nothing_is_sent_for_a_database_that_belongs_elsewhere(
    paddle: PaddleSimulator, m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    Installation.objects.update(m3ter_org_id="another organisation")
    make_mapping()
    make_event("subscription.created", subscription())

    run_jobs()

    event = created()
    assert (event.state, event.attempts) == ("received", 0)
    assert event.due_at is not None
    assert event.due_at > clock.now()
    assert "M3TER_ORG_ID" in event.last_error
    assert (operations(paddle), operations(m3ter)) == ([], [])


def test_findings_of_others_about_a_subscription_are_left_alone(run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    finding.report("something else", data["id"], detail="Not ours.")

    make_event("subscription.created", data)
    run_jobs()

    assert ("something else", "") in open_findings()


def test_a_fresh_event_of_a_buyer_that_paddle_does_not_know_is_told_and_stays_told(run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)
    run_jobs()
    make_event("subscription.activated", data)

    run_jobs()

    assert open_findings() == [("unknown to Paddle", "")]
