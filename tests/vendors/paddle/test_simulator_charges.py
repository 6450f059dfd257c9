"""One-time charges in the simulated Paddle: what is taken, what is refused, and what remains of each."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from integration_project.vendors.paddle.simulator import sample
from tests.vendors.paddle.account import CLOUD, Account, Json, charge, price

MANUAL = {
    "collection_mode": "manual",
    "billing_details": {
        "enable_checkout": False,
        "purchase_order_number": "PO-1",
        "additional_information": None,
        "payment_terms": {"interval": "day", "frequency": 14},
    },
}


@pytest.fixture
def account() -> Account:
    return Account()


# Taken


def test_a_charge_for_the_next_period_answers_the_subscription_and_waits(account: Account) -> None:
    subscription_id = account.subscribe()

    reply = account.charge(subscription_id)

    assert (reply.status, reply.data["id"]) == (201, subscription_id)
    assert len(account.simulator.transactions) == 1
    details = account.history(subscription_id, "subscription_one_off_charge_applied")
    assert [(entry["effective_from"], entry["transaction_id"]) for entry in details] == [("next_billing_period", None)]
    assert details[0]["items"][0]["price"]["custom_data"] == {"push_id": "bill-1"}
    assert details[0]["on_payment_failure"] == "prevent_change"
    assert account.event_types()[-1] == "subscription.updated"


def test_the_same_charge_twice_is_two_charges(account: Account) -> None:
    subscription_id = account.subscribe()

    account.charge(subscription_id)
    account.charge(subscription_id)

    assert [one.push_ids for one in account.simulator.charges] == [("bill-1",), ("bill-1",)]


def test_pending_charges_show_in_the_next_transaction_beside_the_recurring_part(account: Account) -> None:
    subscription_id = account.subscribe()
    account.charge(subscription_id)

    shown = account.get(f"/subscriptions/{subscription_id}?include=next_transaction,recurring_transaction_details")

    pending = shown.data["next_transaction"]["details"]["line_items"]
    recurring = shown.data["recurring_transaction_details"]["line_items"]
    assert [line["totals"]["subtotal"] for line in pending] == ["4900", "12345"]
    assert [line["totals"]["subtotal"] for line in recurring] == ["4900"]
    assert pending[1]["product"]["custom_data"] == {"push_id": "bill-1"}


def test_an_immediate_charge_is_a_transaction_of_its_own_paid_at_once(account: Account) -> None:
    subscription_id = account.subscribe(custom_data={"account": "harbour"})
    before = len(account.simulator.events)

    reply = account.charge(subscription_id, effective_from="immediately")

    transaction = list(account.simulator.transactions.values())[-1]
    assert reply.status == 201
    assert (transaction["origin"], transaction["status"]) == ("subscription_charge", "completed")
    assert transaction["details"]["totals"]["subtotal"] == "12345"
    assert transaction["details"]["totals"]["total"] == "14691"
    assert transaction["details"]["totals"]["balance"] == "0"
    assert transaction["items"][0]["price"]["custom_data"] == {"push_id": "bill-1"}
    assert transaction["custom_data"] == {"account": "harbour"}
    assert account.event_types(since=before) == [
        "transaction.created",
        "transaction.billed",
        "transaction.paid",
        "transaction.completed",
    ]
    applied = account.history(subscription_id, "subscription_one_off_charge_applied")
    attempted = account.history(subscription_id, "subscription_payment_attempted")
    assert applied[0]["transaction_id"] == attempted[0]["transaction_id"] == transaction["id"]
    assert attempted[0]["operation"] == "subscription_one_off_charge"


def test_tax_included_prices_keep_their_total(account: Account) -> None:
    subscription_id = account.subscribe()

    included = {"quantity": 1, "price": price("11900", tax_mode="internal")}
    account.charge(subscription_id, effective_from="immediately", items=[included])

    totals = list(account.simulator.transactions.values())[-1]["details"]["totals"]
    assert (totals["subtotal"], totals["tax"], totals["total"]) == ("10000", "1900", "11900")


def test_a_catalog_price_that_is_charged_once_is_taken_and_a_recurring_one_is_not(account: Account) -> None:
    subscription_id = account.subscribe()

    once = account.charge(subscription_id, items=[{"price_id": sample.PRICE_SETUP_EUR, "quantity": 2}])
    recurring = account.charge(subscription_id, items=[{"price_id": sample.PRICE_SEATS_EUR, "quantity": 2}])

    assert once.status == 201
    assert (recurring.refusal, recurring.fields) == ((400, "invalid_field"), ["items.0.price_id"])
    assert [one.subtotal for one in account.simulator.charges] == [20000]


def test_a_manual_subscription_is_billed_at_once(account: Account) -> None:
    subscription_id = account.subscribe()
    account.patch(f"/subscriptions/{subscription_id}", MANUAL)

    account.charge(subscription_id, effective_from="immediately")

    transaction = list(account.simulator.transactions.values())[-1]
    assert (transaction["status"], transaction["collection_mode"]) == ("billed", "manual")
    assert transaction["invoice_number"] == "901-20002"


# Previews


def test_a_preview_says_what_would_happen_and_creates_nothing(account: Account) -> None:
    subscription_id = account.subscribe()
    before = len(account.simulator.events)

    later = account.preview(subscription_id)
    now = account.preview(subscription_id, effective_from="immediately")

    assert later.status == 200
    assert "id" not in later.data
    assert later.data["immediate_transaction"] is None
    lines = later.data["next_transaction"]["details"]["line_items"]
    assert [(line["price_id"], line["product"]["id"]) for line in lines][1] == (None, None)
    assert lines[1]["product"]["custom_data"] == {"push_id": "bill-1"}
    assert "price" not in lines[1]
    assert now.data["immediate_transaction"]["details"]["totals"]["grand_total"] == "14691"
    assert now.data["update_summary"]["result"] == {"action": "charge", "amount": "14691", "currency_code": "EUR"}
    assert account.simulator.charges == []
    assert len(account.simulator.events) == before


# Refused by the body


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (charge(custom_data={"a": "b"}), ["custom_data"]),
        (charge(effective_from="tomorrow"), ["effective_from"]),
        (charge(items=[]), ["items"]),
        (charge(items=[{"quantity": 1}]), ["items.0"]),
        (charge(items=[{"quantity": 0, "price": price()}]), ["items.0.quantity"]),
        (charge(items=[{"quantity": 1, "price": price(), "price_id": sample.PRICE_SETUP_EUR}]), ["items.0"]),
        (charge(items=[{"quantity": 1, "price": price(name="x" * 51)}]), ["items.0.price.name"]),
        (charge(items=[{"quantity": 1, "price": price(description="x" * 201)}]), ["items.0.price.description"]),
        (charge(items=[{"quantity": 1, "price": price(description="x")}]), ["items.0.price.description"]),
        (charge(items=[{"quantity": 1, "price": price("-5")}]), ["items.0.price.unit_price.amount"]),
        (charge(items=[{"quantity": 1, "price": price("12.50")}]), ["items.0.price.unit_price.amount"]),
        (charge(items=[{"quantity": 1, "price": price(billing_cycle=None)}]), ["items.0.price.billing_cycle"]),
        (charge(items=[{"quantity": 1, "price": price(product_id=sample.PRODUCT_USAGE)}]), ["items.0.price"]),
        (charge(items=[{"quantity": 1, "price": price(tax_mode="net")}]), ["items.0.price.tax_mode"]),
        (
            charge(items=[{"quantity": 1, "price": price(product={"name": "x", "tax_category": "tools"})}]),
            ["items.0.price.product.tax_category"],
        ),
        (
            charge(
                items=[{"quantity": 1, "price": price(unit_price={"amount": "1000", "currency_code": "USD"})}],
            ),
            ["items.0.price.unit_price.currency_code"],
        ),
        (charge(on_payment_failure="shrug"), ["on_payment_failure"]),
    ],
)
def test_a_body_that_does_not_pass_names_its_fields_and_changes_nothing(
    account: Account, body: Json, fields: list[str]
) -> None:
    subscription_id = account.subscribe()

    replies = [account.post(f"/subscriptions/{subscription_id}/charge{end}", body) for end in ("", "/preview")]

    assert [reply.refusal for reply in replies] == [(400, "invalid_field")] * 2
    assert [reply.fields for reply in replies] == [fields] * 2
    assert account.simulator.charges == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": "1", "price": price()}, "items.0.quantity"),
        ({"quantity": 1, "price": price(unit_price={"amount": 5, "currency_code": "EUR"})}, "items.0.price.unit_price"),
        ({"quantity": 1, "price": price(custom_data=["x"])}, "items.0.price.custom_data"),
    ],
)
def test_a_wrong_json_type_is_a_bad_request(account: Account, change: Json, field: str) -> None:
    reply = account.charge(account.subscribe(), items=[change])

    assert reply.refusal == (400, "bad_request")
    assert reply.fields[0].startswith(field)


def test_a_price_twice_has_a_code_of_its_own(account: Account) -> None:
    twice = [{"price_id": sample.PRICE_SETUP_EUR, "quantity": 1}] * 2

    reply = account.charge(account.subscribe(), items=twice)

    assert reply.refusal == (400, "subscription_charge_duplicate_price_ids")


def test_recurring_pending_and_new_lines_never_exceed_a_hundred(account: Account) -> None:
    subscription_id = account.subscribe()

    def lines(count: int, start: int = 0) -> list[Any]:
        return [{"quantity": 1, "price": price(push_id=f"bill-{start + number}")} for number in range(count)]

    too_many = account.charge(subscription_id, items=lines(101))
    taken = account.charge(subscription_id, items=lines(90))
    beyond = account.charge(subscription_id, items=lines(10, start=90))
    just = account.charge(subscription_id, items=lines(9, start=90))

    code = (400, "subscription_maximum_number_of_line_items_reached")
    assert (too_many.refusal, taken.status, beyond.refusal, just.status) == (code, 201, code, 201)


def test_a_quantity_outside_the_prices_limits_is_refused(account: Account) -> None:
    subscription_id = account.subscribe()

    by_its_own = account.charge(subscription_id, items=[{"quantity": 2, "price": price()}])
    made = price()
    del made["quantity"]
    by_default = account.charge(subscription_id, items=[{"quantity": 101, "price": made}])

    assert by_its_own.refusal == by_default.refusal == (400, "subscription_quantity_not_valid")


def test_numbers_javascript_cannot_hold_are_refused_in_custom_data(account: Account) -> None:
    big = {"quantity": 1, "price": price(custom_data={"id": 2**60})}

    reply = account.charge(account.subscribe(), items=[big])

    assert reply.refusal == (400, "transaction_custom_data_numeric_value_too_large")


def test_an_archived_price_and_an_unapproved_tax_category_are_refused(account: Account) -> None:
    subscription_id = account.subscribe()
    account.patch(f"/prices/{sample.PRICE_SETUP_EUR}", {"status": "archived"})
    account.simulator.world.rules.approved_tax_categories = frozenset({"standard"})

    archived = account.charge(subscription_id, items=[{"price_id": sample.PRICE_SETUP_EUR, "quantity": 1}])
    unapproved = account.charge(subscription_id)

    assert archived.refusal == (400, "entity_archived")
    assert unapproved.refusal == (400, "subscription_product_tax_category_not_approved")


def test_receipt_data_is_refused_unless_enabled(account: Account) -> None:
    subscription_id = account.subscribe()

    refused = account.charge(subscription_id, receipt_data="March", effective_from="immediately")
    account.simulator.world.rules.receipt_data_enabled = True
    taken = account.charge(subscription_id, receipt_data="March", effective_from="immediately")

    assert (refused.refusal, taken.status) == ((400, "receipt_data_not_enabled"), 201)


# Refused by amount


@pytest.mark.parametrize("effective_from", ["next_billing_period", "immediately"])
def test_a_charge_below_the_minimum_is_refused_alone_and_in_words(account: Account, effective_from: str) -> None:
    subscription_id = account.subscribe(items=[{"price_id": sample.PRICE_CLOUD_USD, "quantity": 1}], country="US")
    small = price(unit_price={"amount": "69", "currency_code": "USD"})
    enough = price(unit_price={"amount": "70", "currency_code": "USD"})

    refused = account.charge(subscription_id, effective_from=effective_from, items=[{"quantity": 1, "price": small}])
    taken = account.charge(subscription_id, effective_from=effective_from, items=[{"quantity": 1, "price": enough}])

    assert refused.refusal == (400, "subscription_update_transaction_balance_less_than_charge_limit")
    assert refused.detail == "Transaction balance: 69, Minimum payment amount: 70, Currency code: USD"
    assert taken.status == 201


def test_tax_counts_toward_the_minimum_and_nothing_at_all_is_allowed(account: Account) -> None:
    subscription_id = account.subscribe()

    with_tax = account.charge(subscription_id, amount="55")
    nothing = account.charge(subscription_id, amount="0")

    assert (with_tax.status, nothing.status) == (201, 201)


# Refused by state


def test_states_that_take_no_charge_say_so_with_their_own_codes(account: Account) -> None:
    canceled, paused, past_due = account.subscribe(), account.subscribe(), account.subscribe()
    account.simulator.cancel(canceled)
    account.simulator.pause(paused)
    account.simulator.decline_payments(past_due, times=1)
    account.charge(past_due, effective_from="immediately", on_payment_failure="apply_change", push_id="declined")

    codes = [account.charge(one).refusal for one in (canceled, paused, past_due)]

    assert codes == [
        (400, "subscription_update_when_canceled"),
        (400, "subscription_not_active"),
        (400, "subscription_update_when_past_due"),
    ]
    assert [one.push_ids for one in account.simulator.charges] == [("declined",)]


def test_a_trial_takes_charges_unless_the_account_refuses_them(account: Account) -> None:
    subscription_id = account.subscribe(items=[{"price_id": sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}])

    taken = account.charge(subscription_id)
    account.simulator.world.rules.trialing_refused = True
    refused = account.charge(subscription_id)

    assert taken.data["status"] == "trialing"
    assert refused.refusal == (400, "subscription_update_when_trialing")


def test_half_an_hour_before_the_renewal_nothing_can_be_charged(account: Account) -> None:
    subscription_id = account.subscribe()

    account.simulator.clock_set("2026-04-01T08:30:00Z")
    just_in_time = account.charge(subscription_id)
    account.simulator.clock_move(seconds=1)
    locked = [account.charge(subscription_id), account.preview(subscription_id)]
    account.simulator.clock_move(minutes=30)
    processing = account.charge(subscription_id)
    account.simulator.run_renewals()
    after = account.charge(subscription_id)

    assert just_in_time.status == 201
    assert [reply.refusal for reply in locked] == [(409, "subscription_locked_renewal")] * 2
    assert processing.refusal == (409, "subscription_locked_processing")
    assert after.status == 201


def test_twenty_immediate_charges_an_hour_and_a_hundred_a_day(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.rate_limit.limit = None

    def charge_now(count: int) -> list[int]:
        return [account.charge(subscription_id, effective_from="immediately").status for _ in range(count)]

    first = charge_now(20)
    hour = account.charge(subscription_id, effective_from="immediately")
    later = account.charge(subscription_id)
    for _ in range(4):
        account.simulator.clock_move(hours=1)
        first += charge_now(20)
    account.simulator.clock_move(hours=1)
    day = account.charge(subscription_id, effective_from="immediately")
    account.simulator.clock_move(hours=19)
    next_day = account.charge(subscription_id, effective_from="immediately")

    assert set(first) == {201}
    assert hour.refusal == (429, "subscription_immediate_charge_hour_limit_exceeded")
    assert later.status == 201
    assert day.refusal == (429, "subscription_immediate_charge_24_hour_limit_exceeded")
    assert next_day.status == 201


# Declined


def test_a_declined_charge_that_is_prevented_leaves_a_canceled_transaction_only(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.decline_payments(subscription_id, times=1)
    before = len(account.simulator.events)

    reply = account.charge(subscription_id, effective_from="immediately")

    transaction = list(account.simulator.transactions.values())[-1]
    assert reply.refusal == (400, "subscription_payment_declined")
    assert account.simulator.charges == []
    assert account.simulator.subscriptions[subscription_id]["status"] == "active"
    assert (transaction["status"], transaction["payments"][0]["error_code"]) == ("canceled", "declined")
    assert transaction["items"][0]["price"]["custom_data"] == {"push_id": "bill-1"}
    assert account.history(subscription_id, "subscription_one_off_charge_applied") == []
    assert account.event_types(since=before) == [
        "transaction.created",
        "transaction.payment_failed",
        "transaction.canceled",
    ]


def test_a_declined_charge_that_is_applied_makes_the_subscription_past_due_until_it_is_paid(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.decline_payments(subscription_id, times=1, error_code="not_enough_balance")
    before = len(account.simulator.events)

    reply = account.charge(subscription_id, effective_from="immediately", on_payment_failure="apply_change")
    transaction = list(account.simulator.transactions.values())[-1]
    failed = (transaction["status"], transaction["details"]["totals"]["balance"], reply.data["status"])
    events = account.event_types(since=before)
    account.simulator.pay_transaction(transaction["id"])

    assert reply.status == 201
    assert failed == ("past_due", "14691", "past_due")
    assert transaction["payments"][-1]["error_code"] == "not_enough_balance"
    assert events == [
        "transaction.created",
        "transaction.billed",
        "transaction.payment_failed",
        "transaction.past_due",
        "subscription.past_due",
        "subscription.updated",
    ]
    assert transaction["status"] == "completed"
    assert account.simulator.subscriptions[subscription_id]["status"] == "active"


# At once


def test_charges_from_many_threads_are_all_kept(account: Account) -> None:
    subscription_id = account.subscribe()

    def charge_some(first: int) -> list[int]:
        return [account.charge(subscription_id, push_id=f"bill-{first + number}").status for number in range(10)]

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for some in pool.map(charge_some, range(0, 80, 10)) for status in some]

    assert statuses == [201] * 80
    assert {one.push_ids for one in account.simulator.charges} == {(f"bill-{number}",) for number in range(80)}
    assert len(account.history(subscription_id, "subscription_one_off_charge_applied")) == 80


# Faults


@pytest.mark.parametrize("in_history", [False, True])
def test_a_charge_may_be_accepted_and_never_billed(account: Account, in_history: bool) -> None:
    subscription_id = account.subscribe()
    account.simulator.fault("charge subscription", "accept_and_bill_nothing", history=in_history)

    reply = account.charge(subscription_id)
    (renewal,) = account.renew()

    assert reply.status == 201
    assert len(account.history(subscription_id, "subscription_one_off_charge_applied")) == int(in_history)
    assert [item["price"]["id"] for item in account.simulator.transactions[renewal]["items"]] == [CLOUD[0]["price_id"]]
    assert [one.billed for one in account.simulator.charges] == [False] * int(in_history)
