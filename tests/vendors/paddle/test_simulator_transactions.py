"""Transactions and adjustments made by API in the simulated Paddle."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import ControlError
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
    assert account.event_types()[-2:] == ["transaction.updated", "transaction.ready"]
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
        ({"collection_mode": "automatic", "billing_details": None}, "invalid_field"),
        ({"custom_data": {"push_id": 2**53}}, "transaction_custom_data_numeric_value_too_large"),
        ({"billing_details": {**DETAILS, "purchase_order_number": "x" * 101}}, "invalid_field"),
        ({"billing_period": {"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-02-01T00:00:00Z"}}, "invalid_field"),
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
    homeless = invoice(account, {**buyer(account, email="h@harbour.example"), "address_id": None})

    assert (nameless.refusal, nameless.fields) == ((400, "invalid_field"), ["customer_id"])
    assert (homeless.refusal, homeless.fields) == ((400, "invalid_field"), ["address_id"])
    assert account.simulator.transactions == {}


def test_nobody_archived_is_billed(account: Account) -> None:
    ids = buyer(account)
    account.patch(f"/customers/{ids['customer_id']}", {"status": "archived"})

    assert invoice(account, ids).refusal == (400, "entity_archived")


def test_a_preview_is_a_transaction_without_any_id(account: Account) -> None:
    ids = buyer(account)

    reply = account.post("/transactions/preview", {"items": [{"quantity": 1, "price": price()}], **ids})

    shown = reply.data
    assert (reply.status, shown["currency_code"], shown["customer_id"]) == (200, "EUR", ids["customer_id"])
    assert (shown["items"][0]["price"]["id"], shown["details"]["line_items"][0]["price_id"]) == (None, None)
    assert shown["details"]["totals"]["total"] == "14691"
    assert "id" not in shown
    assert account.simulator.transactions == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"items": []}, "invalid_field"),
        ({"items": [{"quantity": 1, "price": price("10")}]}, "transaction_balance_less_than_charge_limit"),
        ({"items": [{"quantity": 2, "price": price()}]}, "transaction_item_quantity_out_of_range"),
        ({"collection_mode": "manual"}, "invalid_field"),
        ({"billing_details": DETAILS}, "invalid_field"),
        ({"currency_code": "USD"}, "invalid_field"),
        ({"customer_id": "ctm_01hv0000000000000000000000"}, "not_found"),
    ],
)
def test_a_preview_refuses_what_cannot_be_billed(account: Account, changes: Json, code: str) -> None:
    reply = account.post("/transactions/preview", {"items": [{"quantity": 1, "price": price()}], **changes})

    assert reply.refusal[1] == code


def test_a_preview_needs_no_payment_link_and_only_the_permission_to_read(account: Account) -> None:
    account.simulator.set_default_payment_link(None)
    account.simulator.withhold_permission("transaction.write")

    preview = account.post("/transactions/preview", {"items": [{"quantity": 1, "price": price()}]})
    made = invoice(account, buyer(account))

    assert (preview.status, made.refusal) == (200, (403, "forbidden"))


def test_without_a_default_payment_link_no_transaction_can_be_made(account: Account) -> None:
    account.simulator.set_default_payment_link(None)

    reply = invoice(account, buyer(account))

    assert reply.refusal == (400, "transaction_default_checkout_url_not_set")


def waiting(account: Account) -> Json:
    """An invoice that is not issued yet."""
    body = {"items": [{"quantity": 1, "price": price()}], "collection_mode": "manual", "billing_details": DETAILS}
    made: Json = account.post("/transactions", {**body, **buyer(account)}).data
    return made


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


def test_a_draft_is_taxed_where_its_address_is_and_keeps_its_lines(account: Account) -> None:
    draft = account.post("/transactions", {"items": [{"quantity": 1, "price": price()}]}).data

    ready = account.patch(f"/transactions/{draft['id']}", buyer(account)).data

    assert draft["details"]["totals"]["tax"] == "2469"
    assert ready["details"]["totals"]["tax"] == "2346"
    assert [line["id"] for line in ready["details"]["line_items"]] == [
        line["id"] for line in draft["details"]["line_items"]
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"billing_details": None}, "transaction_billing_details_object_required"),
        ({"collection_mode": "automatic"}, "transaction_billing_details_must_be_null"),
        ({"address_id": None, "status": "billed"}, "invalid_field"),
        ({"currency_code": "GBP"}, "invalid_field"),
        ({"business_id": "biz_01hv0000000000000000000000"}, "not_found"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(account: Account, changes: Json, code: str) -> None:
    made = waiting(account)
    events = len(account.simulator.events)

    reply = account.patch(f"/transactions/{made['id']}", {"custom_data": {"x": "y"}, **changes})

    assert reply.refusal[1] == code
    assert account.get(f"/transactions/{made['id']}").data == made
    assert len(account.simulator.events) == events


def test_an_invoice_that_waits_is_issued_by_a_change(account: Account) -> None:
    made = waiting(account)
    terms = {"billing_details": {"purchase_order_number": "PO 7"}, "status": "billed"}

    issued = account.patch(f"/transactions/{made['id']}", terms).data

    assert (made["status"], issued["status"], issued["invoice_number"]) == ("ready", "billed", "901-20001")
    assert issued["billing_details"]["payment_terms"] == DETAILS["payment_terms"]
    assert issued["billing_details"]["purchase_order_number"] == "PO 7"


def test_only_an_invoice_that_waits_for_its_payment_falls_due(account: Account) -> None:
    billed = invoice(account, buyer(account)).data["id"]
    account.simulator.let_fall_due(billed)

    with pytest.raises(ControlError, match="past_due"):
        account.simulator.let_fall_due(billed)

    assert account.event_types()[-1] == "transaction.past_due"


def test_what_is_past_due_is_paid_and_not_canceled(account: Account) -> None:
    billed = invoice(account, buyer(account)).data["id"]
    account.simulator.let_fall_due(billed)

    with pytest.raises(ControlError, match="past_due"):
        account.simulator.cancel_transaction(billed)
    account.simulator.pay_transaction(billed)

    assert account.simulator.transactions[billed]["status"] == "completed"


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


def line_left(account: Account, transaction: Json) -> Json:
    """What all adjustments that stand have left of the first line."""
    line = transaction["details"]["line_items"][0]
    taken = [
        item["totals"]
        for entry in account.simulator.adjustments.values()
        if entry["status"] in ("approved", "pending_approval")
        for item in entry["items"]
    ]
    return {name: int(line["totals"][name]) - sum(int(each[name]) for each in taken) for name in ("subtotal", "tax")}


@pytest.mark.parametrize("tax_mode", ["external", "internal"])
def test_many_small_refunds_come_to_exactly_the_line_and_not_a_cent_more(account: Account, tax_mode: str) -> None:
    transaction = completed(account)
    for _ in range(12):
        part = account.post("/adjustments", refund(transaction, "1003", tax_mode=tax_mode))
        account.simulator.approve_refund(part.data["id"])
    rest = line_left(account, transaction)
    least = rest["subtotal"] if tax_mode == "external" else rest["subtotal"] + rest["tax"]

    above = account.post("/adjustments", refund(transaction, str(least + 1), tax_mode=tax_mode))
    last = account.post("/adjustments", refund(transaction, str(least), tax_mode=tax_mode))

    assert rest["subtotal"] > 0
    assert rest["tax"] >= 0
    assert above.refusal == (400, "adjustment_amount_above_remaining_allowed")
    assert last.status == 201
    assert line_left(account, transaction) == {"subtotal": 0, "tax": 0}


def test_one_line_named_twice_gives_no_more_than_it_has(account: Account) -> None:
    transaction = completed(account)
    line = transaction["details"]["line_items"][0]["id"]
    most = {"item_id": line, "type": "partial", "amount": "10000"}

    twice = account.post("/adjustments", refund(transaction, items=[most, most]))
    whole = account.post("/adjustments", refund(transaction, items=[{"item_id": line, "type": "full"}] * 2))

    assert twice.refusal == (400, "adjustment_amount_above_remaining_allowed")
    assert whole.refusal == (400, "adjustment_transaction_item_has_already_been_fully_adjusted")
    assert account.simulator.adjustments == {}


def test_a_full_refund_takes_what_earlier_ones_left(account: Account) -> None:
    transaction = completed(account)
    account.simulator.approve_refund(account.post("/adjustments", refund(transaction, "1190")).data["id"])

    whole = account.post("/adjustments", refund(transaction, type="full", items=None))

    assert whole.data["totals"]["subtotal"] == "11345"
    assert line_left(account, transaction) == {"subtotal": 0, "tax": 0}


def test_refunds_are_decided_one_by_one(account: Account) -> None:
    first, second = completed(account), completed(account)
    kept = account.post("/adjustments", refund(first, "1190")).data["id"]
    dropped = account.post("/adjustments", refund(second, "1190")).data["id"]
    seen = len(account.simulator.events)

    account.simulator.approve_refund(kept)
    account.simulator.reject_refund(dropped)
    with pytest.raises(ControlError, match="approved"):
        account.simulator.reject_refund(kept)

    assert [account.simulator.adjustments[one]["status"] for one in (kept, dropped)] == ["approved", "rejected"]
    assert account.event_types(since=seen) == ["adjustment.updated", "transaction.updated", "adjustment.updated"]
    assert [each["details"]["adjusted_totals"]["subtotal"] for each in (first, second)] == ["11345", "12345"]


def test_a_credit_is_still_known_when_the_rest_of_the_invoice_is_paid(account: Account) -> None:
    transaction = invoice(account, buyer(account)).data
    account.post("/adjustments", refund(transaction, "1190", action="credit"))

    account.simulator.pay_transaction(transaction["id"])

    paid = account.get(f"/transactions/{transaction['id']}").data
    names = ("total", "credit", "grand_total", "balance")
    assert [paid["details"]["totals"][name] for name in names] == ["14691", "1190", "13501", "0"]
    assert [payment["amount"] for payment in paid["payments"]] == ["13501"]
    assert paid["details"]["adjusted_totals"]["total"] == "13501"


def test_a_credit_is_possible_past_due_and_not_after_payment(account: Account) -> None:
    transaction = invoice(account, buyer(account)).data
    account.simulator.let_fall_due(transaction["id"])

    credit = account.post("/adjustments", refund(transaction, "1190", action="credit"))
    account.simulator.pay_transaction(transaction["id"])
    late = account.post("/adjustments", refund(transaction, "1190", action="credit"))

    assert (credit.status, credit.data["status"]) == (201, "approved")
    assert late.refusal == (400, "adjustment_transaction_invalid_status_for_credit")


def test_a_credit_that_is_reversed_is_owed_again(account: Account) -> None:
    transaction = invoice(account, buyer(account)).data
    credit = account.post("/adjustments", refund(transaction, "1190", action="credit")).data
    seen = len(account.simulator.events)

    reversal_id = account.simulator.reverse_credit(credit["id"])

    reversal = account.simulator.adjustments[reversal_id]
    assert account.simulator.adjustments[credit["id"]]["status"] == "reversed"
    assert (reversal["action"], reversal["status"]) == ("credit_reverse", "approved")
    assert reversal["totals"] == credit["totals"]
    assert account.event_types(since=seen) == ["adjustment.created", "adjustment.updated", "transaction.updated"]
    assert account.simulator.transactions[transaction["id"]]["details"]["totals"]["balance"] == "14691"
    assert account.post("/adjustments", refund(transaction, "14691", action="credit")).status == 201
