"""The REST API's first address, where a client finds out whether its key works."""

from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integration_project.api import ApiView
from integration_project.api_docs import endpoint
from integration_project.api_keys import ANY_KEY
from integration_project.models import ApiKey


class KeySerializer(serializers.Serializer[Any]):
    """What a key is."""

    client = serializers.CharField(help_text="Whose key it is.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ApiKey.Scope.choices), help_text="What it may be used for."
    )
    environment = serializers.ChoiceField(
        choices=("sandbox", "live"), help_text="Which Paddle environment this service belongs to."
    )


class RootView(ApiView):
    """`GET /api/v1/`: says whose key it is."""

    @endpoint(scope=ANY_KEY, tag="Key", operation_id="read_key", answers={200: KeySerializer})
    def get(self, request: Request) -> Response:
        """Say whose key this is, and what it may."""
        key: ApiKey = request.auth  # type: ignore[assignment]  # or nobody would have come this far
        said = {"client": key.client, "scopes": key.scopes, "environment": settings.PADDLE_ENVIRONMENT}
        return Response(KeySerializer(said).data)
