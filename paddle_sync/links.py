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
from paddle_sync.attaching import Attached, Done
from paddle_sync.models import AccountLink, AccountPlanLink, PlanDecision
from paddle_sync.resolving import Decided
from paddle_sync.story import Snapshot, SubscriptionStory
from paddle_sync.wanted import WantedPlan

LONGEST_STATUS = 20
RECORDED_OF_A_PLAN = (
    "link",
    "m3ter_account_plan_id",
    "m3ter_plan_id",
    "m3ter_plan_group_id",
    "m3ter_product_id",
    "starts_at",
    "ends_at",
    "quantity",
    "quantity_field",
    "paddle_price_ids",
)
"""What we write down of an account plan besides its code, and write over when it changes."""


def of(subscription_id: str) -> AccountLink | None:
    """The subscription's link, live or ended."""
    return AccountLink.objects.filter(paddle_subscription_id=subscription_id).first()


def account_of(link: AccountLink) -> Ensured:
    """The account of a link, as far as we know it without asking m3ter."""
    return Ensured(link.m3ter_account_id, link.m3ter_account_code, link.name, link.bill_epoch)


def record(account: Ensured, story: SubscriptionStory, founding: Snapshot, mapping_id: str) -> AccountLink:
    """Write down whose account it is; the link before it, if any, ends in the same moment.

    Currency and renewal are those that the account was made with, the buyer is today's.
    """
    subscription, buyer, now = founding.subscription, story.latest.subscription, clock.now()
    values = {
        "source": "paddle_classic" if classic.is_classic(subscription.id) else "paddle",
        "paddle_customer_id": buyer.customer_id,
        "paddle_address_id": buyer.address_id or "",
        "paddle_business_id": buyer.business_id or "",
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


def before(link: AccountLink) -> AccountLink | None:
    """The link, ended by now, whose account this one took over; None where the account was always its own."""
    others = AccountLink.objects.filter(m3ter_account_id=link.m3ter_account_id, state=AccountLink.State.ENDED)
    return others.exclude(pk=link.pk).order_by("-pk").first()


def be_unsure(link: AccountLink) -> None:
    """Write down, before m3ter is changed, that what we wrote down may soon be wrong: a refusal or a crash may follow.

    Whoever comes next looks into m3ter, also where nothing seems to be missing by then.
    """
    if not link.plans_unsure:
        link.plans_unsure = True
        AccountLink.objects.filter(pk=link.pk).update(plans_unsure=True)


def record_plans(link: AccountLink, done: Done) -> None:
    """Write down the plans that the account has now because of this link, and no others."""
    rows = [
        AccountPlanLink(
            code=entry.code,
            link=link,
            m3ter_account_plan_id=entry.account_plan.id,
            m3ter_plan_id=entry.wanted.plan_id,
            m3ter_plan_group_id=entry.wanted.plan_group_id,
            m3ter_product_id=entry.wanted.product_id,
            starts_at=entry.account_plan.start_date,
            **_about(entry.wanted),
        )
        for entry in done.attached
    ]
    with transaction.atomic(savepoint=False):
        AccountPlanLink.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["code"], update_fields=RECORDED_OF_A_PLAN
        )
        link.plans_now().exclude(code__in=[entry.code for entry in done.attached]).delete()
        if link.plans_unsure:
            link.plans_unsure = False
            AccountLink.objects.filter(pk=link.pk).update(plans_unsure=False)
        for plan_id, end in done.ended_before.items():
            earlier = AccountPlanLink.objects.filter(m3ter_account_plan_id=plan_id).exclude(link=link)
            earlier.update(ends_at=end)


def record_ends(ended: Sequence[Attached]) -> None:
    """Write down the ends of plans that were stopped."""
    for entry in ended:
        AccountPlanLink.objects.filter(code=entry.code).update(ends_at=entry.wanted.ends_at)


def record_quiet_changes(link: AccountLink, final: Sequence[WantedPlan], decided: Sequence[Decided]) -> None:
    """Write down what m3ter need not know: quantities nobody asked it to keep, prices that came to one plan."""
    by_code = {plan.code(link.paddle_subscription_id): plan for plan in final}
    for row in link.plans_now():
        values = _about(by_code[row.code])
        if any(getattr(row, name) != value for name, value in values.items()):
            AccountPlanLink.objects.filter(pk=row.pk).update(**values)
    record_decisions(link.paddle_subscription_id, link, decided)


def record_decisions(subscription_id: str, link: AccountLink | None, decided: Sequence[Decided]) -> None:
    """Write down what each item was mapped to, so that a mapping changed later changes nothing by itself.

    That holds for what is not metered too: else it would be metered from its beginning one day.
    """
    decisions = PlanDecision.objects.filter(paddle_subscription_id=subscription_id)
    rows = {(row.paddle_price_id, row.decided_at): row for row in decisions}
    wanted = {(entry.span.item.price_id, entry.span.decided_at): entry.answer for entry in decided}
    if rows.keys() == wanted.keys() and all(row.link_id == (link and link.pk) for row in rows.values()):
        return
    with transaction.atomic(savepoint=False):
        decisions.filter(pk__in=[row.pk for place, row in rows.items() if place not in wanted]).delete()
        decisions.exclude(link=link).update(link=link)
        PlanDecision.objects.bulk_create(
            PlanDecision(
                paddle_subscription_id=subscription_id,
                link=link,
                paddle_price_id=price_id,
                decided_at=decided_at,
                mapping_id=answer.mapping_id,
                target=answer.target,
                m3ter_plan_id=answer.plan_id,
                m3ter_plan_group_id=answer.plan_group_id,
                m3ter_product_id=answer.product_id,
                metering_starts=answer.metering_starts,
                quantity_use=answer.quantity_use,
                quantity_field=answer.quantity_field,
                m3ter_counter_id=answer.counter_id,
            )
            for (price_id, decided_at), answer in wanted.items()
            if (price_id, decided_at) not in rows
        )


def save(link: AccountLink, **values: Any) -> None:
    """Write down some columns of a link, if they differ."""
    changed = [name for name, value in values.items() if getattr(link, name) != value]
    if not changed:
        return
    for name in changed:
        setattr(link, name, values[name])
    link.updated_at = clock.now()
    link.save(update_fields=[*changed, "updated_at"])


def _about(plan: WantedPlan) -> dict[str, Any]:
    return {
        "ends_at": plan.ends_at,
        "quantity": plan.quantity,
        "quantity_field": plan.quantity_field,
        "paddle_price_ids": list(plan.price_ids),
    }


def follow(link: AccountLink, subscription: Subscription) -> bool:
    """Bring status, renewal and what is scheduled up to date; True when something changed."""
    change = subscription.scheduled_change
    now: dict[str, Any] = {
        "paddle_status": _short_status(subscription),
        "next_billed_at": subscription.next_billed_at,
        "scheduled_action": change.action[:LONGEST_STATUS] if change else "",
        "scheduled_at": change.effective_at if change else None,
    }
    if all(getattr(link, name) == value for name, value in now.items()):
        return False
    save(link, **now)
    return True


def _short_status(subscription: Subscription) -> str:
    """Paddle's word as far as the column takes it; a longer one is none that we know."""
    return subscription.status[:LONGEST_STATUS]


def _end(link: AccountLink) -> None:
    link.state, link.updated_at = AccountLink.State.ENDED, clock.now()
    link.save(update_fields=["state", "updated_at"])
