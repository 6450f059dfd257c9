"""Who is calling is decided before a view's body runs: by Paddle's signature."""

from dataclasses import dataclass

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from integration_project import clock, webhooks
from integration_project.vendors.paddle import signature
from integration_project.vendors.paddle_classic import signature as classic_signature
from paddle_sync.models import WebhookEvent


@dataclass(frozen=True)
class WebhookSender:
    """The vendor whose signature stood on the request."""

    source: str
    is_authenticated: bool = True


class PaddleSignatureAuthentication(BaseAuthentication):
    """Believes Paddle Billing by any of our secrets; without a secret nobody is believed."""

    def authenticate(self, request: Request) -> tuple[WebhookSender, None]:
        """Verify the bytes as they came; 401 with a short reason otherwise."""
        if not settings.PADDLE_WEBHOOK_SECRETS:
            raise webhooks.NotConfigured
        body = webhooks.raw_body(request)
        try:
            signature.verify(
                body=body,
                header=request.headers.get("paddle-signature"),
                secrets=settings.PADDLE_WEBHOOK_SECRETS,
                now=clock.now(),
                tolerance=settings.PADDLE_WEBHOOK_TOLERANCE,
            )
        except signature.InvalidSignature as refusal:
            webhooks.count_refusal(WebhookEvent.Source.PADDLE, refusal.reason.value)
            raise AuthenticationFailed(refusal.reason.value) from None
        return WebhookSender(WebhookEvent.Source.PADDLE), None

    def authenticate_header(self, request: Request) -> str:
        """Name the header we expect; DRF answers 401 instead of 403 because of it."""
        return "Paddle-Signature"


class ClassicSignatureAuthentication(BaseAuthentication):
    """Believes Paddle Classic by its public key; without it nobody is believed. The form is the proof."""

    def authenticate(self, request: Request) -> tuple[WebhookSender, dict[str, str]]:
        """Read the form, 400 where it is none, and verify what it says; 401 with a short reason otherwise."""
        if not settings.PADDLE_CLASSIC_PUBLIC_KEY:
            raise webhooks.NotConfigured
        try:
            fields = classic_signature.decoded(webhooks.raw_body(request))
            classic_signature.verify(fields, public_key=settings.PADDLE_CLASSIC_PUBLIC_KEY)
        except classic_signature.NotAForm as problem:
            webhooks.refuse("body", str(problem))
        except classic_signature.InvalidSignature as refusal:
            webhooks.count_refusal(WebhookEvent.Source.PADDLE_CLASSIC, refusal.reason.value)
            raise AuthenticationFailed(refusal.reason.value) from None
        return WebhookSender(WebhookEvent.Source.PADDLE_CLASSIC), fields

    def authenticate_header(self, request: Request) -> str:
        """Name the field we expect; DRF answers 401 instead of 403 because of it."""
        return classic_signature.FIELD
