"""The m3ter client against the simulated m3ter: usage read back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.m3ter.entities import (
    BY_ACCOUNT,
    BY_DAY,
    Measurement,
    UsageAggregation,
    UsageGroup,
    UsageRow,
    UsageRows,
)
from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.client_stage import CODE, ClientStage, new_stage
from tests.vendors.rehearsing import new_rehearsing

FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
SUM = UsageAggregation(sample.METER, sample.MEASURE_CALLS)
COUNT = UsageAggregation(sample.METER, sample.MEASURE_CALLS, "COUNT")
OTHER = "sub_01hv0000000000000000000002"


@pytest.fixture
def stage() -> ClientStage:
    """Two accounts; usage on the first and second of February, and at the very beginning of March."""
    stage = new_stage()
    used = [(CODE, 0, "0.1"), (CODE, 1, "0.2"), (CODE, 24, "5"), (OTHER, 2, "1"), (CODE, 28 * 24, "1000")]
    for code in (CODE, OTHER):
        stage.account(code)
    for number, (code, hours, calls) in enumerate(used):
        at = FEBRUARY + timedelta(hours=hours)
        measured = Measurement(str(number), sample.METER_API_CALLS, code, at, measure={"calls": Decimal(calls)})
        stage.client.submit_measurements([measured])
    stage.simulator.process_measurements()
    return stage


def test_usage_is_added_up_by_account_and_day_exactly(stage: ClientStage) -> None:
    found = stage.client.query_usage(start=FEBRUARY, end=MARCH, aggregations=(SUM, COUNT), groups=(BY_ACCOUNT, BY_DAY))

    assert [(row.account, row.at, row.number(SUM), row.number(COUNT)) for row in found.rows] == [
        (CODE, FEBRUARY, Decimal("0.3"), Decimal(2)),
        (CODE, FEBRUARY + timedelta(days=1), Decimal(5), Decimal(1)),
        (OTHER, FEBRUARY, Decimal(1), Decimal(1)),
    ]
    assert not found.has_more


def test_usage_is_read_of_these_accounts_and_meters_only(stage: ClientStage) -> None:
    account = stage.client.find_account(OTHER)
    assert account is not None
    of_account = stage.client.query_usage(start=FEBRUARY, end=MARCH, account_ids=(account.id,))
    of_meter = stage.client.query_usage(start=FEBRUARY, end=MARCH, meter_ids=("another",))

    assert [(row.account, row.number(SUM)) for row in of_account.rows] == [(OTHER, Decimal(1))]
    assert of_meter == UsageRows((), False)


def test_the_limit_says_that_there_is_more(stage: ClientStage) -> None:
    found = stage.client.query_usage(start=FEBRUARY, end=MARCH, limit=3)

    assert (len(found.rows), found.has_more) == (3, True)


@pytest.mark.parametrize(("frequency", "sums"), [("HOUR", 4), ("WEEK", 2), ("MONTH", 1), ("QUARTER", 1)])
def test_other_spans_of_time_can_be_asked_for(stage: ClientStage, frequency: str, sums: int) -> None:
    groups = (UsageGroup("TIME", frequency),)

    found = stage.client.query_usage(start=FEBRUARY, end=MARCH, aggregations=(SUM,), groups=groups)

    assert len(found.rows) == sums
    assert sum(row.number(SUM) or 0 for row in found.rows) == Decimal("6.3")


def test_a_query_too_many_waits(stage: ClientStage) -> None:
    for _ in range(10):
        stage.client.query_usage(start=FEBRUARY, end=MARCH, limit=1)

    with pytest.raises(errors.Temporary, match="Too many Data Explorer queries"):
        stage.client.query_usage(start=FEBRUARY, end=MARCH, limit=1)


def test_a_dry_run_really_queries() -> None:
    stage = new_rehearsing()

    found = stage.run(lambda vendors: vendors.m3ter.query_usage(start=FEBRUARY, end=MARCH))

    assert found == UsageRows((), False)
    assert stage.operations == ["query usage"]
    assert stage.written == []


DAY = "2026-02-03T00:00:00.000Z"
THIRD = datetime(2026, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "row",
    [
        {"account": "a", "ts": DAY, "calls.sum": Decimal("1.5")},
        {"accountCode": "a", "timestamp": "2026-02-03", "SUM(calls)": Decimal("1.5")},
        {"account_id": "a", "date": "2026-02-03T01:00:00+01:00", "calls": Decimal("1.5"), "endpoint": "x"},
        {"Account": "a", "Start Date": DAY, "sum_calls": Decimal("1.5"), "ok": True},
    ],
)
def test_a_row_is_read_whatever_m3ter_calls_its_columns(row: dict[str, Any]) -> None:
    found = UsageRow.from_m3ter(row)

    assert (found.account, found.at, found.number(SUM)) == ("a", THIRD, Decimal("1.5"))
    assert len(found.numbers) == 1


def test_a_row_of_unknown_columns_says_nothing_and_is_still_a_row() -> None:
    found = UsageRow.from_m3ter({"who": "a", "ts": 7, "when": DAY, "sum": 3})

    assert found == UsageRow(None, None, {"ts": Decimal(7), "sum": Decimal(3)})
    assert found.number(SUM) is None
