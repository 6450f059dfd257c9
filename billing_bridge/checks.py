"""Settings of this app that cannot be right together; shown at every start."""

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register


@register()
def m3ter_token(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without a token m3ter's notices are answered 503; bills are then found by the poll alone."""
    if settings.M3TER_WEBHOOK_TOKENS:
        return []
    return [
        Warning(
            "M3TER_WEBHOOK_TOKENS is not set: /webhooks/m3ter/ answers 503, and bills are found by polling only.",
            hint="Set it to a random text of 32 characters or more, and put that into the address m3ter posts to.",
            id="billing_bridge.W001",
        )
    ]
