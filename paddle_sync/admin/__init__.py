"""The console's pages for what flows into m3ter."""

from paddle_sync.admin.catalogue import CatalogueEntryAdmin
from paddle_sync.admin.events import WebhookEventAdmin

__all__ = ["CatalogueEntryAdmin", "WebhookEventAdmin"]
