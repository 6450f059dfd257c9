"""The m3ter client against the simulated m3ter: many accounts at once, counters and counts."""

from datetime import timedelta

import pytest

from integration_project import errors
from integration_project.vendors.m3ter.entities import Account, NewCounterAdjustment
from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.client_stage import CODE, START, ClientStage, new_stage


@pytest.fixture
def stage() -> ClientStage:
    return new_stage()


# Many accounts at once


@pytest.mark.parametrize("by", ["codes", "ids"])
def test_many_accounts_are_read_a_page_at_a_time(stage: ClientStage, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr("integration_project.vendors.m3ter.calls.speaking.PAGE", 2)
    made = [stage.account(f"{CODE}{number}") for number in range(5)]
    asked = [account.code or "" if by == "codes" else account.id for account in made]

    found = list(stage.client.list_accounts(**{by: [*asked, sample.PLAN_SCALE]}))

    assert {account.id for account in found} == {account.id for account in made}
    assert stage.operations.count("list accounts") == 3


def test_all_accounts_are_read_page_by_page(stage: ClientStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.m3ter.calls.speaking.PAGE", 2)
    made = [stage.account(f"{CODE}{number}").id for number in range(3)]

    assert [account.id for account in stage.client.list_accounts()] == made[::-1]


def test_accounts_are_not_read_by_code_and_id_together(stage: ClientStage) -> None:
    with pytest.raises(ValueError, match="codes or by their ids"):
        list(stage.client.list_accounts(codes=["a"], ids=["b"]))


# Counters


def seats(account: Account, value: int = 7, *, days: int = 0) -> NewCounterAdjustment:
    return NewCounterAdjustment(account.id, sample.COUNTER_SEATS, START.date() + timedelta(days=days), value)


def test_counters_are_read(stage: ClientStage) -> None:
    (counter,) = stage.client.list_counters()

    assert (counter.id, counter.code, counter.name) == (sample.COUNTER_SEATS, "seats", "Seats")
    assert (counter.unit, counter.product_id) == ("seats", sample.PRODUCT_SEATS)


def test_counts_are_made_listed_by_day_and_deleted(stage: ClientStage) -> None:
    account = stage.account()
    later = stage.client.create_counter_adjustment(seats(account, 9, days=3))
    first = stage.client.create_counter_adjustment(seats(account))

    assert (first.account_id, first.counter_id, first.value) == (account.id, sample.COUNTER_SEATS, 7)
    assert stage.client.list_counter_adjustments(account.id) == (first, later)
    assert stage.client.list_counter_adjustments(account.id, sample.COUNTER_SEATS) == (first, later)
    stage.client.delete_counter_adjustment(first)
    stage.client.delete_counter_adjustment(first)
    assert stage.client.list_counter_adjustments(account.id, sample.COUNTER_SEATS) == (later,)


def test_a_second_count_of_a_day_is_a_conflict(stage: ClientStage) -> None:
    account = stage.account()
    stage.client.create_counter_adjustment(seats(account))

    with pytest.raises(errors.Conflict):
        stage.client.create_counter_adjustment(seats(account, 8))


def test_a_stale_count_is_read_again_and_changed(stage: ClientStage) -> None:
    stale = stage.client.create_counter_adjustment(seats(stage.account()))
    stage.client.update_counter_adjustment(stale, value=8)

    changed = stage.client.update_counter_adjustment(stale, value=9)

    assert (changed.version, changed.value, changed.date) == (3, 9, START.date())
