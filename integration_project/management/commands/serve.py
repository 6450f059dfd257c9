"""`manage.py serve`: the web server and a worker, in one command."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from integration_project import installation, web
from integration_project.commands import CommandWithExamples
from integration_project.migrating import migrate_alone, require_all
from integration_project.processes import die_with_parent
from integration_project.serving import Program, Supervisor

EXAMPLES = """
examples:
  manage.py serve                                  console, webhooks and one worker on 127.0.0.1:8000
  manage.py serve --bind 0.0.0.0:8000              reachable from other hosts, behind a proxy that speaks https
  manage.py serve --no-migrate --no-static         where the deployment does both beforehand
  manage.py serve --web-processes 4 --web-threads 16
  manage.py serve --no-worker                      the web server alone; run `manage.py worker` elsewhere
"""


class Command(CommandWithExamples):
    """Checks, migrates, collects static files, then keeps web server and worker running until told to stop."""

    help = (
        "Check the settings, apply missing migrations (one process at a time), collect static files, then run the web "
        "server and a worker, and start again whichever ends. SIGTERM or Ctrl-C stops both, and running work finishes."
    )
    examples = EXAMPLES
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where to listen, and what to leave out."""
        parser.add_argument(
            "--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="where to listen (%(default)s)"
        )
        parser.add_argument("--web-processes", type=int, default=2, metavar="N", help="web processes (%(default)s)")
        parser.add_argument("--web-threads", type=int, default=8, metavar="N", help="threads in each (%(default)s)")
        parser.add_argument("--no-migrate", action="store_true", help="do not apply migrations")
        parser.add_argument("--no-static", action="store_true", help="do not collect static files")
        parser.add_argument("--no-worker", action="store_true", help="run the web server alone")
        parser.add_argument("--no-access-log", action="store_true", help="do not write a line for each request")
        parser.add_argument("--parent", type=int, metavar="PID", help="end at once when this parent process is gone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, then run until told to stop."""
        if options["parent"]:
            die_with_parent(options["parent"])
        self._refuse(self._why_nobody_is_answered())
        self._prepare(migrate=not options["no_migrate"], static=not options["no_static"])
        programs = [Program("web", self._web(options))]
        if not options["no_worker"]:
            programs.append(Program("worker", self._manage("worker", "--parent", str(os.getpid()))))
        connections.close_all()
        self._refuse(web.why_not_listen(options["bind"]))
        self._say(f"Listening on http://{options['bind']}/; the console is at /admin/. Ctrl-C stops.")
        status = Supervisor(programs, folder=settings.BASE_DIR, say=self._say).run()
        sys.exit(status)

    def _prepare(self, *, migrate: bool, static: bool) -> None:
        """Do what must be done once before anything runs; an error in the settings ends it here."""
        self._say("Checking the settings.")
        call_command("check", stdout=self.stdout, stderr=self.stderr)
        self._say_what_is_closed()
        if migrate:
            self._say("Applying migrations.")
            migrate_alone(verbosity=0)
        require_all()
        if static:
            self._say("Collecting static files.")
            call_command("collectstatic", interactive=False, verbosity=0)
        for sentence in installation.mismatches(installation.current()):
            self._say(f"Nothing will be pushed: {sentence}")

    def _refuse(self, problem: str) -> None:
        """End it here, in one sentence, where there is a problem."""
        if problem:
            raise CommandError(problem)

    def _why_nobody_is_answered(self) -> str:
        """With DEBUG, Django answers this machine under its own names."""
        if settings.ALLOWED_HOSTS or settings.DEBUG:
            return ""
        return "ALLOWED_HOSTS is not set, so every request would be answered 400: name the hosts the console has."

    def _say_what_is_closed(self) -> None:
        if not settings.PADDLE_WEBHOOK_SECRETS:
            self._say("PADDLE_WEBHOOK_SECRETS is not set: /webhooks/paddle/ answers 503. Everything else runs.")
        if not settings.M3TER_WEBHOOK_TOKENS:
            self._say("M3TER_WEBHOOK_TOKENS is not set: /webhooks/m3ter/ answers 503. Everything else runs.")

    def _web(self, options: dict[str, Any]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "integration_project.web",
            str(os.getpid()),
            *web.options(
                bind=options["bind"],
                processes=options["web_processes"],
                threads=options["web_threads"],
                access_log=not options["no_access_log"],
            ),
        ]

    def _manage(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def _say(self, sentence: str) -> None:
        self.stdout.write(f"serve  | {sentence}")
        self.stdout.flush()
