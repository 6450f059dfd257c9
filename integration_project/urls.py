"""Literal table of addresses over both apps."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from integration_project import api_docs, health
from integration_project.api_root import RootView

REST_API: list[URLPattern | URLResolver] = [
    path("", RootView.as_view(), name="api-root"),
    path("usage/", include("paddle_sync.usage.urls")),
]
"""Everything under /api/v1/; an app's addresses are one line here: path("usage/", include(...))."""

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index", permanent=False)),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("console/favicon.svg"), permanent=False)),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.show_metrics),
    path("api/v1/", include(REST_API)),
    path("api/schema/", api_docs.show_document, name="api-schema"),
    path("api/docs/", api_docs.show_pages, name="api-docs"),
    path("", include("paddle_sync.urls")),
    path("", include("billing_bridge.urls")),
]

handler400 = "integration_project.api.bad_request"
handler404 = "integration_project.api.page_not_found"
handler500 = "integration_project.api.server_error"
