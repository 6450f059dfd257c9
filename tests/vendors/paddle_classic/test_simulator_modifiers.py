"""What the simulated Classic collects with a payment, cent for cent, and how it tells of it."""

from decimal import Decimal

import pytest

from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, guesses, sample
from tests.vendors.paddle_classic.asking import code, delete, grosses, modify, post, told


def test_a_modifier_waits_for_the_next_payment_and_only_a_recurring_one_for_all(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    once = modify(simulator, subscription_id, "5.00")
    always = modify(simulator, subscription_id, "0.33", recurring="true")
    simulator.pay(subscription_id)
    simulator.pay(subscription_id)

    assert grosses(simulator) == ["29.00", "34.33", "29.33"]
    assert (delete(simulator, once), delete(simulator, always)) == (124, 0)
    simulator.pay(subscription_id)
    assert grosses(simulator)[-1] == "29.00"


def test_a_modifier_is_one_amount_whatever_the_quantity(simulator: ClassicSimulator, subscription_id: str) -> None:
    simulator.change_quantity(subscription_id, 3)
    modify(simulator, subscription_id, "5.00")
    simulator.pay(subscription_id)

    assert grosses(simulator)[-1] == "92.00"


def test_no_alert_says_what_a_payment_is_made_of(simulator: ClassicSimulator, subscription_id: str) -> None:
    modify(simulator, subscription_id, "5.00")
    simulator.pay(subscription_id)

    assert "SECRET-WORDS" not in repr(told(simulator, "payment_succeeded"))


def test_the_next_payment_is_announced_with_its_modifiers(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    modify(simulator, subscription_id, "5.00", recurring="true")
    simulator.pay(subscription_id)

    user = client.find_user(subscription_id)
    (coming,) = client.list_payments(subscription_id=subscription_id, is_paid=False)
    assert user is not None
    assert user.next_payment is not None
    assert (user.next_payment.amount, coming.amount) == (Decimal("34.00"), Decimal("34.00"))
    assert told(simulator, "payment_succeeded")[-1]["next_payment_amount"] == "34.00"


def test_a_payment_past_due_keeps_what_it_came_to(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    before = modify(simulator, subscription_id, "5.00")
    simulator.fail_payment(subscription_id)
    later = modify(simulator, subscription_id, "7.00")

    (overdue,) = client.list_payments(subscription_id=subscription_id, is_paid=False)
    assert overdue.amount == Decimal("34.00")
    assert delete(simulator, before) == 146
    simulator.pay(subscription_id)
    assert (delete(simulator, before), grosses(simulator)[-1]) == (124, "34.00")
    assert [modifier.id for modifier in client.list_modifiers(subscription_id=subscription_id)] == [later]
    simulator.pay(subscription_id)
    assert grosses(simulator)[-1] == "36.00"


def test_a_payment_that_fails_twice_is_one_payment(simulator: ClassicSimulator, subscription_id: str) -> None:
    simulator.fail_payment(subscription_id)
    modify(simulator, subscription_id, "7.00")
    simulator.fail_payment(subscription_id)
    order_id = simulator.pay(subscription_id)

    first, second = told(simulator, "payment_failed")
    paid = simulator.payments.of_order(order_id)
    assert (first["attempt_number"], second["attempt_number"]) == ("1", "2")
    assert first["amount"] == second["amount"] == "29.00"
    assert paid is not None
    assert first["subscription_payment_id"] == second["subscription_payment_id"] == str(paid.id)


def test_a_credit_above_what_is_due_reduces_the_payments_after(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    modify(simulator, subscription_id, "-70.50")
    for _ in range(4):
        simulator.pay(subscription_id)

    assert grosses(simulator) == ["29.00", "0.00", "0.00", "16.50", "29.00"]
    assert told(simulator, "payment_succeeded")[1]["earnings"] == "0.00"


@pytest.mark.parametrize(
    ("inclusive", "gross", "tax"), [(False, "41.53", "6.63"), (True, "34.90", "5.57")], ids=["on top", "inside"]
)
def test_a_modifier_is_taxed_as_its_plan_is(
    simulator: ClassicSimulator, subscription_id: str, inclusive: bool, gross: str, tax: str
) -> None:
    simulator.set_tax(sample.PLAN_TEAM, "0.19", inclusive=inclusive)
    modify(simulator, subscription_id, "5.90")
    simulator.pay(subscription_id)

    paid = told(simulator, "payment_succeeded")[-1]
    assert (paid["sale_gross"], paid["payment_tax"]) == (gross, tax)
    assert Decimal(paid["earnings"]) == Decimal(gross) - Decimal(tax) - Decimal(paid["fee"])


def test_what_a_balance_leaves_to_pay_holds_its_share_of_tax(simulator: ClassicSimulator, subscription_id: str) -> None:
    simulator.set_tax(sample.PLAN_TEAM, "0.19")
    modify(simulator, subscription_id, "-39.00")  # 10.00 net and 1.90 tax too much
    simulator.pay(subscription_id)
    simulator.pay(subscription_id)

    paid = told(simulator, "payment_succeeded")
    assert [fields["sale_gross"] for fields in paid] == ["29.00", "0.00", "22.61"]
    assert [fields["payment_tax"] for fields in paid] == ["0.00", "0.00", "3.61"]


def test_while_an_invoice_is_under_way_its_modifiers_stay_as_they_are(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    waiting = modify(simulator, subscription_id, "5.00")
    fields = {"subscription_id": subscription_id, "modifier_amount": "1"}
    simulator.clock_set("2026-04-10T00:00:01Z")

    assert (code(simulator, "/subscription/modifiers/create", **fields), delete(simulator, waiting)) == (146, 146)
    simulator.run_payments()
    assert (code(simulator, "/subscription/modifiers/create", **fields), delete(simulator, waiting)) == (0, 124)


def test_a_change_of_plan_keeps_modifiers_unless_told(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    kept = modify(simulator, subscription_id, "5.00", recurring="true")

    simulator.change_plan(subscription_id, sample.PLAN_STUDIO)
    assert [modifier.id for modifier in client.list_modifiers(subscription_id=subscription_id)] == [kept]
    simulator.change_plan(subscription_id, sample.PLAN_TEAM, keep_modifiers=False)
    assert client.list_modifiers(subscription_id=subscription_id) == ()


def test_a_deleted_subscription_collects_no_modifier(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    waiting = modify(simulator, subscription_id, "5.00")
    simulator.cancel(subscription_id)
    simulator.clock_move(days=60)

    assert simulator.run_payments() == []
    assert [modifier.id for modifier in client.list_modifiers(subscription_id=subscription_id)] == [waiting]
    assert delete(simulator, waiting) == 0


def test_a_page_of_modifiers_is_short_unless_more_is_asked_for(
    simulator: ClassicSimulator, subscription_id: str
) -> None:
    for _ in range(guesses.DEFAULT_PAGE + 1):
        modify(simulator, subscription_id, "1.00")

    listed = post(simulator, "/subscription/modifiers", subscription_id=subscription_id)["response"]
    rest = post(simulator, "/subscription/modifiers", after=str(listed[-1]["modifier_id"]))["response"]

    assert (len(listed), len(rest)) == (20, 1)
    assert (listed[0]["amount"], listed[0]["is_recurring"]) == ("1.000", 0)


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("create", {"modifier_amount": "1"}, 116),
        ("create", {"subscription_id": "480001"}, 116),
        ("create", {"subscription_id": "sub_1", "modifier_amount": "1"}, 182),
        ("create", {"subscription_id": "999", "modifier_amount": "1"}, 119),
        ("create", {"subscription_id": "480001", "modifier_amount": "1", "modifier_recurring": "once"}, 101),
        ("create", {"subscription_id": "480001", "modifier_amount": "1", "modifier_description": "x" * 256}, 101),
        ("create", {"subscription_id": "480001", "modifier_amount": "1", "modifier_description": "x" * 255}, 0),
        ("delete", {}, 116),
        ("delete", {"modifier_id": "x"}, 101),
        ("delete", {"modifier_id": "1"}, 123),
    ],
)
def test_a_wrong_request_about_a_modifier_gets_its_code(
    simulator: ClassicSimulator, subscription_id: str, path: str, fields: dict[str, str], expected: int
) -> None:
    assert subscription_id == "480001"
    assert code(simulator, f"/subscription/modifiers/{path}", **fields) == expected
    assert len(simulator.memory.modifiers) == (0 if expected else 1)
