"""Bills: listing, reading, approving, locking and deleting."""

from collections.abc import Sequence
from datetime import timedelta

from integration_project.vendors.m3ter.simulator import charges, fields, searching
from integration_project.vendors.m3ter.simulator.bill_jobs import summary
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of, stamp
from integration_project.vendors.m3ter.simulator.memory import (
    SERVICE_USER,
    Memory,
    Row,
    many,
    one,
    page,
    page_size,
    present,
    refusal,
    truth,
)
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION, checked_version, related, wanted
from integration_project.vendors.simulation import Answer, Request, Route

SEARCHABLE = frozenset(
    {"accountId", "locked", "billDate", "startDate", "endDate", "dueDate", "billingFrequency", "id", "ids"}
    | {"createdBy", "dtCreated", "lastModifiedBy"}
)
RANGES = (
    ("billDateStart", "billDateEnd", "billDate"),
    ("externalInvoiceDateStart", "externalInvoiceDateEnd", "externalInvoiceDate"),
)
APPROVAL = {"billIds": Field(fields.several(fields.text(1), fewest=1), required=True)}
STATUS = {"status": Field(fields.choice("PENDING", "APPROVED"), required=True)}
LOCK_DATE = {"version": Field(fields.integer()), "billLockDate": Field(fields.day)}


class Bills:
    """What accounts owe. The life cycle: PENDING, APPROVED, locked; recalculation is the jobs' business."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def routes(self) -> Sequence[Route]:
        """Every call on bills and their lines."""
        path, config = f"{ORGANISATION}/bills", f"{ORGANISATION}/billconfig"
        return (
            Route("GET", path, "list bills", self.list_bills),
            Route("GET", f"{path}/search", "search bills", self.search),
            Route("POST", f"{path}/approve", "approve bills", self.approve),
            Route("GET", f"{path}/latest/{{account_id}}", "get latest bill", self.latest),
            Route("GET", f"{path}/accountid/{{account_id}}", "list bills of account", self.of_account),
            Route("GET", f"{path}/{{id}}", "get bill", self.get),
            Route("DELETE", f"{path}/{{id}}", "delete bill", self.delete),
            Route("PUT", f"{path}/{{id}}/status", "update bill status", self.set_status),
            Route("PUT", f"{path}/{{id}}/lock", "lock bill", self.lock),
            Route("GET", f"{path}/{{id}}/lineitems", "list bill line items", self.lines),
            Route("GET", f"{path}/{{id}}/lineitems/{{line_id}}", "get bill line item", self.line),
            Route("GET", config, "get bill config", self.get_config),
            Route("PUT", config, "update bill config", self.put_config),
        )

    # Reading.

    def list_bills(self, request: Request) -> Answer:
        """GET /bills."""
        rows = [row for row in self.memory.bills.newest_first() if self._matches(row, request)]
        lines, total = truth(request, "excludeLineItems") is not True, truth(request, "includeBillTotal") is True
        shown = [answered(row, lines=lines, total=total) for row in rows]
        return page(self.memory, shown, self.memory.bills, request, most=100)

    def _matches(self, row: Row, request: Request) -> bool:
        ids = many(request, "ids")
        status = one(request, "status")
        if status not in (None, "PENDING", "APPROVED"):
            raise Invalid("status must be PENDING or APPROVED")
        if (ids and row["id"] not in ids) or truth(request, "locked") not in (None, row["locked"]):
            return False
        for start_name, end_name, field in RANGES:
            start, end = _day(request, start_name), _day(request, end_name)
            if (start is not None and row[field] < start) or (end is not None and row[field] >= end):
                return False
        single = ("accountId", "status", "billJobId", "billingFrequency")
        return _day(request, "billDate") in (None, row["billDate"]) and wanted(
            request, row, *((name, name) for name in single)
        )

    def search(self, request: Request) -> Answer:
        """GET /bills/search."""
        found = searching.search(self.memory, self.memory.bills, request, searchable=SEARCHABLE)
        return Answer(200, {**found.body, "data": [answered(row) for row in found.body["data"]]})

    def of_account(self, request: Request) -> Answer:
        """GET /bills/accountid/{accountId}."""
        rows = [
            answered(row)
            for row in self.memory.bills.newest_first()
            if row["accountId"] == request.path_params["account_id"]
        ]
        return page(self.memory, rows, self.memory.bills, request, most=100)

    def latest(self, request: Request) -> Answer:
        """GET /bills/latest/{accountId}."""
        account_id = request.path_params["account_id"]
        rows = [row for row in self.memory.bills.newest_first() if row["accountId"] == account_id]
        if not rows:
            raise refusal(404, f"No Bill for Account {account_id}")
        return Answer(200, answered(max(rows, key=lambda row: str(row["endDate"]))))

    def get(self, request: Request) -> Answer:
        """GET /bills/{id}."""
        return Answer(200, answered(self._needed(request)))

    def lines(self, request: Request) -> Answer:
        """GET the lines of one bill."""
        bill = self._needed(request)
        size = page_size(request, most=100, default=self.memory.guesses.default_page_size)
        token = one(request, "nextToken") or "0"
        if not (token.isascii() and token.isdigit()):
            raise Invalid("nextToken is not valid")
        first = int(token)
        body: Row = {"data": [_line(bill, line) for line in bill["lineItems"][first : first + size]]}
        if len(bill["lineItems"]) > first + size:
            body["nextToken"] = str(first + size)
        return Answer(200, body)

    def line(self, request: Request) -> Answer:
        """GET one line of a bill."""
        bill = self._needed(request)
        for line in bill["lineItems"]:
            if line["id"] == request.path_params["line_id"]:
                return Answer(200, _line(bill, line))
        raise refusal(404, f"BillLineItem {request.path_params['line_id']} not found")

    def _needed(self, request: Request) -> Row:
        return self.memory.bills.need(request.path_params["id"], kind="Bill")

    # Changing.

    def approve(self, request: Request) -> Answer:
        """POST /bills/approve answers with a sentence only."""
        ids = fields.read(APPROVAL, request.json)["billIds"]
        bills = [related(self.memory.bills, bill_id, field="billIds") for bill_id in ids]
        for bill in bills:
            if bill["status"] == "PENDING":
                self.change_status(bill, "APPROVED")
        return Answer(200, {"message": f"{len(bills)} bills approved"})

    def set_status(self, request: Request) -> Answer:
        """PUT /bills/{id}/status."""
        bill = self._needed(request)
        status = fields.read(STATUS, request.json)["status"]
        if bill["locked"]:
            raise Invalid("Bill is locked and cannot be updated")
        if bill["status"] != status:
            self.change_status(bill, status)
        return Answer(200, answered(bill))

    def change_status(self, bill: Row, status: str) -> None:
        """Approve a bill or take its approval back."""
        approved = status == "APPROVED"
        now = stamp(self.memory.clock.now())
        who = {"dtApproved": now, "approvedBy": SERVICE_USER} if approved else {"dtApproved": None, "approvedBy": None}
        self._change(bill, {"status": status, **who})

    def lock(self, request: Request) -> Answer:
        """PUT /bills/{id}/lock; not while it is PENDING."""
        bill = self._needed(request)
        if bill["status"] == "PENDING":
            raise Invalid("Bill is PENDING and cannot be locked")
        if bill["locked"]:
            if self.memory.guesses.locking_twice_is_refused:
                raise Invalid("Bill is locked and cannot be updated")
            return Answer(200, answered(bill))
        self._lock(bill)
        return Answer(200, answered(bill))

    def _lock(self, bill: Row) -> None:
        self._change(bill, {"locked": True, "dtLocked": stamp(self.memory.clock.now()), "lockedBy": SERVICE_USER})

    def delete(self, request: Request) -> Answer:
        """DELETE /bills/{id}, unless locked."""
        bill = self._needed(request)
        if bill["locked"]:
            raise Invalid("Bill is locked and cannot be deleted")
        charges.billed_on(self.memory, charges.of_bill(self.memory, bill), None)
        self.memory.bills.remove(bill)
        self.memory.emit("billing.bill.deleted", summary(bill), summary(bill))
        return Answer(200, answered(bill))

    def approve_what_is_due(self) -> None:
        """Approve bills whose grace period is over, if the organisation wants that."""
        config = self.memory.organization_config
        grace = config.get("autoApproveBillsGracePeriod")
        if grace is None:
            return
        unit = {"MINUTES": "minutes", "HOURS": "hours", "DAYS": "days"}
        wait = timedelta(**{unit[config.get("autoApproveBillsGracePeriodUnit") or "DAYS"]: grace})
        for bill in list(self.memory.bills):
            over = moment_of(bill["lastCalculatedDate"]) + wait <= self.memory.clock.now()
            if bill["status"] == "PENDING" and over:
                self.change_status(bill, "APPROVED")

    def _change(self, bill: Row, values: Row) -> None:
        old = summary(bill)
        self.memory.bills.change(bill, values)
        self.memory.emit("billing.bill.updated", summary(bill), old)

    # Locking by date.

    def get_config(self, request: Request) -> Answer:
        """GET /billconfig."""
        return Answer(200, present(self.memory.bill_config))

    def put_config(self, request: Request) -> Answer:
        """PUT /billconfig: locks what ended by the date, unlocks what did not."""
        values = fields.read(LOCK_DATE, request.json)
        config = self.memory.bill_config
        checked_version(request, config, self.memory)
        until = values.get("billLockDate")
        ended = [bill for bill in self.memory.bills if until is not None and bill["endDate"] <= until]
        if any(bill["status"] == "PENDING" for bill in ended):
            raise Invalid("A Bill in the period is PENDING")
        for bill in self.memory.bills:
            if bill in ended and not bill["locked"]:
                self._lock(bill)
            elif bill not in ended and bill["locked"]:
                self._change(bill, {"locked": False, "dtLocked": None, "lockedBy": None})
        config.update(billLockDate=until, version=config["version"] + 1, dtLastModified=stamp(request.at))
        return Answer(200, present(config))


def _day(request: Request, name: str) -> str | None:
    value = one(request, name)
    return None if value is None else str(fields.day(name, value))


def answered(bill: Row, *, lines: bool = True, total: bool = True) -> Row:
    """A bill as answered; lists leave out lines and total on request."""
    hidden = {"_number"} | (set() if lines else {"lineItems"}) | (set() if total else {"billTotal"})
    return {name: value for name, value in present(bill).items() if name not in hidden}


def _line(bill: Row, line: Row) -> Row:
    """A line from the line-item calls: there the bands are called `bandUsage`."""
    audit = {name: bill[name] for name in ("version", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy")}
    own = {name: value for name, value in line.items() if name != "usagePerPricingBand"}
    bands = line["usagePerPricingBand"]
    return {**own, **audit, "billId": bill["id"], "bandUsage": bands, "jsonUsageGenerated": False}
