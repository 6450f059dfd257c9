"""Our record of which subscription is which account, and what runs on it."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from integration_project import clock
from integration_project.errors import AccountConflict
from integration_project.vendors.m3ter.entities import Account
from integration_project.vendors.paddle.entities import Subscription
from paddle_sync import classic
from paddle_sync.accounts import ACCOUNT_CONFLICT, Ensured
from paddle_sync.attaching import Attached
from paddle_sync.models import AccountLink, AccountPlanLink
from paddle_sync.story import Snapshot

LONGEST_STATUS = 20


def of(subscription_id: str) -> AccountLink | None:
    """The subscription's link, live or ended."""
    return AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()


def account_of(link: AccountLink) -> Ensured:
    """The account of a link, as far as we know it without asking m3ter."""
    return Ensured(link.m3ter_account_id, link.m3ter_account_code, link.name, link.bill_epoch)


def record(account: Ensured, founding: Snapshot, mapping_id: str) -> AccountLink:
    """Write down whose account it is; the link before it, if any, ends in the same moment."""
    subscription, now = founding.subscription, clock.now()
    values = {
        "source": "paddle_classic" if classic.is_classic(subscription.id) else "paddle",
        "paddle_customer_id": subscription.customer_id,
        "m3ter_account_id": account.id,
        "m3ter_account_code": account.code,
        "name": account.name[:200],
        "currency": subscription.currency_code,
        "bill_epoch": account.bill_epoch,
        "external_mapping_id": mapping_id,
        "adopted": account.adopted,
        "buyer_known": account.buyer_known,
        "paddle_status": _short_status(subscription),
        "next_billed_at": subscription.next_billed_at,
        "created_at": now,
        "updated_at": now,
    }
    try:
        with transaction.atomic():
            if account.predecessor is not None:
                _end(account.predecessor)
            link, _ = AccountLink.objects.get_or_create(paddle_subscription_id=subscription.id, defaults=values)
    except IntegrityError:
        raise AccountConflict(
            ACCOUNT_CONFLICT,
            account.code,
            f'The m3ter account "{account.code}" is linked to another live subscription. Nothing was linked. End that'
            " link, or give the account another code; then replay this event.",
        ) from None
    return link


def meet_buyer(link: AccountLink, account: Account) -> None:
    """Write down that the account of a buyer who was unknown at first has been named."""
    link.name, link.buyer_known, link.updated_at = account.name[:200], True, clock.now()
    link.save(update_fields=["name", "buyer_known", "updated_at"])


def record_plans(link: AccountLink, attached: Sequence[Attached]) -> None:
    """Write down the plans that now run on the account."""
    with transaction.atomic():
        for entry in attached:
            wanted, plan = entry.wanted, entry.account_plan
            AccountPlanLink.objects.get_or_create(
                code=entry.code,
                defaults={
                    "link": link,
                    "m3ter_account_plan_id": plan.id,
                    "m3ter_plan_id": wanted.plan_id,
                    "m3ter_plan_group_id": wanted.plan_group_id,
                    "m3ter_product_id": wanted.product_id,
                    "starts_at": plan.start_date,
                    "ends_at": plan.end_date,
                    "quantity": wanted.quantity,
                    "paddle_price_ids": list(wanted.price_ids),
                },
            )


def follow(link: AccountLink, subscription: Subscription) -> bool:
    """Bring customer, status and renewal up to date; True when something changed."""
    now: dict[str, Any] = {
        "paddle_customer_id": subscription.customer_id,
        "paddle_status": _short_status(subscription),
        "next_billed_at": subscription.next_billed_at,
    }
    if all(getattr(link, name) == value for name, value in now.items()):
        return False
    for name, value in now.items():
        setattr(link, name, value)
    link.updated_at = clock.now()
    link.save(update_fields=[*now, "updated_at"])
    return True


def _short_status(subscription: Subscription) -> str:
    """Paddle's word as far as the column takes it; a longer one is none that we know."""
    return subscription.status[:LONGEST_STATUS]


def _end(link: AccountLink) -> None:
    link.state, link.updated_at = AccountLink.State.ENDED, clock.now()
    link.save(update_fields=["state", "updated_at"])
