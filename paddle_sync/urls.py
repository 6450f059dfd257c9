"""Addresses of this app."""

from django.urls import path

from paddle_sync.views import PaddleWebhookView

urlpatterns = [path("webhooks/paddle/", PaddleWebhookView.as_view(), name="paddle-webhook")]
