"""`manage.py pull_bills`: read bills from m3ter now, instead of waiting for its notices and the poll."""

import sys
from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing_bridge import importing, polling
from integration_project.commands import CommandWithExamples
from integration_project.connections import open_vendors
from integration_project.errors import IntegrationError

EXAMPLES = """\
examples:
  python manage.py pull_bills                      what the poll does every minute: approved bills that are not locked
  python manage.py pull_bills --dry-run            say what would be read, and write nothing
  python manage.py pull_bills --all                every bill of the last 400 days, locked ones and deleted ones too
  python manage.py pull_bills --all --since 2026-01-01

Nothing is charged by this command; what it makes ready is charged by the worker.
Exit status 0: every bill of m3ter's list that had news was read. 1: some were not.
"""


def a_day(text: str) -> date:
    """Read a date as people write it on a command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date like 2026-01-31") from None


class Command(CommandWithExamples):
    """Reads bills."""

    help = "Read approved bills from m3ter and decide what becomes of each."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --dry-run, --since and --all."""
        parser.add_argument("--dry-run", action="store_true", help="say what would be read, and write nothing")
        parser.add_argument("--since", type=a_day, metavar="DATE", help="only bills dated on or after this day")
        parser.add_argument("--all", action="store_true", help="locked, pending and deleted bills too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the list, a line for each bill that is news, a count at the end."""
        dry_run, since = options["dry_run"], options["since"]
        go_through = polling.sweep if options["all"] else polling.import_approved_bills
        count = news = failed = 0
        try:
            with open_vendors("import") as vendors:
                for seen in go_through(vendors, since=since, dry_run=dry_run):
                    count += 1
                    failed += seen.failed
                    if seen.outcome != "unchanged":
                        news += 1
                        self.say(f"{seen.bill_id}  {seen.account}  {seen.total}  {seen.outcome}")
                    self.progress(count)
        except IntegrationError as error:
            self.clear()
            raise CommandError(f"Stopped after {count} bills: {error}") from error
        self.clear()
        if failed:
            raise CommandError(f"{failed} of {count} bills could not be read; the lines above say why.")
        reconsidered = 0 if dry_run else importing.reconsider()
        self.stdout.write(f"{count} bills looked at, {news} with news, {reconsidered} judged again.")

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.clear()
        self.stdout.write(line)

    def progress(self, count: int) -> None:
        """Show on a terminal how far it is."""
        if self.on_terminal():
            self.stdout.write(f"\r{count} bills looked at", ending="")
            self.stdout.flush()

    def clear(self) -> None:
        """Take the progress away again."""
        if self.on_terminal():
            self.stdout.write("\r\033[K", ending="")

    def on_terminal(self) -> bool:
        """Whether somebody watches; elsewhere there are plain lines only."""
        return self.stdout.isatty() and sys.stdout.isatty()
