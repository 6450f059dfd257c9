"""External mappings, integration configurations, and the webhooks m3ter sends for notification rules."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.events import Events, answered
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of, stamp
from integration_project.vendors.m3ter.simulator.memory import (
    Collection,
    Memory,
    Row,
    many,
    one,
    page,
    present,
    refusal,
)
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION, Kind, Resource, wanted
from integration_project.vendors.simulation import Answer, Delivery, Outbox, Request, Route, encode_json

CODE = Field(fields.code(None), required=True)
SYSTEMS = {"Paddle": ("Customer", "Subscription"), "Stripe": ("Customer",), "Xero": ("Contact",)}
MAPPED_ENTITIES = ("Account", "AccountPlan", "Bill", "Plan", "Product")
NATIVE = ("PADDLE", "PADDLE_SANDBOX")
CREDENTIAL_TYPES = ("M3TER_SIGNED_REQUEST",)
RUN_STATUSES = (
    "WAITING STARTED COMPLETE ERROR AWAITING_RETRY AUTH_FAILED ACCOUNTING_PERIOD_CLOSED INVOICE_ALREADY_PAID DISABLED "
    "TIMEOUT_LIMIT_EXCEEDED RATE_LIMIT_RETRY"
).split()


class ExternalMappings(Resource):
    """This m3ter entity is that entity over there."""

    kind = Kind(
        name="ExternalMapping",
        plural="ExternalMappings",
        path="/externalmappings",
        collection="external_mappings",
        fields={
            "m3terEntity": CODE,
            "m3terId": CODE,
            "externalSystem": CODE,
            "externalTable": CODE,
            "externalId": CODE,
            "integrationConfigId": Field(fields.text()),
        },
        most=200,
        filters=(("externalSystemId", "externalSystem"), ("m3terIds", "m3terId")),
    )

    def routes(self) -> Sequence[Route]:
        """The usual five, both look-ups, and what may be mapped."""
        path = f"{ORGANISATION}/externalmappings"
        outside = f"{path}/externalid/{{system}}/{{table}}/{{external_id}}"
        allowed = f"{ORGANISATION}/externalmappingconfiguration"
        return (
            *super().routes(),
            Route("GET", outside, "find external mapping", self.by_external),
            Route("GET", f"{path}/external/{{entity}}/{{m3ter_id}}", "list external mappings of entity", self.by_m3ter),
            Route("GET", allowed, "get external mapping configuration", self.configuration),
            Route("GET", f"{allowed}/values/{{destination}}/{{entity}}", "list external mapping values", self.values),
        )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The same mapping twice is refused."""
        same = ("m3terEntity", "m3terId", "externalSystem", "externalTable", "externalId", "integrationConfigId")
        status = self.memory.guesses.duplicate_mapping_status
        for other in self.rows.having("m3terId", values["m3terId"]):
            if status and other is not row and all(other.get(name) == values.get(name) for name in same):
                raise refusal(status, "ExternalMapping already exists")

    def matches(self, row: Row, request: Request) -> bool:
        """Mappings of one integration can be asked for."""
        return wanted(request, row, ("integrationConfigId",) * 2)

    def by_external(self, request: Request) -> Answer:
        """GET by the other system's id."""
        path = request.path_params
        key = (path["system"], path["table"], path["external_id"])
        return self._found(request, ("externalSystem", "externalTable", "externalId"), key)

    def by_m3ter(self, request: Request) -> Answer:
        """GET by m3ter's id."""
        path = request.path_params
        return self._found(request, ("m3terEntity", "m3terId"), (path["entity"], path["m3ter_id"]))

    def _found(self, request: Request, names: Sequence[str], key: Sequence[str]) -> Answer:
        known = self.rows.newest_first(**{names[-1]: key[-1:]})
        rows = [present(row) for row in known if tuple(row[name] for name in names) == tuple(key)]
        return page(self.memory, rows, self.rows, request, most=200)

    def configuration(self, request: Request) -> Answer:
        """GET what may be mapped."""
        systems = [
            {"name": name, "tables": list(tables), "allowCustomExternalTables": True}
            for name, tables in SYSTEMS.items()
        ]
        return Answer(200, {"m3terEntities": list(MAPPED_ENTITIES), "externalSystems": systems})

    def values(self, request: Request) -> Answer:
        """GET candidates of the other system: unsupported, so none."""
        return Answer(200, [])


class IntegrationConfigs(Resource):
    """Which entity goes to which destination."""

    kind = Kind(
        name="IntegrationConfig",
        plural="IntegrationConfigs",
        path="/integrationconfigs",
        collection="integration_configs",
        fields={
            "entityType": Field(fields.word, required=True),
            "entityId": Field(fields.text()),
            "destination": Field(fields.word, required=True),
            "destinationId": Field(fields.text()),
            "configData": Field(fields.mapping(fields.anything), default={}),
            "credentials": Field(fields.mapping(fields.anything)),
            "integrationCredentialsId": Field(fields.text()),
            "name": Field(fields.text()),
        },
        most=200,
        filters=(("destinationId", "destinationId"),),
    )

    def routes(self) -> Sequence[Route]:
        """The usual five, re-enabling, by entity, and what exists."""
        path = f"{ORGANISATION}/integrationconfigs"
        available = f"{path}/available"
        return (
            Route("GET", available, "get available integrations", self.available),
            Route("GET", f"{available}/systems", "list available systems", self.systems),
            Route("GET", f"{path}/entity/{{entity_type}}", "list integration configs of entity", self.of_entity),
            *super().routes(),
            Route("POST", f"{path}/{{id}}/enable", "enable integration config", self.enable),
        )

    def prepare(self, values: Row, row: Row | None) -> None:
        """New ones are enabled and authorised; an update leaves that as it is."""
        values.pop("credentials", None)
        kept = row or {"enabled": True, "authorized": True, "triggerType": "EVENT"}
        values.update({name: kept[name] for name in ("enabled", "authorized", "triggerType")})

    def shown(self, row: Row) -> Row:
        """Credentials are never answered."""
        return {name: value for name, value in present(row).items() if name != "credentials"}

    def enable(self, request: Request) -> Answer:
        """POST enable, after automatic disabling."""
        row = self.needed(request)
        self.change(row, {"enabled": True})
        return Answer(200, self.shown(row))

    def of_entity(self, request: Request) -> Answer:
        """GET by entity type."""
        rows = [
            self.shown(row)
            for row in self.rows.newest_first()
            if row["entityType"] == request.path_params["entity_type"]
            and wanted(request, row, *((name, name) for name in ("entityId", "destination", "destinationId")))
        ]
        return page(self.memory, rows, self.rows, request, most=200)

    def available(self, request: Request) -> Answer:
        """GET what exists: bills to Paddle, live and sandbox, and notifications to webhooks; no options."""
        entities = {"Bill": NATIVE, "Notification": ("WEBHOOK",)}
        chosen, options = one(request, "entityType"), {"empty": True}
        supported = {
            entity: {
                "readableName": entity,
                "released": True,
                "entityConfigurationOptions": options,
                "destinations": [_destination(name, options) for name in names],
            }
            for entity, names in entities.items()
            if chosen in (None, entity)
        }
        return Answer(
            200, {"supportedEntities": supported, "selectedConfigurations": {}, "globalConfigurationOptions": options}
        )

    def systems(self, request: Request) -> Answer:
        """GET the systems there are."""
        paddle = {"identifier": "Paddle", "displayName": "Paddle", "supportedAuthTypes": ["PADDLE"]}
        webhook = {"identifier": "Webhook", "displayName": "Webhook", "supportedAuthTypes": ["M3TER_SIGNED_REQUEST"]}
        return Answer(200, [{**system, "validationSupported": False} for system in (paddle, webhook)])


def _destination(name: str, options: Row) -> Row:
    return {
        "apiName": name,
        "destination": name.replace("_", " ").title(),
        "displayName": name.replace("_", " ").title(),
        "destinationConfigOptions": options,
        "authConfigOptions": options,
        "released": True,
        "authType": "PADDLE_AUTH" if name in NATIVE else "M3TER_SIGNED_REQUEST",
        "categories": [],
    }


class WebhookDestinations(Resource):
    """Where notifications go."""

    kind = Kind(
        name="WebhookDestination",
        plural="WebhookDestinations",
        path="/integrationdestinations/webhooks",
        collection="webhook_destinations",
        fields={
            "name": Field(fields.text(1), required=True),
            "description": Field(fields.text(1), required=True),
            "code": Field(fields.text()),
            "active": Field(fields.flag, default=True),
            "url": Field(fields.text(1), required=True),
            "credentials": Field(
                fields.record(
                    {
                        "version": Field(fields.integer()),
                        "empty": Field(fields.flag),
                        "type": Field(fields.choice(*CREDENTIAL_TYPES), required=True),
                        "name": Field(fields.text()),
                        "destination": Field(fields.choice("WEBHOOK")),
                        "apiKey": Field(fields.text(1), required=True),
                        "secret": Field(fields.text(1), required=True),
                    }
                ),
                required=True,
            ),
        },
        most=200,
    )

    def routes(self) -> Sequence[Route]:
        """The usual five and switching on and off."""
        path = f"{ORGANISATION}/integrationdestinations/webhooks/{{id}}/active"
        return (*super().routes(), Route("PUT", path, "activate webhook destination", self.activate))

    def prepare(self, values: Row, row: Row | None) -> None:
        """The address must be one; the credentials get an id and a version of their own."""
        parts = urlsplit(values["url"])
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid("url must be a valid URL")
        before = {} if row is None else row["credentials"]
        version = before.get("version", 0) + 1
        own = {"id": before.get("id") or str(uuid.uuid4()), "version": version, "destination": "WEBHOOK"}
        values["credentials"] = {**values["credentials"], **own}

    def activate(self, request: Request) -> Answer:
        """PUT active=true or false."""
        active = one(request, "active") or ""
        if active not in ("true", "false"):
            raise Invalid("active must be true or false")
        row = self.needed(request)
        self.change(row, {"active": active == "true"})
        return Answer(200, self.shown(row))


class Webhooks:
    """Each notification that is sent is an integration run; it is retried on the transport clock."""

    def __init__(self, memory: Memory, events: Events, outbox: Outbox) -> None:
        self.memory = memory
        self._events = events
        self._outbox = outbox
        self._failures: dict[str, int] = {}
        events.listen(self.queue)

    def routes(self) -> Sequence[Route]:
        """Reading integration runs."""
        path = f"{ORGANISATION}/integrationruns"
        return (
            Route(
                "GET", f"{path}/destinations/{{destination_id}}", "list integration runs of destination", self.by_target
            ),
            Route("GET", f"{path}/logs/{{id}}", "get integration run log", self.log),
            Route("GET", f"{path}/{{entity_type}}/latest", "get latest integration runs", self.latest_of_many),
            Route("GET", f"{path}/{{entity_type}}/latest/{{entity_id}}", "get latest integration run", self.latest),
            Route("GET", f"{path}/{{entity_type}}/{{entity_id}}", "list integration runs", self.of_entity),
            Route("GET", f"{path}/{{id}}", "get integration run", self.get),
        )

    @property
    def runs(self) -> Collection:
        """All deliveries."""
        return self.memory.integration_runs

    def clear(self) -> None:
        """Forget how often links failed."""
        self._failures.clear()

    # Sending.

    def queue(self, event: Row, rule: Row) -> None:
        """A rule fired: one run for each webhook linked to it."""
        for link in list(self.memory.integration_configs):
            target = self.memory.webhook_destinations.get(link.get("destinationId"))
            is_link = link["entityType"] == "Notification" and link["destination"].upper() == "WEBHOOK"
            if not is_link or link.get("entityId") != rule["id"] or not link["enabled"]:
                continue
            if target is None or not target["active"]:
                continue
            run = self.runs.add(
                {
                    "entityType": "Notification",
                    "entityId": rule["id"],
                    "status": "WAITING",
                    "destination": "Webhook",
                    "destinationId": target["id"],
                    "_link": link["id"],
                }
            )
            body = encode_json({**answered(event), "notificationCode": rule["code"]})
            now = self.memory.transport_now()
            self._outbox.add(Delivery(run["id"], target["url"], body, now, destination=target["id"]))

    def headers(self, delivery: Delivery, now: datetime) -> dict[str, str]:
        """The signature as assumed."""
        target = self.memory.webhook_destinations.get(delivery.destination)
        if target is None:
            return {}
        guesses, at = self.memory.guesses, str(int(now.timestamp()))
        signed = hmac.new(
            target["credentials"]["secret"].encode(), at.encode() + b"." + delivery.body, hashlib.sha256
        ).hexdigest()
        return {
            guesses.webhook_key_header: target["credentials"]["apiKey"],
            guesses.webhook_time_header: at,
            guesses.webhook_signature_header: signed,
        }

    def delivered(self, delivery: Delivery) -> None:
        """Record an attempt; too many failures in a row disable the link."""
        run = self.runs.get(delivery.id)
        if run is None:
            return
        attempt = delivery.attempts[-1]
        started = run.get("dtStarted") or stamp(self.memory.clock.now())
        link_id = run["_link"]
        if delivery.delivered_at is not None:
            self._failures.pop(link_id, None)
            done = stamp(self.memory.clock.now())
            self.runs.change(run, {"status": "COMPLETE", "dtStarted": started, "dtCompleted": done, "error": None})
            return
        error = f"HTTP status {attempt.status}" if attempt.status else "No answer within the time limit"
        failed = "ERROR" if attempt.status else "TIMEOUT_LIMIT_EXCEEDED"
        status = failed if delivery.given_up else "AWAITING_RETRY"
        done_at = stamp(self.memory.clock.now()) if delivery.given_up else None
        self.runs.change(run, {"status": status, "dtStarted": started, "dtCompleted": done_at, "error": error})
        self._failures[link_id] = self._failures.get(link_id, 0) + 1
        if self._failures[link_id] >= self.memory.guesses.webhook_failures_until_disabled:
            self._disable(link_id)

    def _disable(self, link_id: str) -> None:
        link = self.memory.integration_configs.get(link_id)
        if link is None or not link["enabled"]:
            return
        self.memory.integration_configs.change(link, {"enabled": False})
        details = {"integrationConfigId": link_id, "destinationId": link.get("destinationId")}
        self._events.record("integration.disabled.error", {"eventData": {"newDto": details}})

    # Reading.

    def _listed(self, request: Request, **having: str) -> Answer:
        status, order = one(request, "status"), one(request, "order") or "DESC"
        if status is not None and status not in RUN_STATUSES:
            raise Invalid(f"status must be one of {', '.join(RUN_STATUSES)}")
        if order not in ("ASC", "DESC"):
            raise Invalid("order must be ASC or DESC")
        start, end = one(request, "startDate"), one(request, "endDate")
        rows = [
            shown_run(run)
            for run in self.runs.newest_first()
            if all(run.get(name) == value for name, value in having.items())
            and status in (None, run["status"])
            and (start is None or moment_of(run["dtCreated"]) >= moment_of(fields.moment("startDate", start)))
            and (end is None or moment_of(run["dtCreated"]) < moment_of(fields.moment("endDate", end)))
        ]
        if order == "ASC":
            rows.reverse()
            return Answer(200, {"data": rows})
        return page(self.memory, rows, self.runs, request, most=200)

    def of_entity(self, request: Request) -> Answer:
        """GET the runs of one entity."""
        path = request.path_params
        return self._listed(request, entityType=path["entity_type"], entityId=path["entity_id"])

    def by_target(self, request: Request) -> Answer:
        """GET the runs to one destination."""
        return self._listed(request, destinationId=request.path_params["destination_id"])

    def latest(self, request: Request) -> Answer:
        """GET the newest run of one entity."""
        path = request.path_params
        for run in self.runs.newest_first():
            if (run["entityType"], run["entityId"]) == (path["entity_type"], path["entity_id"]):
                return Answer(200, shown_run(run))
        raise refusal(404, "IntegrationRun not found")

    def latest_of_many(self, request: Request) -> Answer:
        """GET the newest run of the first of several entities that has one."""
        ids = many(request, "ids")
        for run in self.runs.newest_first():
            if run["entityType"] == request.path_params["entity_type"] and run["entityId"] in ids:
                return Answer(200, shown_run(run))
        raise refusal(404, "IntegrationRun not found")

    def get(self, request: Request) -> Answer:
        """GET one run."""
        return Answer(200, shown_run(self.runs.need(request.path_params["id"], kind="IntegrationRun")))

    def log(self, request: Request) -> Answer:
        """GET the log of one run, in base64."""
        run = self.runs.need(request.path_params["id"], kind="IntegrationRun")
        text = f"{run['status']} {run.get('error') or ''}".strip()
        return Answer(200, {"Payload": base64.b64encode(text.encode()).decode()})


def shown_run(run: Row) -> Row:
    """A run as answered."""
    return {name: value for name, value in present(run).items() if not name.startswith("_")}
