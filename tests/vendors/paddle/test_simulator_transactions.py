"""Transactions and adjustments made by API in the simulated Paddle."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from tests.vendors.paddle.account import Account, Json, Reply, price

DETAILS = {"payment_terms": {"interval": "day", "frequency": 30}}
ADDRESS = {"country_code": "DE", "first_line": "Hafenstr. 1", "city": "Hamburg", "postal_code": "20359"}


@pytest.fixture
def account() -> Account:
    return Account()


def buyer(account: Account, **changes: object) -> Json:
    customer = account.post("/customers", {"email": "ap@harbour.example", "name": "Harbour", **changes}).data["id"]
    address = account.post(f"/customers/{customer}/addresses", ADDRESS).data["id"]
    return {"customer_id": customer, "address_id": address}


def invoice(account: Account, ids: Json, **changes: object) -> Reply:
    body = {
        "items": [{"quantity": 1, "price": price()}],
        "collection_mode": "manual",
        "billing_details": DETAILS,
        "custom_data": {"push_id": "bill-1"},
        "status": "billed",
        **ids,
        **changes,
    }
    return account.post("/transactions", body)


# Creating


def test_an_invoice_is_billed_at_once_and_carries_its_marker(account: Account) -> None:
    reply = invoice(account, buyer(account))

    transaction = reply.data
    assert (reply.status, transaction["status"], transaction["origin"]) == (201, "billed", "api")
    assert transaction["custom_data"] == {"push_id": "bill-1"}
    assert (transaction["subscription_id"], transaction["invoice_number"]) == (None, "901-20001")
    assert transaction["billing_details"]["enable_checkout"] is False
    assert account.event_types()[-3:] == ["transaction.created", "transaction.ready", "transaction.billed"]


def test_a_checkout_to_come_is_draft_until_it_has_a_buyer(account: Account) -> None:
    items = [{"price_id": sample.PRICE_SETUP_EUR, "quantity": 1}]

    draft = account.post("/transactions", {"items": items}).data
    ready = account.patch(f"/transactions/{draft['id']}", buyer(account)).data

    assert (draft["status"], ready["status"]) == ("draft", "ready")
    assert draft["checkout"]["url"] == f"https://checkout.example/pay?_ptxn={draft['id']}"


def test_a_paid_checkout_with_a_recurring_item_begins_a_subscription(account: Account) -> None:
    items = [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}]
    made = account.post("/transactions", {"items": items, "custom_data": {"k": "v"}, **buyer(account)}).data

    subscription_id = account.simulator.pay_transaction(made["id"])

    assert subscription_id is not None
    assert account.simulator.subscriptions[subscription_id]["custom_data"] == {"k": "v"}
    assert account.get(f"/transactions/{made['id']}").data["subscription_id"] == subscription_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"billing_details": None}, "transaction_billing_details_object_required"),
        ({"billing_details": {"enable_checkout": True}}, "transaction_payment_terms_object_required"),
        ({"collection_mode": "automatic"}, "transaction_billing_details_must_be_null"),
        ({"status": "completed"}, "invalid_field"),
        ({"subscription_id": "sub_x"}, "invalid_field"),
        ({"items": [{"quantity": 2, "price": price()}]}, "transaction_item_quantity_out_of_range"),
        ({"items": [{"quantity": 1, "price": price("10")}]}, "transaction_balance_less_than_charge_limit"),
        ({"items": [{"quantity": 1, "price": price()}] * 101}, "transaction_maximum_number_of_line_items_reached"),
        (
            {"items": [{"quantity": 1, "price_id": sample.PRICE_SETUP_EUR}] * 2},
            "transaction_duplicate_price_ids",
        ),
        (
            {
                "currency_code": "SEK",
                "items": [
                    {"quantity": 1, "price": price(unit_price={"amount": "99999", "currency_code": "SEK"})},
                ],
            },
            "transaction_currency_code_not_valid_for_manual",
        ),
    ],
)
def test_an_impossible_invoice_is_refused_with_its_code_and_leaves_nothing(
    account: Account, changes: Json, code: str
) -> None:
    reply = invoice(account, buyer(account), **changes)

    assert reply.refusal == (400, code)
    assert account.simulator.transactions == {}


def test_billing_needs_a_named_customer_with_a_complete_address(account: Account) -> None:
    nameless = invoice(account, buyer(account, name=None))

    assert (nameless.refusal, nameless.fields) == ((400, "invalid_field"), ["customer_id"])


def test_without_a_default_payment_link_no_transaction_can_be_made(account: Account) -> None:
    account.simulator.world.rules.default_payment_link = None

    reply = invoice(account, buyer(account))

    assert reply.refusal == (400, "transaction_default_checkout_url_not_set")


# Changing


def test_a_billed_invoice_can_be_canceled_and_nothing_else(account: Account) -> None:
    made = invoice(account, buyer(account)).data
    path = f"/transactions/{made['id']}"

    changed = account.patch(path, {"custom_data": {"x": "y"}})
    mixed = account.patch(path, {"status": "canceled", "custom_data": {}})
    canceled = account.patch(path, {"status": "canceled"})
    again = account.patch(path, {"status": "canceled"})

    assert changed.refusal == (400, "transaction_immutable")
    assert mixed.refusal == (400, "invalid_field")
    assert canceled.data["status"] == "canceled"
    assert again.refusal == (400, "transaction_immutable")


def test_an_invoice_has_a_file_once_it_is_billed(account: Account) -> None:
    made = invoice(account, buyer(account)).data
    draft = account.post("/transactions", {"items": [{"price_id": sample.PRICE_SETUP_EUR, "quantity": 1}]}).data

    assert account.get(f"/transactions/{made['id']}/invoice").data["url"].endswith("901-20001.pdf")
    assert account.get(f"/transactions/{draft['id']}/invoice").refusal == (404, "not_found")


# Customers


def test_one_email_belongs_to_one_customer_and_the_refusal_names_it(account: Account) -> None:
    first = buyer(account)["customer_id"]
    other = account.post("/customers", {"email": "other@harbour.example"}).data["id"]

    created = account.post("/customers", {"email": "ap@harbour.example"})
    changed = account.patch(f"/customers/{other}", {"email": "ap@harbour.example"})

    assert created.refusal == changed.refusal == (409, "customer_already_exists")
    assert created.detail.endswith(first)


def test_an_address_of_somebody_else_is_not_found(account: Account) -> None:
    mine = buyer(account)
    other = account.post("/customers", {"email": "other@harbour.example"}).data["id"]

    assert account.get(f"/customers/{other}/addresses/{mine['address_id']}").refusal == (404, "not_found")
    assert account.get(f"/customers?email={'ap%40harbour.example'}").data[0]["id"] == mine["customer_id"]
    assert account.get("/customers?search=other").data[0]["id"] == other


# Adjustments


def completed(account: Account) -> Json:
    subscription_id = account.subscribe()
    account.charge(subscription_id, effective_from="immediately")
    return list(account.simulator.transactions.values())[-1]


def refund(transaction: Json, amount: str | None = None, **changes: object) -> Json:
    line = transaction["details"]["line_items"][0]["id"]
    item = (
        {"item_id": line, "type": "full"} if amount is None else {"item_id": line, "type": "partial", "amount": amount}
    )
    body = {"action": "refund", "transaction_id": transaction["id"], "reason": "bill-1 corrected", "items": [item]}
    return {**body, **changes}


def test_a_refund_waits_for_approval_and_blocks_another(account: Account) -> None:
    transaction = completed(account)

    made = account.post("/adjustments", refund(transaction, "1190"))
    second = account.post("/adjustments", refund(transaction, "1190"))
    settled = account.simulator.settle_adjustments()

    assert (made.status, made.data["status"]) == (201, "pending_approval")
    assert made.data["totals"]["subtotal"] == "1000"
    assert made.data["totals"]["tax"] == "190"
    assert made.data["subscription_id"] == transaction["subscription_id"]
    assert second.refusal == (400, "adjustment_pending_refund_request")
    assert settled == [made.data["id"]]
    assert account.get(f"/adjustments?transaction_id={transaction['id']}").data[0]["status"] == "approved"
    assert transaction["details"]["adjusted_totals"]["subtotal"] == "11345"
    assert "adjustment.updated" in account.event_types()


def test_tax_is_added_to_an_amount_without_it(account: Account) -> None:
    made = account.post("/adjustments", refund(completed(account), "1000", tax_mode="external"))

    assert (made.data["totals"]["subtotal"], made.data["totals"]["total"]) == ("1000", "1190")


@pytest.mark.parametrize(
    ("amount", "changes", "code"),
    [
        ("0", {}, "adjustment_amount_cannot_be_zero"),
        ("99999999", {}, "adjustment_amount_above_remaining_allowed"),
        (None, {"type": "full"}, "adjustment_invalid_combination_of_types"),
        (None, {"type": "full", "items": None, "tax_mode": "internal"}, "adjustment_tax_mode_not_allowed"),
        (None, {"action": "credit"}, "adjustment_transaction_invalid_status_for_credit"),
        (None, {"items": None}, "invalid_field"),
        (
            None,
            {"items": [{"item_id": "txnitm_01hv0000000000000000000000", "type": "full"}]},
            "adjustment_transaction_item_invalid",
        ),
    ],
)
def test_an_impossible_adjustment_is_refused_with_its_code(
    account: Account, amount: str | None, changes: Json, code: str
) -> None:
    reply = account.post("/adjustments", refund(completed(account), amount, **changes))

    assert reply.refusal == (400, code)
    assert account.simulator.adjustments == {}


def test_what_is_fully_refunded_cannot_be_refunded_again_unless_it_was_rejected(account: Account) -> None:
    transaction = completed(account)
    account.post("/adjustments", refund(transaction))
    account.simulator.settle_adjustments(reject=True)
    account.post("/adjustments", refund(transaction, type="full", items=None))
    account.simulator.settle_adjustments()

    again = account.post("/adjustments", refund(transaction))

    assert again.refusal == (400, "adjustment_transaction_item_has_already_been_fully_adjusted")
    assert [entry["status"] for entry in account.simulator.adjustments.values()] == ["rejected", "approved"]


def test_a_credit_lowers_an_open_invoice_and_a_full_one_completes_it(account: Account) -> None:
    transaction = invoice(account, buyer(account)).data
    whole = int(transaction["details"]["totals"]["total"])

    part = account.post("/adjustments", refund(transaction, "1190", action="credit"))
    owed = account.get(f"/transactions/{transaction['id']}").data["details"]["totals"]["balance"]
    rest = account.post("/adjustments", refund(transaction, action="credit"))
    end = account.get(f"/transactions/{transaction['id']}").data

    assert (part.data["status"], owed) == ("approved", str(whole - 1190))
    assert rest.status == 201
    assert (end["status"], end["details"]["totals"]["balance"]) == ("completed", "0")


def test_a_refund_of_something_unpaid_is_refused(account: Account) -> None:
    transaction = invoice(account, buyer(account)).data

    reply = account.post("/adjustments", refund(transaction))

    assert reply.refusal == (400, "adjustment_transaction_invalid_status_for_refund")
