"""The console's pages of bulk runs: what one would do, how far it is, and what a person decides about it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_project import installation, showing
from integration_project.ledger_admin import SAMPLE, Decision, LedgerAdmin, ReasonForm, in_history
from integration_project.showing import Link, Panel, Right, Story, Text, Tone
from paddle_sync import bulk, existing
from paddle_sync.models import BulkItem, BulkRun

State = BulkRun.State
Outcome = BulkItem.Outcome
TONES: dict[str, Tone] = {
    State.PREPARING: "calm",
    State.PREVIEWED: "wait",
    State.RUNNING: "calm",
    State.PAUSED: "wait",
    State.CANCELLED: "calm",
    State.DONE: "good",
    State.FAILED: "bad",
}
OUTCOME_TONES: dict[str, Tone] = {
    Outcome.CHANGED: "good",
    Outcome.PARKED: "wait",
    Outcome.FAILED: "bad",
}
NOUNS = {
    BulkRun.Kind.IMPORT: "subscriptions",
    BulkRun.Kind.REPLAY: "events",
    BulkRun.Kind.MOVE: "subscriptions",
}
BEGIN = "paddle_sync.begin_bulkrun"
STEER = "paddle_sync.steer_bulkrun"


class ImportForm(ReasonForm):
    """Where existing subscriptions are read from."""

    field_order = ("source", "reason")
    source = forms.ChoiceField(
        label="Read them from",
        choices=lambda: [(name, source.label) for name, source in existing.SOURCES.items() if source.is_on()],
        widget=forms.Select(attrs={"class": "c-input"}),
    )


IMPORT = Decision(
    name="import",
    label="Import existing subscriptions",
    permission=BEGIN,
    effect="A worker reads every subscription that is not cancelled and says here what would become of each. Nothing "
    "is changed in m3ter before you have seen that and begun it.",
    done="asked for",
    decide=existing.ask,
    form=ImportForm,
)


def is_in(*states: BulkRun.State) -> Any:
    """Offer a decision while a run is in one of these states."""
    return lambda run: run.state in states


@admin.register(BulkRun)
class BulkRunAdmin(LedgerAdmin):
    """Things done to many subscriptions or events at once, gradually."""

    list_display = ("asked_for", "title", "kind", "state_in_words", "by", "finished")
    list_display_links = ("asked_for", "title")
    list_filter = ("state", "kind")
    ordering = ("-id",)
    nothing_yet = (
        "An import of existing subscriptions, a replay of many events, or a move to a mapping appears here with "
    )
    "its progress."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("title", "kind"),
                    ("state", "by"),
                    ("reason", "note"),
                    ("asked_exactly", "listed_exactly"),
                    ("started_exactly", "finished_exactly"),
                )
            },
        ),
    )
    readonly_fields = ("asked_exactly", "listed_exactly", "started_exactly", "finished_exactly")
    decisions = (
        Decision(
            name="begin",
            label="Begin",
            permission=BEGIN,
            effect="A worker does this, a few hundred at a time. The run can be paused and cancelled; what was begun "
            "by then stays done.",
            done="begun",
            decide=bulk.start,
            offered=is_in(State.PREVIEWED),
            strong=True,
        ),
        Decision(
            name="look_again",
            label="Look again",
            permission=BEGIN,
            effect="A worker reads the list anew and says anew what would become of each. Nothing is changed in m3ter.",
            done="to be looked at again",
            decide=existing.look_again,
            offered=lambda run: run.kind == BulkRun.Kind.IMPORT and run.state == State.PREVIEWED,
        ),
        Decision(
            name="pause",
            label="Pause",
            permission=STEER,
            effect="No further item is begun until somebody continues the run. What was begun is finished.",
            done="paused",
            decide=bulk.pause,
            offered=is_in(State.RUNNING),
        ),
        Decision(
            name="continue",
            label="Continue",
            permission=STEER,
            effect="The run goes on where it was paused.",
            done="continued",
            decide=bulk.go_on,
            offered=is_in(State.PAUSED),
            strong=True,
        ),
        Decision(
            name="cancel",
            label="Cancel the run",
            permission=STEER,
            effect="No further item is begun, ever; those stay untouched and are marked as skipped. What was begun "
            "stays done.",
            done="cancelled",
            decide=bulk.cancel,
            offered=is_in(*bulk.UNFINISHED),
        ),
    )

    asked_exactly = showing.moment("created_at", description="Asked for")
    listed_exactly = showing.moment("listed_at", description="Everything listed")
    started_exactly = showing.moment("started_at", description="Begun")
    finished_exactly = showing.moment("finished_at", description="Finished")

    @admin.display(description="Asked for", ordering="id")
    def asked_for(self, run: BulkRun) -> SafeString:
        """Show when somebody asked for it."""
        return showing.ago(run.created_at)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, run: BulkRun) -> SafeString:
        """Show the state in words and colour."""
        return showing.label(run.get_state_display(), TONES.get(run.state, "calm"))

    @admin.display(description="Finished", ordering="finished_at")
    def finished(self, run: BulkRun) -> SafeString:
        """Show when it was through."""
        return showing.ago(run.finished_at)

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Offer the import to those who may ask for it."""
        if not request.user.has_perm(BEGIN):
            return ()
        return (Link(IMPORT.label, reverse("admin:paddle_sync_bulkrun_import"), strong=True),)

    # --- Asking for an import -----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the page that asks for an import."""
        view = self.admin_site.admin_view(self.import_view)
        return [path("import/", view, name="paddle_sync_bulkrun_import"), *super().get_urls()]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Ask where from and why, and lead to the page of the new run; no vendor is called from here."""
        if not request.user.has_perm(BEGIN):
            raise PermissionDenied
        form = ImportForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            run = existing.ask(by=request.user.get_username(), **form.cleaned_data)
            self.log_addition(request, run, in_history(IMPORT.label, form.cleaned_data))
            return HttpResponseRedirect(showing.page_of(run))
        context = {
            **self.admin_site.each_context(request),
            "title": IMPORT.label,
            "opts": self.opts,
            "decision": IMPORT,
            "count": 1,
            "form": form,
            "back": reverse("admin:paddle_sync_bulkrun_changelist"),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    # --- One run ------------------------------------------------------------------------------------------------------

    def under_way(self, row: BulkRun) -> bool:
        """While it is being prepared or done."""
        return row.state in (State.PREPARING, State.RUNNING)

    def story(self, request: HttpRequest, row: BulkRun) -> Story:
        """Say what it is doing, what that means, and what to do next."""
        reached = bulk.progress(row)
        tone = TONES.get(row.state, "calm")
        match row.state:
            case State.PREPARING:
                effect = row.note or f"{reached.total} listed so far. Nothing has been changed."
                return Story("wait" if row.note else tone, f"A worker prepares this: {row.title}.", effect)
            case State.PREVIEWED:
                cause = (
                    f"{row.title}: {existing.to_begin(row)} of {reached.total} {NOUNS[BulkRun.Kind(row.kind)]} to do."
                )
                next_step = "Look at what would be done below; then begin it, have it looked at again, or cancel it."
                if row.kind != BulkRun.Kind.IMPORT:
                    next_step = "Look at what would be done below; then begin it, or cancel it."
                return Story(tone, cause, f"Nothing has been changed. {self._about_go_live(row)}", next_step)
            case State.DONE if reached.left_for_a_person:
                left = (
                    f"{reached.left_for_a_person} are left for a person: parked ones go on by themselves once what they"
                )
                return Story("wait", f"{reached}.", f"{left} wait for is there.", "Look at them below.")
            case State.PAUSED:
                return Story(tone, f"Paused. {reached}.", "No further item is begun.", "Continue it, or cancel it.")
            case State.FAILED | State.CANCELLED:
                return Story(tone, row.note or f"{reached}.", f"{reached}.")
            case _:
                return Story(tone, f"{reached}.", f"{row.title}, begun by {row.by}.")

    @staticmethod
    def _about_go_live(run: BulkRun) -> str:
        return existing.about_go_live(installation.current()) if run.kind == BulkRun.Kind.IMPORT else ""

    def panels(self, request: HttpRequest, row: BulkRun) -> Sequence[Panel | Text]:
        """Give the bar, what is foreseen, and a sample of what went wrong."""
        parts: list[Panel | Text] = [_progress(row)]
        if row.kind == BulkRun.Kind.IMPORT:
            parts.append(_foreseen(row))
        parts.append(_left(row))
        return parts

    def confirmation(
        self, request: HttpRequest, decision: Decision, rows: Sequence[Any], form: ReasonForm, *, back: str, many: bool
    ) -> TemplateResponse:
        """Before a run is begun, name how many items it is about, and show a sample of them."""
        response = super().confirmation(request, decision, rows, form, back=back, many=many)
        if decision.name != "begin" or response.context_data is None:
            return response
        (run,) = rows
        count = existing.to_begin(run)
        waiting = run.items.filter(outcome=Outcome.WAITING).exclude(verdict__in=bulk.NOTHING_TO_DO)
        response.context_data.update(
            many=True,
            noun=NOUNS[BulkRun.Kind(run.kind)],
            count=count or 1,
            sample=[f"{item.subject}: {item.note}" for item in waiting.order_by("position")[:SAMPLE]],
            beyond_sample=max(0, count - SAMPLE),
        )
        if not count:
            response.context_data.update(many=False, sample=["Nothing is to be done; the run only ends."])
        return response


@admin.register(BulkItem)
class BulkItemAdmin(LedgerAdmin):
    """Every subscription or event of a run."""

    list_display = ("the_subject", "the_run", "verdict_in_words", "about", "outcome_in_words", "the_event", "in_words")
    list_filter = ("outcome", "verdict")
    list_select_related = ("run", "event")
    search_fields = ("subject__exact",)
    search_help_text = "The id of a subscription, or the number of an event."
    ordering = ("run", "position")
    nothing_yet = "What a bulk run is about is listed here, one by one."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("the_run", "position"),
                    ("the_subject", "about"),
                    ("verdict", "outcome"),
                    ("the_event", "note"),
                )
            },
        ),
    )
    readonly_fields = ("the_run", "the_subject", "the_event")

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkItem]:
        """Read no payload for a list."""
        return super().get_queryset(request).defer("params")

    @admin.display(description="Subscription or event", ordering="subject")
    def the_subject(self, item: BulkItem) -> SafeString:
        """Show what it is about."""
        return showing.paddle_id(item.subject)

    @admin.display(description="Run")
    def the_run(self, item: BulkItem) -> SafeString:
        """Link to the run."""
        return showing.row_link(item.run)

    @admin.display(description="Foreseen", ordering="verdict")
    def verdict_in_words(self, item: BulkItem) -> str:
        """Show what would become of it."""
        return str(item.get_verdict_display()).partition(":")[0]

    @admin.display(description="Outcome", ordering="outcome")
    def outcome_in_words(self, item: BulkItem) -> SafeString:
        """Show what became of it."""
        return showing.label(item.get_outcome_display(), OUTCOME_TONES.get(item.outcome, "calm"))

    @admin.display(description="Event")
    def the_event(self, item: BulkItem) -> SafeString:
        """Link to the event that did it."""
        return showing.row_link(item.event, item.event.event_type if item.event else "")

    @admin.display(description="In words")
    def in_words(self, item: BulkItem) -> SafeString:
        """Show the last words about it."""
        return showing.line(_words(item))


def _words(item: BulkItem) -> str:
    """What is foreseen of an item, or what its event says by now."""
    if item.event is None or item.outcome == Outcome.WAITING:
        return item.note
    return item.event.last_error or item.event.note or item.note


def _items(run: BulkRun, **filters: str) -> str:
    return showing.list_of(BulkItem, urlencode({"run__id__exact": run.pk, **filters}))


def _link(url: str, text: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)


def _progress(run: BulkRun) -> Panel:
    reached = bulk.progress(run)
    counted = [
        (
            showing.label(str(outcome.label), OUTCOME_TONES.get(outcome, "calm")),
            _link(_items(run, outcome__exact=outcome.value), reached.of(outcome)),
        )
        for outcome in Outcome
        if reached.of(outcome)
    ]
    bar = format_html('<progress max="{}" value="{}">{}</progress>', reached.total or 1, reached.done, str(reached))
    whole = [(bar, f"{reached.done} of {reached.total} done")] if reached.total else []
    return Panel("How far it is", ("", Right("Items")), [*whole, *counted], empty="Nothing is listed yet.")


def _foreseen(run: BulkRun) -> Panel:
    return Panel(
        "What was foreseen",
        ("What", "About", Right("Subscriptions"), "For example"),
        [
            (
                line.label,
                line.about or "-",
                _link(_items(run, verdict__exact=line.verdict, about=line.about), line.count),
                showing.line("; ".join(f"{item.subject}: {item.note}" for item in line.sample[:1]), 160),
            )
            for line in existing.foreseen(run, sample=1)
        ],
        empty="Nothing has been looked at yet.",
    )


def _left(run: BulkRun) -> Panel:
    left = run.items.filter(outcome__in=(Outcome.FAILED, Outcome.PARKED)).select_related("event").defer("params")
    return Panel(
        "Left for a person",
        ("Subscription or event", "Outcome", "Event", "In words"),
        [
            (
                showing.paddle_id(item.subject),
                showing.label(item.get_outcome_display(), OUTCOME_TONES.get(item.outcome, "calm")),
                _event_link(item),
                showing.line(_words(item), 160),
            )
            for item in left.order_by("outcome", "position")[:SAMPLE]
        ],
        empty="Nothing failed, and nothing waits for a person.",
        more=Link("All that failed", _items(run, outcome__exact=Outcome.FAILED.value)),
    )


def _event_link(item: BulkItem) -> SafeString:
    event: Model | None = item.event
    return showing.row_link(event, item.event.event_type if item.event else "")
