"""The page that says what a file's columns mean: suggestions to correct, and what its first rows become by them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import LedgerAdmin, OptionalReasonForm, in_history
from integration_project.showing import Panel, Story
from paddle_sync.admin import usage_words as words
from paddle_sync.admin.usage_words import cut
from paddle_sync.models import UsageUpload
from paddle_sync.usage import file_layouts, layouts, meters, uploads
from paddle_sync.usage.file_layouts import LayoutWrong, Preview, PreviewRow
from paddle_sync.usage.layouts import NAMES, VALUES, Layout
from paddle_sync.usage.meters import Meters
from paddle_sync.usage.rows import Format, Problem

State = UsageUpload.State
IGNORED = "Ignored"
SAMPLED = 3
"""Values of a column that are shown beside what it means."""
MOST_CHOICES = 20_000
"""Of all columns together, so that a wide file and many meters still make a page."""
MEANINGS_OF_A_COLUMN = [(name, words.MEANINGS[name]) for name in NAMES]
Choices = list[tuple[str, Any]]


def address(upload: UsageUpload) -> str:
    """Find the page."""
    return reverse("admin:paddle_sync_usageupload_columns", args=(upload.pk,))


def may_be_said(upload: UsageUpload) -> bool:
    """Whether it is still open what its columns mean; of JSON, whether nobody has had it checked."""
    return upload.state == State.LAYOUT or (upload.state == State.DECIDING and upload.format == Format.CSV)


class ColumnsForm(OptionalReasonForm):
    """What each column means, which of them tell rows apart, and the meter where no column says it."""

    def __init__(self, data: Any, *, columns: Sequence[str], layout: Layout, known: Meters) -> None:
        initial: dict[str, Any] = {"meter": layout.meter, "remember": True}
        for number, column in enumerate(columns):
            initial[f"role-{number}"] = layout.roles.get(column, "")
            initial[f"key-{number}"] = column in layout.key
        super().__init__(data, initial=initial)
        self.columns = columns
        reason = self.fields.pop("reason")
        meter = (data.get("meter", "") if data is not None else layout.meter) or ""
        self.is_short = _is_too_much(len(columns), known, meter)
        for number, column in enumerate(columns):
            chosen = {layout.roles.get(column, ""), data.get(f"role-{number}", "") if data is not None else ""}
            self.fields[f"role-{number}"] = forms.ChoiceField(
                label=cut(column),
                required=False,
                choices=_choices(known, meter, chosen, is_short=self.is_short),
                widget=forms.Select(attrs={"class": "c-input"}),
                error_messages={"invalid_choice": "Choose one of the list."},
            )
            self.fields[f"key-{number}"] = forms.BooleanField(
                label="Tells rows apart",
                required=False,
                widget=forms.CheckboxInput(attrs={"class": "c-input", "aria-label": f"{cut(column)} tells rows apart"}),
            )
        self.fields["meter"] = forms.ChoiceField(
            label="Meter of all rows",
            required=False,
            choices=[("", "A column says it"), *((code, _named(code, each.name)) for code, each in known.items())],
            widget=forms.Select(attrs={"class": "c-input"}),
            error_messages={"invalid_choice": "m3ter has no such meter."},
        )
        self.fields["remember"] = forms.BooleanField(
            label="Remember this for the next file with the same columns",
            required=False,
            widget=forms.CheckboxInput(attrs={"class": "c-input"}),
        )
        self.fields["reason"] = reason

    @property
    def layout(self) -> Layout:
        """What was chosen."""
        answers = self.cleaned_data
        roles = {
            column: answers[f"role-{number}"]
            for number, column in enumerate(self.columns)
            if answers.get(f"role-{number}")
        }
        key = tuple(column for number, column in enumerate(self.columns) if answers.get(f"key-{number}"))
        return Layout(roles, answers.get("meter", ""), key)

    def lines(self, preview: Preview, wrong: Sequence[Problem]) -> list[dict[str, Any]]:
        """Give for each column its fields, what stands in its first rows, and what is wrong with it."""
        told: dict[str, list[str]] = {}
        for problem in wrong:
            told.setdefault(problem.column, []).append(words.sentence(f"{problem.reason} {problem.remedy}"))
        samples: dict[str, list[str]] = {}
        for each in preview.rows:
            for column, cell in each.row.values.items():
                if len(own := samples.setdefault(column, [])) < SAMPLED:
                    own.append(cut(cell, 40))
        return [
            {
                "name": cut(column),
                "role": self[f"role-{number}"],
                "key": self[f"key-{number}"],
                "sample": samples.get(column, ()),
                "wrong": told.get(column, ()),
            }
            for number, column in enumerate(self.columns)
        ]


def _is_too_much(columns: int, known: Meters, meter: str) -> bool:
    fields = sum(len(each.categories) for code, each in known.items() if not meter or code == meter)
    return columns * fields > MOST_CHOICES


def _choices(known: Meters, meter: str, chosen: set[str], *, is_short: bool) -> Choices:
    """Give what a column may mean; of the fields, those of the chosen meter, else of all."""
    groups: Choices = []
    offered: set[str] = set(NAMES)
    for code, each in {} if is_short else known.items():
        if not meter or code == meter:
            fields = [(VALUES + field, cut(field)) for field in each.categories if VALUES + field not in offered]
            offered.update(role for role, _ in fields)
            if fields:
                groups.append((f"Fields of {_named(code, each.name)}", fields))
    others = sorted(role for role in chosen if role.startswith(VALUES) and role not in offered)
    if others:
        groups.append(("Other fields", [(role, cut(role.removeprefix(VALUES))) for role in others]))
    return [("", IGNORED), ("What it is", MEANINGS_OF_A_COLUMN), *groups]


def _named(code: str, name: str) -> str:
    return cut(code) if not name or name == code else f"{cut(name)} ({cut(code)})"


def show(page: LedgerAdmin, request: HttpRequest, upload: UsageUpload) -> HttpResponse:
    """Show what the columns would mean, try another layout, or have the whole file checked with it."""
    if not may_be_said(upload):
        words_of_state = upload.get_state_display().lower()
        page.message_user(request, f"The file is {words_of_state} by now. Nothing was done.", messages.WARNING)
        return HttpResponseRedirect(showing.page_of(upload))
    layout = file_layouts.layout_of(upload) or Layout()
    data = request.POST if request.method == "POST" else None
    form = ColumnsForm(data, columns=upload.columns, layout=layout, known=meters.known())
    wrong: Sequence[Problem] | None = None
    if form.is_bound and form.is_valid():
        layout = form.layout
        if "check" in request.POST:
            try:
                _confirm(page, request, upload, form)
            except LayoutWrong as problem:
                wrong = problem.problems
            except NotPossible as problem:
                page.message_user(request, f"Nothing was done. {problem}", messages.WARNING)
                return HttpResponseRedirect(showing.page_of(upload))
            else:
                return HttpResponseRedirect(showing.page_of(upload))
    preview = file_layouts.preview(upload, layout=layout)
    wrong = preview.problems if wrong is None else wrong
    context = {
        **page.admin_site.each_context(request),
        "title": f"What the columns of {upload.name} mean" if upload.columns else f"First rows of {upload.name}",
        "opts": page.opts,
        "original": upload,
        "story": story(upload, preview),
        "before": before(upload),
        "form": form,
        "lines": form.lines(preview, wrong) if upload.columns and preview.unreadable is None else (),
        "wrong": [words.sentence(f"{problem.reason} {problem.remedy}") for problem in wrong if not problem.column],
        "panels": panels(preview),
        "can_check": preview.unreadable is None,
        "back": showing.page_of(upload),
        "discard": reverse("admin:paddle_sync_usageupload_decide", args=(upload.pk, "discard")),
        "media": page.media,
    }
    request.current_app = page.admin_site.name
    return TemplateResponse(request, "admin/usage_columns.html", context)


def _confirm(page: LedgerAdmin, request: HttpRequest, upload: UsageUpload, form: ColumnsForm) -> None:
    layout, answers = form.layout, form.cleaned_data
    uploads.confirm_layout(upload, layout, by=request.user.get_username(), remember=answers["remember"])
    said = "Had the whole file checked"
    if upload.format == Format.CSV:
        said = f"{said}, its columns read as {cut(in_words(layout), 1_000)}"
    page.log_change(request, upload, in_history(said, {"reason": answers["reason"]}))
    page.message_user(request, "Every row is being checked. Nothing is sent before that is done.", messages.SUCCESS)


def in_words(layout: Layout) -> str:
    """Say a layout in a line."""
    parts = [f"{cut(column)} = {cut(role)}" for column, role in layout.roles.items()]
    parts += [f"meter {cut(layout.meter)}"] if layout.meter else []
    parts += [f"rows told apart by {' and '.join(map(cut, layout.key))}"] if layout.key else []
    return ", ".join(parts)


def before(upload: UsageUpload) -> UsageUpload | None:
    """Find the last file before this one that had the same bytes."""
    if not upload.sha256:
        return None
    earlier = UsageUpload.objects.filter(sha256=upload.sha256, pk__lt=upload.pk).exclude(state=State.RECEIVING)
    return earlier.only("pk", "name", "made_at", "by", "state").order_by("-pk").first()


def story(upload: UsageUpload, preview: Preview) -> Story:
    """Say how the first rows are read, and what to do."""
    if preview.unreadable is not None:
        cause = f"It cannot be read: {preview.unreadable}"
        return Story("bad", cause, "Nothing of it was sent.", "Discard it, correct the file, and upload that.")
    if preview.problems:
        return Story(
            "wait",
            "It is not clear yet what the columns mean.",
            "Nothing has been checked or sent.",
            "Choose a meaning for the columns that matter and leave the others ignored, then preview again.",
        )
    shown, wrong = len(preview.rows), sum(1 for each in preview.rows if each.problems)
    asked = sum(1 for each in preview.rows if each.is_open and not each.problems)
    cause = f"Of the first {words.rows(shown)}, {shown - wrong - asked} would be taken and {wrong} would not."
    if asked:
        cause = f"{cause} About {asked} Paddle will be asked."
    if not wrong and not asked:
        cause = f"The first {words.rows(shown)} would be taken."
    effect = f"Nothing has been checked beyond them, or sent. {_about_uids(upload, preview)}"
    next_step = "If they are read as they are meant, have the whole file checked."
    if wrong == shown:
        next_step = "Look below at what is wrong: the columns may mean something else, or the file has to be corrected."
    return Story("wait", cause, effect.strip(), next_step)


def _about_uids(upload: UsageUpload, preview: Preview) -> str:
    if preview.has_own_uids:
        return ""
    return (
        "No column is the uid and none tells rows apart, so a row counts once by its place in exactly this file: a"
        " corrected copy of it would count again. Choose the column, or the columns, that name a row."
    )


def panels(preview: Preview) -> list[Panel]:
    """Show the first rows as they stand, and what they become."""
    if not preview.rows:
        return []
    count = f"{len(preview.rows)} rows" if len(preview.rows) > 1 else "row"
    found = Panel(
        f"What the first {count} become",
        ("Row", "Measurement", "Taken?"),
        [(each.row.number, words.item(each.item) or "-", _fate(each)) for each in preview.rows],
        empty="",
        note="Whether a row repeats one that was counted before is seen when the whole file is checked.",
    )
    if not preview.columns:
        return [found]
    stand = Panel(
        f"The first {count} as {'they stand' if len(preview.rows) > 1 else 'it stands'}",
        ("Row", *map(cut, preview.columns)),
        [_cells(each.row.number, each.row.values, preview.columns) for each in preview.rows],
        empty="",
        note="The header is row 1.",
    )
    return [found, stand]


def _cells(number: int, values: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    return [number, *(cut(values.get(column, "")) for column in columns)]


def _fate(row: PreviewRow) -> Any:
    if not row.problems and row.is_open:
        told = "The check will look for the subscription in Paddle."
        return showing.under(showing.label("not known yet", "wait"), told)
    if not row.problems:
        return showing.label("yes", "good")
    said = " ".join(
        (f"{cut(problem.column)}: " if problem.column else "") + words.sentence(f"{problem.reason} {problem.remedy}")
        for problem in row.problems
    )
    return showing.under(showing.label("no", "bad"), said)


def meanings(upload: UsageUpload) -> Panel | None:
    """Show by which layout a file was read."""
    layout = file_layouts.layout_of(upload)
    if layout is None:
        return None
    rows = [
        (cut(column), words.meaning(layout.roles[column]) if column in layout.roles else IGNORED)
        for column in upload.columns
    ]
    notes = [f"Meter of all rows: {cut(layout.meter)}."] if layout.meter else []
    notes += [f"Rows are told apart by {' and '.join(map(cut, layout.key))}."] if layout.key else []
    if not layout.key and layouts.UID not in layout.roles.values():
        notes.append("Rows are told apart by their place in exactly these bytes.")
    return Panel("What its columns mean", ("Column", "Meaning"), rows, empty="", note=" ".join(notes))
