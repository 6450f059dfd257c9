"""Paddle's webhook destinations: whether one of them leads here and is told of every type of event that is needed."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from integration_project import finding
from integration_project.errors import Ignored, NotFound
from integration_project.finding import Found
from integration_project.models import Circuit, Finding
from integration_project.vendors import PADDLE, Vendors
from integration_project.vendors.paddle.client import SUBSCRIBE_DESTINATION
from integration_project.vendors.paddle.entities import NotificationSetting
from paddle_sync.models import WebhookEvent

DESTINATION_MISSING = "destination missing"
TYPES_MISSING = "event types missing"
KINDS = (DESTINATION_MISSING, TYPES_MISSING)
"""The kinds of findings opened here, and closed here when they no longer hold."""
SUBJECT = "Paddle"
REAL_TRAFFIC = frozenset({None, "platform", "all"})
"""Traffic sources with which a destination hears of what really happens; without one it is the default, platform."""
NO_LONGER = "It no longer holds."
BY_HAND = "in Paddle (Developer tools > Notifications)"


def check(vendors: Vendors, needed: Sequence[str], *, dry_run: bool = False) -> tuple[str, ...]:
    """Read the destinations; open and close findings; say in sentences what is wrong."""
    ours = [setting for setting in vendors.paddle.list_notification_settings() if _is_ours(setting)]
    missing = missing_types(ours, needed)
    wrong = (_no_destination(),) if not ours else (_types_in_words(missing),) if missing else ()
    if not dry_run:
        _tell(ours, missing)
    return wrong


def missing_types(ours: Sequence[NotificationSetting], needed: Sequence[str]) -> tuple[str, ...]:
    """The types of events that none of these destinations is told of."""
    told = {name for setting in ours for name in setting.subscribed_events}
    return tuple(sorted(set(needed) - told))


def subscribe(event: WebhookEvent, vendors: Vendors, needed: Sequence[str]) -> None:
    """Have a destination told of what it lacks; what it is told of already stays."""
    ours = [setting for setting in vendors.paddle.list_notification_settings() if setting.id == event.subject_id]
    if not ours:
        raise Ignored("Paddle has no such destination any more.")
    missing = missing_types(ours, needed)
    if missing:
        try:
            vendors.paddle.subscribe_destination(ours[0].id, sorted({*ours[0].subscribed_events, *missing}))
        except NotFound:
            raise Ignored("Paddle has no such destination any more.") from None
    finding.settle(TYPES_MISSING, event.subject_id, reason="The destination is subscribed to all of them.")
    if not missing:
        raise Ignored("The destination is subscribed to all of them already.")
    event.note = f"The destination is told of {', '.join(missing)} too."


def _is_ours(setting: NotificationSetting) -> bool:
    """Say whether what really happens is posted to this application."""
    address, site = urlsplit(setting.destination), urlsplit(settings.SITE_URL)
    if not setting.active or setting.type != "url" or setting.traffic_source not in REAL_TRAFFIC:
        return False
    if site.hostname and address.hostname != site.hostname:
        return False
    return address.path.endswith(reverse("paddle-webhook"))


def _tell(ours: Sequence[NotificationSetting], missing: Sequence[str]) -> None:
    """Open what holds and close what does not; what a person closed stays closed as long as it says the same."""
    subject = ours[0].id if ours and missing else ""
    for other in Finding.objects.filter(kind=TYPES_MISSING, state=Finding.State.OPEN).exclude(subject=subject):
        finding.settle(TYPES_MISSING, other.subject, reason=NO_LONGER)
    absent = () if ours else (Found(DESTINATION_MISSING, _no_destination(), _how_to_make_one()),)
    finding.keep_in_step(SUBJECT, absent, (DESTINATION_MISSING,), reason="There is an active destination.")
    if subject:
        untold = Found(TYPES_MISSING, _types_in_words(missing), _how_to_subscribe(missing))
        finding.keep_in_step(subject, (untold,), (TYPES_MISSING,), reason=NO_LONGER)


def _how_to_make_one() -> str:
    address = f"{settings.SITE_URL.rstrip('/') or 'https://your-host'}{reverse('paddle-webhook')}"
    return (
        f"Make one {BY_HAND}, active, for the traffic of the platform, with the address {address}, and put its secret"
        " key into PADDLE_WEBHOOK_SECRETS. Until then, events are fetched from Paddle's list every five minutes."
    )


def _no_destination() -> str:
    host = urlsplit(settings.SITE_URL).hostname
    where = f"{host}, {reverse('paddle-webhook')}" if host else reverse("paddle-webhook")
    return f"None of Paddle's active webhook destinations leads here ({where}), so Paddle tells us nothing."


def _types_in_words(missing: Sequence[str]) -> str:
    return (
        f"Paddle's webhook destination is not subscribed to {', '.join(missing)}. Such events are only fetched from"
        " Paddle's list, minutes later."
    )


def _how_to_subscribe(missing: Sequence[str]) -> str:
    by_hand = f"{BY_HAND}: add {', '.join(missing)} to the destination"
    refused = Circuit.objects.filter(vendor=PADDLE, operation=SUBSCRIBE_DESTINATION, is_open=True)
    if refused.exists():
        return f"The key lacks the permission notification_setting.write, so do it by hand {by_hand}."
    return f"Subscribe to them with the button here, or by hand {by_hand}."
