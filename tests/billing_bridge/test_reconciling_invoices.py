"""Invoices belong to no subscription, and are reconciled like everything else: by their customer's transactions."""

import copy
from typing import Any

import pytest
from django.db.models import F

from billing_bridge import importing, reconciliation, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project.models import Finding
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink
from tests.billing_bridge.test_reconciling import Deliver, open_findings, reasons, reconcile, renew, the_row
from tests.billing_bridge.world import World, fresh, push_of


@pytest.fixture
def invoiced(world: World) -> PushedBill:
    """A bill for which an invoice was issued."""
    return invoice(world)


def invoice(world: World, **policy: Any) -> PushedBill:
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(mode="invoice", **policy)
    world.complete_the_customer()
    return world.pushed()


def told(deliver: Deliver) -> None:
    deliver()
    drain_events()


def test_an_invoice_that_nobody_has_paid_is_not_paid_yet(world: World, invoiced: PushedBill) -> None:
    row = the_row(reconcile(world))

    assert (row.billed, row.collected, row.transactions) == (14345, 0, world.invoices())
    assert reasons(row) == [("not paid yet", 14345)]


def test_an_invoice_that_nobody_has_issued_waits_for_that(world: World) -> None:
    invoice(world, issue_invoices=False)

    row = the_row(reconcile(world))

    assert reasons(row) == [("not issued yet", 14345)]
    assert "somebody must issue" in row.parts[0]["words"]


def test_a_paid_invoice_has_no_difference_before_and_after_the_renewal(
    world: World, invoiced: PushedBill, deliver: Deliver
) -> None:
    (transaction,) = world.invoices()
    world.paddle.pay_transaction(transaction)
    told(deliver)
    before = the_row(reconcile(world))
    Push.objects.update(expected_renewal_at=F("created_at") - reconciliation.WEEK)

    row = the_row(reconcile(world))

    for each in (before, row):
        assert (each.collected, each.transactions, reasons(each)) == (14345, [transaction], [])
    assert open_findings() == []


def test_an_invoice_need_not_be_listed_in_the_same_moment(world: World, invoiced: PushedBill) -> None:
    world.paddle.world.memory.transactions.pop(world.invoices()[0])
    lately = the_row(reconcile(world))
    Push.objects.update(settled_at=F("settled_at") - 2 * reconciliation.DAY)

    row = the_row(reconcile(world))

    assert (reasons(lately), reasons(row)) == ([("not listed yet", 14345)], [("unknown", 14345)])


def test_customers_of_invoices_are_asked_for_together(world: World, invoiced: PushedBill) -> None:
    for number in range(2):
        world.subscription_id, world.account_id = world.subscribe(email=f"buyer{number}@example.com")
        invoice(world)
    before = world.calls("list transactions")

    run = reconcile(world)

    assert world.calls("list transactions") - before == 2  # of the subscriptions, and of the customers
    assert [reasons(row) for row in run.rows.all()] == [[("not paid yet", 14345)]] * 3


@pytest.mark.parametrize("ordinal", [1, 2])
def test_a_tag_on_a_second_invoice_is_an_alarm(world: World, invoiced: PushedBill, ordinal: int) -> None:
    (first,) = world.invoices()
    again = copy.deepcopy(world.paddle.transactions[first])
    again["id"] = world.paddle.world.new_id("txn")
    tag = f"{invoiced.m3ter_bill_id}-{ordinal}"
    for marked in (again["custom_data"], again["items"][0]["price"]["custom_data"]):
        marked["push_id"] = tag
    again["items"], again["details"]["line_items"] = again["items"][:1], again["details"]["line_items"][:1]
    world.paddle.world.memory.transactions[again["id"]] = again
    AccountLink.objects.update(paddle_customer_id=again["customer_id"])

    run = reconcile(world)

    alarm = Finding.objects.get(severity="alarm", kind="charged twice" if ordinal == 1 else "unknown push")
    assert (alarm.subject, run.unknown) == (tag, 1)
    assert again["id"] in alarm.detail
    assert (first in alarm.detail) == (ordinal == 1)
    if ordinal == 2:
        mark = run.rows.get(subject=tag)
        assert (mark.account_code, mark.transactions) == (world.subscription_id, [again["id"]])


# --- What we gave back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tax_mode", "named"), [("external", set()), ("internal", {"tax"})], ids=("on top", "inside"))
@pytest.mark.parametrize("mode", ["next_billing_period", "immediately", "invoice"])
def test_a_refund_of_ours_leaves_no_difference_but_the_tax_that_is_named(
    world: World, deliver: Deliver, mode: str, tax_mode: str, named: set[str]
) -> None:
    bill = charged_and_paid(world, deliver, mode=mode, tax_mode=tax_mode)
    correct(world, bill)
    review.refund(bill.pk, by="fiona", reason="corrected")
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)
    assert (fresh(bill).outstanding, fresh(bill).refunded) == (0, 4345)

    run = reconcile(world)

    row = the_row(run)
    assert (run.unknown, open_findings()) == (0, [])
    assert {why for why, _ in reasons(row)} == named
    assert row.kept == 10000 - sum(amount for _, amount in reasons(row))
    assert any("given back" in part["words"] for part in row.parts) == bool(named)


def test_a_credit_on_an_invoice_that_is_not_paid_lowers_what_is_not_paid(
    world: World, invoiced: PushedBill, deliver: Deliver
) -> None:
    told(deliver)
    correct(world, invoiced)
    review.refund(invoiced.pk, by="fiona", reason="corrected")
    world.work()
    told(deliver)
    unpaid = the_row(reconcile(world))
    world.paddle.pay_transaction(world.invoices()[0])
    told(deliver)

    row = the_row(reconcile(world))

    assert (unpaid.collected, unpaid.refunded) == (0, 0)
    assert sorted(reasons(unpaid)) == [("not paid yet", -4345), ("not paid yet", 14345)]
    assert (row.kept, reasons(row)) == (10000, [])


def correct(world: World, bill: PushedBill) -> None:
    """m3ter lowers a bill."""
    world.m3ter.recalculate(bill.m3ter_bill_id)
    world.change_bill(bill.m3ter_bill_id, (("API calls", "100.00"),))
    world.m3ter.approve_bill(bill.m3ter_bill_id)
    world.import_all()


def test_a_charge_under_the_id_of_a_refund_has_no_reason(world: World, deliver: Deliver) -> None:
    bill = charged_and_paid(world, deliver, mode="immediately")
    correct(world, bill)
    review.refund(bill.pk, by="fiona", reason="corrected")
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)
    (charge,) = [each for each in world.paddle.transactions.values() if each["origin"] == "subscription_charge"]
    copied = copy.deepcopy(charge)
    copied["id"] = world.paddle.world.new_id("txn")
    for item in copied["items"]:
        item["price"]["custom_data"]["push_id"] = push_of(bill).push_id
    world.paddle.world.memory.transactions[copied["id"]] = copied

    row = the_row(reconcile(world))

    assert (row.unknown, row.is_unknown) == (14345, True)
    assert copied["id"] in row.parts[0]["words"]


def charged_and_paid(world: World, deliver: Deliver, **policy: str) -> PushedBill:
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(**policy)
    world.complete_the_customer()
    bill = world.pushed()
    told(deliver)
    if policy["mode"] == "next_billing_period":
        renew(world, deliver)
    if policy["mode"] == "invoice":
        world.paddle.pay_transaction(world.invoices()[0])
        told(deliver)
    assert fresh(bill).payment == "paid"
    return fresh(bill)


def test_a_refund_on_the_payment_of_another_bill_is_this_bills(world: World, deliver: Deliver) -> None:
    paid = charged_and_paid(world, deliver, mode="immediately")
    owing = importing.import_bill(world.another_bill((("API calls", "-20.00"),)), world.vendors)
    assert owing is not None
    review.refund(owing.pk, by="fiona", reason="a credit note")
    world.work()
    world.paddle.settle_adjustments()
    told(deliver)
    assert push_of(owing).paddle_transaction_id == push_of(paid).paddle_transaction_id

    run = reconcile(world)

    rows = {row.bill_id: row for row in run.rows.all()}
    assert [reasons(rows[bill.pk]) for bill in (paid, owing)] == [[], []]
    assert [rows[bill.pk].refunded for bill in (paid, owing)] == [0, 2000]
