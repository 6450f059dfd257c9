"""Which mapping decides about an item, who follows it, and what comes of saving it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Q

from paddle_sync import parking
from paddle_sync.models import AccountPlanLink, CatalogueEntry, PlanMapping


def saved(mapping: PlanMapping, *, by: str) -> int:
    """Run again what waits for this mapping's price or product; say how many events that are."""
    return parking.resume(parking.waiting_for_mapping(mapping), by=by, reason=f"mapping saved: {mapping}")


def saved_together(mappings: Sequence[PlanMapping], *, by: str, reason: str) -> int:
    """Run again what waits for any of these, by a fixed number of queries; say how many events that are."""
    return parking.resume(parking.waiting_for_mappings(mappings), by=by, reason=reason) if mappings else 0


def deciding(candidates: Iterable[PlanMapping], price_id: str, product_id: str, day: date) -> PlanMapping | None:
    """The mapping in force on a day: the price's latest one, or else its product's. Pure."""
    in_force = [mapping for mapping in candidates if mapping.effective_from <= day]
    by_price = [mapping for mapping in in_force if mapping.paddle_price_id == price_id]
    by_product = [mapping for mapping in in_force if product_id and mapping.paddle_product_id == product_id]
    return max(by_price or by_product, key=lambda mapping: mapping.effective_from, default=None)


def about(prices: Iterable[str], products: Iterable[str]) -> list[PlanMapping]:
    """Every mapping of these prices and products."""
    wanted = Q(paddle_price_id__in=set(prices) - {""}) | Q(paddle_product_id__in=set(products) - {""})
    return list(PlanMapping.objects.filter(wanted))


def target_of(mapping: PlanMapping) -> str:
    """The plan or group that a mapping puts items on; empty where nothing is metered."""
    return mapping.m3ter_plan_id or mapping.m3ter_plan_group_id


@dataclass(frozen=True)
class Users:
    """The plans that run, or ran, because of a mapping: keys of AccountPlanLink, the newest first."""

    running: tuple[int, ...]
    ended: tuple[int, ...]


def users_of(mapping: PlanMapping, *, now: datetime) -> Users:
    """Find the plans attached because of this mapping, by two queries however many there are."""
    decided = {
        (link_id, price_id, plan_id or group_id)
        for link_id, price_id, plan_id, group_id in mapping.decisions.values_list(
            "link_id", "paddle_price_id", "m3ter_plan_id", "m3ter_plan_group_id"
        )
    }
    plans = AccountPlanLink.objects.filter(link__decisions__mapping=mapping).distinct().order_by("-pk")
    running: list[int] = []
    ended: list[int] = []
    for plan in plans.only("pk", "link_id", "m3ter_plan_id", "m3ter_plan_group_id", "paddle_price_ids", "ends_at"):
        goal = plan.m3ter_plan_id or plan.m3ter_plan_group_id
        if any((plan.link_id, price, goal) in decided for price in plan.paddle_price_ids):
            (running if plan.ends_at is None or plan.ends_at > now else ended).append(plan.pk)
    return Users(tuple(running), tuple(ended))


def products_of(prices: Iterable[str]) -> Mapping[str, str]:
    """Give each price's Paddle product, as the catalogue last said."""
    entries = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.PADDLE_PRICE, vendor_id__in=set(prices))
    return dict(entries.values_list("vendor_id", "parent_id"))
