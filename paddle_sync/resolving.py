"""What operators decided about Paddle's prices and products, looked up for the items of a subscription."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Q

from integration_project.errors import MappingMissing, NeedsConfiguration, PlanConflict
from paddle_sync.models import AccountPlanLink, CatalogueEntry, PlanMapping
from paddle_sync.plans import Difference, Span, WantedPlan

PRICE = "price"
PRODUCT = "product"
PLAN_CONFLICT = "plan conflict"
PLAN_REFUSED = "plan refused"
PLAN_GROUP = "plan group"
ABOUT_PLANS = (PLAN_CONFLICT, PLAN_REFUSED, PLAN_GROUP)
"""What an event may wait for that a mapping of any of its prices can put right."""
MAPPED_OTHERWISE = "mapped otherwise"
NEXT_STEP = "this event and all others that wait for it will then run by themselves."


@dataclass(frozen=True)
class Decided:
    """An item and the mapping that decides about it."""

    span: Span
    mapping: PlanMapping


def resolve(spans: Sequence[Span], recorded: Sequence[AccountPlanLink] = ()) -> tuple[WantedPlan, ...]:
    """Turn items into the plans they mean; MappingMissing or PlanConflict before anything is written anywhere.

    Items for which a plan was attached were decided then: that a mapping was changed or removed since attaches nothing.
    """
    settled = prices_of(recorded)
    decided, undecided = _decide([span for span in spans if span.item.price_id not in settled])
    if undecided:
        raise _missing(undecided)
    metered = [entry for entry in decided if entry.mapping.target != PlanMapping.Target.NOT_METERED]
    groups: dict[str, list[Decided]] = {}
    for entry in metered:
        groups.setdefault(entry.mapping.m3ter_plan_id or entry.mapping.m3ter_plan_group_id, []).append(entry)
    wanted = {target: _together(entries) for target, entries in groups.items()}
    _refuse_two_plans_of_a_product(wanted, groups)
    return tuple(wanted.values())


def prices_of(recorded: Sequence[AccountPlanLink]) -> frozenset[str]:
    """The prices for which these plans were attached."""
    return frozenset(price for plan in recorded for price in plan.paddle_price_ids)


def decided_otherwise(spans: Sequence[Span], recorded: Sequence[AccountPlanLink]) -> tuple[Difference, ...]:
    """The items that today's mappings would put on another plan than the one that was attached for them."""
    if not recorded:
        return ()
    by_price = {price: plan for plan in recorded for price in plan.paddle_price_ids}
    by_product = {plan.m3ter_plan_group_id or plan.m3ter_product_id: plan for plan in recorded}
    differing = []
    for entry in _decide(spans)[0]:
        attached = by_price.get(entry.span.item.price_id) or by_product.get(_place(entry.mapping))
        if attached is not None and _target(entry.mapping) != _attached_target(attached):
            differing.append(_difference(entry, attached))
    return tuple(differing)


def not_metered(price_ids: Iterable[str], products: dict[str, str], day: date) -> frozenset[str]:
    """Say which of these prices mean nothing in m3ter on that day; `products` gives each price's product."""
    prices = frozenset(price_ids)
    candidates = _mappings(prices, {products.get(price, "") for price in prices})
    chosen = {price: _choose(candidates, price, products.get(price, ""), day) for price in prices}
    return frozenset(
        price for price, found in chosen.items() if found and found.target == PlanMapping.Target.NOT_METERED
    )


def products_of_group(plan_group_id: str) -> tuple[str, ...]:
    """The products that the plans of a group are for, as m3ter's catalogue last said."""
    kind = CatalogueEntry.Kind.M3TER_PLAN_GROUP
    group = CatalogueEntry.objects.filter(kind=kind, vendor_id=plan_group_id).first()
    return tuple(group.data.get("product_ids", ())) if group else ()


def _decide(spans: Sequence[Span]) -> tuple[list[Decided], list[Span]]:
    candidates = _mappings({span.item.price_id for span in spans}, {span.item.product_id for span in spans})
    decided, undecided = [], []
    for span in spans:
        mapping = _choose(candidates, span.item.price_id, span.item.product_id, span.day)
        if mapping is None:
            undecided.append(span)
        else:
            decided.append(Decided(span, mapping))
    return decided, undecided


def _mappings(prices: Iterable[str], products: Iterable[str]) -> list[PlanMapping]:
    """All mappings of these prices and products, the latest first."""
    wanted = Q(paddle_price_id__in=set(prices) - {""}) | Q(paddle_product_id__in=set(products) - {""})
    return list(PlanMapping.objects.filter(wanted).order_by("-effective_from"))


def _choose(candidates: Sequence[PlanMapping], price_id: str, product_id: str, day: date) -> PlanMapping | None:
    """The mapping in force on that day: the price's, or else its product's."""
    in_force = [mapping for mapping in candidates if mapping.effective_from <= day]
    by_price = next((mapping for mapping in in_force if mapping.paddle_price_id == price_id), None)
    if by_price is not None or not product_id:
        return by_price
    return next((mapping for mapping in in_force if mapping.paddle_product_id == product_id), None)


def _together(entries: Sequence[Decided]) -> WantedPlan:
    """All items on one plan, quantities added."""
    mapping = entries[0].mapping
    return WantedPlan(
        plan_id=mapping.m3ter_plan_id,
        plan_group_id=mapping.m3ter_plan_group_id,
        product_id="" if mapping.m3ter_plan_group_id else _product_of(mapping),
        starts_at=min(entry.span.starts_at for entry in entries),
        quantity=sum(entry.span.item.quantity for entry in entries),
        price_ids=tuple(sorted(entry.span.item.price_id for entry in entries)),
        group_product_ids=products_of_group(mapping.m3ter_plan_group_id) if mapping.m3ter_plan_group_id else (),
    )


def _product_of(mapping: PlanMapping) -> str:
    """The m3ter product of a mapping's plan; the plan itself stands for a product nobody has looked up yet."""
    if mapping.m3ter_product_id:
        return mapping.m3ter_product_id
    plan = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.M3TER_PLAN, vendor_id=mapping.m3ter_plan_id).first()
    return plan.parent_id if plan and plan.parent_id else mapping.m3ter_plan_id


def _place(mapping: PlanMapping) -> str:
    """What there may be one of on an account: a product's plan, or a group; empty where nothing is metered."""
    if mapping.target == PlanMapping.Target.NOT_METERED:
        return ""
    return mapping.m3ter_plan_group_id or _product_of(mapping)


def _refuse_two_plans_of_a_product(wanted: dict[str, WantedPlan], groups: dict[str, list[Decided]]) -> None:
    """m3ter allows one plan of a product on an account at a time."""
    first: dict[str, str] = {}
    for target, plan in wanted.items():
        if len(wanted) > 1 and not plan.products:
            raise _unknown_group(plan)
        for product in plan.products:
            other = first.setdefault(product, target)
            if other != target:
                raise _conflict(product, groups[other], groups[target])


def _missing(undecided: Sequence[Span]) -> MappingMissing:
    """Name everything that is missing; the event waits for the first, and finds the others decided or waits again."""
    first = undecided[0].item
    names = "; ".join(str(span.item) for span in undecided)
    what, each = ("Paddle price", "the price") if len(undecided) == 1 else ("Paddle prices", "each price")
    later = _decided_later(undecided)
    return MappingMissing(
        PRICE,
        first.price_id,
        f"No m3ter plan is mapped to {what} {names}.{later} Nothing was created in m3ter."
        f" Map {each} or its product, or mark it as not metered; {NEXT_STEP}",
        product=first.product_id,
    )


def _decided_later(undecided: Sequence[Span]) -> str:
    """Say so where a mapping exists that begins too late, since that is easily overlooked."""
    for span in undecided:
        item = span.item
        later = _mappings([item.price_id], [item.product_id])
        if later:
            begins = min(mapping.effective_from for mapping in later)
            return f" A mapping of {item.price_id} begins on {begins}, after this item began on {span.day}."
    return ""


def _conflict(product: str, one: Sequence[Decided], other: Sequence[Decided]) -> PlanConflict:
    ways = " and ".join(f"{entries[0].span.item} to {_target(entries[0].mapping)}" for entries in (one, other))
    return PlanConflict(
        PLAN_CONFLICT,
        product,
        f"Two plans of one m3ter product ({product}) are called for: {ways}. m3ter allows one at a time, and"
        f" nothing was created there. Map both prices to one plan, or mark one as not metered; {NEXT_STEP}",
    )


def _unknown_group(plan: WantedPlan) -> NeedsConfiguration:
    return NeedsConfiguration(
        PLAN_GROUP,
        plan.plan_group_id,
        f"Nobody knows yet for which products the m3ter plan group {plan.plan_group_id} has plans, so it may overlap"
        " with another plan of this subscription, which m3ter does not allow. Nothing was created there. Refresh the"
        f" catalogue, or map the price to something else; {NEXT_STEP}",
    )


def _target(mapping: PlanMapping) -> str:
    return mapping.m3ter_plan_id or mapping.m3ter_plan_group_id


def _attached_target(plan: AccountPlanLink) -> str:
    return plan.m3ter_plan_id or plan.m3ter_plan_group_id


def _difference(entry: Decided, attached: AccountPlanLink) -> Difference:
    item, target = entry.span.item, _target(entry.mapping)
    today = f"is mapped to {target}" if target else "is marked as not metered"
    return Difference(
        MAPPED_OTHERWISE,
        item.price_id,
        f"{item} {today} by now. The subscription's m3ter account has {_attached_target(attached)} for it since"
        f" {attached.starts_at:%d %B %Y}, and that was left as it is.",
        "Replace the plan on the m3ter account from the day that you decide, or map the price as it was.",
        (item.price_id,),
    )
