"""The form of a plan mapping: two pickers fed by both catalogues, and every reason to think twice before saving."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms

from integration_project.ledger_admin import ReasonedModelForm
from paddle_sync.models import CatalogueEntry, PlanMapping, WebhookEvent

Kind = CatalogueEntry.Kind
Target = PlanMapping.Target
Choices = list[tuple[str, list[tuple[str, str]]]]
PADDLE_COLUMN = {Kind.PADDLE_PRICE: "paddle_price_id", Kind.PADDLE_PRODUCT: "paddle_product_id"}
M3TER_COLUMN = {Target.PLAN: "m3ter_plan_id", Target.PLAN_GROUP: "m3ter_plan_group_id"}
KIND_OF_TARGET = {Target.PLAN: Kind.M3TER_PLAN, Target.PLAN_GROUP: Kind.M3TER_PLAN_GROUP}
NOT_METERED = f"{Target.NOT_METERED}:"


class PlanMappingForm(ReasonedModelForm):
    """What a Paddle price or product means in m3ter."""

    paddle_side = forms.ChoiceField(
        label="In Paddle",
        widget=forms.Select(attrs={"class": "c-input"}),
        help_text="A price; or a product, which then holds for each of its prices that has no mapping of its own.",
    )
    m3ter_side = forms.ChoiceField(
        label="In m3ter",
        widget=forms.Select(attrs={"class": "c-input"}),
        help_text="The plan, or group of plans, that subscriptions with it get. Not metered: nothing happens in m3ter.",
    )
    effective_from = forms.DateField(
        label="From which day on",
        widget=forms.DateInput(attrs={"type": "date", "class": "c-input"}, format="%Y-%m-%d"),
        help_text="Items of subscriptions that begin on or after this day follow it. For the first mapping of a price "
        "choose a day before its first subscription.",
    )
    disagreement_seen = forms.BooleanField(
        label="Save although the two sides disagree",
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "c-input"}),
        help_text="Only needed when a warning above says so.",
    )

    class Meta:
        model = PlanMapping
        fields = ("effective_from", "note")
        labels = {"note": "Note"}
        help_texts = {"note": "For your colleagues; customers never see it."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entries = list(CatalogueEntry.objects.order_by("name"))
        paddle, m3ter = _current(self.instance), _target(self.instance)
        paddle = paddle or _asked_for(kwargs.get("initial") or {})
        posted = self.data.get("paddle_side", "") if self.is_bound else ""
        paddle = posted if _is_known(posted) else paddle
        self.fields["paddle_side"].choices = _paddle_choices(entries, paddle)  # type: ignore[attr-defined]
        self.fields["m3ter_side"].choices = _m3ter_choices(entries, m3ter)  # type: ignore[attr-defined]
        self.initial.setdefault("paddle_side", paddle)
        self.initial.setdefault("m3ter_side", m3ter)
        if self.instance.pk is None and not self.initial.get("effective_from"):
            self.initial["effective_from"] = earliest_day(paddle.partition(":")[2])

    def clean(self) -> dict[str, Any]:
        """Refuse a second mapping of the same day, and a disagreement that nobody has seen."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        _apply(self.instance, cleaned)
        same_day = PlanMapping.objects.filter(
            paddle_price_id=self.instance.paddle_price_id,
            paddle_product_id=self.instance.paddle_product_id,
            effective_from=cleaned["effective_from"],
        ).exclude(pk=self.instance.pk)
        if existing := same_day.first():
            raise forms.ValidationError(
                f"There is a mapping of this from that day on: {existing}. Change that one, or choose another day."
            )
        warnings = disagreements(self.instance)
        if warnings and not cleaned["disagreement_seen"]:
            self.add_error("disagreement_seen", [*warnings, "Tick this if it is meant so."])
        return cleaned


def _apply(mapping: PlanMapping, cleaned: dict[str, Any]) -> None:
    """Write both pickers' answers into the mapping's columns."""
    kind, _, paddle_id = cleaned["paddle_side"].partition(":")
    target, _, m3ter_id = cleaned["m3ter_side"].partition(":")
    mapping.paddle_price_id = paddle_id if kind == Kind.PADDLE_PRICE else ""
    mapping.paddle_product_id = paddle_id if kind == Kind.PADDLE_PRODUCT else ""
    mapping.target = target
    mapping.m3ter_plan_id = m3ter_id if target == Target.PLAN else ""
    mapping.m3ter_plan_group_id = m3ter_id if target == Target.PLAN_GROUP else ""
    plan = _entry(Kind.M3TER_PLAN, mapping.m3ter_plan_id)
    mapping.m3ter_product_id = plan.parent_id if plan else ""


def disagreements(mapping: PlanMapping) -> list[str]:
    """Say where the catalogues of the two sides do not fit each other."""
    price = _entry(Kind.PADDLE_PRICE, mapping.paddle_price_id)
    target = Target(mapping.target)
    goal = (
        _entry(KIND_OF_TARGET[target], mapping.m3ter_plan_id or mapping.m3ter_plan_group_id)
        if target in KIND_OF_TARGET
        else None
    )
    found = []
    for side, entry in (("Paddle", price or _entry(Kind.PADDLE_PRODUCT, mapping.paddle_product_id)), ("m3ter", goal)):
        if entry is not None and not entry.active:
            found.append(f"{side} does not offer {entry.name} any more.")
    if price is None or goal is None:
        return found
    if price.currency and goal.currency and price.currency != goal.currency:
        found.append(f"The price is in {price.currency}, the plan in {goal.currency}: its bills could not be charged.")
    if price.interval and goal.interval and price.interval != goal.interval:
        found.append(f"The price renews {price.interval}, the plan is billed {goal.interval}.")
    return found


def _entry(kind: str, vendor_id: str) -> CatalogueEntry | None:
    return CatalogueEntry.objects.filter(kind=kind, vendor_id=vendor_id).first() if vendor_id else None


def _current(mapping: PlanMapping) -> str:
    if mapping.paddle_price_id:
        return f"{Kind.PADDLE_PRICE}:{mapping.paddle_price_id}"
    return f"{Kind.PADDLE_PRODUCT}:{mapping.paddle_product_id}" if mapping.paddle_product_id else ""


def _target(mapping: PlanMapping) -> str:
    if mapping.target == Target.NOT_METERED:
        return NOT_METERED
    return f"{mapping.target}:{mapping.m3ter_plan_id or mapping.m3ter_plan_group_id}" if mapping.target else ""


def _asked_for(initial: dict[str, Any]) -> str:
    """Read what a link to this form fills in."""
    for kind, column in PADDLE_COLUMN.items():
        if initial.get(column):
            return f"{kind}:{str(initial[column])[:64]}"
    return ""


def _is_known(choice: str) -> bool:
    """Say whether a posted price or product exists, as far as we were told: listed once, or waited for by an event."""
    kind, _, vendor_id = choice.partition(":")
    if kind not in PADDLE_COLUMN or not vendor_id:
        return False
    if _entry(kind, vendor_id) is not None:
        return True
    column = "waiting_for_key" if kind == Kind.PADDLE_PRICE else "waiting_for_product"
    return WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, **{column: vendor_id}).exists()


def _paddle_choices(entries: Iterable[CatalogueEntry], chosen: str) -> Choices:
    groups: Choices = [
        (
            "Prices",
            [_choice(entry) for entry in entries if entry.kind == Kind.PADDLE_PRICE and _offered(entry, chosen)],
        ),
        (
            "Products: every price of theirs without a mapping of its own",
            [_choice(entry) for entry in entries if entry.kind == Kind.PADDLE_PRODUCT and _offered(entry, chosen)],
        ),
    ]
    return _with(groups, chosen)


def _m3ter_choices(entries: Iterable[CatalogueEntry], chosen: str) -> Choices:
    offered: dict[str, list[tuple[str, str]]] = {Target.PLAN: [], Target.PLAN_GROUP: []}
    for target, kind in KIND_OF_TARGET.items():
        for entry in entries:
            # A plan made for one account is no choice for everybody.
            if entry.kind == kind and entry.active and not entry.data.get("account_id"):
                offered[target].append((f"{target}:{entry.vendor_id}", _described(entry)))
    groups: Choices = [
        ("Plans", offered[Target.PLAN]),
        ("Groups of plans", offered[Target.PLAN_GROUP]),
        ("No m3ter", [(NOT_METERED, str(Target.NOT_METERED.label))]),
    ]
    return _with(groups, chosen)


def _offered(entry: CatalogueEntry, chosen: str) -> bool:
    return entry.active or f"{entry.kind}:{entry.vendor_id}" == chosen


def _choice(entry: CatalogueEntry) -> tuple[str, str]:
    return f"{entry.kind}:{entry.vendor_id}", _described(entry)


def _described(entry: CatalogueEntry) -> str:
    """Name an entry so that two of the same name can be told apart."""
    details = ", ".join(part for part in (entry.currency, entry.interval, entry.code) if part)
    return f"{entry.name}{f', {details}' if details else ''} ({entry.vendor_id})"


def _with(groups: Choices, chosen: str) -> Choices:
    """Put an empty choice first, and keep a chosen id that no catalogue lists."""
    known = {value for _, choices in groups for value, _ in choices}
    if chosen and chosen not in known:
        name = f"{chosen.partition(':')[2]} (not in the catalogue as last read)"
        groups.insert(0, ("Not in the catalogue", [(chosen, name)]))
    return [("Choose one", [("", "-")]), *(group for group in groups if group[1])]


def earliest_day(price_or_product: str) -> date | None:
    """Propose a day before everything that waits for this: the first of the year before the oldest of them."""
    waiting = WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, waiting_for_key=price_or_product)
    oldest = waiting.order_by("occurred_at").values_list("occurred_at", flat=True).first()
    return date(oldest.year - 1, 1, 1) if oldest else None
