"""One walk through every operation of the simulated m3ter, with every field filled in, and what each answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from requests import Session

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import BASE, FULL_ACCOUNT, Organisation

ORGANISATION = f"/organizations/{sample.ORG_ID}"
START = "2026-01-01T00:00:00Z"
LATER = "2027-01-01T00:00:00Z"
CUSTOM = {"customFields": {"colour": "blue", "size": 1.5}}
CHARGES = {
    "standingCharge": 10,
    "standingChargeDescription": "Base fee",
    "standingChargeBillInAdvance": False,
    "minimumSpend": 5,
    "minimumSpendDescription": "Minimum",
    "minimumSpendBillInAdvance": False,
}
BOOKED = {
    "standingChargeAccountingProductId": sample.PRODUCT_SEATS,
    "minimumSpendAccountingProductId": sample.PRODUCT_SEATS,
}
BAND = {"lowerLimit": 0, "fixedPrice": 1, "unitPrice": 0.25}
ANSWERED_ONLY = {"id", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy", "aggregationType", "segmentString"}
NOTHING = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Stop:
    """One call of the tour."""

    operation: str
    method: str
    path: str
    body: Any


class Tour:
    """Calls everything and writes down the answers."""

    def __init__(self) -> None:
        self.organisation = Organisation()
        self.sim = self.organisation.sim
        self.sim.limit_requests(None)
        self.stops: list[Stop] = []
        self.keep("POST", "/oauth/token", self.organisation.log_in().json())

    def keep(self, method: str, path: str, body: Any) -> None:
        operation = self.sim.calls[-1].operation
        assert operation is not None
        self.stops.append(Stop(operation, method, path, body))

    def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        answer = self.organisation.call(method, path, params=params, **({} if body is None else {"json": body}))
        self.keep(method, f"{ORGANISATION}{path}", answer)
        return answer

    def round(self, path: str, body: Mapping[str, Any], *, drop: frozenset[str] = frozenset()) -> Any:
        """Create, list, read and update one entity, and leave it there; delete another like it."""
        made = self.call("POST", path, body)
        self.call("GET", path)
        whole = self.call("GET", f"{path}/{made['id']}")
        sent = {name: value for name, value in whole.items() if name not in ANSWERED_ONLY | drop}
        return self.call("PUT", f"{path}/{made['id']}", plain(sent))


def plain(value: Any) -> Any:
    """The same value with numbers that the standard library can write."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def catalogue(tour: Tour) -> dict[str, str]:
    product = tour.round("/products", {"name": "Tank", "code": "tank", **CUSTOM})
    template = tour.round(
        "/plantemplates",
        {
            "productId": product["id"],
            "name": "Tank monthly",
            "currency": "USD",
            "billFrequency": "MONTHLY",
            "billFrequencyInterval": 1,
            "standingChargeInterval": 1,
            "standingChargeOffset": 0,
            "ordinal": 3,
            "code": "tank-monthly",
            **CHARGES,
            **CUSTOM,
        },
    )
    account = tour.organisation.post("/accounts", {**FULL_ACCOUNT, "code": "bespoke"})
    plan = tour.round(
        "/plans",
        {
            "planTemplateId": template["id"],
            "name": "Tank",
            "code": "tank-plan",
            "ordinal": 4,
            "bespoke": True,
            "accountId": account["id"],
            **CHARGES,
            **BOOKED,
            **CUSTOM,
        },
        drop=frozenset({"productId"}),
    )
    group = tour.round(
        "/plangroups",
        {
            "name": "Tanks",
            "code": "tanks",
            "currency": "USD",
            "accountId": account["id"],
            **CHARGES,
            **BOOKED,
            **CUSTOM,
        },
    )
    link = tour.round("/plangrouplinks", {"planGroupId": group["id"], "planId": plan["id"]})
    meter = tour.round(
        "/meters",
        {
            "name": "Litres",
            "code": "litres",
            "productId": product["id"],
            "groupId": NOTHING,
            "dataFields": [
                {"category": "MEASURE", "code": "litres", "name": "Litres", "unit": "l"},
                {"category": "WHERE", "code": "place", "name": "Place"},
            ],
            "derivedFields": [
                {
                    "category": "MEASURE",
                    "code": "gallons",
                    "name": "Gallons",
                    "unit": "gal",
                    "calculation": "litres / 4.5",
                }
            ],
            **CUSTOM,
        },
    )
    aggregation = tour.round(
        "/aggregations",
        {
            "name": "Litres",
            "code": "litres_sum",
            "meterId": meter["id"],
            "targetField": "litres",
            "aggregation": "SUM",
            "rounding": "UP",
            "quantityPerUnit": 10,
            "unit": "10 l",
            "segmentedFields": ["place"],
            "segments": [{"place": "Cork"}],
            "defaultValue": 0,
            "accountingProductId": product["id"],
            **CUSTOM,
        },
    )
    pricing = {
        "aggregationId": aggregation["id"],
        "startDate": START,
        "endDate": LATER,
        "cumulative": True,
        "tiersSpanPlan": False,
        "type": "DEBIT",
        "segment": {"place": "Cork"},
        "minimumSpend": 1000,
        "minimumSpendDescription": "At least",
        "minimumSpendBillInAdvance": False,
        "description": "Water",
        "accountingProductId": product["id"],
        "code": "water",
        "pricingBands": [BAND],
        "overagePricingBands": [BAND],
    }
    priced = tour.round("/pricings", {**pricing, "planId": plan["id"]})
    tour.call("POST", "/pricings", {**pricing, "code": "template", "planTemplateId": template["id"]})
    currency = tour.round(
        "/picklists/currency",
        {"name": "Krona", "code": "SEK", "archived": False, "maxDecimalPlaces": 2, "roundingMode": "HALF_EVEN"},
    )
    tour.call("DELETE", f"/picklists/currency/{currency['id']}")
    tour.call("DELETE", f"/pricings/{priced['id']}")
    for other in tour.organisation.get("/pricings", planTemplateId=template["id"])["data"]:
        tour.organisation.call("DELETE", f"/pricings/{other['id']}")
    for path in ("plangrouplinks", "aggregations", "meters", "plangroups", "plans", "plantemplates", "products"):
        entity = {
            "plangrouplinks": link,
            "aggregations": aggregation,
            "meters": meter,
            "plangroups": group,
            "plans": plan,
            "plantemplates": template,
            "products": product,
        }[path]
        tour.call("DELETE", f"/{path}/{entity['id']}")
    return {"account": account["id"]}


def settings(tour: Tour) -> None:
    config = tour.call("GET", "/organizationconfig")
    sent = {name: value for name, value in config.items() if name not in ANSWERED_ONLY}
    grace = {"autoApproveBillsGracePeriod": 365, "autoApproveBillsGracePeriodUnit": "DAYS"}
    tour.call("PUT", "/organizationconfig", plain({**sent, **grace, "defaultStatementDefinitionId": NOTHING}))
    custom = tour.call("GET", "/customfields")
    tour.call("PUT", "/customfields", plain({name: custom[name] for name in custom if name not in ANSWERED_ONLY}))


def people(tour: Tour, parent: str) -> str:
    full = {
        **FULL_ACCOUNT,
        "parentAccountId": parent,
        "statementDefinitionId": NOTHING,
        "address": {
            **{f"addressLine{number}": f"Line {number}" for number in range(1, 5)},
            "locality": "Cork",
            "region": "Munster",
            "postCode": "T12",
            "country": "IE",
        },
    }
    account = tour.round("/accounts", full)
    tour.call("GET", "/accounts/search", searchQuery="code:harbour-tools")
    tour.call("GET", f"/accounts/{parent}/children")
    gone = tour.organisation.post("/accounts", {**FULL_ACCOUNT, "code": "gone"})
    tour.call("DELETE", f"/accounts/{gone['id']}")
    return str(account["id"])


def attached(tour: Tour, account_id: str) -> None:
    body = {
        "accountId": account_id,
        "planId": sample.PLAN_SEATS,
        "startDate": START,
        "endDate": LATER,
        "code": "sub_1:seats",
        "billEpoch": "2026-02-01",
        "childBillingMode": "PARENT_SUMMARY",
        **CUSTOM,
    }
    plan = tour.round("/accountplans", body, drop=frozenset({"productId"}))
    tour.call("GET", "/accountplans", account=account_id, includeall="true")
    tour.call("POST", f"/accountplans/{plan['id']}/replace", {**body, "startDate": "2026-02-01T00:00:00Z"})
    tour.call("DELETE", f"/accountplans/{plan['id']}")
    cloud = {"accountId": account_id, "planId": sample.PLAN_SCALE, "startDate": "2026-02-01T00:00:00Z"}
    tour.call("POST", "/accountplans", cloud)
    other = tour.organisation.account(code="bundle")
    group = {"accountId": other["id"], "planGroupId": sample.GROUP_BUNDLE, "startDate": START}
    tour.call("POST", "/accountplans", group)


def counts(tour: Tour, account_id: str) -> None:
    counter = tour.round(
        "/counters", {"name": "Doors", "code": "doors", "unit": "doors", "productId": sample.PRODUCT_SEATS}
    )
    body = {"accountId": account_id, "counterId": counter["id"], "date": "2026-02-03", "value": 7}
    made = tour.call("POST", "/counteradjustments", {**body, "purchaseOrderNumber": "PO-8"})
    tour.call("GET", "/counteradjustments", counterId=counter["id"], accountId=account_id, dateStart="2026-02-01")
    read = tour.call("GET", f"/counteradjustments/{made['id']}")
    changed = {name: value for name, value in read.items() if name not in ANSWERED_ONLY} | {"value": 5}
    tour.call("PUT", f"/counteradjustments/{made['id']}", changed)
    tour.call("DELETE", f"/counteradjustments/{made['id']}")
    tour.call("DELETE", f"/counters/{counter['id']}")


def charges(tour: Tour, account_id: str) -> None:
    body = {
        "name": "Repair",
        "code": "repair-1",
        "accountId": account_id,
        "billDate": "2026-02-10",
        "currency": "EUR",
        "entityType": "AD_HOC",
        "lineItemType": "AD_HOC",
        "accountingProductId": sample.PRODUCT_SEATS,
        "servicePeriodStartDate": START,
        "servicePeriodEndDate": LATER,
    }
    tour.round("/charges", {**body, "units": 3, "unitPrice": 2.5, "description": "Three repairs", "notes": "As agreed"})
    other = tour.call("POST", "/charges", {**body, "code": "repair-2", "amount": 7})
    tour.call("DELETE", f"/charges/{other['id']}")


def usage(tour: Tour) -> None:
    measurement = {"meter": "api_calls", "account": "harbour-tools", "ts": "2026-02-03T10:15:00Z"}
    used = {**measurement, "uid": "1", "measure": {"calls": 12_600}, "what": {"endpoint": "search"}}
    bundled = {**used, "uid": "2", "account": "bundle"}
    tour.call("POST", "/measurements", {"measurements": [used, bundled, {**measurement, "uid": "3"}]})
    tour.sim.process_measurements()
    period = {"startDate": START, "endDate": LATER}
    tour.call("POST", "/usage/query", period)
    [failure] = tour.organisation.get("/events", eventName="ingest.validation.failure")["data"]
    file = failure["m3terEvent"]["eventData"]["newDto"]["file"]
    url = tour.call("GET", "/measurements/failedIngest/getDownloadUrl", file=file)["url"]
    tour.keep("GET", url.removeprefix(BASE), tour.organisation.session.get(url).json())


def uploads(tour: Tour) -> None:
    row = {"uid": "9", "meter": "api_calls", "account": "harbour-tools", "ts": START, "measure": {"calls": 1}}
    content = json.dumps([row]).encode()
    path = "/fileuploads/measurements"
    wanted = {"fileName": "feb.json", "contentType": "application/json", "contentLength": len(content)}
    given = tour.call("POST", f"{path}/generateUploadUrl", wanted)
    session = Session()
    session.mount("http://", tour.organisation.session.get_adapter(BASE))
    assert session.put(given["url"], data=content, headers=given["headers"]).ok
    tour.keep("PUT", given["url"].removeprefix(BASE), {})
    tour.call("GET", f"{path}/jobs")
    tour.call("GET", f"{path}/jobs/{given['jobId']}")
    tour.call("GET", f"{path}/jobs/{given['jobId']}")
    url = tour.call("GET", f"{path}/jobs/{given['jobId']}/original")["url"]
    tour.keep("GET", url.removeprefix(BASE), session.get(url).json())


def billing(tour: Tour, account_id: str) -> None:
    job = tour.call(
        "POST",
        "/billjobs",
        {
            "accountIds": [account_id],
            "billingFrequency": "MONTHLY",
            "billFrequencyInterval": 1,
            "billDate": "2026-03-01",
            "lastDateInBillingPeriod": "2026-02-28",
            "externalInvoiceDate": "2026-03-02",
            "dueDate": "2026-03-20",
            "targetCurrency": "EUR",
            "currencyConversions": [{"from": "USD", "to": "EUR", "multiplier": 0.9}],
            "timezone": "UTC",
            "yearEpoch": "2026-01-01",
            "monthEpoch": "2026-01-01",
            "weekEpoch": "2026-01-06",
            "dayEpoch": "2026-01-01",
        },
    )
    for _ in range(3):
        done = tour.call("GET", f"/billjobs/{job['id']}")
    bill_id = done["billIds"][-1]
    bundled = tour.sim.run_bill_job(["bundle"], "2026-03-01")["bill_ids"][0]
    tour.call("GET", f"/bills/{bundled}/lineitems")
    tour.call("GET", "/bills", includeBillTotal="true")
    tour.call("GET", "/bills/search", searchQuery="locked:false")
    tour.call("POST", "/billjobs/recalculate", {"billIds": [bill_id]})
    stopped = tour.organisation.post("/billjobs", {})
    tour.call("POST", f"/billjobs/{stopped['id']}/cancel")
    tour.call("GET", "/billjobs")
    tour.call("POST", "/bills/approve", {"billIds": [bill_id]})
    tour.call("PUT", f"/bills/{bill_id}/status", {"status": "PENDING"})
    tour.sim.approve_bill(bill_id)
    tour.sim.change_bill(bill_id, externalInvoiceReference="INV-1")
    tour.call("PUT", f"/bills/{bill_id}/lock")
    tour.call("GET", f"/bills/{bill_id}")
    tour.call("GET", "/charges", accountId=account_id, entityType="AD_HOC")
    line = tour.call("GET", f"/bills/{bill_id}/lineitems")["data"][0]
    tour.call("GET", f"/bills/{bill_id}/lineitems/{line['id']}")
    tour.call("GET", f"/bills/latest/{account_id}")
    tour.call("GET", f"/bills/accountid/{account_id}")
    extra = tour.sim.run_bill_job(["bundle"], "2026-04-01")["bill_ids"][-1]
    tour.call("GET", f"/bills/{extra}")
    tour.call("DELETE", f"/bills/{extra}")
    tour.call("GET", "/billconfig")
    tour.call("PUT", "/billconfig", {"version": 1, "billLockDate": "2026-01-15"})
    end = {"endDate": "2026-06-01T00:00:00Z", "billingEntities": ["ACCOUNTPLAN"], "applyToChildren": False}
    tour.call("PUT", f"/accounts/{account_id}/enddatebillingentities", end)


def notices(tour: Tour) -> None:
    rule = tour.round(
        "/notifications/configurations",
        {
            "name": "Bill",
            "description": "Every change of a bill",
            "code": "bill",
            "active": True,
            "alwaysFireEvent": False,
            "calculation": "new.version > 1",
            "eventName": "billing.bill.updated",
        },
    )
    for calculation in ("new.version > 1", "new.version >"):
        tour.call("POST", "/notifications/evaluate", {"calculation": calculation, "eventName": "billing.bill.updated"})
    target = destination(tour)
    config = tour.round(
        "/integrationconfigs",
        {
            "entityType": "Notification",
            "entityId": rule["id"],
            "destination": "Webhook",
            "destinationId": target["id"],
            "configData": {},
            "name": "Bridge",
            "integrationCredentialsId": NOTHING,
        },
        drop=frozenset({"enabled", "authorized", "triggerType"}),
    )
    tour.call("POST", f"/integrationconfigs/{config['id']}/enable")
    tour.call("GET", "/integrationconfigs/entity/Notification", entityId=rule["id"])
    tour.call("GET", "/integrationconfigs/available", systemName="Paddle", entityType="Bill")
    tour.call("GET", "/integrationconfigs/available/systems")
    deliveries(tour, rule["id"], target["id"])
    tour.call("GET", "/events", eventName="billing.bill.updated")
    tour.call("GET", f"/events/{tour.organisation.get('/events')['data'][0]['id']}")
    tour.call("GET", "/events/types")
    tour.call("GET", "/events/fields", eventName="billing.bill.updated")
    tour.call("PUT", f"/integrationdestinations/webhooks/{target['id']}/active", active="false")
    tour.call("DELETE", f"/integrationconfigs/{config['id']}")
    tour.call("DELETE", f"/integrationdestinations/webhooks/{target['id']}")
    tour.call("DELETE", f"/notifications/configurations/{rule['id']}")


def destination(tour: Tour) -> Any:
    path = "/integrationdestinations/webhooks"
    body = {
        "name": "Bridge",
        "description": "Our bridge",
        "code": "bridge",
        "active": True,
        "url": "http://127.0.0.1:8000/hook/",
        "credentials": {"type": "M3TER_SIGNED_REQUEST", "apiKey": "key", "secret": "secret"},
    }
    made = tour.call("POST", path, body)
    tour.call("GET", path)
    tour.call("GET", f"{path}/{made['id']}")
    return tour.call("PUT", f"{path}/{made['id']}", {**body, "version": 1})


def deliveries(tour: Tour, rule_id: str, target_id: str) -> None:
    open_bill = tour.sim.run_bill_job(["bundle"], "2026-03-01")["bill_ids"][0]
    tour.organisation.answers = [500]
    tour.sim.approve_bill(open_bill)
    tour.sim.deliver_webhooks()
    run = tour.call("GET", f"/integrationruns/Notification/{rule_id}")["data"][0]
    tour.organisation.real.move(3600)
    tour.sim.deliver_webhooks()
    tour.call("GET", f"/integrationruns/{run['id']}")
    tour.call("GET", f"/integrationruns/logs/{run['id']}")
    tour.call("GET", f"/integrationruns/destinations/{target_id}")
    tour.call("GET", f"/integrationruns/Notification/latest/{rule_id}")
    tour.call("GET", "/integrationruns/Notification/latest", ids=rule_id)


def mappings(tour: Tour, account_id: str) -> None:
    mapping = tour.round(
        "/externalmappings",
        {
            "m3terEntity": "Account",
            "m3terId": account_id,
            "externalSystem": "bridge",
            "externalTable": "Subscription",
            "externalId": "sub_1",
            "integrationConfigId": NOTHING,
        },
    )
    tour.call("GET", "/externalmappings/externalid/bridge/Subscription/sub_1")
    tour.call("GET", f"/externalmappings/external/Account/{account_id}")
    tour.call("GET", "/externalmappingconfiguration")
    tour.call("GET", "/externalmappingconfiguration/values/PADDLE/Account")
    tour.call("DELETE", f"/externalmappings/{mapping['id']}")


@cache
def taken() -> Tour:
    """The tour, taken once."""
    tour = Tour()
    parent = catalogue(tour)["account"]
    settings(tour)
    account_id = people(tour, parent)
    attached(tour, account_id)
    counts(tour, account_id)
    charges(tour, account_id)
    usage(tour)
    uploads(tour)
    billing(tour, account_id)
    notices(tour)
    mappings(tour, account_id)
    return tour
