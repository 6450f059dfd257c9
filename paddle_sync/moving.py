"""Moving subscriptions to another mapping: which would be moved, from what to what and since when; then doing so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from django.db import transaction
from django.db.models import Q

from integration_project import clock, installation
from paddle_sync import intake, mappings, subscribed
from paddle_sync.mappings import decided_on, deciding, target_of
from paddle_sync.models import AccountLink, AccountPlanLink, PlanMapping, PlanMove
from paddle_sync.subscribed import HeldItem

COLUMNS = (
    "paddle_subscription_id",
    "name",
    "m3ter_account_code",
    "next_billed_at",
    "charged_until",
    "created_at",
)
PLAN_COLUMNS = ("link", "m3ter_plan_id", "m3ter_plan_group_id", "starts_at", "paddle_price_ids", "decided_at")
AT_ONCE = 200
"""How many subscriptions are moved in one transaction."""


@dataclass(frozen=True)
class Move:
    """One item of one subscription that another mapping would decide about from a moment on."""

    link_id: int
    subscription_id: str
    price_id: str
    name: str
    before: str
    """The plan or group it is on; empty where nothing meters it."""
    after: str
    moves_at: datetime | None
    refused: str = ""
    """Why it cannot be moved at that moment; empty when it can."""


def moves_of(mapping: PlanMapping, moves_at: datetime | None) -> list[Move]:
    """Say which items of live subscriptions this mapping would take over at a moment, by a fixed number of queries.

    Without a moment each subscription moves with the start of its next period. Items that follow this mapping already,
    or will by an earlier decision, are not among them; neither are those for which another mapping is in force then.
    """
    held = [item for item in subscribed.live_items() if _concerns(mapping, item)]
    if not held:
        return []
    zone = installation.zone(installation.current())
    links = AccountLink.objects.only(*COLUMNS).in_bulk({item.link_id for item in held})
    plans = _plans_by_item(links)
    candidates = mappings.about({item.price_id for item in held}, {item.product_id for item in held})
    asked = _moves_asked(links.values())
    found = []
    for item in held:
        link = links[item.link_id]
        at = moves_at or link.next_billed_at
        plan = plans.get((item.link_id, item.price_id))
        before = deciding(candidates, item.price_id, item.product_id, _day(link, plan, item.price_id, zone))
        pending = asked.get((item.subscription_id, item.price_id))
        if pending is not None:
            before = deciding(candidates, item.price_id, item.product_id, pending.astimezone(zone).date())
        if before is not None and before.pk == mapping.pk:
            continue
        after = deciding(candidates, item.price_id, item.product_id, at.astimezone(zone).date()) if at else None
        found.append(
            Move(
                link_id=link.pk,
                subscription_id=item.subscription_id,
                price_id=item.price_id,
                name=link.name or link.m3ter_account_code,
                before=(plan.m3ter_plan_id or plan.m3ter_plan_group_id) if plan else "",
                after=target_of(mapping),
                moves_at=at,
                refused=_why_not(mapping, link, at, after),
            )
        )
    return sorted(found, key=lambda move: (move.subscription_id, move.price_id))


def move(subscription_id: str, price_id: str, moves_at: datetime, *, by: str, reason: str) -> bool:
    """Let an item follow, from a moment on, the mapping in force then; False when that was decided before."""
    with transaction.atomic():
        _, is_new = PlanMove.objects.get_or_create(
            paddle_subscription_id=subscription_id,
            paddle_price_id=price_id,
            moves_at=moves_at.replace(microsecond=0),
            defaults={"created_at": clock.now(), "by": by[:150], "reason": reason},
        )
        if is_new:
            intake.ask_to_sync(subscription_id, by=by, reason=reason, source=_source_of(subscription_id))
    return is_new


def move_all(moves: Sequence[Move], *, by: str, reason: str) -> int:
    """Carry out every move that is possible, some at a time; say how many were new. Repeating it adds nothing."""
    possible = [(each, each.moves_at) for each in moves if each.moves_at is not None and not each.refused]
    done = 0
    for start in range(0, len(possible), AT_ONCE):
        with transaction.atomic():
            for each, moves_at in possible[start : start + AT_ONCE]:
                done += move(each.subscription_id, each.price_id, moves_at, by=by, reason=reason)
    return done


def _concerns(mapping: PlanMapping, item: HeldItem) -> bool:
    if mapping.paddle_price_id:
        return item.price_id == mapping.paddle_price_id
    return item.product_id == mapping.paddle_product_id


def _plans_by_item(links: Iterable[int]) -> dict[tuple[int, str], AccountPlanLink]:
    """The newest plan of each price that has not ended."""
    plans: dict[tuple[int, str], AccountPlanLink] = {}
    running = Q(ends_at__isnull=True) | Q(ends_at__gt=clock.now())
    for plan in (
        AccountPlanLink.objects.filter(running, link__in=list(links)).order_by("starts_at", "pk").only(*PLAN_COLUMNS)
    ):
        plans.update({(plan.link_id, price): plan for price in plan.paddle_price_ids})
    return plans


def _moves_asked(links: Iterable[AccountLink]) -> dict[tuple[str, str], datetime]:
    """The latest moment to which each item was moved already."""
    asked: dict[tuple[str, str], datetime] = {}
    moves = PlanMove.objects.filter(paddle_subscription_id__in=[link.paddle_subscription_id for link in links])
    for each in moves.order_by("moves_at"):
        asked[each.paddle_subscription_id, each.paddle_price_id] = each.moves_at
    return asked


def _day(link: AccountLink, plan: AccountPlanLink | None, price_id: str, zone: tzinfo) -> date:
    """The day by which an item's mapping was chosen; of one that nothing meters, the day its account was linked."""
    return decided_on(plan, price_id, zone) if plan else link.created_at.astimezone(zone).date()


def _why_not(mapping: PlanMapping, link: AccountLink, at: datetime | None, after: PlanMapping | None) -> str:
    if at is None:
        return "Paddle names no next period."
    if link.charged_until is not None and at < link.charged_until:
        return f"It is charged until {link.charged_until:%Y-%m-%d %H:%M} UTC; choose a later moment."
    if after is None:
        return "No mapping of it is in force at that moment."
    if after.pk != mapping.pk:
        return f"Another mapping is in force at that moment: {after}."
    return ""


def _source_of(subscription_id: str) -> str:
    link = AccountLink.objects.filter(paddle_subscription_id=subscription_id).only("source").first()
    return link.source if link else str(AccountLink._meta.get_field("source").default)
