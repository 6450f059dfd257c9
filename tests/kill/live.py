"""The whole product as it runs in production: `manage.py serve` on the test's database, both vendors on loopback ports.

The vendors live in the test's own process, so what they saw can be looked at; everything else may be killed.
"""

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.simulation import Post, Served, post_on_loopback, serve
from tests.kill.programs import alive, descendants, kill, program, wait_until

TOKEN = "k" * 40
PERSISTENCE = 120.0
"""Seconds in which a vendor repeats a webhook at once; the real ones take their time, and the test has none."""


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post_until_taken(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a webhook again and again while nobody answers, as both vendors do, only sooner."""
    end = time.monotonic() + PERSISTENCE
    while True:
        status = post_on_loopback(url, body, headers)
        if 200 <= status < 500 or time.monotonic() > end:
            return status
        time.sleep(0.1)


@dataclass
class Product:
    """A running `serve`, started again whenever it is gone, and the vendors it talks to."""

    simulators: tuple[PaddleSimulator, M3terSimulator]
    paddle: Served
    m3ter: Served
    port: int
    log: Path
    chance: random.Random
    stack: ExitStack
    main: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    kills: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where the web server listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        """Start `serve`, as whatever supervises it would."""
        environment = {
            "TEST_PADDLE_API_URL": self.paddle.url,
            "TEST_PADDLE_API_KEY": paddle_sample.API_KEY,
            "TEST_PADDLE_WEBHOOK_SECRETS": paddle_sample.WEBHOOK_SECRET,
            "TEST_M3TER_API_URL": self.m3ter.url,
            "TEST_M3TER_INGEST_URL": self.m3ter.url,
            "TEST_M3TER_ORG_ID": m3ter_sample.ORG_ID,
            "TEST_M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
            "TEST_M3TER_API_SECRET": m3ter_sample.API_SECRET,
            "TEST_M3TER_WEBHOOK_TOKENS": TOKEN,
        }
        here = ("--bind", f"127.0.0.1:{self.port}", "--parent", str(os.getpid()))
        command = ("manage.py", "serve", *here, "--no-static", *options)
        self.main = self.stack.enter_context(program(*command, log=self.log, environment=environment))
        self.starts += 1

    def keep_running(self) -> None:
        """Start `serve` again if it is gone."""
        if self.main is None or self.main.poll() is not None:
            self.start()

    def processes(self) -> list[int]:
        """List the processes of the product that run now, the main one first."""
        if self.main is None or self.main.poll() is not None:
            return []
        return [self.main.pid, *descendants(self.main.pid)]

    def is_whole(self) -> bool:
        """Say whether everything has started: main, the web server's three, worker, sentinel and its four children."""
        return len(self.processes()) >= 1 + 3 + 1 + 1 + 4

    def connect_webhooks(self) -> None:
        """Tell both vendors where the product listens."""
        paddle, m3ter = self.simulators
        paddle.send_webhooks_to(url=f"{self.url}/webhooks/paddle/")
        m3ter.send_webhooks_to(url=f"{self.url}/webhooks/m3ter/{TOKEN}/")

    def kill_one(self) -> None:
        """Kill one process, whichever it is."""
        running = self.processes()
        self.seen.update(running)
        if running:
            victim = self.chance.choice(running)
            self.kills.append("main" if victim == running[0] else f"number {running.index(victim)}")
            kill(victim)

    def ready(self) -> bool:
        """Ask whether it is ready."""
        try:
            return bool(requests.get(f"{self.url}/health/ready", timeout=5).status_code == requests.codes.ok)
        except requests.RequestException:
            return False

    def wait_until_ready(self, *, within: float = 120.0) -> None:
        """Wait for the first answer."""
        wait_until(self.ready, within=within, what="the start of serve")

    def wait_until_answering(self, *, within: float = 120.0) -> None:
        """Wait for the web server alone."""

        def answers() -> bool:
            try:
                return bool(requests.get(f"{self.url}/health/live", timeout=5).status_code == requests.codes.ok)
            except requests.RequestException:
                return False

        wait_until(answers, within=within, what="the start of the web server")

    def orphans(self) -> list[int]:
        """List processes that were seen once and still run, though they are not below the main process any more."""
        current = set(self.processes())
        return [pid for pid in alive(sorted(self.seen)) if pid not in current]

    def said(self) -> str:
        """Read what it said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@contextmanager
def a_product(folder: Path, *, seed: int, post: Post = post_until_taken) -> Iterator[Product]:
    """Serve both vendors, and make a product that talks to them; it is not started yet."""
    paddle, m3ter = PaddleSimulator(post=post), M3terSimulator(post=post)
    with ExitStack() as stack:
        yield Product(
            simulators=(paddle, m3ter),
            paddle=stack.enter_context(serve(paddle)),
            m3ter=stack.enter_context(serve(m3ter)),
            port=free_port(),
            log=folder / "serve.log",
            chance=random.Random(seed),
            stack=stack,
        )
