"""When Paddle is about to cancel a subscription, m3ter is asked for a bill to date, to be charged while that still can.

    note     the lead days before the cancellation, where policy charges what ends at once: a row for the bill
    follow   a bill job for the account, up to the day before, unless m3ter has such a bill already; then until it is
             approved and read here, or the cancellation is called off, or it is too late

What becomes of the approved bill is decided as of any other: policy has it charged at once (charges.at_once_instead).
"""

import datetime as dt
import logging
from collections import Counter

from django.db import transaction

from billing_bridge.deciding import policy_for, today
from billing_bridge.models import BillToDate, PushedBill, PushPolicy
from integration_project import clock, finding, installation
from integration_project.errors import BudgetSpent, IntegrationError, NotFound, Permanent, VendorClosed
from integration_project.models import Finding, Installation
from integration_project.vendors import PADDLE, Vendors
from paddle_sync.models import AccountLink

logger = logging.getLogger(__name__)

State = BillToDate.State

KIND = "bill to date"
CANCEL = "cancel"
STATUSES = ("active", "past_due")
"""Of subscriptions that can owe something: a trial costs nothing, and one that is paused uses nothing."""
LOOKED_AT = (State.DUE, State.ASKED, State.MADE)
UNSETTLED = (*LOOKED_AT, State.REFUSED, State.TOO_LATE)
"""What an approved bill, however late, brings to an end."""


def go_through(vendors: Vendors) -> Counter[str]:
    """Ask for every bill that is due, and see what became of those asked for; how many came to stand how."""
    note()
    seen: Counter[str] = Counter()
    for asked in BillToDate.objects.filter(state__in=UNSETTLED).select_related("link").order_by("ends_at", "pk"):
        try:
            seen[follow(asked, vendors)] += 1
        except (BudgetSpent, VendorClosed):
            raise
        except IntegrationError as error:  # one account's trouble keeps no other back
            logger.warning("%s: %s", asked, error)
            _save(asked, detail=str(error))
            seen["tried again later"] += 1
    return seen


# --- Which are due ----------------------------------------------------------------------------------------------------


def note() -> None:
    """Add a row for every live subscription that is cancelled within the lead days, once for each such moment."""
    ours = installation.current()
    now, day = clock.now(), today(ours)
    if ours.charge_from is None or day <= ours.charge_from:
        return
    BillToDate.objects.bulk_create(
        [
            BillToDate(link=link, ends_at=ends_at, until=day, state=State.DUE, created_at=now, updated_at=now)
            for link, ends_at in _about_to_end(ours)
        ],
        ignore_conflicts=True,
    )


def _about_to_end(ours: Installation) -> list[tuple[AccountLink, dt.datetime]]:
    lead, zone, day = dt.timedelta(days=ours.lead_days), installation.zone(ours), today(ours)
    near = AccountLink.objects.filter(
        source=PADDLE,
        state=AccountLink.State.LIVE,
        paddle_status__in=STATUSES,
        scheduled_action=CANCEL,
        scheduled_at__gt=clock.now(),
        scheduled_at__lt=clock.now() + lead + dt.timedelta(days=1),
    )
    noted = set(BillToDate.objects.filter(link__in=near).values_list("link_id", "ends_at"))
    return [
        (link, link.scheduled_at)
        for link in near
        if link.scheduled_at is not None
        and (link.pk, link.scheduled_at) not in noted
        and link.scheduled_at.astimezone(zone).date() - lead <= day
        and _is_wanted(link)
    ]


def _is_wanted(link: AccountLink) -> bool:
    """Whether policy charges this account, and at once what no renewal will carry."""
    policy = policy_for(link)
    at_once = policy.ending == PushPolicy.Far.IMMEDIATELY
    return at_once and not policy.leaves_out(link.m3ter_account_id, link.m3ter_account_code)


# --- What becomes of one ----------------------------------------------------------------------------------------------


def follow(asked: BillToDate, vendors: Vendors) -> str:
    """Bring one on as far as it goes now; a finding says where a person must do something, and by when."""
    if _is_read(asked):
        _save(asked, State.APPROVED)
    elif asked.state in LOOKED_AT and _is_called_off(asked.link, asked.ends_at):
        _save(asked, State.TAKEN_BACK)
    elif asked.state in LOOKED_AT and asked.ends_at <= clock.now():
        _save(asked, State.TOO_LATE)
    elif asked.state == State.DUE:
        if not _found(asked, vendors):
            _ask(asked, vendors)
    elif asked.state == State.ASKED:
        is_over = _is_over(asked, vendors)  # read first: when it is over, its bill is there to be found
        if not _found(asked, vendors) and is_over:
            _save(asked, State.NOTHING)
    return str(asked.state)


def _is_read(asked: BillToDate) -> bool:
    """Whether a bill that reaches as far was approved in m3ter and imported."""
    bills = PushedBill.objects.filter(m3ter_account_id=asked.link.m3ter_account_id, period_end__gte=asked.until)
    return bills.exclude(state=PushedBill.State.SUPERSEDED).exists()


def _is_called_off(link: AccountLink, ends_at: dt.datetime) -> bool:
    """Whether the subscription lives on, or ends at another time; that it has ended calls nothing off."""
    return link.paddle_status in STATUSES and (link.scheduled_action, link.scheduled_at) != (CANCEL, ends_at)


def _found(asked: BillToDate, vendors: Vendors) -> bool:
    """Look whether m3ter has a bill of the account that reaches as far, made for this or for another reason."""
    bills = vendors.m3ter.list_bills(account_id=asked.link.m3ter_account_id, bill_date_start=asked.until)
    bill = max((bill for bill in bills if bill.end_date >= asked.until), key=lambda bill: bill.end_date, default=None)
    if bill is None:
        return False
    _save(asked, State.MADE, m3ter_bill_id=bill.id)
    return True


def _ask(asked: BillToDate, vendors: Vendors) -> None:
    try:
        job = vendors.m3ter.create_bill_job(
            account_id=asked.link.m3ter_account_id, last_day=asked.until - dt.timedelta(days=1)
        )
    except Permanent as refusal:
        _save(asked, State.REFUSED, detail=str(refusal))
    else:
        _save(asked, State.ASKED, m3ter_bill_job_id=job.id)


def _is_over(asked: BillToDate, vendors: Vendors) -> bool:
    try:
        return vendors.m3ter.get_bill_job(asked.m3ter_bill_job_id).is_over
    except NotFound:  # m3ter keeps no job for ever
        return True


# --- What is written down ---------------------------------------------------------------------------------------------


def _save(asked: BillToDate, state: State | None = None, *, detail: str = "", **columns: str) -> None:
    """Write down how it stands, and open or close the finding that says so."""
    for name, value in {"state": state or asked.state, "detail": detail, "updated_at": clock.now(), **columns}.items():
        setattr(asked, name, value)
    with transaction.atomic():
        asked.save()
        _tell(asked)
    logger.info("%s: %s", asked, asked.get_state_display())


def _tell(asked: BillToDate) -> None:
    subject = asked.link.paddle_subscription_id
    told = _words(asked)
    if told is None:
        finding.settle(KIND, subject, reason=f"{asked.get_state_display()}.")
    else:
        severity, detail, next_step = told
        finding.report(KIND, subject, detail=detail, next_step=next_step, severity=severity)


def _words(asked: BillToDate) -> tuple[Finding.Severity, str, str] | None:
    """Say what a person has to do about it; None where that is nothing."""
    bill = f"the bill of account {asked.link.m3ter_account_code} up to {asked.until}"
    ends = f"Its subscription ends on {asked.ends_at:%Y-%m-%d at %H:%M} UTC"
    match asked.state:
        case State.MADE:
            return (
                Finding.Severity.NOTICE,
                f"m3ter has {bill}: {asked.m3ter_bill_id}. {ends}.",
                "Approve it in m3ter before then, and it is charged at once; later it cannot be charged any more.",
            )
        case State.REFUSED:
            return (
                Finding.Severity.PROBLEM,
                f"m3ter refused to make {bill}: {asked.detail} {ends}.",
                "Run billing for the account in m3ter by hand, and approve the bill before then.",
            )
        case State.TOO_LATE:
            return (
                Finding.Severity.PROBLEM,
                f"No approved bill was here in time: {bill} was not charged. {ends}.",
                "Approve it in m3ter; then invoice it, mark it as settled outside Paddle, or write it off here.",
            )
        case State.DUE | State.ASKED if asked.detail:
            return (
                Finding.Severity.PROBLEM,
                f"m3ter could not be asked for {bill}: {asked.detail} {ends}.",
                "It is tried again every ten minutes. Where this stays, run billing for the account in m3ter by hand.",
            )
    return None
