"""A field that is searched as somebody types, and is a plain search box where no script runs."""

from typing import Any

from django import forms
from django.http import HttpRequest, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from paddle_sync import choosing
from paddle_sync.choosing import Choice, Side

LONGEST_SEARCH = 120


class Picker(forms.TextInput):
    """A text box for an id, a code or words; the script beside it lists what matches while somebody types."""

    def __init__(self, side: Side, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": "c-input", "autocomplete": "off", **(attrs or {})})
        self.side = side
        self.candidates: tuple[Choice, ...] = ()

    class Media:
        js = ("console/picker.js",)

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Show the box, what it stands for, and what a search without a script found."""
        given = str(value or "")
        context = {
            "box": super().render(name, given, attrs, renderer),
            "name": name,
            "id": (attrs or {}).get("id", name),
            "url": f"{reverse('admin:paddle_sync_planmapping_choices')}?side={self.side}",
            "chosen": choosing.describe(self.side, given),
            "candidates": self.candidates,
        }
        return render_to_string("admin/picker.html", context)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        """Take what was picked from the list of a search before what stands in the box."""
        return str(data.get(f"{name}-match") or data.get(name) or "")


class PickerField(forms.CharField):
    """What was picked or typed, read as exactly one entry of the catalogue."""

    widget: Picker

    def __init__(self, side: Side, **kwargs: Any) -> None:
        super().__init__(widget=Picker(side), **kwargs)
        self.side = side
        self.chosen_before = ""

    def clean(self, value: Any) -> str:
        """Give the answer, or say what to do when nothing or more than one thing matches."""
        text = str(super().clean(value))[:LONGEST_SEARCH]
        if not text:
            return ""
        found = choosing.read(self.side, text, chosen_before=self.chosen_before)
        if len(found) == 1:
            return found[0].value
        if not found:
            raise forms.ValidationError(
                f"The catalogue has nothing like {text!r}. Search by a part of the name, a code or an id; "
                "if it is new, read both catalogues again first."
            )
        self.widget.candidates = found
        raise forms.ValidationError(f"{len(found)} match {text!r}. Choose one of them, or add a word.")


def answer(request: HttpRequest) -> JsonResponse:
    """Answer a picker's search with a few matches; who may ask is decided before."""
    try:
        side = Side(request.GET.get("side", ""))
    except ValueError:
        return JsonResponse({"detail": "side is paddle, m3ter or counter."}, status=400)
    found = choosing.search(side, request.GET.get("q", "")[:LONGEST_SEARCH])
    choices = [{"value": each.value, "name": each.name, "detail": each.detail} for each in found.choices]
    return JsonResponse({"choices": choices, "more": found.more})
