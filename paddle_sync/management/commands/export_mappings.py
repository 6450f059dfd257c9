"""`manage.py export_mappings`: every plan mapping as a file, to be kept or taken to another environment."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from integration_project.commands import CommandWithExamples
from paddle_sync import mapping_files, promoting

EXAMPLES = """
examples:
  manage.py export_mappings > mappings.csv
      a table for a spreadsheet
  manage.py export_mappings --format json --output mappings.json
      the same as JSON, into a file

exit status: 0 written, 1 the file could not be written, 2 wrong arguments
"""
WRITERS = {"csv": mapping_files.write_csv, "json": mapping_files.write_json}


class Command(CommandWithExamples):
    """Write every plan mapping, as the console's export does."""

    help = "Writes every plan mapping as CSV or JSON; import_mappings reads it, here or in another environment."
    examples = EXAMPLES
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the format, and where it goes."""
        parser.add_argument("--format", choices=sorted(WRITERS), default="csv", dest="kind", help="csv unless told")
        parser.add_argument("--output", type=Path, metavar="FILE", help="a file instead of the standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file."""
        rows = promoting.exported()
        text = WRITERS[options["kind"]](rows)
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["output"].write_bytes(text.encode())
        except OSError as problem:
            raise CommandError(f"{options['output']} could not be written: {problem.strerror}.") from None
        self.stdout.write(f"{len(rows)} mappings written to {options['output']}.")
