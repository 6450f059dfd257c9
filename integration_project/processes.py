"""Children that die with their parent, so that no killed process leaves orphans that go on working."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
WATCH_EVERY = 0.5


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent dies; elsewhere than on Linux a thread watches the parent.

    The parent is looked at again after arming: it may have died before.
    """
    if not _armed():
        threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def ignore_supervisors_signals() -> None:
    """Leave signals sent to the whole group to the main process; it says when to stop, and in which order."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _armed() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_EVERY)
    os._exit(1)
