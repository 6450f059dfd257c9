"""What a person asked for that takes a vendor call before anything else: it runs as an event, like all work."""

from integration_project import installation
from integration_project.errors import Ignored
from integration_project.vendors import Vendors
from paddle_sync import intake, reading_ahead
from paddle_sync.models import AccountLink, EventDecision, WebhookEvent


def import_subscription(event: WebhookEvent, vendors: Vendors) -> None:
    """Read one subscription from Paddle and take it in as one that existed before this application heard of it."""
    installation.require_match(installation.current())
    subscription_id = event.paddle_subscription_id
    if AccountLink.objects.filter(paddle_subscription_id=subscription_id).exists():
        raise Ignored("It is linked already.")
    found = reading_ahead.subscription(event, vendors)
    if found is None:
        raise Ignored("Paddle does not know this subscription.")
    if found.get("status") == "canceled":
        raise Ignored("It is cancelled in Paddle, so there is nothing to measure any more.")
    asked = EventDecision.objects.filter(event=event).order_by("pk").first()
    intake.find(
        event.source,
        found,
        by=asked.by if asked else "the application",
        reason=asked.reason if asked else "it was not linked",
    )
    event.note = "It was read from Paddle, and is taken in as one that existed before."
