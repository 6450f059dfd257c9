"""A push of ours is found wherever Paddle keeps it, and absent only when everything was read."""

from datetime import timedelta

import pytest

from integration_project import errors
from tests.vendors.paddle.stage import PUSH, Stage


def test_an_absent_charge_is_none_after_reading_everything(stage: Stage) -> None:
    stage.charge(push_id="another-1")

    assert stage.find() is None
    assert stage.operations[1:] == ["list subscription history", "list transactions"]


def test_a_pending_charge_is_found_in_the_history(stage: Stage) -> None:
    stage.charge(amounts=(12345, 655))

    found = stage.find()

    assert (found.push_id, found.transaction_id, found.transaction_status) == (PUSH, None, None)
    assert (found.where, found.amount, found.times, found.billed) == ("history", 13000, 1, True)


def test_a_charge_whose_answer_was_lost_is_found(stage: Stage) -> None:
    stage.simulator.fault("charge subscription", "lose_answer")
    with pytest.raises(errors.OutcomeUnknown):
        stage.charge()

    found = stage.find()

    assert (found.where, found.amount) == ("history", 12345)
    assert len(stage.simulator.charges) == 1


def test_an_immediate_charge_is_found_with_its_transaction(stage: Stage) -> None:
    stage.charge("immediately")

    found = stage.find()

    assert found.transaction_id == stage.simulator.charges[0].transaction_id
    assert (found.transaction_status, found.where, found.amount) == ("completed", "history", 12345)


def test_after_the_renewal_the_transaction_that_collected_it_is_found(stage: Stage) -> None:
    since = stage.simulator.clock.now()
    stage.charge()
    stage.simulator.clock.move(timedelta(days=32))
    (renewal,) = stage.simulator.run_renewals()

    found = stage.find(since=since)

    assert (found.transaction_id, found.transaction_status, found.amount) == (renewal, "completed", 12345)


def test_what_a_declined_charge_leaves_behind_is_found_but_not_billed(stage: Stage) -> None:
    stage.simulator.decline_payments(stage.subscription_id)
    with pytest.raises(errors.VendorRejected) as caught:
        stage.charge("immediately")
    assert (caught.value.code, caught.value.policy) == ("subscription_payment_declined", "person")

    found = stage.find()

    assert (found.transaction_status, found.where, found.billed) == ("canceled", "transactions", False)


def test_a_charge_after_a_declined_one_is_what_counts(stage: Stage) -> None:
    stage.simulator.decline_payments(stage.subscription_id, times=1)
    with pytest.raises(errors.VendorRejected):
        stage.charge("immediately")
    stage.charge()

    found = stage.find()

    assert (found.transaction_id, found.transaction_status, found.where) == (None, None, "history")
    assert (found.billed, found.times) == (True, 1)


@pytest.mark.parametrize("effective_from", ["immediately", "next_billing_period"])
def test_a_charge_that_paddle_took_twice_is_told(stage: Stage, effective_from: str) -> None:
    stage.charge(effective_from)
    stage.charge(effective_from)

    found = stage.find()

    charges = stage.simulator.charges
    assert (found.times, len(set(found.places))) == (2, 2)
    if effective_from == "immediately":
        assert found.places == tuple(f"transaction {charge.transaction_id}" for charge in charges)
    else:
        assert all(place.startswith("history entry subhis_") for place in found.places)


def test_a_push_is_not_taken_for_one_with_a_longer_number(stage: Stage) -> None:
    stage.charge(push_id=PUSH + "0")

    assert stage.find() is None


def test_a_look_up_reads_a_little_further_back_than_it_must(stage: Stage) -> None:
    stage.charge()

    assert stage.find(since=stage.simulator.clock.now() + timedelta(minutes=4)) is not None
    assert stage.find(since=stage.simulator.clock.now() + timedelta(minutes=6)) is None


def test_every_page_of_the_history_counts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.PAGE", 2)
    stage.charge()
    for number in range(4):
        stage.charge(push_id=f"another-{number}")

    assert stage.find().push_id == PUSH
    assert stage.operations.count("list subscription history") == 3


@pytest.mark.parametrize("permission", ["subscription_history.read", "transaction.read"])
def test_a_look_up_that_was_refused_is_no_answer(stage: Stage, permission: str) -> None:
    stage.simulator.withhold_permission(permission)

    with pytest.raises(errors.VendorClosed):
        stage.find()


@pytest.mark.parametrize("operation", ["list subscription history", "list transactions"])
@pytest.mark.parametrize("fault", ["error_before", "truncated", "html", "too_many", "lose_answer", "redirect"])
def test_a_look_up_with_an_unread_page_is_no_answer(stage: Stage, operation: str, fault: str) -> None:
    stage.simulator.fault(operation, fault)

    with pytest.raises(errors.Temporary):
        stage.find()


def test_an_unread_second_page_is_no_answer_either(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.PAGE", 2)
    for number in range(4):
        stage.charge(push_id=f"another-{number}")
    seen: list[str] = []

    def spoil_the_second(operation: str) -> None:
        seen.append(operation)
        if seen.count("list subscription history") == 2:
            stage.simulator.fault("list subscription history", "html")

    with stage.vendors.listening(before=spoil_the_second), pytest.raises(errors.Temporary):
        stage.find()
