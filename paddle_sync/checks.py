"""Settings of this app that cannot work, each with an id and a hint."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register


@register
def paddle_webhooks_can_be_believed(app_configs: Sequence[Any] | None, **options: Any) -> list[CheckMessage]:
    """Without a secret the webhook address answers 503 and no event ever arrives."""
    if settings.PADDLE_WEBHOOK_SECRETS:
        return []
    return [
        Warning(
            "PADDLE_WEBHOOK_SECRETS is empty: POST /webhooks/paddle/ answers 503, and Paddle's events do not arrive.",
            hint="Copy the secret key of the notification destination from Paddle's dashboard.",
            id="paddle_sync.W001",
        )
    ]
