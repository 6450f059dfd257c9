"""Usage of locked periods: a person says what it costs, and m3ter puts that on the account's next bill, once.

The charge's code follows from what the row is about, so whoever asks again, after whatever was lost, finds the charge
that there is instead of making a second one.
"""

import hashlib
import logging
from datetime import timedelta
from decimal import Decimal

from integration_project import clock, work
from integration_project.errors import (
    BudgetSpent,
    IntegrationError,
    NeedsConfiguration,
    NotPossible,
    Permanent,
    Temporary,
    VendorClosed,
)
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import NewCharge
from paddle_sync.models import LateUsage
from paddle_sync.usage.queues import CHARGES

logger = logging.getLogger(__name__)

State = LateUsage.State
CLOSED_WAIT = timedelta(minutes=1)


def code_of(row: LateUsage) -> str:
    """The charge's code: the same for the same usage, and another for a row of this number in an older database."""
    about = (row.m3ter_account_code, row.m3ter_bill_id, row.meter, row.batch_id, row.received_at.isoformat(), row.sums)
    return f"late-{row.pk}-{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}"


# --- What people decide -----------------------------------------------------------------------------------------------


def price(
    row_id: int,
    *,
    by: str,
    reason: str,
    currency: str,
    amount: int,
    exact: str,
    description: str,
    units: str = "",
    unit_price: str = "",
) -> None:
    """Have late usage charged on the next bill: `amount` in smallest units, `exact` in the currency's own ones."""
    now = clock.now()
    priced = LateUsage.objects.filter(pk=row_id, state=State.REVIEW).update(
        state=State.ASKED,
        currency=currency,
        amount=amount,
        exact=exact,
        units=units,
        unit_price=unit_price,
        description=description,
        decided_by=by,
        decided_at=now,
        note=reason,
        due_at=now,
        attempts=0,
        last_error="",
    )
    if not priced:
        raise NotPossible("Somebody has decided about it already.")
    work.wake_up(CHARGES)


def write_off(row_id: int, *, by: str, reason: str) -> None:
    """Leave late usage uncharged."""
    left = LateUsage.objects.filter(pk=row_id, state=State.REVIEW).update(
        state=State.WRITTEN_OFF, decided_by=by, decided_at=clock.now(), note=reason, last_error=""
    )
    if not left:
        raise NotPossible("Somebody has decided about it already.")


# --- What a worker does -----------------------------------------------------------------------------------------------


def charge(row: LateUsage, m3ter: M3terClient) -> None:
    """Make the charge in m3ter, or find it; safe to repeat whatever was lost."""
    now = clock.now()
    try:
        made, _ = m3ter.ensure_charge(
            NewCharge(
                code=code_of(row),
                name=row.description,
                account_id=row.m3ter_account_id,
                currency=row.currency,
                amount=Decimal(row.exact),
                description=row.description,
                service_period_start=row.first_at,
                service_period_end=row.last_at + timedelta(seconds=1),
                bill_date=(row.decided_at or now).date(),
                notes=f"{row.items} measurements of {row.meter} that came after bill {row.m3ter_bill_id} was locked.",
            )
        )
    except (BudgetSpent, VendorClosed) as error:
        wait = _asked_wait(error) or CLOSED_WAIT
        work.give_back(CHARGES, row, due_at=now + wait, last_error=str(error))
    except (NeedsConfiguration, Permanent) as refusal:
        logger.warning("%s was not charged: %s", row, refusal)
        work.settle(row, state=State.REVIEW, last_error=str(refusal))
    except IntegrationError as error:
        wait = _asked_wait(error) or work.backoff(row.attempts)
        work.settle(row, due_at=now + wait, last_error=str(error))
    else:
        work.settle(row, state=State.CHARGED, m3ter_charge_id=made.id, last_error="")


def _asked_wait(error: IntegrationError) -> timedelta | None:
    asked = error.retry_after if isinstance(error, Temporary) else None
    return None if asked is None else timedelta(seconds=asked)
