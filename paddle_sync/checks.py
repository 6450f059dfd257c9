"""Settings of this app that cannot work, each with an id and a hint."""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

SHORTEST_KEY = 2048
"""Bits of a key that nobody can find the other half of; Paddle's have 4096."""


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


@register
def classic_alerts_can_be_believed(app_configs: Sequence[Any] | None, **options: Any) -> list[CheckMessage]:
    """A key too short is none that Paddle made, and alerts signed with it could be anybody's."""
    if not settings.PADDLE_CLASSIC_PUBLIC_KEY:
        return []
    key = load_pem_public_key(settings.PADDLE_CLASSIC_PUBLIC_KEY.encode())
    if isinstance(key, RSAPublicKey) and key.key_size >= SHORTEST_KEY:
        return []
    return [
        Warning(
            f"PADDLE_CLASSIC_PUBLIC_KEY is shorter than {SHORTEST_KEY} bits: whoever breaks it can make up alerts.",
            hint="Copy the public key from Paddle's dashboard, Developer tools > Public key.",
            id="paddle_sync.W002",
        )
    ]
