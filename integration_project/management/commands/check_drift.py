"""`manage.py check_drift`: compare Paddle, this database and m3ter now, and have what is safe put right."""

import getpass
import sys
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser

from integration_project import fixes, installation
from integration_project.commands import CommandWithExamples, wait_for_share
from integration_project.connections import open_vendors
from integration_project.errors import BudgetSpent, IntegrationError, NotPossible
from integration_project.events import needed_of
from integration_project.models import Finding
from integration_project.vendors import Vendors
from paddle_sync import destinations, drift, gaps
from paddle_sync.models import AccountLink, WebhookEvent

EXAMPLES = """\
examples:
  python manage.py check_drift                compare everything: Paddle's events and webhook destination, its live
                                              subscriptions, our links, m3ter's accounts, plans and mappings
  python manage.py check_drift --events       only Paddle's list of events and the destination: fetch what never arrived
  python manage.py check_drift --dry-run      say what differs; store no event, open and close no finding
  python manage.py check_drift --fix          and have put right what is safe (sync, import, subscribe); say the rest

What is found is on the console's page of findings, each with its button. A round that was interrupted goes on.
exit status: 0 nothing was found, 1 differences were found (whether or not they were fixed), 2 it could not run
"""
KINDS = (*gaps.KINDS, *destinations.KINDS, *drift.KINDS)


class Command(CommandWithExamples):
    """Compares."""

    help = "Find where Paddle, this database and m3ter differ, and what webhooks missed."
    examples = EXAMPLES
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --events, --fix and --dry-run."""
        parser.add_argument("--events", action="store_true", help="only Paddle's events and webhook destination")
        parser.add_argument("--fix", action="store_true", help="have put right what may be without looking")
        parser.add_argument("--dry-run", action="store_true", help="say what differs and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look at the events, then at the destination, then at everything else."""
        dry_run, only_events = options["dry_run"], options["events"]
        try:
            installation.require_match(installation.current())
            with open_vendors("import") as vendors:
                found = self._events(vendors, dry_run=dry_run) + self._destination(vendors, dry_run=dry_run)
                if not only_events:
                    found += self._look(vendors) if dry_run else self._compare(vendors)
        except IntegrationError as error:
            self._clear()
            raise CommandError(f"Not compared to the end: {error}", returncode=2) from error
        if options["fix"]:
            self._fix(dry_run=dry_run)
        if found:
            raise CommandError(f"{found} differences were found.", returncode=1)
        self.stdout.write("Nothing was found.")

    # --- What is looked at ---------------------------------------------------------------------------------------

    def _events(self, vendors: Vendors, *, dry_run: bool) -> int:
        """Look through every list of events to its end; say how many were missing."""
        return sum(
            self._events_of(source, vendors, dry_run=dry_run) for source in gaps.SOURCES if source.is_on(vendors)
        )

    def _events_of(self, source: gaps.Source, vendors: Vendors, *, dry_run: bool) -> int:
        """Look through one list; where our share of calls is used up on the way, what was fetched by then is stored."""
        found, looked = 0, gaps.Looked()

        def so_far(now: gaps.Looked) -> None:
            nonlocal looked
            looked = now
            self._events_so_far(now)

        while not looked.at_end:
            looked = gaps.Looked()
            try:
                gaps.fetch(vendors, source, needed_of(source.source), most_pages=None, dry_run=dry_run, progress=so_far)
            except BudgetSpent as spent:
                wait_for_share(spent)
                if dry_run:  # nothing was stored, so all of it is counted again
                    continue
            self._say(str(looked))
            found += looked.fetched
        return found

    def _destination(self, vendors: Vendors, *, dry_run: bool) -> int:
        while True:
            try:
                wrong = destinations.check(vendors, needed_of(WebhookEvent.Source.PADDLE), dry_run=dry_run)
                break
            except BudgetSpent as spent:
                wait_for_share(spent)
        for sentence in wrong:
            self._say(sentence)
        return len(wrong)

    def _compare(self, vendors: Vendors) -> int:
        """Go through a round to its end; every kind that is open then is said."""
        total = AccountLink.objects.filter(state=AccountLink.State.LIVE).count()

        def so_far(result: drift.Result) -> None:
            self._bar(result.looked_at, total)

        while True:
            try:
                result = drift.check(vendors, progress=so_far)
                break
            except BudgetSpent as spent:  # what was compared is recorded, and the round goes on
                wait_for_share(spent)
        self._say(str(result))
        open_ones = Finding.objects.filter(kind__in=drift.KINDS, state=Finding.State.OPEN)
        for kind, count in sorted(Counter(open_ones.values_list("kind", flat=True)).items()):
            self._say(f"{kind}: {count} open")
        return open_ones.count()

    def _look(self, vendors: Vendors) -> int:
        """Compare everything and write nothing; each difference is a line."""
        count = 0
        for compared in drift.look(vendors, wait=wait_for_share):
            for found in compared.found:
                count += 1
                self._say(f"{found.kind}, {compared.subject}: {found.detail}")
        return count

    # --- What is put right ---------------------------------------------------------------------------------------

    def _fix(self, *, dry_run: bool) -> None:
        by, left = f"command, {getpass.getuser()}", 0
        for row in Finding.objects.filter(kind__in=KINDS, state=Finding.State.OPEN).order_by("pk"):
            fix = fixes.fix_of(row.kind)
            if fix is None or not fix.is_safe:
                left += 1
                what = fix.label if fix else "Acknowledge"
                self._say(f'left: {row.kind}, {row.subject}. In the console: "{what}".')
            elif dry_run:
                self._say(f"would fix: {row.kind}, {row.subject}: {fix.label}")
            else:
                left += not self._applied(fix, row, by)
        self._say(f"{left} findings are left for a person.")

    def _applied(self, fix: fixes.Fix, row: Finding, by: str) -> bool:
        try:
            fixes.apply(fix, row.pk, by=by, reason="check_drift --fix")
        except NotPossible as problem:
            self._say(f"left: {row.kind}, {row.subject}: {problem}")
            return False
        self._say(f"{row.kind}, {row.subject}: {fix.done}")
        return True

    # --- What is shown -------------------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        """Write a line that stays."""
        self._clear()
        self.stdout.write(line)

    def _events_so_far(self, looked: gaps.Looked) -> None:
        if self._on_terminal():
            self.stdout.write(f"\r{looked.listed} events listed", ending="")
            self.stdout.flush()

    def _bar(self, number: int, total: int) -> None:
        """A bar on a terminal; nothing elsewhere."""
        if self._on_terminal():
            width = min(40, 40 * number // max(total, 1))
            self.stdout.write(f"\r[{'#' * width}{'.' * (40 - width)}] {number} compared, {total} links", ending="")
            self.stdout.flush()

    def _clear(self) -> None:
        if self._on_terminal():
            self.stdout.write("\r\033[K", ending="")

    def _on_terminal(self) -> bool:
        return self.stdout.isatty() and sys.stdout.isatty()
