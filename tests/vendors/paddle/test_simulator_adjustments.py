"""Refunds and credits in the simulated Paddle."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import ControlError
from tests.vendors.paddle.account import Account, Json, Reply
from tests.vendors.paddle.invoicing import buyer, invoice


@pytest.fixture
def account() -> Account:
    return Account()


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


@pytest.mark.parametrize(("tax_mode", "amount"), [("external", "1002"), ("external", "1003"), ("internal", "1003")])
def test_many_small_refunds_come_to_exactly_the_line_and_not_a_cent_more(
    account: Account, tax_mode: str, amount: str
) -> None:
    transaction = completed(account)

    def refunded(minor: int | str) -> Reply:
        part = account.post("/adjustments", refund(transaction, str(minor), tax_mode=tax_mode))
        account.simulator.settle_adjustments()
        return part

    for _ in range(12):
        refunded(amount)
    rest = line_left(account, transaction)
    most = rest["subtotal"] if tax_mode == "external" else rest["subtotal"] + rest["tax"]
    above = refunded(most + 1)
    refunded(most - 1)
    least = line_left(account, transaction)
    last = refunded(1)

    assert above.refusal == (400, "adjustment_amount_above_remaining_allowed")
    assert min(rest["subtotal"], rest["tax"]) > 0
    assert min(least["subtotal"], least["tax"]) >= 0
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


def test_a_full_refund_leaves_out_a_line_that_is_refunded_already(account: Account) -> None:
    items = [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}, {"price_id": sample.PRICE_SEATS_EUR, "quantity": 3}]
    account.subscribe(items=items)
    (transaction,) = account.simulator.transactions.values()
    account.simulator.approve_refund(account.post("/adjustments", refund(transaction)).data["id"])

    whole = account.post("/adjustments", refund(transaction, type="full", items=None))

    second = transaction["details"]["line_items"][1]["id"]
    assert [(item["item_id"], item["totals"]["subtotal"]) for item in whole.data["items"]] == [(second, "2700")]


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
