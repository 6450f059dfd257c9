"""What Paddle Billing tells us and what we ask of it, as frozen values: amounts in minor units, moments in UTC.

Words of an enumeration (status, origin, action) stay plain texts, so that one Paddle adds tomorrow is read like the
rest. `raw` is the JSON as it came. Neither it nor a field that may hold personal data appears in a repr.
"""

from integration_project.vendors.paddle.entities.account import Event, NotificationSetting
from integration_project.vendors.paddle.entities.catalogue import (
    PUSH_ID,
    BillingCycle,
    Currency,
    PaddleMoney,
    Period,
    Price,
    Product,
)
from integration_project.vendors.paddle.entities.charges import (
    LONGEST_PRICE_DESCRIPTION,
    LONGEST_PRICE_NAME,
    LONGEST_PRODUCT_NAME,
    Charge,
    ChargeItem,
)
from integration_project.vendors.paddle.entities.people import Address, Business, Customer
from integration_project.vendors.paddle.entities.previews import PreviewDetails, PreviewLine, PreviewTransaction, Totals
from integration_project.vendors.paddle.entities.subscriptions import (
    ChargePreview,
    ScheduledChange,
    Subscription,
    SubscriptionItem,
)
from integration_project.vendors.paddle.entities.transactions import (
    CANCELED,
    ONE_OFF_CHARGE,
    FoundCharge,
    HistoryEntry,
    Payment,
    Transaction,
    TransactionItem,
    TransactionLine,
    pushes_of,
)

__all__ = [
    "CANCELED",
    "LONGEST_PRICE_DESCRIPTION",
    "LONGEST_PRICE_NAME",
    "LONGEST_PRODUCT_NAME",
    "ONE_OFF_CHARGE",
    "PUSH_ID",
    "Address",
    "BillingCycle",
    "Business",
    "Charge",
    "ChargeItem",
    "ChargePreview",
    "Currency",
    "Customer",
    "Event",
    "FoundCharge",
    "HistoryEntry",
    "NotificationSetting",
    "PaddleMoney",
    "Payment",
    "Period",
    "PreviewDetails",
    "PreviewLine",
    "PreviewTransaction",
    "Price",
    "Product",
    "ScheduledChange",
    "Subscription",
    "SubscriptionItem",
    "Totals",
    "Transaction",
    "TransactionItem",
    "TransactionLine",
    "pushes_of",
]
