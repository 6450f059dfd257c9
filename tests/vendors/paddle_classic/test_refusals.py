"""What our client makes of Classic's lost answers and refusals, and that nothing was charged where it says so."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from tests.vendors.paddle_classic.billing import PUSH, charge, charges_made, modify

Step = Callable[[ClassicSimulator, str], object]


# --- Answers that are lost --------------------------------------------------------------------------------------------

UNKNOWN_AND_DONE = ("lose_answer", "error_after", "truncated", "slow")
UNKNOWN_AND_NOT_DONE = ("error_before", "html", "redirect")


@pytest.mark.parametrize("kind", [*UNKNOWN_AND_DONE, *UNKNOWN_AND_NOT_DONE])
def test_whatever_hides_what_came_of_a_write_leaves_its_outcome_unknown(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, kind: str
) -> None:
    order_id = charge(client, subscription_id).order_id or ""
    for operation in ("create modifier", "charge subscription", "refund payment"):
        simulator.fault(operation, kind, **({"seconds": 80} if kind == "slow" else {}))

    with pytest.raises(errors.OutcomeUnknown):
        modify(client, subscription_id)
    with pytest.raises(errors.OutcomeUnknown):
        charge(client, subscription_id)
    with pytest.raises(errors.OutcomeUnknown):
        client.refund_payment(order_id, amount=None, reason="")

    done = int(kind in UNKNOWN_AND_DONE)
    assert len(client.find_modifiers(PUSH, subscription_id=subscription_id)) == done
    assert len(list(client.list_payments(subscription_id=subscription_id, is_one_off_charge=True))) == 1 + done
    assert len(simulator.memory.refunds) == done


@pytest.mark.parametrize(
    "response",
    [
        '{"success": true}',
        '{"success": true, "response": null}',
        '{"success": true, "response": {}}',
        '{"success": false}',
        '{"success": false, "error": {}}',
        "[]",
    ],
)
def test_an_answer_that_does_not_say_what_was_made_leaves_it_unknown(
    client: ClassicClient, subscription_id: str, monkeypatch: pytest.MonkeyPatch, response: str
) -> None:
    monkeypatch.setattr("integration_project.vendors.simulation.wire.Answer.encoded", lambda self: response.encode())

    with pytest.raises(errors.OutcomeUnknown):
        modify(client, subscription_id)
    with pytest.raises(errors.OutcomeUnknown):
        charge(client, subscription_id)
    with pytest.raises(errors.OutcomeUnknown):
        client.refund_payment("1", amount=None, reason="")


@pytest.mark.parametrize("status", [500, 503])
def test_an_internal_error_is_never_taken_for_a_refusal(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, status: int
) -> None:
    simulator.fault("charge subscription", "error_after", status=status)  # 500 is Classic's own code 120

    with pytest.raises(errors.OutcomeUnknown):
        charge(client, subscription_id)

    assert charges_made(simulator) == 1


@pytest.mark.parametrize("work", [modify, charge])
def test_too_many_calls_are_known_to_have_done_nothing(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, work: Any
) -> None:
    for operation in ("create modifier", "charge subscription"):
        simulator.fault(operation, "too_many", retry_after=7)

    with pytest.raises(errors.Temporary) as caught:
        work(client, subscription_id)

    assert caught.value.retry_after == 7
    assert (len(simulator.memory.modifiers), charges_made(simulator)) == (0, 0)


# --- Refusals, each as the vendor gives it ----------------------------------------------------------------------------


def refusing(operation: str, code: int) -> Step:
    return lambda simulator, number: simulator.fault(operation, "refuse", code=code)


def nothing(simulator: ClassicSimulator, number: str) -> None:
    """Leave everything as it is."""


def due_now(simulator: ClassicSimulator, number: str) -> None:
    simulator.clock_set("2026-04-10T00:00:00Z")


def used_up(simulator: ClassicSimulator, number: str) -> None:
    simulator.limit_charges(1)
    simulator.charging._limit.hit(number, simulator.transport_now())


def paused(simulator: ClassicSimulator, number: str) -> None:
    simulator.pause(number)
    due_now(simulator, number)
    simulator.run_payments()


@pytest.mark.parametrize(
    ("before", "amount", "code", "policy"),
    [
        (ClassicSimulator.cancel, "5", "187", "permanent"),
        (paused, "5", "197", "permanent"),
        (ClassicSimulator.fail_payment, "5", "197", "permanent"),
        (ClassicSimulator.remove_payment_method, "5", "190", "person"),
        (ClassicSimulator.decline_payments, "5", "188", "person"),
        (nothing, "0.64", "186", "permanent"),
        (nothing, "0.655", "155", "permanent"),
        (refusing("charge subscription", 116), "5", "116", "permanent"),
        (refusing("charge subscription", 181), "5", "181", "permanent"),
        (refusing("charge subscription", 183), "5", "183", "permanent"),
    ],
)
def test_a_refused_charge_has_charged_nothing(
    simulator: ClassicSimulator,
    client: ClassicClient,
    subscription_id: str,
    before: Step,
    amount: str,
    code: str,
    policy: str,
) -> None:
    before(simulator, subscription_id)

    with pytest.raises(errors.VendorRejected) as caught:
        charge(client, subscription_id, amount=amount)

    assert (caught.value.code, caught.value.policy, caught.value.operation) == (code, policy, "charge subscription")
    assert charges_made(simulator) == 0


@pytest.mark.parametrize(
    ("before", "wait"),
    [
        (used_up, 60.0),
        (refusing("charge subscription", 189), 60.0),
        (refusing("charge subscription", 146), 600.0),
        (refusing("charge subscription", 151), 600.0),
    ],
)
def test_a_charge_that_comes_at_a_bad_time_may_come_again(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, before: Step, wait: float
) -> None:
    before(simulator, subscription_id)

    with pytest.raises(errors.Temporary) as caught:
        charge(client, subscription_id)

    assert caught.value.retry_after == wait
    assert charges_made(simulator) == 0


def test_a_subscription_that_is_not_there_or_no_number_is_not_charged(client: ClassicClient) -> None:
    with pytest.raises(errors.NotFound) as unknown:
        charge(client, "999")
    with pytest.raises(errors.VendorRejected) as no_number:
        charge(client, "sub_1")

    assert (unknown.value.code, no_number.value.code) == ("119", "182")


@pytest.mark.parametrize("before", [due_now, refusing("create modifier", 146), refusing("create modifier", 151)])
def test_a_modifier_that_comes_at_a_bad_time_may_come_again(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, before: Step
) -> None:
    before(simulator, subscription_id)

    with pytest.raises(errors.Temporary) as caught:
        modify(client, subscription_id)

    assert caught.value.retry_after == 600.0
    assert simulator.memory.modifiers == {}


@pytest.mark.parametrize(("amount", "code"), [("1.005", "155"), ("0", "155")])
def test_a_modifier_of_no_amount_is_refused(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, amount: str, code: str
) -> None:
    with pytest.raises(errors.VendorRejected) as caught:
        client.create_modifier(subscription_id, amount=Decimal(amount), description="")

    assert caught.value.code == code
    assert simulator.memory.modifiers == {}


def test_a_modifier_of_a_deleted_subscription_is_refused(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str
) -> None:
    simulator.cancel(subscription_id)

    with pytest.raises(errors.VendorRejected) as caught:
        modify(client, subscription_id)

    assert caught.value.code == "187"


@pytest.mark.parametrize(("operation", "work"), [("create modifier", modify), ("charge subscription", charge)])
def test_an_operation_that_is_denied_closes_that_operation_alone(
    simulator: ClassicSimulator, client: ClassicClient, subscription_id: str, operation: str, work: Any
) -> None:
    simulator.fault(operation, "refuse", code=184)

    with pytest.raises(errors.VendorClosed) as caught:
        work(client, subscription_id)

    assert caught.value.operation == operation
