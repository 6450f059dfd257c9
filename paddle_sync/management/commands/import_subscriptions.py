"""`manage.py import_subscriptions`: take in the subscriptions that existed before this application heard of any."""

import argparse
import getpass
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from integration_project import installation
from integration_project.commands import CommandWithExamples
from integration_project.connections import open_vendors
from integration_project.errors import IntegrationError, NotPossible, Permanent, VendorClosed
from paddle_sync import bulk, existing
from paddle_sync.management import watching
from paddle_sync.models import BulkRun

EXAMPLES = """
examples:
  manage.py import_subscriptions --dry-run
      read every subscription that is not cancelled, say what would become of each, and stop there
  manage.py import_subscriptions
      the same, then ask, then do it and wait until it is done
  manage.py import_subscriptions --yes --no-wait
      without asking; the worker does it meanwhile
  manage.py import_subscriptions --only sub_01hv8x2 --only sub_01hv8x3
      these two
  manage.py import_subscriptions --resume
      go on with the import that was interrupted, wherever it was

An import that was killed or interrupted is found again by running the command once more. Plans begin with the current
billing period, and never before the go-live date.

exit status: 0 everything is done (or was only looked at), 1 something is left for a person, or a vendor refused,
2 wrong arguments, or nobody said yes, 130 not waited for
"""
LISTING_INTERVAL = 1.0


class Command(CommandWithExamples):
    """Lists, foresees, asks, and follows the run that a worker carries out."""

    help = "Take in existing subscriptions: look first at what would be done, then do it as a run that can be paused."
    examples = EXAMPLES
    requires_migrations_checks = True
    pause: Callable[[float], object] = staticmethod(time.sleep)
    ask: Callable[[str], str] = staticmethod(input)

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what, and whether to ask and to wait."""
        parser.add_argument("--source", choices=tuple(existing.SOURCES), default=next(iter(existing.SOURCES)))
        parser.add_argument("--only", action="append", default=[], metavar="ID", help="this one; may be repeated")
        parser.add_argument("--limit", type=_positive, help="stop after so many, oldest first")
        parser.add_argument("--dry-run", action="store_true", help="stop after the preview")
        parser.add_argument("--yes", action="store_true", help="do it without asking")
        parser.add_argument("--no-wait", action="store_true", help="leave it to the worker and return")
        parser.add_argument("--resume", action="store_true", help="go on with the newest unfinished import")
        parser.add_argument("--new", action="store_true", help="begin anew although an import like this is unfinished")
        parser.add_argument(
            "--reason", default="existing subscriptions imported by command", help="kept with each event"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Go from the list to the end, or from wherever an earlier attempt was."""
        run = self._unfinished(options) or self._new(options)
        self._prepare(run)
        if run.state == BulkRun.State.PREVIEWED:
            self._preview(run)
        if options["dry_run"] and run.state != BulkRun.State.PREVIEWED:
            self.stdout.write(f"Run {run.pk} was begun already; its page in the console shows how far it is.")
            return
        if options["dry_run"]:
            self.stdout.write(f"Nothing was changed. --resume begins what was looked at (run {run.pk}).")
            return
        self._begin(run, options)
        if options["no_wait"]:
            self.stdout.write(f"Run {run.pk} is under way; the worker carries it on.")
            return
        watching.follow(run, self.stdout, pause=self.pause)

    def _unfinished(self, options: dict[str, Any]) -> BulkRun | None:
        """Find the import to go on with, if there is one and it is wanted."""
        runs = list(bulk.unfinished(BulkRun.Kind.IMPORT)[:100])
        if options["resume"]:
            if not runs:
                raise CommandError("There is no unfinished import.", returncode=1)
            return self._taken_on(runs[0], options)
        alike = [run for run in runs if run.params == _params(options)]
        if options["new"] or not alike:
            return None
        found = alike[0]
        question = (
            f'"{found.title}" ({found.get_state_display().lower()}, asked for by {found.by}) is unfinished. Go on?'
        )
        if self.stdout.isatty() and not options["yes"] and not self._says_yes(f"{question} [Y/n] ", default=True):
            return None
        return self._taken_on(found, options)

    def _taken_on(self, run: BulkRun, options: dict[str, Any]) -> BulkRun:
        """Go on with an import; what was foreseen and not begun is looked at anew, since it may hold no longer."""
        self.stdout.write(f"Going on with run {run.pk}: {run.title} ({run.get_state_display().lower()}).")
        if run.state == BulkRun.State.PREVIEWED:
            existing.look_again(run.pk, by=_somebody(), reason=options["reason"])
            run.refresh_from_db()
        return run

    def _new(self, options: dict[str, Any]) -> BulkRun:
        try:
            return existing.ask(by=_somebody(), reason=options["reason"], **_params(options))
        except NotPossible as problem:
            raise CommandError(str(problem), returncode=1) from None

    def _prepare(self, run: BulkRun) -> None:
        """List and judge, in this process or beside the worker."""
        told = ""
        try:
            while run.state == BulkRun.State.PREPARING:
                try:
                    with open_vendors() as vendors:
                        if not existing.prepare(run.pk, vendors, told=lambda: self._listed(run)):
                            self.pause(LISTING_INTERVAL)
                except (VendorClosed, Permanent) as refusal:
                    raise CommandError(f"The list could not be read: {refusal}", returncode=1) from refusal
                except IntegrationError as problem:
                    if str(problem) != told:
                        told = str(problem)
                        self.stdout.write(f"Tried again in a while: {told}")
                run.refresh_from_db()
        except KeyboardInterrupt:
            words = f"Nothing was changed. Run the command again to go on where it was (run {run.pk})."
            raise CommandError(words, returncode=watching.INTERRUPTED) from None
        if run.state == BulkRun.State.FAILED:
            raise CommandError(run.note, returncode=1)

    def _listed(self, run: BulkRun) -> None:
        total = run.items.count()
        judged = total - run.items.filter(verdict="").count()
        if self.stdout.isatty():
            watching.show(self.stdout, judged, total, f"{total} listed, {judged} looked at")
        else:
            self.stdout.write(f"{total} listed, {judged} looked at")

    def _preview(self, run: BulkRun) -> None:
        """Say what would become of how many, with a few of each."""
        if self.stdout.isatty():
            self.stdout.write("")
        self.stdout.write(f"{run.items.count()} subscriptions:")
        for line in existing.foreseen(run):
            about = f" ({line.about})" if line.about else ""
            self.stdout.write(f"{line.count:>7}  {line.label}{about}")
            for item in line.sample:
                self.stdout.write(f"           {item.subject}: {item.note}")
        self.stdout.write(existing.about_go_live(installation.current()))

    def _begin(self, run: BulkRun, options: dict[str, Any]) -> None:
        """Start it, or let it go on, if somebody says so."""
        decide = {BulkRun.State.PREVIEWED: bulk.start, BulkRun.State.PAUSED: bulk.go_on}.get(BulkRun.State(run.state))
        if decide is None:
            return
        count = existing.to_begin(run)
        if not options["yes"]:
            if not self.stdout.isatty():
                raise CommandError("Nothing was changed: say --yes to do it.", returncode=2)
            if not self._says_yes(f"Take in {count} subscriptions? [y/N] ", default=False):
                raise CommandError(f"Nothing was changed; run {run.pk} waits for a decision.", returncode=2)
        decide(run.pk, by=_somebody(), reason=options["reason"])
        run.refresh_from_db()

    def _says_yes(self, question: str, *, default: bool) -> bool:
        answer = self.ask(question).strip().lower()
        return default if not answer else answer in {"y", "yes"}


def _somebody() -> str:
    return f"command, {getpass.getuser()}"


def _params(options: dict[str, Any]) -> dict[str, Any]:
    """What an import is about, as the run keeps it."""
    return {"source": options["source"], "only": options["only"], "limit": options["limit"]}


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
