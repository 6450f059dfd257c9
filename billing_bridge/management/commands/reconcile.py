"""`manage.py reconcile`: compare m3ter's bills, our ledger and Paddle's transactions now, and name every difference."""

import getpass
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing_bridge import money, reconciliation, reconciliation_files
from billing_bridge.management.commands.pull_bills import a_day
from billing_bridge.models import ReconciliationRow, ReconciliationRun
from integration_project import clock
from integration_project.commands import CommandWithExamples, wait_for_share
from integration_project.connections import open_vendors
from integration_project.errors import BudgetSpent, IntegrationError, NotPossible
from integration_project.vendors import Vendors

EXAMPLES = """\
examples:
  python manage.py reconcile                            the bills of the last 70 days, every account
  python manage.py reconcile --from 2026-01-01 --to 2026-03-31 --export quarter.csv
  python manage.py reconcile --account sub_01jz3m0000000000000000000c
  python manage.py reconcile --dry-run                  compare and say; keep no run, open and close no finding

Days are the dates of bills. Every run is kept, and compared with the one before, on the console's page of
reconciliations. A run that was interrupted is carried on by the worker.
exit status: 0 every difference has a reason, 1 some have none, 2 it could not be finished
"""
TURN = 3_600.0


class Command(CommandWithExamples):
    """Reconciles."""

    help = "Compare m3ter's bills, our ledger and Paddle's transactions; every difference with its reason."
    examples = EXAMPLES
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --from, --to, --account, --export and --dry-run."""
        parser.add_argument("--from", type=a_day, dest="first_day", metavar="DATE", help="bills dated from this day on")
        parser.add_argument("--to", type=a_day, dest="last_day", metavar="DATE", help="bills dated up to this day")
        parser.add_argument("--account", default="", metavar="CODE", help="only the account with this code")
        parser.add_argument("--export", type=Path, metavar="FILE", help="write the result as CSV too")
        parser.add_argument("--dry-run", action="store_true", help="compare and say, and keep nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare to the end, say what has no reason, and tell by the exit status whether there was any."""
        try:
            with open_vendors("import") as vendors:
                rows = self._look(vendors, options) if options["dry_run"] else self._run(vendors, options)
            unknown = self._say_rows(rows)
            if options["export"] is not None:
                with options["export"].open("w", encoding="utf-8", newline="") as file:
                    reconciliation_files.write(rows, file)
        except (IntegrationError, NotPossible, OSError) as problem:
            self._clear()
            raise CommandError(f"Not reconciled to the end: {problem}", returncode=2) from problem
        if unknown:
            raise CommandError(f"{unknown} of {len(rows)} have a difference without a reason.", returncode=1)
        self.stdout.write(f"{len(rows)} bills compared; every difference has a reason.")

    # --- Comparing -----------------------------------------------------------------------------------------------

    def _run(self, vendors: Vendors, options: dict[str, Any]) -> list[ReconciliationRow]:
        run = reconciliation.ask(
            by=f"command, {getpass.getuser()}",
            first_day=options["first_day"],
            last_day=options["last_day"],
            account_code=options["account"],
        )
        while True:
            try:
                if reconciliation.carry_on(run.pk, vendors, seconds=TURN, told=self._so_far):
                    break
                time.sleep(1.0)  # a worker has it at this moment
            except BudgetSpent as spent:
                wait_for_share(spent)
        self._clear()
        run.refresh_from_db()
        if run.state != ReconciliationRun.State.DONE:
            raise NotPossible(run.note or f"it is {run.get_state_display().lower()}")
        self._say_run(run)
        return list(run.rows.order_by("-is_unknown", "-unknown", "id"))

    def _look(self, vendors: Vendors, options: dict[str, Any]) -> list[ReconciliationRow]:
        last = options["last_day"] or clock.now().date()
        first = options["first_day"] or last - reconciliation.SPAN
        span = reconciliation.Span(first, last, reconciliation.account_of(options["account"]))
        rows = []
        for row in reconciliation.look(vendors, span, wait=wait_for_share):
            rows.append(row)
            self._progress(f"{len(rows)} compared")
        self._clear()
        return sorted(rows, key=lambda row: (not row.is_unknown, -row.unknown))

    # --- What is shown -------------------------------------------------------------------------------------------

    def _say_run(self, run: ReconciliationRun) -> None:
        for currency, amounts in run.totals.items():
            told = ", ".join(f"{name} {money.words(amounts[name], currency)}" for name in reconciliation.SUMMED)
            self.stdout.write(f"{amounts['bills']} bills: {told}")
        if run.previous_id is not None:
            self.stdout.write(
                f"Since these bills were compared last: {run.new_unknown} new without a reason, {run.solved} solved."
            )

    def _say_rows(self, rows: Iterable[ReconciliationRow]) -> int:
        unknown = [row for row in rows if row.is_unknown]
        for row in unknown:
            whose = row.account_code or row.m3ter_account_id or "-"
            self.stdout.write(f"{row.subject}  {whose}  {reconciliation.unknown_words(row)}")
        return len(unknown)

    def _so_far(self, run: ReconciliationRun) -> None:
        if self._on_terminal():
            total, left = run.rows.count(), run.rows.filter(compared_at=None).count()
            width = 40 * (total - left) // max(total, 1)
            self._progress(f"[{'#' * width}{'.' * (40 - width)}] {total - left} of {total} bills compared")

    def _progress(self, words: str) -> None:
        if self._on_terminal():
            self.stdout.write(f"\r{words}", ending="")
            self.stdout.flush()

    def _clear(self) -> None:
        if self._on_terminal():
            self.stdout.write("\r\033[K", ending="")

    def _on_terminal(self) -> bool:
        return self.stdout.isatty() and sys.stdout.isatty()
