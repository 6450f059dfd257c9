"""The console's page of what both vendors sell: read here, so that forms offer choices without calling anybody."""

from collections.abc import Sequence
from datetime import timedelta

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django_q.tasks import async_task

from integration_project import clock, showing
from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Link, Panel, Text
from paddle_sync.models import CatalogueEntry

REFRESH_JOB = "paddle_sync.jobs.refresh_catalogue"
STALE_AFTER = timedelta(days=2)
PADDLE_KINDS = (CatalogueEntry.Kind.PADDLE_PRICE, CatalogueEntry.Kind.PADDLE_PRODUCT)
M3TER_PAGE = {
    CatalogueEntry.Kind.M3TER_PRODUCT: "product",
    CatalogueEntry.Kind.M3TER_PLAN: "plan",
    CatalogueEntry.Kind.M3TER_PLAN_GROUP: "plan_group",
}


def shown_id(entry: CatalogueEntry) -> SafeString:
    """Show an entry's id, linked to its vendor's own page."""
    if entry.kind in PADDLE_KINDS:
        return showing.paddle_id(entry.vendor_id)
    page = M3TER_PAGE.get(CatalogueEntry.Kind(entry.kind))
    return showing.m3ter_id(entry.vendor_id, page) if page else showing.copyable(entry.vendor_id)


@admin.register(CatalogueEntry)
class CatalogueEntryAdmin(LedgerAdmin):
    """What the vendors last listed."""

    list_display = ("name", "kind", "the_id", "code", "currency", "interval", "active", "seen")
    list_filter = ("kind", "active", "currency")
    search_fields = ("name", "vendor_id", "code")
    ordering = ("kind", "name")
    nothing_yet = "Press Read both catalogues again: all that can be chosen in a mapping then appears here."

    @admin.display(description="Id")
    def the_id(self, entry: CatalogueEntry) -> SafeString:
        """Show the id."""
        return shown_id(entry)

    @admin.display(description="Last listed", ordering="seen_at")
    def seen(self, entry: CatalogueEntry) -> SafeString:
        """Show when the vendor last listed it."""
        return showing.ago(entry.seen_at)

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Offer the refresh to those who may ask for it."""
        if not request.user.has_perm("paddle_sync.refresh_catalogueentry"):
            return ()
        return (Link("Read both catalogues again", reverse("admin:paddle_sync_catalogueentry_refresh"), strong=True),)

    def get_urls(self) -> list[URLPattern]:
        """Add the refresh."""
        view = self.admin_site.admin_view(self.refresh_view)
        return [path("refresh/", view, name="paddle_sync_catalogueentry_refresh"), *super().get_urls()]

    def refresh_view(self, request: HttpRequest) -> HttpResponse:
        """Ask a worker to read both catalogues; no vendor is called from here."""
        if not request.user.has_perm("paddle_sync.refresh_catalogueentry"):
            raise PermissionDenied
        back = reverse("admin:paddle_sync_catalogueentry_changelist")
        if request.method == "POST":
            async_task(REFRESH_JOB)
            text = "A worker reads both catalogues now. Reload this page in a few seconds."
            self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Read both catalogues again",
            "opts": self.opts,
            "effect": "A worker reads products and prices from Paddle, and products, plans, plan groups, "
            "counters and meters from m3ter. "
            "Nothing changes at the vendors; mappings stay as they are.",
            "back": back,
        }
        return TemplateResponse(request, "admin/confirm_request.html", context)

    def panels(self, request: HttpRequest, row: CatalogueEntry) -> Sequence[Panel | Text]:
        """Show what else is known of it."""
        return (Text("As the vendor lists it", showing.readable_json(row.data)),)


def is_stale() -> bool:
    """Say whether the catalogue was never read, or long ago."""
    latest = CatalogueEntry.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    return latest is None or latest < clock.now() - STALE_AFTER
