"""Reading usage back: measurements one by one, or added up by account, time and dimension."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, stamp
from integration_project.vendors.m3ter.simulator.measurements import field_values
from integration_project.vendors.m3ter.simulator.memory import Memory, Row
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION
from integration_project.vendors.simulation import Answer, Request, Route

HOUR = len("2026-02-03T10")
"""How much of a moment as it is stored names its hour."""


class UsageQueries:
    """What m3ter calls its Data Explorer."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def routes(self) -> Sequence[Route]:
        """The one query."""
        return (Route("POST", f"{ORGANISATION}/usage/query", "query usage", self.query),)

    def query(self, request: Request) -> Answer:
        """POST /usage/query."""
        return Answer(200, _queried(self.memory, fields.read(QUERY, request.json)))


def aggregate(function: str, values: Sequence[tuple[str, Any]]) -> Decimal | None:
    """One number from (time, value) pairs; None when there is nothing to aggregate."""
    if not values:
        return None
    if function == "COUNT":
        return Decimal(len(values))
    if function == "UNIQUE":
        return Decimal(len({value for _, value in values}))
    if function == "LATEST":
        return Decimal(max(values, key=lambda pair: pair[0])[1])
    numbers = [Decimal(value) for _, value in values]
    functions: dict[str, Callable[[Iterable[Decimal]], Decimal]] = {"MIN": min, "MAX": max}
    total = sum(numbers, Decimal(0))
    if function in functions:
        return functions[function](numbers)
    return total / len(numbers) if function == "MEAN" else total


METER_FIELD = {
    "meterId": Field(fields.text(1), required=True),
    "fieldCode": Field(fields.text(1), required=True),
}
NEEDED_OF_GROUPS = {"ACCOUNT": (), "TIME": ("frequency",), "DIMENSION": ("meterId", "fieldCode")}
FUNCTIONS = ("SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN", "UNIQUE")
QUERY = {
    "startDate": Field(fields.moment, required=True),
    "endDate": Field(fields.moment, required=True),
    "meterIds": Field(fields.several(fields.text())),
    "accountIds": Field(fields.several(fields.text())),
    "dimensionFilters": Field(
        fields.several(
            fields.record({**METER_FIELD, "values": Field(fields.several(fields.text(), fewest=1), required=True)})
        )
    ),
    "aggregations": Field(
        fields.several(
            fields.record(
                {
                    **METER_FIELD,
                    "fieldType": Field(fields.choice("DIMENSION", "MEASURE"), required=True),
                    "function": Field(fields.choice(*FUNCTIONS), required=True),
                }
            )
        )
    ),
    "groups": Field(
        fields.several(
            fields.record(
                {
                    "groupType": Field(fields.choice("ACCOUNT", "TIME", "DIMENSION"), required=True),
                    "frequency": Field(fields.choice("HOUR", "DAY", "WEEK", "MONTH", "QUARTER")),
                    "meterId": Field(fields.text()),
                    "fieldCode": Field(fields.text()),
                }
            )
        )
    ),
    "limit": Field(fields.integer(1, 20000), default=20000),
}


def _queried(memory: Memory, query: Row) -> Row:
    """The column names are a guess: `account`, `meter`, `ts` and the field codes."""
    aggregations, groups = query.get("aggregations", []), query.get("groups", [])
    if groups and not aggregations:
        raise Invalid("groups can only be used together with aggregations")
    for index, group in enumerate(groups):
        for name in NEEDED_OF_GROUPS[group["groupType"]]:
            if name not in group:
                raise Invalid(f"groups[{index}].{name} is required")
    accounts = [memory.measurements.of_account(account_id) for account_id in query.get("accountIds") or ()]
    looked_through = chain(*accounts) if accounts else memory.measurements
    found = [measurement for measurement in looked_through if _selected(measurement, query)]
    if not aggregations:
        rows = [_plain(measurement) for measurement in found]
    else:
        grouped: dict[tuple[tuple[str, str], ...], list[Row]] = {}
        for measurement in found:
            grouped.setdefault(_group_of(measurement, groups), []).append(measurement)
        rows = [{**dict(key), **_aggregates(members, aggregations)} for key, members in sorted(grouped.items())]
    return {"data": rows[: query["limit"]], "hasMoreData": len(rows) > query["limit"]}


def _selected(measurement: Row, query: Row) -> bool:
    if not query["startDate"] <= measurement["ts"] < query["endDate"]:  # all are written the same way
        return False
    if query.get("meterIds") and measurement["meterId"] not in query["meterIds"]:
        return False
    values = field_values(measurement)
    return all(
        measurement["meterId"] == wanted["meterId"] and values.get(wanted["fieldCode"]) in wanted["values"]
        for wanted in query.get("dimensionFilters", [])
    )


def _plain(measurement: Row) -> Row:
    shared = ("uid", "account", "meter", "ts")
    known = {name: value for name, value in measurement.items() if name in shared}
    return {**known, **field_values(measurement)}


def _group_of(measurement: Row, groups: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    return tuple(_member_of(measurement, group) for group in groups)


def _member_of(measurement: Row, group: Row) -> tuple[str, str]:
    if group["groupType"] == "ACCOUNT":
        return "account", measurement["account"]
    if group["groupType"] == "TIME":
        return "ts", _slot(measurement["ts"][:HOUR], group["frequency"])
    name = group["fieldCode"]
    return name, str(field_values(measurement).get(name, ""))


@cache
def _slot(hour: str, frequency: str) -> str:
    start = datetime.fromisoformat(f"{hour}:00:00+00:00")
    if frequency != "HOUR":
        start = start.replace(hour=0)
    if frequency == "WEEK":
        start -= timedelta(days=start.weekday())
    if frequency == "MONTH":
        start = start.replace(day=1)
    if frequency == "QUARTER":
        start = start.replace(day=1, month=start.month - (start.month - 1) % 3)
    return stamp(start)


def _aggregates(members: Sequence[Row], aggregations: Sequence[Row]) -> Row:
    row: Row = {}
    for wanted in aggregations:
        pairs = [
            (member["ts"], field_values(member)[wanted["fieldCode"]])
            for member in members
            if member["meterId"] == wanted["meterId"] and wanted["fieldCode"] in field_values(member)
        ]
        row[f"{wanted['fieldCode']}.{wanted['function'].lower()}"] = aggregate(wanted["function"], pairs)
    return row
