"""The simulated Classic's one-off charges, and its lists of payments and modifiers."""

import datetime as dt
from decimal import Decimal

import pytest
import requests

from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from integration_project.vendors.simulation import BusinessClock
from integration_project.vendors.wsgi import WsgiAdapter
from tests.vendors.paddle_classic.asking import KEYS, charge, code, grosses, modify, post, told
from tests.vendors.paddle_classic.opening import NOW

# --- One-off charges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"amount": "10"}, 116),
        ({"charge_name": "Usage"}, 116),
        ({"amount": "10", "charge_name": ""}, 116),
        ({"amount": "ten", "charge_name": "Usage"}, 155),
        ({"amount": "1_0", "charge_name": "Usage"}, 155),
        ({"amount": "0", "charge_name": "Usage"}, 183),
        ({"amount": "-1.00", "charge_name": "Usage"}, 183),
        ({"amount": "10", "charge_name": "x" * 51}, 181),
        ({"amount": "0.64", "charge_name": "Usage"}, 186),
        ({"amount": "0.65", "charge_name": "x" * 50}, 0),
        ({"amount": "0.650", "charge_name": "Usage"}, 0),
    ],
)
def test_a_charge_is_checked_field_by_field(
    simulator: ClassicSimulator, subscription_id: str, fields: dict[str, str], expected: int
) -> None:
    assert code(simulator, f"/subscription/{subscription_id}/charge", **fields) == expected
    assert len(simulator.memory.payments) == (1 if expected else 2)


def test_a_charge_takes_no_json(simulator: ClassicSimulator, subscription_id: str) -> None:
    session = requests.Session()
    session.mount("http://", WsgiAdapter(simulator))
    url = f"http://127.0.0.1/api/2.0/subscription/{subscription_id}/charge"

    answer = session.post(url, json={**KEYS, "amount": "10", "charge_name": "Usage"}).json()

    assert answer["error"]["code"] == 101
    assert len(simulator.memory.payments) == 1


def test_a_charge_is_told_as_a_payment_and_moves_no_date(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    modify(simulator, subscription_id, "5.00")
    simulator.clock_move(days=9)

    made = charge(simulator, subscription_id)

    paid = told(simulator, "payment_succeeded")[-1]
    user = client.find_user(subscription_id)
    assert (paid["sale_gross"], paid["order_id"], paid["initial_payment"]) == ("10.00", made["order_id"], "0")
    assert (paid["next_bill_date"], paid["next_payment_amount"], paid["instalments"]) == ("2026-04-10", "34.00", "1")
    assert made["receipt_url"].split("/receipt/")[1].startswith(f"{made['order_id']}/")
    assert user is not None
    assert user.last_payment is not None
    assert (user.last_payment.date, user.last_payment.amount) == (dt.date(2026, 3, 19), Decimal("10.00"))


def test_a_charge_leaves_the_balance_alone_and_is_taxed(simulator: ClassicSimulator, subscription_id: str) -> None:
    modify(simulator, subscription_id, "-39.00")
    simulator.pay(subscription_id)
    simulator.set_tax(sample.PLAN_TEAM, "0.19")

    made = charge(simulator, subscription_id, "0.99")

    assert made["amount"] == "1.18"
    assert told(simulator, "payment_succeeded")[-1]["payment_tax"] == "0.19"
    assert simulator.memory.subscriptions[int(subscription_id)].balance == Decimal("10.00")


def test_a_declined_charge_leaves_nothing_behind(simulator: ClassicSimulator, subscription_id: str) -> None:
    simulator.decline_payments(subscription_id)
    path, fields = f"/subscription/{subscription_id}/charge", {"amount": "10", "charge_name": "Usage"}

    declined = code(simulator, path, **fields)
    left = (len(simulator.memory.payments), grosses(simulator))
    simulator.accept_payments(subscription_id)

    assert (declined, left) == (188, (1, ["29.00"]))
    assert code(simulator, path, **fields) == 0


def test_without_a_payment_method_nothing_is_charged_until_there_is_one(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    simulator.remove_payment_method(subscription_id)
    path, fields = f"/subscription/{subscription_id}/charge", {"amount": "10", "charge_name": "Usage"}
    (user,) = post(simulator, "/subscription/users", subscription_id=subscription_id)["response"]

    refused = code(simulator, path, **fields)
    simulator.add_payment_method(subscription_id)

    assert "payment_information" not in user
    assert (refused, code(simulator, path, **fields)) == (190, 0)


@pytest.mark.parametrize("control", ["decline_payments", "remove_payment_method"])
def test_what_cannot_be_collected_is_past_due(simulator: ClassicSimulator, subscription_id: str, control: str) -> None:
    getattr(simulator, control)(subscription_id)
    simulator.clock_move(days=31)

    assert simulator.run_payments() == []
    assert simulator.memory.subscriptions[int(subscription_id)].state == "past_due"
    assert len(told(simulator, "payment_failed")) == 1


def test_a_trial_is_not_charged(simulator: ClassicSimulator) -> None:
    made = simulator.subscribe(email="t@customer.example", plan_id=sample.PLAN_TEAM_TRIAL)

    path = f"/subscription/{made['subscription_id']}/charge"
    assert code(simulator, path, amount="10", charge_name="Usage") == 197


def test_charges_have_a_limit_of_their_own_that_passes_with_real_time() -> None:
    now = [NOW]
    simulator = ClassicSimulator(clock=BusinessClock(NOW), transport_now=lambda: now[0])
    first, other = (simulator.subscribe(email=f"{name}@customer.example")["subscription_id"] for name in "ab")
    simulator.limit_charges(1)

    def attempt(subscription_id: str) -> int:
        return code(simulator, f"/subscription/{subscription_id}/charge", amount="10", charge_name="Usage")

    assert [attempt(first), attempt(first), attempt(other)] == [0, 189, 0]
    simulator.clock_move(days=1)
    assert attempt(first) == 189
    now[0] += dt.timedelta(seconds=61)
    assert attempt(first) == 0
    simulator.limit_charges(None)
    assert attempt(first) == 0


# --- Lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["is_paid", "is_one_off_charge"])
def test_payments_are_listed_by_kind(simulator: ClassicSimulator, subscription_id: str, switch: str) -> None:
    charge(simulator, subscription_id)

    listed = {value: post(simulator, "/subscription/payments", **{switch: value})["response"] for value in "01"}

    assert [len(listed["0"]), len(listed["1"])] == {"is_paid": [1, 2], "is_one_off_charge": [2, 1]}[switch]
    assert {bool(entry[switch]) for entry in listed["1"]} == {True}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"from": "yesterday"}, 122),
        ({"to": "2026-02-30"}, 122),
        ({"from": "2026-03-10 09:00:00"}, 122),
        ({"offset": "1"}, 191),
        ({"is_one_off_charge": "maybe"}, 101),
        ({"subscription_id": "x"}, 182),
    ],
)
def test_a_wrong_question_for_payments_gets_its_code(
    simulator: ClassicSimulator, fields: dict[str, str], expected: int
) -> None:
    assert code(simulator, "/subscription/payments", **fields) == expected


def test_payments_and_modifiers_are_listed_by_plan(simulator: ClassicSimulator, subscription_id: str) -> None:
    other = simulator.subscribe(email="b@customer.example", plan_id=sample.PLAN_STUDIO)["subscription_id"]
    modify(simulator, subscription_id, "1.00")
    modify(simulator, other, "2.00")

    payments = post(simulator, "/subscription/payments", plan=str(sample.PLAN_STUDIO))["response"]
    modifiers = post(simulator, "/subscription/modifiers", plan_id=str(sample.PLAN_STUDIO))["response"]

    assert {str(entry["subscription_id"]) for entry in (*payments, *modifiers)} == {other}
    assert (len(payments), len(modifiers)) == (2, 1)


@pytest.mark.parametrize("params", [{}, {"seconds": 60}])
def test_a_list_that_lags_hides_what_is_newest_until_the_fault_is_over(
    simulator: ClassicSimulator, subscription_id: str, params: dict[str, int]
) -> None:
    for operation in ("list modifiers", "list payments"):
        simulator.fault(operation, "list_lag", times=1, **params)
    modify(simulator, subscription_id, "1.00")
    charge(simulator, subscription_id)

    def seen() -> tuple[int, int]:
        modifiers = post(simulator, "/subscription/modifiers")["response"]
        charges = post(simulator, "/subscription/payments", is_one_off_charge="1")["response"]
        return len(modifiers), len(charges)

    assert seen() == (0, 0)
    assert seen() == (1, 1)


def test_a_list_that_lags_shows_what_was_there_before(simulator: ClassicSimulator, subscription_id: str) -> None:
    modify(simulator, subscription_id, "1.00")
    simulator.fault("list modifiers", "list_lag")

    assert len(post(simulator, "/subscription/modifiers")["response"]) == 1
