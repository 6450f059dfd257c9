"""Which mapping decides about an item, who follows it, and what comes of saving it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo

from django.db.models import Q, QuerySet

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


def decided_on(plan: AccountPlanLink, price_id: str, zone: tzinfo) -> date:
    """The day by which the mapping of a price on an attached plan was chosen."""
    seconds = plan.decided_at.get(price_id) if isinstance(plan.decided_at, dict) else None
    moment = datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else plan.starts_at
    return moment.astimezone(zone).date()


@dataclass(frozen=True)
class Users:
    """The plans that run, or ran, because of a mapping: keys of AccountPlanLink, the newest first."""

    running: tuple[int, ...]
    ended: tuple[int, ...]


def users_of(mapping: PlanMapping, *, now: datetime, zone: tzinfo) -> Users:
    """Find the plans attached because of this mapping, by three queries however many there are."""
    if not target_of(mapping):
        return Users((), ())
    plans = list(
        _on_target(mapping).order_by("-pk").only("pk", "paddle_price_ids", "decided_at", "starts_at", "ends_at")
    )
    prices = {price for plan in plans for price in plan.paddle_price_ids}
    products = products_of(prices)
    candidates = about(prices, products.values())
    running: list[int] = []
    ended: list[int] = []
    for plan in plans:
        chosen = (
            deciding(candidates, price, products.get(price, ""), decided_on(plan, price, zone))
            for price in plan.paddle_price_ids
        )
        if any(each is not None and each.pk == mapping.pk for each in chosen):
            (running if plan.ends_at is None or plan.ends_at > now else ended).append(plan.pk)
    return Users(tuple(running), tuple(ended))


def products_of(prices: Iterable[str]) -> Mapping[str, str]:
    """Give each price's Paddle product, as the catalogue last said."""
    entries = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.PADDLE_PRICE, vendor_id__in=set(prices))
    return dict(entries.values_list("vendor_id", "parent_id"))


def _on_target(mapping: PlanMapping) -> QuerySet[AccountPlanLink]:
    plans = AccountPlanLink.objects.all()
    if mapping.m3ter_plan_id:
        plans = plans.filter(m3ter_plan_id=mapping.m3ter_plan_id)
    else:
        plans = plans.filter(m3ter_plan_group_id=mapping.m3ter_plan_group_id)
    if mapping.paddle_price_id:
        # Its ids stand in a list of texts; both databases can look for one between its quotation marks.
        plans = plans.filter(paddle_price_ids__icontains=f'"{mapping.paddle_price_id}"')
    return plans
