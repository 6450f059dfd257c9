"""Where the two sides of a mapping do not fit each other, as far as both catalogues say."""

from paddle_sync.choosing import Names
from paddle_sync.models import CatalogueEntry, PlanMapping


def warnings(mapping: PlanMapping, names: Names | None = None) -> list[str]:
    """Say in sentences what somebody should have seen before they save this; `names` spares the query."""
    names = names or Names.for_mappings([mapping])
    price = names.entry(mapping.paddle_price_id)
    goal = names.entry(mapping.m3ter_plan_id or mapping.m3ter_plan_group_id)
    counter = names.entry(mapping.m3ter_counter_id)
    sold = price or names.entry(mapping.paddle_product_id)
    return [
        *_gone("Paddle", sold),
        *_gone("m3ter", goal),
        *_gone("m3ter", counter),
        *_bespoke(goal),
        *_unlike(price, goal),
    ]


def _gone(vendor: str, entry: CatalogueEntry | None) -> list[str]:
    return [f"{vendor} does not offer {entry.name} any more."] if entry is not None and not entry.active else []


def _bespoke(goal: CatalogueEntry | None) -> list[str]:
    account = goal.data.get("account_id") if goal is not None else None
    if not account or goal is None:
        return []
    return [f"{goal.name} was made for one m3ter account alone ({account}): m3ter refuses it on any other."]


def _unlike(price: CatalogueEntry | None, goal: CatalogueEntry | None) -> list[str]:
    """Compare currency and interval of a price and a plan; a product has neither."""
    if price is None or goal is None:
        return []
    found = []
    if price.currency and goal.currency and price.currency != goal.currency:
        found.append(f"The price is in {price.currency}, the plan in {goal.currency}: its bills could not be charged.")
    if price.interval and goal.interval and price.interval != goal.interval:
        found.append(f"The price renews {price.interval}, the plan is billed {goal.interval}.")
    return found
