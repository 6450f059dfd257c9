"""The main process of `manage.py worker`: starts the cluster, ticks, watches, and stops all of it in order.

It ends with a status other than 0 when the cluster died or hangs, so that whoever started it starts it again; the rows
go on where they are.
"""

import logging
import os
import signal
import threading
import time
import uuid
from types import FrameType
from typing import Any

from django.db import DatabaseError, close_old_connections, connection, connections

from integration_project import heartbeats, pulse, ticker, wakeups
from integration_project.cluster import start_sentinel

logger = logging.getLogger(__name__)

TICK = 1.0
WATCH = 0.2
UNGUARDED = 15.0
"""Seconds after which a sentinel that does not go round hangs."""
STUCK = 10.0
"""Seconds after which a task that waits beside an idle worker shows that the way between them is blocked."""
UNTICKED = 120.0
"""Seconds after which a ticker that does not come back hangs in the database."""
SAME_REQUEST = 1.0
"""A supervisor's one request may arrive several times: from it, and to the whole group."""
STOP_PATIENCE = 100.0
"""Seconds that running tasks get to finish; a charge may take 75."""


class Worker:
    """One worker: its cluster, its ticker, and the signals sent to it."""

    def __init__(self, *, supervised: bool) -> None:
        self._supervised = supervised
        self._stop_requests = 0
        self._ticker = ticker.Ticker()
        self._ticked_at = time.monotonic()
        self._untaken = False
        self._sentinel: Any = None

    def run(self) -> int:
        """Work until told to stop; the exit status."""
        name = heartbeats.become_worker()
        pulse.start_afresh()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_stop)
        wakeups.all_lost()
        connections.close_all()
        self._sentinel = start_sentinel(uuid.uuid4())
        threading.Thread(target=self._tick_for_ever, name="ticker", daemon=True).start()
        logger.info("Worker %s is running.", name)
        problem = self._watch()
        if problem:
            logger.critical("Worker %s ends, to be started again: %s", name, problem)
            self._kill()
            return 1
        return self._stop_in_order(name)

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal and nothing else: acting on it here could meet a lock that this very thread holds."""
        self._stop_requests += 1

    def _watch(self) -> str:
        """Wait until told to stop (an empty text) or until something is wrong (what)."""
        while not self._stop_requests:
            problem = self._problem()
            if problem:
                return problem
            time.sleep(WATCH)
        return ""

    def _problem(self) -> str:
        if not self._sentinel.is_alive():
            return f"the sentinel died (exit status {self._sentinel.exitcode})."
        if pulse.seconds_since_guarded() > UNGUARDED:
            return "the sentinel hangs."
        if pulse.seconds_stuck() > STUCK and pulse.seconds_since_moved() > STUCK:
            return "a task waits, but no idle worker can take it."
        if self._untaken:
            return "tasks wait, but nobody fetches them."
        if time.monotonic() - self._ticked_at > UNTICKED:
            return "the ticker hangs in the database."
        return ""

    def _tick_for_ever(self) -> None:
        """Tick once a second; a database that is away for a while is no reason to end."""
        while True:
            started = time.monotonic()
            try:
                close_old_connections()
                self._ticker.tick()
                self._untaken = ticker.nobody_takes_tasks()
            except DatabaseError as error:
                logger.warning("The database does not answer the ticker, which goes on trying: %s", error)
                connection.close()
            except Exception:
                logger.exception("A round of the ticker failed; the next one follows.")
            self._ticked_at = time.monotonic()
            time.sleep(max(0.0, TICK - (time.monotonic() - started)))

    def _stop_in_order(self, name: str) -> int:
        """Let running tasks finish, and take nothing new; a second signal, or too long a wait, ends them."""
        logger.info("Worker %s is stopping; running tasks finish first.", name)
        pulse.stop()
        asked_at = time.monotonic()
        while self._sentinel.is_alive() and time.monotonic() - asked_at < STOP_PATIENCE:
            if self._supervised or time.monotonic() - asked_at < SAME_REQUEST:
                self._stop_requests = 0
            if self._stop_requests:
                break
            time.sleep(WATCH)
        if self._sentinel.is_alive():
            logger.warning("Worker %s: tasks that did not finish are cut off; their rows go on later.", name)
            self._kill()
            return 1
        try:
            self._ticker.leave()
            heartbeats.end()
        except DatabaseError:
            logger.warning("Worker %s stopped, but could not say so in the database.", name)
        logger.info("Worker %s has stopped.", name)
        return 0

    def _kill(self) -> None:
        """End the sentinel; its children die with it."""
        self._sentinel.kill()
        self._sentinel.join(5)


def run(*, supervised: bool = False) -> int:
    """Run a worker in this process; one that `serve` supervises is hurried by it alone."""
    return Worker(supervised=supervised).run()


def exit_at_once(status: int) -> None:
    """Leave without waiting for anything: threads and children are done with, or are not worth waiting for."""
    logging.shutdown()
    os._exit(status)
