"""The console's pages of usage as it is seen: what came in and where it is, and what m3ter has counted, by day."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from integration_project import clock, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import LedgerAdmin
from integration_project.models import Finding
from integration_project.showing import Link, Panel, Right, Story
from paddle_sync.models import (
    AccountLink,
    LateForBill,
    LateUsage,
    SeenMeter,
    UsageBatch,
    UsageDay,
    UsageFailure,
)
from paddle_sync.usage import flow, seeing

State, Problem = UsageBatch.State, UsageDay.Problem
MOST_ROWS = 50
REFRESH = "paddle_sync.refresh_usageday"
LATE_READING = timedelta(hours=3)


@admin.register(UsageDay)
class UsageDayAdmin(LedgerAdmin):
    """What m3ter has counted, by account, meter and day."""

    list_display = ("day", "m3ter_account_code", "meter", "field", "total", "problem", "read")
    list_filter = ("problem", "meter")
    search_fields = ("m3ter_account_code__exact",)
    search_help_text = "An account code."
    ordering = ("-day", "-id")
    nothing_yet = "Usage is read from m3ter every hour; press Read it now on the page Usage to have it read at once."
    fieldsets = (
        (
            "In the database",
            {"fields": (("day", "m3ter_account_code"), ("meter", "field"), ("total", "problem"), "read_exactly")},
        ),
    )
    readonly_fields = ("read_exactly",)

    @admin.display(description="Read", ordering="read_at")
    def read(self, row: UsageDay) -> Any:
        """Show when m3ter said so."""
        return showing.ago(row.read_at)

    read_exactly = showing.moment("read_at", description="Read from m3ter")

    def links(self, request: HttpRequest, row: UsageDay) -> Sequence[Link]:
        """Link to the account's story."""
        link = AccountLink.objects.filter(m3ter_account_code=row.m3ter_account_code).order_by("-pk").first()
        return (Link("The whole story of this account", showing.page_of(link)),) if link is not None else ()

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("Usage, and where it is", reverse("admin:paddle_sync_usageday_seen")),
            Link("Without a plan", filtered(problem__exact=Problem.NO_PLAN)),
            Link("Without a subscription", filtered(problem__exact=Problem.NO_ACCOUNT)),
        )

    # --- Usage, and where it is ---------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the page of all usage, and what reads it again."""
        seen, again = self.admin_site.admin_view(self.seen_view), self.admin_site.admin_view(self.again_view)
        return [
            path("seen/", seen, name="paddle_sync_usageday_seen"),
            path("read-again/", again, name="paddle_sync_usageday_again"),
            *super().get_urls(),
        ]

    def seen_view(self, request: HttpRequest) -> TemplateResponse:
        """Show what came in and where it is, and what m3ter has that nothing would bill."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        may = request.user.has_perm(REFRESH)
        context = {
            **self.admin_site.each_context(request),
            "title": "Usage",
            "story": _story(),
            "links": (
                Link("Batches", showing.list_of(UsageBatch)),
                Link("Failures", showing.list_of(UsageFailure)),
                Link("What m3ter has counted, by day", showing.list_of(UsageDay)),
            ),
            "questions": (Link("Read it now", reverse("admin:paddle_sync_usageday_again")),) if may else (),
            "panels": (_flow(), _decide(), _without_plan(), _strays(), _stopped(), _meters()),
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/usage.html", context)

    def again_view(self, request: HttpRequest) -> HttpResponse:
        """Ask a worker to read m3ter's usage; no vendor is called from here."""
        if not request.user.has_perm(REFRESH):
            raise PermissionDenied
        if request.method == "POST":
            try:
                seeing.ask(by=request.user.get_username())
            except NotPossible as impossible:
                self.message_user(request, str(impossible), messages.WARNING)
            else:
                text = "A worker reads m3ter's usage now: a meter a second. Reload this page in a while."
                self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:paddle_sync_usageday_seen"))


def filtered(**filters: Any) -> str:
    """Find the list of days, filtered."""
    return showing.list_of(UsageDay, urlencode(filters))


def batches(**filters: Any) -> str:
    """Find the list of batches, filtered."""
    return showing.list_of(UsageBatch, urlencode(filters))


def _story() -> Story:
    read_at = seeing.last_read()
    if read_at is None:
        return Story(
            "wait",
            "m3ter has not been asked yet what it has counted of every meter.",
            next_step="It is asked by itself within five minutes, as far as the catalogue names its meters.",
        )
    late = read_at < clock.now() - LATE_READING
    effect = "That is too long ago: see below what went wrong." if late else "It is asked again every hour."
    return Story("bad" if late else "good", f"m3ter was asked {showing.relative(read_at)} what it has counted.", effect)


# --- Tables -----------------------------------------------------------------------------------------------------------


def _flow() -> Panel:
    counted = flow.today()
    since = (clock.now() - flow.SPAN).isoformat(timespec="seconds")
    lines: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("Received", "received", {}),
        ("Taken by m3ter", "sent", {"state__exact": State.SENT}),
        ("On the way", "waiting", {"state__in": ",".join(flow.ON_THE_WAY)}),
        ("Waits for an account", "held", {"state__exact": State.HELD}),
        ("Not taken: to be decided", "failed", {"state__exact": State.FAILED}),
        ("Dropped by m3ter afterwards", "dropped", {"failed_later__gt": 0}),
        ("Later than an approved bill", "late", {"late__gt": 0}),
    )
    return Panel(
        "Measurements of the last 24 hours",
        ("What", Right("Measurements"), "Where"),
        [
            (
                words,
                showing.number(counted[name]),
                showing.linked("Show the batches", batches(received_at__gte=since, **filters)),
            )
            for words, name, filters in lines
        ],
        empty="",
    )


def _decide() -> Panel:
    """What waits for a person, with the list where it is decided."""
    by_state = dict(
        UsageBatch.objects.filter(state__in=(State.FAILED, State.HELD))
        .order_by("state")
        .values_list("state")
        .annotate(count=Count("pk"))
    )
    open_failures = UsageFailure.objects.filter(state=UsageFailure.State.OPEN).count()
    to_price = LateUsage.objects.filter(state=LateUsage.State.REVIEW).count()
    late_bills = LateForBill.objects.filter(state=LateForBill.State.OPEN).count()
    lines = (
        ("Batches that were not taken", by_state.get(State.FAILED, 0), batches(state__exact=State.FAILED)),
        ("Batches that wait for an account", by_state.get(State.HELD, 0), batches(state__exact=State.HELD)),
        ("Measurements that did not come to count", open_failures, _list(UsageFailure, state__exact="open")),
        ("Late usage to be priced", to_price, _list(LateUsage, state__exact="review")),
        ("Approved bills with later usage", late_bills, _list(LateForBill, state__exact="open")),
    )
    return Panel(
        "What waits for a person",
        ("What", Right("How many"), "Where"),
        [(words, showing.number(count), showing.linked("Show them", url)) for words, count, url in lines if count],
        empty="Nothing waits for a person.",
    )


def _list(model: Any, **filters: Any) -> str:
    return showing.list_of(model, urlencode(filters))


def _grouped(problem: str) -> list[Any]:
    rows = UsageDay.objects.filter(problem=problem, day__gte=(clock.now() - seeing.BACK).date())
    return list(
        rows.order_by("m3ter_account_code", "meter")
        .values("m3ter_account_code", "meter")
        .annotate(days=Count("day", distinct=True), first=Min("day"), last=Max("day"))[: MOST_ROWS + 1]
    )


def _without_plan() -> Panel:
    rows = _grouped(Problem.NO_PLAN)
    codes = [row["m3ter_account_code"] for row in rows]
    links = {link.m3ter_account_code: link for link in AccountLink.objects.filter(m3ter_account_code__in=codes)}
    return Panel(
        "Usage without a plan",
        ("Account", "Meter", "Days", "From", "To", "What to do"),
        [
            (
                row["m3ter_account_code"],
                row["meter"],
                row["days"],
                row["first"],
                row["last"],
                showing.row_link(links.get(row["m3ter_account_code"]), "See its plans, and map its prices"),
            )
            for row in rows[:MOST_ROWS]
        ],
        empty="Every linked account had a plan of the product whenever it used something of it.",
        note="m3ter counts it, and no plan of the account bills the meter's product on these days.",
        more=Link("All of it, by day", filtered(problem__exact=Problem.NO_PLAN)) if rows else None,
    )


def _strays() -> Panel:
    rows = _grouped(Problem.NO_ACCOUNT)
    return Panel(
        "Usage without a subscription",
        ("Account", "Meter", "Days", "From", "To", "What to do"),
        [
            (
                showing.copyable(row["m3ter_account_code"]),
                row["meter"],
                row["days"],
                row["first"],
                row["last"],
                showing.linked("Read its finding", _list(Finding, q=row["m3ter_account_code"])),
            )
            for row in rows[:MOST_ROWS]
        ],
        empty="m3ter counts usage only of accounts that a subscription has.",
        note="Nothing from here is ever sent under such a code: somebody else sends it to m3ter.",
        more=Link("All of it, by day", filtered(problem__exact=Problem.NO_ACCOUNT)) if rows else None,
    )


def _stopped() -> Panel:
    found = Finding.objects.filter(kind=seeing.STOPPED, state=Finding.State.OPEN).order_by("-id")[:MOST_ROWS]
    subjects = [each.subject for each in found]
    links = {
        link.paddle_subscription_id: link for link in AccountLink.objects.filter(paddle_subscription_id__in=subjects)
    }
    return Panel(
        "Accounts that went silent",
        ("Customer", "In words", "What to do"),
        [
            (
                showing.row_link(links.get(each.subject), str(links.get(each.subject) or each.subject)),
                each.detail,
                showing.row_link(each, "Acknowledge it, or find out why"),
            )
            for each in found
        ],
        empty="Every account that has usage regularly had some lately.",
        more=Link("All findings of this kind", _list(Finding, kind=seeing.STOPPED)) if found else None,
    )


def _meters() -> Panel:
    rows = SeenMeter.objects.exclude(error="").order_by("meter")[:MOST_ROWS]
    return Panel(
        "Meters that could not be read",
        ("Meter", "Last read", "In words"),
        [(row.meter, showing.ago(row.read_at), row.error) for row in rows],
        empty="m3ter told of every meter that it was asked about.",
    )
