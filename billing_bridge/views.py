"""m3ter's address: a notice is stored and answered; the bill it names is read afterwards."""

from rest_framework.request import Request
from rest_framework.response import Response

from billing_bridge.authentication import M3terTokenAuthentication
from billing_bridge.serializers import read_notice
from integration_project import webhooks
from paddle_sync import intake
from paddle_sync.models import WebhookEvent


class M3terWebhookView(webhooks.WebhookView):
    """`POST /webhooks/m3ter/<token>/`: notices of m3ter's notification rules."""

    authentication_classes = (M3terTokenAuthentication,)

    def post(self, request: Request, token: str) -> Response:
        """Store the notice, once however often it comes, and say so."""
        notice, text = webhooks.parse_object(webhooks.raw_body(request))
        envelope = read_notice(notice, text)
        intake.receive_notification(WebhookEvent.Source.M3TER, envelope, text)
        return Response({"event_id": envelope.event_id})
