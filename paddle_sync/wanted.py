"""What a subscription's account should have in m3ter: plans with their dates, and counts of seats. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo

from paddle_sync.plans import Difference, earlier

LONGEST_CODE = 80
CHARGED_PERIOD = "charged period changed"


@dataclass(frozen=True)
class WantedPlan:
    """One plan, or plan group, that an account should have from a moment on: all items on it together."""

    plan_id: str
    plan_group_id: str
    product_id: str
    starts_at: datetime
    quantity: int
    price_ids: tuple[str, ...]
    group_product_ids: tuple[str, ...] = ()
    """The products that a group's plans are for; empty where the catalogue does not say."""
    ends_at: datetime | None = None
    quantity_field: str = ""
    """The account plan's custom field that takes the quantity; empty where it is of no interest."""

    @property
    def products(self) -> tuple[str, ...]:
        """Every m3ter product it is for, as far as that is known."""
        return self.group_product_ids if self.plan_group_id else (self.product_id,)

    @property
    def target(self) -> str:
        """The plan or group that is attached."""
        return self.plan_id or self.plan_group_id

    @property
    def fields(self) -> dict[str, int]:
        """The custom fields it should have."""
        return {self.quantity_field: self.quantity} if self.quantity_field else {}

    def code(self, subscription_id: str) -> str:
        """The account plan's code: the same whoever computes it, and when."""
        what = self.plan_group_id or self.product_id
        return f"{subscription_id}:{what}:{int(self.starts_at.timestamp())}"[-LONGEST_CODE:]

    def overlaps(self, other: "WantedPlan") -> bool:
        """Say whether both run at one time."""
        return overlap(self.starts_at, self.ends_at, other.starts_at, other.ends_at)


@dataclass(frozen=True)
class WantedCount:
    """How many seats a counter should say at the end of a day: the whole count."""

    counter_id: str
    day: date
    value: int


@dataclass(frozen=True)
class Use:
    """A stretch of time in which an item uses a plan; several of one target become one plan."""

    plan: WantedPlan
    counter_id: str = ""


def overlap(start: datetime, end: datetime | None, other_start: datetime, other_end: datetime | None) -> bool:
    """Say whether two stretches of time share more than a moment."""
    return (end is None or other_start < end) and (other_end is None or start < other_end)


def together(uses: Iterable[Use]) -> tuple[WantedPlan, ...]:
    """Make one plan of all that uses one target without a pause, whatever items those are."""
    by_target: dict[str, list[WantedPlan]] = {}
    for use in sorted(uses, key=lambda use: (use.plan.starts_at, use.plan.price_ids)):
        by_target.setdefault(use.plan.target, []).append(use.plan)
    return tuple(plan for plans in by_target.values() for plan in _merged(plans))


def counts(uses: Iterable[Use], zone: tzinfo) -> tuple[WantedCount, ...]:
    """Say what each counter should say at the end of each day on which that changes; none of what never changes."""
    by_counter: dict[str, list[WantedPlan]] = {}
    for use in uses:
        if use.counter_id:
            by_counter.setdefault(use.counter_id, []).append(use.plan)
    return tuple(each for counter in sorted(by_counter) for each in _steps(counter, by_counter[counter], zone))


def keep_charged(
    wanted: Sequence[WantedPlan], recorded: Sequence[WantedPlan], until: datetime | None
) -> tuple[WantedPlan, ...]:
    """Leave what ran in periods that were charged or locked as it was, and bring about the rest from then on."""
    if until is None or _before(wanted, until) == _before(recorded, until):
        return tuple(wanted)
    later = [replace(plan, starts_at=max(plan.starts_at, until)) for plan in wanted if _goes_beyond(plan, until)]
    kept = []
    for plan in recorded:
        if plan.starts_at >= until:
            continue
        heir = next((w for w in later if w.target == plan.target and w.starts_at == until), None)
        if heir is not None and _goes_beyond(plan, until):
            later.remove(heir)
            kept.append(replace(heir, starts_at=plan.starts_at))
        else:
            kept.append(replace(plan, ends_at=earlier(plan.ends_at, until)))
    return (*kept, *later)


def changes_in_charged(
    wanted: Sequence[WantedPlan], final: Sequence[WantedPlan], until: datetime | None
) -> tuple[Difference, ...]:
    """Say in words what was called for and left undone, because its period was charged or locked."""
    due, has = [_in_words(plan) for plan in wanted], [_in_words(plan) for plan in final]
    if until is None or set(due) == set(has):
        return ()
    called_for = "; ".join(words for words in due if words not in has) or "nothing"
    stays = "; ".join(words for words in has if words not in due) or "nothing"
    return (
        Difference(
            CHARGED_PERIOD,
            "",
            f"The subscription's story calls for {called_for}. Part of that lies in a period that is charged or locked"
            f" already, so m3ter has {stays} instead, and all is right from the next period on.",
            "Decide whether the customer is owed something for the period that was charged, then acknowledge this.",
        ),
    )


def _in_words(plan: WantedPlan) -> str:
    end = f" to {plan.ends_at:%d %B %Y, %H:%M:%S}" if plan.ends_at else ""
    return f"{plan.target} from {plan.starts_at:%d %B %Y, %H:%M:%S}{end} UTC"


def _goes_beyond(plan: WantedPlan, until: datetime) -> bool:
    return plan.ends_at is None or plan.ends_at > until


def _before(plans: Sequence[WantedPlan], until: datetime) -> set[tuple[str, datetime, datetime | None]]:
    """What runs before a moment, as far as it does."""
    return {(p.target, p.starts_at, earlier(p.ends_at, until)) for p in plans if p.starts_at < until}


def _merged(plans: Sequence[WantedPlan]) -> list[WantedPlan]:
    """Join uses of one target that touch; the quantity is that of the end: of the items a field is for, if any is."""
    groups: list[list[WantedPlan]] = []
    for plan in plans:
        end = _end(groups[-1]) if groups else None
        if groups and (end is None or plan.starts_at <= end):
            groups[-1].append(plan)
        else:
            groups.append([plan])
    return [_one(group) for group in groups]


def _end(plans: Sequence[WantedPlan]) -> datetime | None:
    ends = [plan.ends_at for plan in plans if plan.ends_at is not None]
    return max(ends) if len(ends) == len(plans) else None


def _one(plans: Sequence[WantedPlan]) -> WantedPlan:
    end = _end(plans)
    last = [plan for plan in plans if plan.ends_at == end]
    field = next((plan.quantity_field for plan in last if plan.quantity_field), "")
    return replace(
        plans[0],
        ends_at=end,
        quantity=sum(plan.quantity for plan in last if plan.quantity_field == field),
        price_ids=tuple(sorted({price for plan in plans for price in plan.price_ids})),
        quantity_field=field,
    )


def _steps(counter: str, plans: Sequence[WantedPlan], zone: tzinfo) -> Iterable[WantedCount]:
    moments = sorted({moment for plan in plans for moment in (plan.starts_at, plan.ends_at) if moment is not None})
    values: dict[date, int] = {}
    for moment in moments:
        running = (p for p in plans if p.starts_at <= moment and (p.ends_at is None or moment < p.ends_at))
        values[moment.astimezone(zone).date()] = sum(plan.quantity for plan in running)
    before = 0
    for day, value in values.items():
        if value != before:
            yield WantedCount(counter, day, value)
        before = value
