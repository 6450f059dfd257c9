"""The m3ter simulator: all parts together under one WSGI application, with its control interface."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from integration_project.vendors.m3ter.simulator import sample
from integration_project.vendors.m3ter.simulator.access import Access, firewall_block
from integration_project.vendors.m3ter.simulator.accounts import AccountPlans, Accounts, Organisation
from integration_project.vendors.m3ter.simulator.bill_jobs import BillJobs, summary
from integration_project.vendors.m3ter.simulator.bills import Bills
from integration_project.vendors.m3ter.simulator.bills import answered as answered_bill
from integration_project.vendors.m3ter.simulator.catalogue import KINDS
from integration_project.vendors.m3ter.simulator.charges import Charges
from integration_project.vendors.m3ter.simulator.charging import Calculator
from integration_project.vendors.m3ter.simulator.counters import CounterAdjustments, Counters
from integration_project.vendors.m3ter.simulator.events import Events, Notifications
from integration_project.vendors.m3ter.simulator.fields import Invalid, stamp
from integration_project.vendors.m3ter.simulator.guesses import BUILT_IN, NOT_SIMULATED, Guesses
from integration_project.vendors.m3ter.simulator.ingest import SIGNED, Ingest
from integration_project.vendors.m3ter.simulator.integrations import (
    ExternalMappings,
    IntegrationConfigs,
    WebhookDestinations,
    Webhooks,
)
from integration_project.vendors.m3ter.simulator.memory import SERVICE_USER, Memory, Row, present, refusal
from integration_project.vendors.m3ter.simulator.resources import Resource
from integration_project.vendors.m3ter.simulator.uploads import Uploads
from integration_project.vendors.m3ter.simulator.usage_queries import UsageQueries
from integration_project.vendors.simulation import (
    Answer,
    BusinessClock,
    ControlError,
    Delivery,
    Fault,
    Handler,
    Outbox,
    Post,
    Request,
    Route,
    Simulator,
    control,
    post_on_loopback,
    real_now,
)

TOKEN_PATH = "/oauth/token"
SAMPLES = (
    ("products", sample.PRODUCTS),
    ("planTemplates", sample.PLAN_TEMPLATES),
    ("plans", sample.PLANS),
    ("planGroups", sample.PLAN_GROUPS),
    ("planGroupLinks", sample.PLAN_GROUP_LINKS),
    ("meters", sample.METERS),
    ("aggregations", sample.AGGREGATIONS),
    ("pricings", sample.PRICINGS),
    ("currencies", sample.CURRENCIES),
    ("counters", sample.COUNTERS),
)


class _Part(Protocol):
    def routes(self) -> Sequence[Route]: ...


class M3terSimulator(Simulator):
    """One m3ter organisation in memory."""

    vendor = "m3ter"
    own_fault_kinds = frozenset({"forbidden", "firewall", "list_lag"})

    def __init__(
        self,
        *,
        clock: BusinessClock | None = None,
        transport_now: Callable[[], datetime] = real_now,
        post: Post = post_on_loopback,
        guesses: Guesses | None = None,
        webhook_url: str | None = None,
    ) -> None:
        clock = clock or BusinessClock()
        self.memory = Memory(
            org_id=sample.ORG_ID, clock=clock, transport_now=transport_now, guesses=guesses or Guesses()
        )
        self._first_guesses = self.memory.guesses
        self._webhook_url = webhook_url
        self.access = Access(self.memory, keys={sample.ACCESS_KEY_ID: sample.API_SECRET}, transport_now=transport_now)
        self.events = Events(self.memory)
        self._accounts, self._account_plans = Accounts(self.memory), AccountPlans(self.memory)
        self._catalogue: tuple[Resource, ...] = tuple(kind(self.memory) for kind in (*KINDS, Counters))
        self._links = (Notifications(self.memory), WebhookDestinations(self.memory), IntegrationConfigs(self.memory))
        self.ingest = Ingest(self.memory, self.events, self._accounts)
        self.uploads = Uploads(self.memory, self.ingest)
        self.bills = Bills(self.memory)
        self.bill_jobs = BillJobs(self.memory, Calculator(self.memory, self._account_plans))
        self._hidden_since: datetime | None = None
        self._out = Outbox(schedule=self._retry, sign=lambda delivery, now: self.webhooks.headers(delivery, now))
        self.webhooks = Webhooks(self.memory, self.events, self._out)
        self.memory.hidden_since = lambda: self._hidden_since
        super().__init__(clock=clock, transport_now=transport_now, post=post)
        self.forget()

    @property
    def guesses(self) -> Guesses:
        """What is assumed about m3ter."""
        return self.memory.guesses

    # What the framework asks for.

    def make_routes(self) -> Sequence[Route]:
        """Every operation."""
        parts: tuple[_Part, ...] = (
            self._accounts,
            self._account_plans,
            Organisation(self._accounts),
            *self._catalogue,
            CounterAdjustments(self.memory),
            Charges(self.memory),
            *self._links,
            self.events,
            self.ingest,
            UsageQueries(self.memory),
            self.uploads,
            self.bills,
            self.bill_jobs,
            ExternalMappings(self.memory),
            self.webhooks,
        )
        token = Route("POST", TOKEN_PATH, "get token", self.access.token)
        found = [token, *(route for part in parts for route in part.routes())]
        return [replace(route, handler=_strict(route.handler)) for route in found]

    def make_outbox(self) -> Outbox:
        """Webhooks on the assumed schedule, signed as assumed."""
        return self._out

    def _retry(self, failed: int) -> float | None:
        waits = self.guesses.webhook_retry_seconds
        return waits[failed - 1] if failed <= len(waits) else None

    def guard(self, request: Request, route: Route) -> None:
        """Firewall, token, organisation, limits; then the faults that only m3ter has."""
        if not request.path.startswith(SIGNED):
            self.access.firewall(request)
        org_id = request.path_params.get("org_id")
        surface = "ingest" if route.operation == "submit measurements" else "config"
        self.access.check(request, org_id, surface=surface, explores=route.operation == "query usage")
        fault = self.faults.take(route.operation, {"forbidden", "firewall"})
        if fault is not None:
            raise firewall_block() if fault.kind == "firewall" else refusal(403, "Forbidden")
        self._hidden_since = self._lag(self.faults.take(route.operation, {"list_lag"}))

    def _lag(self, fault: Fault | None) -> datetime | None:
        """Since when rows are missing from a list: since the fault was set, or for so many seconds."""
        if fault is None:
            return None
        seconds = fault.params.get("seconds")
        return (
            fault.set_at if seconds is None else self.transport_now() - timedelta(microseconds=int(seconds * 1_000_000))
        )

    def error(self, status: int, *, retry_after: int | None = None) -> Answer:
        """m3ter documents a message and no headers."""
        messages = {404: "Not found", 405: "Method not allowed", 429: "Too many requests"}
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return Answer(status, {"message": messages.get(status, "Internal error")}, headers)

    def read(self, request: Request) -> None:
        """Read the body, but not what is put at a signed address: what it is shows when it is looked into."""
        if not request.path.startswith(SIGNED):
            super().read(request)

    def unreadable(self, request: Request) -> Answer:
        """The body is not JSON; only the token endpoint takes forms."""
        if request.path == TOKEN_PATH:
            return self.access.token(request)
        return Answer(400, {"message": "Malformed JSON"})

    def forget(self) -> None:
        """Empty everything and put the sample catalogue back."""
        self.memory.clear()
        self.memory.guesses = self._first_guesses
        for part in (self.access, self.events, self.ingest, self.uploads, self.webhooks, self.bill_jobs):
            part.clear()
        self._seed()

    def contents(self) -> dict[str, Any]:
        """Everything the organisation holds."""
        found = self.memory.contents()
        found["bills"] = [answered_bill(bill) for bill in self.memory.bills]
        deliveries = [
            {"id": each.id, "delivered": each.delivered_at is not None, "attempts": len(each.attempts)}
            for each in self.outbox.deliveries
        ]
        assumed = {"guesses": {**vars(self.guesses), "built_in": list(BUILT_IN)}, "not_simulated": NOT_SIMULATED}
        waiting = {"measurements_waiting": self.ingest.waiting, "bill_failures": list(self.bill_jobs.failures)}
        return {**found, **waiting, **assumed, "deliveries": deliveries}

    def delivered(self, delivery: Delivery) -> None:
        """A webhook was tried: its integration run says how it went."""
        self.webhooks.delivered(delivery)

    def _seed(self) -> None:
        now = stamp(self.clock.now())
        audit = {"dtCreated": now, "dtLastModified": now, "createdBy": SERVICE_USER, "lastModifiedBy": SERVICE_USER}
        self.memory.organization_config = {**copy.deepcopy(sample.ORGANIZATION_CONFIG), "version": 1, **audit}
        self.memory.custom_fields = {**copy.deepcopy(sample.CUSTOM_FIELDS), "version": 1, **audit}
        self.memory.bill_config = {**sample.BILL_CONFIG, "version": 1, **audit}
        self.memory.last_invoice_number = int(sample.ORGANIZATION_CONFIG["sequenceStartNumber"])
        by_path = {resource.kind.collection: resource for resource in self._catalogue}
        for name, rows in SAMPLES:
            resource = by_path["".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)]
            for row in rows:
                resource.added(copy.deepcopy(row))
        self.memory.events.clear()
        if self._webhook_url is not None:
            self.link_webhook(self._webhook_url)

    # Controls.

    @control
    def link_webhook(self, url: str, *, event_name: str = "billing.bill.updated", secret: str | None = None) -> Row:
        """Set up a notification rule, a destination and the link: every such event is posted to the address."""
        with self.lock:
            number = len(self.memory.notifications) + 1
            notifications, destinations, configs = self._links
            rule = notifications.added(
                {"name": f"Rule {number}", "code": f"rule_{number}", "description": "Every change"}
                | {"active": True, "alwaysFireEvent": True, "eventName": event_name}
            )
            credentials = {"type": "M3TER_SIGNED_REQUEST", "apiKey": "simulated", "secret": secret or "simulated"}
            target = destinations.added(
                {"name": f"Webhook {number}", "description": "Bridge", "active": True, "url": url}
                | {"credentials": credentials}
            )
            link = configs.added(
                {"entityType": "Notification", "entityId": rule["id"], "destination": "Webhook"}
                | {"destinationId": target["id"], "configData": {}}
            )
            return {"notificationId": rule["id"], "destinationId": target["id"], "integrationConfigId": link["id"]}

    @control
    def send_webhooks_to(self, url: str | None) -> None:
        """Post every change of a bill to this address from now on, after a reset too; none stops it."""
        with self.lock:
            self._webhook_url = url
            for link in list(self.memory.integration_configs):
                if link["entityType"] == "Notification":
                    self.memory.integration_configs.remove(link)
            if url is not None:
                self.link_webhook(url)

    @control
    def process_measurements(self) -> dict[str, int]:
        """Check and store what was submitted; counts of stored and failed."""
        with self.lock:
            return self.ingest.process()

    @control
    def finish_uploads(self) -> None:
        """Read every uploaded file to its end; its measurements then wait for their check."""
        with self.lock:
            self.uploads.finish()

    @control
    def usage_totals(self, account: str | None = None, meter: str | None = None) -> list[Row]:
        """How often each field was stored and what its numbers come to, by code of account and of meter."""
        with self.lock:
            return [
                {"account": key[0], "meter": key[1], "field": key[2], "count": total.count, "sum": total.sum}
                for key, total in self.memory.measurements.totals().items()
                if account in (None, key[0]) and meter in (None, key[1])
            ]

    @control
    def run_bill_job(self, account_ids: Sequence[str] | None = None, bill_date: str | date | None = None) -> Row:
        """Process what was submitted, then bill accounts (by id or code; else all) for periods ended by the date."""
        with self.lock:
            self.ingest.process()
            values: Row = {} if bill_date is None else {"billDate": str(bill_date)}
            if account_ids is not None:
                values["accountIds"] = [self._account_id(account) for account in account_ids]
            before = len(self.bill_jobs.failures)
            job = self.bill_jobs.start(values)
            self.bill_jobs.finish(job)
            failures = copy.deepcopy(self.bill_jobs.failures[before:])
            return {"id": job["id"], "bill_ids": list(job["billIds"]), "failures": failures}

    @control
    def recalculate(self, bill_id: str) -> Row:
        """Recalculate one bill now; an approved one goes back to PENDING, a locked one stays."""
        with self.lock:
            self.ingest.process()
            self._bill(bill_id)
            self.bill_jobs.finish(self.bill_jobs.start({"billIds": [bill_id]}, kind="RECALCULATE"))
            return answered_bill(self._bill(bill_id))

    @control
    def approve_bill(self, bill_id: str) -> Row:
        """Approve one bill, as a person in m3ter's console does."""
        with self.lock:
            bill = self._bill(bill_id)
            if bill["status"] == "PENDING":
                self.bills.change_status(bill, "APPROVED")
            return answered_bill(bill)

    @control
    def change_bill(self, bill_id: str, **fields: Any) -> Row:
        """Overwrite fields of a bill (rehearsals of odd bills): one version further, and an event."""
        with self.lock:
            bill = self._bill(bill_id)
            old = summary(bill)
            self.memory.bills.change(bill, copy.deepcopy(fields))
            self.memory.emit("billing.bill.updated", summary(bill), old)
            return answered_bill(bill)

    @control
    def enable_native_paddle(self, enabled: bool = True) -> Row:
        """Switch m3ter's own integration of bills to Paddle on or off."""
        with self.lock:
            configs = self._links[2]
            for row in self.memory.integration_configs:
                if row["entityType"] == "Bill":
                    configs.change(row, {"enabled": enabled})
                    return present(row)
            row = configs.added({"entityType": "Bill", "destination": "PADDLE", "configData": {}, "name": "Paddle"})
            configs.change(row, {"enabled": enabled})
            return present(row)

    @control
    def expire_tokens(self) -> None:
        """Refuse every token issued so far."""
        with self.lock:
            self.access.expire_tokens()

    @control
    def refuse_key(self, refused: bool = True) -> None:
        """Refuse the access key, and every token it got; or take it again."""
        with self.lock:
            self.access.expire_tokens()
            self.access.keys = {} if refused else {sample.ACCESS_KEY_ID: sample.API_SECRET}

    @control
    def assume(self, **changes: Any) -> Row:
        """Change what is assumed about m3ter until the next reset."""
        with self.lock:
            self.memory.guesses = replace(self.memory.guesses, **changes)
            return dict(vars(self.memory.guesses))

    @control
    def limit_requests(self, per_second: int | None) -> None:
        """Another limit for the organisation; none switches it off."""
        with self.lock:
            self.access.per_organisation.limit = per_second

    @control
    def tick(self) -> None:
        """What m3ter does by itself: read files, check measurements, move bill jobs on, approve what is due."""
        with self.lock:
            self.uploads.step()
            if self.ingest.waiting:
                self.ingest.process()
            self.bill_jobs.step_all()
            self.bill_jobs.run_scheduled()
            self.bills.approve_what_is_due()

    @control
    def deliver_webhooks(self, *, even_if_not_due: bool = False) -> dict[str, int]:
        """Do what is due by itself, then send the webhooks that are due (or all that wait)."""
        self.tick()
        return super().deliver_webhooks(even_if_not_due=even_if_not_due)

    def _bill(self, bill_id: str) -> Row:
        bill = self.memory.bills.get(bill_id)
        if bill is None:
            raise ControlError(f"There is no bill {bill_id}.")
        return bill

    def _account_id(self, account: str) -> str:
        for row in self.memory.accounts:
            if account in (row["id"], row["code"]):
                return str(row["id"])
        raise ControlError(f"There is no account {account}.")


def _strict(handler: Handler) -> Handler:
    """Turn what a handler finds invalid into m3ter's 400."""

    def strict(request: Request) -> Answer:
        try:
            return handler(request)
        except Invalid as problem:
            raise refusal(400, str(problem)) from None

    return strict
