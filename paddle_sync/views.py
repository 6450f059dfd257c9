"""Webhook addresses of Paddle: verified, stored, answered; the work comes later."""

from rest_framework.request import Request
from rest_framework.response import Response

from integration_project import webhooks
from paddle_sync import intake
from paddle_sync.authentication import PaddleSignatureAuthentication
from paddle_sync.models import WebhookEvent
from paddle_sync.serializers import read_notification


class PaddleWebhookView(webhooks.WebhookView):
    """`POST /webhooks/paddle/`: Paddle Billing's notifications."""

    authentication_classes = (PaddleSignatureAuthentication,)

    def post(self, request: Request) -> Response:
        """Store the notification, once however often it comes, and say so."""
        notification, text = webhooks.parse_object(webhooks.raw_body(request))
        envelope = read_notification(notification)
        intake.receive_notification(WebhookEvent.Source.PADDLE, envelope, text)
        return Response({"event_id": envelope.event_id})
