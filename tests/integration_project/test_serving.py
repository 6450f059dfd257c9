"""What `serve` does about a program that neither runs nor ends."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_project import serving
from integration_project.serving import Program, Supervisor, is_frozen
from tests.kill.programs import needs_proc, wait_until

pytestmark = needs_proc


@pytest.fixture
def program() -> Iterator[Program]:
    """Have a program that would run for long; it is gone when the test is over."""
    made = Program("web", [sys.executable, "-c", "import signal; signal.pause()"])
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait(10)
    if made.reader is not None:
        made.reader.join(10)


def frozen(program: Program, supervisor: Supervisor) -> int:
    """Start the program and stop it by a signal; its process."""
    supervisor._see_to(program)
    assert program.process is not None
    pid = program.process.pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_frozen(pid), what="the end of all movement")
    return pid


def test_a_program_that_was_frozen_for_long_is_killed_and_started_again(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    supervisor = Supervisor([program], folder=tmp_path, say=said.append)
    frozen(program, supervisor)
    monkeypatch.setattr(serving, "FROZEN", 0.0)
    first = program.process

    supervisor._see_to(program)
    assert first is not None
    assert first.wait(10) == -signal.SIGKILL
    supervisor._see_to(program)

    assert said == ["web has been frozen for 0 s and is killed.", "web ended with status -9; it starts again in 2 s."]
    assert program.process is None


def test_a_program_that_moves_again_in_time_is_left_alone(program: Program, tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor([program], folder=tmp_path, say=said.append)
    pid = frozen(program, supervisor)

    supervisor._see_to(program)
    noted = program.frozen_since
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not is_frozen(pid), what="movement")
    supervisor._see_to(program)

    assert noted is not None
    assert [program.frozen_since, program.runs] == [None, True]
    assert said == []
