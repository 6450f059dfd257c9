"""A subscription of Paddle Classic from checkout to cancellation, over the real addresses and clients."""

from collections.abc import Callable

import pytest

from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from paddle_sync.models import AccountLink, SubscriptionSnapshot, WebhookEvent
from tests.builders import make_mapping

Run = Callable[[], int]


@pytest.fixture(autouse=True)
def mapped(classic: ClassicSimulator, installation: Installation) -> None:
    make_mapping(str(sample.PLAN_TEAM))


def states() -> list[tuple[str, str]]:
    return list(WebhookEvent.objects.order_by("pk").values_list("event_type", "state"))


def test_a_checkout_becomes_an_account_with_its_plan(
    classic: ClassicSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example", name="Kai Ünal", quantity=3)

    deliver()
    run_jobs()

    link = AccountLink.objects.get()
    account = vendors.m3ter.get_account(link.m3ter_account_id)
    (plan,) = vendors.m3ter.list_account_plans(account_id=account.id)
    assert (link.source, link.paddle_subscription_id) == ("paddle_classic", made["subscription_id"])
    assert (link.paddle_customer_id, link.currency, link.paddle_status) == (made["user_id"], "EUR", "active")
    assert (account.code, account.email_address) == (made["subscription_id"], "kai@customer.example")
    assert plan.plan_id == m3ter_sample.PLAN_SCALE
    assert states() == [("subscription_created", "processed"), ("subscription_payment_succeeded", "ignored")]


def test_a_plan_nobody_mapped_parks_its_event_and_saving_it_lets_it_go_on(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    classic.subscribe(email="kai@customer.example", plan_id=sample.PLAN_STUDIO)
    deliver()
    run_jobs()

    event = WebhookEvent.objects.get(event_type="subscription_created")

    assert (event.state, event.waiting_for_kind, event.waiting_for_key) == ("parked", "price", str(sample.PLAN_STUDIO))


def test_a_cancellation_is_followed(classic: ClassicSimulator, deliver: Run, run_jobs: Run) -> None:
    made = classic.subscribe(email="kai@customer.example")
    classic.cancel(made["subscription_id"])

    deliver()
    run_jobs()

    last = SubscriptionSnapshot.objects.get(event_type="subscription_cancelled")
    ends = classic.memory.subscriptions[int(made["subscription_id"])].next_bill
    assert AccountLink.objects.get().paddle_status == "canceled"
    assert (last.data["status"], last.data["canceled_at"]) == ("canceled", f"{ends}T00:00:00Z")


def test_a_payment_that_fails_is_read_in_classic_instead_of_believed(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    before = len(classic.calls)
    classic.fail_payment(made["subscription_id"])
    WebhookEvent.objects.all().delete()
    classic.outbox.deliveries = classic.outbox.deliveries[:3]  # the alert of the change that follows is lost

    deliver()
    run_jobs()

    assert [call.operation for call in classic.calls[before:]] == ["list users"]
    assert AccountLink.objects.get().paddle_status == "past_due"
