"""The console's pages of plan mappings: what operators decided, what waits for a decision, who uses it."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision
from integration_project.reasoned_admin import ReasonedAdmin
from integration_project.showing import Link, Panel, Story, Text
from paddle_sync import disagreeing, mappings
from paddle_sync.admin import mapping_moves, mapping_panels, mapping_transfer, mapping_trial, picker
from paddle_sync.admin.catalogue import is_stale
from paddle_sync.admin.mapping_form import PlanMappingForm
from paddle_sync.choosing import Names
from paddle_sync.models import CatalogueEntry, PlanMapping, history_note

READERS_FIELDS = ("in_paddle", "in_m3ter", "effective_from", "metering", "quantity", "note")


def remove(mapping_id: int, *, by: str, reason: str) -> None:
    """Take a mapping back; accounts and plans that exist because of it stay."""
    with transaction.atomic():
        mapping = PlanMapping.objects.select_for_update().filter(pk=mapping_id).first()
        if mapping is None:
            raise NotPossible("It is gone already.")
        history_note(mapping, reason)
        mapping.delete()


@admin.register(PlanMapping)
class PlanMappingAdmin(ReasonedAdmin):
    """What each Paddle price or product means in m3ter."""

    form = PlanMappingForm
    list_display = ("paddle_side", "m3ter_side", "effective_from", "warning", "note", "updated")
    list_display_links = ("paddle_side",)
    list_filter = ("target",)
    search_fields = ("paddle_price_id", "paddle_product_id", "m3ter_plan_id", "m3ter_plan_group_id", "note")
    ordering = ("-effective_from", "paddle_price_id")
    fields = (
        "paddle_side",
        "m3ter_side",
        "effective_from",
        "metering_starts",
        "quantity_use",
        "quantity_field",
        "counter",
        "note",
        "disagreement_seen",
        "reason",
    )
    change_form_template = "admin/mapping_change_form.html"
    nothing_yet = "A subscription becomes a m3ter account only when each of its prices, or its product, is mapped here."
    decisions = (
        Decision(
            name="remove",
            label="Remove",
            permission="paddle_sync.delete_planmapping",
            effect="From now on this price or product is undecided: new subscriptions with it wait for a mapping. "
            "Accounts and plans that exist because of it stay as they are. Its History is kept.",
            done="removed",
            decide=remove,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: PlanMapping | None = None) -> tuple[str, ...]:
        """Show readers the answers, and editors the questions."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return self.fields if may else READERS_FIELDS

    def get_readonly_fields(self, request: HttpRequest, obj: PlanMapping | None = None) -> tuple[str, ...]:
        """The readers' fields are computed."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return () if may else READERS_FIELDS

    @admin.display(description="In Paddle", ordering="paddle_price_id")
    def paddle_side(self, mapping: PlanMapping) -> SafeString:
        """Name the price or product."""
        return self.in_paddle(mapping)

    @admin.display(description="In m3ter", ordering="m3ter_plan_id")
    def m3ter_side(self, mapping: PlanMapping) -> SafeString:
        """Name the plan or group."""
        return self.in_m3ter(mapping)

    @admin.display(description="In Paddle")
    def in_paddle(self, mapping: PlanMapping) -> SafeString:
        """Name the price or product, with its id."""
        vendor_id = mapping.paddle_price_id or mapping.paddle_product_id
        kind = "price" if mapping.paddle_price_id else "product"
        return format_html("{} {}<br>{}", kind, _names(mapping).of(vendor_id), showing.copyable(vendor_id))

    @admin.display(description="In m3ter")
    def in_m3ter(self, mapping: PlanMapping) -> SafeString:
        """Name the plan or group, with its id."""
        if mapping.target == PlanMapping.Target.NOT_METERED:
            return showing.label("Not metered", "calm")
        vendor_id = mapping.m3ter_plan_id or mapping.m3ter_plan_group_id
        kind = "plan" if mapping.m3ter_plan_id else "group"
        return format_html("{} {}<br>{}", kind, _names(mapping).of(vendor_id), showing.copyable(vendor_id))

    @admin.display(description="Metering starts")
    def metering(self, mapping: PlanMapping) -> str:
        """Say when metering starts."""
        return mapping.get_metering_starts_display()

    @admin.display(description="The quantity bought in Paddle is")
    def quantity(self, mapping: PlanMapping) -> str:
        """Say what becomes of the quantity, and where it goes."""
        place = mapping.quantity_field or _names(mapping).of(mapping.m3ter_counter_id)
        return f"{mapping.get_quantity_use_display()}{f': {place}' if place else ''}"

    @admin.display(description="Warning")
    def warning(self, mapping: PlanMapping) -> SafeString:
        """Say where the two sides disagree."""
        return showing.line(" ".join(disagreeing.warnings(mapping, _names(mapping))), 70)

    @admin.display(description="Changed", ordering="updated_at")
    def updated(self, mapping: PlanMapping) -> SafeString:
        """Show when it was last changed."""
        return showing.ago(mapping.updated_at)

    # --- Pages of its own ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the pickers' search, the test against a past event, the moving, the files."""
        pages: tuple[tuple[str, str, Callable[..., HttpResponse]], ...] = (
            ("choices/", "choices", self.choices_view),
            ("try/", "try_new", self.try_unsaved_view),
            ("<int:key>/try/", "try", self.try_view),
            ("<int:key>/move/", "move", self.move_view),
            ("export.<str:kind>", "export", self.export_view),
            ("import/", "import", self.import_view),
        )
        wrapped = [
            path(route, self.admin_site.admin_view(view), name=self._url_name(name)) for route, name, view in pages
        ]
        return [*wrapped, *super().get_urls()]

    def _address(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{self._url_name(name)}", args=args)

    def choices_view(self, request: HttpRequest) -> HttpResponse:
        """Answer a picker of the form, for those who may fill it in."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        return picker.answer(request)

    def try_unsaved_view(self, request: HttpRequest) -> HttpResponse:
        """Say what the answers of a new mapping's form would mean for a past event."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(self._address("add"))
        return mapping_trial.show_unsaved(self, request, None)

    def try_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Say what a mapping, as it is saved or as its form is filled in, means for a past event."""
        mapping = self._mapping(request, key)
        if request.method != "POST":
            return mapping_trial.show_saved(self, request, mapping)
        if not self.has_change_permission(request, mapping):
            raise PermissionDenied
        return mapping_trial.show_unsaved(self, request, mapping)

    def move_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Move subscriptions to a mapping, after showing which."""
        mapping = self._mapping(request, key)
        if not self.has_change_permission(request, mapping):
            raise PermissionDenied
        return mapping_moves.show(self, request, mapping)

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Give every mapping as a file to those who may see them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in mapping_transfer.WRITERS:
            raise Http404
        return mapping_transfer.export(kind)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take mappings in from a file, after showing what that changes."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        return mapping_transfer.show_import(self, request)

    def _mapping(self, request: HttpRequest, key: int) -> PlanMapping:
        if not self.has_view_permission(request):
            raise PermissionDenied
        mapping = PlanMapping.objects.filter(pk=key).first()
        if mapping is None:
            raise Http404
        return mapping

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Read the names of the rows that are shown, by one query."""
        response = super().changelist_view(request, extra_context)
        rows = getattr(response, "context_data", {}).get("cl") if isinstance(response, TemplateResponse) else None
        if rows is not None:
            names = Names.for_mappings(rows.result_list)
            for mapping in rows.result_list:
                mapping.names = names
        return response

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Let those who may save the form test it first."""
        may = self.has_change_permission(request) if object_id else self.has_add_permission(request)
        address = self._address("try", object_id) if object_id and object_id.isdecimal() else self._address("try_new")
        context = {"try_url": address if may else "", **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PlanMapping], search_term: str
    ) -> tuple[QuerySet[PlanMapping], bool]:
        """Find by id or note, and by the names of either side."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if not search_term.strip():
            return found, duplicates
        named = CatalogueEntry.objects.filter(
            Q(name__icontains=search_term.strip()) | Q(code__iexact=search_term.strip())
        )
        ids = named.values("vendor_id")
        by_name = Q()
        for column in ("paddle_price_id", "paddle_product_id", "m3ter_plan_id", "m3ter_plan_group_id"):
            by_name |= Q(**{f"{column}__in": ids})
        return found | queryset.filter(by_name), duplicates

    # --- Saving -------------------------------------------------------------------------------------------------------

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Take what a link from an event fills in, and nothing else."""
        given = {name: request.GET.get(name, "") for name in ("paddle_price_id", "paddle_product_id")}
        return {name: value for name, value in given.items() if value}

    def save_model(self, request: HttpRequest, obj: PlanMapping, form: Any, change: bool) -> None:
        """Save, let what waited for it run, and say how many that are."""
        super().save_model(request, obj, form, change)
        resumed = mappings.saved(obj, by=request.user.get_username())
        if resumed:
            text = f"{resumed} event{'s' if resumed != 1 else ''} that waited for this will run now."
        else:
            text = "No event waited for this."
        self.message_user(request, text, messages.INFO)

    def after_decision(self, request: HttpRequest, row: PlanMapping, decision: Decision) -> HttpResponse | None:
        """Go to the list: the row is gone."""
        return HttpResponseRedirect(showing.list_of(PlanMapping))

    # --- What pages say -----------------------------------------------------------------------------------------------

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Link to the catalogue, which the choices come from, and to the files."""
        stale = " (not read lately: read it again)" if is_stale() else ""
        views = [Link(f"The catalogue both sides are chosen from{stale}", showing.list_of(CatalogueEntry))]
        views += [Link(f"Export as {kind.upper()}", self._address("export", kind)) for kind in mapping_transfer.WRITERS]
        if self.has_add_permission(request) and self.has_change_permission(request):
            views.append(Link("Import a file", self._address("import")))
        return views

    def list_panels(self, request: HttpRequest, rows: "QuerySet[PlanMapping]") -> Sequence[Panel | Text]:
        """Put undecided prices on top, those that most waits for first."""
        panel = mapping_panels.undecided(may_map=self.has_add_permission(request))
        return () if panel is None else (panel,)

    def story(self, request: HttpRequest, row: PlanMapping) -> Story:
        """Say in a sentence what the mapping means."""
        names = Names.for_mappings([row])
        sold = row.paddle_price_id or row.paddle_product_id
        what = f"{'Price' if row.paddle_price_id else 'Product'} {names.of(sold)}"
        if row.target == PlanMapping.Target.NOT_METERED:
            meaning = "is not metered: nothing happens in m3ter because of it"
        else:
            meaning = f"means m3ter's {names.of(row.m3ter_plan_id or row.m3ter_plan_group_id)}"
        warnings = disagreeing.warnings(row, names)
        return Story(
            "wait" if warnings else "calm",
            f"{what} {meaning}, for items that begin on or after {row.effective_from}.",
            " ".join(warnings),
            "A change holds for what is worked out from now on, and lets waiting events run. Subscriptions that have "
            "a plan keep it until somebody moves them.",
        )

    def links(self, request: HttpRequest, row: PlanMapping) -> Sequence[Link]:
        """Offer what can be done with a mapping beside changing it."""
        found = [Link("Test against a past event", self._address("try", row.pk))]
        if self.has_change_permission(request, row):
            found.append(Link("Move subscriptions to this mapping", self._address("move", row.pk)))
        return found

    def panels(self, request: HttpRequest, row: PlanMapping) -> Sequence[Panel | Text]:
        """Show who uses it."""
        return (mapping_panels.users(row),)


def _names(mapping: PlanMapping) -> Names:
    """The names that the list read for all its rows at once, or else those of this one."""
    return getattr(mapping, "names", None) or Names.for_mappings([mapping])
