"""Moving subscriptions to another mapping: which would be moved, from what to what and since when; then doing so.

Old subscriptions keep the plan that was decided for them, until somebody moves them. However many they are, it is done
by a bulk run, whose page shows how far it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from integration_project import installation
from integration_project.errors import NotPossible
from paddle_sync import bulk, mappings, subscribed
from paddle_sync.mappings import deciding, target_of
from paddle_sync.models import AccountLink, BulkRun, PlanDecision, PlanMapping, PlanMove
from paddle_sync.plans import whole
from paddle_sync.subscribed import HeldItem

COLUMNS = (
    "paddle_subscription_id",
    "name",
    "m3ter_account_code",
    "next_billed_at",
    "charged_until",
    "created_at",
)


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


def moments_of(subscription_id: str) -> dict[str, list[datetime]]:
    """From which moments on the items of a subscription follow the mapping in force then, by price."""
    moves: dict[str, list[datetime]] = {}
    rows = PlanMove.objects.filter(paddle_subscription_id=subscription_id).order_by("moves_at")
    for price_id, moment in rows.values_list("paddle_price_id", "moves_at"):
        moves.setdefault(price_id, []).append(moment)
    return moves


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
    decisions = _decisions(links)
    candidates = mappings.about({item.price_id for item in held}, {item.product_id for item in held})
    asked = _moves_asked(links.values())
    found = []
    for item in held:
        link = links[item.link_id]
        at = moves_at or link.next_billed_at
        decision = decisions.get((item.link_id, item.price_id))
        pending = asked.get((item.subscription_id, item.price_id))
        if _follows(mapping, decision) or (
            pending is not None
            and deciding(candidates, item.price_id, item.product_id, pending.astimezone(zone).date()) == mapping
        ):
            continue
        after = deciding(candidates, item.price_id, item.product_id, at.astimezone(zone).date()) if at else None
        found.append(
            Move(
                link_id=link.pk,
                subscription_id=item.subscription_id,
                price_id=item.price_id,
                name=link.name or link.m3ter_account_code,
                before=(decision.m3ter_plan_id or decision.m3ter_plan_group_id) if decision else "",
                after=target_of(mapping),
                moves_at=at,
                refused=_why_not(mapping, link, at, after, decision),
            )
        )
    return sorted(found, key=lambda move: (move.subscription_id, move.price_id))


def begin(mapping: PlanMapping, moves: Sequence[Move], *, by: str, reason: str) -> BulkRun:
    """Begin a run of every move that is possible, which a person has looked at; each subscription is one item."""
    possible: dict[str, list[Move]] = {}
    for each in moves:
        if each.moves_at is not None and not each.refused:
            possible.setdefault(each.subscription_id, []).append(each)
    if not possible:
        raise NotPossible("None of these subscriptions can be moved at that moment.")
    links = AccountLink.objects.filter(paddle_subscription_id__in=possible)
    sources = dict(links.values_list("paddle_subscription_id", "source"))
    with transaction.atomic():
        run = bulk.create(BulkRun.Kind.MOVE, f"Move to {mapping}", by=by, reason=reason, params={"mapping": mapping.pk})
        entries = [(each, _params(some, sources[each])) for each, some in possible.items()]
        bulk.add(run, entries, notes={each: _words(some) for each, some in possible.items()})
        bulk.prepared(run)
        bulk.start(run.pk, by=by, reason=reason)
    run.refresh_from_db()
    return run


def _params(moves: Sequence[Move], source: str) -> dict[str, Any]:
    """What the run needs to move one subscription; all its prices move at one moment."""
    prices, (moment, *_) = [each.price_id for each in moves], [each.moves_at for each in moves if each.moves_at]
    return {"price_ids": prices, "moves_at": whole(moment).isoformat(), "source": source}


def _words(moves: Sequence[Move]) -> str:
    words = [
        f"{each.price_id} from {each.before or 'nothing'} to {each.after or 'nothing'} at"
        f" {each.moves_at:%Y-%m-%d %H:%M:%S} UTC"
        for each in moves
    ]
    return "; ".join(words)


def _concerns(mapping: PlanMapping, item: HeldItem) -> bool:
    if mapping.paddle_price_id:
        return item.price_id == mapping.paddle_price_id
    return item.product_id == mapping.paddle_product_id


def _decisions(links: Iterable[int]) -> dict[tuple[int, str], PlanDecision]:
    """What was last decided about each item."""
    rows = PlanDecision.objects.filter(link__in=list(links)).order_by("decided_at", "pk")
    return {(row.link_id, row.paddle_price_id): row for row in rows if row.link_id is not None}


def _follows(mapping: PlanMapping, decision: PlanDecision | None) -> bool:
    """Say whether what was decided about an item is what the mapping says now."""
    if decision is None or decision.mapping_id != mapping.pk:
        return False
    columns = ("target", "m3ter_plan_id", "m3ter_plan_group_id", "metering_starts", "quantity_use", "quantity_field")
    return all(getattr(decision, name) == getattr(mapping, name) for name in (*columns, "m3ter_counter_id"))


def _moves_asked(links: Iterable[AccountLink]) -> dict[tuple[str, str], datetime]:
    """The latest moment to which each item was moved already, or will be by a run that is under way."""
    asked: dict[tuple[str, str], datetime] = {}
    subscriptions = [link.paddle_subscription_id for link in links]
    moves = PlanMove.objects.filter(paddle_subscription_id__in=subscriptions)
    for each in moves.order_by("moves_at"):
        asked[each.paddle_subscription_id, each.paddle_price_id] = each.moves_at
    for item in bulk.waiting(BulkRun.Kind.MOVE).filter(subject__in=subscriptions):
        for price_id in item.params["price_ids"]:
            place, moment = (item.subject, price_id), datetime.fromisoformat(item.params["moves_at"])
            asked[place] = max(asked.get(place, moment), moment)
    return asked


def _why_not(
    mapping: PlanMapping,
    link: AccountLink,
    at: datetime | None,
    after: PlanMapping | None,
    decision: PlanDecision | None,
) -> str:
    if at is None:
        return "Paddle names no next period."
    if decision is not None and at <= decision.decided_at:
        return f"It follows its plan since {decision.decided_at:%Y-%m-%d %H:%M} UTC; choose a later moment."
    if link.charged_until is not None and at < link.charged_until:
        return f"It is charged until {link.charged_until:%Y-%m-%d %H:%M} UTC; choose a later moment."
    if after is None:
        return "No mapping of it is in force at that moment."
    if after.pk != mapping.pk:
        return f"Another mapping is in force at that moment: {after}."
    return ""
