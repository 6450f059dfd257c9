"""Addresses of the REST API for usage, under /api/v1/usage/."""

from django.urls import path

from paddle_sync.usage.file_views import FilesView, FileView, RejectedRowsView
from paddle_sync.usage.views import MeasurementsView

urlpatterns = [
    path("measurements/", MeasurementsView.as_view(), name="api-usage-measurements"),
    path("files/", FilesView.as_view(), name="api-usage-files"),
    path("files/<int:file_id>/", FileView.as_view(), name="api-usage-file"),
    path("files/<int:file_id>/rejected/", RejectedRowsView.as_view(), name="api-usage-rejected"),
]
