"""The console's pages of events: what came, what became of it, what a person can do about it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from integration_project import clock, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, LedgerAdmin, ReasonForm
from integration_project.models import WebhookRefusal
from integration_project.showing import Link, Panel, Story, Text, Tone
from paddle_sync import bulk, intake, personal, rehearsing
from paddle_sync.accounts import ACCOUNT_CONFLICT
from paddle_sync.admin import event_story, rehearsals
from paddle_sync.models import AccountLink, EventAttempt, WebhookEvent, WebhookPayload

State = WebhookEvent.State
TONES: dict[str, Tone] = {
    State.RECEIVED: "calm",
    State.PROCESSING: "calm",
    State.PROCESSED: "good",
    State.IGNORED: "calm",
    State.PARKED: "wait",
    State.FAILED: "bad",
}
OTHER_EVENTS = 25
# Search words find a row by an index, never by reading the table: the prefix of a Paddle id says which column to ask.
COLUMN_OF_PREFIX = {"evt_": "event_id", "sub_": "paddle_subscription_id", "txn_": "subject_id"}


def use_account(event_id: int, *, by: str, reason: str) -> None:
    """Have the subscription of a parked event take the account that is in its way."""
    event = WebhookEvent.objects.get(pk=event_id)
    if AccountLink.objects.filter(paddle_subscription_id=event.paddle_subscription_id).exists():
        raise NotPossible("The subscription is linked by now. Link it to another account from its account link.")
    subscription_id, code = event.paddle_subscription_id, event.waiting_for_key
    intake.ask_to_relink(subscription_id, code, by=by, reason=reason, source=event.source)


class WaitingForFilter(admin.SimpleListFilter):
    """Parked events by the kind of thing they wait for."""

    title = "waiting for"
    parameter_name = "waiting_for"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the kinds that some parked event waits for."""
        kinds = WebhookEvent.objects.filter(state=State.PARKED).order_by("waiting_for_kind")
        return [(kind, kind) for kind in kinds.values_list("waiting_for_kind", flat=True).distinct()[:20] if kind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> QuerySet[WebhookEvent]:
        """Keep what waits for the chosen kind; the link from an event adds which one."""
        return queryset.filter(state=State.PARKED, waiting_for_kind=self.value()) if self.value() else queryset


class AgeFilter(admin.SimpleListFilter):
    """Events by when they came."""

    title = "received"
    parameter_name = "received"
    choices_of_age = (("hour", "in the last hour"), ("day", "in the last 24 hours"), ("older", "more than a day ago"))

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Offer three ages."""
        return self.choices_of_age

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> QuerySet[WebhookEvent]:
        """Keep what came at the chosen time."""
        if self.value() not in dict(self.choices_of_age):
            return queryset
        moment = clock.now() - (timedelta(hours=1) if self.value() == "hour" else timedelta(days=1))
        # Ids rise with time and have an index, the time has none: one short look backwards finds where to cut.
        older = (
            WebhookEvent.objects.filter(received_at__lt=moment).order_by("-id").values_list("pk", flat=True).first()
            or 0
        )
        return queryset.filter(pk__lte=older) if self.value() == "older" else queryset.filter(pk__gt=older)


class ReplayedFilter(admin.SimpleListFilter):
    """Events that ran again because somebody wanted it."""

    title = "replayed"
    parameter_name = "replayed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer yes and no."""
        return [("yes", "yes"), ("no", "no")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> QuerySet[WebhookEvent]:
        """Keep the chosen ones."""
        if self.value() == "yes":
            return queryset.filter(replays__gt=0)
        return queryset.filter(replays=0) if self.value() == "no" else queryset


@admin.register(WebhookEvent)
class WebhookEventAdmin(LedgerAdmin):
    """What vendors told us; nobody edits it, people replay or ignore it."""

    list_display = (
        "received",
        "event_and_source",
        "subject",
        "state_in_words",
        "waiting_for",
        "tries",
        "error",
    )
    list_display_links = ("received", "event_and_source")
    list_filter = ("state", "failure_kind", "source", WaitingForFilter, AgeFilter, ReplayedFilter)
    search_fields = ("event_id",)
    search_help_text = (
        "An event, subscription, transaction or bill id: a Paddle id, a m3ter id, or a m3ter account code."
    )
    ordering = ("-id",)
    nothing_yet = "Events appear here as soon as Paddle or m3ter sends the first webhook to this address."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("event_id", "notification_id"),
                    ("source", "event_type"),
                    ("subscription", "customer"),
                    ("subject_id", "serial_key"),
                    ("occurred_exactly", "received_exactly"),
                    ("state", "failure_kind"),
                    ("attempts", "replays"),
                    ("due_exactly", "finished_exactly"),
                    ("leased_by", "last_error"),
                )
            },
        ),
    )
    readonly_fields = (
        "subscription",
        "customer",
        "occurred_exactly",
        "received_exactly",
        "due_exactly",
        "finished_exactly",
        "leased_by",
    )
    decisions = (
        Decision(
            name="replay",
            label="Replay",
            permission="paddle_sync.replay_webhookevent",
            effect="The worker runs the event again, by the same function as the first time. What exists already "
            "in m3ter is found and not made twice; what happened before stays on record. What it would do now is tried "
            "out below.",
            done="queued for replay",
            decide=intake.replay,
            offered=lambda event: event.state in intake.REPLAYABLE,
            bulk=True,
            preview=event_story.one_line,
            as_run=lambda events, by: bulk.replay(events, by=by),
        ),
        Decision(
            name="use_account",
            label="Use that account",
            permission="paddle_sync.relink_accountlink",
            effect="You say that the m3ter account with that code is this subscription's. It is noted there, and the "
            "events that wait run again: the account is taken as it is, gets the buyer's name, and the subscription's "
            "plans. Refused where it belongs to another live link, or is billed in another currency.",
            done="queued to be given that account",
            decide=use_account,
            offered=lambda event: event.state == State.PARKED and event.waiting_for_kind == ACCOUNT_CONFLICT,
            preview=event_story.one_line,
        ),
        Decision(
            name="ignore",
            label="Ignore",
            permission="paddle_sync.ignore_webhookevent",
            effect="The event stays undone: nothing will happen in m3ter because of it. It can be replayed later.",
            done="ignored",
            decide=intake.ignore,
            offered=lambda event: event.state in intake.IGNORABLE,
            bulk=True,
            preview=event_story.one_line,
        ),
        Decision(
            name="reveal",
            label="Reveal personal data",
            permission="paddle_sync.reveal_payload",
            effect="The payload is shown once, unmasked, to you. That you looked, and why, is kept in History.",
            done="revealed to you, and that is on record",
            decide=lambda event_id, *, by, reason: None,
        ),
    )

    @admin.display(description="Received", ordering="id")
    def received(self, event: WebhookEvent) -> SafeString:
        """Show when it came."""
        return showing.ago(event.received_at)

    @admin.display(description="Subscription or bill")
    def subject(self, event: WebhookEvent) -> SafeString:
        """Show what it is about."""
        return showing.copyable(event.paddle_subscription_id or event.subject_id)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, event: WebhookEvent) -> SafeString:
        """Show the state in words and colour."""
        return showing.label(event.get_state_display(), TONES.get(event.state, "calm"))

    @admin.display(description="Waiting for")
    def waiting_for(self, event: WebhookEvent) -> SafeString:
        """Show the missing thing, linked to everything that waits for it."""
        if not event.waiting_for_kind:
            return showing.NOTHING
        return showing.under(event.waiting_for_kind, event.waiting_for_key)

    @admin.display(description="Event", ordering="event_type")
    def event_and_source(self, event: WebhookEvent) -> SafeString:
        """Show what happened and who said so."""
        return showing.under(event.event_type, event.get_source_display())

    @admin.display(description="Attempts", ordering="attempts")
    def tries(self, event: WebhookEvent) -> SafeString:
        """Show how often it ran, and when it runs next."""
        if event.state not in (State.RECEIVED, State.PROCESSING) or event.due_at is None:
            return showing.under(event.attempts, "")
        return showing.under(event.attempts, f"next {showing.relative(event.due_at)}")

    @admin.display(description="Last error or note")
    def error(self, event: WebhookEvent) -> SafeString:
        """Show the last words about it."""
        return showing.line(event.last_error or event.note)

    @admin.display(description="Subscription")
    def subscription(self, event: WebhookEvent) -> SafeString:
        """Show the subscription, linked to Paddle's own page."""
        return showing.paddle_id(event.paddle_subscription_id)

    @admin.display(description="Customer")
    def customer(self, event: WebhookEvent) -> SafeString:
        """Show the customer, linked to Paddle's own page."""
        return showing.paddle_id(event.paddle_customer_id)

    occurred_exactly = showing.moment("occurred_at", description="Happened")
    received_exactly = showing.moment("received_at", description="Received")
    due_exactly = showing.moment("due_at", description="Next attempt")
    finished_exactly = showing.moment("finished_at", description="Finished")

    # --- Finding ------------------------------------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent], search_term: str
    ) -> tuple[QuerySet[WebhookEvent], bool]:
        """Find by exact id, through an index: which one, the id itself says."""
        word = search_term.strip()
        if not word:
            return queryset, False
        if column := COLUMN_OF_PREFIX.get(word[:4]):
            also = Q(subject_id=word) if column == "paddle_subscription_id" else Q()
            return queryset.filter(Q(**{column: word}) | also), False
        about = Q(m3ter_account_id=word) | Q(m3ter_account_code=word) | Q(paddle_customer_id=word)
        subscriptions = list(AccountLink.objects.filter(about).values_list("paddle_subscription_id", flat=True)[:100])
        found = Q(event_id=word) | Q(subject_id=word) | Q(paddle_subscription_id__in=[*subscriptions, word])
        return queryset.filter(found), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Jump to the row when a search finds exactly one."""
        response = super().changelist_view(request, extra_context)
        if request.method == "GET" and request.GET.get("q") and isinstance(response, TemplateResponse):
            found = response.context_data["cl"].result_list if response.context_data else []
            if len(found) == 1:
                return HttpResponseRedirect(showing.page_of(found[0]))
        return response

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        views = [
            Link("Needs attention", _filtered(state__in="parked,failed")),
            Link("Waiting for a mapping", _filtered(waiting_for="price")),
            Link("Failed today", _filtered(state__exact="failed", received="day")),
            Link("Not done yet", _filtered(state__in="received,processing")),
        ]
        if request.user.has_perm("integration_project.view_webhookrefusal"):
            views.append(Link("Rejected signatures", showing.list_of(WebhookRefusal)))
        return views

    # --- Trying out a replay ------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add where a dry run is asked for, and where it is seen."""
        ask, see = self.admin_site.admin_view(self.rehearse_view), self.admin_site.admin_view(self.rehearsal_view)
        return [
            path("rehearse/", ask, name=self._url_name("rehearse")),
            path("rehearsal/<uuid:batch>/", see, name=self._url_name("rehearsal")),
            *super().get_urls(),
        ]

    def beside(
        self, request: HttpRequest, decision: Decision, rows: Sequence[WebhookEvent], form: ReasonForm
    ) -> dict[str, Any]:
        """Offer the dry run beside a replay."""
        if decision.name != "replay" or not rows:
            return {}
        url = reverse(f"admin:{self._url_name('rehearse')}")
        return {"rehearsal": rehearsals.offer(rows, url=url, at_once=not form.is_bound)}

    def rehearse_view(self, request: HttpRequest) -> HttpResponse:
        """Have a worker make a dry run of these events; whoever may replay may ask."""
        replay = self.decision(request, "replay")
        if request.method != "POST":
            return HttpResponseRedirect(reverse(f"admin:{self._url_name('changelist')}"))
        keys = [key for key in request.POST.getlist("row")[: rehearsing.SAMPLE] if key.isdecimal()]
        events = [event for event in self.get_queryset(request).filter(pk__in=keys) if replay.offered(event)]
        if not events:
            raise Http404
        batch = rehearsing.ask([event.pk for event in events], by=request.user.get_username())
        return HttpResponseRedirect(reverse(f"admin:{self._url_name('rehearsal')}", args=(batch,)))

    def rehearsal_view(self, request: HttpRequest, batch: UUID) -> HttpResponse:
        """Show what came of a dry run, or that it is being made."""
        replay = self.decision(request, "replay")
        rows = list(rehearsing.of_batch(batch))
        if not rows:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": "Dry run",
            "opts": self.opts,
            "back": self.decision_url(replay, rows[0].event) if len(rows) == 1 else "",
            **rehearsals.page(rows),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/rehearsal.html", context)

    # --- One event ----------------------------------------------------------------------------------------------------

    def story(self, request: HttpRequest, row: WebhookEvent) -> Story:
        """Say what happened, what that means and what to do."""
        return event_story.story(row)

    def links(self, request: HttpRequest, row: WebhookEvent) -> Sequence[Link]:
        """Offer the form that adds what is missing, and everything that waits for the same."""
        found: list[Link] = []
        if row.state != State.PARKED:
            return found
        form = event_story.mapping_form(row)
        if form and request.user.has_perm("paddle_sync.add_planmapping"):
            found.append(Link(f"Map this {row.waiting_for_kind}", form, strong=True))
        waiting = _filtered(waiting_for=row.waiting_for_kind, waiting_for_key=row.waiting_for_key)
        count = event_story.also_waiting(row) + 1
        label = f"Show the {count} event{'s' if count > 1 else ''} waiting for it"
        found.append(Link(label, waiting))
        return found

    def panels(self, request: HttpRequest, row: WebhookEvent) -> Sequence[Panel | Text]:
        """Give attempts with their vendor calls, decisions, the masked payload and the subscription's other events."""
        parts: list[Panel | Text] = [_attempts(row), _decisions(row), self._payload(request, row)]
        if row.paddle_subscription_id:
            parts.append(_others(row))
        return parts

    def _payload(self, request: HttpRequest, row: WebhookEvent) -> Text:
        payload = WebhookPayload.objects.filter(event=row).first()
        if payload is None:
            return Text("Payload", "The payload is not kept any more.")
        data = personal.readable(payload.body)
        if getattr(request, "payload_revealed", False):
            return Text("Payload", showing.readable_json(data), note="Unmasked. That you looked is on record.")
        note = "Personal data is masked. Whoever may see it can reveal it with a reason; that is kept in History."
        return Text("Payload", showing.readable_json(personal.masked(data, event_type=row.event_type)), note=note)

    def after_decision(self, request: HttpRequest, row: WebhookEvent, decision: Decision) -> HttpResponse | None:
        """Show the payload unmasked in the answer to the confirmed request, and nowhere else."""
        if decision.name != "reveal":
            return None
        request.payload_revealed = True  # type: ignore[attr-defined]
        request.method = "GET"
        return self.change_view(request, str(row.pk))


def _filtered(**filters: str) -> str:
    return showing.list_of(WebhookEvent, urlencode(filters))


def _attempts(event: WebhookEvent) -> Panel:
    attempts = EventAttempt.objects.filter(event=event).order_by("-id")[:50]
    return Panel(
        "Attempts and vendor calls",
        ("No.", "When", "Took", "Left as", "In words", "Calls"),
        [
            (
                attempt.number,
                showing.at(attempt.started_at),
                f"{(attempt.finished_at - attempt.started_at).total_seconds():.2f} s",
                attempt.outcome,
                attempt.detail or "-",
                showing.calls(attempt.calls),
            )
            for attempt in attempts
        ],
        empty="The worker has not run it yet.",
    )


def _decisions(event: WebhookEvent) -> Panel:
    return Panel(
        "What people decided",
        ("When", "What", "Who", "Why"),
        [
            (showing.at(each.at), each.action, each.by, each.reason or "-")
            for each in event.decisions.order_by("-id")[:50]
        ],
        empty="Nobody has replayed or ignored it.",
    )


def _others(event: WebhookEvent) -> Panel:
    others = WebhookEvent.objects.filter(paddle_subscription_id=event.paddle_subscription_id).exclude(pk=event.pk)
    return Panel(
        f"Other events of {event.paddle_subscription_id}",
        ("Happened", "Event", "State", "In words"),
        [
            (
                showing.at(other.occurred_at),
                showing.row_link(other, other.event_type),
                showing.label(other.get_state_display(), TONES.get(other.state, "calm")),
                showing.line(other.last_error or other.note),
            )
            for other in others.order_by("-occurred_at", "-event_id")[:OTHER_EVENTS]
        ],
        empty="This is the only event of the subscription so far.",
        more=Link(
            "All events of this subscription",
            _filtered(paddle_subscription_id=event.paddle_subscription_id),
        ),
    )
