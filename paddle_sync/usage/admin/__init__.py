"""The console's pages of usage: what is on its way, what did not come to count, and bills that it came too late for."""

from paddle_sync.usage.admin.batches import UsageBatchAdmin
from paddle_sync.usage.admin.failures import UsageFailureAdmin
from paddle_sync.usage.admin.late_bills import LateForBillAdmin
from paddle_sync.usage.admin.seen import UsageDayAdmin

__all__ = ["LateForBillAdmin", "UsageBatchAdmin", "UsageDayAdmin", "UsageFailureAdmin"]
