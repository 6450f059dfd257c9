"""django-q2's cluster, made to survive being killed at any point.

What differs from the original, and why:
- every child dies with its parent, and leaves the signals that supervisors send to a whole group to the main process;
- flags and counters are shared without locks, and a worker that waits for a task holds no lock: a process killed while
  it holds one would block the others for good;
- the sentinel says that it goes round, how many workers are busy, and whether a task waits beside an idle one, so that
  the main process can end a cluster that hangs;
- a worker that outlived its timeout is killed, not asked.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from django_q.brokers import get_broker
from django_q.cluster import Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.queues import Queue
from django_q.signals import post_execute_in_worker, pre_execute
from django_q.worker import worker

from integration_project import pulse
from integration_project.processes import die_with_parent, ignore_supervisors_signals

_context = get_mp_context()
STEP = 0.05


class StopSign:
    """Says that the cluster stops; waiting for it is what the sentinel does between two rounds."""

    def __init__(self, each_round: Callable[[], None] = lambda: None) -> None:
        self._each_round = each_round

    def set(self) -> None:
        """Stop."""
        pulse.stop()

    def is_set(self) -> bool:
        """Say whether the cluster is to stop."""
        return pulse.stopping()

    def wait(self, seconds: float) -> bool:
        """Tell that a round is over, then wait for the next one."""
        self._each_round()
        end = time.monotonic() + seconds
        while not self.is_set() and time.monotonic() < end:
            time.sleep(STEP)
        return self.is_set()


class Started:
    """Where django-q2 notes that the cluster has started; the pulse says it to the main process."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """The cluster has started."""
        self._is_set = True
        pulse.guarded()

    def is_set(self) -> bool:
        """Say whether it has."""
        return self._is_set


class TaskQueue(Queue):
    """A queue whose lock is held only while a task is taken out, never while there is none."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for a task without the lock, then take it; another worker may have been faster."""
        if not block or timeout is not None:
            return super().get(block, timeout)
        while True:
            if not self._poll(1.0):
                continue
            with self._rlock:
                if not self._poll(0.0):
                    continue
                data = self._recv_bytes()
                self._sem.release()
            self.size.increment(-1)
            return _context.reducer.ForkingPickler.loads(data)


class Child(_context.Process):  # type: ignore[name-defined]
    """A process of the cluster. It ignores SIGTERM, so ending it means killing it."""

    def terminate(self) -> None:
        """Kill it."""
        self.kill()


class Crew(Sentinel):
    """The sentinel: starts pusher, workers and monitor, and replaces those that die."""

    def __init__(self, cluster_id: Any) -> None:
        super().__init__(
            StopSign(self._report), Started(), cluster_id, broker=get_broker(), timeout=Conf.TIMEOUT, start=False
        )
        self.task_queue = TaskQueue(maxsize=Conf.QUEUE_LIMIT)
        self.event_out = StopSign()

    def spawn_process(self, target: Callable[..., Any], *args: Any) -> Child:
        """Start a child that dies with this process."""
        child = Child(target=_as_child, args=(os.getpid(), target, args), daemon=True)
        if target == worker:
            child.timer = args[2]
            self.pool.append(child)
        child.start()
        return child

    def _report(self) -> None:
        """Say what can be seen here, reading the workers' timers without their locks."""
        timers = [child.timer.get_obj().value for child in self.pool]
        busy = sum(1 for value in timers if value > 0)
        pulse.crew(busy=busy, stuck=busy < len(timers) and self.task_queue.qsize() > 0)
        pulse.guarded()


def run_sentinel(parent: int, cluster_id: Any) -> None:
    """Run the cluster in this process, until it is told to stop."""
    os.setpgrp()
    die_with_parent(parent)
    pre_execute.connect(_moved, weak=False)
    post_execute_in_worker.connect(_moved, weak=False)
    crew = Crew(cluster_id)
    ignore_supervisors_signals()
    crew.start()


def start_sentinel(cluster_id: Any) -> Any:
    """Start the cluster as a child of the main process."""
    sentinel = _context.Process(target=run_sentinel, args=(os.getpid(), cluster_id), name="sentinel")
    sentinel.start()
    return sentinel


def _as_child(parent: int, target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    die_with_parent(parent)
    ignore_supervisors_signals()
    target(*args)


def _moved(**signal: Any) -> None:
    pulse.moved()
