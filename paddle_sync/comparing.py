"""What differs between Paddle, our link and m3ter, in words: cause, effect, next step. Reads nothing of a vendor."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from integration_project import clock
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors.m3ter.entities import Account, AccountPlan
from integration_project.vendors.paddle.entities import Subscription
from paddle_sync import telling
from paddle_sync.accounts import ENTITY
from paddle_sync.models import AccountLink, AccountPlanLink

NOT_LINKED = telling.NOT_LINKED
UNKNOWN = telling.UNKNOWN
OUT_OF_STEP = "subscription out of step"
UNREADABLE = "subscription unreadable"
ACCOUNT_MISSING = "account missing"
ACCOUNT_CHANGED = "account changed"
CHANGED_THERE = "was changed there: "
CODE_CHANGED = f"{CHANGED_THERE}code "
"""Stands in the words about an account that has another code in m3ter, since the code is the first that is named."""
PLAN_MISSING = "plan missing"
PLAN_CHANGED = "plan changed"
PLAN_UNKNOWN = "plan unknown"
MAPPING_MISSING = "mapping missing"
OF_PADDLE: tuple[str, ...] = (OUT_OF_STEP, UNKNOWN, UNREADABLE)
"""What a link is compared with Paddle for."""
OF_M3TER: tuple[str, ...] = (
    ACCOUNT_MISSING,
    ACCOUNT_CHANGED,
    PLAN_MISSING,
    PLAN_CHANGED,
    PLAN_UNKNOWN,
    MAPPING_MISSING,
)
"""What it is compared with m3ter for."""


def not_linked(subscription: Subscription) -> Found:
    return Found(
        NOT_LINKED,
        f"Paddle lists the subscription {subscription.id} ({subscription.status}), but it has no m3ter account here and"
        " no event of it waits; its usage is billed nowhere.",
        "Import the subscription: its plans then start with its current billing period, and not before go-live.",
    )


def unreadable(subscription_id: str, why: str) -> Found:
    return Found(
        UNREADABLE,
        f"Paddle lists the subscription {subscription_id}, but not as its contract says: {why}. It cannot be compared,"
        " and nothing that changes there arrives in m3ter.",
        "Look at the subscription in Paddle. This closes itself once a comparison can read it.",
    )


def against_paddle(link: AccountLink, subscription: Subscription | None) -> Iterator[Found]:
    if subscription is None:
        yield Found(
            UNKNOWN,
            f"Paddle does not know the subscription {link.paddle_subscription_id}, which is linked to the m3ter account"
            f' "{link.m3ter_account_code}". No renewal of it will ever carry a bill.',
            "Check that the API key belongs to the Paddle account that sold it.",
        )
        return
    change = subscription.scheduled_change
    here_and_there = (
        ("status", link.paddle_status, subscription.status[:20]),
        ("customer", link.paddle_customer_id, subscription.customer_id),
        ("currency", link.currency, subscription.currency_code),
        ("next renewal", link.next_billed_at, subscription.next_billed_at),
        ("scheduled change", link.scheduled_action, change.action[:20] if change else ""),
        ("its day", link.scheduled_at, change.effective_at if change else None),
    )
    differing = _differing(here_and_there)
    if differing:
        yield Found(
            OUT_OF_STEP,
            f"Paddle says otherwise of the subscription {subscription.id} than its link does: {differing}. A webhook of"
            " that change was lost, or has failed.",
            "Sync the subscription: it is read from Paddle, and m3ter is made to match.",
        )


def against_m3ter(
    link: AccountLink, account: Account | None, plans: Sequence[AccountPlan], *, is_mapped: bool
) -> Iterator[Found]:
    if account is None:
        yield Found(
            ACCOUNT_MISSING,
            f'm3ter has no account {link.m3ter_account_id} ("{link.m3ter_account_code}") any more. Usage of the'
            f" subscription {link.paddle_subscription_id} is measured nowhere, and nothing of it is billed.",
            "Find out who deleted it. Then have it made again: the link is given up, and the subscription gets a new"
            " account under its code.",
            severity=Finding.Severity.ALARM,
        )
        return
    differing = _differing(
        (
            ("code", link.m3ter_account_code, account.code or ""),
            ("currency", link.currency, account.currency or link.currency),
            ("first bill date", link.bill_epoch, account.bill_epoch),
        )
    )
    if differing:
        yield Found(
            ACCOUNT_CHANGED,
            f'The m3ter account "{link.m3ter_account_code}" {CHANGED_THERE}{differing}. Measurements, bills or'
            " their dates may go wrong.",
            "Sync the subscription, which makes the account right again; or change it back in m3ter.",
        )
    yield from _plans(link, plans)
    if not is_mapped:
        yield Found(
            MAPPING_MISSING,
            f'Nothing in m3ter says any more that the account "{link.m3ter_account_code}" is the Paddle subscription'
            f" {link.paddle_subscription_id}: the external {ENTITY.lower()} mapping is gone.",
            "Sync the subscription, which makes the mapping again.",
        )


# --- Plans ------------------------------------------------------------------------------------------------------------


def _plans(link: AccountLink, listed: Sequence[AccountPlan]) -> Iterator[Found]:
    """Every plan that we attached must be there as we left it; one that we did not must not overlap with ours."""
    there = {plan.id: plan for plan in listed}
    ours = list(link.plans_now().order_by("pk"))
    for plan in ours:
        found = there.pop(plan.m3ter_account_plan_id, None)
        if found is None:
            yield Found(
                PLAN_MISSING,
                f"m3ter no longer has the plan {_target(plan)} that was attached to the account"
                f' "{link.m3ter_account_code}" from {plan.starts_at:%d %B %Y} on. Usage in that time is billed without'
                " it.",
                "Sync the subscription, which attaches it again.",
                key=plan.code,
            )
        elif differing := _differing(_plan_sides(plan, found)):
            yield Found(
                PLAN_CHANGED,
                f'The plan {plan.code} of the account "{link.m3ter_account_code}" was changed in m3ter: {differing}.',
                "Sync the subscription, which makes the plan what Paddle and the mappings call for.",
                key=plan.code,
            )
    for stranger in there.values():
        if any(_overlap(plan, stranger) for plan in ours):
            yield Found(
                PLAN_UNKNOWN,
                f"Somebody put {stranger.plan_id or stranger.plan_group_id} on the m3ter account"
                f' "{link.m3ter_account_code}" from {stranger.start_date:%d %B %Y} on ({stranger.id}), beside a plan'
                " that was attached here. The customer may be billed twice for the same usage.",
                "End one of the two in m3ter, unless both are meant.",
                key=stranger.id,
                severity=Finding.Severity.NOTICE,
            )


def _plan_sides(ours: AccountPlanLink, theirs: AccountPlan) -> tuple[tuple[str, Any, Any], ...]:
    """What we left of a plan, and what m3ter has."""
    sides: tuple[tuple[str, Any, Any], ...] = (
        ("plan", _target(ours), theirs.plan_id or theirs.plan_group_id or ""),
        ("start", _second(ours.starts_at), _second(theirs.start_date)),
        ("end", _second(ours.ends_at), _second(theirs.end_date)),
    )
    if ours.quantity_field:
        sides += (("quantity", Decimal(ours.quantity), _number(theirs.custom_fields.get(ours.quantity_field))),)
    return sides


def _target(plan: AccountPlanLink) -> str:
    return plan.m3ter_plan_id or plan.m3ter_plan_group_id


def _overlap(ours: AccountPlanLink, stranger: AccountPlan) -> bool:
    """Say whether both may bill one product at one time, now or later; a group's products are not told apart."""
    alike = not (ours.m3ter_product_id and stranger.product_id) or ours.m3ter_product_id == stranger.product_id
    ends = [end for end in (ours.ends_at, stranger.end_date) if end is not None]
    begins = max(ours.starts_at, stranger.start_date)
    return alike and all(begins < end and clock.now() < end for end in ends)


def _second(moment: datetime | None) -> datetime | None:
    return moment.replace(microsecond=0) if moment else None


def _number(value: object) -> Decimal | str:
    """A quantity as a custom field may hold it, a number or a text."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return str(value or "")


def _differing(sides: Sequence[tuple[str, Any, Any]]) -> str:
    """Name in words what differs, ours first; empty when all is the same."""
    return "; ".join(f"{name} {_word(here)} here, {_word(there)} there" for name, here, there in sides if here != there)


def _word(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return "none" if value in (None, "") else str(value)
