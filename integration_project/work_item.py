"""The columns that every row of work carries; apart from the engine, whose own tables stand among those it works on."""

from django.db import models


class WorkItem(models.Model):
    """What a row needs to be worked on exactly once at a time, by any number of processes that may die at any point."""

    due_at = models.DateTimeField(
        null=True, blank=True, help_text="When work on this row may begin; empty = nothing to do."
    )
    attempts = models.PositiveIntegerField(default=0, help_text="How often work on this row has begun.")
    deaths = models.PositiveIntegerField(
        default=0, editable=False, help_text="How many workers in a row were lost while they held it."
    )
    lease = models.UUIDField(null=True, blank=True, editable=False, help_text="Token of whoever works on the row now.")
    lease_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="When that claim ends.")
    leased_by = models.CharField(
        max_length=120, blank=True, default="", editable=False, help_text="Worker that claimed it."
    )
    serial_key = models.CharField(
        max_length=120, blank=True, default="", help_text="At most one row of a key runs at a time; empty = no limit."
    )
    last_error = models.TextField(blank=True, default="", help_text="What went wrong last, in words.")

    class Meta:
        abstract = True
