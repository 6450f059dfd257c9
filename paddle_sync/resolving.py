"""What operators decided about Paddle's prices and products, looked up for the items of a subscription."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from itertools import combinations

from django.db.models import Q

from integration_project.errors import MappingMissing, NeedsConfiguration, PlanConflict
from paddle_sync import wanted
from paddle_sync.models import CatalogueEntry, PlanDecision, PlanMapping
from paddle_sync.plans import Difference, Span
from paddle_sync.wanted import Use, WantedCount, WantedPlan

PRICE = "price"
PRODUCT = "product"
PLAN_CONFLICT = "plan conflict"
PLAN_REFUSED = "plan refused"
PLAN_GROUP = "plan group"
ABOUT_PLANS = (PLAN_CONFLICT, PLAN_REFUSED, PLAN_GROUP)
"""What an event may wait for that a mapping of any of its prices can put right."""
MAPPED_OTHERWISE = "mapped otherwise"
NEXT_STEP = "this event and all others that wait for it will then run by themselves."
NOT_METERED = PlanMapping.Target.NOT_METERED


@dataclass(frozen=True)
class Answer:
    """What an item means in m3ter, as a mapping says it or as it was written down when that was decided."""

    target: str
    plan_id: str
    plan_group_id: str
    product_id: str
    metering_starts: str
    quantity_use: str
    quantity_field: str
    counter_id: str
    mapping_id: int | None

    @classmethod
    def of(cls, row: PlanMapping | PlanDecision, *, product_id: str, mapping_id: int | None) -> "Answer":
        """Read it from a row that says it."""
        return cls(
            target=row.target,
            plan_id=row.m3ter_plan_id,
            plan_group_id=row.m3ter_plan_group_id,
            product_id="" if row.m3ter_plan_group_id else product_id,
            metering_starts=row.metering_starts,
            quantity_use=row.quantity_use,
            quantity_field=row.quantity_field,
            counter_id=row.m3ter_counter_id,
            mapping_id=mapping_id,
        )

    @property
    def goal(self) -> str:
        """The plan or group; empty where nothing is metered."""
        return self.plan_id or self.plan_group_id

    def says_the_same(self, other: "Answer") -> bool:
        """Say whether both mean the same in m3ter."""
        return (self.goal, *self._choices()) == (other.goal, *other._choices())

    def _choices(self) -> tuple[str, ...]:
        if not self.goal:
            return ()
        return (self.metering_starts, self.quantity_use, self.quantity_field, self.counter_id)


@dataclass(frozen=True)
class Decided:
    """An item's span and what was decided about it."""

    span: Span
    answer: Answer
    is_new: bool
    """False where it was decided before, and stays so whatever mappings say by now."""


@dataclass(frozen=True)
class Resolved:
    """What a subscription's items call for in m3ter."""

    decided: tuple[Decided, ...]
    plans: tuple[WantedPlan, ...]
    counts: tuple[WantedCount, ...]

    @property
    def is_metered(self) -> bool:
        """Whether the subscription needs an account at all."""
        return any(entry.answer.target != NOT_METERED for entry in self.decided)


def decisions_of(subscription_id: str) -> tuple[PlanDecision, ...]:
    """What was decided about the items of a subscription."""
    rows = PlanDecision.objects.filter(paddle_subscription_id=subscription_id)
    return tuple(rows.order_by("decided_at", "pk"))


def resolve(spans: Sequence[Span], decisions: Sequence[PlanDecision], zone: tzinfo) -> Resolved:
    """Turn items into the plans they mean; MappingMissing or PlanConflict before anything is written anywhere."""
    decided, undecided = _decide(spans, decisions, zone)
    if undecided:
        raise _missing(undecided)
    uses = [use for entry in decided for use in _uses(entry)]
    plans = wanted.together(uses)
    _refuse_two_plans_of_a_product(plans, decided)
    _refuse_two_fields_of_a_plan([use.plan for use in uses if use.plan.quantity_field])
    return Resolved(tuple(decided), plans, wanted.counts(uses, zone))


def decided_otherwise(decided: Sequence[Decided]) -> tuple[Difference, ...]:
    """The items that today's mappings would treat otherwise than it was decided for them."""
    old = [entry for entry in decided if not entry.is_new and entry.span.is_current]
    today = {id(span): answer for span, answer in _by_mappings([entry.span for entry in old]) if answer is not None}
    return tuple(
        _difference(entry, today[id(entry.span)])
        for entry in old
        if id(entry.span) in today and not entry.answer.says_the_same(today[id(entry.span)])
    )


def products_of_group(plan_group_id: str) -> tuple[str, ...]:
    """The products that the plans of a group are for, as m3ter's catalogue last said."""
    kind = CatalogueEntry.Kind.M3TER_PLAN_GROUP
    group = CatalogueEntry.objects.filter(kind=kind, vendor_id=plan_group_id).first()
    return tuple(group.data.get("product_ids", ())) if group else ()


# --- Deciding ---------------------------------------------------------------------------------------------------------


def _decide(spans: Sequence[Span], decisions: Sequence[PlanDecision], zone: tzinfo) -> tuple[list[Decided], list[Span]]:
    exact = {(row.paddle_price_id, row.decided_at): row for row in decisions}
    # What we learn later may move a stay's beginning by seconds; what was decided about it stays decided. A person's
    # moment never moves, and what was decided before on that day is what the person wants otherwise.
    by_day = {(row.paddle_price_id, _day(row.decided_at, zone)): row for row in reversed(decisions)}
    decided, open_ones = [], []
    for span in spans:
        price_id = span.item.price_id
        row = exact.get((price_id, span.decided_at))
        if row is None and not span.is_moved:
            row = by_day.get((price_id, span.day))
        if row is None:
            open_ones.append(span)
        else:
            answer = Answer.of(row, product_id=row.m3ter_product_id, mapping_id=row.mapping_id)
            decided.append(Decided(span, answer, is_new=False))
    answers = _by_mappings(open_ones)
    decided += [Decided(span, answer, is_new=True) for span, answer in answers if answer is not None]
    return decided, [span for span, answer in answers if answer is None]


def _by_mappings(spans: Sequence[Span]) -> list[tuple[Span, Answer | None]]:
    """What the mappings say of each span: the one in force when it was decided, else when its metering begins."""
    candidates = _mappings({span.item.price_id for span in spans}, {span.item.product_id for span in spans})
    return [(span, _answer(candidates, span)) for span in spans]


def _answer(candidates: Sequence[PlanMapping], span: Span) -> Answer | None:
    item = span.item
    for day in (span.day, span.metered_day):
        mapping = _choose(candidates, item.price_id, item.product_id, day)
        if mapping is not None:
            return Answer.of(mapping, product_id=_product_of(mapping), mapping_id=mapping.pk)
    return None


def _day(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()


def _mappings(prices: Iterable[str], products: Iterable[str]) -> list[PlanMapping]:
    """All mappings of these prices and products, the latest first."""
    some_prices, some_products = set(prices) - {""}, set(products) - {""}
    if not some_prices and not some_products:
        return []
    chosen = Q(paddle_price_id__in=some_prices) | Q(paddle_product_id__in=some_products)
    return list(PlanMapping.objects.filter(chosen).order_by("-effective_from"))


def _choose(candidates: Sequence[PlanMapping], price_id: str, product_id: str, day: date) -> PlanMapping | None:
    """The mapping in force on that day: the price's, or else its product's."""
    in_force = [mapping for mapping in candidates if mapping.effective_from <= day]
    by_price = next((mapping for mapping in in_force if mapping.paddle_price_id == price_id), None)
    if by_price is not None or not product_id:
        return by_price
    return next((mapping for mapping in in_force if mapping.paddle_product_id == product_id), None)


def _product_of(mapping: PlanMapping) -> str:
    """The m3ter product of a mapping's plan; the plan itself stands for a product nobody has looked up yet."""
    if mapping.m3ter_product_id or not mapping.m3ter_plan_id:
        return mapping.m3ter_product_id
    plan = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.M3TER_PLAN, vendor_id=mapping.m3ter_plan_id).first()
    return plan.parent_id if plan and plan.parent_id else mapping.m3ter_plan_id


def _uses(entry: Decided) -> Iterable[Use]:
    """When, and with which quantity, an item uses its plan."""
    answer, span = entry.answer, entry.span
    if answer.target == NOT_METERED:
        return
    products = products_of_group(answer.plan_group_id) if answer.plan_group_id else ()
    for piece in span.pieces:
        if piece.is_trial and answer.metering_starts == PlanMapping.MeteringStarts.TRIAL_END:
            continue
        plan = WantedPlan(
            plan_id=answer.plan_id,
            plan_group_id=answer.plan_group_id,
            product_id=answer.product_id,
            starts_at=piece.begins_at,
            ends_at=piece.ends_at,
            quantity=piece.quantity,
            price_ids=(span.item.price_id,),
            group_product_ids=products,
            quantity_field=answer.quantity_field,
        )
        yield Use(plan, answer.counter_id)


# --- What stands in the way -------------------------------------------------------------------------------------------


def _refuse_two_plans_of_a_product(plans: Sequence[WantedPlan], decided: Sequence[Decided]) -> None:
    """m3ter allows one plan of a product on an account at a time."""
    for one, other in combinations(plans, 2):
        if not one.overlaps(other):
            continue
        for plan in (one, other):
            if not plan.products:
                raise _unknown_group(plan)
        shared = sorted(set(one.products) & set(other.products))
        if shared:
            raise _conflict(
                shared[0], one, other, {entry.span.item.price_id: str(entry.span.item) for entry in decided}
            )


def _refuse_two_fields_of_a_plan(counted: Sequence[WantedPlan]) -> None:
    """Refuse to guess which of two custom fields of one plan takes which quantity: it has one that takes it."""
    for one, other in combinations({(plan.target, plan.quantity_field): plan for plan in counted}.values(), 2):
        if one.target == other.target:
            raise PlanConflict(
                PLAN_CONFLICT,
                one.target,
                f"The prices {', '.join((*one.price_ids, *other.price_ids))} are mapped to one plan, {one.target}, and"
                f" their quantities to two custom fields of it, {one.quantity_field} and {other.quantity_field}. One"
                " plan keeps one quantity, and nothing was created in m3ter. Let both use one field, or keep one of"
                f" them as a counter; {NEXT_STEP}",
            )


def _missing(undecided: Sequence[Span]) -> MappingMissing:
    """Name everything that is missing; the event waits for the first, and finds the others decided or waits again."""
    first = undecided[0].item
    named = {span.item.price_id: str(span.item) for span in undecided}
    names = "; ".join(named.values())
    what, each = ("Paddle price", "the price") if len(named) == 1 else ("Paddle prices", "each price")
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


def _conflict(product: str, one: WantedPlan, other: WantedPlan, names: Mapping[str, str]) -> PlanConflict:
    ways = " and ".join(
        f"{', '.join(names.get(price, price) for price in plan.price_ids)} to {plan.target}" for plan in (one, other)
    )
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


def _difference(entry: Decided, today: Answer) -> Difference:
    item = entry.span.item
    was = f"It has {entry.answer.goal}" if entry.answer.goal else "It is not metered here"
    now = "is marked as not metered" if not today.goal else f"is mapped to {today.goal}"
    if today.goal == entry.answer.goal:
        now = f"is mapped to {today.goal} with another choice about trials or quantities"
    return Difference(
        MAPPED_OTHERWISE,
        item.price_id,
        f"{item} {now} by now. {was}, as was decided for {entry.span.decided_at:%d %B %Y}, and that was left as it is.",
        "Move the subscription to today's mapping, or map the price as it was.",
    )
