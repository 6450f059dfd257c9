"""What every page of the console shares: read-only rows, a sentence first, decisions with a reason, cheap paging.

Registers nothing. The look is unfold's where unfold is installed and plain Django admin where it is not: taking the
`unfold` lines out of INSTALLED_APPS is the whole switch, and no page of ours needs more than Django's own blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property

from integration_project.errors import NotPossible
from integration_project.showing import Link, Panel, Story, Text, page_of, sentence, since

if TYPE_CHECKING:
    Look = admin.ModelAdmin[Any]
    Pages = Paginator[Any]
else:
    from django.conf import settings

    Pages = Paginator

    if "unfold" in settings.INSTALLED_APPS:
        from unfold.admin import ModelAdmin as Look
    else:
        Look = admin.ModelAdmin

MOST_ROWS_AT_ONCE = 500
MOST_ROWS_ON_A_PAGE = 100
"""What is more becomes a run with a page of its own, where a decision can be one."""
SAMPLE = 10
REFRESH = "3"
"""Seconds after which the page of a row that is under way asks for itself again."""


class DayInput(forms.DateInput):
    """A browser's own calendar, which reads a day in one way only, whatever the language of the page."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(attrs={"class": "c-input"}, format="%Y-%m-%d")


class ReasonForm(forms.Form):
    """Why somebody decides; decisions that need more add their own fields."""

    reason = forms.CharField(
        label="Reason",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "class": "c-input"}),
        help_text="Kept for ever in History, beside your name and the time.",
    )


class OptionalReasonForm(ReasonForm):
    """A decision that explains itself: the reason may stay empty."""

    reason = forms.CharField(
        label="Reason (may stay empty)",
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "class": "c-input"}),
        help_text="Kept for ever in History, beside your name and the time.",
    )


def always(row: Any) -> bool:
    """Offer the decision whatever the row says."""
    return True


def nothing_filled_in(row: Any) -> dict[str, Any]:
    """Begin with an empty form."""
    return {}


@dataclass(frozen=True)
class Decision:
    """Something a person may do to a row: who may, when it is offered, what it will bring about, and what does it."""

    name: str
    label: str
    permission: str
    effect: str
    done: str
    decide: Callable[..., Any]  # decide(row's key, by=user name, reason=text, and what else its form asks)
    offered: Callable[[Any], bool] = always
    form: type[ReasonForm] = ReasonForm
    bulk: bool = False
    strong: bool = False
    preview: Callable[[Any], str] = str
    initial: Callable[[Any], dict[str, Any]] = nothing_filled_in
    seen: Callable[[Any], str] | None = None
    """Names what the confirmation shows of a row; it comes back as decide's `seen`, empty where the page had none."""
    asks: Callable[..., dict[str, Any]] | None = None
    """Asks a vendor what the answers rest on, before anything is locked: asks(row's key, the answers but the reason).

    What it gives goes to decide as well; NotPossible says why the answers cannot be so.
    """
    as_run: "Callable[[QuerySet[Any], str], Model] | None" = None
    """Makes a run of more rows than a confirmation should hold, for the person named; the run's own page asks then."""

    @property
    def action_name(self) -> str:
        """Its name in the list's menu of actions."""
        return f"{self.name}_selected"


@dataclass(frozen=True)
class Outcome:
    """How many rows a decision was carried out on, and why not on the others."""

    done: int
    refused: tuple[str, ...]


class CountFreePaginator(Pages):
    """Pages through the first rows of a list without ever counting a huge table; older ones are found by filters."""

    most = 2000

    @cached_property
    def count(self) -> int:
        """Say how many rows can be paged through: the real number, or the most that are counted."""
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return int(rows.order_by().values("pk")[: self.most].count())
        return len(rows)


OF_THE_PAGE = ("p", "e", "o", "all", "totals")
"""What a list's address says about the page that is looked at, not about the rows."""


class LedgerAdmin(Look):
    """Rows that nobody edits by hand: what happens to them happens by decisions, each behind a permission."""

    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    paginator = CountFreePaginator
    show_facets = admin.ShowFacets.NEVER  # a count beside each choice of a filter reads the whole table for each
    change_form_template = "admin/ledger_change_form.html"
    change_list_template = "admin/ledger_change_list.html"
    decisions: Sequence[Decision] = ()
    nothing_yet = "Nothing has happened here yet."

    # --- Who may -----------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody edits rows by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody deletes rows by hand."""
        return False

    # --- What a page says --------------------------------------------------------------------------------------------

    def story(self, request: HttpRequest, row: Any) -> Story | None:
        """Say in words what this row is and what to do next."""
        return None

    def links(self, request: HttpRequest, row: Any) -> Sequence[Link]:
        """Name the addresses that belong beside the story."""
        return ()

    def questions(self, request: HttpRequest, row: Any) -> Sequence[Link]:
        """Name what can be asked by a button and changes nothing; each is posted, so that no link alone asks it."""
        return ()

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel | Text]:
        """Give the tables under the story."""
        return ()

    def under_way(self, row: Any) -> bool:
        """Say whether something happens to it by itself just now, so that its page asks for itself again."""
        return False

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the links above the list that people come back to."""
        return ()

    def list_panels(self, request: HttpRequest, rows: "QuerySet[Any]") -> Sequence[Panel | Text]:
        """Give the tables above a list; `rows` is what its filters leave."""
        return ()

    def offered(self, request: HttpRequest, row: Any) -> list[Decision]:
        """Choose the decisions that fit the row and the person."""
        return [each for each in self.decisions if request.user.has_perm(each.permission) and each.offered(row)]

    # --- Pages -------------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row: story, buttons, tables, columns."""
        row = self.get_object(request, unquote(object_id))
        context = dict(extra_context or {})
        if row is not None and self.has_view_or_change_permission(request, row):
            context.update(self.around(request, row))
        response = super().change_view(request, object_id, form_url, context)
        if row is not None and self.under_way(row):
            response["Refresh"] = REFRESH
        return response

    def around(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Gather what stands around the columns of a row."""
        return {
            "story": self.story(request, row),
            "links": self.links(request, row),
            "questions": self.questions(request, row),
            "buttons": [
                {"label": each.label, "strong": each.strong, "url": self.decision_url(each, row)}
                for each in self.offered(request, row)
            ],
            "panels": self.panels(request, row),
        }

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with its saved views and, where it is empty, what that means."""
        views = [(view, _is_open(view, request)) for view in self.saved_views(request)]
        context = {"saved_views": views, "nothing_yet": self.nothing_yet, **(extra_context or {})}
        response = super().changelist_view(request, context)
        rows = getattr(response, "context_data", {}).get("cl") if isinstance(response, TemplateResponse) else None
        if rows is not None and isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data["list_panels"] = self.list_panels(request, rows.queryset)
            response.context_data["counted_to"] = (
                rows.paginator.most if rows.result_count == getattr(rows.paginator, "most", None) else None
            )
        return response

    def get_urls(self) -> list[URLPattern]:
        """Add the confirmation pages of this admin's decisions."""
        one = self.admin_site.admin_view(self.decide_view)
        many = self.admin_site.admin_view(self.decide_many_view)
        return [
            path("do/<slug:name>/", many, name=self._url_name("decide_many")),
            path("<path:object_id>/do/<slug:name>/", one, name=self._url_name("decide")),
            *super().get_urls(),
        ]

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def decision_url(self, decision: Decision, row: Any) -> str:
        """Find the confirmation page of a decision about one row."""
        return reverse(f"admin:{self._url_name('decide')}", args=(row.pk, decision.name))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the decisions that may be taken about many rows, to those who may take them."""
        return {
            each.action_name: (_ask(each), each.action_name, f"{each.label} ...")
            for each in self.decisions
            if each.bulk and request.user.has_perm(each.permission)
        }

    def decision(self, request: HttpRequest, name: str) -> Decision:
        """Find a decision by its name, for somebody who may take it."""
        for each in self.decisions:
            if each.name == name:
                if not request.user.has_perm(each.permission) or not self.has_view_permission(request):
                    raise PermissionDenied
                return each
        raise Http404

    def decide_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Ask for the reason, then carry out a decision about one row."""
        decision = self.decision(request, name)
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        form = decision.form(request.POST or None, initial=decision.initial(row))
        back = self.page_after(row)
        if not decision.offered(row):
            self.message_user(request, self.unfit(request, decision, row), messages.WARNING)
            return HttpResponseRedirect(back)
        if form.is_valid():
            outcome = run_action(self, request, [row], decision, form.cleaned_data)
            if not outcome.refused:
                return self.after_decision(request, row, decision) or HttpResponseRedirect(back)
            return HttpResponseRedirect(back)
        return self.confirmation(request, decision, [row], form, back=back, many=False)

    def unfit(self, request: HttpRequest, decision: Decision, row: Any) -> str:
        """Say that a decision is not possible about a row any more, and what somebody did to it before."""
        words = f"{decision.label}: not possible in the state this is in now. {self.last_decision(request, row)}"
        return f"{words.rstrip()} Nothing was done."

    def last_decision(self, request: HttpRequest, row: Any) -> str:
        """Say who did what to a row last, when and why, by its History; empty where nobody has."""
        kind = ContentType.objects.get_for_model(row)
        entry = LogEntry.objects.filter(content_type=kind, object_id=str(row.pk)).select_related("user").first()
        if entry is None:
            return ""
        who = "You" if entry.user_id == request.user.pk else entry.user.get_username()
        return sentence(f"{who} did this {since(entry.action_time)}: {entry.get_change_message()}")

    def page_after(self, row: Any) -> str:
        """Find the page to come back to."""
        return reverse(f"admin:{self._url_name('change')}", args=(row.pk,))

    def after_decision(self, request: HttpRequest, row: Any, decision: Decision) -> HttpResponse | None:
        """Show something else than the row's page; most decisions do not."""
        return None

    def decide_many_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Carry out a decision about the rows of a confirmation page."""
        decision = self.decision(request, name)
        back = reverse(f"admin:{self._url_name('changelist')}")
        if request.method != "POST" or not decision.bulk:
            return HttpResponseRedirect(back)
        keys = request.POST.getlist("row")[:MOST_ROWS_AT_ONCE]
        rows = list(self.get_queryset(request).filter(pk__in=[key for key in keys if key.isdecimal()]))
        form = decision.form(request.POST)
        if form.is_valid():
            fitting = [row for row in rows if decision.offered(row)]
            run_action(self, request, fitting, decision, form.cleaned_data)
            if unfit := [row for row in rows if row not in fitting]:
                text = f"{len(unfit)} left as before: {decision.label} is not possible in their state."
                self.message_user(request, text, messages.WARNING)
                for row in unfit[:SAMPLE]:
                    if words := self.last_decision(request, row):
                        self.message_user(request, f"{row}: {words}", messages.WARNING)
            return HttpResponseRedirect(back)
        return self.confirmation(request, decision, rows, form, back=back, many=True)

    def confirmation(
        self, request: HttpRequest, decision: Decision, rows: Sequence[Any], form: ReasonForm, *, back: str, many: bool
    ) -> TemplateResponse:
        """Show how many rows a decision is about, a sample of what it does to them, and ask for the reason."""
        fitting = [row for row in rows if decision.offered(row)]
        context = {
            **self.admin_site.each_context(request),
            "title": decision.label,
            "opts": self.opts,
            "decision": decision,
            "count": len(fitting),
            "many": many,
            "noun": self.opts.verbose_name if len(fitting) == 1 else self.opts.verbose_name_plural,
            "unfit": len(rows) - len(fitting),
            "selected": len(rows),
            "sample": [decision.preview(row) for row in fitting[:SAMPLE]],
            "beyond_sample": max(0, len(fitting) - SAMPLE),
            "keys": [row.pk for row in rows] if many else [],
            "seen": [(row.pk, self._seen(request, decision, form, row)) for row in fitting] if decision.seen else [],
            "form": form,
            "form_url": reverse(f"admin:{self._url_name('decide_many')}", args=(decision.name,)) if many else "",
            "back": back,
            "media": self.media,
            **self.beside(request, decision, fitting, form),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/confirm_action.html", context)

    def _seen(self, request: HttpRequest, decision: Decision, form: ReasonForm, row: Any) -> str:
        """Name what is shown of a row; a page that comes back for a better answer is about what it showed first."""
        shown = decision.seen(row) if decision.seen else ""
        return request.POST.get(f"seen-{row.pk}", "") if form.is_bound else shown

    def beside(self, request: HttpRequest, decision: Decision, rows: Sequence[Any], form: ReasonForm) -> dict[str, Any]:
        """Gather what else a confirmation page shows of the rows that a decision is about; most show nothing."""
        return {}


def _is_open(view: Link, request: HttpRequest) -> bool:
    """Whether a saved view is what the page shows: its filters, and no others."""
    address = urlsplit(view.url)
    asked = {name: values for name, values in request.GET.lists() if name not in OF_THE_PAGE}
    return address.path in {"", request.path} and bool(asked) and parse_qs(address.query) == asked


def _ask(decision: Decision) -> Callable[..., HttpResponseBase | None]:
    """Make the list action that leads to the confirmation page of a decision."""

    def ask(model_admin: LedgerAdmin, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponseBase | None:
        rows = list(queryset.order_by("pk")[: MOST_ROWS_AT_ONCE + 1])
        if decision.as_run is not None and len(rows) > MOST_ROWS_ON_A_PAGE:
            return _as_run(model_admin, request, queryset, decision.as_run)
        if len(rows) > MOST_ROWS_AT_ONCE:
            text = (
                f"More than {MOST_ROWS_AT_ONCE} rows are selected. Narrow the list with its filters; nothing was done."
            )
            model_admin.message_user(request, text, messages.ERROR)
            return None
        back = reverse(f"admin:{model_admin._url_name('changelist')}")
        return model_admin.confirmation(request, decision, rows, decision.form(), back=back, many=True)

    return ask


def _as_run(
    model_admin: LedgerAdmin,
    request: HttpRequest,
    queryset: "QuerySet[Any]",
    make: "Callable[[QuerySet[Any], str], Model]",
) -> HttpResponseBase | None:
    """Make a run of the rows, and lead to its page."""
    try:
        run = make(queryset, request.user.get_username())
    except NotPossible as impossible:
        model_admin.message_user(request, str(impossible), messages.ERROR)
        return None
    model_admin.log_addition(request, run, "Made from the rows selected in a list.")
    return HttpResponseRedirect(page_of(run))


def run_action(
    model_admin: LedgerAdmin, request: HttpRequest, rows: Sequence[Any], decision: Decision, answers: dict[str, Any]
) -> Outcome:
    """Carry out a decision on each row, keep who and why in its History, and say how many did and did not, and why."""
    refused: list[str] = []
    for row in rows:
        seen = {"seen": request.POST.get(f"seen-{row.pk}", "")} if decision.seen else {}
        try:
            learnt = _ask_vendor(decision, row, answers)
            with transaction.atomic():
                decision.decide(row.pk, by=request.user.get_username(), **answers, **seen, **learnt)
                model_admin.log_change(request, row, in_history(decision.label, answers))
        except NotPossible as impossible:
            refused.append(f"{row}: {impossible}")
    outcome = Outcome(len(rows) - len(refused), tuple(refused))
    _report(model_admin, request, decision, outcome)
    return outcome


def _ask_vendor(decision: Decision, row: Any, answers: dict[str, Any]) -> dict[str, Any]:
    if decision.asks is None:
        return {}
    return decision.asks(row.pk, **{name: answer for name, answer in answers.items() if name != "reason"})


def in_history(what: str, answers: dict[str, Any]) -> str:
    """Write what History keeps: the decision, what was answered with it, and the reason."""
    details = [
        f"{name.replace('_', ' ')} {value}" for name, value in answers.items() if name != "reason" and value != ""
    ]
    said = f"{what} ({', '.join(details)})" if details else what
    return f"{said}. Reason: {answers['reason']}" if answers.get("reason") else f"{said}."


def _report(model_admin: LedgerAdmin, request: HttpRequest, decision: Decision, outcome: Outcome) -> None:
    options = model_admin.opts
    if outcome.done:
        noun = options.verbose_name if outcome.done == 1 else options.verbose_name_plural
        model_admin.message_user(request, f"{outcome.done} {noun} {decision.done}.", messages.SUCCESS)
    for text in outcome.refused[:SAMPLE]:
        model_admin.message_user(request, f"Not done: {text}", messages.WARNING)
    if len(outcome.refused) > SAMPLE:
        more = len(outcome.refused) - SAMPLE
        model_admin.message_user(request, f"Not done: {more} more, for reasons like these.", messages.WARNING)
