"""What has to be settled before a subscription leaves its m3ter account: what is owed there, and is being charged."""

from django.db.models import Q

from billing_bridge import ledger
from billing_bridge.models import CarriedEntry, Push, PushedBill
from paddle_sync.models import AccountLink

State = PushedBill.State
SETTLED = (State.PUSHED, State.CARRIED, State.SKIPPED, State.SUPERSEDED)


def why_not(link: AccountLink) -> str:
    """Say why the subscription may not leave its account yet; empty when it may."""
    if open_pushes(link.paddle_subscription_id):
        return "A charge on the subscription is under way, or not yet confirmed. Try again afterwards."
    bills = PushedBill.objects.filter(m3ter_account_id=link.m3ter_account_id)
    unsettled = ~Q(state__in=SETTLED) | (Q(state=State.PUSHED) & ~Q(outstanding=0))
    count = bills.filter(unsettled).count()
    if count:
        are = "bill of the account is" if count == 1 else "bills of the account are"
        return (
            f'{count} {are} not settled: charge, skip or write off what is owed on "{link.m3ter_account_code}" first.'
        )
    if CarriedEntry.objects.filter(m3ter_account_id=link.m3ter_account_id).exclude(remaining=0).exists():
        return f'The account "{link.m3ter_account_code}" has a carried balance, which no later bill would take.'
    return ""


def open_pushes(subscription_id: str) -> bool:
    """Say whether a charge on the subscription may be under way: then nothing about whose it is may change."""
    return Push.objects.filter(paddle_subscription_id=subscription_id, state__in=ledger.OPEN).exists()
