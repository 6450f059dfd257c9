"""What django-q2 and the schedule run for usage: each opens the vendors and calls one function."""

import time
from functools import partial

from integration_project import circuits, installation, pulse, wakeups, work
from integration_project.connections import open_vendors
from integration_project.vendors import M3TER
from paddle_sync.usage import failures, file_checking, held, late, pricing, pruning, seeing, sending, uploads
from paddle_sync.usage.queues import CHARGES, RECALCULATIONS, UPLOADS

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


def recalculate() -> int:
    """Ask m3ter to calculate bills again that people decided about; say how many."""
    if circuits.nobody_may_call(M3TER):
        return 0
    installation.require_match(installation.current())
    with open_vendors(PURPOSE) as vendors:
        return work.drain(RECALCULATIONS, partial(late.recalculate, m3ter=vendors.m3ter))


def charge_late() -> int:
    """Put late usage that people priced on the next bills; say how much of it was tried."""
    if circuits.nobody_may_call(M3TER):
        return 0
    installation.require_match(installation.current())
    with open_vendors(PURPOSE) as vendors:
        return work.drain(CHARGES, partial(pricing.charge, m3ter=vendors.m3ter))


def read_failures() -> str:
    """Read what m3ter dropped after it had accepted it."""
    installation.require_match(installation.current())
    with open_vendors(PURPOSE) as vendors:
        return str(failures.read(vendors.m3ter, stop=pulse.stopping))


def see_usage() -> str:
    """Read what m3ter has counted, of the meters that were not read for an hour or that somebody asks for."""
    wakeups.taken(seeing.NAME)
    installation.require_match(installation.current())
    with open_vendors(PURPOSE) as vendors:
        return seeing.read(vendors.m3ter, stop=pulse.stopping)


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
