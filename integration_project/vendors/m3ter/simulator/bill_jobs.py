"""Bill jobs: which bills fall due, calculating them, and recalculating them."""

import copy
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from integration_project.vendors.m3ter.simulator import charges, fields
from integration_project.vendors.m3ter.simulator.accounts import CONVERSION
from integration_project.vendors.m3ter.simulator.charging import Attached, Bill, BillFails, Calculator, Period
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, stamp
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, one, page, present, refusal, truth
from integration_project.vendors.m3ter.simulator.periods import Cycle, midnight
from integration_project.vendors.m3ter.simulator.rating import Currency
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION, related
from integration_project.vendors.simulation import Answer, Request, Route

RUNNING_AT_ONCE = 10
STEPS = {"PENDING": "INITIALIZING", "INITIALIZING": "RUNNING", "RUNNING": "COMPLETE"}
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY", "AD_HOC")
JOB = {
    "accountIds": Field(fields.several(fields.text(1), fewest=1, most=100)),
    "billingFrequency": Field(fields.choice(*FREQUENCIES)),
    "billFrequencyInterval": Field(fields.integer(1)),
    "billDate": Field(fields.day),
    "lastDateInBillingPeriod": Field(fields.day),
    "externalInvoiceDate": Field(fields.day),
    "dueDate": Field(fields.day),
    "targetCurrency": Field(fields.text(3, 3)),
    "currencyConversions": Field(fields.several(fields.record(CONVERSION), most=250)),
    "timezone": Field(fields.zone),
    "yearEpoch": Field(fields.day),
    "monthEpoch": Field(fields.day),
    "weekEpoch": Field(fields.day),
    "dayEpoch": Field(fields.day),
    "version": Field(fields.integer()),
}
RECALCULATION = {
    "billIds": Field(fields.several(fields.text(1), fewest=1, most=100), required=True),
    "version": Field(fields.integer()),
}


class BillJobs:
    """Jobs run one step at a time: each look at a job, and each tick of a served simulator, is a step."""

    def __init__(self, memory: Memory, calculator: Calculator) -> None:
        self.memory = memory
        self._calculator = calculator
        self.failures: list[Row] = []
        self.last_scheduled: datetime | None = None

    def routes(self) -> Sequence[Route]:
        """Run, recalculate, watch, cancel."""
        path = f"{ORGANISATION}/billjobs"
        return (
            Route("POST", path, "create bill job", self.create),
            Route("GET", path, "list bill jobs", self.list_jobs),
            Route("POST", f"{path}/recalculate", "recalculate bills", self.recalculate),
            Route("GET", f"{path}/{{id}}", "get bill job", self.get),
            Route("POST", f"{path}/{{id}}/cancel", "cancel bill job", self.cancel),
        )

    def create(self, request: Request) -> Answer:
        """POST /billjobs."""
        return Answer(200, present(self.start(fields.read(JOB, request.json))))

    def recalculate(self, request: Request) -> Answer:
        """POST /billjobs/recalculate."""
        values = fields.read(RECALCULATION, request.json)
        for bill_id in values["billIds"]:
            related(self.memory.bills, bill_id, field="billIds")
        return Answer(200, present(self.start({"billIds": values["billIds"]}, kind="RECALCULATE")))

    def list_jobs(self, request: Request) -> Answer:
        """GET /billjobs."""
        active, status = truth(request, "active"), one(request, "status")
        rows = [
            present(job)
            for job in self.memory.bill_jobs.newest_first()
            if active in (None, job["status"] in STEPS) and status in (None, job["status"])
        ]
        return page(self.memory, rows, self.memory.bill_jobs, request, most=100)

    def get(self, request: Request) -> Answer:
        """GET one; looking at a job moves it one step."""
        job = self.memory.bill_jobs.need(request.path_params["id"], kind="BillJob")
        self.step(job)
        return Answer(200, present(job))

    def cancel(self, request: Request) -> Answer:
        """POST cancel, while it has not finished."""
        job = self.memory.bill_jobs.need(request.path_params["id"], kind="BillJob")
        if job["status"] not in STEPS:
            raise Invalid(f"BillJob is {job['status']} and cannot be cancelled")
        self._change(job, status="CANCELLED", pending=0)
        return Answer(200, present(job))

    def start(self, values: Row, *, kind: str = "CREATE") -> Row:
        """Queue a job, unless ten are under way."""
        if sum(job["status"] in STEPS for job in self.memory.bill_jobs) >= RUNNING_AT_ONCE:
            raise refusal(429, "Too many bill jobs are running")
        accounts = values.get("accountIds") or [account["id"] for account in self.memory.accounts]
        for account_id in values.get("accountIds", []):
            related(self.memory.accounts, account_id, field="accountIds")
        total = len(values["billIds"]) if kind == "RECALCULATE" else len(accounts)
        values = {"timezone": self.memory.organization_config["timezone"], **values}
        values.pop("version", None)
        job = self.memory.bill_jobs.add(
            {
                **values,
                "status": "PENDING",
                "type": kind,
                "total": total,
                "pending": total,
                "billIds": values.get("billIds"),
            }
        )
        self.memory.emit("billing.billjob.created", present(job), None)
        return job

    def clear(self) -> None:
        """Forget what failed and when the last scheduled job ran."""
        self.failures.clear()
        self.last_scheduled = None

    def step(self, job: Row) -> None:
        """Move a job one state on; entering COMPLETE is when the bills change."""
        following = STEPS.get(job["status"])
        if following is None:
            return
        if following == "COMPLETE":
            self._run(job)
        self._change(job, status=following)

    def run_scheduled(self) -> None:
        """Run the organisation's own job when its interval has passed."""
        hours = self.memory.organization_config.get("scheduledBillInterval")
        if not hours:
            return
        now = self.memory.clock.now()
        if self.last_scheduled is None or now - self.last_scheduled >= timedelta(minutes=int(hours * 60)):
            self.last_scheduled = now
            self.finish(self.start({}))

    def step_all(self) -> None:
        """Move every job that is under way one state on."""
        for job in list(self.memory.bill_jobs):
            self.step(job)

    def finish(self, job: Row) -> None:
        """Run a job to its end."""
        while job["status"] in STEPS:
            self.step(job)

    def _change(self, job: Row, **values: object) -> None:
        old = present(dict(job))
        self.memory.bill_jobs.change(job, values)
        self.memory.emit("billing.billjob.updated", present(job), old)

    def _run(self, job: Row) -> None:
        if job["type"] == "RECALCULATE":
            bills = [self.memory.bills.get(bill_id) for bill_id in job["billIds"]]
            for bill in bills:
                if bill is not None and not bill["locked"]:
                    self._attempt(job, self.memory.accounts.need(bill["accountId"], kind="Account"), bill)
        else:
            job["billIds"] = []
            for account in list(self.memory.accounts):
                if account["id"] in (job.get("accountIds") or [account["id"]]):
                    self._attempt(job, account, None)
        job["pending"] = 0

    def _attempt(self, job: Row, account: Row, bill: Row | None) -> None:
        try:
            if bill is None:
                self._bill_account(job, account)
            else:
                self._recalculate(job, account, bill)
        except BillFails as problem:
            self.failures.append({"billJobId": job["id"], "accountId": account["id"], "error": str(problem)})

    # Which bills.

    def _bill_account(self, job: Row, account: Row) -> None:
        found = [one for one in self._calculator.attached(account) if _wanted(job, one.cycle)]
        key = _cycle_key
        for _, members in groupby(sorted(found, key=key), key=key):
            attached = list(members)
            for period in self._periods(job, account, attached):
                self._make(job, account, attached, period)

    def _periods(self, job: Row, account: Row, attached: Sequence[Attached]) -> Iterator[Period]:
        """All periods that ended by the job's date and have no bill yet, and the last one that has."""
        zone, cycle = self._calculator.zone(), attached[0].cycle
        until = self._last_day(job)
        begins = min(one.starts for one in attached).astimezone(zone).date()
        ends = [one.ends for one in attached]
        finishes = None if None in ends else max(end for end in ends if end is not None)
        first_date = max(begins, cycle.epoch - timedelta(days=1))
        billed = [date.fromisoformat(bill["endDate"]) for bill in self._bills_of(account, cycle)]
        last = max(billed, default=None)
        previous = begins
        ended: list[Period] = []
        for number, end in enumerate(cycle.billing_dates(after=first_date, until=until)):
            first = min(previous, cycle.boundary(cycle.index_at(end) - 1)) if number == 0 else previous
            if last is not None and first < last < end:
                first = last
            previous = end
            if finishes is not None and midnight(first, zone) >= finishes:
                break
            ended.append(Period(first, end, number, zone, cycle))
        ended += self._to_date(job, Period(max(previous, last or previous), until, len(ended), zone, cycle), finishes)
        yield from (period for period in ended[:-1] if last is None or period.end > last)
        yield from (period for period in ended[-1:] if last is None or period.end >= last)

    @staticmethod
    def _to_date(job: Row, part: Period, finishes: datetime | None) -> list[Period]:
        """The part of a running period up to the last day that a job names."""
        if not job.get("lastDateInBillingPeriod") or part.first >= part.end:
            return []
        return [] if finishes is not None and midnight(part.first, part.zone) >= finishes else [part]

    def _last_day(self, job: Row) -> date:
        if job.get("lastDateInBillingPeriod"):
            return date.fromisoformat(job["lastDateInBillingPeriod"]) + timedelta(days=1)
        if job.get("billDate"):
            return date.fromisoformat(job["billDate"])
        return self.memory.clock.now().astimezone(self._calculator.zone()).date()

    def _bills_of(self, account: Row, cycle: Cycle) -> list[Row]:
        return [
            bill
            for bill in self.memory.bills.having("accountId", account["id"])
            if (bill["billingFrequency"], bill["billFrequencyInterval"]) == (cycle.frequency, cycle.interval)
        ]

    # Calculating.

    def _make(self, job: Row, account: Row, attached: Sequence[Attached], period: Period) -> None:
        same = [bill for bill in self._bills_of(account, period.cycle) if bill["endDate"] == period.end.isoformat()]
        if same and same[0]["locked"]:
            return
        if same:
            self._rewrite(job, account, same[0], attached, period)
            return
        due = charges.due(self.memory, account, period.end.isoformat(), bill=None)
        calculated = self._calculated(job, account, attached, period, due)
        if not calculated.lines and self.memory.organization_config.get("suppressedEmptyBills"):
            return
        bill = self.memory.bills.add(
            self._dates(job, account, period)
            | {
                "accountId": account["id"],
                "accountCode": account["code"],
                "status": "PENDING",
                "locked": False,
                "billingFrequency": period.cycle.frequency,
                "billFrequencyInterval": period.cycle.interval,
                "timezone": period.zone.key,
                "createdDate": stamp(self.memory.clock.now()),
                "purchaseOrderNumber": account.get("purchaseOrderNumber"),
                "jsonStatementGenerated": False,
                "csvStatementGenerated": False,
                "statementStale": False,
                "sequentialInvoiceNumber": self._number(),
                "_number": period.number,
                **self._amounts(job, calculated),
            }
        )
        charges.billed_on(self.memory, due, bill["id"])
        job["billIds"].append(bill["id"])
        self.memory.emit("billing.bill.created", summary(bill), None)

    def _recalculate(self, job: Row, account: Row, bill: Row) -> None:
        first, end = date.fromisoformat(bill["startDate"]), date.fromisoformat(bill["endDate"])
        wanted = (bill["billingFrequency"], bill["billFrequencyInterval"])
        attached = [
            one for one in self._calculator.attached(account) if (one.cycle.frequency, one.cycle.interval) == wanted
        ]
        epoch = attached[0].cycle if attached else Cycle(end, *wanted)
        period = Period(first, end, bill["_number"], self._calculator.zone(), epoch)
        self._rewrite(job, account, bill, attached, period)

    def _calculated(
        self, job: Row, account: Row, attached: Sequence[Attached], period: Period, due: Sequence[Row]
    ) -> Bill:
        config = self.memory.organization_config
        currencies = {
            row["code"]: Currency(row["code"], _places(row), row.get("roundingMode") or "HALF_UP")
            for row in self.memory.currencies
            if row.get("code")
        }
        code = job.get("targetCurrency") or account.get("currency") or config["currency"]
        conversions = [*(job.get("currencyConversions") or []), *(config.get("currencyConversions") or [])]
        calculated = Bill(currencies.get(code, Currency(code)), conversions, currencies)
        self._calculator.fill(calculated, attached, period)
        charges.add_lines(self.memory, calculated, due)
        return calculated

    def _amounts(self, job: Row, calculated: Bill) -> Row:
        return {
            "currency": calculated.currency.code,
            "currencyConversions": copy.deepcopy(calculated.used),
            "lineItems": calculated.lines,
            "billTotal": calculated.total(),
            "billJobId": job["id"],
            "lastCalculatedDate": stamp(self.memory.clock.now()),
        }

    def _rewrite(self, job: Row, account: Row, bill: Row, attached: Sequence[Attached], period: Period) -> None:
        """Recalculating an approved bill silently moves it back to PENDING."""
        due = charges.due(self.memory, account, bill["billDate"], bill=bill)
        calculated = self._calculated(job, account, attached, period, due)
        charges.billed_on(self.memory, due, bill["id"])
        old = summary(bill)
        cleared = {"status": "PENDING", "dtApproved": None, "approvedBy": None}
        self.memory.bills.change(bill, {**self._amounts(job, calculated), **cleared})
        if bill["id"] not in job["billIds"]:
            job["billIds"].append(bill["id"])
        self.memory.emit("billing.bill.updated", summary(bill), old)

    def _dates(self, job: Row, account: Row, period: Period) -> Row:
        config = self.memory.organization_config
        due_in = account.get("daysBeforeBillDue")
        due = period.end + timedelta(days=config["daysBeforeBillDue"] if due_in is None else due_in)
        of_arrears = config.get("externalInvoiceDate") == "LAST_DAY_OF_ARREARS"
        invoice = period.end - timedelta(days=1) if of_arrears else period.end
        span = period.span
        return {
            "startDate": period.first.isoformat(),
            "endDate": period.end.isoformat(),
            "startDateTimeUTC": stamp(span.start),
            "endDateTimeUTC": stamp(span.end),
            "billDate": period.end.isoformat(),
            "dueDate": job.get("dueDate") or due.isoformat(),
            "externalInvoiceDate": job.get("externalInvoiceDate") or invoice.isoformat(),
        }

    def _number(self) -> str | None:
        prefix = self.memory.organization_config.get("billPrefix")
        if not prefix:
            return None
        self.memory.last_invoice_number += 1
        return f"{prefix}{self.memory.last_invoice_number}"


def summary(bill: Row) -> Row:
    """A bill as events carry it: without its lines."""
    return {name: value for name, value in present(bill).items() if name not in ("lineItems", "_number")}


def _cycle_key(one_plan: Attached) -> tuple[str, int, date]:
    return one_plan.cycle.frequency, one_plan.cycle.interval, one_plan.cycle.epoch


def _wanted(job: Row, cycle: Cycle) -> bool:
    interval = job.get("billFrequencyInterval")
    return job.get("billingFrequency") in (None, cycle.frequency) and interval in (None, cycle.interval)


def _places(row: Row) -> int:
    places = row.get("maxDecimalPlaces")
    return 2 if places is None else int(Decimal(places))
