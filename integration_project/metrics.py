"""Numbers for Prometheus, each read from the database when asked for, so that they hold for all processes and hosts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.db.models import Count, Min, Sum

from integration_project import clock, heartbeats, queues
from integration_project.models import CallBudget, Circuit, Finding, ScheduledJob, WebhookRefusal

FINAL = {"processed", "ignored", "pushed", "skipped", "carried", "superseded", "sent", "dropped"}
"""States in which rows pile up for ever: counting them would mean reading the whole table."""


@dataclass(frozen=True)
class Sample:
    """One number with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A named number, or one per label."""

    name: str
    help: str
    samples: tuple[Sample, ...]
    kind: str = "gauge"


def text() -> str:
    """Write all metrics in Prometheus' text format."""
    return "".join(_written(metric) for metric in _all())


def _all() -> Iterator[Metric]:
    yield Metric("integration_workers", "Workers with a heartbeat.", (Sample(heartbeats.count_alive()),))
    yield from _queues()
    yield Metric("integration_rows", "Rows that are not finished, by state.", tuple(_rows_by_state()))
    yield Metric(
        "integration_findings_open",
        "Open findings.",
        tuple(
            Sample(row["count"], {"kind": row["kind"], "severity": row["severity"]})
            for row in Finding.objects.filter(state=Finding.State.OPEN)
            .values("kind", "severity")
            .annotate(count=Count("pk"))
            .order_by("kind", "severity")
        ),
    )
    yield Metric(
        "integration_circuit_open",
        "1 where a vendor, or an operation of it, may not be called.",
        tuple(
            Sample(int(circuit.is_open), {"vendor": circuit.vendor, "operation": circuit.operation})
            for circuit in Circuit.objects.order_by("vendor", "operation")
        ),
    )
    yield Metric(
        "integration_call_budget_tokens",
        "Calls that were left when the bucket was last counted.",
        tuple(
            Sample(bucket.tokens, {"vendor": bucket.vendor, "purpose": bucket.purpose})
            for bucket in CallBudget.objects.order_by("vendor", "purpose")
        ),
    )
    yield Metric(
        "integration_webhook_refusals_total",
        "Refused webhook requests.",
        tuple(
            Sample(row["total"], {"source": row["source"], "reason": row["reason"]})
            for row in WebhookRefusal.objects.values("source", "reason")
            .annotate(total=Sum("count"))
            .order_by("source", "reason")
        ),
        kind="counter",
    )
    yield Metric(
        "integration_job_finished_timestamp_seconds",
        "When a scheduled job last ended.",
        tuple(
            Sample(job.finished_at.timestamp(), {"job": job.name})
            for job in ScheduledJob.objects.order_by("name")
            if job.finished_at is not None
        ),
    )


def _queues() -> Iterator[Metric]:
    now = clock.now()
    due, oldest, leased = [], [], []
    for queue in queues.all_queues():
        labels = {"queue": queue.name}
        rows = queue.model._default_manager.filter(state__in=queue.ready, due_at__lte=now).aggregate(
            count=Count("pk"), oldest=Min("due_at")
        )
        due.append(Sample(rows["count"], labels))
        oldest.append(Sample((now - rows["oldest"]).total_seconds() if rows["oldest"] else 0.0, labels))
        states = queue.ready if queue.running is None else (queue.running,)
        working = queue.model._default_manager.filter(state__in=states, lease__isnull=False, lease_until__gt=now)
        leased.append(Sample(working.count(), labels))
    yield Metric("integration_queue_due", "Rows that are due.", tuple(due))
    yield Metric("integration_queue_oldest_due_seconds", "How long the oldest due row has waited.", tuple(oldest))
    yield Metric("integration_queue_leased", "Rows that somebody works on.", tuple(leased))


def _rows_by_state() -> Iterator[Sample]:
    for model in dict.fromkeys(queue.model for queue in queues.all_queues()):
        states = [value for value, _ in model._meta.get_field("state").flatchoices if value not in FINAL]
        counts = model._default_manager.filter(state__in=states).values("state").annotate(count=Count("pk"))
        found = {row["state"]: row["count"] for row in counts.order_by("state")}
        for state in states:
            yield Sample(found.get(state, 0), {"table": model._meta.model_name or "", "state": state})


def _written(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    lines += [f"{metric.name}{_labels(sample.labels.items())} {sample.value:.15g}" for sample in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
