"""Changes of subscriptions and people in the simulated Paddle, by the API and by the controls, and their events."""

from typing import Any

import pytest

from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import ControlError
from tests.vendors.paddle.account import CLOUD, Account, Json

BOTH = [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}, {"price_id": sample.PRICE_SEATS_EUR, "quantity": 3}]
DOLLARS = [{"price_id": sample.PRICE_CLOUD_USD, "quantity": 1}, {"price_id": sample.PRICE_SEATS_USD, "quantity": 3}]
NEVER_BILL = {"proration_billing_mode": "do_not_bill"}


@pytest.fixture
def account() -> Account:
    return Account()


def happened(account: Account, since: int) -> list[str]:
    return account.event_types(since=since)


def bought(account: Account, subscription_id: str) -> list[tuple[str, int]]:
    return [
        (item["price"]["id"], item["quantity"]) for item in account.simulator.subscriptions[subscription_id]["items"]
    ]


def newcomer(account: Account) -> Json:
    """Another customer, with an address and a business."""
    customer = account.post("/customers", {"email": "new@pier.example", "name": "Pia Pier"}).data["id"]
    address = account.post(f"/customers/{customer}/addresses", {"country_code": "FR"}).data["id"]
    business = account.post(f"/customers/{customer}/businesses", {"name": "Pier SARL"}).data["id"]
    return {"customer_id": customer, "address_id": address, "business_id": business}


# Another buyer.


def test_a_subscription_moves_to_another_customer_with_their_address_and_business(account: Account) -> None:
    subscription_id = account.subscribe(business={"name": "Harbour Tools"})
    people = newcomer(account)
    before = len(account.simulator.events)
    account.simulator.clock_move(hours=1)

    moved = account.patch(f"/subscriptions/{subscription_id}", people).data

    assert {name: moved[name] for name in people} == people
    assert moved["updated_at"] == "2026-03-01T10:00:00.000000Z"
    assert happened(account, before) == ["subscription.updated"]
    assert account.simulator.events[-1]["data"]["customer_id"] == people["customer_id"]


@pytest.mark.parametrize(
    ("left_out", "field"), [("customer_id", "address_id"), ("address_id", "address_id"), ("business_id", "business_id")]
)
def test_address_and_business_must_be_the_customers(account: Account, left_out: str, field: str) -> None:
    subscription_id = account.subscribe(business={"name": "Harbour Tools"})
    people = newcomer(account)
    before, kept = len(account.simulator.events), dict(account.simulator.subscriptions[subscription_id])
    sent = {name: value for name, value in people.items() if name != left_out}

    refused = account.patch(f"/subscriptions/{subscription_id}", sent)

    assert (refused.refusal, refused.fields) == ((400, "invalid_field"), [field])
    assert account.simulator.subscriptions[subscription_id] == kept
    assert happened(account, before) == []


def test_a_business_is_taken_off(account: Account) -> None:
    subscription_id = account.subscribe(business={"name": "Harbour Tools"})

    assert account.patch(f"/subscriptions/{subscription_id}", {"business_id": None}).data["business_id"] is None


def test_a_person_moves_a_subscription_to_somebody_new(account: Account) -> None:
    subscription_id = account.subscribe()
    before = len(account.simulator.events)

    people = account.simulator.move_to_customer(
        subscription_id, email="new@pier.example", name="Pia Pier", business={"name": "Pier SARL"}, country="FR"
    )

    subscription = account.simulator.subscriptions[subscription_id]
    assert {name: subscription[name] for name in people} == people
    assert account.simulator.customers[people["customer_id"]]["name"] == "Pia Pier"
    assert happened(account, before) == [
        "customer.created",
        "address.created",
        "business.created",
        "subscription.updated",
    ]


def test_a_person_moves_a_subscription_to_somebody_known(account: Account) -> None:
    subscription_id = account.subscribe()
    known = account.simulator.complete_checkout(email="b@pier.example", items=CLOUD)["customer_id"]

    assert account.simulator.move_to_customer(subscription_id, email="b@pier.example")["customer_id"] == known


@pytest.mark.parametrize("wrong", [{"email": "nobody"}, {"country": "Germany"}, {"business": {}}])
def test_nobody_moves_in_with_what_paddle_refuses(account: Account, wrong: Json) -> None:
    subscription_id = account.subscribe()
    before = len(account.simulator.events)

    with pytest.raises(ControlError, match="invalid_field"):
        account.simulator.move_to_customer(subscription_id, **{"email": "new@pier.example", **wrong})

    assert happened(account, before) == []


# Another currency.


def test_a_subscription_changes_its_currency_with_items_priced_in_it(account: Account) -> None:
    subscription_id = account.subscribe(items=BOTH)
    body = {"currency_code": "USD", "items": DOLLARS, **NEVER_BILL}

    changed = account.patch(f"/subscriptions/{subscription_id}", body).data
    (renewal,) = account.renew()

    assert changed["currency_code"] == "USD"
    assert {item["price"]["unit_price"]["currency_code"] for item in changed["items"]} == {"USD"}
    assert account.simulator.transactions[renewal]["currency_code"] == "USD"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"currency_code": "USD"}, ["items"]),
        ({"currency_code": "USD", "items": BOTH, **NEVER_BILL}, ["items.0.price_id"]),
        ({"currency_code": "USD", "items": [*DOLLARS, BOTH[0]], **NEVER_BILL}, ["items.2.price_id"]),
        ({"items": DOLLARS, **NEVER_BILL}, ["items.0.price_id"]),
        ({"currency_code": "dollars"}, ["currency_code"]),
    ],
)
def test_a_currency_that_the_items_are_not_priced_in_is_refused(
    account: Account, body: Json, fields: list[str]
) -> None:
    subscription_id = account.subscribe(items=BOTH)
    before = len(account.simulator.events)

    assert account.patch(f"/subscriptions/{subscription_id}", body).fields == fields
    assert account.simulator.subscriptions[subscription_id]["currency_code"] == "EUR"
    assert happened(account, before) == []


def test_the_currency_stays_while_charges_wait_in_it(account: Account) -> None:
    subscription_id = account.subscribe(items=BOTH)
    account.charge(subscription_id)
    body = {"currency_code": "USD", "items": DOLLARS, **NEVER_BILL}

    refused = account.patch(f"/subscriptions/{subscription_id}", body)

    assert refused.refusal == (400, "subscription_locked_pending_changes")


def test_a_person_changes_the_currency_of_every_item(account: Account) -> None:
    subscription_id = account.subscribe(items=BOTH)

    account.simulator.change_currency(subscription_id, "USD")

    assert bought(account, subscription_id) == [(item["price_id"], item["quantity"]) for item in DOLLARS]
    with pytest.raises(ControlError, match="no counterpart in GBP"):
        account.simulator.change_currency(subscription_id, "GBP")


# Other items.


def test_a_person_swaps_adds_and_removes_items(account: Account) -> None:
    subscription_id = account.subscribe()
    before = len(account.simulator.events)
    pro = {"price_id": sample.PRICE_CLOUD_PRO_EUR, "quantity": 1}

    account.simulator.change_items(subscription_id, [pro, BOTH[1]])
    account.simulator.change_quantity(subscription_id, 9, price_id=sample.PRICE_SEATS_EUR)
    account.simulator.change_quantity(subscription_id, 2)

    assert bought(account, subscription_id) == [(sample.PRICE_CLOUD_PRO_EUR, 2), (sample.PRICE_SEATS_EUR, 9)]
    assert happened(account, before) == ["subscription.updated"] * 3


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "at least 1"),
        ([{"price": "x"}], "price_id is required"),
        ([{"price_id": sample.PRICE_CLOUD_USD}], "must be in EUR"),
        ([{"price_id": sample.PRICE_SEATS_EUR, "quantity": 1001}], "subscription_quantity_not_valid"),
        (CLOUD * 2, "same price twice"),
    ],
)
def test_a_person_is_told_why_items_cannot_be(account: Account, items: Any, said: str) -> None:
    subscription_id = account.subscribe()

    with pytest.raises(ControlError, match=said):
        account.simulator.change_items(subscription_id, items)

    assert bought(account, subscription_id) == [(sample.PRICE_CLOUD_EUR, 1)]


def test_a_quantity_of_what_is_not_there_cannot_change(account: Account) -> None:
    with pytest.raises(ControlError, match="no item of"):
        account.simulator.change_quantity(account.subscribe(), 2, price_id=sample.PRICE_SEATS_EUR)


def test_a_price_that_was_archived_stays_but_is_not_added(account: Account) -> None:
    subscription_id = account.subscribe()
    for price in (sample.PRICE_CLOUD_EUR, sample.PRICE_SEATS_EUR):
        account.patch(f"/prices/{price}", {"status": "archived"})
    path = f"/subscriptions/{subscription_id}"

    assert account.patch(path, {"items": CLOUD, **NEVER_BILL}).status == 200
    assert account.patch(path, {"items": BOTH, **NEVER_BILL}).refusal == (400, "entity_archived")


def test_items_of_a_paused_subscription_change_and_are_billed_when_it_resumes(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.pause(subscription_id)

    changed = account.patch(f"/subscriptions/{subscription_id}", {"items": BOTH, **NEVER_BILL}).data
    transaction = account.simulator.transactions[account.simulator.resume(subscription_id)]

    assert [(item["status"], item["next_billed_at"]) for item in changed["items"]] == [("inactive", None)] * 2
    assert [item["price_id"] for item in transaction["items"]] == [item["price_id"] for item in BOTH]
    assert {item["status"] for item in account.simulator.subscriptions[subscription_id]["items"]} == {"active"}


# People.


def test_customers_addresses_and_businesses_tell_of_their_changes(account: Account) -> None:
    made = account.simulator.complete_checkout(email="a@b.example", items=CLOUD, business={"name": "Harbour Tools"})
    before = len(account.simulator.events)
    account.simulator.clock_move(hours=1)

    account.simulator.update_customer(made["customer_id"], name="Anna", email="anna@b.example")
    account.simulator.update_address(made["address_id"], city="Hamburg", country="AT")
    account.simulator.update_business(made["business_id"], name="Harbour GmbH", tax_identifier="DE1")

    changes = account.simulator.events[before:]
    assert [event["event_type"] for event in changes] == ["customer.updated", "address.updated", "business.updated"]
    assert {event["data"]["updated_at"] for event in changes} == {"2026-03-01T10:00:00.000000Z"}
    customer, address, business = (event["data"] for event in changes)
    assert (customer["name"], customer["email"], customer["locale"]) == ("Anna", "anna@b.example", "en")
    assert (address["city"], address["country_code"], address["first_line"]) == ("Hamburg", "AT", "Invalidenstr. 1")
    assert (business["name"], business["tax_identifier"]) == ("Harbour GmbH", "DE1")


@pytest.mark.parametrize("email", ["nobody", "taken@b.example"])
def test_a_customer_does_not_take_a_wrong_or_taken_email(account: Account, email: str) -> None:
    account.simulator.complete_checkout(email="taken@b.example", items=CLOUD)
    made = account.simulator.complete_checkout(email="a@b.example", items=CLOUD)
    before = len(account.simulator.events)

    with pytest.raises(ControlError, match=r"invalid_field|customer_already_exists"):
        account.simulator.update_customer(made["customer_id"], email=email)

    assert happened(account, before) == []
