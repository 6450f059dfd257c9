"""`manage.py replay_events`: run stored events again, by the same function as the first time."""

import argparse
import datetime as dt
import getpass
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from integration_project import clock
from integration_project.commands import CommandWithExamples
from integration_project.errors import NotPossible
from paddle_sync import bulk, intake, jobs
from paddle_sync.management import watching
from paddle_sync.models import WebhookEvent
from paddle_sync.rehearsing import DryRun

EXAMPLES = """
examples:
  manage.py replay_events --state failed --dry-run
      say of every failed event what its replay would call and do, and change nothing
  manage.py replay_events evt_01hv8x2 evt_01hv8x3 --reason "m3ter was down"
      these two, whatever became of them
  manage.py replay_events --waiting-for price:pri_01gsz8x8sawmvhz1pv30nge1ke
      all that wait for this price
  manage.py replay_events --type subscription.created --since 2026-03-01
      every checkout since the first of March
  manage.py replay_events --state parked --since 24h
      what was parked in the last day
  manage.py replay_events --state failed --wait
      every failed event, a few hundred at a time, with a bar until all are through

a dry run runs the same function against vendors that are read and not written to: the calls it prints are those that
the replay would make. It reads at the vendors, so use --limit where many events are chosen.

exit status: 0 all were queued or tried out, with --wait all are done (or there were none), 1 some could not be or
failed, 2 wrong arguments
"""
LONGEST_NUMBER = 10
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(CommandWithExamples):
    """Queue stored events once more; a worker then runs them."""

    help = "Runs stored events again, by the same function as the first time. Doing so twice changes nothing more."
    examples = EXAMPLES
    requires_migrations_checks = True
    pause: Callable[[float], object] = staticmethod(time.sleep)

    def add_arguments(self, parser: CommandParser) -> None:
        """Filters; those given must all hold."""
        parser.add_argument("event_ids", nargs="*", metavar="EVENT_ID", help="ids of the vendor, such as evt_...")
        parser.add_argument("--type", action="append", default=[], dest="types", help="event type; may be repeated")
        parser.add_argument("--state", action="append", default=[], dest="states", choices=intake.REPLAYABLE)
        parser.add_argument("--since", type=_moment, help="received since: a date, a time, or 30m, 24h, 7d ago")
        parser.add_argument("--waiting-for", type=_kind_and_key, metavar="KIND:KEY", help="such as price:pri_...")
        parser.add_argument("--subscription", help="only events of this Paddle subscription")
        parser.add_argument("--limit", type=_positive, help="stop after so many, oldest first")
        parser.add_argument("--reason", default="replayed by command", help="kept with each event")
        parser.add_argument(
            "--dry-run", action="store_true", help="print what each replay would call and do, and change nothing"
        )
        parser.add_argument("--wait", action="store_true", help="show how far it is, until every event is through")

    def handle(self, *args: Any, **options: Any) -> None:
        """Queue what the filters select, or say what that would do."""
        chosen = _chosen(options)
        if options["dry_run"]:
            if not (_is_narrowed(options) or options["limit"]):
                raise CommandError("Say which events, or give a --limit: each one reads at the vendors.", returncode=2)
            self._rehearse(chosen, wanted=options["event_ids"])
            return
        if not _is_narrowed(options):
            raise CommandError("Name events, or say which with a filter; see --help.", returncode=2)
        if options["wait"]:
            self._replay_and_wait(chosen, wanted=options["event_ids"], reason=options["reason"])
            return
        self._replay(chosen, wanted=options["event_ids"], reason=options["reason"])

    def _rehearse(self, chosen: QuerySet[WebhookEvent], *, wanted: Sequence[str]) -> None:
        events = list(chosen.only("pk", "event_id", "event_type", "state"))
        tried, failed = 0, self._unknown(wanted, {event.event_id for event in events})
        for number, event in enumerate(events, start=1):
            self.stdout.write(f"{event.event_id} {event.event_type}, {event.state}:")
            try:
                self._tell(jobs.dry_run(event.pk, wait=time.sleep))
                tried += 1
            except NotPossible as problem:
                failed += 1
                self.stderr.write(f"{event.event_id}: {problem}")
            self._progress(number, len(events))
        self.stdout.write(f"{tried} of {len(events)} events would be replayed; nothing was changed.")
        if failed:
            raise CommandError(f"{failed} events could not be tried out.", returncode=1)

    def _tell(self, found: DryRun) -> None:
        for call in found.calls:
            self.stdout.write(f"  {call.vendor} {call.method} {call.path}")
        for sentence in found.sentences:
            self.stdout.write(f"  {sentence}")

    def _unknown(self, wanted: Sequence[str], found: set[str]) -> int:
        """Say which of the named events were not selected, and how many those are."""
        missing = [event_id for event_id in wanted if event_id not in found]
        for event_id in missing:
            self.stderr.write(
                f"{event_id}: there is no such event, or it does not match, or it is still being worked on."
            )
        return len(missing)

    def _replay(self, chosen: QuerySet[WebhookEvent], *, wanted: Sequence[str], reason: str) -> None:
        ids = list(chosen.values_list("pk", "event_id"))
        by = f"command, {getpass.getuser()}"
        queued, failed = 0, self._unknown(wanted, {event_id for _, event_id in ids})
        for number, (pk, event_id) in enumerate(ids, start=1):
            try:
                intake.replay(pk, by=by, reason=reason)
                queued += 1
            except NotPossible as problem:
                failed += 1
                self.stderr.write(f"{event_id}: {problem}")
            self._progress(number, len(ids))
        self.stdout.write(f"{queued} of {len(ids)} events queued; a worker runs them.")
        if failed:
            raise CommandError(f"{failed} events could not be replayed.", returncode=1)

    def _replay_and_wait(self, chosen: QuerySet[WebhookEvent], *, wanted: Sequence[str], reason: str) -> None:
        """Make a bulk run of them, which the worker carries out a few hundred at a time, and follow it."""
        by = f"command, {getpass.getuser()}"
        missing = self._unknown(wanted, set(chosen.values_list("event_id", flat=True))) if wanted else 0
        if not (missing or chosen.exists()):
            self.stdout.write("0 of 0 events queued; nothing is to be done.")
            return
        try:
            run = bulk.replay(WebhookEvent.objects.filter(pk__in=chosen.values("pk")), by=by, reason=reason)
        except NotPossible as problem:
            raise CommandError(str(problem), returncode=1) from problem
        bulk.start(run.pk, by=by, reason=reason)
        watching.follow(run, self.stdout, pause=self.pause)
        if missing:
            raise CommandError(f"{missing} events could not be replayed.", returncode=1)

    def _progress(self, number: int, total: int) -> None:
        """A bar on a terminal, a plain line every hundred otherwise."""
        if self.stdout.isatty():
            width = 40 * number // total
            end = "\n" if number == total else ""
            self.stdout.write(f"\r[{'#' * width}{'.' * (40 - width)}] {number} of {total}", ending=end)
            self.stdout.flush()
        elif number % 100 == 0:
            self.stdout.write(f"{number} of {total}")


def _chosen(options: dict[str, Any]) -> QuerySet[WebhookEvent]:
    """The events that all given filters select, oldest first."""
    events = WebhookEvent.objects.filter(state__in=options["states"] or intake.REPLAYABLE).order_by("pk")
    if options["event_ids"]:
        events = events.filter(event_id__in=options["event_ids"])
    if options["types"]:
        events = events.filter(event_type__in=options["types"])
    if options["since"]:
        events = events.filter(received_at__gte=options["since"])
    if options["subscription"]:
        events = events.filter(paddle_subscription_id=options["subscription"])
    if options["waiting_for"]:
        kind, key = options["waiting_for"]
        events = events.filter(waiting_for_kind=kind, waiting_for_key=key)
    return events[: options["limit"]] if options["limit"] else events


def _is_narrowed(options: dict[str, Any]) -> bool:
    """Say whether anything was asked for: without a filter the command would run the whole past again."""
    return any(options[name] for name in ("event_ids", "types", "states", "since", "waiting_for", "subscription"))


def _moment(text: str) -> dt.datetime:
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in UNITS:
        try:
            return clock.now() - dt.timedelta(**{UNITS[text[-1]]: int(text[:-1])})
        except (OverflowError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} is longer ago than anything here") from None
    try:
        moment = parse_datetime(text) or dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, no time and no span such as 24h") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _kind_and_key(text: str) -> tuple[str, str]:
    kind, colon, key = text.partition(":")
    if not (kind and colon and key):
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND:KEY, such as price:pri_...")
    return kind, key
