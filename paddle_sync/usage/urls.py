"""Addresses of the REST API for usage, under /api/v1/usage/."""

from django.urls import path

from paddle_sync.usage.views import MeasurementsView

urlpatterns = [path("measurements/", MeasurementsView.as_view(), name="api-usage-measurements")]
