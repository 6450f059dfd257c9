"""m3ter, as far as we need it: each method is a path, a verb and a parse.

All calls count as repeatable. m3ter has no idempotency keys either, but whoever creates something here looks for it
before a repeat (accounts by code, plans by listing them, charges by code, mappings by their external id), and a
measurement has its uid.
"""

from integration_project.vendors.m3ter.calls.account_plans import AccountPlanCalls
from integration_project.vendors.m3ter.calls.accounts import AccountCalls
from integration_project.vendors.m3ter.calls.bills import BillCalls
from integration_project.vendors.m3ter.calls.catalogue import CatalogueCalls
from integration_project.vendors.m3ter.calls.charges import ChargeCalls
from integration_project.vendors.m3ter.calls.counters import CounterCalls
from integration_project.vendors.m3ter.calls.mappings import MappingCalls
from integration_project.vendors.m3ter.calls.uploads import UploadCalls
from integration_project.vendors.m3ter.calls.usage import LARGEST_BODY, MOST_MEASUREMENTS, UsageCalls

__all__ = ["LARGEST_BODY", "MOST_MEASUREMENTS", "M3terClient"]


class M3terClient(
    AccountCalls,
    AccountPlanCalls,
    BillCalls,
    CatalogueCalls,
    ChargeCalls,
    CounterCalls,
    MappingCalls,
    UploadCalls,
    UsageCalls,
):
    """Typed calls to one m3ter organisation, each from the module of its subject."""
