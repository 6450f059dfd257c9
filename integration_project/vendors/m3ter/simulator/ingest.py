"""Measurements: always accepted, checked later, stored once per uid."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.accounts import Accounts
from integration_project.vendors.m3ter.simulator.calculation import NotACalculation, evaluate
from integration_project.vendors.m3ter.simulator.events import Events
from integration_project.vendors.m3ter.simulator.fields import Field
from integration_project.vendors.m3ter.simulator.measurements import KEYS, NUMBER_KEYS, field_values
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, one, refusal
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION
from integration_project.vendors.simulation import Answer, Request, Route

UID_REMEMBERED = timedelta(days=35)
URL_VALID = timedelta(minutes=5)
SIGNED = "/_files"
"""Where signed addresses lead: to storage, which has no part in the API and no firewall before it."""
FILES = f"{SIGNED}/failed-ingest"
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
        """Submitting, and the details of failures."""
        failed = f"{ORGANISATION}/measurements/failedIngest/getDownloadUrl"
        return (
            Route("POST", f"{ORGANISATION}/measurements", "submit measurements", self.submit),
            Route("GET", failed, "get failed ingest url", self.download_url),
            Route("GET", f"{FILES}/{{token}}", "download failed ingest", self.download),
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
        self.take(fields.read(BODY, request.json)["measurements"])
        return Answer(200, {"result": "accepted"})

    def take(self, measurements: Sequence[Row]) -> None:
        """Let well-formed measurements wait for their check."""
        self._waiting.extend(measurements)

    def process(self) -> dict[str, int]:
        """Check and store everything that waits, in the order it came."""
        waiting, self._waiting = self._waiting, []
        now = self.memory.clock.now()
        counts = {"stored": 0, "failed": 0}
        for measurement in waiting:
            kind = self._take(measurement, now)
            counts["stored" if kind is None else "failed"] += 1
            if kind is not None:
                self._report(kind, measurement)
        return counts

    def _take(self, measurement: Row, now: datetime) -> str | None:
        try:
            meter = self._checked(measurement, now)
            account = self._account(measurement["account"])
        except _Dropped as reason:
            return str(reason)
        if "uid" in measurement:
            self._uids[measurement["uid"]] = now
        stored = {**measurement, "accountId": account["id"], "meterId": meter["id"]}
        failed = self._derive(stored, meter)
        self.memory.measurements.store(stored)
        return "CalculationError" if failed else None

    def _checked(self, measurement: Row, now: datetime) -> Row:
        meter = self.memory.meters.one_having("code", measurement["meter"])
        if meter is None:
            raise _Dropped("UndefinedMeter")
        seen = self._uids.get(measurement.get("uid", ""))
        if seen is not None and now - seen < UID_REMEMBERED:
            raise _Dropped("DuplicateUid")
        sent = [name for key in KEYS if key in measurement for name in measurement[key]]
        if len(set(sent)) != len(sent):
            raise _Dropped("DuplicateField")
        if self.memory.guesses.numeric_fields_are_required:
            for field in meter["dataFields"]:
                key = field["category"].lower()
                if key in NUMBER_KEYS and field["code"] not in measurement.get(key, {}):
                    raise _Dropped("MissingField")
        return meter

    def _account(self, code: str) -> Row:
        existing = self.memory.accounts.one_having("code", code)
        if existing is not None:
            return existing
        if any(_nearly(row["code"]) == _nearly(code) for row in self.memory.accounts):
            raise _Dropped("InvalidAccountCode")
        return self._accounts.added(
            {"name": code, "code": code, "emailAddress": self.memory.guesses.skeleton_email}
            | {"autoGenerateStatementMode": "NONE"}
        )

    def _derive(self, stored: Row, meter: Row) -> bool:
        if not meter["derivedFields"]:
            return False
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


def _nearly(code: str) -> str:
    return re.sub(r"[\s_-]", "", code).lower()
