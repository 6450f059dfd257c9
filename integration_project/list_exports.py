"""Taking a list of the console out as a file: exactly the rows that filters and search leave, or those selected.

Whoever may see the rows may have the file. That somebody took it is kept before the first row leaves, among what people
did; a line in the log says afterwards how many rows it came to.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from integration_project import clock, spreadsheets
from integration_project.ledger_admin import OF_THE_PAGE, LedgerAdmin
from integration_project.showing import Link
from integration_project.spreadsheets import Cell

logger = logging.getLogger(__name__)

CHUNK = 2_000
"""Rows that are read, and held in memory, at a time."""
LABELS = {"csv": "CSV", "xlsx": "spreadsheet"}
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class Column:
    """A column of the file: its heading, and what stands in it for a row."""

    heading: str
    cell: Callable[[Any], Cell]


class ExportingAdmin(LedgerAdmin):
    """Rows that may be taken out of the list as a file."""

    export_columns: Sequence[Column] = ()

    def rows_to_export(self, rows: "QuerySet[Any]") -> Iterator[Any]:
        """Read what the columns need, a chunk at a time."""
        return rows.iterator(chunk_size=CHUNK)

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the files."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export.<str:kind>", view, name=self._url_name("export")), *super().get_urls()]

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Give the rows of the list with the same filters, search and order, of all its pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in LABELS:
            raise Http404
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            self.message_user(request, "These filters are not understood; nothing was exported.", messages.ERROR)
            return HttpResponseRedirect(reverse(f"admin:{self._url_name('changelist')}"))
        return self.export(request, rows, kind, which=_filters(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Offer the files of what is listed."""
        response = super().changelist_view(request, extra_context)
        shown = (response.context_data or {}).get("cl") if isinstance(response, TemplateResponse) else None
        if shown is not None and isinstance(response, TemplateResponse) and response.context_data is not None:
            query = shown.get_query_string()
            response.context_data["exports"] = [
                Link(label, reverse(f"admin:{self._url_name('export')}", args=(kind,)) + query)
                for kind, label in LABELS.items()
            ]
        return response

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the files of what is selected."""
        exports = {
            name: (_export_selected(kind), name, f"Export as {label}")
            for kind, label in LABELS.items()
            for name in (f"export_{kind}",)
        }
        return {**super().get_actions(request), **exports}

    def export(self, request: HttpRequest, rows: "QuerySet[Any]", kind: str, *, which: str) -> HttpResponseBase:
        """Write the file, row by row, and keep who took it."""
        label, noun = LABELS[kind], str(self.opts.verbose_name_plural)
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=f"{noun} as {label}",
            action_flag=CHANGE,
            change_message=f"Exported as {label}: {which}.",
        )
        what = f"{request.user.get_username()} exported {noun} as {label} ({which})"
        found = self.rows_to_export(rows)
        cells = _said(([column.cell(row) for column in self.export_columns] for row in found), what)
        name = f"{noun.replace(' ', '-')}-{clock.now():%Y-%m-%d}.{kind}"
        return WRITERS[kind](noun.capitalize(), [column.heading for column in self.export_columns], cells, name)


def _filters(request: HttpRequest) -> str:
    """Say which rows a list's address asks for."""
    asked = (
        (name, " ".join(" or ".join(values).split())) for name, values in request.GET.lists() if name not in OF_THE_PAGE
    )
    return ", ".join(f"{name} {value}" for name, value in asked if value) or "all of them"


def _export_selected(kind: str) -> Callable[..., HttpResponseBase]:
    """Make the list action that gives the selected rows as a file."""

    def export(model_admin: ExportingAdmin, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponseBase:
        if request.POST.get("select_across") == "1":
            return model_admin.export(request, queryset, kind, which=_filters(request))
        count = len(request.POST.getlist("_selected_action"))
        return model_admin.export(request, queryset, kind, which=f"{count} selected by hand")

    return export


def _said(rows: Iterable[Sequence[Cell]], what: str) -> Iterator[Sequence[Cell]]:
    """Pass the rows on, and say at the end, also an early one, how many they were."""
    count, end = 0, "broken off"
    try:
        for row in rows:
            count += 1
            yield row
        end = "whole"
    finally:
        logger.info("%s: %s rows, %s.", what, count, end)


def _csv(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], name: str) -> HttpResponseBase:
    return StreamingHttpResponse(
        spreadsheets.csv_pieces(columns, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _xlsx(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], name: str) -> HttpResponseBase:
    """Write the whole file to the disk first: an xlsx file is a zip archive, whose contents stand at its end."""
    with ExitStack() as opened:
        file = opened.enter_context(TemporaryFile())
        spreadsheets.write_xlsx(file, title=title, columns=columns, rows=rows)
        file.seek(0)
        opened.pop_all()
    return FileResponse(file, as_attachment=True, filename=name, content_type=XLSX)


WRITERS: dict[str, Callable[[str, Sequence[str], Iterable[Sequence[Cell]], str], HttpResponseBase]] = {
    "csv": _csv,
    "xlsx": _xlsx,
}
