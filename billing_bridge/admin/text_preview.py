"""What customers would read, shown beside the policy's texts while somebody types them."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing_bridge import composing
from billing_bridge.models import BillRevision
from integration_project.vendors.paddle.entities import LONGEST_PRICE_NAME

LONGEST_TEXT = 200
SAMPLE: composing.Line = {
    "description": "API calls",
    "accounting_product": "Gauge Cloud",
    "units": "12600",
    "unit": "calls",
    "from": "2026-02-01",
    "to": "2026-03-01",
}
"""A line to fill in before the first bill is there."""


class PreviewedText(forms.TextInput):
    """A text box; the script beside it asks what customers would read, whenever it changes."""

    class Media:
        js = ("console/text_preview.js",)

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Show the box, and under it what the text comes to."""
        return format_html(
            '{}<p class="c-read-as" data-preview-of="{}" data-url="{}" aria-live="polite">{}</p>',
            super().render(name, value, attrs, renderer),
            (attrs or {}).get("id", name),
            reverse("admin:billing_bridge_pushpolicy_reads"),
            reads(str(value or "")),
        )


def reads(text: str) -> str:
    """Say what customers would read of the newest bill's first line, or of a made-up one before the first bill."""
    names = composing.names_of(_line())
    filled = composing.fill_in(text[:LONGEST_TEXT], names) or names["line"]
    cut = f" ({len(filled)} characters; as an item's name it is cut after {LONGEST_PRICE_NAME})"
    return f"Customers read: {filled}{cut if len(filled) > LONGEST_PRICE_NAME else ''}"


def reads_view(request: HttpRequest) -> JsonResponse:
    """Answer what a text comes to, to whoever may see the policy: the newest bill's words stand in it."""
    if not request.user.has_perm("billing_bridge.view_pushpolicy"):
        raise PermissionDenied
    return JsonResponse({"reads": reads(request.GET.get("text", ""))})


def _line() -> composing.Line:
    newest = BillRevision.objects.order_by("-id").values_list("lines", flat=True).first()
    return newest[0] if newest else SAMPLE
