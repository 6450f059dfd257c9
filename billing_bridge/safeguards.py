"""What must hold before anything is charged at all. Where it does not hold, bills stay where they are."""

from contextlib import suppress
from datetime import timedelta

from django.db.models import Q

from integration_project import clock, finding, installation
from integration_project.errors import NotFound
from integration_project.models import Circuit, Finding, Installation
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.entities import ONE_OFF_CHARGE
from paddle_sync.models import AccountLink

FINDING = "charging refused"
HISTORY = "list subscription history"
"""The look-up that tells whether a charge was made. Without it an unanswered charge could never be settled."""
PROVE_AGAIN = timedelta(hours=1)
TRY_AGAIN = timedelta(seconds=60)
STALE = timedelta(hours=1)
"""What was looked up longer ago says nothing about now; the schedule looks every ten minutes, and at every start."""


def why_no_push() -> str:
    """Say in a sentence why nothing may be charged now; empty when it may. Opens and settles the finding."""
    why = what_stands_in_the_way()
    if why:
        finding.report(
            FINDING,
            "Paddle",
            detail=f"{why} No bill is charged; bills that are ready stay ready.",
            next_step="Correct it; charging goes on by itself.",
            severity=Finding.Severity.ALARM,
        )
    elif Finding.objects.filter(kind=FINDING, state=Finding.State.OPEN).exists():
        finding.settle(FINDING, "Paddle", reason="Nothing stands in the way any more.")
    return why


def what_stands_in_the_way() -> str:
    """Say in a sentence why nothing may be charged now; empty when it may. Writes nothing down."""
    ours = installation.current()
    return _environment(ours) or _native_integration(ours) or _history()


def _environment(ours: Installation) -> str:
    return " ".join(installation.mismatches(ours))


def _native_integration(ours: Installation) -> str:
    looked_up = ours.native_integration_checked_at
    if looked_up is None:
        return "Whether m3ter itself sends bills to Paddle has not been looked up yet."
    if clock.now() - looked_up > STALE:
        return f"Whether m3ter itself sends bills to Paddle was looked up last on {looked_up:%Y-%m-%d %H:%M} UTC."
    if ours.native_integration:
        return f"m3ter itself sends bills to Paddle ({ours.native_integration}), so customers would be charged twice."
    return ""


def _history() -> str:
    closed = Circuit.objects.filter(vendor=PADDLE, operation=HISTORY, is_open=True).values_list("detail", flat=True)
    return next((f"The Paddle key may not read subscription histories: {detail}" for detail in closed), "")


def check_native_integration(m3ter_vendors: Vendors) -> str:
    """Look up whether m3ter's own integration of bills to Paddle is on; keep what was found, and say it."""
    configs = m3ter_vendors.m3ter.list_integration_configs()
    found = ", ".join(
        f"{config.name or config.id} to {config.destination}" for config in configs if config.sends_bills_to_paddle
    )
    installation.current()
    Installation.objects.filter(pk=1).update(native_integration=found, native_integration_checked_at=clock.now())
    return found


def history_is_proven(*, within: timedelta | None = None) -> bool:
    """Whether the key has read a subscription's history: ever, or within a span."""
    proven = Circuit.objects.filter(vendor=PADDLE, operation=HISTORY, is_open=False, last_success_at__isnull=False)
    if within is not None:
        proven = proven.filter(last_success_at__gte=clock.now() - within)
    return proven.exists()


def prove_history(vendors: Vendors, subscription_id: str) -> None:
    """Read a page of a subscription's history; VendorClosed when the key may not, which refuses every push."""
    with suppress(NotFound):  # the subscription is not there, but the key may read
        next(iter(vendors.paddle.subscription_history(subscription_id, action=ONE_OFF_CHARGE)), None)
    Circuit.objects.bulk_create([Circuit(vendor=PADDLE, operation=HISTORY)], ignore_conflicts=True)
    Circuit.objects.filter(vendor=PADDLE, operation=HISTORY).update(last_success_at=clock.now())


def some_subscription() -> str:
    """A subscription to prove the key with, the latest that is live; empty when there is none."""
    live = AccountLink.objects.filter(~Q(paddle_status="canceled"), state=AccountLink.State.LIVE, source=PADDLE)
    return live.order_by("-id").values_list("paddle_subscription_id", flat=True).first() or ""


def check(vendors: Vendors) -> str:
    """Look up everything again that charging depends on; a sentence for the log."""
    installation.require_match(installation.current())
    found = check_native_integration(vendors)
    subscription_id = some_subscription()
    if subscription_id and not history_is_proven(within=PROVE_AGAIN):
        prove_history(vendors, subscription_id)
    why_no_push()
    return f"m3ter sends bills to Paddle itself: {found}" if found else "m3ter sends no bills to Paddle itself"
