"""A dry run at Classic: every write is written down with what it would send, and none is sent."""

import ast
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from integration_project.vendors.paddle_classic import client as client_module
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.rehearsed import TABLE
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.rehearsal import ReadNeeded, Rehearsal
from tests.vendors.paddle_classic.opening import connected

Work = Callable[[ClassicClient], Any]


@pytest.fixture
def rehearsal() -> Rehearsal:
    return Rehearsal()


@pytest.fixture
def run(simulator: ClassicSimulator, rehearsal: Rehearsal) -> Callable[[Work], Any]:
    """Run work as often as it needs reads."""
    classic = connected(simulator, rehearsal=rehearsal).classic
    assert classic is not None

    def running(work: Work) -> Any:
        while True:
            rehearsal.begin()
            try:
                return work(classic)
            except ReadNeeded as needed:
                needed.make()

    return running


@pytest.mark.parametrize(
    ("work", "operation", "path", "body"),
    [
        (
            lambda client: client.create_modifier("480001", amount=Decimal("-4.50"), description="Usage [x-1]"),
            "create modifier",
            "/api/2.0/subscription/modifiers/create",
            {
                "subscription_id": "480001",
                "modifier_amount": "-4.50",
                "modifier_recurring": "false",
                "modifier_description": "Usage [x-1]",
            },
        ),
        (
            lambda client: client.delete_modifier("7001"),
            "delete modifier",
            "/api/2.0/subscription/modifiers/delete",
            {"modifier_id": "7001"},
        ),
        (
            lambda client: client.charge("480001", amount=Decimal("12.25"), name="Usage"),
            "charge subscription",
            "/api/2.0/subscription/480001/charge",
            {"amount": "12.25", "charge_name": "Usage"},
        ),
        (
            lambda client: client.refund_payment("1-2", amount=Decimal("2.25"), reason="[x-1]"),
            "refund payment",
            "/api/2.0/payment/refund",
            {"order_id": "1-2", "amount": "2.25", "reason": "[x-1]"},
        ),
    ],
)
def test_a_write_is_written_down_and_never_sent(
    simulator: ClassicSimulator,
    rehearsal: Rehearsal,
    run: Callable[[Work], Any],
    work: Work,
    operation: str,
    path: str,
    body: dict[str, str],
) -> None:
    run(work)

    (call,) = rehearsal.calls
    assert (call.vendor, call.operation, call.method, call.path) == ("paddle_classic", operation, "POST", path)
    assert (call.written, call.body) == (True, body)
    assert simulator.calls == []


def test_what_would_have_been_made_has_an_id_that_nothing_has(run: Callable[[Work], Any]) -> None:
    charged = run(lambda client: client.charge("480001", amount=Decimal("12.25"), name="Usage"))

    assert run(lambda client: client.create_modifier("480001", amount=Decimal(1), description="")) == "0"
    assert run(lambda client: client.refund_payment("1-2", amount=None, reason="")) == "0"
    assert (charged.invoice_id, charged.subscription_id, charged.amount) == ("0", "480001", Decimal("12.25"))
    assert (charged.order_id, charged.status) == (None, None)


def test_what_is_looked_for_is_really_looked_for(
    simulator: ClassicSimulator, client: ClassicClient, rehearsal: Rehearsal, run: Callable[[Work], Any]
) -> None:
    number = simulator.subscribe(email="a@customer.example")["subscription_id"]
    made = client.create_modifier(number, amount=Decimal(1), description="[x-1]")

    def look_and_charge(classic: ClassicClient) -> list[str]:
        found = [modifier.id for modifier in classic.find_modifiers("x-1", subscription_id=number)]
        classic.charge(number, amount=Decimal(5), name="Usage")
        return [*found, *(payment.subscription_id for payment in classic.list_payments(subscription_id=number))]

    assert run(look_and_charge) == [made, number, number]
    assert [call.operation for call in rehearsal.calls if call.written] == ["charge subscription"]
    assert sum(payment.is_one_off for payment in simulator.memory.payments.values()) == 0


def test_every_operation_of_the_client_is_known_to_a_dry_run() -> None:
    tree = ast.parse(Path(client_module.__file__).read_text(encoding="utf-8"))
    called = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"_call", "_pages"}
        and isinstance(call.args[0], ast.Constant)
    }
    named = {
        pair.elts[0].value
        for pair in ast.walk(tree)
        if isinstance(pair, ast.Tuple) and pair.elts and isinstance(pair.elts[0], ast.Constant)
    }

    assert {"create modifier", "delete modifier", "charge subscription", "refund payment"} <= called
    assert (called | (named & {"list users", "list payments"})) == set(TABLE.writes) | set(TABLE.reading_posts)
