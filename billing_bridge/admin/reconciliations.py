"""The console's pages of reconciliations: what has no reason on top, then every bill, and the run before beside it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from billing_bridge import reconciliation, reconciliation_files
from billing_bridge.admin.amounts import amount
from billing_bridge.explaining import Why
from billing_bridge.models import ReconciliationRow, ReconciliationRun
from integration_project import clock, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import DayInput, Decision, LedgerAdmin, ReasonForm, in_history
from integration_project.showing import Link, Panel, Right, Story, Text, Tone

State = ReconciliationRun.State
BEGIN = "billing_bridge.begin_reconciliationrun"
ON_TOP = 50
TONES: dict[str, Tone] = {State.LISTING: "calm", State.COMPARING: "calm", State.DONE: "good", State.FAILED: "bad"}


class SpanForm(ReasonForm):
    """Which bills are reconciled, and why."""

    field_order = ("first_day", "last_day", "account_code", "reason")
    first_day = forms.DateField(
        label="Bills dated from",
        initial=lambda: clock.now().date() - reconciliation.SPAN,
        widget=DayInput(),
    )
    last_day = forms.DateField(
        label="to, this day too",
        initial=lambda: clock.now().date(),
        widget=DayInput(),
    )
    account_code = forms.CharField(
        label="Only the account with this code (may stay empty)",
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"class": "c-input"}),
    )

    def clean(self) -> dict[str, Any]:
        """Say beside the field what cannot be reconciled."""
        given = super().clean() or {}
        first, last = given.get("first_day"), given.get("last_day")
        if first and last and first > last:
            self.add_error("last_day", "No bill can be dated in between: the last day is before the first.")
        try:
            reconciliation.account_of(given.get("account_code", ""))
        except NotPossible as impossible:
            self.add_error("account_code", str(impossible))
        return given


RECONCILE = Decision(
    name="reconcile",
    label="Reconcile now",
    permission=BEGIN,
    effect="A worker compares m3ter's bills of these days with our ledger and with Paddle's transactions. Nothing is "
    "charged, refunded or changed by it; differences without a reason become findings.",
    done="asked for",
    decide=reconciliation.ask,
    form=SpanForm,
)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(LedgerAdmin):
    """Every reconciliation there was."""

    list_display = ("asked_for", "span", "account", "state_in_words", "bills", "unknown", "fresh", "solved", "by")
    list_display_links = ("asked_for", "span")
    list_filter = ("state",)
    ordering = ("-id",)
    nothing_yet = "A worker reconciles the bills of the last 70 days once a day; the first run appears here."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("first_day", "last_day"),
                    ("account_code", "m3ter_account_id"),
                    ("state", "by"),
                    ("reason", "note"),
                    ("asked_exactly", "listed_exactly"),
                    ("finished_exactly", "previous"),
                )
            },
        ),
    )
    readonly_fields = ("asked_exactly", "listed_exactly", "finished_exactly")

    asked_exactly = showing.moment("created_at", description="Asked for")
    listed_exactly = showing.moment("listed_at", description="Everything listed")
    finished_exactly = showing.moment("finished_at", description="Finished")

    @admin.display(description="Asked for", ordering="id")
    def asked_for(self, run: ReconciliationRun) -> SafeString:
        """Show when it was asked for."""
        return showing.ago(run.created_at)

    @admin.display(description="Bills dated", ordering="first_day")
    def span(self, run: ReconciliationRun) -> str:
        """Show which days it is about."""
        return f"{run.first_day} to {run.last_day}"

    @admin.display(description="Account", ordering="account_code")
    def account(self, run: ReconciliationRun) -> str:
        """Show whose bills it is about."""
        return run.account_code or "every account"

    @admin.display(description="State", ordering="state")
    def state_in_words(self, run: ReconciliationRun) -> SafeString:
        """Show the state, and whether all is well."""
        if run.state == State.DONE and run.unknown:
            return showing.label("Done: differences without a reason", "bad")
        return showing.label(run.get_state_display(), TONES.get(run.state, "calm"))

    @admin.display(description="New", ordering="new_unknown")
    def fresh(self, run: ReconciliationRun) -> int:
        """Show how many had a reason, or were not there, when they were compared before."""
        return run.new_unknown

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Offer a new run to those who may begin one."""
        if not request.user.has_perm(BEGIN):
            return ()
        return (Link(RECONCILE.label, reverse("admin:billing_bridge_reconciliationrun_reconcile"), strong=True),)

    # --- Beginning one, and taking it away as a file ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the page that asks for a run, and a run's file."""
        ask, export = self.admin_site.admin_view(self.reconcile_view), self.admin_site.admin_view(self.export_view)
        return [
            path("reconcile/", ask, name="billing_bridge_reconciliationrun_reconcile"),
            path("<int:run_id>/export.csv", export, name="billing_bridge_reconciliationrun_export"),
            *super().get_urls(),
        ]

    def reconcile_view(self, request: HttpRequest) -> HttpResponse:
        """Ask which bills and why, and lead to the page of the new run; no vendor is called from here."""
        if not request.user.has_perm(BEGIN):
            raise PermissionDenied
        form = SpanForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            run = reconciliation.ask(by=request.user.get_username(), **form.cleaned_data)
            reconciliation.wake_up()
            self.log_addition(request, run, in_history(RECONCILE.label, form.cleaned_data))
            return HttpResponseRedirect(showing.page_of(run))
        context = {
            **self.admin_site.each_context(request),
            "title": RECONCILE.label,
            "opts": self.opts,
            "decision": RECONCILE,
            "count": 1,
            "form": form,
            "back": reverse("admin:billing_bridge_reconciliationrun_changelist"),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    def export_view(self, request: HttpRequest, run_id: int) -> HttpResponseBase:
        """Give a run's rows as CSV, those without a reason first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = ReconciliationRun.objects.filter(pk=run_id).first()
        if run is None:
            raise Http404
        rows = _unknown_first(run.rows.all()).iterator(chunk_size=1_000)
        name = f"reconciliation-{run.pk}-{run.first_day}-{run.last_day}.csv"
        return StreamingHttpResponse(
            reconciliation_files.lines(rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    # --- One run ------------------------------------------------------------------------------------------------------

    def under_way(self, row: ReconciliationRun) -> bool:
        """Until every bill is compared."""
        return row.state in reconciliation.UNFINISHED

    def story(self, request: HttpRequest, row: ReconciliationRun) -> Story:
        """Say how it stands, what that means, and what to do next."""
        if row.state == State.FAILED:
            return Story("bad", f"It could not be finished: {row.note}", "Nothing was changed.", "Reconcile again.")
        if row.state != State.DONE:
            listed, left = row.rows.count(), row.rows.filter(compared_at=None).count()
            effect = row.note or "It goes on by itself, also after a restart."
            return Story("wait" if row.note else "calm", f"{listed - left} of {listed} bills are compared.", effect)
        if not row.unknown:
            return Story("good", f"{row.bills} bills compared: every difference has a reason.", _compared(row))
        return Story(
            "bad",
            f"{row.unknown} of {row.bills} bills have a difference without a reason.",
            _compared(row),
            "Look at them below, one by one: at the bill here, and at its transactions in Paddle.",
        )

    def links(self, request: HttpRequest, row: ReconciliationRun) -> Sequence[Link]:
        """Link to all rows, to the file, and to the run before."""
        export = reverse("admin:billing_bridge_reconciliationrun_export", args=(row.pk,))
        found = [Link("All bills of this run", _rows_of(row), strong=True), Link("Export as CSV", export)]
        if row.previous is not None:
            found.append(Link("The run before", showing.page_of(row.previous)))
        return found

    def panels(self, request: HttpRequest, row: ReconciliationRun) -> Sequence[Panel | Text]:
        """Give what has no reason, the totals, the reasons, and what is solved."""
        unknown = _unknown_first(row.rows.filter(is_unknown=True))
        return (
            _rows("Without a reason", unknown, _rows_of(row, is_unknown__exact="1"), empty="Every difference has one."),
            _totals(row),
            _reasons(row),
            _rows(
                "Solved since they were compared last",
                reconciliation.solved_since(row),
                _rows_of(row),
                empty="Nothing that was without a reason then has one now.",
            ),
        )


def _compared(run: ReconciliationRun) -> str:
    if run.previous_id is None:
        return "There is no earlier run of these days and accounts to compare it with."
    return f"Since these bills were compared last, {run.new_unknown} are new and {run.solved} are solved."


def _unknown_first(rows: "QuerySet[ReconciliationRow]") -> "QuerySet[ReconciliationRow]":
    return rows.order_by("-is_unknown", "-unknown", "id")


def _rows_of(run: ReconciliationRun, **filters: str) -> str:
    return showing.list_of(ReconciliationRow, urlencode({"run__id__exact": run.pk, **filters}))


def _rows(title: str, rows: "QuerySet[ReconciliationRow]", more: str, *, empty: str) -> Panel:
    columns = ("Bill", "Account", *map(Right, ("m3ter", "Kept by Paddle", "Unknown")), "", "In words")
    return Panel(
        title,
        columns,
        [
            (
                showing.row_link(row, row.subject),
                row.customer or row.account_code or row.m3ter_account_id or "-",
                amount(row.m3ter, row.currency),
                amount(row.kept, row.currency),
                amount(row.unknown, row.currency, dash_zero=True),
                showing.label("new", "bad") if row.is_new else "",
                showing.line(reconciliation.unknown_words(row) or "Every difference has a reason.", 200),
            )
            for row in rows[:ON_TOP]
        ],
        empty=empty,
        more=Link("All of them", more),
    )


def _totals(run: ReconciliationRun) -> Panel:
    headings = ("m3ter", "Our ledger", "Billed by Paddle", "Collected", "Refunded", "Unknown")
    rows = [
        (currency or "-", sums["bills"], *(amount(sums[name], currency) for name in reconciliation.SUMMED))
        for currency, sums in run.totals.items()
    ]
    return Panel("Totals", ("Currency", Right("Bills"), *map(Right, headings)), rows, empty="Nothing is added up yet.")


def _reasons(run: ReconciliationRun) -> Panel:
    """What each reason comes to; from m3ter's amounts down to what Paddle kept."""
    rows = [
        (currency, why.value, amount(sums["reasons"][why], currency))
        for currency, sums in run.totals.items()
        for why in Why
        if why in sums["reasons"]
    ]
    note = "Positive: Paddle kept less than m3ter says. Negative: more."
    return Panel("Reasons", ("Currency", "Reason", Right("Amount")), rows, empty="There is no difference.", note=note)
