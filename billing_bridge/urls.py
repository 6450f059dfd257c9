"""Addresses of this app."""

from django.urls import path

from billing_bridge.views import M3terWebhookView

urlpatterns = [path("webhooks/m3ter/<str:token>/", M3terWebhookView.as_view(), name="m3ter-webhook")]
