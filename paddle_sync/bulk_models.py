"""Bulk runs and their items: one thing done to many subscriptions or events, gradually (see bulk.py)."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q


class BulkRun(models.Model):
    """Something done to many subscriptions or events, gradually: prepared, looked at, begun, followed to its end."""

    class Kind(models.TextChoices):
        IMPORT = "import", "Import of existing subscriptions"
        REPLAY = "replay", "Replay of events"
        MOVE = "move", "Move to the mappings in force"

    class State(models.TextChoices):
        PREPARING = "preparing", "Preparing"
        PREVIEWED = "previewed", "Waiting for a decision"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        CANCELLED = "cancelled", "Cancelled"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PREPARING)
    by = models.CharField(max_length=150, help_text="Who asked for it; of one that was begun, who began it.")
    reason = models.TextField(blank=True, default="")
    params = models.JSONField(default=dict, blank=True, help_text="What it is about: a source, a filter.")
    cursor = models.CharField(
        max_length=100, blank=True, default="", help_text="How far the list it is made from has been read."
    )
    listed_at = models.DateTimeField(null=True, blank=True, help_text="When the last page of that list was read.")
    note = models.TextField(blank=True, default="", help_text="What keeps it, or ended it, in words.")
    lease = models.UUIDField(null=True, blank=True, editable=False, help_text="Token of whoever prepares it now.")
    lease_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="When that claim ends.")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=("preparing", "previewed", "running", "paused", "cancelled", "done", "failed")),
                name="bulk_run_state_known",
            ),
        )
        indexes = (
            models.Index(fields=("state",), condition=Q(state__in=("preparing", "running")), name="bulk_run_active"),
        )
        permissions = (
            ("begin_bulkrun", "Can prepare and begin bulk runs"),
            ("steer_bulkrun", "Can pause, continue and cancel bulk runs"),
        )

    def __str__(self) -> str:
        return self.title


class BulkItem(models.Model):
    """One subscription or event of a bulk run: what would become of it, and what did."""

    class Outcome(models.TextChoices):
        WAITING = "waiting", "Waiting"
        BEGUN = "begun", "Begun"
        CHANGED = "changed", "Changed"
        UNCHANGED = "unchanged", "Unchanged"
        PARKED = "parked", "Parked"
        FAILED = "failed", "Failed"
        SKIPPED = "skipped", "Skipped"

    class Verdict(models.TextChoices):
        NONE = "", "-"
        CREATE = "create", "Create: a new account with its plans"
        ADOPT = "adopt", "Adopt: m3ter has its account"
        COMPLETE = "complete", "Complete: its account lacks plans"
        RIGHT = "right", "Already right"
        UNMAPPED = "unmapped", "Unmapped: a price is mapped to nothing"
        CONFLICT = "conflict", "Conflict: an account or a plan is in the way"
        NOT_METERED = "not_metered", "Not metered"
        UNREADABLE = "unreadable", "Unreadable"

    run = models.ForeignKey(BulkRun, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField(help_text="Its place in the run; they are begun in this order.")
    subject = models.CharField(max_length=100, help_text="Id of the subscription, or number of the event, it is about.")
    params = models.JSONField(
        default=dict, blank=True, encoder=DjangoJSONEncoder, help_text="What beginning it needs; no personal data."
    )
    verdict = models.CharField(max_length=12, choices=Verdict.choices, blank=True, default=Verdict.NONE)
    about = models.CharField(
        max_length=120,
        blank=True,
        default="",
        help_text="What is missing or in the way: a price, an account, a product.",
    )
    event = models.ForeignKey(
        "paddle_sync.WebhookEvent", on_delete=models.SET_NULL, null=True, blank=True, related_name="bulk_items"
    )
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.WAITING)
    note = models.TextField(blank=True, default="", help_text="The verdict or the outcome in words.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("run", "subject"), name="bulk_item_once_per_run"),
            models.CheckConstraint(
                condition=Q(outcome__in=("waiting", "begun", "changed", "unchanged", "parked", "failed", "skipped")),
                name="bulk_item_outcome_known",
            ),
        )
        indexes = (
            models.Index(fields=("run", "outcome", "position"), name="bulk_item_by_outcome"),
            models.Index(fields=("run", "verdict", "position"), name="bulk_item_by_verdict"),
            models.Index(
                fields=("outcome", "event"),
                condition=Q(outcome__in=("begun", "parked", "failed")),
                name="bulk_item_unsettled",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject}: {self.get_outcome_display()}"
