"""`manage.py import_mappings`: take plan mappings over from a file, after saying what that changes."""

import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from integration_project.commands import CommandWithExamples
from integration_project.errors import NotPossible
from paddle_sync import promoting
from paddle_sync.mapping_files import FileRefused
from paddle_sync.promoting import Difference

EXAMPLES = """
examples:
  manage.py import_mappings mappings.csv --dry-run
      say what would be added and changed, and by what each row was recognised; change nothing
  manage.py import_mappings mappings.json --reason "Agreed on 3 March"
      the same, and write it: all of it or nothing

exit status: 0 written, or nothing to write; 1 the file is refused or cannot be read, and nothing was changed;
2 wrong arguments
"""


class Command(CommandWithExamples):
    """Read a file of mappings, show the difference, write it whole."""

    help = "Takes plan mappings over from a CSV or JSON file; what the file lacks is left alone."
    examples = EXAMPLES
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file, and why."""
        parser.add_argument("file", type=Path, metavar="FILE", help="as export_mappings wrote it")
        parser.add_argument("--reason", default="imported by command", help="kept in each mapping's History")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, then write unless told not to."""
        try:
            content = options["file"].read_bytes()
            difference = promoting.compare(content)
            self._show(difference)
            if options["dry_run"]:
                self.stdout.write("Nothing was changed: this was a dry run.")
                return
            by = f"{getpass.getuser()} (command)"
            applied = promoting.apply(content, fingerprint=difference.fingerprint, by=by, reason=options["reason"])
        except OSError as problem:
            raise CommandError(f"{options['file']} could not be read: {problem.strerror}.") from None
        except FileRefused as refused:
            words = "\n".join(f"  {problem}" for problem in refused.problems)
            raise CommandError(f"{options['file']} is refused, and nothing was changed:\n{words}") from None
        except NotPossible as problem:
            raise CommandError(f"Nothing was changed. {problem}") from None
        self.stdout.write(f"Written. {applied.resumed} events that waited will run now.")

    def _show(self, difference: Difference) -> None:
        for change in difference.added:
            self.stdout.write(f"add     row {change.row}: {change.mapping} ({change.matched})")
        for change in difference.changed:
            words = "; ".join(
                f"{name}: {old or 'nothing'} -> {new or 'nothing'}" for name, old, new in change.differences
            )
            self.stdout.write(f"change  row {change.row}: {change.mapping}: {words} ({change.matched})")
        for change in (*difference.added, *difference.changed):
            for warning in change.warnings:
                self.stdout.write(f"warning row {change.row}: {warning}")
        self.stdout.write(difference.counts)
