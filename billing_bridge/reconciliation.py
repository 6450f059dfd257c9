"""Reconciliation: m3ter's bills of some days, our ledger and Paddle's transactions compared, and every run kept.

    list       m3ter's bills are written down a week after the other, then ours that m3ter did not list
    compare    some accounts after the other: their transactions are read once, each bill explained, findings kept up
    end        totals are added up, and the run compared to the one before

Each step is written with the claim on the run in one transaction, so that whoever is killed repeats one step. Nothing
is charged, credited or put right here.
"""

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet

from billing_bridge import looking, money, reconciling, settlement
from billing_bridge.explaining import Why
from billing_bridge.in_billing import Mark
from billing_bridge.ledger import GONE
from billing_bridge.models import PushedBill, ReconciliationRow, ReconciliationRun
from billing_bridge.reconciling import Compared
from integration_project import clock, finding, installation, wakeups
from integration_project.errors import BudgetSpent, IntegrationError, NotPossible, Permanent
from integration_project.models import Finding
from integration_project.vendors import Vendors
from paddle_sync.models import AccountLink, WebhookEvent

logger = logging.getLogger(__name__)

T = TypeVar("T")

State = ReconciliationRun.State
NAME = "reconciliation"
JOB = "billing_bridge.jobs.carry_on_reconciliations"
WITHOUT_REASON = "difference without a reason"
SPAN = timedelta(days=70)
"""How far back the daily run goes: two months of bills and what their renewals made of them."""
WEEK = timedelta(days=7)
DAY = timedelta(days=1)
PAGE = 100
TOGETHER = 20
"""Accounts whose transactions are read together."""
CLASSIC_TOGETHER = 4
"""Of these, on Paddle Classic, which is asked about each subscription by itself, and allows fewer calls."""
LEASE = timedelta(minutes=2)
TRY_AGAIN = timedelta(seconds=10)
UNFINISHED = (State.LISTING, State.COMPARING)
SUMMED = ("m3ter", "ledger", "billed", "collected", "refunded", "unknown")
FOUND = (
    *(*SUMMED, "is_unknown", "parts", "reasons", "said", "transactions", "compared_at", "bill", "currency", "customer"),
    *("m3ter_account_id", "account_code", "paddle_subscription_id", "period_start", "period_end"),
)
"""What comparing writes into a row."""


class LostToAnother(Exception):
    """Somebody else carries the run on by now."""


@dataclass(frozen=True)
class Span:
    """Which bills are compared: dated from the first to the last of these days; of one account, or of all."""

    first_day: date
    last_day: date
    account_id: str = ""


# --- Asking for one ---------------------------------------------------------------------------------------------------


def ask(
    *,
    by: str,
    reason: str = "",
    first_day: date | None = None,
    last_day: date | None = None,
    account_code: str = "",
) -> ReconciliationRun:
    """Make a run for whoever comes first; the last 70 days of every account unless told."""
    last = last_day or clock.now().date()
    first = first_day or last - SPAN
    if first > last:
        raise NotPossible(f"{first} is after {last}: no bill can be dated in between.")
    return ReconciliationRun.objects.create(
        first_day=first,
        last_day=last,
        account_code=account_code,
        m3ter_account_id=account_of(account_code),
        by=by[:150],
        reason=reason,
        created_at=clock.now(),
    )


def account_of(code: str) -> str:
    """The m3ter account with a code that bills or links name; NotPossible where none does."""
    if not code:
        return ""
    for rows in (AccountLink.objects.all(), PushedBill.objects.all()):
        found = rows.filter(m3ter_account_code=code).order_by("-pk").values_list("m3ter_account_id", flat=True).first()
        if found:
            return str(found)
    raise NotPossible(f"No account with the code {code} is known here.")


def wake_up() -> None:
    """Have a worker carry runs on as soon as they are committed; the schedule does so anyway."""
    transaction.on_commit(lambda: wakeups.ask_for(NAME, JOB), robust=True)


def ask_daily() -> ReconciliationRun | None:
    """Make the schedule's run, unless its last one is still under way."""
    if ReconciliationRun.objects.filter(by=SCHEDULE, state__in=UNFINISHED).exists():
        return None
    run = ask(by=SCHEDULE, reason="every day")
    wake_up()
    return run


SCHEDULE = "the schedule"


def to_carry_on() -> list[int]:
    """Number the runs that wait for somebody, oldest first."""
    waiting = ReconciliationRun.objects.filter(_unclaimed(clock.now()), state__in=UNFINISHED)
    return list(waiting.order_by("pk").values_list("pk", flat=True))


# --- Carrying one on --------------------------------------------------------------------------------------------------


def carry_on(
    run_id: int, vendors: Vendors, *, seconds: float, told: Callable[[ReconciliationRun], object] = lambda run: None
) -> bool:
    """Do as much of a run as fits into the time; True once there is nothing left to do.

    `told` is called after every step. A problem of the vendors is noted at the run, which is tried again later unless
    the problem is final, and comes out of here.
    """
    installation.require_match(installation.current())
    end = time.monotonic() + seconds
    run = _claim(run_id)
    if run is None:
        return not ReconciliationRun.objects.filter(pk=run_id, state__in=UNFINISHED).exists()
    try:
        is_through = _steps(run, vendors, end, told)
        _hold(run, note="", lease=None, lease_until=None)
    except LostToAnother:
        return False
    except IntegrationError as problem:
        _put_off(run, problem)
        raise
    except KeyboardInterrupt:  # whoever runs the command again does not wait for the claim to end
        ReconciliationRun.objects.filter(pk=run.pk, lease=run.lease).update(lease=None, lease_until=None)
        raise
    return is_through


def _steps(run: ReconciliationRun, vendors: Vendors, end: float, told: Callable[[ReconciliationRun], object]) -> bool:
    steps = ((State.LISTING, _list), (State.COMPARING, _compare))
    for state, work in steps:
        if run.state == state:
            for _ in work(run, vendors):
                told(run)
                if time.monotonic() >= end:
                    return False
    return True


def _unclaimed(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=now)


def _claim(run_id: int) -> ReconciliationRun | None:
    now = clock.now()
    lease = {"lease": uuid.uuid4(), "lease_until": now + LEASE}
    if not ReconciliationRun.objects.filter(_unclaimed(now), pk=run_id, state__in=UNFINISHED).update(**lease):
        return None
    return ReconciliationRun.objects.get(pk=run_id)


def _hold(run: ReconciliationRun, **columns: Any) -> None:
    """Keep the claim, and write columns, if it still is ours."""
    values = {"lease_until": clock.now() + LEASE, **columns}
    if not ReconciliationRun.objects.filter(pk=run.pk, lease=run.lease).update(**values):
        raise LostToAnother(f"run {run.pk}")
    for name, value in values.items():
        setattr(run, name, value)


def _put_off(run: ReconciliationRun, problem: IntegrationError) -> None:
    """Write down what went wrong, and when it is tried again."""
    ours = ReconciliationRun.objects.filter(pk=run.pk, lease=run.lease)
    if isinstance(problem, Permanent):
        ours.update(state=State.FAILED, note=str(problem), lease=None, lease_until=None, finished_at=clock.now())
        return
    asked = timedelta(seconds=getattr(problem, "retry_after", None) or 0)
    ours.update(note=str(problem), lease=None, lease_until=clock.now() + max(TRY_AGAIN, asked))


# --- Listing ----------------------------------------------------------------------------------------------------------


def _list(run: ReconciliationRun, vendors: Vendors) -> Iterator[None]:
    """Write down m3ter's bills week by week, then ours that m3ter did not list."""
    span = span_of(run)
    begins = run.listed_to or run.first_day
    while begins <= run.last_day:
        ends = min(begins + WEEK, run.last_day + DAY)
        for rows in _pages(vendors, span, begins, ends):
            with transaction.atomic():
                _add(run, rows)
                _hold(run)
        _hold(run, listed_to=ends)
        yield
        begins = ends
    while bills := list(_ours(span).exclude(m3ter_bill_id__in=run.rows.values("m3ter_bill_id"))[:PAGE]):
        for bill in bills:
            with transaction.atomic():
                _add(run, [_not_listed(bill, vendors)])
                _hold(run)
        yield
    _hold(run, state=State.COMPARING, listed_at=clock.now())


def span_of(run: ReconciliationRun) -> Span:
    """Which bills a run is about."""
    return Span(run.first_day, run.last_day, run.m3ter_account_id)


def _pages(vendors: Vendors, span: Span, begins: date, ends: date) -> Iterator[list[ReconciliationRow]]:
    bills = vendors.m3ter.look_through_bills(
        bill_date_start=begins, bill_date_end=ends, account_id=span.account_id or None
    )
    while page := list(islice(bills, PAGE)):
        yield [reconciling.listed(bill) for bill in page]


def _add(run: ReconciliationRun, rows: Sequence[ReconciliationRow]) -> None:
    for row in rows:
        row.run = run
    ReconciliationRow.objects.bulk_create(rows, ignore_conflicts=True)


def _ours(span: Span) -> QuerySet[PushedBill]:
    """Our bills that m3ter's list should name."""
    days = (span.first_day, span.last_day)
    dated = Q(bill_date__range=days) | Q(bill_date=None, period_end__range=days)
    whose = Q(m3ter_account_id=span.account_id) if span.account_id else Q()
    return PushedBill.objects.filter(dated, whose).order_by("pk")


def _not_listed(bill: PushedBill, vendors: Vendors) -> ReconciliationRow:
    """A bill of ours that m3ter's list lacks: it is asked for by itself, since only a 404 says that it is gone."""
    row = ReconciliationRow(
        subject=bill.m3ter_bill_id,
        m3ter_bill_id=bill.m3ter_bill_id,
        m3ter_account_id=bill.m3ter_account_id,
        account_code=bill.m3ter_account_code,
        currency=bill.currency,
    )
    reconciling.say(row, None if bill.m3ter_status == GONE else reconciling.bill_now(bill.m3ter_bill_id, vendors))
    return row


# --- Comparing --------------------------------------------------------------------------------------------------------


def _compare(run: ReconciliationRun, vendors: Vendors) -> Iterator[None]:
    """Compare some accounts after the other; each step is written whole, with its findings."""
    while rows := _next(run):
        compared = reconciling.compare(rows, vendors)
        with transaction.atomic():
            ReconciliationRow.objects.bulk_update(rows, FOUND, batch_size=PAGE)
            _add(run, _of_marks(compared.marks))
            _tell(rows, compared)
            _hold(run)
        yield
    with transaction.atomic():
        _end(run)


def _next(run: ReconciliationRun) -> list[ReconciliationRow]:
    waiting = run.rows.filter(compared_at=None)
    accounts = waiting.order_by("m3ter_account_id").values_list("m3ter_account_id", flat=True).distinct()[:TOGETHER]
    return list(waiting.filter(m3ter_account_id__in=_few_of_classic(list(accounts))).order_by("pk"))


def _few_of_classic(accounts: list[str]) -> list[str]:
    """Of accounts on Paddle Classic, keep no more than one step has the calls and the time for."""
    links = AccountLink.objects.filter(m3ter_account_id__in=accounts, source=WebhookEvent.Source.PADDLE_CLASSIC)
    too_many = sorted(set(links.values_list("m3ter_account_id", flat=True)))[CLASSIC_TOGETHER:]
    return [account for account in accounts if account not in too_many]


def _of_marks(marks: Sequence[Mark]) -> list[ReconciliationRow]:
    """Make the rows of marks, named by the subscription that they are on, or by their customer's."""
    subscriptions = {mark.paddle_subscription_id for mark in marks} - {""}
    customers = {mark.paddle_customer_id for mark in marks if not mark.paddle_subscription_id} - {""}
    links = AccountLink.objects.filter(
        Q(paddle_subscription_id__in=subscriptions) | Q(paddle_customer_id__in=customers)
    ).order_by("pk")
    known = {key: link for link in links for key in (link.paddle_customer_id, link.paddle_subscription_id)}
    return [
        reconciling.of_mark(mark, known.get(mark.paddle_subscription_id or mark.paddle_customer_id)) for mark in marks
    ]


def _tell(rows: Sequence[ReconciliationRow], compared: Compared) -> None:
    """Open and close the findings about what was compared."""
    for mark in compared.marks:
        where = mark.paddle_subscription_id or mark.paddle_customer_id
        settlement.report_mark(mark.push_id, f"{mark.places} on {where}")
    for push, places in compared.doubles:
        looking.report_double(push, f"more than once: {' and '.join(places)}")
    differ = {row.subject for row in rows if row.is_unknown}
    was_open = Finding.objects.filter(
        kind=WITHOUT_REASON, state=Finding.State.OPEN, subject__in=[row.subject for row in rows]
    )
    for subject in list(was_open.values_list("subject", flat=True)):
        if subject not in differ:
            finding.settle(WITHOUT_REASON, subject, reason="It was compared again, and every difference has a reason.")
    for row in rows:
        if row.is_unknown:
            _report(row)


def _report(row: ReconciliationRow) -> None:
    amount = money.words(row.unknown, row.currency)
    finding.report(
        WITHOUT_REASON,
        row.subject,
        detail=f"Bill {row.subject} of {row.account_code or row.m3ter_account_id or 'an unknown account'}: {amount} "
        f"of what m3ter, our ledger and Paddle say has no reason. {unknown_words(row)}",
        next_step="Look at the bill and at its transactions in Paddle. It closes once a reconciliation finds no more.",
        severity=Finding.Severity.ALARM,
    )


def unknown_words(row: ReconciliationRow) -> str:
    """Say what has no reason."""
    unknown = [part for part in row.parts if part["why"] == Why.UNKNOWN]
    return " ".join(f"{money.words(part['amount'], row.currency)}: {part['words']}" for part in unknown)


# --- The end ----------------------------------------------------------------------------------------------------------


def _end(run: ReconciliationRun) -> None:
    """Add up, compare each bill to the newest run that had it, and be done."""
    unknown = set(run.rows.filter(is_unknown=True).values_list("subject", flat=True))
    before = unknown_before(run)
    fresh = unknown - before
    run.rows.filter(is_unknown=True, subject__in=fresh).update(is_new=True)
    _hold(
        run,
        state=State.DONE,
        previous=_overlapping(run),
        bills=run.rows.count(),
        unknown=len(unknown),
        new_unknown=len(fresh),
        solved=run.rows.filter(subject__in=before - unknown).count(),
        totals=totals(run.rows.iterator(chunk_size=1_000)),
        finished_at=clock.now(),
    )
    logger.info("Reconciliation %s: %s bills, %s with a difference that has no reason.", run.pk, run.bills, run.unknown)


def _overlapping(run: ReconciliationRun) -> ReconciliationRun | None:
    """The newest earlier run of some of the same days, and of the same account or of every account."""
    earlier = ReconciliationRun.objects.filter(
        state=State.DONE,
        m3ter_account_id__in=("", run.m3ter_account_id),
        first_day__lte=run.last_day,
        last_day__gte=run.first_day,
        pk__lt=run.pk,
    )
    return earlier.order_by("-pk").first()


def unknown_before(run: ReconciliationRun) -> set[str]:
    """Which subjects of a run had no reason in the newest earlier run that compared them, whatever else that was of."""
    earlier = _earlier(run)
    ever = dict(
        earlier.filter(is_unknown=True, subject__in=run.rows.values("subject")).values_list("subject", "m3ter_bill_id")
    )
    compared = earlier.filter(m3ter_bill_id__in=set(ever.values()), subject__in=list(ever))  # bills have an index
    newest = dict(compared.order_by("run_id").values_list("subject", "is_unknown"))
    return {subject for subject, is_unknown in newest.items() if is_unknown}


def row_before(row: ReconciliationRow) -> ReconciliationRow | None:
    """The same subject in the newest earlier run that compared it."""
    same = _earlier(row.run).filter(m3ter_bill_id=row.m3ter_bill_id, subject=row.subject)
    return same.order_by("-run_id").first()


def _earlier(run: ReconciliationRun) -> QuerySet[ReconciliationRow]:
    return ReconciliationRow.objects.filter(run__state=State.DONE, run__lt=run.pk)


def solved_since(run: ReconciliationRun) -> QuerySet[ReconciliationRow]:
    """Rows that had no reason when they were compared last before, and have one for everything now."""
    return run.rows.filter(is_unknown=False, subject__in=unknown_before(run))


def totals(rows: Iterator[ReconciliationRow]) -> dict[str, dict[str, Any]]:
    """Add rows up by currency, in smallest units: bills, amounts, and what each reason comes to."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        sums[row.currency].update({"bills": 1, **{name: getattr(row, name) for name in SUMMED}})
        for part in row.parts:
            reasons[row.currency][part["why"]] += part["amount"]
    return {
        currency: {**{name: counted[name] for name in ("bills", *SUMMED)}, "reasons": dict(reasons[currency])}
        for currency, counted in sorted(sums.items())
    }


# --- Without writing anything -----------------------------------------------------------------------------------------


def look(vendors: Vendors, span: Span, *, wait: Callable[[BudgetSpent], object]) -> Iterator[ReconciliationRow]:
    """Compare everything and write nothing; `wait` is called while our share of calls is used up."""
    installation.require_match(installation.current())
    by_account: defaultdict[str, list[ReconciliationRow]] = defaultdict(list)
    for row in _patiently(partial(_all_rows, vendors, span), wait):
        by_account[row.m3ter_account_id].append(row)
    for rows in by_account.values():
        compared = _patiently(partial(reconciling.compare, rows, vendors), wait)
        yield from rows
        yield from _of_marks(compared.marks)


def _all_rows(vendors: Vendors, span: Span) -> list[ReconciliationRow]:
    rows = [row for page in _pages(vendors, span, span.first_day, span.last_day + DAY) for row in page]
    named = {row.m3ter_bill_id for row in rows}
    return [*rows, *(_not_listed(bill, vendors) for bill in _ours(span) if bill.m3ter_bill_id not in named)]


def _patiently(do: Callable[[], T], wait: Callable[[BudgetSpent], object]) -> T:
    while True:
        try:
            return do()
        except BudgetSpent as spent:
            wait(spent)
