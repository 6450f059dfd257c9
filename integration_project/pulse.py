"""A few numbers that a worker's processes share without locks, so that killing any of them cannot block another.

The main process makes them before it forks; where no worker command runs, nothing is shared and nothing is stopping.
"""

import ctypes
import time
from multiprocessing.sharedctypes import RawArray

STOPPING, GUARDED_AT, MOVED_AT, STUCK_SINCE, BUSY = range(5)

_shared: "ctypes.Array[ctypes.c_double]" = RawArray(ctypes.c_double, 5)


def stop() -> None:
    """Ask the cluster to end, and drains to take no new row."""
    _shared[STOPPING] = 1.0


def stopping() -> bool:
    """Say whether the worker is about to end."""
    return _shared[STOPPING] != 0.0


def guarded() -> None:
    """The sentinel went once round its loop."""
    _shared[GUARDED_AT] = time.monotonic()


def moved() -> None:
    """A task began or ended."""
    _shared[MOVED_AT] = time.monotonic()


def crew(*, busy: int, stuck: bool) -> None:
    """What the sentinel sees: workers at a task, and whether a task waits beside an idle worker."""
    _shared[BUSY] = float(busy)
    if not stuck:
        _shared[STUCK_SINCE] = 0.0
    elif not _shared[STUCK_SINCE]:
        _shared[STUCK_SINCE] = time.monotonic()


def busy() -> int:
    """Count the workers at a task."""
    return int(_shared[BUSY])


def seconds_since_guarded() -> float:
    """How long the sentinel's loop has stood still."""
    return time.monotonic() - _shared[GUARDED_AT]


def seconds_since_moved() -> float:
    """How long no task has begun or ended."""
    return time.monotonic() - _shared[MOVED_AT]


def seconds_stuck() -> float:
    """How long a task has waited beside an idle worker."""
    return time.monotonic() - _shared[STUCK_SINCE] if _shared[STUCK_SINCE] else 0.0


def start_afresh() -> None:
    """Begin with a cluster that was guarded and moved just now."""
    now = time.monotonic()
    _shared[:] = [0.0, now, now, 0.0, 0.0]
