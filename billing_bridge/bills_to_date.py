"""When Paddle is about to cancel a subscription, m3ter is asked for a bill to date, to be charged while that still can.

    note     the lead days before the cancellation, where policy charges what ends at once: a row for the bill
    follow   a bill job for the account, up to the day before, unless m3ter has such a bill already; then until it is
             approved, read and settled here, or the cancellation is called off, or it is too late

What becomes of the approved bill is decided as of any other: policy has it charged at once (charges.at_once_instead).
"""

import datetime as dt
import logging
from collections import Counter

from django.db import transaction
from django.db.models import Q

from billing_bridge import ledger
from billing_bridge.deciding import policy_for, today
from billing_bridge.models import BillToDate, PushedBill, PushPolicy
from integration_project import clock, finding, installation
from integration_project.errors import BudgetSpent, IntegrationError, NotFound, Permanent, VendorClosed
from integration_project.models import Finding, Installation
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import CANCELED
from paddle_sync.models import AccountLink

logger = logging.getLogger(__name__)

State = BillToDate.State

KIND = "bill to date"
CANCEL = "cancel"
STATUSES = ("active", "past_due")
"""Of subscriptions that can owe something: a trial costs nothing, and one that is paused uses nothing."""
UNSETTLED = (State.DUE, State.ASKED, State.MADE, State.REFUSED, State.TOO_LATE)
"""What a bill that is settled here, however late, brings to an end."""
SETTLED = (PushedBill.State.PUSHED, PushedBill.State.CARRIED, PushedBill.State.SKIPPED)
"""Where nothing of a bill waits to be charged."""
FORGOTTEN = {"m3ter_bill_job_id": "", "m3ter_bill_id": "", "detail": ""}
"""The columns of what is to be asked for as if it never had been."""


def go_through(vendors: Vendors) -> Counter[str]:
    """Ask for every bill that is due, and see what became of those asked for; how many came to stand how."""
    note()
    seen: Counter[str] = Counter()
    waits_here = Q(state=State.APPROVED) & ~Q(detail="")
    rows = BillToDate.objects.filter(Q(state__in=UNSETTLED) | waits_here)
    for asked in rows.select_related("link").order_by("ends_at", "pk"):
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
    """Add a row for every live subscription that is cancelled within the lead days, once for each such moment.

    A cancellation that was called off and stands again is for the same moment: its row begins again.
    """
    ours = installation.current()
    now, day = clock.now(), today(ours)
    if ours.charge_from is None or day <= ours.charge_from:
        return
    about_to_end = _about_to_end(ours)
    for link, ends_at in about_to_end:
        called_off = BillToDate.objects.filter(link=link, ends_at=ends_at, state=State.TAKEN_BACK)
        called_off.update(state=State.DUE, until=day, updated_at=now, **FORGOTTEN)
    BillToDate.objects.bulk_create(
        [
            BillToDate(link=link, ends_at=ends_at, until=day, state=State.DUE, created_at=now, updated_at=now)
            for link, ends_at in about_to_end
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
    stands = BillToDate.objects.filter(link__in=near).exclude(state=State.TAKEN_BACK)
    noted = set(stands.values_list("link_id", "ends_at"))
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
    bills = _read(asked)
    waiting = next((bill for bill in bills if bill.outstanding and bill.state not in SETTLED), None)
    if bills and waiting is None:
        _save(asked, State.APPROVED)
    elif _is_called_off(asked.link, asked.ends_at):
        _save(asked, State.TAKEN_BACK)
    elif waiting is not None:
        state = State.TOO_LATE if _has_ended(asked) else State.APPROVED
        _save(asked, state, detail=_why_it_waits(waiting), m3ter_bill_id=waiting.m3ter_bill_id)
    elif _has_ended(asked):
        _save(asked, State.TOO_LATE)
    elif asked.state == State.APPROVED:  # it was read, and m3ter does not have it any more
        _save(asked, State.DUE, **FORGOTTEN)
    elif asked.state == State.DUE:
        if not _found(asked, vendors):
            _ask(asked, vendors)
    elif asked.state == State.ASKED:
        is_over = _is_over(asked, vendors)  # read first: when it is over, its bill is there to be found
        if not _found(asked, vendors) and is_over:
            _save(asked, State.NOTHING)
    elif asked.state == State.MADE and not _found(asked, vendors):
        _save(asked, State.DUE, **FORGOTTEN)
        _ask(asked, vendors)
    return str(asked.state)


def _read(asked: BillToDate) -> list[PushedBill]:
    """The bills that reach as far, were approved in m3ter and imported, and are still there."""
    bills = PushedBill.objects.filter(m3ter_account_id=asked.link.m3ter_account_id, period_end__gte=asked.until)
    standing = bills.exclude(state=PushedBill.State.SUPERSEDED).exclude(m3ter_status=ledger.GONE)
    return list(standing.order_by("period_end", "pk"))


def _why_it_waits(bill: PushedBill) -> str:
    state = bill.get_state_display().partition(":")[0]
    return f"{state}. {bill.reason_detail or bill.get_reason_display()}".strip()


def _is_called_off(link: AccountLink, ends_at: dt.datetime) -> bool:
    """Whether the subscription lives on, is paused, or ends at another time; that it has ended calls nothing off."""
    return link.paddle_status != CANCELED and (link.scheduled_action, link.scheduled_at) != (CANCEL, ends_at)


def _has_ended(asked: BillToDate) -> bool:
    return asked.ends_at <= clock.now() or asked.link.paddle_status == CANCELED


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
    """Write down how it stands, and open or close the finding that says so; nothing where it stands as before.

    So a finding that a person has closed stays so until something changes.
    """
    values = {"state": state or asked.state, "detail": detail, **columns}
    if all(getattr(asked, name) == value for name, value in values.items()):
        return
    for name, value in {**values, "updated_at": clock.now()}.items():
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
        case State.APPROVED if asked.detail:
            return (
                Finding.Severity.NOTICE,
                f"It is here, {bill}, and not charged yet: {asked.detail} {ends}.",
                "Approve it here before then, or send it again where it failed; later it cannot be charged any more.",
            )
        case State.TOO_LATE if asked.detail:
            return (
                Finding.Severity.PROBLEM,
                f"It is here, {bill}, and was not charged in time: {asked.detail} {ends}.",
                "Invoice it, mark it as settled outside Paddle, or write it off here.",
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
