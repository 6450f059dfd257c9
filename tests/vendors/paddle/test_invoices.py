"""Invoices made by our client: asked for once, found again, followed until they are paid."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.paddle.entities import ChargeItem, PaymentTerms, Transaction
from integration_project.vendors.paddle.simulator import sample
from tests.vendors.paddle.stage import PUSH, START, Stage, charge

# Asking


def test_an_invoice_is_issued_with_its_marks_terms_and_lines(stage: Stage) -> None:
    invoice = stage.invoice(amounts=(12345, 655), purchase_order_number="PO 7", additional_information="Thank you.")

    assert (invoice.status, invoice.origin, invoice.collection_mode) == ("billed", "api", "manual")
    assert (invoice.customer_id, invoice.currency_code) == (stage.customer_id, "EUR")
    assert (invoice.invoice_number, invoice.subscription_id) == ("901-20002", None)
    assert invoice.custom_data == {"push_id": PUSH, "bill_id": "91aa", "attempt": "1"}
    assert (invoice.invoiced_push_id, invoice.push_ids, invoice.amount_of(PUSH)) == (PUSH, frozenset({PUSH}), 13000)
    assert [line.totals.subtotal for line in invoice.lines_of(PUSH)] == [12345, 655]
    assert invoice.raw["billing_details"] == {
        "payment_terms": {"interval": "day", "frequency": 30},
        "enable_checkout": False,
        "purchase_order_number": "PO 7",
        "additional_information": "Thank you.",
    }
    assert invoice.raw["billing_period"] is None


def test_an_invoice_that_is_not_issued_waits_without_a_number(stage: Stage) -> None:
    invoice = stage.invoice(issue=False)

    assert (invoice.status, invoice.invoice_number) == ("ready", None)


def test_a_preview_says_what_an_invoice_would_come_to_and_makes_nothing(stage: Stage) -> None:
    preview = stage.client.preview_invoice(stage.new_invoice(amounts=(12345, 655)))

    assert preview.currency_code == "EUR"
    assert [line.totals.subtotal for line in preview.details.lines] == [12345, 655]
    assert (preview.details.totals.subtotal, preview.details.totals.tax) == (13000, 2346 + 124)
    assert list(stage.simulator.transactions) == [stage.transaction_id]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"custom_data": {"bill_id": "91aa"}}, "carries its push id"),
        ({"items": ()}, "1 to 100 items"),
        ({"items": charge().items * 101}, "1 to 100 items"),
        ({"currency": "USD"}, "in its currency"),
        ({"purchase_order_number": "P" * 101}, "at most 100 characters"),
    ],
)
def test_an_invoice_that_cannot_be_right_is_not_made(stage: Stage, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stage.invoice(**changes)

    assert stage.operations == []


def in_crowns() -> dict[str, Any]:
    item = ChargeItem("n", "text", 99900, "SEK", "external", {"push_id": PUSH}, product_id=sample.PRODUCT_USAGE)
    return {"currency": "SEK", "items": (item,)}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (in_crowns(), "transaction_currency_code_not_valid_for_manual"),
        ({"payment_terms": PaymentTerms("fortnight", 1)}, "invalid_field"),
        ({"items": charge(amounts=(10,)).items}, "transaction_balance_less_than_charge_limit"),
        ({"address_id": "add_01hv0000000000000000000000"}, "not_found"),
    ],
)
def test_an_invoice_that_paddle_refuses_is_not_there(stage: Stage, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(errors.VendorRejected) as caught:
        stage.invoice(**changes)

    assert caught.value.code == code
    assert list(stage.simulator.transactions) == [stage.transaction_id]


def test_an_account_without_a_payment_link_needs_configuration(stage: Stage) -> None:
    stage.simulator.set_default_payment_link(None)

    with pytest.raises(errors.NeedsConfiguration, match="payment link"):
        stage.invoice()

    assert list(stage.simulator.transactions) == [stage.transaction_id]


@pytest.mark.parametrize(
    ("call", "operation", "permission"),
    [
        (Stage.invoice, "create transaction", "transaction.write"),
        (Stage.find_invoice, "list transactions", "transaction.read"),
    ],
)
def test_a_missing_permission_closes_what_needs_it(
    stage: Stage, call: Callable[[Stage], object], operation: str, permission: str
) -> None:
    stage.simulator.withhold_permission(permission)

    with pytest.raises(errors.VendorClosed) as caught:
        call(stage)

    assert caught.value.operation == operation


@pytest.mark.parametrize("fault", ["lose_answer", "error_after", "truncated", "html", "redirect", "error_before"])
def test_an_invoice_without_a_good_answer_is_open_and_asked_for_once(stage: Stage, fault: str) -> None:
    stage.simulator.fault("create transaction", fault)

    with pytest.raises(errors.OutcomeUnknown):
        stage.invoice()

    assert stage.operations == ["create transaction"]


# Finding


def test_an_absent_invoice_is_none_after_every_transaction_was_read(stage: Stage) -> None:
    stage.invoice(push_id=PUSH + "0")
    stage.charge("immediately")

    assert stage.find_invoice() is None
    assert stage.operations[-1:] == ["list transactions"]


def test_an_invoice_whose_answer_was_lost_is_found(stage: Stage) -> None:
    stage.simulator.fault("create transaction", "lose_answer")
    with pytest.raises(errors.OutcomeUnknown):
        stage.invoice(amounts=(12345, 655))

    found = stage.find_invoice()

    assert (found.transaction_id, found.transaction_status) == (list(stage.simulator.transactions)[-1], "billed")
    assert (found.where, found.amount, found.times, found.billed) == ("transactions", 13000, 1, True)


def test_a_look_up_behind_paddles_lag_finds_nothing_yet(stage: Stage) -> None:
    stage.simulator.fault("list transactions", "list_lag")
    stage.invoice()

    assert stage.find_invoice() is None
    assert stage.find_invoice().times == 1


@pytest.mark.parametrize("issue", [True, False])
def test_an_invoice_that_was_made_twice_is_told(stage: Stage, issue: bool) -> None:
    first = stage.invoice(issue=issue)
    stage.invoice()

    found = stage.find_invoice()

    assert (found.times, found.transaction_id) == (2, first.id)


def test_a_canceled_invoice_is_found_but_not_billed(stage: Stage) -> None:
    canceled = stage.client.cancel_transaction(stage.invoice().id)

    found = stage.find_invoice()

    assert (canceled.status, found.transaction_status, found.billed, found.times) == ("canceled", "canceled", False, 1)


def test_an_invoice_after_a_canceled_one_is_what_counts(stage: Stage) -> None:
    stage.client.cancel_transaction(stage.invoice().id)
    second = stage.invoice()

    found = stage.find_invoice()

    assert (found.transaction_id, found.billed, found.times) == (second.id, True, 1)


def test_an_invoice_is_looked_for_with_its_own_customer_only(stage: Stage) -> None:
    stage.invoice()

    other = stage.client.find_invoice(PUSH, customer_id="ctm_01hv0000000000000000000000", since=START)

    assert other is None


def test_every_page_is_read_for_an_invoice(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.TRANSACTIONS_PAGE", 2)
    stage.invoice()
    for number in range(4):
        stage.invoice(push_id=f"another-{number}")

    assert stage.find_invoice().times == 1
    assert stage.operations.count("list transactions") == 3


@pytest.mark.parametrize("fault", ["error_before", "truncated", "html", "too_many", "lose_answer", "redirect"])
def test_an_unread_page_is_no_answer_about_an_invoice(stage: Stage, fault: str) -> None:
    stage.simulator.fault("list transactions", fault)

    with pytest.raises(errors.Temporary):
        stage.find_invoice()


def test_a_little_more_is_read_than_since_the_push_was_written(stage: Stage) -> None:
    stage.invoice()
    now = stage.simulator.clock.now()

    assert stage.find_invoice(since=now + timedelta(minutes=4)) is not None
    assert stage.find_invoice(since=now + timedelta(minutes=6)) is None


def test_a_mark_that_a_buyer_could_set_makes_no_invoice(stage: Stage) -> None:
    made = stage.simulator.complete_checkout(
        email="b@buyer.example",
        items=[{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}],
        custom_data={"push_id": PUSH},
    )

    bought = stage.client.get_transaction(made["transaction_id"])
    found = stage.client.find_invoice(PUSH, customer_id=made["customer_id"], since=START)

    assert bought.custom_data == {"push_id": PUSH}
    assert (bought.invoiced_push_id, bought.push_ids, bought.amount_of(PUSH)) == (None, frozenset(), 0)
    assert found is None


# Canceling


@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
def test_a_cancel_without_an_answer_is_open(stage: Stage, fault: str) -> None:
    invoice = stage.invoice()
    stage.simulator.fault("update transaction", fault)

    with pytest.raises(errors.OutcomeUnknown):
        stage.client.cancel_transaction(invoice.id)

    assert stage.client.get_transaction(invoice.id).status == "canceled"


def test_what_is_paid_or_past_due_is_not_canceled(stage: Stage) -> None:
    paid, late = stage.invoice(), stage.invoice()
    stage.simulator.pay_transaction(paid.id)
    stage.simulator.let_fall_due(late.id)

    for invoice in (paid, late):
        with pytest.raises(errors.VendorRejected) as caught:
            stage.client.cancel_transaction(invoice.id)
        assert (caught.value.code, caught.value.policy) == ("transaction_immutable", "permanent")

    assert [stage.client.get_transaction(invoice.id).status for invoice in (paid, late)] == ["completed", "past_due"]


# What becomes of it


def of_invoice(stage: Stage, invoice: Transaction) -> list[tuple[str, str]]:
    """The events of an invoice with the status that each carries."""
    return [
        (event["event_type"].removeprefix("transaction."), event["data"]["status"])
        for event in stage.simulator.events
        if event["data"]["id"] == invoice.id
    ]


def test_an_invoice_is_paid_after_its_terms_and_every_step_is_told(stage: Stage) -> None:
    invoice = stage.invoice()
    stage.simulator.let_fall_due(invoice.id)

    stage.simulator.pay_transaction(invoice.id)

    assert of_invoice(stage, invoice) == [
        ("created", "ready"),
        ("ready", "ready"),
        ("billed", "billed"),
        ("past_due", "past_due"),
        ("updated", "past_due"),
        ("paid", "paid"),
        ("updated", "paid"),
        ("updated", "paid"),
        ("completed", "completed"),
    ]
    paid = Transaction.from_paddle(stage.simulator.events[-1]["data"])
    assert (paid.invoiced_push_id, paid.invoice_number) == (PUSH, invoice.invoice_number)
    assert [payment.status for payment in paid.payments] == ["captured"]
    assert paid.totals is not None
    assert (paid.totals.balance, paid.totals.discount) == (0, 0)


def test_an_invoice_canceled_in_the_dashboard_is_told(stage: Stage) -> None:
    invoice = stage.invoice()

    stage.simulator.cancel_transaction(invoice.id)

    assert of_invoice(stage, invoice)[-1] == ("canceled", "canceled")
    assert not stage.find_invoice().billed


def test_totals_after_adjustments_are_read(stage: Stage) -> None:
    invoice = stage.invoice()
    stage.refund(1000, action="credit", transaction_id=invoice.id)

    credited = stage.client.get_transaction(invoice.id)

    assert credited.adjusted_totals is not None
    assert (credited.adjusted_totals.subtotal, credited.adjusted_totals.total) == (11345, 14691 - 1190)
    assert credited.totals is not None
    assert (credited.totals.subtotal, credited.totals.credit, credited.totals.balance) == (12345, 1190, 13501)
