"""What django-q2 and the schedule run for usage: each opens the vendors and calls one function."""

import time

from integration_project import circuits, pulse, wakeups, work
from integration_project.connections import open_vendors
from integration_project.vendors import M3TER
from paddle_sync.usage import file_checking, held, pruning, sending, uploads
from paddle_sync.usage.queues import UPLOADS

PURPOSE = "import"
LONGEST = 60.0
"""Seconds after which a job that goes on by itself ends, well before its task would be ended."""


def send() -> int:
    """Send the usage that is due; say how many measurements m3ter took."""
    if circuits.nobody_may_call(M3TER):
        return 0
    with open_vendors(PURPOSE) as vendors:
        return sending.send_due(vendors.m3ter)


def release_held() -> str:
    """Take in the usage that waited for an account that there is by now."""
    wakeups.taken(held.NAME)
    return f"{held.release(stop=pulse.stopping)} batches released"


def check_files() -> int:
    """Check the files that were received; say how many had a turn."""
    return work.drain(UPLOADS, file_checking.carry_on)


def follow_files() -> str:
    """Do what decided files still need, and see which are done."""
    end = time.monotonic() + LONGEST
    followed = uploads.follow(stop=lambda: pulse.stopping() or time.monotonic() >= end)
    return f"{followed} files looked after"


def prune() -> str:
    """Forget usage that is old enough."""
    end = time.monotonic() + LONGEST
    forgotten = pruning.prune(stop=lambda: pulse.stopping() or time.monotonic() >= end)
    return ", ".join(f"{count} {name}" for name, count in forgotten.items()) + " forgotten"
