"""Measurements: always accepted, checked later, stored once per uid; and reading usage back."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.accounts import Accounts
from integration_project.vendors.m3ter.simulator.calculation import NotACalculation, evaluate
from integration_project.vendors.m3ter.simulator.catalogue import NUMERIC_CATEGORIES, TEXT_CATEGORIES
from integration_project.vendors.m3ter.simulator.events import Events
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of, stamp
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, one, refusal
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION
from integration_project.vendors.simulation import Answer, Request, Route

UID_REMEMBERED = timedelta(days=35)
URL_VALID = timedelta(minutes=5)
FILES = "/_files/failed-ingest"
CATEGORIES = (*TEXT_CATEGORIES, *NUMERIC_CATEGORIES)
TEXTS = Field(fields.mapping(fields.text()))
NUMBERS = Field(fields.mapping(fields.number()))
MEASUREMENT = {
    "uid": Field(fields.text(0, 50)),
    "meter": Field(fields.code(), required=True),
    "account": Field(fields.code(), required=True),
    "ts": Field(fields.moment, required=True),
    "ets": Field(fields.moment),
    "who": TEXTS,
    "what": TEXTS,
    "where": TEXTS,
    "other": TEXTS,
    "metadata": Field(fields.mapping(fields.text(0, 256))),
    "measure": NUMBERS,
    "cost": NUMBERS,
    "income": NUMBERS,
}
BODY = {"measurements": Field(fields.several(fields.record(MEASUREMENT), fewest=1, most=1000), required=True)}


class _Dropped(Exception):
    """A measurement is not stored, for one of m3ter's reasons."""


class Ingest:
    """The queue of submitted measurements and the step that checks and stores them."""

    def __init__(self, memory: Memory, events: Events, accounts: Accounts) -> None:
        self.memory = memory
        self._events = events
        self._accounts = accounts
        self._waiting: list[Row] = []
        self._uids: dict[str, datetime] = {}
        self._files: dict[str, Row] = {}
        self._urls: dict[str, tuple[str, datetime]] = {}

    def routes(self) -> Sequence[Route]:
        """Submitting, the details of failures, and usage queries."""
        failed = f"{ORGANISATION}/measurements/failedIngest/getDownloadUrl"
        return (
            Route("POST", f"{ORGANISATION}/measurements", "submit measurements", self.submit),
            Route("GET", failed, "get failed ingest url", self.download_url),
            Route("GET", f"{FILES}/{{token}}", "download failed ingest", self.download),
            Route("POST", f"{ORGANISATION}/usage/query", "query usage", self.query),
        )

    def clear(self) -> None:
        """Forget queue, uids and failures."""
        for memory in (self._waiting, self._uids, self._files, self._urls):
            memory.clear()

    @property
    def waiting(self) -> int:
        """How many measurements were accepted and not yet checked."""
        return len(self._waiting)

    def submit(self, request: Request) -> Answer:
        """POST /measurements: `accepted` means received, not valid."""
        self._waiting.extend(fields.read(BODY, request.json)["measurements"])
        return Answer(200, {"result": "accepted"})

    def process(self) -> dict[str, int]:
        """Check and store everything that waits, in the order it came."""
        waiting, self._waiting = self._waiting, []
        counts = {"stored": 0, "failed": 0}
        for measurement in waiting:
            kind = self._take(measurement)
            counts["stored" if kind is None else "failed"] += 1
            if kind is not None:
                self._report(kind, measurement)
        return counts

    def _take(self, measurement: Row) -> str | None:
        try:
            meter = self._checked(measurement)
            account = self._account(measurement["account"])
        except _Dropped as reason:
            return str(reason)
        if "uid" in measurement:
            self._uids[measurement["uid"]] = self.memory.clock.now()
        stored = {**measurement, "accountId": account["id"], "meterId": meter["id"]}
        failed = self._derive(stored, meter)
        self.memory.measurements.append(stored)
        return "CalculationError" if failed else None

    def _checked(self, measurement: Row) -> Row:
        meter = next(iter(self.memory.meters.having("code", measurement["meter"])), None)
        if meter is None:
            raise _Dropped("UndefinedMeter")
        seen = self._uids.get(measurement.get("uid", ""))
        if seen is not None and self.memory.clock.now() - seen < UID_REMEMBERED:
            raise _Dropped("DuplicateUid")
        sent = [name for category in CATEGORIES for name in measurement.get(category.lower(), {})]
        if len(set(sent)) != len(sent):
            raise _Dropped("DuplicateField")
        for field in meter["dataFields"]:
            needed = field["category"] in NUMERIC_CATEGORIES and self.memory.guesses.numeric_fields_are_required
            if needed and field["code"] not in measurement.get(field["category"].lower(), {}):
                raise _Dropped("MissingField")
        return meter

    def _account(self, code: str) -> Row:
        for existing in self.memory.accounts.having("code", code):
            return existing
        if any(_nearly(row["code"]) == _nearly(code) for row in self.memory.accounts):
            raise _Dropped("InvalidAccountCode")
        return self._accounts.added(
            {"name": code, "code": code, "emailAddress": self.memory.guesses.skeleton_email}
            | {"autoGenerateStatementMode": "NONE"}
        )

    def _derive(self, stored: Row, meter: Row) -> bool:
        values = field_values(stored)
        failed = False
        for field in meter["derivedFields"]:
            try:
                result = evaluate(field["calculation"], values)
            except NotACalculation:
                failed = True
                continue
            stored.setdefault(field["category"].lower(), {})[field["code"]] = result
        return failed

    def _report(self, kind: str, measurement: Row) -> None:
        name = f"{secrets.token_hex(8)}.json"
        self._files[name] = {"error": kind, "measurement": measurement}
        path = f"{ORGANISATION}/measurements/failedIngest/getDownloadUrl?file={name}"
        details = {"errorType": kind, "file": name, "getDownloadUrl": path.format(org_id=self.memory.org_id)}
        self._events.record("ingest.validation.failure", {"eventData": {"newDto": details}})

    def download_url(self, request: Request) -> Answer:
        """GET the address of the details of a failure; good for five minutes."""
        name = one(request, "file")
        if name not in self._files:
            raise refusal(404, f"File {name} not found")
        token = secrets.token_urlsafe(16)
        self._urls[token] = (name, request.transport_at + URL_VALID)
        return Answer(200, {"url": f"{request.base_url}{FILES}/{token}"})

    def download(self, request: Request) -> Answer:
        """GET such an address, without a token."""
        name, until = self._urls.get(request.path_params["token"], ("", request.transport_at))
        if request.transport_at >= until:
            raise refusal(403, "Request has expired")
        return Answer(200, self._files[name])

    def query(self, request: Request) -> Answer:
        """POST /usage/query."""
        return Answer(200, _queried(self.memory, fields.read(QUERY, request.json)))


def _nearly(code: str) -> str:
    return re.sub(r"[\s_-]", "", code).lower()


def field_values(measurement: Row) -> dict[str, Any]:
    """All fields of a measurement under one roof."""
    return {name: value for category in CATEGORIES for name, value in measurement.get(category.lower(), {}).items()}


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
    found = [measurement for measurement in memory.measurements if _selected(measurement, query)]
    if not aggregations:
        rows = [_plain(measurement) for measurement in found]
    else:
        grouped: dict[tuple[tuple[str, str], ...], list[Row]] = {}
        for measurement in found:
            grouped.setdefault(_group_of(measurement, groups), []).append(measurement)
        rows = [{**dict(key), **_aggregates(members, aggregations)} for key, members in sorted(grouped.items())]
    return {"data": rows[: query["limit"]], "hasMoreData": len(rows) > query["limit"]}


def _selected(measurement: Row, query: Row) -> bool:
    at = moment_of(measurement["ts"])
    if not moment_of(query["startDate"]) <= at < moment_of(query["endDate"]):
        return False
    for name, field in (("meterIds", "meterId"), ("accountIds", "accountId")):
        if query.get(name) and measurement[field] not in query[name]:
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
        return "ts", _slot(moment_of(measurement["ts"]), group.get("frequency", "DAY"))
    name = str(group.get("fieldCode"))
    return name, str(field_values(measurement).get(name, ""))


def _slot(at: datetime, frequency: str) -> str:
    start = at.replace(minute=0, second=0, microsecond=0)
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
