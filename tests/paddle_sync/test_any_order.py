"""Events of one subscription in any order and repetition, and at the same time: one end state."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_project import work
from integration_project.events import HANDLERS
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import parking
from paddle_sync.models import AccountLink, AccountPlanLink, SubscriptionSnapshot, WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS
from tests.builders import make_mapping, notification, post_notification, subscription
from tests.paddle_sync.seen import CLOUD, INSIGHTS, created
from tests.threads import at_once

Run = Callable[[], int]


def both_are_mapped() -> None:
    make_mapping()
    make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )


def lived(paddle: PaddleSimulator) -> list[dict[str, Any]]:
    """The envelopes of a whole life: bought, renewed, paused, resumed, renewed, to be cancelled, cancelled."""
    paddle.rate_limit.limit = None
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD, INSIGHTS])
    subscription_id = bought["subscription_id"]
    paddle.clock_move(days=32)
    paddle.run_renewals()
    paddle.clock_move(hours=1)
    paddle.pause(subscription_id)
    paddle.clock_move(hours=1)
    paddle.resume(subscription_id)
    paddle.clock_move(hours=1)
    paddle.cancel(subscription_id, effective_from="next_billing_period")
    paddle.clock_move(hours=1)
    paddle.cancel(subscription_id, effective_from="immediately")
    return [event for event in paddle.events if str(event["event_type"]).startswith("subscription.")]


def end_state(m3ter: M3terSimulator) -> dict[str, Any]:
    """Everything that operators and customers would see, without our row numbers and m3ter's ids."""
    code_of = {account["id"]: account["code"] for account in m3ter.memory.accounts}
    return {
        "accounts": [
            (account["code"], account["name"], account["currency"], account.get("billEpoch"))
            for account in m3ter.memory.accounts
        ],
        "plans": sorted(
            (code_of[plan["accountId"]], plan["planId"], plan["startDate"], plan.get("endDate"), plan["code"])
            for plan in m3ter.memory.account_plans
        ),
        "mappings": [(mapping["externalId"], mapping["externalTable"]) for mapping in m3ter.memory.external_mappings],
        "links": list(
            AccountLink.objects.values_list("paddle_subscription_id", "state", "paddle_status", "next_billed_at")
        ),
        "plan links": sorted(AccountPlanLink.objects.values_list("code", "quantity", "starts_at", "ends_at")),
        "findings": sorted(Finding.objects.filter(state="open").values_list("kind", "key", "detail")),
        "undone": list(WebhookEvent.objects.exclude(state__in=("processed", "ignored")).values_list("event_type")),
    }


def forget_everything(m3ter: M3terSimulator) -> None:
    m3ter.reset()
    m3ter.limit_requests(None)
    for model in (AccountPlanLink, AccountLink, WebhookEvent, SubscriptionSnapshot, Finding):
        model.objects.all().delete()


def deliver_and_work(client: Client, vendors: Vendors, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Deliver batch by batch, working on everything in between."""
    for batch in batches:
        for event in batch:
            assert post_notification(client, {**event, "notification_id": "ntf_1"}).status_code == 200
        work.drain(EVENTS, partial(process_event, vendors=vendors, handlers=HANDLERS))


@pytest.mark.django_db
def test_events_in_any_order_and_repetition_give_one_end_state(
    client: Client,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    installation: Installation,
) -> None:
    both_are_mapped()
    events = lived(paddle)
    forget_everything(m3ter)
    deliver_and_work(client, vendors, [[event] for event in events])
    expected = end_state(m3ter)

    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        order=st.permutations(events),
        again=st.lists(st.sampled_from(events), max_size=5),
        cuts=st.sets(st.integers(min_value=1, max_value=len(events) - 1)),
    )
    def shuffled(order: list[dict[str, Any]], again: list[dict[str, Any]], cuts: set[int]) -> None:
        forget_everything(m3ter)
        bounds = [0, *sorted(cuts), len(order)]
        batches = [order[start:end] for start, end in itertools.pairwise(bounds)]

        deliver_and_work(client, vendors, [*batches, again])

        assert end_state(m3ter) == expected

    shuffled()
    assert [account[0] for account in expected["accounts"]] == [events[0]["data"]["id"]]
    # Of each of the two items: until the pause, and from the resume to the cancellation.
    assert len(expected["plans"]) == 4
    assert all(plan[3] is not None for plan in expected["plans"])
    assert expected["findings"] == []
    assert expected["undone"] == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_one_event_delivered_five_times_at_once_is_one_row_and_one_account(
    m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    make_mapping()
    envelope = notification("subscription.created", subscription())
    statuses: list[int] = []

    assert at_once(*[lambda: statuses.append(post_notification(Client(), envelope).status_code)] * 5) == []
    assert at_once(*[run_jobs] * 3) == []

    assert statuses == [200] * 5
    assert (created().state, created().attempts) == ("processed", 1)
    assert len(list(m3ter.memory.accounts)) == 1
    assert len(list(m3ter.memory.account_plans)) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_different_events_of_one_subscription_worked_on_at_once_are_one_account(
    client: Client, m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    for event_type in ("subscription.created", "subscription.activated", "subscription.updated"):
        post_notification(client, notification(event_type, data))

    assert at_once(*[run_jobs] * 3) == []
    run_jobs()

    assert len(list(m3ter.memory.accounts)) == 1
    assert set(WebhookEvent.objects.values_list("state", flat=True)) <= {"processed", "ignored"}


@pytest.mark.django_db
def test_an_event_parked_while_its_mapping_was_being_saved_is_found(
    client: Client, m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    post_notification(client, notification("subscription.created", subscription()))
    run_jobs()
    # The mapping was saved, and looked for waiting events, before this event was written down as parked.
    mapping = make_mapping()
    mapping.save()

    first, second = parking.resume_overtaken(), parking.resume_overtaken()
    run_jobs()

    assert (first, second) == (1, 0)
    assert created().state == "processed"
    assert created().decisions.get().by == "schedule"


@pytest.mark.django_db
def test_a_mapping_that_does_not_help_is_not_tried_again_every_minute(
    client: Client, installation: Installation, run_jobs: Run
) -> None:
    envelope = notification("subscription.created", subscription())
    post_notification(client, envelope)
    run_jobs()
    make_mapping(effective_from="2999-01-01")
    parking.resume_overtaken()
    run_jobs()

    resumed = parking.resume_overtaken()

    assert (resumed, created().state) == (0, "parked")
