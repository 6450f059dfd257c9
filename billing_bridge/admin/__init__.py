"""The console's pages for what flows out of m3ter into Paddle."""

from billing_bridge.admin.bills import PushedBillAdmin
from billing_bridge.admin.ledgers import BillEntryAdmin, CarriedEntryAdmin, PushAdmin
from billing_bridge.admin.policy import PushPolicyAdmin
from billing_bridge.admin.reconciled_bills import ReconciliationRowAdmin
from billing_bridge.admin.reconciliations import ReconciliationRunAdmin

__all__ = [
    "BillEntryAdmin",
    "CarriedEntryAdmin",
    "PushAdmin",
    "PushPolicyAdmin",
    "PushedBillAdmin",
    "ReconciliationRowAdmin",
    "ReconciliationRunAdmin",
]
