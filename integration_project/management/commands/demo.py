"""`manage.py demo`: both vendors simulated, the real web server and worker, and one full loop already run."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from integration_project import clock
from integration_project.commands import CommandWithExamples
from integration_project.demo import stage, story
from integration_project.demo.calendar import Days

EXAMPLES = """\
examples:
  python manage.py demo              run one loop, print the address and the logins, stay up until Ctrl-C
  python manage.py demo --port 9000  the same, with the console on port 9000
  python manage.py demo --once       run one loop, print what happened where, and end; exit status 0 only if every
                                     step was read back from the vendors

It uses a fresh SQLite file and fresh simulators, binds to this machine only, and ignores .env and DATABASE_URL.
"""
USUAL_PORT = 8000
INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended before it was done."""


class Command(CommandWithExamples):
    """Runs the demo."""

    help = "Run the whole loop, from checkout to payment, against simulated vendors on this machine."
    examples = EXAMPLES
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --once and --port; --tell is how the demo calls itself once the stage is set."""
        parser.add_argument("--once", action="store_true", help="end after one loop instead of staying up")
        parser.add_argument("--port", type=int, default=None, help=f"port of the console (usually {USUAL_PORT})")
        parser.add_argument("--tell", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the stage, run the loop in a process that knows it, and stay or leave."""
        if options["tell"]:
            sys.exit(story.tell(self.stdout, once=options["once"]))
        for number in stage.ENDING:
            signal.signal(number, stop_like_ctrl_c)
        wanted = options["port"] or (None if options["once"] else USUAL_PORT)
        self.say("Starting both simulated vendors, the web server and a worker ...")
        came_round = False
        try:
            with stage.set_stage(
                base=Path(settings.BASE_DIR) / ".demo", port=wanted, start_at=Days.around(clock.now()).checkout_at
            ) as made:
                self.run_loop(made, once=options["once"])
                came_round = True
                if not options["once"]:
                    self.stay(made)
        except stage.DemoFailed as failure:
            raise CommandError(str(failure)) from failure
        except KeyboardInterrupt:
            self.say("\nStopped; nothing of the demo is left behind.")
            if not came_round:
                sys.exit(INTERRUPTED)

    def run_loop(self, made: stage.Stage, *, once: bool) -> None:
        """Tell the story in a process of its own; its failure is the demo's."""
        arguments = [sys.executable, "manage.py", "demo", "--tell", *(["--once"] if once else [])]
        told = subprocess.run(arguments, env=made.environment, cwd=settings.BASE_DIR, check=False)
        if told.returncode:
            words = "\n".join(child.last_words() for child in made.children)
            raise CommandError(f"The loop did not come round.\n{words}", returncode=told.returncode)

    def stay(self, made: stage.Stage) -> None:
        """Leave everything running until Ctrl-C, or until a part of it ends by itself."""
        while True:
            made.check()
            time.sleep(1)

    def say(self, text: str) -> None:
        """Write at once, also into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()


def stop_like_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM, and a terminal that is closed, end the demo the way Ctrl-C does: its children are stopped."""
    raise KeyboardInterrupt
