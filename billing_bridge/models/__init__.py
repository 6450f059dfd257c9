"""m3ter's bills, what was decided about each, every attempt to charge them in Paddle, and how they are charged."""

from billing_bridge.models.bills import BillEntry, BillRevision, CarriedEntry, Push, PushAttempt, PushedBill
from billing_bridge.models.bills_to_date import BillToDate
from billing_bridge.models.policies import PaddleCurrency, ProductRule, PushPolicy
from billing_bridge.models.reconciliations import ReconciliationRow, ReconciliationRun

__all__ = [
    "BillEntry",
    "BillRevision",
    "BillToDate",
    "CarriedEntry",
    "PaddleCurrency",
    "ProductRule",
    "Push",
    "PushAttempt",
    "PushPolicy",
    "PushedBill",
    "ReconciliationRow",
    "ReconciliationRun",
]
