"""Files of usage: what was received, what its columns mean, and the rows that were refused."""

from django.db import models
from django.db.models import Q

from integration_project.work_item import WorkItem


class UsageUpload(WorkItem):
    """A file of usage: received whole, checked whole, and sent only then."""

    class State(models.TextChoices):
        RECEIVING = "receiving", "Being received"
        LAYOUT = "layout", "Columns to be confirmed"
        CHECKING = "checking", "Being checked"
        RUNNING = "running", "Being worked on"
        DECIDING = "deciding", "Checked: to be decided"
        SENDING = "sending", "On its way to m3ter"
        DONE = "done", "Sent"
        PAUSED = "paused", "Paused"
        DISCARDED = "discarded", "Discarded: nothing was sent"
        FAILED = "failed", "Cannot be read"

    class OnErrors(models.TextChoices):
        ASK = "ask", "Ask before anything is sent, also where every row is good"
        STOP = "stop", "Send it when every row is good, else ask"
        SEND_GOOD = "send_good", "Send the good rows, whatever else is in it"

    class Via(models.TextChoices):
        CONSOLE = "console", "Console"
        COMMAND = "command", "Command"
        API = "api", "REST API"

    name = models.CharField(max_length=200, help_text="The file's name where it came from.")
    via = models.CharField(max_length=8, choices=Via.choices)
    by = models.CharField(max_length=150, help_text="User, or client of the API.")
    api_key_prefix = models.CharField(max_length=24, blank=True, default="")
    made_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECEIVING)
    was = models.CharField(max_length=10, blank=True, default="", help_text="The state that a pause interrupted.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes received.")
    sha256 = models.CharField(max_length=64, blank=True, default="")
    format = models.CharField(max_length=20, blank=True, default="")
    columns = models.JSONField(default=list, blank=True)
    layout = models.JSONField(null=True, blank=True, help_text="Which column is which field; empty for JSON.")
    on_errors = models.CharField(max_length=10, choices=OnErrors.choices, default=OnErrors.STOP)
    position = models.PositiveBigIntegerField(
        default=0, help_text="Number of the last row that was checked, as a person counts; the next goes on after it."
    )
    bytes_checked = models.PositiveBigIntegerField(default=0, help_text="How much of its bytes that was.")
    rows = models.PositiveBigIntegerField(default=0, help_text="Rows checked so far; blank ones are none.")
    rows_total = models.PositiveBigIntegerField(null=True, blank=True, help_text="Known once all were read.")
    accepted = models.PositiveBigIntegerField(default=0)
    duplicate = models.PositiveBigIntegerField(default=0)
    conflict = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    held = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: wait for an account.")
    late = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: in a period whose bill is approved.")
    on_next = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: for the next bill, after review.")
    rejected_bytes = models.PositiveBigIntegerField(default=0, help_text="What its rejected rows take, not compressed.")
    reasons = models.JSONField(default=dict, blank=True, help_text="Why rows were refused, and how many.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When all its rows had been checked.")
    agreed = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Wrong rows that a person agreed to leave out; more of them are asked about anew.",
    )
    decided_by = models.CharField(max_length=150, blank=True, default="", help_text="Who had it sent, or discarded it.")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, default="")
    note = models.TextField(blank=True, default="", help_text="The outcome in words.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "receiving",
                        "layout",
                        "checking",
                        "running",
                        "deciding",
                        "sending",
                        "done",
                        "paused",
                        "discarded",
                        "failed",
                    )
                ),
                name="upload_state_known",
            ),
        )
        indexes = (
            models.Index(fields=("due_at", "id"), condition=Q(state="checking"), name="upload_due"),
            models.Index(fields=("lease_until",), condition=Q(state="running"), name="upload_leased"),
            models.Index(fields=("sha256",), name="upload_by_hash"),
            models.Index(fields=("state", "-id"), name="upload_by_state"),
        )
        verbose_name = "usage file"
        permissions = (
            ("send_usage", "Can upload usage, and decide about uploaded files and about usage that was not sent"),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.made_at:%Y-%m-%d %H:%M}"

    @property
    def rejected(self) -> int:
        """Rows that are not taken, whatever the reason."""
        return self.refused + self.conflict

    @property
    def can_be_sent(self) -> bool:
        """Whether every row was checked; it is not where so many were wrong that the rest was not looked at."""
        return self.rows_total is not None


class UsageFilePart(models.Model):
    """A piece of a file's bytes, compressed, so that every worker on every host can read it."""

    upload = models.ForeignKey(UsageUpload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("upload", "number"), name="usage_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number} of file {self.upload_id}"


class UsageRejects(models.Model):
    """Rows of a file that were refused, as they stood in it, with the reason: a block at a time, compressed."""

    upload = models.ForeignKey(UsageUpload, on_delete=models.CASCADE, related_name="rejects")
    first_row = models.PositiveBigIntegerField()
    count = models.PositiveIntegerField()
    rows = models.BinaryField(help_text="Compressed JSON lines: row, column, reason, values.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("upload", "first_row"), name="usage_rejects_once"),)

    def __str__(self) -> str:
        return f"{self.count} refused rows of file {self.upload_id}"


class UsageLayout(models.Model):
    """Which column is which field, remembered for the next file with the same header."""

    signature = models.CharField(max_length=64, unique=True, help_text="Hash of the header.")
    columns = models.JSONField()
    layout = models.JSONField()
    by = models.CharField(max_length=150)
    saved_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"layout of {len(self.columns)} columns"
