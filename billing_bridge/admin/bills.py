"""The console's pages of bills: what m3ter left, what Paddle gets, and what Finance decides."""

from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing_bridge import meanwhile, previewing
from billing_bridge.admin import amounts, bill_decisions, bill_export, bill_preview, bill_story, plan
from billing_bridge.admin.bill_filters import CurrencyFilter, RenewalFilter, TotalsFilter
from billing_bridge.deciding import policy_for
from billing_bridge.models import Push, PushedBill
from integration_project import showing
from integration_project.connections import open_vendors
from integration_project.errors import NotPossible
from integration_project.list_exports import ExportingAdmin
from integration_project.models import Finding
from integration_project.showing import Link, Panel, Right, Story, Text
from paddle_sync.models import AccountLink, LateForBill, LateInBatch, LateUsage

State = PushedBill.State
MOST_ADDED_UP = 2000
ADDED_UP = {
    "payable": "Bill total",
    "pushed": "Pushed",
    "carried": "Carried",
    "paid": "Paid",
    "outstanding": "Difference",
}
"""Columns that are added up under the list, and what they are called there."""
MOST_OF_A_TRANSACTION = 500
"""Bills looked up for one transaction; a renewal collects the charges of one subscription, each of a bill."""


@admin.register(PushedBill)
class PushedBillAdmin(ExportingAdmin):
    """m3ter's bills and how much of each has reached Paddle."""

    list_display = (
        "customer",
        "period",
        "bill_total",
        "pushed_amount",
        "carried_amount",
        "open_amount",
        "state_in_words",
        "payment_in_words",
        "renews",
        "age",
    )
    list_display_links = ("customer", "period")
    list_filter = ("state", "reason", "payment", RenewalFilter, CurrencyFilter, TotalsFilter)
    list_select_related = ("link",)
    search_fields = ("m3ter_bill_id",)
    search_help_text = "A bill, account, account code, subscription or transaction id."
    ordering = ("-id",)
    nothing_yet = "Bills appear here when they are approved in m3ter; they are looked for every minute."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("the_bill", "the_account"),
                    ("m3ter_account_code", "link"),
                    ("currency", "bill_date"),
                    ("period_start", "period_end"),
                    ("m3ter_status", "m3ter_version"),
                    ("m3ter_locked", "locked_exactly"),
                    ("read_exactly", "first_seen_exactly"),
                    ("renews_exactly", "due_exactly"),
                    ("state", "reason"),
                    ("payment", "attempts"),
                    ("looks", "external_mapping_id"),
                    ("reviewed_revision", "last_error"),
                )
            },
        ),
    )
    readonly_fields = (
        "the_bill",
        "the_account",
        "locked_exactly",
        "read_exactly",
        "first_seen_exactly",
        "renews_exactly",
        "due_exactly",
    )
    decisions = bill_decisions.DECISIONS
    export_columns = bill_export.COLUMNS

    @admin.display(description="Customer")
    def customer(self, bill: PushedBill) -> str:
        """Name whose bill it is."""
        return bill_story.customer(bill)

    @admin.display(description="Period", ordering="period_end")
    def period(self, bill: PushedBill) -> SafeString:
        """Show the period."""
        return format_html('<span class="c-nowrap">{}</span>', bill_story.period(bill))

    @admin.display(description="Bill total", ordering="payable")
    def bill_total(self, bill: PushedBill) -> SafeString:
        """Show what m3ter says is owed."""
        return amounts.amount(bill.payable, bill.currency)

    @admin.display(description="Pushed", ordering="pushed")
    def pushed_amount(self, bill: PushedBill) -> SafeString:
        """Show what Paddle has."""
        return amounts.amount(bill.pushed, bill.currency, dash_zero=True)

    @admin.display(description="Carried", ordering="carried")
    def carried_amount(self, bill: PushedBill) -> SafeString:
        """Show what was carried."""
        return amounts.amount(bill.carried, bill.currency, dash_zero=True)

    @admin.display(description="Difference", ordering="outstanding")
    def open_amount(self, bill: PushedBill) -> SafeString:
        """Show what is neither charged nor carried nor written off."""
        return amounts.amount(bill.outstanding, bill.currency, dash_zero=True)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, bill: PushedBill) -> SafeString:
        """Show the state, with its reason on hover."""
        short = str(bill.get_state_display()).partition(":")[0]
        words = f"{short}: {bill.reason}" if bill.reason else short
        return showing.label(words, bill_story.TONES.get(bill.state, "calm"))

    @admin.display(description="Payment", ordering="payment")
    def payment_in_words(self, bill: PushedBill) -> SafeString:
        """Show whether Paddle was paid."""
        if bill.payment == PushedBill.Payment.NONE:
            return showing.label("Not yet", "calm") if bill.in_paddle else showing.NOTHING
        return showing.label(bill.get_payment_display(), "good" if bill.payment == PushedBill.Payment.PAID else "bad")

    @admin.display(description="Renews", ordering="renews_at")
    def renews(self, bill: PushedBill) -> SafeString:
        """Show when the subscription renews."""
        return showing.ago(bill.renews_at)

    @admin.display(description="Age", ordering="id")
    def age(self, bill: PushedBill) -> SafeString:
        """Show since when it is known here."""
        return showing.ago(bill.first_seen_at)

    @admin.display(description="Bill in m3ter")
    def the_bill(self, bill: PushedBill) -> SafeString:
        """Show the bill's id, linked to m3ter's own page."""
        return showing.m3ter_id(bill.m3ter_bill_id, "bill")

    @admin.display(description="Account in m3ter")
    def the_account(self, bill: PushedBill) -> SafeString:
        """Show the account's id, linked to m3ter's own page."""
        return showing.m3ter_id(bill.m3ter_account_id, "account")

    locked_exactly = showing.moment("locked_at", description="Locked in m3ter by us")
    read_exactly = showing.moment("m3ter_read_at", description="Read from m3ter")
    first_seen_exactly = showing.moment("first_seen_at", description="First seen")
    renews_exactly = showing.moment("renews_at", description="Subscription renews")
    due_exactly = showing.moment("due_at", description="Work is due")

    # --- The day's plan -----------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the page of the plan, and that of what would become of a bill."""
        plan_view = self.admin_site.admin_view(self.plan_view)
        preview_view = self.admin_site.admin_view(self.preview_view)
        return [
            path("plan/", plan_view, name=self._url_name("plan")),
            path("<path:object_id>/preview/", preview_view, name=self._url_name("preview")),
            *super().get_urls(),
        ]

    def plan_view(self, request: HttpRequest) -> TemplateResponse:
        """Show what goes out when, and what will miss its renewal."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = {**self.admin_site.each_context(request), "model_admin": self, "media": self.media}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/plan.html", {**shown, **plan.context(request, self)})

    # --- Finding ------------------------------------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PushedBill], search_term: str
    ) -> tuple[QuerySet[PushedBill], bool]:
        """Find by exact id, through an index: which one, the id itself says."""
        word = search_term.strip()
        if not word:
            return queryset, False
        if word.startswith("sub_"):
            links = list(AccountLink.objects.filter(paddle_subscription_id=word).values_list("pk", flat=True))
            return queryset.filter(Q(link__in=links) | Q(m3ter_account_code=word)), False
        if word.startswith("txn_"):
            charged = Push.objects.filter(paddle_transaction_id=word).values_list("bill_id", flat=True)
            return queryset.filter(pk__in=list(charged[:MOST_OF_A_TRANSACTION])), False
        return queryset.filter(Q(m3ter_bill_id=word) | Q(m3ter_account_id=word) | Q(m3ter_account_code=word)), False

    def rows_to_export(self, rows: QuerySet[PushedBill]) -> Iterator[bill_export.Line]:
        """Read what stands in the file."""
        return bill_export.lines(rows)

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("Needs attention", _filtered(state__in="held,unconfirmed,failed,lost")),
            Link("To review", _filtered(state__exact="held", reason__exact="review")),
            Link("Unconfirmed", _filtered(state__exact="unconfirmed")),
            Link("Renews within 24 hours", _filtered(renews="day")),
            Link("The day's plan", reverse(f"admin:{self._url_name('plan')}")),
            Link("Pushed, not paid", _filtered(state__exact="pushed", payment__exact="none")),
        )

    def list_panels(self, request: HttpRequest, rows: "QuerySet[PushedBill]") -> Sequence[Panel | Text]:
        """Add up the filtered bills by currency: a few at once, any number when asked to."""
        everything = request.GET.get(TotalsFilter.parameter_name) == TotalsFilter.EVERYTHING
        chosen = rows.order_by().values("pk")
        grouped = PushedBill.objects.filter(pk__in=chosen if everything else chosen[: MOST_ADDED_UP + 1])
        added_up = (
            grouped.order_by("currency")
            .values("currency")
            .annotate(bills=Count("pk"), **{column: Sum(column) for column in ADDED_UP})
        )
        sums = cast("list[dict[str, Any]]", list(added_up))
        count = sum(row["bills"] for row in sums)
        if not count:
            return ()
        if count > MOST_ADDED_UP and not everything:
            return (_too_many_to_add_up(request),)
        table = [
            (row["currency"], row["bills"], *(amounts.amount(row[column], row["currency"]) for column in ADDED_UP))
            for row in sums
        ]
        columns = ("Currency", "Bills", *map(Right, ADDED_UP.values()))
        return (Panel("Totals of all bills listed", columns, table, empty=""),)

    # --- One bill -----------------------------------------------------------------------------------------------------

    def story(self, request: HttpRequest, row: PushedBill) -> Story:
        """Say what stands, what that means, and what to do."""
        return bill_story.story(row)

    def links(self, request: HttpRequest, row: PushedBill) -> Sequence[Link]:
        """Link to the account's story and to Paddle's own page of the subscription."""
        found = []
        if row.link is not None:
            found.append(Link("The whole story of this account", showing.page_of(row.link)))
            if address := showing.vendor_url(row.link.paddle_subscription_id):
                found.append(Link("The subscription in Paddle", address))
        return found

    def questions(self, request: HttpRequest, row: PushedBill) -> Sequence[Link]:
        """Offer to ask what would become of it if it were charged now."""
        if not request.user.has_perm(bill_preview.PERMISSION) or previewing.why_not(row):
            return ()
        return (Link("Preview", reverse(f"admin:{self._url_name('preview')}", args=(row.pk,))),)

    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask what would become of a bill if it were charged now. It spends calls, so a link alone never does it."""
        if not request.user.has_perm(bill_preview.PERMISSION) or not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        back = HttpResponseRedirect(self.page_after(row))
        if request.method != "POST":
            return back
        try:
            with open_vendors("look") as vendors:
                found = previewing.preview(row, vendors)
        except NotPossible as impossible:
            self.message_user(request, f"There is nothing to preview: {impossible}", messages.WARNING)
            return back
        shown = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        request.current_app = self.admin_site.name
        page = bill_preview.context(request, self, found)
        return TemplateResponse(request, "admin/bill_preview.html", {**shown, **page})

    def last_decision(self, request: HttpRequest, row: PushedBill) -> str:
        """Say who decided what about it last, when and why."""
        return meanwhile.last_decision_in_words(row, reader=request.user.get_username())

    def panels(self, request: HttpRequest, row: PushedBill) -> Sequence[Panel | Text]:
        """Give the lines on both sides, the sums, the ledger, pushes, steps and revisions."""
        return (
            *amounts.left_and_right(row, policy_for(row.link)),
            _sums(row),
            _entries(row),
            amounts.pushes(row),
            _steps(row),
            _revisions(row),
            *_late_usage(row),
            *_findings(row),
        )


def _too_many_to_add_up(request: HttpRequest) -> Panel:
    """Offer the sum of more bills than are added up unasked; of half a million, it takes a good part of a second."""
    address = request.GET.copy()
    address.pop(PAGE_VAR, None)
    address[TotalsFilter.parameter_name] = TotalsFilter.EVERYTHING
    note = f"More than {MOST_ADDED_UP} bills are listed, which are added up only when asked for."
    return Panel("Totals", ("Currency",), (), empty=note, more=Link("Add all of them up", f"?{address.urlencode()}"))


def _filtered(**filters: str) -> str:
    return showing.list_of(PushedBill, urlencode(filters))


def _sums(bill: PushedBill) -> Panel:
    columns = ("payable", "pushed", "lost", "credited", "carried", "written_off", "outstanding", "paid")
    names = ("Bill total", "Pushed", "Lost", "Credited", "Carried", "Written off", "Open", "Paid (before tax)")
    return Panel(
        "Where every cent is",
        [Right(name) for name in names],
        [tuple(amounts.amount(getattr(bill, column), bill.currency) for column in columns)],
        empty="",
        note="Bill total = pushed - lost - credited + carried + written off + open; the database holds it to that.",
    )


def _entries(bill: PushedBill) -> Panel:
    return Panel(
        "Ledger",
        ("When", "What", Right("Amount"), "Push", "Who", "Note"),
        [
            (
                showing.at(entry.at),
                entry.get_kind_display(),
                amounts.amount(entry.amount, bill.currency),
                showing.row_link(entry.push),
                entry.by or "-",
                entry.note or "-",
            )
            for entry in bill.entries.select_related("push").order_by("-id")
        ],
        empty="Nothing has been charged, credited, carried or written off yet.",
    )


def _steps(bill: PushedBill) -> Panel:
    return Panel(
        "Steps, with the vendors' words and people's decisions",
        ("When", "Step", "Outcome", "In words", "Calls", "Who"),
        [
            (
                showing.at(step.at),
                f"{step.step} ({step.phase})" if step.phase == "before" else step.step,
                step.outcome or "-",
                step.detail or "-",
                showing.calls(step.calls),
                step.by or "-",
            )
            for step in bill.steps.order_by("-id")[:100]
        ],
        empty="Nothing has been done with it yet.",
    )


def _revisions(bill: PushedBill) -> Panel:
    return Panel(
        "Revisions: what m3ter said at each approval",
        ("No.", "First seen", Right("Exact total"), Right("Rounded"), "m3ter version", "Content"),
        [
            (
                revision.number,
                showing.at(revision.first_seen_at),
                amounts.exact(revision.total, revision.currency),
                amounts.amount(revision.payable, revision.currency),
                revision.m3ter_version,
                f"{revision.content_hash[:12]}{', current' if revision.pk == bill.revision_id else ''}",
            )
            for revision in bill.revisions.order_by("-number")
        ],
        empty="It has not been approved in m3ter yet.",
    )


def _late_usage(bill: PushedBill) -> Sequence[Panel]:
    """Usage of its period that came in after it was approved or locked: counted in m3ter, or to be priced."""
    late = LateForBill.objects.filter(m3ter_bill_id=bill.m3ter_bill_id).first()
    count = LateInBatch.objects.filter(m3ter_bill_id=bill.m3ter_bill_id).aggregate(sum=Sum("items"))["sum"]
    rows: list[Sequence[Any]] = []
    if late is not None:
        what = showing.row_link(late, f"{count or 0} measurements after it was approved")
        rows.append((what, late.get_state_display(), showing.at(late.last_at)))
    rows += [
        (showing.row_link(each), each.get_state_display(), showing.at(each.received_at))
        for each in LateUsage.objects.filter(m3ter_bill_id=bill.m3ter_bill_id).order_by("-id")[:20]
    ]
    return (Panel("Usage that came later", ("What", "State", "Last came in"), rows, empty=""),) if rows else ()


def _findings(bill: PushedBill) -> Sequence[Panel]:
    found = Finding.objects.filter(subject=bill.m3ter_bill_id).order_by("state", "-opened_at")[:20]
    if not found:
        return ()
    rows = [
        (showing.at(each.opened_at), showing.row_link(each), each.get_state_display(), each.detail) for each in found
    ]
    return (Panel("Findings", ("Since", "Finding", "State", "In words"), rows, empty=""),)
