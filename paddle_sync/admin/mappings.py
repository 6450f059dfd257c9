"""The console's pages of plan mappings: what operators decided, what waits for a decision, who uses it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Min, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, ReasonedAdmin
from integration_project.showing import Link, Panel, Story, Text
from paddle_sync import mappings
from paddle_sync.admin.catalogue import is_stale
from paddle_sync.admin.mapping_form import PlanMappingForm, disagreements
from paddle_sync.models import AccountPlanLink, CatalogueEntry, PlanMapping, WebhookEvent, history_note

MOST_USERS = 100
MOST_UNDECIDED = 25


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
    fields = ("paddle_side", "m3ter_side", "effective_from", "note", "disagreement_seen", "reason")
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanMapping]:
        """Load the names of both catalogues once for the whole list."""
        self.names = _Names()
        rows: QuerySet[PlanMapping] = super().get_queryset(request)
        return rows

    def get_fields(self, request: HttpRequest, obj: PlanMapping | None = None) -> tuple[str, ...]:
        """Show readers the answers, and editors the questions."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return self.fields if may else ("in_paddle", "in_m3ter", "effective_from", "note")

    def get_readonly_fields(self, request: HttpRequest, obj: PlanMapping | None = None) -> tuple[str, ...]:
        """The readers' fields are computed."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return () if may else ("in_paddle", "in_m3ter", "effective_from", "note")

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
        return format_html("{} {}<br>{}", kind, _names(self).of(vendor_id), showing.copyable(vendor_id))

    @admin.display(description="In m3ter")
    def in_m3ter(self, mapping: PlanMapping) -> SafeString:
        """Name the plan or group, with its id."""
        if mapping.target == PlanMapping.Target.NOT_METERED:
            return showing.label("Not metered", "calm")
        vendor_id = mapping.m3ter_plan_id or mapping.m3ter_plan_group_id
        kind = "plan" if mapping.m3ter_plan_id else "group"
        return format_html("{} {}<br>{}", kind, _names(self).of(vendor_id), showing.copyable(vendor_id))

    @admin.display(description="Warning")
    def warning(self, mapping: PlanMapping) -> SafeString:
        """Say where the two sides disagree."""
        return showing.line(_names(self).disagreement(mapping), 70)

    @admin.display(description="Changed", ordering="updated_at")
    def updated(self, mapping: PlanMapping) -> SafeString:
        """Show when it was last changed."""
        return showing.ago(mapping.updated_at)

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
        """Link to the catalogue, which the choices come from."""
        stale = " (not read lately: read it again)" if is_stale() else ""
        return (Link(f"The catalogue both sides are chosen from{stale}", showing.list_of(CatalogueEntry)),)

    def list_panels(self, request: HttpRequest, rows: "QuerySet[PlanMapping]") -> Sequence[Panel | Text]:
        """Put undecided prices on top, those that most events wait for first."""
        waiting = (
            WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, waiting_for_kind="price")
            .values("waiting_for_key", "waiting_for_product")
            .annotate(events=Count("pk"), since=Min("received_at"))
            .order_by("-events", "waiting_for_key")[:MOST_UNDECIDED]
        )
        may = self.has_add_permission(request)
        names = _Names()
        table = [
            (
                names.of(row["waiting_for_key"]),
                showing.paddle_id(row["waiting_for_key"]),
                format_html('<a href="{}">{}</a>', _waiting(row["waiting_for_key"]), row["events"]),
                showing.ago(row["since"]),
                _map_links(row["waiting_for_key"], row["waiting_for_product"]) if may else "Operators can map it",
            )
            for row in waiting
        ]
        if not table:
            return ()
        columns = ("Price", "Id", "Events waiting", "Since", "Decide")
        return (Panel("Not mapped yet: nothing is created in m3ter for these", columns, table, empty=""),)

    def story(self, request: HttpRequest, row: PlanMapping) -> Story:
        """Say in a sentence what the mapping means."""
        names = _Names()
        what = (
            f"{'Price' if row.paddle_price_id else 'Product'} {names.of(row.paddle_price_id or row.paddle_product_id)}"
        )
        if row.target == PlanMapping.Target.NOT_METERED:
            meaning = "is not metered: nothing happens in m3ter because of it"
        else:
            meaning = f"means m3ter's {names.of(row.m3ter_plan_id or row.m3ter_plan_group_id)}"
        return Story(
            "wait" if disagreements(row) else "calm",
            f"{what} {meaning}, for items that begin on or after {row.effective_from}.",
            " ".join(disagreements(row)),
            "A change holds for what is worked out from now on, and lets waiting events run.",
        )

    def panels(self, request: HttpRequest, row: PlanMapping) -> Sequence[Panel | Text]:
        """Show who uses it."""
        return (_users(row),)


class _Names:
    """Names of catalogue entries by id, read once."""

    def __init__(self) -> None:
        self._entries = {entry.vendor_id: entry for entry in CatalogueEntry.objects.all()}

    def of(self, vendor_id: str) -> str:
        """Name an id, or give the id where no catalogue lists it."""
        entry = self._entries.get(vendor_id)
        return entry.name if entry else vendor_id

    def disagreement(self, mapping: PlanMapping) -> str:
        """Compare both sides without asking the database again."""
        price = self._entries.get(mapping.paddle_price_id)
        goal = self._entries.get(mapping.m3ter_plan_id or mapping.m3ter_plan_group_id)
        if price is None or goal is None:
            return ""
        parts = []
        if price.currency and goal.currency and price.currency != goal.currency:
            parts.append(f"{price.currency} in Paddle, {goal.currency} in m3ter")
        if price.interval and goal.interval and price.interval != goal.interval:
            parts.append(f"{price.interval} in Paddle, {goal.interval} in m3ter")
        return "; ".join(parts)


def _names(model_admin: PlanMappingAdmin) -> _Names:
    return getattr(model_admin, "names", None) or _Names()


def _waiting(price_id: str) -> str:
    return showing.list_of(WebhookEvent, urlencode({"waiting_for": "price", "waiting_for_key": price_id}))


def _map_links(price_id: str, product_id: str) -> SafeString:
    form = reverse("admin:paddle_sync_planmapping_add")
    price = urlencode({"paddle_price_id": price_id})
    link = format_html('<a href="{}?{}">Map this price</a>', form, price)
    if not product_id:
        return link
    product = urlencode({"paddle_product_id": product_id})
    return format_html('{} or <a href="{}?{}">its product</a>', link, form, product)


def _users(mapping: PlanMapping) -> Panel:
    plans = AccountPlanLink.objects.select_related("link").order_by("-id")
    if mapping.m3ter_plan_id:
        plans = plans.filter(m3ter_plan_id=mapping.m3ter_plan_id)
    else:
        plans = plans.filter(m3ter_plan_group_id=mapping.m3ter_plan_group_id or "-")
    using = [
        plan for plan in plans[:1000] if not mapping.paddle_price_id or mapping.paddle_price_id in plan.paddle_price_ids
    ]
    return Panel(
        "Who uses it",
        ("Account", "Plan in m3ter", "From", "To", "Quantity"),
        [
            (
                showing.row_link(plan.link, plan.link.name or plan.link.m3ter_account_code),
                showing.copyable(plan.code),
                showing.at(plan.starts_at),
                showing.at(plan.ends_at),
                plan.quantity,
            )
            for plan in using[:MOST_USERS]
        ],
        empty="No account has this plan because of it yet.",
        note=f"The newest {MOST_USERS}." if len(using) > MOST_USERS else "",
    )
