"""The console's pages of usage files: the list, each file from its upload to its receipt, and what people decide."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify
from django.views.decorators.csrf import csrf_exempt

from integration_project import showing, spreadsheets
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision
from integration_project.list_exports import Column, ExportingAdmin
from integration_project.showing import Link, Panel, Story, Text
from paddle_sync.admin import usage_columns, usage_panels, usage_receiving
from paddle_sync.admin import usage_words as words
from paddle_sync.admin.usage_panels import UNDER_WAY, WAITING
from paddle_sync.models import UsageBatch, UsageUpload
from paddle_sync.usage import receipts, uploads

State = UsageUpload.State
MAY_SEND = "paddle_sync.send_usage"
UPLOAD = "Upload a file"


# --- What people decide ----------------------------------------------------------------------------------------------


def what_was_found(upload: UsageUpload) -> str:
    """Name the counts that a confirmation shows."""
    checked = upload.checked_at.isoformat() if upload.checked_at else ""
    return f"{upload.state} {upload.accepted} {upload.duplicate} {upload.rejected} {checked}"


def _seen(upload_id: int, seen: str = "") -> UsageUpload:
    """Read the file as it is now; NotPossible where that is not what somebody decided about."""
    upload = UsageUpload.objects.select_for_update().filter(pk=upload_id).first()
    if upload is None:
        raise NotPossible("There is no such file any more.")
    if seen and seen != what_was_found(upload):
        by = f" {upload.decided_by} has decided about it." if upload.decided_by else ""
        raise NotPossible(f"It has changed since its numbers were shown.{by} Look at it again.")
    return upload


def send_good(upload_id: int, *, by: str, reason: str, seen: str = "") -> None:
    """Send the good rows, those that were shown."""
    uploads.release(_seen(upload_id, seen), by=by, reason=reason)


def discard(upload_id: int, *, by: str, reason: str) -> None:
    """Send nothing of it, ever."""
    uploads.discard(_seen(upload_id), by=by, reason=reason)


def check_again(upload_id: int, *, by: str, reason: str) -> None:
    """Check it from its beginning."""
    uploads.check_again(_seen(upload_id))


def pause(upload_id: int, *, by: str, reason: str) -> None:
    """Let nothing more of it happen."""
    uploads.pause(_seen(upload_id))


def resume(upload_id: int, *, by: str, reason: str) -> None:
    """Let it go on."""
    uploads.resume(_seen(upload_id))


def may_be_discarded(upload: UsageUpload) -> bool:
    """Whether nothing of it can have been sent."""
    before = uploads.BEFORE_SENDING
    return upload.state in before or (upload.state == State.PAUSED and upload.was in before)


def counted(upload: UsageUpload) -> str:
    """Say exactly what a decision is about."""
    if upload.state == State.LAYOUT:
        return f"{upload.name}: {filesizeformat(upload.size)}, none of it checked"
    parts = [f"{upload.accepted:,} good", f"{upload.duplicate:,} counted before", f"{upload.rejected:,} wrong"]
    total = words.rows(upload.rows) if upload.can_be_sent else f"{words.rows(upload.rows)} so far"
    return f"{upload.name}: {total}: {', '.join(parts)}"


DECISIONS = (
    Decision(
        name="send_good",
        label="Send the good rows",
        permission=MAY_SEND,
        effect="The good rows go to m3ter, and nothing can take them back. The wrong ones are left out, and stay here "
        "as a file to correct and upload again. If the check is more than an hour old it is done anew first, and then "
        "sent by itself, unless more rows are wrong than now.",
        done="decided: its good rows are sent",
        decide=send_good,
        offered=lambda upload: upload.state == State.DECIDING and upload.can_be_sent and upload.accepted > 0,
        preview=counted,
        seen=what_was_found,
        strong=True,
    ),
    Decision(
        name="check_again",
        label="Check again",
        permission=MAY_SEND,
        effect="What the check found is forgotten, and every row is checked anew as things are now: with the mappings, "
        "links and meters of this moment.",
        done="to be checked again",
        decide=check_again,
        offered=lambda upload: upload.state == State.DECIDING,
        preview=counted,
    ),
    Decision(
        name="pause",
        label="Pause",
        permission=MAY_SEND,
        effect="No more rows are checked, and none are sent, until somebody continues it. What a worker has in hand "
        "just now is finished.",
        done="paused",
        decide=pause,
        offered=lambda upload: upload.state in (State.CHECKING, State.RUNNING, State.SENDING),
        preview=counted,
    ),
    Decision(
        name="continue",
        label="Continue",
        permission=MAY_SEND,
        effect="It goes on where it was paused.",
        done="continued",
        decide=resume,
        offered=lambda upload: upload.state == State.PAUSED,
        preview=counted,
        strong=True,
    ),
    Decision(
        name="discard",
        label="Discard",
        permission=MAY_SEND,
        effect="Nothing of the file is sent, ever, and no other file or request is kept from sending the same rows. "
        "This cannot be taken back; the file can be uploaded again.",
        done="discarded",
        decide=discard,
        offered=may_be_discarded,
        preview=counted,
    ),
)


# --- The list --------------------------------------------------------------------------------------------------------


class RejectedFilter(admin.SimpleListFilter):
    """Files some of whose rows are not taken."""

    title = "rejected rows"
    parameter_name = "rejected"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        """Name them."""
        return (("some", "Some"), ("none", "None"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[UsageUpload]") -> "QuerySet[UsageUpload]":
        """Choose them."""
        some = Q(refused__gt=0) | Q(conflict__gt=0)
        match self.value():
            case "some":
                return queryset.filter(some)
            case "none":
                return queryset.exclude(some)
            case _:
                return queryset


def _moment(field: str) -> Callable[[Any], str]:
    return lambda upload: showing.exactly(getattr(upload, field)) if getattr(upload, field) else ""


def _count(field: str) -> Callable[[Any], str]:
    return lambda upload: str(getattr(upload, field))


def progress_of(upload: Any) -> str:
    """Say how far a file of the list is; `sent` comes with the list's query."""
    match upload.state:
        case State.CHECKING | State.RUNNING:
            return f"{100 * upload.bytes_checked // (upload.size or 1)} % checked"
        case State.SENDING | State.DONE if upload.accepted:
            return f"{100 * (upload.sent or 0) // upload.accepted} % sent"
        case State.PAUSED if upload.was == State.SENDING:
            return f"{100 * (upload.sent or 0) // (upload.accepted or 1)} % sent"
        case _:
            return ""


@admin.register(UsageUpload)
class UsageUploadAdmin(ExportingAdmin):
    """Files of usage on their way to m3ter."""

    change_form_template = "admin/usage_file_change_form.html"
    list_display = (
        "name",
        "received",
        "sender",
        "state_in_words",
        "rows_in_words",
        "accepted_in_words",
        "duplicate_in_words",
        "rejected_in_words",
        "how_far",
    )
    list_filter = ("state", RejectedFilter, "via", "made_at")
    search_fields = ("name__icontains", "by__istartswith", "sha256__exact")
    search_help_text = "A part of the file's name, how its sender's name begins, or its SHA-256."
    ordering = ("-id",)
    nothing_yet = (
        "No file of usage has come in. Upload one here, have a program run manage.py upload_usage FILE, or send usage "
        "by the REST API."
    )
    decisions = DECISIONS
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("name", "size_in_words"),
                    ("by", "via"),
                    ("received_exactly", "checked_exactly"),
                    ("finished_exactly", "on_errors"),
                    ("decided_by", "decided_exactly"),
                    ("decision_reason", "note"),
                    ("format", "hash"),
                )
            },
        ),
    )
    readonly_fields = (
        "size_in_words",
        "received_exactly",
        "checked_exactly",
        "finished_exactly",
        "decided_exactly",
        "hash",
    )
    export_columns = (
        Column("File", lambda upload: upload.name),
        Column("Number", _count("pk")),
        Column("Received", _moment("made_at")),
        Column("From", lambda upload: upload.by),
        Column("By way of", lambda upload: str(upload.get_via_display())),
        Column("State", lambda upload: str(upload.get_state_display())),
        Column("Bytes", _count("size")),
        Column("Rows", _count("rows")),
        Column("Accepted", _count("accepted")),
        Column("Held", _count("held")),
        Column("Late", _count("late")),
        Column("For the next bill", _count("on_next")),
        Column("Duplicate", _count("duplicate")),
        Column("Conflict", _count("conflict")),
        Column("Refused", _count("refused")),
        Column("Sent", lambda upload: str(upload.sent or 0)),
        Column("Checked", _moment("checked_at")),
        Column("Finished", _moment("finished_at")),
        Column("Decided by", lambda upload: upload.decided_by),
        Column("Reason", lambda upload: upload.decision_reason),
        Column("SHA-256", lambda upload: upload.sha256),
    )

    received_exactly = showing.moment("made_at", description="Received")
    checked_exactly = showing.moment("checked_at", description="Checked")
    finished_exactly = showing.moment("finished_at", description="Finished")
    decided_exactly = showing.moment("decided_at", description="Decided")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[UsageUpload]":
        """Count with the list what was sent; read what columns mean for a file's own page only."""
        sent = (
            UsageBatch.objects.filter(upload=OuterRef("pk"), state=UsageBatch.State.SENT)
            .order_by()
            .values("upload")
            .annotate(sum=Sum("items"))
            .values("sum")
        )
        rows: QuerySet[UsageUpload] = super().get_queryset(request)
        return rows.annotate(sent=Subquery(sent)).defer("columns", "layout", "reasons")

    @admin.display(description="Received", ordering="made_at")
    def received(self, upload: UsageUpload) -> SafeString:
        """Show when it came."""
        return showing.ago(upload.made_at)

    @admin.display(description="By", ordering="by")
    def sender(self, upload: UsageUpload) -> SafeString:
        """Show who sent it, and which way it came."""
        return showing.under(upload.by, str(upload.get_via_display()))

    @admin.display(description="State", ordering="state")
    def state_in_words(self, upload: UsageUpload) -> SafeString:
        """Show the state in words and colour."""
        tone = words.TONES.get(upload.state, "calm")
        return showing.label(upload.get_state_display(), "wait" if tone == "good" and upload.rejected else tone)

    @admin.display(description="Rows", ordering="rows")
    def rows_in_words(self, upload: UsageUpload) -> SafeString:
        """Show how many were read."""
        return showing.number(upload.rows)

    @admin.display(description="Accepted", ordering="accepted")
    def accepted_in_words(self, upload: UsageUpload) -> SafeString:
        """Show how many are, or would be, counted."""
        return showing.number(upload.accepted)

    @admin.display(description="Duplicate", ordering="duplicate")
    def duplicate_in_words(self, upload: UsageUpload) -> SafeString:
        """Show how many were counted before."""
        return showing.number(upload.duplicate)

    @admin.display(description="Refused", ordering="refused")
    def rejected_in_words(self, upload: UsageUpload) -> SafeString:
        """Show how many are not taken, conflicts among them."""
        return showing.number(upload.rejected)

    @admin.display(description="Progress")
    def how_far(self, upload: UsageUpload) -> str:
        """Show how far it is."""
        return progress_of(upload) or "-"

    @admin.display(description="Size")
    def size_in_words(self, upload: UsageUpload) -> str:
        """Show how large it is."""
        return f"{filesizeformat(upload.size)} ({upload.size:,} bytes)"

    @admin.display(description="SHA-256")
    def hash(self, upload: UsageUpload) -> SafeString:
        """Show what tells its bytes from all others."""
        return format_html('<span class="c-hash">{}</span>', upload.sha256 or "-")

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Offer the upload to those who may, and the views that people come back to."""
        here = reverse("admin:paddle_sync_usageupload_changelist")
        views = (
            Link("Waiting for somebody", f"{here}?{urlencode({'state__in': ','.join(WAITING)})}"),
            Link("Under way", f"{here}?{urlencode({'state__in': ','.join(UNDER_WAY)})}"),
            Link("With refused rows", f"{here}?{urlencode({'rejected': 'some'})}"),
        )
        if not self.has_add_permission(request):
            return views
        return (Link(UPLOAD, reverse("admin:paddle_sync_usageupload_add"), strong=True), *views)

    # --- Uploading, and saying what columns mean ---------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those upload who may send usage."""
        return bool(request.user.has_perm(MAY_SEND))

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of uploading, of the columns, and the files that may be taken."""
        view = self.admin_site.admin_view
        return [
            path("add/", view(csrf_exempt(self.upload_view)), name="paddle_sync_usageupload_add"),
            path("<path:object_id>/columns/", view(self.columns_view), name="paddle_sync_usageupload_columns"),
            path("<path:object_id>/rejected.csv", view(self.rejected_view), name="paddle_sync_usageupload_rejected"),
            path("<path:object_id>/receipt.csv", view(self.receipt_view), name="paddle_sync_usageupload_receipt"),
            *super().get_urls(),
        ]

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Take a file; the token of the form is checked there, once it is known that this person may send one."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return usage_receiving.show(self, request)

    def columns_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what a file's columns mean, and have it checked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return usage_columns.show(self, request, self._upload(request, object_id))

    def _upload(self, request: HttpRequest, object_id: str) -> UsageUpload:
        if not self.has_view_permission(request):
            raise PermissionDenied
        upload: UsageUpload | None = self.get_object(request, unquote(object_id))
        if upload is None:
            raise Http404
        return upload

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> UsageUpload | None:
        """Read all of the one that is looked at."""
        upload = super().get_object(request, object_id, from_field)
        if upload is not None:
            upload.refresh_from_db(fields=("columns", "layout", "reasons"))
        return upload

    # --- One file -----------------------------------------------------------------------------------------------------

    def around(self, request: HttpRequest, row: UsageUpload) -> dict[str, Any]:
        """Read how far its measurements are once for all that the page says of it."""
        receipt = receipts.receipt(row)
        return {
            **super().around(request, row),
            "story": usage_panels.story(row, receipt),
            "panels": usage_panels.panels(row, receipt),
            "before": usage_columns.before(row),
        }

    def links(self, request: HttpRequest, row: UsageUpload) -> Sequence[Link]:
        """Give what may be taken from it, and what else there is to do."""
        return usage_panels.links(row, may_send=self.has_add_permission(request))

    def story(self, request: HttpRequest, row: UsageUpload) -> Story | None:
        """Leave it to the page as a whole."""
        return None

    def panels(self, request: HttpRequest, row: UsageUpload) -> Sequence[Panel | Text]:
        """Leave them to the page as a whole."""
        return ()

    def under_way(self, row: UsageUpload) -> bool:
        """While something happens to it by itself."""
        return row.state in UNDER_WAY

    def after_decision(self, request: HttpRequest, row: UsageUpload, decision: Decision) -> HttpResponse | None:
        """Say so where what was decided is checked anew first."""
        if decision.name == "send_good" and UsageUpload.objects.filter(pk=row.pk, state=State.CHECKING).exists():
            text = (
                "Its check was more than an hour old, so every row is checked anew first. It is sent by itself then, "
                "unless more rows are wrong than before."
            )
            self.message_user(request, text, messages.WARNING)
        return None

    # --- What may be taken --------------------------------------------------------------------------------------------

    def rejected_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give the rejected rows as a file to correct and upload again; that somebody took them is kept."""
        upload = self._upload(request, object_id)
        if not upload.rejected:
            self.message_user(request, "No row of it was rejected.", messages.WARNING)
            return HttpResponseRedirect(showing.page_of(upload))
        return self._give(request, upload, "rejected rows", receipts.rejected_csv(upload))

    def receipt_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give the receipt as a file."""
        upload = self._upload(request, object_id)
        lines = usage_panels.receipt_lines(upload)
        return self._give(request, upload, "receipt", spreadsheets.csv_pieces(("What", "Value"), lines))

    def _give(self, request: HttpRequest, upload: UsageUpload, what: str, pieces: Iterable[str]) -> HttpResponseBase:
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(UsageUpload),
            object_repr=f"{what} of {upload}"[:200],
            action_flag=CHANGE,
            change_message=f"Took the {what} of file {upload.pk} as CSV.",
        )
        headers = {"Content-Disposition": f'attachment; filename="{file_name(upload, what)}"'}
        return StreamingHttpResponse(pieces, content_type="text/csv; charset=utf-8", headers=headers)


def file_name(upload: UsageUpload, what: str) -> str:
    """Name a file after another one, with nothing in it that a system could take for more than a name."""
    own = slugify(upload.name.partition(".")[0])[:60] or "usage"
    return f"{own}-{upload.pk}-{what.replace(' ', '-')}.csv"
