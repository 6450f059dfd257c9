"""What runs when: one literal table over both apps. The worker's ticker keeps it, see scheduling.py."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Schedule:
    """A job without arguments, and how often it runs."""

    name: str
    every: timedelta
    job: str
    """Dotted path. What the job returns is kept as its result in words."""


SCHEDULES: tuple[Schedule, ...] = (
    Schedule("check charging", timedelta(minutes=10), "billing_bridge.jobs.check_safeguards"),
    Schedule("read organisation", timedelta(days=1), "integration_project.jobs.read_organization"),
    Schedule("mail findings", timedelta(minutes=1), "integration_project.jobs.mail_findings"),
    Schedule("prune", timedelta(days=1), "integration_project.jobs.prune"),
    Schedule("refresh catalogue", timedelta(hours=1), "paddle_sync.jobs.refresh_catalogue"),
    Schedule("carry on bulk runs", timedelta(seconds=2), "paddle_sync.jobs.carry_on_bulk_runs"),
    Schedule("follow bulk runs", timedelta(minutes=1), "paddle_sync.jobs.follow_bulk_runs"),
    Schedule("resume overtaken", timedelta(minutes=1), "paddle_sync.jobs.resume_overtaken"),
    Schedule("forget dry runs", timedelta(hours=1), "paddle_sync.jobs.forget_rehearsals"),
    Schedule("release held usage", timedelta(seconds=30), "paddle_sync.usage.jobs.release_held"),
    Schedule("read usage failures", timedelta(minutes=1), "paddle_sync.usage.jobs.read_failures"),
    Schedule("see usage", timedelta(minutes=5), "paddle_sync.usage.jobs.see_usage"),
    Schedule("follow usage files", timedelta(seconds=5), "paddle_sync.usage.jobs.follow_files"),
    Schedule("prune usage", timedelta(hours=1), "paddle_sync.usage.jobs.prune"),
    Schedule("fetch missed events", timedelta(minutes=5), "paddle_sync.jobs.fetch_missed_events"),
    Schedule("check destination", timedelta(hours=1), "paddle_sync.jobs.check_destination"),
    Schedule("check drift", timedelta(minutes=10), "paddle_sync.jobs.check_drift"),
    Schedule("read currencies", timedelta(days=1), "billing_bridge.jobs.read_currencies"),
    Schedule("import new bills", timedelta(minutes=1), "billing_bridge.jobs.import_new_bills"),
    Schedule("tell of bills", timedelta(minutes=1), "billing_bridge.jobs.tell_of_bills"),
    Schedule("ask for bills to date", timedelta(minutes=10), "billing_bridge.jobs.ask_for_bills_to_date"),
    Schedule("look at Paddle Classic", timedelta(hours=1), "billing_bridge.jobs.look_at_classic"),
    Schedule("sweep bills", timedelta(days=1), "billing_bridge.jobs.sweep_bills"),
    Schedule("reconcile", timedelta(days=1), "billing_bridge.jobs.reconcile_daily"),
    Schedule("carry on reconciliations", timedelta(minutes=1), "billing_bridge.jobs.carry_on_reconciliations"),
)
