"""`manage.py confirm_restore`: after a database was restored or copied, look before every first push."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing_bridge import recovery
from integration_project.commands import CommandWithExamples

EXAMPLES = """\
examples:
  python manage.py confirm_restore --reason "restored the backup of 2 March"
  python manage.py confirm_restore --reason "..." --dry-run

Run it on the restored database before the worker starts. From then on the first push of every bill is looked for in
Paddle before it is sent, because the database that this one is a copy of may have sent it. Nothing else changes.
"""


class Command(CommandWithExamples):
    """Confirms that this database is a copy."""

    help = "After a restore: search Paddle for every push before it is sent for the first time from this database."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the reason and --dry-run."""
        parser.add_argument("--reason", required=True, help="kept in the log and in the bills' history")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the rule, and say what it means here."""
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("Give a reason.")
        waiting = recovery.not_yet_pushed().count()
        if options["dry_run"]:
            self.stdout.write(f"{waiting} bills would be looked for in Paddle before they are charged.")
            return
        recovery.confirm_restore(reason=reason)
        self.stdout.write(
            f"Confirmed. {waiting} bills that are not charged yet, and every one that comes, are looked for in Paddle "
            "before their first push."
        )
