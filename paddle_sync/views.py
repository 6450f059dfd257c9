"""Webhook addresses of Paddle: verified, stored, answered; the work comes later."""

from rest_framework.request import Request
from rest_framework.response import Response

from integration_project import webhooks
from paddle_sync import alerts, intake
from paddle_sync.authentication import ClassicSignatureAuthentication, PaddleSignatureAuthentication
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


class ClassicWebhookView(webhooks.WebhookView):
    """`POST /webhooks/paddle-classic/`: Paddle Classic's alerts."""

    authentication_classes = (ClassicSignatureAuthentication,)

    def post(self, request: Request) -> Response:
        """Store the alert, once however often it comes, and say so."""
        try:
            envelope = alerts.envelope_of(request.auth)  # type: ignore[arg-type]  # the fields that were verified
        except alerts.BadAlert as problem:
            webhooks.refuse(problem.field, str(problem))
        body = webhooks.raw_body(request).decode("utf-8")
        intake.receive_notification(WebhookEvent.Source.PADDLE_CLASSIC, envelope, body)
        return Response({"alert_id": envelope.event_id})
