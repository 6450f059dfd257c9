"""Keeps programs running side by side: prefixes what they say, starts again what ended, stops all of them in order."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from integration_project.logs import mask

logger = logging.getLogger(__name__)

WATCH = 0.2
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
GOOD_RUN = 60.0
"""A program that ran for so many seconds starts again at once; one that keeps ending waits longer each time."""
FROZEN = 30.0
"""Seconds after which a program that a signal has frozen is ended and started again: it answers nobody meanwhile."""
SAME_REQUEST = 1.0
"""A supervisor's one request may arrive several times: to this process, and to its whole group."""
STOP_PATIENCE = 110.0
"""Seconds that the programs get to stop: a little more than a worker gives its tasks."""


def is_frozen(pid: int) -> bool:
    """Say whether a signal has stopped the process; nobody can tell where there is no /proc."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "T"


@dataclass
class Program:
    """One program: its name before each line it says, its command, and when it may start again."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    wait: float = FIRST_WAIT
    frozen_since: float | None = None
    reader: threading.Thread | None = field(default=None, repr=False)

    @property
    def runs(self) -> bool:
        """True while the process is there."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Runs programs until it is told to stop."""

    def __init__(self, programs: Sequence[Program], *, folder: Path, say: Callable[[str], None]) -> None:
        self._programs = programs
        self._folder = folder
        self._say = say
        self._stop_requests = 0
        self._width = max(len(program.name) for program in programs)

    def run(self) -> int:
        """Keep the programs running; the exit status, once told to stop by a signal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_stop)
        while not self._stop_requests:
            for program in self._programs:
                self._see_to(program)
            time.sleep(WATCH)
        return self._stop_in_order()

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _see_to(self, program: Program) -> None:
        now = time.monotonic()
        if program.runs:
            self._end_if_frozen(program, now)
            return
        if program.process is not None:
            self._note_end(program, program.process.returncode, now)
        if now >= program.start_again_at:
            self._start(program, now)

    def _end_if_frozen(self, program: Program, now: float) -> None:
        """Kill what has been frozen for long; its own processes die with it, and it is started again like any other."""
        if program.process is None or not is_frozen(program.process.pid):
            program.frozen_since = None
            return
        program.frozen_since = now if program.frozen_since is None else program.frozen_since
        if now - program.frozen_since >= FROZEN:
            self._say(f"{program.name} has been frozen for {now - program.frozen_since:.0f} s and is killed.")
            program.frozen_since = None
            self._signal(program, signal.SIGKILL)

    def _note_end(self, program: Program, status: int, now: float) -> None:
        """Decide when a program that ended starts again."""
        program.wait = FIRST_WAIT if now - program.started_at > GOOD_RUN else min(program.wait * 2, LONGEST_WAIT)
        program.start_again_at = now + program.wait
        program.process = None
        self._say(f"{program.name} ended with status {status}; it starts again in {program.wait:g} s.")

    def _start(self, program: Program, now: float) -> None:
        """Start a program in a group of its own, so that a terminal's Ctrl-C reaches this process alone."""
        process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
            program.command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            process_group=0,
        )
        program.process, program.started_at = process, now
        program.reader = threading.Thread(target=self._pass_on, args=(program.name, process.stdout), daemon=True)
        program.reader.start()

    def _pass_on(self, name: str, lines: IO[bytes]) -> None:
        """Write what a program says with its name before it, and nothing in it that must not be read."""
        prefix = f"{name:<{self._width}} | "
        with lines:
            for line in lines:
                sys.stdout.write(prefix + mask(line.decode("utf-8", "replace").rstrip("\n")) + "\n")
                sys.stdout.flush()

    def _stop_in_order(self) -> int:
        """Ask every program to stop and wait for it; kill what does not, or all of it when told so once more."""
        self._say("Stopping; what is under way finishes first. Ctrl-C again ends it at once.")
        running = [program for program in self._programs if program.runs]
        for program in running:
            self._signal(program, signal.SIGTERM)
        asked_at = time.monotonic()
        while any(program.runs for program in running) and time.monotonic() - asked_at < STOP_PATIENCE:
            if time.monotonic() - asked_at < SAME_REQUEST:
                self._stop_requests = 0
            if self._stop_requests:
                break
            time.sleep(WATCH)
        cut = [program for program in running if program.runs]
        for program in cut:
            self._signal(program, signal.SIGKILL)
        for program in running:
            if program.reader is not None:
                program.reader.join(2)
        failed = [program.name for program in running if program.process is not None and program.process.wait(5)]
        self._say("Stopped." if not failed else f"Stopped; {', '.join(failed)} did not end in order.")
        return 1 if failed else 0

    def _signal(self, program: Program, number: int) -> None:
        if program.process is not None and program.runs:
            program.process.send_signal(number)
