"""`manage.py run_simulators`: every vendor simulated, each on a loopback port of its own, until told to stop."""

import argparse
import json
import signal
import threading
from datetime import datetime
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser

from integration_project.commands import CommandWithExamples
from integration_project.processes import die_with_parent
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from integration_project.vendors.paddle_classic.simulator.alerts import public_pem, sample_key
from integration_project.vendors.simulation import BusinessClock, Served, Simulator, parse_time, rfc3339, serve

EXAMPLES = """\
examples:
  python manage.py run_simulators --paddle-port 9101 --m3ter-port 9102
  python manage.py run_simulators                                     any free ports; the addresses are printed
  python manage.py run_simulators --classic-port 9103                 the same for Paddle Classic
  python manage.py run_simulators --start-at 2026-02-01T09:00:00Z     all business clocks begin there and tick on
  python manage.py run_simulators --json                              one line of JSON for scripts

by hand, while they run (each address also shows a page of forms at /_control/):
  curl -X POST ADDRESS/_control/clock_move -H 'Content-Type: application/json' -d '{"days": 28}'
  curl ADDRESS/_control/state

They keep everything in memory, listen on 127.0.0.1 only and post webhooks to loopback addresses only. They know
nothing of each other: to move time on, move all the clocks that matter.
"""
HIGHEST_PORT = 65535


class Command(CommandWithExamples):
    """Serves the simulators."""

    help = "Serve simulated Paddle, Paddle Classic and m3ter on loopback ports, for rehearsals, until stopped."
    examples = EXAMPLES
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the ports, the start of business time, and the form of the output."""
        for vendor in ("paddle", "classic", "m3ter"):
            text = f"port of the {vendor} simulator (0, the default: any free one)"
            parser.add_argument(f"--{vendor}-port", type=_port, default=0, metavar="N", help=text)
        parser.add_argument(
            "--start-at", type=_moment, metavar="ISO", help="where all business clocks begin, with a time zone"
        )
        parser.add_argument("--json", action="store_true", help="print one line of JSON instead of sentences")
        parser.add_argument("--parent", type=int, metavar="PID", help="end at once when this parent process is gone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve them until SIGTERM or Ctrl-C."""
        if options["parent"]:
            die_with_parent(options["parent"])
        stopping = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()

        before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
        start_at = options["start_at"]
        try:
            with (
                self._serve(PaddleSimulator(clock=BusinessClock(start_at)), options["paddle_port"]) as paddle,
                self._serve(ClassicSimulator(clock=BusinessClock(start_at)), options["classic_port"]) as classic,
                self._serve(M3terSimulator(clock=BusinessClock(start_at)), options["m3ter_port"]) as m3ter,
            ):
                self._tell(paddle, classic, m3ter, as_json=options["json"])
                stopping.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if not options["json"]:
            self.stdout.write("The simulators have stopped.")

    def _serve(self, simulator: Simulator, port: int) -> Served:
        try:
            return serve(simulator, port)
        except OSError as problem:
            raise CommandError(f"The {simulator.vendor} simulator cannot listen on port {port}: {problem}.") from None

    def _tell(self, paddle: Served, classic: Served, m3ter: Served, *, as_json: bool) -> None:
        if as_json:
            lines = [json.dumps(_facts(paddle, classic, m3ter))]
        else:
            now = rfc3339(paddle.simulator.clock.now())
            lines = [
                f"Paddle  {paddle.url}",
                f"        API key         {paddle_sample.API_KEY}",
                f"        webhook secret  {paddle_sample.WEBHOOK_SECRET}",
                f"        control         {paddle.url}/_control/",
                f"Classic {classic.url}",
                f"        vendor id       {classic_sample.VENDOR_ID}",
                f"        auth code       {classic_sample.AUTH_CODE}",
                f"        public key      POST {classic.url}/_control/public_key",
                f"        control         {classic.url}/_control/",
                f"m3ter   {m3ter.url}   (also its ingest address)",
                f"        organisation    {m3ter_sample.ORG_ID}",
                f"        access key id   {m3ter_sample.ACCESS_KEY_ID}",
                f"        API secret      {m3ter_sample.API_SECRET}",
                f"        control         {m3ter.url}/_control/",
                f"All business clocks say {now}. None of these keys is valid anywhere else. Stop with Ctrl-C.",
            ]
        for line in lines:
            self.stdout.write(line)
        self.stdout.flush()


def _facts(paddle: Served, classic: Served, m3ter: Served) -> dict[str, dict[str, str]]:
    return {
        "paddle": {
            "url": paddle.url,
            "control": f"{paddle.url}/_control/",
            "api_key": paddle_sample.API_KEY,
            "webhook_secret": paddle_sample.WEBHOOK_SECRET,
        },
        "classic": {
            "url": classic.url,
            "control": f"{classic.url}/_control/",
            "vendor_id": classic_sample.VENDOR_ID,
            "auth_code": classic_sample.AUTH_CODE,
            "public_key": public_pem(sample_key()),
        },
        "m3ter": {
            "url": m3ter.url,
            "ingest_url": m3ter.url,
            "control": f"{m3ter.url}/_control/",
            "org_id": m3ter_sample.ORG_ID,
            "access_key_id": m3ter_sample.ACCESS_KEY_ID,
            "api_secret": m3ter_sample.API_SECRET,
        },
    }


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"not a moment with a time zone: {problem}") from None
