"""Which periods of an account are settled: charged, perhaps charged, approved or locked."""

from datetime import UTC, datetime, time

from django.db.models import Max, Q

from billing_bridge.models import Push, PushedBill
from integration_project import installation
from integration_project.vendors.m3ter.entities import APPROVED
from paddle_sync.models import AccountLink, SettledPeriod

SENT = (Push.State.PUSHING, Push.State.UNCONFIRMED, Push.State.PUSHED, Push.State.LOST)


def charged_until(m3ter_account_id: str) -> datetime | None:
    """The end of the last bill period of an account that was charged or locked; None while there is none."""
    settled = Q(pushes__state__in=SENT) | Q(m3ter_locked=True)
    bills = PushedBill.objects.filter(settled, m3ter_account_id=m3ter_account_id)
    day = bills.aggregate(last=Max("period_end"))["last"]
    if day is None:
        return None
    zone = installation.zone(installation.current())
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def note_charged(subscription_id: str) -> None:
    """Write down on a subscription's link how far its account is settled, before its plans are worked out anew."""
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()
    if link is None:
        return
    until = charged_until(link.m3ter_account_id)
    if link.charged_until != until:
        AccountLink.objects.filter(pk=link.pk).update(charged_until=until)


def note_settled(bill: PushedBill) -> None:
    """Tell those who take in usage whether the bill's period is approved or locked."""
    period = SettledPeriod.objects.filter(m3ter_bill_id=bill.m3ter_bill_id)
    if bill.m3ter_status != APPROVED or bill.period_start is None or bill.period_end is None:
        period.delete()
        return
    zone = installation.zone(installation.current())
    starts_at, ends_at = (
        datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC) for day in (bill.period_start, bill.period_end)
    )
    SettledPeriod.objects.update_or_create(
        m3ter_bill_id=bill.m3ter_bill_id,
        defaults={
            "m3ter_account_id": bill.m3ter_account_id,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "state": SettledPeriod.State.LOCKED if bill.m3ter_locked else SettledPeriod.State.APPROVED,
        },
    )
