"""Dry runs of Paddle's invoices and adjustments: answered as Paddle would, and never sent."""

import datetime as dt
from typing import Any

import pytest

from integration_project.errors import VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.paddle.entities import (
    ChargeItem,
    NewAdjustment,
    NewAdjustmentItem,
    NewInvoice,
    PaymentTerms,
)
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from tests.vendors.rehearsing import Rehearsing, new_rehearsing

NOW = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)


@pytest.fixture
def stage() -> Rehearsing:
    return new_rehearsing()


def bought(stage: Rehearsing) -> dict[str, Any]:
    items = [{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]
    made: dict[str, Any] = stage.paddle.complete_checkout(email="a@example.com", name="Anna Person", items=items)
    return made


def new_invoice(made: dict[str, Any], *, issue: bool = True) -> NewInvoice:
    item = ChargeItem("n", "text", 900, "EUR", "external", {"push_id": "b-1"}, product_id=paddle_sample.PRODUCT_USAGE)
    return NewInvoice(
        customer_id=made["customer_id"],
        address_id=made["address_id"],
        currency="EUR",
        items=(item, item),
        custom_data={"push_id": "b-1"},
        payment_terms=PaymentTerms("day", 30),
        issue=issue,
    )


@pytest.mark.parametrize(("issue", "status"), [(True, "billed"), (False, "ready")])
def test_an_invoice_is_answered_and_never_made(stage: Rehearsing, issue: bool, status: str) -> None:
    made = bought(stage)

    def work(vendors: Vendors) -> tuple[Any, ...]:
        preview = vendors.paddle.preview_invoice(new_invoice(made))
        invoice = vendors.paddle.create_invoice(new_invoice(made, issue=issue))
        found = vendors.paddle.find_invoice("b-1", customer_id=made["customer_id"], since=NOW)
        return preview, invoice, found, vendors.paddle.get_transaction(invoice.id)

    preview, invoice, found, read = stage.run(work)

    assert preview.details.totals.subtotal == 1800
    assert (invoice.id, invoice.status, invoice.amount_of("b-1")) == ("new-transaction-1", status, 1800)
    assert (found.transaction_id, found.times, found.amount) == (invoice.id, 1, 1800)
    assert read == invoice
    assert [(call.operation, call.written) for call in stage.rehearsal.calls] == [
        ("preview transaction", False),
        ("create transaction", True),
        ("list transactions", False),
        ("get transaction", False),
    ]
    assert list(stage.paddle.transactions) == [made["transaction_id"]]


def test_an_invoice_that_would_be_canceled_is_so_when_it_is_read_again(stage: Rehearsing) -> None:
    issued = stage.real.paddle.create_invoice(new_invoice(bought(stage)))

    def work(vendors: Vendors) -> tuple[Any, ...]:
        vendors.paddle.get_transaction(issued.id, include=("customer",))
        return vendors.paddle.cancel_transaction(issued.id), vendors.paddle.get_transaction(issued.id)

    canceled, read = stage.run(work)

    assert (canceled.status, read.status) == ("canceled", "canceled")
    assert stage.written[0].body == {"status": "canceled"}
    assert stage.written[0].before == {}
    assert stage.paddle.transactions[issued.id]["status"] == "billed"


def test_what_is_paid_would_not_be_canceled(stage: Rehearsing) -> None:
    transaction_id = bought(stage)["transaction_id"]

    with pytest.raises(VendorRejected) as refusal:
        stage.run(lambda vendors: vendors.paddle.cancel_transaction(transaction_id))

    assert (refusal.value.code, refusal.value.policy) == ("transaction_immutable", "permanent")


def lines(stage: Rehearsing, transaction_id: str) -> list[str]:
    return [line["id"] for line in stage.paddle.transactions[transaction_id]["details"]["line_items"]]


@pytest.mark.parametrize(("tax_mode", "amount"), [("external", 1000), ("internal", 1190), ("external", None)])
def test_a_refund_is_answered_and_never_made(stage: Rehearsing, tax_mode: str, amount: int | None) -> None:
    transaction_id = bought(stage)["transaction_id"]
    (line,) = lines(stage, transaction_id)
    refund = NewAdjustment(
        "refund", transaction_id, "b-1", "corrected", (NewAdjustmentItem(line, amount),), tax_mode=tax_mode
    )

    def work(vendors: Vendors) -> tuple[Any, ...]:
        made = vendors.paddle.create_adjustment(refund)
        other = "txn_01hv0000000000000000000000"
        listed = list(vendors.paddle.list_adjustments(transaction_ids=(other, transaction_id)))
        elsewhere = list(vendors.paddle.list_adjustments(transaction_ids=(other,)))
        return made, vendors.paddle.find_adjustment("b-1", transaction_ids=(transaction_id,)), listed, elsewhere

    made, found, listed, elsewhere = stage.run(work)

    subtotal = 4900 if amount is None else 1000
    assert (made.status, made.totals.subtotal, made.totals.tax) == ("pending_approval", subtotal, subtotal * 19 // 100)
    assert (found.adjustment_id, found.times, found.amount) == (made.id, 1, subtotal)
    assert (listed, elsewhere) == ([made], [])
    assert stage.operations == ["create adjustment", *["list adjustments"] * 3]
    assert stage.paddle.adjustments == {}
    assert stage.real.paddle.create_adjustment(refund).totals == made.totals


@pytest.mark.parametrize(
    ("action", "of_invoice", "code"),
    [
        ("credit", False, "adjustment_transaction_invalid_status_for_credit"),
        ("refund", True, "adjustment_transaction_invalid_status_for_refund"),
        ("credit", True, "adjustment_transaction_item_invalid"),
    ],
)
def test_an_adjustment_is_refused_as_paddle_does(stage: Rehearsing, action: str, of_invoice: bool, code: str) -> None:
    made = bought(stage)
    issued = stage.real.paddle.create_invoice(new_invoice(made))
    (line,) = lines(stage, made["transaction_id"])
    transaction_id = issued.id if of_invoice else made["transaction_id"]
    adjustment = NewAdjustment(action, transaction_id, "b-1", "corrected", (NewAdjustmentItem(line),))

    with pytest.raises(VendorRejected) as really:
        stage.real.paddle.create_adjustment(adjustment)
    with pytest.raises(VendorRejected) as rehearsed:
        stage.run(lambda vendors: vendors.paddle.create_adjustment(adjustment))

    assert really.value.code == rehearsed.value.code == code
    assert really.value.policy == rehearsed.value.policy


def test_a_list_of_several_pages_shows_what_would_be_made_once(
    stage: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.TRANSACTIONS_PAGE", 2)
    made = bought(stage)
    for _ in range(3):
        stage.real.paddle.create_invoice(new_invoice(made))

    def work(vendors: Vendors) -> Any:
        vendors.paddle.create_invoice(new_invoice(made))
        return vendors.paddle.find_invoice("b-1", customer_id=made["customer_id"], since=NOW)

    assert stage.run(work).times == 4


def test_no_secret_is_in_what_a_dry_run_shows_of_before(stage: Rehearsing) -> None:
    stage.paddle.send_webhooks_to("http://127.0.0.1:1/webhooks/paddle/")

    def work(vendors: Vendors) -> None:
        list(vendors.paddle.list_notification_settings())
        vendors.paddle.subscribe_destination(paddle_sample.NOTIFICATION_SETTING_ID, ["subscription.created"])

    stage.run(work)

    assert paddle_sample.WEBHOOK_SECRET not in repr(stage.rehearsal.calls)
