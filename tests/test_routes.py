"""The two routes end to end, over the real addresses, with the vendors' own simulators as the only stand-ins."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from billing_bridge import review
from billing_bridge.models import BillEntry, PushedBill
from integration_project import clock
from integration_project.demo.calendar import Days, noon
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Measurement
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import catalogue, mappings
from paddle_sync.models import AccountLink, PlanMapping, WebhookEvent

pytestmark = pytest.mark.django_db


def map_price(price_id: str, vendors: Vendors, days: Days) -> None:
    catalogue.refresh(vendors)
    mapping = PlanMapping(
        paddle_price_id=price_id,
        effective_from=days.checkout_at.date(),
        target=PlanMapping.Target.PLAN,
        m3ter_plan_id=m3ter_sample.PLAN_SCALE,
    )
    mapping.full_clean()
    mapping.save()
    mappings.saved(mapping, by="operator")


def test_from_checkout_to_payment_every_cent_arrives_once(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    installation: Installation,
    deliver: Callable[[], int],
    run_jobs: Callable[[], int],
) -> None:
    days = Days.around(clock.now())
    Installation.objects.update(lead_days=days.lead_days, charge_from=days.checkout_at.date())
    map_price(paddle_sample.PRICE_CLOUD_EUR, vendors, days)
    for vendor in (paddle, m3ter):
        vendor.clock_set(days.checkout_at)

    bought = paddle.complete_checkout(
        email="accounts@harbour.example",
        name="Harbour Tools Ltd",
        items=[{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}],
    )
    deliver()
    run_jobs()

    link = AccountLink.objects.get(paddle_subscription_id=bought["subscription_id"])
    assert [row["code"] for row in m3ter.memory.accounts] == [bought["subscription_id"]]
    assert [row["planId"] for row in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]
    assert link.bill_epoch == days.now.date()

    for vendor in (paddle, m3ter):
        vendor.clock_set(days.now)
    vendors.m3ter.submit_measurements(
        [
            Measurement(
                uid=str(day), meter="api_calls", account=link.m3ter_account_code, ts=noon(day), measure={"calls": 420}
            )
            for day in days.usage_days
        ]
    )
    m3ter.run_bill_job(account_ids=[link.m3ter_account_id])
    (m3ter_bill,) = list(m3ter.memory.bills)
    m3ter.approve_bill(m3ter_bill["id"])
    deliver()
    run_jobs()

    bill = PushedBill.objects.get()
    assert (bill.state, bill.reason) == (PushedBill.State.HELD, PushedBill.Reason.REVIEW)
    assert paddle.charges == []

    review.approve(bill.pk, by="finance", reason="looked at")
    run_jobs()

    bill.refresh_from_db()
    (charge,) = paddle.charges
    assert bill.state == PushedBill.State.PUSHED
    assert charge.subtotal == bill.payable == bill.pushed
    assert set(charge.push_ids) == {f"{bill.m3ter_bill_id}-1"}
    assert vendors.m3ter.get_bill(bill.m3ter_bill_id).locked

    for vendor in (paddle, m3ter):
        vendor.clock_set(days.renews_at + timedelta(minutes=5))
    paddle.run_renewals()
    deliver()
    run_jobs()

    bill.refresh_from_db()
    assert (bill.payment, bill.paid) == (PushedBill.Payment.PAID, bill.payable)
    assert [(entry.kind, entry.amount) for entry in BillEntry.objects.all()] == [(BillEntry.Kind.PUSHED, bill.payable)]
    assert len(paddle.charges) == 1
    assert not Finding.objects.filter(state=Finding.State.OPEN).exists()
    assert not WebhookEvent.objects.filter(source="paddle").exclude(state__in=("processed", "ignored")).exists()
    assert not WebhookEvent.objects.filter(state__in=("parked", "failed")).exists()


def test_a_price_nobody_has_mapped_waits_and_goes_on_by_itself_once_it_is(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    installation: Installation,
    deliver: Callable[[], int],
    run_jobs: Callable[[], int],
) -> None:
    paddle.complete_checkout(
        email="a@b.example", name="Quay", items=[{"price_id": paddle_sample.PRICE_INSIGHTS_EUR, "quantity": 1}]
    )
    deliver()
    run_jobs()
    created = WebhookEvent.objects.get(event_type="subscription.created")
    assert (created.state, created.waiting_for_key) == ("parked", paddle_sample.PRICE_INSIGHTS_EUR)
    assert list(m3ter.memory.accounts) == []

    map_price(paddle_sample.PRICE_INSIGHTS_EUR, vendors, Days.around(clock.now()))
    run_jobs()

    created.refresh_from_db()
    assert created.state == "processed"
    assert len(list(m3ter.memory.accounts)) == len(list(m3ter.memory.account_plans)) == 1
