"""A table that holds nothing but work; what other tables have besides would be measured with the engine otherwise."""

from django.db import models
from django.db.models import Q

from integration_project import work


class NoopRow(work.WorkItem):
    """A row that needs nothing done."""

    state = models.CharField(max_length=12, default="received")

    class Meta:
        app_label = "benchmarks"
        db_table = "benchmark_noop_row"
        constraints = (
            models.UniqueConstraint(
                fields=("serial_key",), condition=Q(state="processing") & ~Q(serial_key=""), name="noop_one_per_key"
            ),
        )
        indexes = (
            models.Index(fields=("due_at", "id"), condition=Q(state="received"), name="noop_due"),
            models.Index(fields=("lease_until",), condition=Q(state="processing"), name="noop_leased"),
        )

    def __str__(self) -> str:
        return f"row {self.pk}"


ROWS = work.Queue(
    name="noop rows",
    model=NoopRow,
    ready=("received",),
    running="processing",
    job="tests.benchmarks.noop_rows.drain_rows",
)


def drain_rows() -> str:
    """Do what is due."""
    return f"{work.drain(ROWS, settle)} rows"


def settle(row: NoopRow) -> None:
    """Do nothing, and say so."""
    work.settle(row, state="processed")
