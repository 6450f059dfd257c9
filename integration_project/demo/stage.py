"""Sets the stage for the demo: a fresh folder, fresh simulators, the real `serve`, an environment that knows them."""

import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import requests

from integration_project.demo.controls import without_proxy
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample as paddle_sample

PATIENCE_SECONDS = 90
TURN_SECONDS = 0.1
LAST_LINES = 15
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """The demo cannot go on; the text says what was awaited and where to look."""


@dataclass(frozen=True)
class Stage:
    """What is running, and the environment of every process that takes part."""

    folder: Path
    environment: dict[str, str]
    paddle_url: str
    m3ter_url: str
    site_url: str
    children: tuple["Child", ...]

    def check(self) -> None:
        """Raise when one of the processes has ended by itself."""
        for child in self.children:
            child.check()


@dataclass(frozen=True)
class Child:
    """A process of ours, with its output in a file."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def check(self) -> None:
        """Raise, with the last words of its log, when it has ended."""
        status = self.process.poll()
        if status is not None:
            raise DemoFailed(f"{self.name} ended by itself with status {status}. {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, because the log goes with the demo."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"The last lines of {self.name}:", *lines])

    def stop(self) -> None:
        """End it cleanly, or not so cleanly when it takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port(wanted: int | None = None) -> int:
    """Find a port on loopback; the wanted one when nobody has it."""
    for candidate in ((wanted,) if wanted else ()) + (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise DemoFailed("No port is free on this machine.")


def start(name: str, arguments: list[str], *, environment: Mapping[str, str], folder: Path) -> Child:
    """Start `manage.py` with these arguments, in a session of its own so that Ctrl-C reaches only the demo itself.

    It ends with the demo, however the demo ends.
    """
    log = folder / f"{name}.log"
    log.touch()
    process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
        [sys.executable, "manage.py", *arguments, "--parent", str(os.getpid())],
        cwd=Path(__file__).resolve().parents[2],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Child(name, process, log)


def copy_output(child: Child, lines: "queue.SimpleQueue[str] | None" = None) -> None:
    """Write what a process says into its log, and hand the lines on to whoever waits for one."""
    source: IO[str] = child.process.stdout  # type: ignore[assignment]  # it was opened as a pipe

    def copy() -> None:
        with child.log.open("w") as log:
            for line in source:
                log.write(line)
                log.flush()
                if lines is not None:
                    lines.put(line)

    threading.Thread(target=copy, name=f"{child.name} log", daemon=True).start()


def addresses(child: Child) -> dict[str, dict[str, str]]:
    """Wait until the simulators say where they listen, and with which keys."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    copy_output(child, lines)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            line = lines.get(timeout=TURN_SECONDS)
        except queue.Empty:
            child.check()
            continue
        if line.startswith("{"):
            said: dict[str, dict[str, str]] = json.loads(line)
            return said
    raise DemoFailed(f"The simulators did not say where they listen. {child.last_words()}")


def environment_of(*, folder: Path, said: Mapping[str, Mapping[str, str]], site_url: str) -> dict[str, str]:
    """Build the environment of every process of the demo: the simulators' addresses and keys, a database of its own."""
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith("DEMO_")},
        "INTEGRATION_MODE": "demo",
        "DEMO_SITE_URL": site_url,
        "DEMO_SECRET_KEY": secrets.token_urlsafe(50),
        "DEMO_DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
        "DEMO_PADDLE_API_URL": said["paddle"]["url"],
        "DEMO_PADDLE_API_KEY": paddle_sample.API_KEY,
        "DEMO_PADDLE_WEBHOOK_SECRETS": paddle_sample.WEBHOOK_SECRET,
        "DEMO_PADDLE_CLASSIC_API_URL": said["classic"]["url"],
        "DEMO_PADDLE_CLASSIC_VENDOR_ID": said["classic"]["vendor_id"],
        "DEMO_PADDLE_CLASSIC_VENDOR_AUTH_CODE": said["classic"]["auth_code"],
        "DEMO_PADDLE_CLASSIC_PUBLIC_KEY": said["classic"]["public_key"],
        "DEMO_M3TER_API_URL": said["m3ter"]["url"],
        "DEMO_M3TER_INGEST_URL": said["m3ter"]["url"],
        "DEMO_M3TER_ORG_ID": m3ter_sample.ORG_ID,
        "DEMO_M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
        "DEMO_M3TER_API_SECRET": m3ter_sample.API_SECRET,
        "DEMO_M3TER_WEBHOOK_TOKENS": secrets.token_urlsafe(32),
    }


def wait_for_site(child: Child, url: str) -> None:
    """Wait until the console and its worker are ready to work."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        child.check()
        with contextlib.suppress(requests.RequestException):
            if without_proxy().get(f"{url}/health/ready", timeout=5).status_code == requests.codes.ok:
                return
        time.sleep(TURN_SECONDS)
    raise DemoFailed(f"{url} is not ready after {PATIENCE_SECONDS} seconds. {child.last_words()}")


@contextlib.contextmanager
def set_stage(*, base: Path, port: int | None, start_at: datetime) -> Iterator[Stage]:
    """Run everything the demo needs, and leave nothing behind."""
    base.mkdir(exist_ok=True)
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=base))
    children: list[Child] = []
    try:
        plain = {**os.environ, "INTEGRATION_MODE": "demo"}
        vendors = ["run_simulators", "--paddle-port", "0", "--classic-port", "0", "--m3ter-port", "0", "--json"]
        vendors += ["--start-at", start_at.isoformat()]
        children.append(start("simulators", vendors, environment=plain, folder=folder))
        said = addresses(children[0])
        site_port = free_port(port)
        site_url = f"http://127.0.0.1:{site_port}"
        environment = environment_of(folder=folder, said=said, site_url=site_url)
        site = start("serve", ["serve", "--bind", f"127.0.0.1:{site_port}"], environment=environment, folder=folder)
        children.append(site)
        copy_output(site)
        wait_for_site(site, site_url)
        yield Stage(folder, environment, said["paddle"]["url"], said["m3ter"]["url"], site_url, tuple(children))
    finally:
        for number in ENDING:  # a second Ctrl-C must not leave half of it running
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(children):
            child.stop()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(base: Path) -> None:
    """Throw away what demos that were killed could not."""
    for left in base.glob("run-*-*"):
        if not is_running(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)


def is_running(process_id: int) -> bool:
    """Say whether there is such a process."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
