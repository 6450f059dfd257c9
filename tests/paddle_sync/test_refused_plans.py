"""Plans that m3ter does not take, or may not take: the event waits for a mapping, and a corrected one lets it go on."""

from collections.abc import Callable

import pytest

from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import catalogue, mappings
from paddle_sync.admin import event_story
from paddle_sync.models import AccountPlanLink, CatalogueEntry
from tests.builders import make_event, make_mapping, subscription, subscription_item
from tests.paddle_sync.seen import created, operations
from tests.paddle_sync.test_accounts import taken_account
from tests.paddle_sync.test_faults import due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
NO_SUCH_PLAN = "00000000-0000-4000-8000-000000000000"
CLOUD_ITEM = (paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRODUCT_CLOUD)
SEATS_ITEM = (paddle_sample.PRICE_SEATS_EUR, paddle_sample.PRODUCT_CLOUD)


@pytest.mark.parametrize("by_product", [False, True])
def test_a_plan_that_m3ter_refuses_parks_the_event_until_the_mapping_is_corrected(
    m3ter: M3terSimulator, run_jobs: Run, by_product: bool
) -> None:
    product = paddle_sample.PRODUCT_CLOUD if by_product else ""
    mapping = make_mapping(product=product, plan=NO_SUCH_PLAN)
    make_event("subscription.created", subscription())
    run_jobs()
    refused = created()

    mapping.m3ter_plan_id = m3ter_sample.PLAN_SCALE
    mapping.save()
    resumed = mappings.saved(mapping, by="anna")
    run_jobs()

    assert (refused.state, refused.waiting_for_kind, refused.waiting_for_key) == (
        "parked",
        "plan refused",
        NO_SUCH_PLAN,
    )
    assert paddle_sample.PRICE_CLOUD_EUR in refused.note
    assert (resumed, created().state) == (1, "processed")
    assert len(list(m3ter.memory.accounts)) == 1
    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]


def a_plan_and_a_group_of_unknown_products() -> None:
    make_mapping(plan=m3ter_sample.PLAN_SEATS, m3ter_product="another product")
    make_mapping(
        paddle_sample.PRICE_SEATS_EUR,
        target="plan_group",
        plan="",
        m3ter_product="",
        m3ter_plan_group_id=m3ter_sample.GROUP_BUNDLE,
    )
    make_event(
        "subscription.created", subscription(items=[subscription_item(*CLOUD_ITEM), subscription_item(*SEATS_ITEM)])
    )


def test_a_group_whose_products_nobody_knows_waits_for_the_catalogue_before_anything_is_written(
    m3ter: M3terSimulator, run_jobs: Run
) -> None:
    a_plan_and_a_group_of_unknown_products()

    run_jobs()

    event = created()
    assert (event.state, event.waiting_for_kind, event.waiting_for_key) == (
        "parked",
        "plan group",
        m3ter_sample.GROUP_BUNDLE,
    )
    assert operations(m3ter) == []


def test_reading_the_catalogue_lets_an_event_go_on_that_waited_for_a_groups_products(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    a_plan_and_a_group_of_unknown_products()
    run_jobs()

    catalogue.refresh(vendors)
    run_jobs()

    event = created()
    assert event.decisions.get().reason == "the catalogue was read"
    assert event.waiting_for_kind != "plan group"


def test_a_group_overlapping_with_a_plan_that_the_account_has_is_a_conflict(
    m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    catalogue.refresh(vendors)
    covered = CatalogueEntry.objects.get(vendor_id=m3ter_sample.GROUP_BUNDLE).data["product_ids"]
    make_mapping(target="plan_group", plan="", m3ter_product="", m3ter_plan_group_id=m3ter_sample.GROUP_BUNDLE)
    data = subscription()
    account = taken_account(vendors, data["id"])
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=data["id"]
    )
    make_event("subscription.created", data)
    vendors.m3ter.create_account_plan(
        NewAccountPlan(account_id=account.id, start_date=created().occurred_at, plan_id=m3ter_sample.PLAN_SCALE)
    )

    run_jobs()

    assert m3ter_sample.PRODUCT_CLOUD in covered
    assert (created().state, created().waiting_for_kind) == ("parked", "plan conflict")
    assert m3ter_sample.PLAN_SCALE in created().note
    assert AccountPlanLink.objects.count() == 0


def test_the_console_says_that_a_corrected_mapping_lets_a_refused_plan_go_on(
    m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping(plan=NO_SUCH_PLAN)
    make_event("subscription.created", subscription())
    run_jobs()

    told = event_story.story(created())

    assert told.next_step == "Change the mapping; this event will then run by itself."
    assert NO_SUCH_PLAN in told.cause


def test_a_mapping_changed_between_a_lost_answer_and_the_repeat_takes_the_first_plan_back(
    m3ter: M3terSimulator, run_jobs: Run
) -> None:
    mapping = make_mapping()
    make_event("subscription.created", subscription())
    m3ter.fault("create account plan", "lose_answer")
    run_jobs()

    mapping.m3ter_plan_id = m3ter_sample.PLAN_BULK
    mapping.save()
    due_again()
    run_jobs()

    assert created().state == "processed"
    assert [plan["planId"] for plan in m3ter.memory.account_plans] == [m3ter_sample.PLAN_BULK]
    assert AccountPlanLink.objects.get().m3ter_plan_id == m3ter_sample.PLAN_BULK
