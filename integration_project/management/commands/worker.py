"""`manage.py worker`: does the work that is due, on this host."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from integration_project import worker
from integration_project.migrating import require_all
from integration_project.processes import die_with_parent


class Command(BaseCommand):
    """Runs one worker until it is told to stop."""

    help = (
        "Do the work that is due: events, bills, look-ups, scheduled jobs. Run it on as many hosts as you like, on the "
        "same PostgreSQL. SIGTERM or Ctrl-C lets running work finish; a second one does not. Ends with a status other "
        "than 0 when it must be started again. `manage.py serve` runs one together with the web server."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the parent's process id, for `serve`."""
        parser.add_argument(
            "--parent", type=int, default=None, metavar="PID", help="end at once when this parent process is gone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until told to stop."""
        if options["parent"]:
            die_with_parent(options["parent"])
        else:
            self.check()
        require_all()
        os.environ.pop("Q_CLUSTER_NAME", None)
        status = worker.run(supervised=bool(options["parent"]))
        self.stdout.flush()
        worker.exit_at_once(status)
