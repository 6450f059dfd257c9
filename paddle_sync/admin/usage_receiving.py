"""The page that takes a file of usage: streamed to the disk, then stored, without ever being in memory as a whole."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile, StopUpload, TemporaryFileUploadHandler
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.views.decorators.csrf import csrf_protect

from integration_project import showing
from integration_project.ledger_admin import LedgerAdmin, OptionalReasonForm, in_history
from integration_project.showing import Story
from paddle_sync.admin.asking import Question, ask
from paddle_sync.admin.usage_columns import address as columns_of
from paddle_sync.models import UsageUpload
from paddle_sync.usage import receiving
from paddle_sync.usage.receiving import NotReceived, Origin

FIELD = "file"
TITLE = "Upload a file of usage"
OnErrors = UsageUpload.OnErrors
State = UsageUpload.State


class UploadForm(OptionalReasonForm):
    """Which file, and what happens once its rows are checked."""

    field_order = ("file", "on_errors", "reason")
    file = forms.FileField(
        label="File",
        widget=forms.FileInput(
            attrs={"class": "c-input", "accept": ".csv,.tsv,.txt,.json,.jsonl,.ndjson,.gz,text/csv,application/json"}
        ),
        error_messages={
            "required": "Choose a file.",
            "missing": "Choose a file.",
            "empty": "The file is empty. Export it again.",
        },
    )
    on_errors = forms.ChoiceField(
        label="Once every row is checked",
        choices=(
            (OnErrors.STOP, "Send it by itself if all rows are good; if any is wrong, stop and ask"),
            (OnErrors.ASK, "Stop and ask before anything is sent, also where all rows are good"),
            (OnErrors.SEND_GOOD, "Send the good rows by itself, and leave the wrong ones out"),
        ),
        initial=OnErrors.STOP,
        widget=forms.Select(attrs={"class": "c-input"}),
        help_text="All rows are checked before the first is sent. What was sent cannot be taken back.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[FIELD].help_text = (
            "CSV, JSON or JSON Lines in UTF-8, packed with gzip or not; at most"
            f" {filesizeformat(settings.USAGE_FILE_LIMIT)}."
        )


class FileOnDisk(TemporaryFileUploadHandler):
    """Writes the one file that is asked for to the disk, and stops where it is too large or the disk is full."""

    trouble = ""
    _has_begun = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin with the file; what else comes is read past."""
        if args[0] != FIELD or self._has_begun:
            raise SkipFile
        self._has_begun = True
        try:
            super().new_file(*args, **kwargs)
        except OSError as problem:
            self._stop(problem)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a piece."""
        if start + len(raw_data) > settings.USAGE_FILE_LIMIT:
            self.trouble = (
                f"It has more than {filesizeformat(settings.USAGE_FILE_LIMIT)}, which is the limit here"
                " (USAGE_FILE_LIMIT). Pack it with gzip, or divide it. Nothing was kept."
            )
            raise StopUpload(connection_reset=False)
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as problem:
            self._stop(problem)

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        """Give the file, written to its end."""
        try:
            return super().file_complete(file_size)
        except OSError as problem:
            self._stop(problem)
        return None

    def _stop(self, problem: OSError) -> None:
        """Read past the rest, so that the browser hears the answer."""
        self.trouble = (
            f"It could not be stored on this server's disk: {problem.strerror or problem}. Nothing was kept. Whoever"
            " runs the server has to make room; smaller files, or packed ones, may still go through."
        )
        raise StopUpload(connection_reset=False)


def show(page: LedgerAdmin, request: HttpRequest) -> HttpResponse:
    """Take a file from somebody who may send one: before that is known, not a byte of it is read.

    For this the view is exempt from the check of the form's token, which reads the body, and checks it itself.
    """
    on_disk = FileOnDisk(request)
    request.upload_handlers = [on_disk]

    @csrf_protect
    def take(request: HttpRequest) -> HttpResponse:
        return _take(page, request, on_disk)

    return take(request)


def _take(page: LedgerAdmin, request: HttpRequest, on_disk: FileOnDisk) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if on_disk.trouble:
        form.errors.pop(FIELD, None)
        form.add_error(FIELD, on_disk.trouble)
    elif form.is_valid():
        answers = form.cleaned_data
        file = answers[FIELD]
        origin = Origin(
            file.name,
            UsageUpload.Via.CONSOLE,
            request.user.get_username(),
            on_errors=OnErrors(answers["on_errors"]),
        )
        try:
            upload = receiving.receive(file, origin).upload
        except NotReceived as problem:
            form.add_error(FIELD, str(problem))
        else:
            page.log_addition(request, upload, in_history("Uploaded", {"reason": answers["reason"]}))
            return HttpResponseRedirect(columns_of(upload) if upload.state == State.LAYOUT else showing.page_of(upload))
    story = Story(
        "calm",
        "Upload usage that is to be counted in m3ter.",
        "First it is only stored. You then see its first rows and say what its columns mean; every row is checked, and"
        " only then anything is sent. A row that was counted before is recognised and not counted again.",
    )
    question = Question(form, "Upload", strong=True, has_file=True)
    back = showing.list_of(UsageUpload)
    return ask(page, request, title=TITLE, back=back, story=story, questions=[question])
