"""What the simulated Classic gives back, to the cent; and the controls of its money."""

from decimal import Decimal

import pytest
import requests

from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from integration_project.vendors.simulation import ControlError
from integration_project.vendors.wsgi import WsgiAdapter
from tests.vendors.paddle_classic.asking import charge, code, modify, post, told

# --- Refunds ----------------------------------------------------------------------------------------------------------


def taxed_order(simulator: ClassicSimulator, subscription_id: str) -> str:
    """An order of 34.51, of which 5.51 is tax and 2.23 fee."""
    simulator.set_tax(sample.PLAN_TEAM, "0.19")
    return simulator.pay(subscription_id)


def refunds(simulator: ClassicSimulator) -> list[tuple[str, ...]]:
    names = ("refund_type", "amount", "tax_refund", "fee_refund", "earnings_decrease")
    return [tuple(fields[name] for name in names) for fields in told(simulator, "payment_refunded")]


def test_the_parts_of_refunds_add_up_to_the_payment(simulator: ClassicSimulator, subscription_id: str) -> None:
    order_id = taxed_order(simulator, subscription_id)
    simulator.refund(order_id, amount="10.00")
    simulator.refund(order_id, amount="0.01")
    simulator.refund(order_id)

    assert refunds(simulator) == [
        ("partial", "10.00", "1.60", "0.65", "7.75"),
        ("partial", "0.01", "0.00", "0.00", "0.01"),
        ("full", "24.50", "3.91", "1.58", "19.01"),
    ]
    for fields in told(simulator, "payment_refunded"):
        assert fields["gross_refund"] == fields["balance_gross_refund"] == fields["amount"]
        assert (fields["order_id"], fields["balance_currency"]) == (order_id, "EUR")


def test_tax_alone_is_given_back_once(simulator: ClassicSimulator, subscription_id: str) -> None:
    order_id = taxed_order(simulator, subscription_id)
    simulator.refund(order_id, vat=True)

    with pytest.raises(ControlError):
        simulator.refund(order_id, vat=True)
    simulator.refund(order_id)

    assert refunds(simulator) == [
        ("vat", "5.51", "5.51", "0.00", "0.00"),
        ("full", "29.00", "0.00", "2.23", "26.77"),
    ]


def test_a_refund_that_is_rejected_is_not_told_and_may_be_asked_for_again(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    order_id = simulator.pay(subscription_id)
    first = post(simulator, "/payment/refund", order_id=order_id)["response"]["refund_request_id"]

    assert code(simulator, "/payment/refund", order_id=order_id) == 156
    with pytest.raises(ControlError):
        simulator.refund(order_id)
    assert simulator.settle_refunds(reject=True) == [first]
    assert refunds(simulator) == []
    assert code(simulator, "/payment/refund", order_id=order_id, amount="1.00") == 0
    simulator.settle_refunds()
    assert refunds(simulator) == [("partial", "1.00", "0.00", "0.07", "0.93")]
    assert simulator.settle_refunds() == []


def test_the_first_payment_is_told_as_such_when_it_is_given_back(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    first = next(iter(simulator.memory.payments.values())).order_id
    simulator.refund(first)
    simulator.refund(charge(simulator, subscription_id)["order_id"])

    assert [fields["initial_payment"] for fields in told(simulator, "payment_refunded")] == ["1", "0"]


def test_a_refund_names_its_order(simulator: ClassicSimulator) -> None:
    assert code(simulator, "/payment/refund", amount="1.00") == 116


def test_a_payment_of_nothing_is_not_given_back(simulator: ClassicSimulator, subscription_id: str) -> None:
    modify(simulator, subscription_id, "-29.00")
    order_id = simulator.pay(subscription_id)

    assert code(simulator, "/payment/refund", order_id=order_id) == 156


# --- Controls ---------------------------------------------------------------------------------------------------------


def test_a_fault_makes_an_operation_give_any_code_and_do_nothing(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    simulator.fault("create modifier", "refuse", code=109)
    fields = {"subscription_id": subscription_id, "modifier_amount": "1"}

    assert code(simulator, "/subscription/modifiers/create", **fields) == 109
    assert simulator.memory.modifiers == {}
    assert code(simulator, "/subscription/modifiers/create", **fields) == 0


@pytest.mark.parametrize("rate", ["1", "-0.1", "x", "NaN"])
def test_a_rate_that_is_none_is_refused(simulator: ClassicSimulator, rate: str) -> None:
    with pytest.raises(ControlError):
        simulator.set_tax(sample.PLAN_TEAM, rate)


def test_numbers_that_a_control_is_given_are_taken_digit_for_digit(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    page = requests.Session()
    page.mount("http://", WsgiAdapter(simulator))

    def ask(name: str, **arguments: object) -> int:
        return page.post(f"http://127.0.0.1/_control/{name}", json=arguments).status_code

    assert ask("set_tax", plan_id=sample.PLAN_TEAM, rate=0.19) == 200
    order_id = simulator.pay(subscription_id)
    assert ask("refund", order_id=order_id, amount=10.005) == 400
    assert ask("refund", order_id=order_id, amount=10.1) == 200

    assert simulator.memory.taxes[sample.PLAN_TEAM].rate == Decimal("0.19")
    assert [fields["amount"] for fields in told(simulator, "payment_refunded")] == ["10.10"]


def test_money_is_shown_and_forgotten_with_the_rest(simulator: ClassicSimulator, subscription_id: str) -> None:
    simulator.set_tax(sample.PLAN_TEAM, "0.19")
    simulator.limit_charges(1)
    modify(simulator, subscription_id, "1.00")
    simulator.fail_payment(subscription_id)
    order_id = next(iter(simulator.memory.payments.values())).order_id
    code(simulator, "/payment/refund", order_id=order_id)

    shown = requests.Session()
    shown.mount("http://", WsgiAdapter(simulator))
    state = shown.get("http://127.0.0.1/_control/state").json()
    simulator.reset()

    assert (len(state["modifiers"]), state["refunds"][0]["state"]) == (1, "pending")
    assert (simulator.memory.modifiers, simulator.memory.refunds, simulator.memory.taxes) == ({}, {}, {})
    assert simulator.charge_limit.limit is None
