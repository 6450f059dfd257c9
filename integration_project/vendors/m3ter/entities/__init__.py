"""What m3ter tells us and what we ask of it, as frozen values: amounts are Decimal, moments in UTC.

`raw` is the JSON as it came; a change is written back over it, since m3ter deletes what a PUT leaves out. Neither it
nor a field that may hold personal data appears in a repr.
"""

from integration_project.vendors.m3ter.entities.accounts import (
    LONGEST_NAME,
    Account,
    AccountAddress,
    AccountPlan,
    EndedEntities,
    ExternalMapping,
    NewAccount,
    NewAccountPlan,
    ReplacedAccountPlan,
)
from integration_project.vendors.m3ter.entities.bills import APPROVED, PENDING, Bill, BillJob, BillLine, UnreadBill
from integration_project.vendors.m3ter.entities.catalogue import (
    IntegrationConfig,
    OrganizationConfig,
    Plan,
    PlanGroup,
    PlanGroupLink,
    PlanTemplate,
    Product,
)
from integration_project.vendors.m3ter.entities.charges import AD_HOC, Charge, NewCharge
from integration_project.vendors.m3ter.entities.counters import Counter, CounterAdjustment, NewCounterAdjustment
from integration_project.vendors.m3ter.entities.ingest_failures import IngestFailure, IngestFailureDetail
from integration_project.vendors.m3ter.entities.meters import Meter, MeterField
from integration_project.vendors.m3ter.entities.uploads import LARGEST_FILE, UploadJob, UploadUrl
from integration_project.vendors.m3ter.entities.usage import Measurement
from integration_project.vendors.m3ter.entities.usage_queries import (
    BY_ACCOUNT,
    BY_DAY,
    UsageAggregation,
    UsageGroup,
    UsageRow,
    UsageRows,
)
from integration_project.vendors.m3ter.entities.writing import CustomFields, fitting, given, moment, rewritten

__all__ = [
    "AD_HOC",
    "APPROVED",
    "BY_ACCOUNT",
    "BY_DAY",
    "LARGEST_FILE",
    "LONGEST_NAME",
    "PENDING",
    "Account",
    "AccountAddress",
    "AccountPlan",
    "Bill",
    "BillJob",
    "BillLine",
    "Charge",
    "Counter",
    "CounterAdjustment",
    "CustomFields",
    "EndedEntities",
    "ExternalMapping",
    "IngestFailure",
    "IngestFailureDetail",
    "IntegrationConfig",
    "Measurement",
    "Meter",
    "MeterField",
    "NewAccount",
    "NewAccountPlan",
    "NewCharge",
    "NewCounterAdjustment",
    "OrganizationConfig",
    "Plan",
    "PlanGroup",
    "PlanGroupLink",
    "PlanTemplate",
    "Product",
    "ReplacedAccountPlan",
    "UnreadBill",
    "UploadJob",
    "UploadUrl",
    "UsageAggregation",
    "UsageGroup",
    "UsageRow",
    "UsageRows",
    "fitting",
    "given",
    "moment",
    "rewritten",
]
