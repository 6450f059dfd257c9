"""What django-q2 and the schedule run for usage: each opens the vendors and calls one function."""

from integration_project import circuits, pulse, wakeups
from integration_project.connections import open_vendors
from integration_project.vendors import M3TER
from paddle_sync.usage import held, sending

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
