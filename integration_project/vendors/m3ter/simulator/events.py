"""Events of every change, kept for 28 days, and the notification rules that pick from them."""

import copy
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.calculation import NotACalculation, evaluate
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of, stamp
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, many, one, page, truth
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION, Kind, Resource
from integration_project.vendors.simulation import Answer, Request, Route

KEPT = timedelta(days=28)
CHANGES = ("created", "updated", "deleted")
BILLING = (
    "balance balanceamount bill billconfig billjob charge counteradjustment scheduledbalancecharge "
    "scheduledbalancetransaction statementjob"
).split()
CONFIGURATION = (
    "account accountplan aggregation alert commitment compoundaggregation contract counter counterpricing creditreason "
    "customfield meter metergroup organization organizationconfig plan plangroup plangrouplink plantemplate pricing "
    "pricingband product transactiontype"
).split()
OTHERS = (
    "dataexport.job.failure",
    "ingest.validation.failure",
    "integration.authentication.error",
    "integration.disabled.error",
    "integration.missingaccountmapping.error",
    "integration.perform.error",
    "integration.validation.error",
)
NAMES = (
    *(f"billing.{thing}.{change}" for thing in BILLING for change in CHANGES),
    *(f"configuration.{thing}.{change}" for thing in CONFIGURATION for change in CHANGES),
    *OTHERS,
)
BILL_FIELDS = {
    "id": "string",
    "version": "integer",
    "status": "string",
    "locked": "boolean",
    "accountId": "string",
    "accountCode": "string",
    "billDate": "string",
    "dueDate": "string",
    "startDate": "string",
    "endDate": "string",
    "currency": "string",
    "billTotal": "number",
}


def event_type(name: str) -> str:
    """The category an event is filtered by."""
    if name.startswith("integration."):
        return "IntegrationEvent"
    if name.startswith("ingest."):
        return "IngestValidationFailure"
    return "DataExportJobFailure" if name.startswith("dataexport.") else "Notification"


class Events:
    """What happened. Whoever wants to know of new ones registers with `listen`."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._fired: dict[str, list[str]] = {}
        self._listeners: list[Callable[[Row, Row], None]] = []
        memory.emit = self.record_change

    def listen(self, listener: Callable[[Row, Row], None]) -> None:
        """Call this with every event and each rule that it fires."""
        self._listeners.append(listener)

    def routes(self) -> Sequence[Route]:
        """Reading events."""
        path = f"{ORGANISATION}/events"
        return (
            Route("GET", path, "list events", self.list),
            Route("GET", f"{path}/types", "list event types", self.types),
            Route("GET", f"{path}/fields", "list event fields", self.fields),
            Route("GET", f"{path}/{{id}}", "get event", self.get),
        )

    def clear(self) -> None:
        """Forget which rules fired."""
        self._fired.clear()

    def record_change(self, name: str, new: Row | None, old: Row | None) -> None:
        """An entity was created, updated or deleted."""
        data = {"newDto": copy.deepcopy(new)}
        if old is not None:
            data["oldDto"] = copy.deepcopy(old)
        self.record(name, {"eventData": data})

    def record(self, name: str, payload: Row) -> Row:
        """Keep an event, purge old ones, and fire the rules that want it."""
        self._purge()
        now = self.memory.clock.now()
        event = self.memory.events.add(
            {"id": str(uuid.uuid4()), "eventName": name, "eventTime": stamp(now), "dtActioned": None}
            | {"m3terEvent": payload}
        )
        for rule in list(self.memory.notifications):
            if rule["eventName"] == name and rule["active"] and _wants(rule, payload.get("eventData", {})):
                self._fired.setdefault(event["id"], []).append(rule["id"])
                for listener in self._listeners:
                    listener(event, rule)
        return event

    def _purge(self) -> None:
        oldest = self.memory.clock.now() - KEPT
        while (event := self.memory.events.first()) is not None and moment_of(event["eventTime"]) < oldest:
            self.memory.events.remove(event)

    def list(self, request: Request) -> Answer:
        """GET /events."""
        self._purge()
        ids = many(request, "ids")
        others = ("eventName", "eventType", "accountId", "resourceId", "notificationId", "notificationCode")
        if ids and any(one(request, name) for name in others):
            raise Invalid("ids cannot be used with other filters")
        rows = [event for event in self.memory.events.newest_first() if self._matches(event, request, ids)]
        return page(self.memory, [answered(event) for event in rows], self.memory.events, request, most=100)

    def _matches(self, event: Row, request: Request, ids: Sequence[str]) -> bool:
        if ids:
            return event["id"] in ids
        data = event["m3terEvent"].get("eventData", {}).get("newDto") or {}
        fired = self._fired.get(event["id"], [])
        codes = [rule["code"] for rule in self.memory.notifications if rule["id"] in fired]
        account, resource = one(request, "accountId"), one(request, "resourceId")
        rule_id, rule_code = one(request, "notificationId"), one(request, "notificationCode")
        return (
            one(request, "eventName") in (None, event["eventName"])
            and one(request, "eventType") in (None, event_type(event["eventName"]))
            and (truth(request, "includeActioned") is not False or event["dtActioned"] is None)
            and (account is None or account == _account_of(event["eventName"], data))
            and resource in (None, data.get("id"))
            and (rule_id is None or rule_id in fired)
            and (rule_code is None or rule_code in codes)
        )

    def get(self, request: Request) -> Answer:
        """GET /events/{id}."""
        self._purge()
        return Answer(200, answered(self.memory.events.need(request.path_params["id"], kind="Event")))

    def types(self, request: Request) -> Answer:
        """GET /events/types."""
        return Answer(200, {"events": list(NAMES)})

    def fields(self, request: Request) -> Answer:
        """GET /events/fields: for bills what is known, for others the common ones."""
        name = one(request, "eventName")
        if name is not None and name not in NAMES:
            raise Invalid(f"eventName {name} is not known")
        names = NAMES if name is None else (name,)
        common = {"id": "string", "version": "integer"}
        known = {each: BILL_FIELDS if each.startswith("billing.bill.") else common for each in names}
        prefixed = {
            each: {f"{side}.{field}": kind for side in _sides(each) for field, kind in of.items()}
            for each, of in known.items()
        }
        return Answer(200, {"events": prefixed})


def answered(event: Row) -> Row:
    """An event as m3ter answers and sends it; unlike others it shows that it was not actioned."""
    return {name: event[name] for name in ("id", "eventName", "eventTime", "dtActioned", "m3terEvent")}


def _sides(name: str) -> tuple[str, ...]:
    return ("new", "old") if name.endswith(".updated") else ("new",)


def _account_of(name: str, data: Row) -> str | None:
    return data.get("id") if name.startswith("configuration.account.") else data.get("accountId")


def _wants(rule: Row, data: Row) -> bool:
    if rule["alwaysFireEvent"]:
        return True
    try:
        return evaluate(rule["calculation"], {"new": data.get("newDto"), "old": data.get("oldDto")}) is True
    except NotACalculation:
        return False


class Notifications(Resource):
    """Rules: which events are told to whoever is linked."""

    kind = Kind(
        name="Notification",
        plural="Notifications",
        path="/notifications/configurations",
        collection="notifications",
        fields={
            "name": Field(fields.text(1), required=True),
            "description": Field(fields.text(1), required=True),
            "active": Field(fields.flag, default=True),
            "alwaysFireEvent": Field(fields.flag, default=False),
            "calculation": Field(fields.text()),
            "code": Field(fields.text(1), required=True),
            "eventName": Field(fields.text(1), required=True),
        },
        most=100,
        unique_code=True,
        filters=(("eventName", "eventName"),),
    )

    def routes(self) -> Sequence[Route]:
        """The usual five and the trial of a calculation."""
        evaluation = f"{ORGANISATION}/notifications/evaluate"
        return (*super().routes(), Route("POST", evaluation, "evaluate notification", self.evaluate))

    def prepare(self, values: Row, row: Row | None) -> None:
        """The event must exist, and a rule that does not always fire needs a calculation that can be read."""
        name = values["eventName"]
        if name not in NAMES and not name.startswith("scheduled."):
            raise Invalid(f"eventName {name} is not known")
        if values["alwaysFireEvent"]:
            return
        if not values.get("calculation"):
            raise Invalid("calculation is required unless alwaysFireEvent is true")
        problem = _problem(values["calculation"])
        if problem is not None:
            raise Invalid(f"calculation: {problem}")

    def matches(self, row: Row, request: Request) -> bool:
        """Active ones can be asked for."""
        return truth(request, "active") in (None, row["active"])

    def evaluate(self, request: Request) -> Answer:
        """POST /notifications/evaluate: whether a calculation can be read."""
        allowed = {name: Field(fields.text()) for name in ("eventId", "eventName", "calculation")}
        values = fields.read(allowed, request.json)
        problem = _problem(values.get("calculation", ""))
        return Answer(200, {"success": True} if problem is None else {"success": False, "errorMessage": problem})


def _problem(calculation: str) -> str | None:
    try:
        evaluate(calculation, {})
    except NotACalculation as problem:
        return str(problem)
    return None
