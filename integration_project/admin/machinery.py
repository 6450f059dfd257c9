"""The console's read-only pages of the machinery: circuits, budgets, workers, the schedule, django-q2's jobs."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from integration_project import clock, showing
from integration_project.ledger_admin import LedgerAdmin
from integration_project.models import CallBudget, Circuit, Heartbeat, ScheduledJob, WebhookRefusal
from integration_project.showing import Story

ALIVE = timedelta(seconds=15)

# Their own pages let people resubmit and schedule any function.
for model in (Success, Failure, OrmQ, Schedule):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(Circuit)
class CircuitAdmin(LedgerAdmin):
    """Whether each vendor may be called."""

    list_display = ("vendor", "what", "state_in_words", "detail", "opened", "next_try", "last_success")
    list_filter = ("vendor", "is_open")
    nothing_yet = "A row appears with the first call to a vendor."

    @admin.display(description="Operation", ordering="operation")
    def what(self, circuit: Circuit) -> str:
        """Name the operation."""
        return circuit.operation or "everything"

    @admin.display(description="May be called", ordering="is_open")
    def state_in_words(self, circuit: Circuit) -> SafeString:
        """Say whether it may be called."""
        return showing.label("No: work waits", "bad") if circuit.is_open else showing.label("Yes", "good")

    @admin.display(description="Since")
    def opened(self, circuit: Circuit) -> SafeString:
        """Show when it opened."""
        return showing.ago(circuit.opened_at) if circuit.is_open else showing.NOTHING

    @admin.display(description="Next try")
    def next_try(self, circuit: Circuit) -> SafeString:
        """Show when one call may try again."""
        return showing.ago(circuit.probe_at) if circuit.is_open else showing.NOTHING

    @admin.display(description="Last success")
    def last_success(self, circuit: Circuit) -> SafeString:
        """Show when it last answered."""
        return showing.ago(circuit.last_success_at)

    def story(self, request: HttpRequest, row: Circuit) -> Story:
        """Say what an open circuit means."""
        if not row.is_open:
            return Story("good", f"{row.vendor} may be called.")
        what = f"{row.vendor} refuses {row.operation or 'our key'}: {row.detail}"
        when = f"One call tries again {showing.relative(row.probe_at)}." if row.probe_at else ""
        return Story(
            "bad", what, f"Work that needs it waits; nothing is lost. {when}", "Correct the key or its permissions."
        )


@admin.register(CallBudget)
class CallBudgetAdmin(LedgerAdmin):
    """How many calls each vendor may still get, and how many each API key may still make."""

    list_display = ("vendor", "purpose", "left", "burst", "per_minute")
    nothing_yet = "A row appears with the first call to a vendor, or of an API key."

    @admin.display(description="Left when last counted")
    def left(self, budget: CallBudget) -> str:
        """Show what was left."""
        return f"{budget.tokens:.1f}"

    @admin.display(description="Burst")
    def burst(self, budget: CallBudget) -> str:
        """Show the most calls at once."""
        return f"{budget.capacity:.0f}"

    @admin.display(description="A minute")
    def per_minute(self, budget: CallBudget) -> str:
        """Show the rate."""
        return f"{budget.rate * 60:.0f}"


@admin.register(Heartbeat)
class HeartbeatAdmin(LedgerAdmin):
    """Which workers are alive."""

    list_display = ("name", "alive", "seen", "started")
    ordering = ("-seen_at",)
    nothing_yet = "No worker has ever run. Start one with: python manage.py serve, or python manage.py worker."

    @admin.display(description="Alive")
    def alive(self, heartbeat: Heartbeat) -> SafeString:
        """Say whether it is alive."""
        fresh = heartbeat.seen_at > clock.now() - ALIVE
        return showing.label("Alive", "good") if fresh else showing.label("Silent", "bad")

    @admin.display(description="Seen", ordering="seen_at")
    def seen(self, heartbeat: Heartbeat) -> SafeString:
        """Show when it last spoke."""
        return showing.ago(heartbeat.seen_at)

    @admin.display(description="Started", ordering="started_at")
    def started(self, heartbeat: Heartbeat) -> SafeString:
        """Show when it began."""
        return showing.ago(heartbeat.started_at)


@admin.register(ScheduledJob)
class ScheduledJobAdmin(LedgerAdmin):
    """When recurring work ran and runs next."""

    list_display = ("name", "next_run", "last_start", "last_end", "said")
    ordering = ("name",)
    nothing_yet = "The schedule is written by the first worker that runs."

    @admin.display(description="Next", ordering="due_at")
    def next_run(self, job: ScheduledJob) -> SafeString:
        """Show when it runs next."""
        return showing.ago(job.due_at)

    @admin.display(description="Last start", ordering="started_at")
    def last_start(self, job: ScheduledJob) -> SafeString:
        """Show when it last began."""
        return showing.ago(job.started_at)

    @admin.display(description="Last end", ordering="finished_at")
    def last_end(self, job: ScheduledJob) -> SafeString:
        """Show when it last ended."""
        return showing.ago(job.finished_at)

    @admin.display(description="Said")
    def said(self, job: ScheduledJob) -> SafeString:
        """Show its last words."""
        return showing.line(job.result)


@admin.register(WebhookRefusal)
class WebhookRefusalAdmin(LedgerAdmin):
    """Requests that were turned away, by reason and day; nothing of them is kept."""

    list_display = ("day", "source", "reason", "count", "last")
    list_filter = ("source", "reason")
    date_hierarchy = "day"
    ordering = ("-day", "source")
    nothing_yet = "No webhook was ever refused. A wrong signature, an old one, or none at all would be counted here."

    @admin.display(description="Last", ordering="last_at")
    def last(self, refusal: WebhookRefusal) -> SafeString:
        """Show when it last happened."""
        return showing.ago(refusal.last_at)


@admin.register(Failure, Success)
class JobAdmin(LedgerAdmin):
    """A job of django-q2, which runs the work and remembers nothing: for engineers."""

    list_display = ("name", "func", "begun", "ended", "in_words")
    ordering = ("-started",)
    fields = ("name", "func", "begun", "ended", "in_words")
    readonly_fields = ("begun", "ended", "in_words")
    search_fields = ("name__exact", "func__exact")
    nothing_yet = "No job ran yet."

    @admin.display(description="Begun", ordering="started")
    def begun(self, job: Any) -> SafeString:
        """Show when it began."""
        return showing.ago(job.started)

    @admin.display(description="Ended", ordering="stopped")
    def ended(self, job: Any) -> SafeString:
        """Show when it ended."""
        return showing.ago(job.stopped)

    @admin.display(description="In words")
    def in_words(self, job: Any) -> SafeString:
        """Show what it said."""
        return showing.line(str(job.result or ""), 200)


@admin.register(OrmQ)
class WaitingJobAdmin(LedgerAdmin):
    """A wake-up that waits for a worker; may be lost without harm."""

    list_display = ("id", "key", "task", "locked_until")
    fields = ("key", "task", "locked_until")
    readonly_fields = ("task", "locked_until")
    ordering = ("-id",)
    nothing_yet = "No wake-up waits for a worker."

    @admin.display(description="Job")
    def task(self, row: OrmQ) -> str:
        """Name the job; what cannot be read is said to be so, not run."""
        try:
            return str(row.func())
        except Exception:  # noqa: BLE001 - a payload signed with another key, or broken: the row itself is all there is
            return "not readable"

    @admin.display(description="Not before")
    def locked_until(self, row: OrmQ) -> SafeString:
        """Show when a worker may take it."""
        return showing.ago(row.lock)
