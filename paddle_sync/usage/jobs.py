"""What django-q2 and the schedule run for usage: each opens the vendors and calls one function."""

from functools import partial

from integration_project import circuits, installation, pulse, wakeups, work
from integration_project.connections import open_vendors
from integration_project.vendors import M3TER
from paddle_sync.usage import failures, held, late, pricing, seeing, sending
from paddle_sync.usage.queues import CHARGES, RECALCULATIONS

PURPOSE = "import"


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
