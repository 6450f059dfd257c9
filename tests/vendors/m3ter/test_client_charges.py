"""The m3ter client against the simulated m3ter: charges, made once."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.m3ter.entities import NewCharge
from tests.vendors.m3ter.client_stage import ClientStage, new_account, new_stage
from tests.vendors.rehearsing import new_rehearsing

ACCOUNT = "7f3c0c0e-1111-4a6b-9c39-000000000001"
LATE = NewCharge(
    code="late-1",
    name="Late usage",
    account_id=ACCOUNT,
    currency="EUR",
    service_period_start=datetime(2026, 1, 1, tzinfo=UTC),
    service_period_end=datetime(2026, 2, 1, tzinfo=UTC),
    amount=Decimal("12.345"),
    bill_date=date(2026, 3, 1),
)


@pytest.fixture
def stage() -> ClientStage:
    return new_stage()


def late(stage: ClientStage) -> NewCharge:
    return replace(LATE, account_id=stage.account().id)


def test_a_charge_is_made_and_found_by_its_code(stage: ClientStage) -> None:
    charge = late(stage)

    made = stage.client.create_charge(charge)

    assert (made.code, made.amount, made.bill_date, made.bill_id) == ("late-1", Decimal("12.345"), LATE.bill_date, None)
    assert stage.client.find_charge("late-1", account_id=charge.account_id) == made
    assert stage.client.find_charge("late-2", account_id=charge.account_id) is None
    assert b'"amount":12.345' in next(c.body for c in stage.simulator.calls if c.operation == "create charge")


def test_ensuring_a_charge_makes_it_once(stage: ClientStage) -> None:
    charge = late(stage)

    first, made = stage.client.ensure_charge(charge)
    second, again = stage.client.ensure_charge(charge)

    assert (made, again, first) == (True, False, second)
    assert stage.operations.count("create charge") == 1


def test_ensuring_a_charge_whose_answer_was_lost_finds_it(stage: ClientStage) -> None:
    charge = late(stage)
    stage.simulator.fault("create charge", "lose_answer")
    with pytest.raises(errors.Temporary):
        stage.client.ensure_charge(charge)

    _, made = stage.client.ensure_charge(charge)

    assert not made
    assert len(stage.simulator.state()["charges"]) == 1


def test_a_charge_that_no_list_shows_yet_is_waited_for(stage: ClientStage) -> None:
    charge = late(stage)
    stage.client.create_charge(charge)
    stage.simulator.fault("list charges", "list_lag", times=2, seconds=60)

    with pytest.raises(errors.Temporary, match="m3ter lists no such thing yet"):
        stage.client.ensure_charge(charge)

    assert not stage.client.ensure_charge(charge)[1]


@pytest.mark.parametrize("change", [{"amount": Decimal(13)}, {"currency": "USD"}])
def test_another_amount_under_the_same_code_is_a_conflict(stage: ClientStage, change: dict[str, Any]) -> None:
    charge = late(stage)
    stage.client.ensure_charge(charge)

    with pytest.raises(errors.Conflict, match="that of another charge"):
        stage.client.ensure_charge(replace(charge, **change))

    assert len(stage.simulator.state()["charges"]) == 1


def test_the_same_amount_in_units_is_the_same(stage: ClientStage) -> None:
    charge = replace(late(stage), amount=Decimal("12.5"))
    stage.client.ensure_charge(charge)

    _, made = stage.client.ensure_charge(replace(charge, amount=None, units=Decimal(5), unit_price=Decimal("2.5")))

    assert not made


def test_a_charge_that_m3ter_refuses_for_another_reason_says_so(stage: ClientStage) -> None:
    with pytest.raises(errors.VendorRejected, match=r"accountId .* does not exist"):
        stage.client.ensure_charge(LATE)


@pytest.mark.parametrize(
    "priced",
    [
        {"amount": None},
        {"units": Decimal(1), "unit_price": Decimal(2)},
        {"amount": None, "units": Decimal(1)},
        {"unit_price": Decimal(1)},
    ],
)
def test_a_charge_has_an_amount_or_units_with_a_price(priced: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an amount, or units and a price for one"):
        replace(LATE, **priced)


def test_a_dry_run_makes_no_charge_and_knows_what_is_there() -> None:
    stage = new_rehearsing()
    account = stage.real.m3ter.create_account(new_account())
    charge = replace(LATE, account_id=account.id)

    _, made = stage.run(lambda vendors: vendors.m3ter.ensure_charge(charge))
    twice = stage.run(lambda vendors: [vendors.m3ter.ensure_charge(charge)[1] for _ in range(2)])
    stage.real.m3ter.create_charge(charge)
    with pytest.raises(errors.Conflict):
        new_run(stage, charge)

    assert (made, twice) == (True, [True, False])
    assert len(stage.m3ter.state()["charges"]) == 1


def new_run(stage: Any, charge: NewCharge) -> Any:
    """Run again with nothing read so far."""
    stage.rehearsal._answers.clear()
    return stage.run(lambda vendors: vendors.m3ter.create_charge(charge))
