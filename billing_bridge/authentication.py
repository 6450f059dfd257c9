"""Who calls m3ter's address is decided by the secret token in its path: m3ter's own signature is not documented."""

import hmac

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from integration_project import webhooks
from paddle_sync.models import WebhookEvent


class M3terSender:
    """Whoever knows the token; a notice is a hint to read, never data to act on."""

    source = WebhookEvent.Source.M3TER
    is_authenticated = True


class M3terTokenAuthentication(BaseAuthentication):
    """Believes whoever knows one of our tokens; without a token nobody is believed."""

    def authenticate(self, request: Request) -> tuple[M3terSender, None]:
        """Compare with every token in constant time; a wrong one is answered as if there were no such page."""
        if not settings.M3TER_WEBHOOK_TOKENS:
            raise webhooks.NotConfigured
        given = str(request.parser_context["kwargs"].get("token", "")).encode()
        matches = [hmac.compare_digest(given, token.encode()) for token in settings.M3TER_WEBHOOK_TOKENS]
        if not any(matches):
            webhooks.count_refusal(WebhookEvent.Source.M3TER, "wrong token")
            raise NotFound
        return M3terSender(), None
