"""What tests of this app look at after the fact."""

from integration_project.models import Finding
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from paddle_sync.models import WebhookEvent

CLOUD = {"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}
SEATS = {"price_id": sample.PRICE_SEATS_EUR, "quantity": 10}
INSIGHTS = {"price_id": sample.PRICE_INSIGHTS_EUR, "quantity": 1}


def created() -> WebhookEvent:
    """The one event that a subscription began with."""
    return WebhookEvent.objects.get(event_type="subscription.created")


def operations(simulator: PaddleSimulator | M3terSimulator) -> list[str]:
    """What a vendor was asked, in order."""
    return [str(call.operation) for call in simulator.calls]


def open_findings() -> list[tuple[str, str]]:
    """Kind and key of everything a person should look at now."""
    return sorted(Finding.objects.filter(state="open").values_list("kind", "key"))


def told() -> list[tuple[str, str]]:
    """The open findings, without the one about subscriptions that a test made up and the simulated Paddle lacks."""
    return [found for found in open_findings() if found[0] != "unknown to Paddle"]
