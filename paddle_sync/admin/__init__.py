"""The console's pages for what flows into m3ter; an account's own page spans both flows (integration_project/pages)."""

from paddle_sync.admin.bulk_runs import BulkItemAdmin, BulkRunAdmin
from paddle_sync.admin.catalogue import CatalogueEntryAdmin
from paddle_sync.admin.events import WebhookEventAdmin
from paddle_sync.admin.mappings import PlanMappingAdmin
from paddle_sync.admin.usage_files import UsageUploadAdmin
from paddle_sync.usage.admin import LateForBillAdmin, UsageBatchAdmin, UsageDayAdmin, UsageFailureAdmin

__all__ = [
    "BulkItemAdmin",
    "BulkRunAdmin",
    "CatalogueEntryAdmin",
    "LateForBillAdmin",
    "PlanMappingAdmin",
    "UsageBatchAdmin",
    "UsageDayAdmin",
    "UsageFailureAdmin",
    "UsageUploadAdmin",
    "WebhookEventAdmin",
]
