"""Addresses of this app."""

from django.urls import path

from paddle_sync.views import ClassicWebhookView, PaddleWebhookView

urlpatterns = [
    path("webhooks/paddle/", PaddleWebhookView.as_view(), name="paddle-webhook"),
    path("webhooks/paddle-classic/", ClassicWebhookView.as_view(), name="paddle-classic-webhook"),
]
