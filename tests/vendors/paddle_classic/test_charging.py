"""What billing does at Classic, through our client: modifiers, one-off charges, the list of payments, refunds."""

from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import ClassicPaymentEntry, Modifier, OneOffCharge
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from tests.vendors.paddle_classic.billing import PUSH, charge, modify
from tests.vendors.paddle_classic.opening import NOW

# --- Finding a push again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "is_found"),
    [
        ("x-1", True),
        ("Usage [x-1]", True),
        ("Usage #x-1", True),
        ("(x-1) usage", True),
        ("Usage: x-1.", True),
        ("push=x-1", True),
        ("x-10 and x-1", True),
        ("Usage [x-10]", False),
        ("Usage [x-1-2]", False),
        ("Usage [ax-1]", False),
        ("Usage [a-x-1]", False),
        ("Usage [x-1.5-1]", False),
        ("Usage [a.x-1]", False),
        ("Usage [x-1ä]", False),
        ("Usage [X-1]", False),
        ("Usage x - 1", False),
        ("", False),
    ],
)
def test_a_push_is_found_by_its_whole_id_alone(
    client: ClassicClient, subscription_id: str, description: str, is_found: bool
) -> None:
    modifier_id = modify(client, subscription_id, description=description)

    found = client.find_modifiers("x-1", subscription_id=subscription_id)

    assert [modifier.id for modifier in found] == ([modifier_id] if is_found else [])


def test_an_id_is_no_pattern() -> None:
    modifier = Modifier("1", "2", Decimal(1), "EUR", False, "Usage [xa1-1]")

    assert not modifier.carries("x.1-1")


def test_a_push_without_an_id_is_never_looked_for(simulator: ClassicSimulator, client: ClassicClient) -> None:
    with pytest.raises(ValueError, match="a push has an id"):
        client.find_modifiers("", subscription_id="1")

    assert simulator.calls == []


def test_a_push_is_found_on_the_last_page_and_every_time_it_is_there(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle_classic.simulator.guesses.USERS_PAGE", 2)
    other = simulator.subscribe(email="b@customer.example")["subscription_id"]
    modify(client, other)
    first = modify(client, subscription_id)
    for number in range(5):
        modify(client, subscription_id, description=f"[other-{number}]")
    last = modify(client, subscription_id)
    simulator.calls.clear()

    found = client.find_modifiers(PUSH, subscription_id=subscription_id)

    assert [modifier.id for modifier in found] == [first, last]
    assert found[0].amount == Decimal("12.25")
    assert [call.operation for call in simulator.calls] == ["list modifiers"] * 5  # 2, 2, 2, 1 and none


def test_a_look_of_which_one_page_failed_proves_nothing(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    modify(client, subscription_id)
    simulator.fault("list modifiers", "error_before")

    with pytest.raises(errors.Temporary):
        client.find_modifiers(PUSH, subscription_id=subscription_id)


def test_modifiers_whose_pages_repeat_end_in_an_error(client: ClassicClient, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        b'{"success": true, "response": [{"modifier_id": 1, "subscription_id": 2, "amount": "1.000", '
        b'"currency": "EUR", "is_recurring": 0, "description": null}]}'
    )
    monkeypatch.setattr("integration_project.vendors.simulation.wire.Answer.encoded", lambda self: page)

    with pytest.raises(errors.Temporary, match="the same page came twice"):
        client.list_modifiers(subscription_id="2")


def test_a_modifier_that_lists_do_not_show_yet_is_not_found_and_later_is(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    simulator.fault("list modifiers", "list_lag", times=1)
    modifier_id = modify(client, subscription_id)

    assert client.find_modifiers(PUSH, subscription_id=subscription_id) == ()
    assert [each.id for each in client.find_modifiers(PUSH, subscription_id=subscription_id)] == [modifier_id]


def test_a_collected_push_is_no_longer_among_the_modifiers(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    modify(client, subscription_id)
    simulator.pay(subscription_id)

    assert client.find_modifiers(PUSH, subscription_id=subscription_id) == ()


# --- Modifiers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["12.25", "-4.50", "1234567.89", "0.01"])
def test_a_modifier_is_for_one_payment_and_exact(client: ClassicClient, subscription_id: str, amount: str) -> None:
    client.create_modifier(subscription_id, amount=Decimal(amount), description="Usage")

    (modifier,) = client.list_modifiers(subscription_id=subscription_id)
    assert (modifier.amount, modifier.is_recurring, modifier.currency) == (Decimal(amount), False, "EUR")


def test_gone_and_paid_are_told_apart_when_a_modifier_is_taken_back(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    gone, paid = modify(client, subscription_id), modify(client, subscription_id)
    client.delete_modifier(gone)
    simulator.pay(subscription_id)

    with pytest.raises(errors.NotFound) as not_there:
        client.delete_modifier(gone)
    with pytest.raises(errors.Conflict) as collected:
        client.delete_modifier(paid)

    assert (not_there.value.code, collected.value.code) == ("123", "124")


def test_taking_back_may_be_repeated_after_a_lost_answer(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    modifier_id = modify(client, subscription_id)
    simulator.fault("delete modifier", "lose_answer")

    with pytest.raises(errors.Temporary):
        client.delete_modifier(modifier_id)
    with pytest.raises(errors.NotFound):
        client.delete_modifier(modifier_id)

    assert simulator.memory.modifiers == {}


def test_a_description_that_might_lose_its_end_is_not_sent(simulator: ClassicSimulator, client: ClassicClient) -> None:
    with pytest.raises(ValueError, match="at most 255"):
        client.create_modifier("1", amount=Decimal(1), description="x" * 256)

    assert simulator.calls == []


# --- One-off charges --------------------------------------------------------------------------------------------------


def test_a_charge_is_collected_at_once_and_listed_as_one_off(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    made = charge(client, subscription_id)

    (listed,) = client.list_payments(subscription_id=subscription_id, is_one_off_charge=True)
    plain = list(client.list_payments(subscription_id=subscription_id, is_one_off_charge=False, is_paid=True))
    assert (made.subscription_id, made.amount, made.currency) == (subscription_id, Decimal("12.25"), "EUR")
    assert (made.payment_date, made.status) == (NOW.date(), "success")
    assert (listed.id, listed.amount, listed.is_paid) == (made.invoice_id, Decimal("12.25"), True)
    assert (listed.order_id, listed.receipt_url) == (made.order_id, made.receipt_url)
    assert [payment.amount for payment in plain] == [Decimal("29.00")]


def test_a_charge_is_sent_as_a_form_with_both_fields(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    client.charge(subscription_id, amount=Decimal("1E+2"), name="Überzug & mehr")

    call = simulator.calls[-1]
    assert call.path == f"/api/2.0/subscription/{subscription_id}/charge"
    assert call.body.startswith(b"amount=100&charge_name=%C3%9Cberzug+%26+mehr&")
    assert [payment.name for payment in simulator.memory.payments.values()] == ["", "Überzug & mehr"]


@pytest.mark.parametrize(
    ("amount", "name"), [("1", ""), ("1", "x" * 51), ("0", "x"), ("-1", "x"), ("Infinity", "x"), ("-Infinity", "x")]
)
def test_a_charge_that_cannot_be_is_not_sent(
    simulator: ClassicSimulator, client: ClassicClient, amount: str, name: str
) -> None:
    with pytest.raises(ValueError, match=r"a charge|an amount"):
        client.charge("1", amount=Decimal(amount), name=name)

    assert simulator.calls == []


@pytest.mark.parametrize("subscription_id", ["", ".", ".."])
def test_an_id_that_would_lead_elsewhere_is_not_sent(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    with pytest.raises(ValueError, match="an id is needed"):
        charge(client, subscription_id)

    assert simulator.calls == []


def test_an_id_with_a_slash_stays_an_id(simulator: ClassicSimulator, client: ClassicClient) -> None:
    with pytest.raises(errors.OutcomeUnknown):
        charge(client, "../subscription/users?x")

    assert [call.operation for call in simulator.calls] == [None]


def test_a_slow_charge_is_waited_for_longer_than_other_calls(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    simulator.fault("charge subscription", "slow", seconds=60)
    simulator.fault("create modifier", "slow", seconds=60)

    made = charge(client, subscription_id)
    with pytest.raises(errors.OutcomeUnknown):
        modify(client, subscription_id)

    assert made.amount == Decimal("12.25")


def test_an_older_answer_to_a_charge_names_its_order_in_the_receipt() -> None:
    made = OneOffCharge.from_classic(
        {
            "invoice_id": 10,
            "subscription_id": 1,
            "amount": "10.000",
            "currency": "USD",
            "payment_date": "2026-03-10",
            "receipt_url": "https://my.vendor.example/receipt/15-10/3-chre8",
        }
    )

    assert (made.order_id, made.status, made.amount) == ("15-10", None, Decimal(10))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"order_id": 77}, "77"),
        ({"order_id": "77-8"}, "77-8"),
        ({"order_id": "", "receipt_url": "https://x.example/receipt/5-6/7"}, "5-6"),
        ({"receipt_url": "https://x.example/receipts"}, None),
        ({"receipt_url": None}, None),
    ],
)
def test_the_order_of_a_payment_is_read_where_it_is_said(said: dict[str, Any], expected: str | None) -> None:
    entry = {
        "id": 1,
        "subscription_id": 2,
        "amount": 3,
        "currency": "EUR",
        "payout_date": "2026-03-10",
        "is_paid": 1,
        "is_one_off_charge": False,
    }

    assert ClassicPaymentEntry.from_classic({**entry, **said}).order_id == expected
