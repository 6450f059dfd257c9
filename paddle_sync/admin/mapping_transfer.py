"""The pages that take mappings out as a file, and in again after showing what that would change."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from integration_project import clock, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import LedgerAdmin, ReasonForm
from integration_project.showing import Panel, Story
from paddle_sync import mapping_files, promoting
from paddle_sync.admin.asking import Question, ask
from paddle_sync.choosing import Names
from paddle_sync.mapping_files import FileRefused
from paddle_sync.mappings import target_of
from paddle_sync.models import PlanMapping
from paddle_sync.promoting import Change, Difference

TITLE = "Import mappings"
SALT = "paddle_sync.mappings.import"
VALID_FOR = 3600
"""Seconds for which a difference that was shown may be confirmed."""
SHOWN = 200
WRITERS = {
    "csv": (mapping_files.write_csv, "text/csv; charset=utf-8"),
    "json": (mapping_files.write_json, "application/json"),
}


class FileForm(forms.Form):
    """Which file."""

    file = forms.FileField(
        label="File",
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"class": "c-input", "accept": ".csv,.json,text/csv,application/json"}),
        help_text="CSV or JSON in UTF-8, with the columns of the export. Nothing is changed before you have seen what.",
    )


def export(kind: str) -> HttpResponse:
    """Give every mapping as a file; who may have it is decided before."""
    write, content_type = WRITERS[kind]
    name = f"plan-mappings-{clock.now():%Y-%m-%d}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(write(promoting.exported()), content_type=content_type, headers=headers)


def show_import(page: LedgerAdmin, request: HttpRequest) -> HttpResponse:
    """Ask for a file, show what it would change or why it is refused, and apply it when that is confirmed."""
    if request.method == "POST" and "token" in request.POST:
        return _confirmed(page, request)
    form = FileForm(request.POST or None, request.FILES or None)
    if request.method != "POST" or not form.is_valid():
        story = Story(
            "calm",
            "Take over mappings from a file, such as those of the sandbox.",
            "A price, plan or counter is found by its id; where that id is not known here, a price by its exact name, "
            "currency and interval, a plan, group or counter by its m3ter code. A mapping that the file lacks is left "
            "alone.",
        )
        return ask(page, request, title=TITLE, back=_list(), story=story, questions=[_file(form)])
    upload = form.cleaned_data["file"]
    content = upload.read(mapping_files.MOST_BYTES + 1)
    return _preview(page, request, content, upload.name, ReasonForm())


def _confirmed(page: LedgerAdmin, request: HttpRequest) -> HttpResponse:
    try:
        text, name, fingerprint = signing.loads(request.POST["token"], salt=SALT, max_age=VALID_FOR)
    except signing.BadSignature:
        text = "What you confirmed is too old, or not what was shown. Choose the file again; nothing was changed."
        page.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(request.path)
    content = text.encode()
    why = ReasonForm(request.POST)
    if not why.is_valid():
        return _preview(page, request, content, name, why)
    reason = why.cleaned_data["reason"]
    try:
        applied = promoting.apply(content, fingerprint=fingerprint, by=request.user.get_username(), reason=reason)
    except (NotPossible, FileRefused) as problem:
        page.message_user(request, f"Nothing was changed. {problem}", messages.WARNING)
        return _preview(page, request, content, name, ReasonForm(initial={"reason": reason}))
    for rows, flag, did in ((applied.added, ADDITION, "Added"), (applied.changed, CHANGE, "Changed")):
        LogEntry.objects.log_actions(
            user_id=int(request.user.pk or 0),
            queryset=rows,
            action_flag=flag,
            change_message=f"{did} from the file {name}. Reason: {reason}",
        )
    words = f"{len(applied.added)} added, {len(applied.changed)} changed."
    page.message_user(request, f"{words} {applied.resumed} events that waited will run now.", messages.SUCCESS)
    return HttpResponseRedirect(_list())


def _preview(page: LedgerAdmin, request: HttpRequest, content: bytes, name: str, why: ReasonForm) -> HttpResponse:
    try:
        difference = promoting.compare(content)
    except FileRefused as refused:
        return _refused(page, request, name, refused)
    if not difference.added and not difference.changed:
        story = Story("good", f"{name} changes nothing.", difference.counts)
        return ask(page, request, title=TITLE, back=_list(), story=story, panels=_panels(difference))
    token = signing.dumps([content.decode("utf-8-sig"), name, difference.fingerprint], salt=SALT, compress=True)
    count = len(difference.added) + len(difference.changed)
    question = Question(
        why, f"Import {count} mapping{'' if count == 1 else 's'}", strong=True, hidden=(("token", token),)
    )
    warned = sum(bool(change.warnings) for change in (*difference.added, *difference.changed))
    care = f"Look at the {warned} with a warning first. " if warned else ""
    story = Story(
        "wait",
        f"{name}: {difference.counts}",
        "Nothing has been changed yet.",
        f"{care}All of it is written together, then what waited for these prices runs by itself.",
    )
    return ask(page, request, title=TITLE, back=_list(), story=story, panels=_panels(difference), questions=[question])


def _refused(page: LedgerAdmin, request: HttpRequest, name: str, refused: FileRefused) -> HttpResponse:
    rows = [(problem.row or "-", problem.column, problem.text) for problem in refused.problems]
    beyond = len(rows) >= mapping_files.MOST_PROBLEMS
    story = Story("bad", f"{name} is refused, and nothing was changed.", "", "Correct the rows below, then try again.")
    panel = Panel(
        "What is wrong",
        ("Row", "Column", "What is wrong, and what to do"),
        rows,
        empty="",
        note=f"The first {len(rows)}." if beyond else "The headers are row 1; in JSON, the first mapping is row 1.",
    )
    questions = [_file(FileForm())]
    return ask(page, request, title=TITLE, back=_list(), story=story, panels=[panel], questions=questions)


def _file(form: forms.Form) -> Question:
    return Question(form, "Show what would change", has_file=True, strong=True)


def _panels(difference: Difference) -> list[Panel]:
    panels = []
    if difference.changed:
        panels.append(_panel("To change", difference.changed))
    if difference.added:
        panels.append(_panel("To add", difference.added))
    if difference.unchanged:
        panels.append(_panel("The same", difference.unchanged))
    return panels


def _panel(title: str, changes: tuple[Change, ...]) -> Panel:
    names = Names.for_mappings(change.mapping for change in changes[:SHOWN])
    return Panel(
        f"{title}: {len(changes)}",
        ("Row", "Mapping", "Found", "Change", "Warning"),
        [_row(change, names) for change in changes[:SHOWN]],
        empty="",
        note=f"The first {SHOWN} of {len(changes)}." if len(changes) > SHOWN else "",
    )


def _row(change: Change, names: Names) -> tuple[Any, ...]:
    mapping = change.mapping
    sold = names.quoted(mapping.paddle_price_id or mapping.paddle_product_id)
    goal = names.quoted(target_of(mapping)) if target_of(mapping) else "not metered"
    words = "; ".join(
        f"{column.replace('_', ' ')}: {old or 'nothing'} → {new or 'nothing'}"
        for column, old, new in change.differences
    )
    return (
        change.row,
        f"{sold} → {goal} from {mapping.effective_from}",
        change.matched,
        words or "-",
        " ".join(change.warnings) or "-",
    )


def _list() -> str:
    return showing.list_of(PlanMapping)
