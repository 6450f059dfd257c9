"""The page that says what a mapping, saved or not, would have meant for a past event."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Panel, Story
from paddle_sync import foreseeing
from paddle_sync.admin.asking import Question, ask
from paddle_sync.admin.mapping_form import PICKERS, PlanMappingForm
from paddle_sync.choosing import Names
from paddle_sync.foreseeing import Foreseen, Seen
from paddle_sync.models import PlanMapping, WebhookEvent

MOST_RECENT = 20
ANSWERS = (*PICKERS, "effective_from", "metering_starts", "quantity_use", "quantity_field", "note")
TITLE = "Test against a past event"
OPTIONAL_HERE = ("reason", "disagreement_seen")


class AboutForm(forms.Form):
    """What to test against."""

    event = forms.ChoiceField(
        label="A recent event", required=False, widget=forms.Select(attrs={"class": "c-input"}), choices=()
    )
    about = forms.CharField(
        label="Or an event id or a subscription id",
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="evt_... or sub_...; it wins over the list above.",
    )

    def __init__(self, data: Any, candidate: PlanMapping) -> None:
        super().__init__(data)
        recent = foreseeing.recent(candidate, MOST_RECENT)
        choices = [("", "-"), *((event.event_id, _one_line(event)) for event in recent)]
        self.fields["event"].choices = choices  # type: ignore[attr-defined]


def show_saved(page: LedgerAdmin, request: HttpRequest, mapping: PlanMapping) -> HttpResponse:
    """Test a mapping as it is saved; whoever may see it may test it."""
    return _show(page, request, mapping, request.GET, hidden=(), back=showing.page_of(mapping), method="get")


def show_unsaved(page: LedgerAdmin, request: HttpRequest, mapping: PlanMapping | None) -> HttpResponse:
    """Test the answers of a form that is not saved; they travel along from page to page."""
    form = PlanMappingForm(request.POST, instance=mapping)
    for name in OPTIONAL_HERE:
        form.fields[name].required = False
    back = showing.page_of(mapping) if mapping else showing.list_of(PlanMapping)
    form.is_valid()
    errors = {name: found for name, found in form.errors.items() if name not in OPTIONAL_HERE}
    if errors:
        rows = [
            (str(form.fields[name].label) if name in form.fields else "The mapping", " ".join(map(str, found)))
            for name, found in errors.items()
        ]
        story = Story("bad", "This cannot be tested yet.", "", "Close this tab, complete the form, then test again.")
        return ask(
            page,
            request,
            title=TITLE,
            back=back,
            story=story,
            panels=[Panel("Missing", ("Answer", "What to do"), rows, "")],
        )
    hidden = [(name, str(request.POST.get(f"{name}-match") or request.POST.get(name, ""))) for name in ANSWERS]
    return _show(page, request, form.instance, request.POST, hidden=hidden, back=back, method="post")


def _show(
    page: LedgerAdmin, request: HttpRequest, candidate: PlanMapping, data: Any, *, hidden: Any, back: str, method: str
) -> HttpResponse:
    asked = "event" in data or "about" in data
    form = AboutForm(data if asked else None, candidate)
    question = Question(form, "Test", method=method, action=request.path, strong=True, hidden=hidden)
    story = Story("calm", f"{candidate}: choose what to test it against.", "Nothing is saved or sent anywhere.")
    panels: list[Panel] = []
    if asked and form.is_valid():
        about = form.cleaned_data["about"].strip() or form.cleaned_data["event"]
        try:
            seen, outcomes = foreseeing.try_out(candidate, about) if about else (None, ())
        except NotPossible as problem:
            story = Story("bad", str(problem))
        else:
            if seen is not None:
                story, panels = _outcome(candidate, seen, outcomes)
    return ask(page, request, title=TITLE, back=back, story=story, panels=panels, questions=[question])


def _outcome(candidate: PlanMapping, seen: Seen, outcomes: tuple[Foreseen, ...]) -> tuple[Story, list[Panel]]:
    decided = [each for each in outcomes if each.mapping is not None]
    mine = [each for each in outcomes if each.by_candidate]
    missing = [each for each in outcomes if each.mapping is None]
    told = [
        f"This mapping decides {len(mine)} of its {len(outcomes)} item{'' if len(outcomes) == 1 else 's'}",
        f"other mappings decide {len(decided) - len(mine)}",
        f"{len(missing)} {'is' if len(missing) == 1 else 'are'} still missing",
    ]
    waits = [f"It would wait until {', '.join(_name(each) for each in missing)} is decided too."] if missing else []
    clashes = foreseeing.conflicts(outcomes)
    waits += [
        f"{_name(one)} and {_name(other)} ask for two plans of one m3ter product, which m3ter does not allow: it would "
        "wait. Map both to one plan."
        for one, other in clashes
    ]
    tone, effect = ("wait", " ".join(waits)) if waits else ("good", "Nothing else is missing: it would run.")
    names = Names(_ids(outcomes))
    rows = [
        (
            _name(each),
            each.item.quantity,
            showing.at(each.item.began),
            _decider(each),
            foreseeing.sentence(each, names),
        )
        for each in outcomes
    ]
    columns = ("Item", "Quantity", "On the subscription since", "Decided by", "What it would get")
    story = Story("wait" if tone == "wait" else "good", f"{seen.title}: {'; '.join(told)}.", effect)
    return story, [Panel("Its items", columns, rows, empty="It has no items.")]


def _ids(outcomes: tuple[Foreseen, ...]) -> list[str]:
    chosen = [each.mapping for each in outcomes if each.mapping is not None]
    return [
        vendor_id
        for mapping in chosen
        for vendor_id in (mapping.m3ter_plan_id, mapping.m3ter_plan_group_id, mapping.m3ter_counter_id)
    ]


def _decider(outcome: Foreseen) -> Any:
    if outcome.mapping is None:
        return showing.label("Nobody yet", "wait")
    if outcome.by_candidate:
        return showing.label("This mapping", "good")
    return showing.row_link(outcome.mapping)


def _name(outcome: Foreseen) -> str:
    item = outcome.item
    return f'"{item.name}" ({item.price_id})' if item.name else item.price_id


def _one_line(event: WebhookEvent) -> str:
    about = f"{event.event_type} of {event.paddle_subscription_id}"
    return f"{about}, {event.get_state_display().lower()}, {showing.exactly(event.occurred_at)}"
