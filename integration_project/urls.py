"""Literal table of addresses over both apps."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from integration_project import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index", permanent=False)),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("console/favicon.svg"), permanent=False)),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.show_metrics),
    path("", include("paddle_sync.urls")),
    path("", include("billing_bridge.urls")),
]
