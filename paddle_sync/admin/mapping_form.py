"""The form of a plan mapping: pickers fed by both catalogues, and every reason to think twice before saving."""

from datetime import date
from typing import Any

from django import forms

from integration_project.ledger_admin import DayInput
from integration_project.reasoned_admin import ReasonedModelForm
from paddle_sync import choosing, disagreeing
from paddle_sync.admin.picker import PickerField
from paddle_sync.choosing import Side
from paddle_sync.models import CatalogueEntry, PlanMapping, WebhookEvent

Kind = CatalogueEntry.Kind
Target = PlanMapping.Target
QuantityUse = PlanMapping.QuantityUse
PADDLE_COLUMN = {Kind.PADDLE_PRICE: "paddle_price_id", Kind.PADDLE_PRODUCT: "paddle_product_id"}
PICKERS = {"paddle_side": Side.PADDLE, "m3ter_side": Side.M3TER, "counter": Side.COUNTER}
NEEDED_BY = {QuantityUse.CUSTOM_FIELD: "quantity_field", QuantityUse.COUNTER: "counter"}
"""For each use of the quantity, the answer that it cannot do without; the others must be empty."""
MISSING = {
    "quantity_field": "Name the custom field of the account plan that takes the quantity, or choose another use of it.",
    "counter": "Choose the counter that keeps the quantity, or choose another use of it.",
}


class PlanMappingForm(ReasonedModelForm):
    """What a Paddle price or product means in m3ter."""

    paddle_side = PickerField(
        Side.PADDLE,
        label="In Paddle",
        help_text="A price; or a product, which then holds for each of its prices that has no mapping of its own.",
    )
    m3ter_side = PickerField(
        Side.M3TER,
        label="In m3ter",
        help_text="The plan, or group of plans, that subscriptions with it get. Or type: not metered. Nothing happens "
        "in m3ter then.",
    )
    effective_from = forms.DateField(
        label="From which day on",
        widget=DayInput(),
        help_text="Items of subscriptions that begin on or after this day follow it; older ones keep the plan they "
        "have until somebody moves them. For the first mapping of a price choose a day before its first subscription.",
    )
    metering_starts = forms.ChoiceField(
        label="Metering starts",
        required=False,
        choices=PlanMapping.MeteringStarts.choices,
        widget=forms.Select(attrs={"class": "c-input"}),
        help_text="Matters only for subscriptions with a trial.",
    )
    quantity_use = forms.ChoiceField(
        label="The quantity bought in Paddle is",
        required=False,
        choices=QuantityUse.choices,
        widget=forms.Select(attrs={"class": "c-input"}),
    )
    quantity_field = forms.CharField(
        label="Custom field",
        required=False,
        max_length=80,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="Only for a quantity that is written to a custom field: its name in m3ter.",
    )
    counter = PickerField(
        Side.COUNTER,
        label="Counter",
        required=False,
        help_text="Only for a quantity that is kept as a counter.",
    )
    disagreement_seen = forms.BooleanField(
        label="Save although the two sides disagree",
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "c-input"}),
        help_text="Only needed when a warning above says so.",
    )

    class Meta:
        model = PlanMapping
        fields = ("effective_from", "metering_starts", "quantity_use", "quantity_field", "note")
        labels = {"note": "Note"}
        help_texts = {"note": "For your colleagues; customers never see it."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        answers = dict(zip(PICKERS, choosing.answer_of(self.instance), strict=True))
        answers["paddle_side"] = answers["paddle_side"] or _asked_for(kwargs.get("initial") or {})
        for name, answer in answers.items():
            self.initial.setdefault(name, answer)
            self.fields[name].chosen_before = answer  # type: ignore[attr-defined]
        if self.instance.pk is None and not self.initial.get("effective_from"):
            self.initial["effective_from"] = earliest_day(answers["paddle_side"].partition(":")[2])

    def clean_metering_starts(self) -> str:
        """Take the first choice where none was made."""
        return self.cleaned_data["metering_starts"] or PlanMapping.MeteringStarts.CREATION

    def clean_quantity_use(self) -> str:
        """Take the first choice where none was made."""
        return self.cleaned_data["quantity_use"] or QuantityUse.IGNORED

    def clean(self) -> dict[str, Any]:
        """Refuse what cannot be, a second mapping of the same day, and a disagreement that nobody has seen."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self._clean_quantity(cleaned)
        if any(name in self.errors for name in (*PICKERS, "effective_from", "quantity_field", "note")):
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
        warnings = disagreeing.warnings(self.instance)
        if warnings and not cleaned["disagreement_seen"]:
            self.add_error("disagreement_seen", [*warnings, "Tick this if it is meant so."])
        return cleaned

    def _clean_quantity(self, cleaned: dict[str, Any]) -> None:
        """Ask for what the chosen use of the quantity needs, and refuse what another use would have needed."""
        use = cleaned.get("quantity_use")
        if use is None:
            return
        metered = cleaned.get("m3ter_side") != choosing.NOT_METERED
        if not metered and use != QuantityUse.IGNORED:
            text = "What is not metered has no quantity in m3ter. Choose Ignored, or a plan."
            self.add_error("quantity_use", text)
            return
        for needed_by, name in NEEDED_BY.items():
            if needed_by == use and not cleaned.get(name) and name not in self.errors:
                self.add_error(name, MISSING[name])
            if needed_by != use and cleaned.get(name):
                label = str(needed_by.label)
                self.add_error(name, f"Leave this empty, or choose for the quantity: {label}.")


def _apply(mapping: PlanMapping, cleaned: dict[str, Any]) -> None:
    """Write the pickers' answers into the mapping's columns."""
    kind, _, paddle_id = cleaned["paddle_side"].partition(":")
    target, _, m3ter_id = cleaned["m3ter_side"].partition(":")
    mapping.paddle_price_id = paddle_id if kind == Kind.PADDLE_PRICE else ""
    mapping.paddle_product_id = paddle_id if kind == Kind.PADDLE_PRODUCT else ""
    mapping.target = target
    mapping.m3ter_plan_id = m3ter_id if target == Target.PLAN else ""
    mapping.m3ter_plan_group_id = m3ter_id if target == Target.PLAN_GROUP else ""
    mapping.m3ter_counter_id = (cleaned.get("counter") or "").partition(":")[2]
    mapping.effective_from = cleaned["effective_from"]
    plan = choosing.entry_of(Kind.M3TER_PLAN, mapping.m3ter_plan_id)
    mapping.m3ter_product_id = plan.parent_id if plan else ""


def _asked_for(initial: dict[str, Any]) -> str:
    """Read what a link to this form fills in."""
    for kind, column in PADDLE_COLUMN.items():
        if initial.get(column):
            return f"{kind}:{str(initial[column])[:64]}"
    return ""


def earliest_day(price_or_product: str) -> date | None:
    """Propose a day before everything that waits for this: the first of the year before the oldest of them."""
    waiting = WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, waiting_for_key=price_or_product)
    oldest = waiting.order_by("occurred_at").values_list("occurred_at", flat=True).first()
    return date(oldest.year - 1, 1, 1) if oldest else None
