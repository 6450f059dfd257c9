"""Usage that comes in when its period's bill is approved already: written down per bill, and decided by a person.

m3ter counts it all the same, but an approved bill stays as it is until m3ter is asked to calculate it again. Then the
bill is PENDING and has to be approved again, which the import of bills sees as of any other.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Q, QuerySet, Sum

from integration_project import clock, work
from integration_project.errors import (
    BudgetSpent,
    IntegrationError,
    NotFound,
    NotPossible,
    Permanent,
    Temporary,
    VendorClosed,
)
from integration_project.vendors.m3ter.client import M3terClient
from paddle_sync.models import AccountLink, LateForBill, LateInBatch, SettledPeriod, UsageBatch
from paddle_sync.usage.checking import Checked
from paddle_sync.usage.queues import RECALCULATIONS

logger = logging.getLogger(__name__)

State = LateForBill.State
Batch = UsageBatch.State
ON_ITS_WAY = (Batch.READY, Batch.SENDING)
"""States of batches that m3ter will have soon: a calculation waits for them."""
IN_M3TER = (Batch.SENT,)
DIGESTED = timedelta(seconds=60)
"""m3ter stores what it accepted a while later; a guess, since nobody says how long."""
CLOCKS = timedelta(seconds=30)
"""How far m3ter's clock may be behind ours; less than what is waited for, so that no calculation before counts."""
LOOK_AGAIN = timedelta(seconds=30)
CLOSED_WAIT = timedelta(minutes=1)


@dataclass(frozen=True)
class Counts:
    """How much later usage a bill has, by how far that is."""

    sent: int = 0
    on_its_way: int = 0
    undecided: int = 0

    def __str__(self) -> str:
        said = [f"{self.sent} {'measurement is' if self.sent == 1 else 'measurements are'} in m3ter"]
        if self.on_its_way:
            said.append(f"{self.on_its_way} on the way there")
        if self.undecided:
            said.append(f"{self.undecided} not sent yet")
        return ", ".join(said)


def note(batch: UsageBatch, items: Sequence[Checked]) -> None:
    """Write down for which approved bills a batch comes too late; inside the transaction that stores it.

    Nobody is asked about a bill for the sake of a file that may never be sent; see coming().
    """
    if not batch.late:
        return
    of = Counter(checked.late_for for checked in items if checked.late)
    destinations = {checked.late_for: checked.destination for checked in items if checked.late}
    LateInBatch.objects.bulk_create(
        [LateInBatch(batch=batch, m3ter_bill_id=bill_id, items=count) for bill_id, count in sorted(of.items())]
    )
    if batch.state != Batch.STAGED:
        _open({bill_id: (to.account_id, to.account_code) for bill_id, to in destinations.items()})


def coming(batches: "QuerySet[UsageBatch]") -> None:
    """Have people asked about the bills for which these batches come too late, which were not on their way till now.

    In the transaction that sets them on it, and before they change.
    """
    late_for = LateInBatch.objects.filter(batch__in=batches).order_by()
    periods = SettledPeriod.objects.filter(m3ter_bill_id__in=set(late_for.values_list("m3ter_bill_id", flat=True)))
    accounts = dict(periods.values_list("m3ter_bill_id", "m3ter_account_id"))
    links = AccountLink.objects.filter(m3ter_account_id__in=set(accounts.values()))
    codes = dict(links.values_list("m3ter_account_id", "m3ter_account_code"))
    _open({bill_id: (account_id, codes.get(account_id, "")) for bill_id, account_id in accounts.items()})


def _open(accounts: Mapping[str, tuple[str, str]]) -> None:
    """Put bills before people, those that were decided about as well; of each, id and code of its account are given."""
    now = clock.now()
    LateForBill.objects.bulk_create(
        [
            LateForBill(m3ter_bill_id=bill_id, m3ter_account_id=account_id, m3ter_account_code=code, last_at=now)
            for bill_id, (account_id, code) in sorted(accounts.items())
        ],
        ignore_conflicts=True,
    )
    bills = LateForBill.objects.filter(m3ter_bill_id__in=list(accounts))
    list(bills.order_by("m3ter_bill_id").select_for_update().values_list("pk"))  # all requests in the same order
    bills.update(last_at=now)
    # What was decided was decided about less; a calculation that is still to be asked for waits for this too.
    bills.exclude(state=State.ASKED).update(state=State.OPEN)


def arrived(batches: Iterable[UsageBatch]) -> None:
    """m3ter has these only now: a bill that was calculated again before lacks them, so a person decides anew."""
    if ids := [batch.pk for batch in batches if batch.late]:
        bills = LateInBatch.objects.filter(batch__in=ids).values("m3ter_bill_id")
        LateForBill.objects.filter(m3ter_bill_id__in=bills, state=State.DONE).update(state=State.OPEN)


def counts(bill_ids: Iterable[str]) -> dict[str, Counts]:
    """Count the later usage of bills, in one query for any number of them."""
    rows = LateInBatch.objects.filter(m3ter_bill_id__in=list(bill_ids)).order_by("m3ter_bill_id")
    found: dict[str, Counter[str]] = {}
    for bill_id, state, items in rows.values_list("m3ter_bill_id", "batch__state").annotate(sum=Sum("items")):
        where = "sent" if state in IN_M3TER else "on_its_way" if state in ON_ITS_WAY else "undecided"
        if state != Batch.TAKEN_BACK:
            found.setdefault(bill_id, Counter())[where] += items
    return {bill_id: Counts(**by_state) for bill_id, by_state in found.items()}


def of_account(m3ter_account_id: str) -> Mapping[str, LateForBill]:
    """The bills of an account that have later usage, by bill."""
    return {row.m3ter_bill_id: row for row in LateForBill.objects.filter(m3ter_account_id=m3ter_account_id)}


def of_upload(upload_id: int) -> list[tuple[LateForBill, int]]:
    """The approved bills that a file came too late for, with how much of it."""
    parts = LateInBatch.objects.filter(batch__upload_id=upload_id).order_by("m3ter_bill_id")
    items = dict(parts.values_list("m3ter_bill_id").annotate(sum=Sum("items")))
    bills = LateForBill.objects.filter(m3ter_bill_id__in=items).order_by("pk")
    return [(bill, items[bill.m3ter_bill_id]) for bill in bills]


# --- What people decide -----------------------------------------------------------------------------------------------


def ask_to_recalculate(row_id: int, *, by: str, reason: str) -> None:
    """Have m3ter calculate an approved bill again; a worker asks it."""
    row = LateForBill.objects.select_for_update().get(pk=row_id)
    if row.state == State.ASKED:
        raise NotPossible(f"{row.asked_by or 'Somebody'} has asked for that already; it waits for a worker.")
    period = SettledPeriod.objects.filter(m3ter_bill_id=row.m3ter_bill_id).first()
    if period is not None and period.state == SettledPeriod.State.LOCKED:
        raise NotPossible(
            "The bill is locked by now, so m3ter does not calculate it any more. The usage is counted in m3ter, and"
            " charged nowhere: have it credited or charged by hand, or leave it."
        )
    now = clock.now()
    LateForBill.objects.filter(pk=row_id).update(
        state=State.ASKED, asked_at=now, asked_by=by, reason=reason, due_at=now, attempts=0, last_error="", done_at=None
    )
    work.wake_up(RECALCULATIONS)


def leave(row_id: int, *, by: str, reason: str) -> None:
    """Leave an approved bill as it is."""
    left = LateForBill.objects.filter(pk=row_id, state=State.OPEN).update(
        state=State.LEFT, asked_at=clock.now(), asked_by=by, reason=reason, due_at=None
    )
    if not left:
        raise NotPossible("It was decided already.")


# --- What a worker does -----------------------------------------------------------------------------------------------


def recalculate(row: LateForBill, m3ter: M3terClient) -> None:
    """Ask m3ter to calculate one bill again, once all that came late is there; safe to repeat whatever was lost."""
    if wait := _still_coming(row):
        _later(row, wait, LOOK_AGAIN)
        return
    try:
        bill = m3ter.get_bill(row.m3ter_bill_id)
        if bill.locked:
            _back(row, "The bill is locked by now, so m3ter does not calculate it any more.")
            return
        began, calculated = row.done_at, bill.last_calculated_at
        if (
            began is None or calculated is None or calculated < began - CLOCKS or _came_after(row, began)
        ):  # else a request whose answer was lost did it
            began = clock.now()
            if not work.fenced(row).update(done_at=began):
                return
            m3ter.recalculate_bills([row.m3ter_bill_id])
    except (BudgetSpent, VendorClosed) as error:
        _later(row, str(error), _asked_wait(error) or CLOSED_WAIT)
    except NotFound:
        _back(row, "m3ter does not have this bill any more.")
    except Permanent as refusal:
        _back(row, str(refusal))
    except IntegrationError as error:
        work.settle(row, due_at=clock.now() + (_asked_wait(error) or work.backoff(row.attempts)), last_error=str(error))
    else:
        _done(row, began)


def _done(row: LateForBill, began: datetime) -> None:
    """m3ter was asked; what came in since it was is not in what it calculated, so a person decides about that."""
    with transaction.atomic():
        settled = work.settle(row, state=State.DONE, done_at=clock.now(), last_error="")
        if settled and _came_after(row, began):
            said = "More usage came in while m3ter calculated."
            LateForBill.objects.filter(pk=row.pk).update(state=State.OPEN, last_error=said)


def _came_after(row: LateForBill, moment: datetime) -> bool:
    """Whether m3ter had not all that came late at this moment."""
    after = Q(state__in=ON_ITS_WAY) | Q(state__in=IN_M3TER, sent_at__gt=moment)
    return UsageBatch.objects.filter(after, late_for__m3ter_bill_id=row.m3ter_bill_id).exists()


def _still_coming(row: LateForBill) -> str:
    """Say what m3ter does not have yet of what came late; empty once it can calculate."""
    batches = UsageBatch.objects.filter(late_for__m3ter_bill_id=row.m3ter_bill_id)
    if coming := batches.filter(state__in=ON_ITS_WAY).count():
        return f"waits for {coming} {'batch that is' if coming == 1 else 'batches that are'} still on the way to m3ter"
    last = batches.filter(state__in=IN_M3TER).aggregate(last=Max("sent_at"))["last"]
    if last is not None and last > clock.now() - DIGESTED:
        return "waits a minute until m3ter has stored what it took"
    return ""


def _asked_wait(error: IntegrationError) -> timedelta | None:
    asked = error.retry_after if isinstance(error, Temporary) else None
    return None if asked is None else timedelta(seconds=asked)


def _later(row: LateForBill, why: str, wait: timedelta) -> None:
    work.give_back(RECALCULATIONS, row, due_at=clock.now() + wait, last_error=why)


def _back(row: LateForBill, why: str) -> None:
    """It cannot be done: a person decides again."""
    logger.warning("%s was not calculated again: %s", row, why)
    work.settle(row, state=State.OPEN, last_error=why)
