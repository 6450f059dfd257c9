"""The sample organisation every simulator starts with: its keys, products, plans and prices, with fixed ids."""

from decimal import Decimal
from typing import Any

ORG_ID = "0f2a7c54-3d1e-4b8a-9c60-7e5d1a2b3c4d"
ACCESS_KEY_ID = "gauge-demo-access-key"
API_SECRET = "gauge-demo-api-secret"

PRODUCT_CLOUD = "11111111-aaaa-4a01-8a01-000000000001"
PRODUCT_SEATS = "11111111-aaaa-4a01-8a01-000000000002"
TEMPLATE_CLOUD = "22222222-bbbb-4b02-8b02-000000000001"
TEMPLATE_SEATS = "22222222-bbbb-4b02-8b02-000000000002"
PLAN_SCALE = "33333333-cccc-4c03-8c03-000000000001"
PLAN_BULK = "33333333-cccc-4c03-8c03-000000000002"
PLAN_SEATS = "33333333-cccc-4c03-8c03-000000000003"
GROUP_BUNDLE = "44444444-dddd-4d04-8d04-000000000001"
LINK_CLOUD = "55555555-eeee-4e05-8e05-000000000001"
LINK_SEATS = "55555555-eeee-4e05-8e05-000000000002"
METER = "66666666-ffff-4f06-8f06-000000000001"
AGGREGATION = "77777777-abcd-4a07-8a07-000000000001"
PRICING_SCALE = "88888888-bcde-4b08-8b08-000000000001"
PRICING_BULK = "88888888-bcde-4b08-8b08-000000000002"
CONFIG = "99999999-cdef-4c09-8c09-000000000001"
CUSTOM_FIELDS_OBJECT = "99999999-cdef-4c09-8c09-000000000002"
BILL_CONFIG_OBJECT = "99999999-cdef-4c09-8c09-000000000003"
EUR = "aaaaaaaa-def0-4d0a-8d0a-000000000001"
USD = "aaaaaaaa-def0-4d0a-8d0a-000000000002"
GBP = "aaaaaaaa-def0-4d0a-8d0a-000000000003"
COUNTER_SEATS = "bbbbbbbb-ef01-4e0b-8e0b-000000000001"

METER_API_CALLS = "api_calls"
MEASURE_CALLS = "calls"
SCALE_PLAN_CODE = "scale"
BULK_PLAN_CODE = "bulk"
SEATS_PLAN_CODE = "seats-team"
SEATS_COUNTER_CODE = "seats"

SCALE_STANDING_CHARGE = Decimal(20)
SEATS_STANDING_CHARGE = Decimal(12)

Rows = tuple[dict[str, Any], ...]

PRODUCTS: Rows = (
    {"id": PRODUCT_CLOUD, "name": "Gauge Cloud", "code": "gauge-cloud"},
    {"id": PRODUCT_SEATS, "name": "Gauge Seats", "code": "gauge-seats"},
)


def _template(id: str, product_id: str, name: str, standing_charge: Decimal) -> dict[str, Any]:
    return {
        "id": id,
        "productId": product_id,
        "name": name,
        "currency": "USD",
        "standingCharge": standing_charge,
        "standingChargeDescription": f"{name} base fee",
        "standingChargeInterval": 1,
        "standingChargeOffset": 0,
        "billFrequency": "MONTHLY",
        "billFrequencyInterval": 1,
        "code": name.lower().replace(" ", "-"),
        "ordinal": 1,
        "minimumSpend": Decimal(0),
        "minimumSpendDescription": f"{name} minimum",
        "standingChargeBillInAdvance": False,
        "minimumSpendBillInAdvance": False,
    }


PLAN_TEMPLATES: Rows = (
    _template(TEMPLATE_CLOUD, PRODUCT_CLOUD, "Gauge Cloud", SCALE_STANDING_CHARGE),
    _template(TEMPLATE_SEATS, PRODUCT_SEATS, "Gauge Seats", SEATS_STANDING_CHARGE),
)
PLANS: Rows = (
    {"id": PLAN_SCALE, "planTemplateId": TEMPLATE_CLOUD, "name": "Scale", "code": SCALE_PLAN_CODE},
    {"id": PLAN_BULK, "planTemplateId": TEMPLATE_CLOUD, "name": "Bulk", "code": BULK_PLAN_CODE}
    | {"minimumSpend": Decimal(50)},
    {"id": PLAN_SEATS, "planTemplateId": TEMPLATE_SEATS, "name": "Team seats", "code": SEATS_PLAN_CODE},
)
PLAN_GROUPS: Rows = ({"id": GROUP_BUNDLE, "name": "Gauge Bundle", "code": "gauge-bundle", "currency": "USD"},)
PLAN_GROUP_LINKS: Rows = (
    {"id": LINK_CLOUD, "planGroupId": GROUP_BUNDLE, "planId": PLAN_SCALE},
    {"id": LINK_SEATS, "planGroupId": GROUP_BUNDLE, "planId": PLAN_SEATS},
)
METERS: Rows = (
    {
        "id": METER,
        "productId": PRODUCT_CLOUD,
        "name": "API calls",
        "code": METER_API_CALLS,
        "dataFields": [
            {"category": "MEASURE", "code": MEASURE_CALLS, "name": "Calls", "unit": "calls"},
            {"category": "WHAT", "code": "endpoint", "name": "Endpoint"},
        ],
        "derivedFields": [],
    },
)
AGGREGATIONS: Rows = (
    {
        "id": AGGREGATION,
        "name": "API calls",
        "code": "api_calls_sum",
        "meterId": METER,
        "targetField": MEASURE_CALLS,
        "aggregation": "SUM",
        "rounding": "UP",
        "quantityPerUnit": Decimal(1),
        "unit": "calls",
    },
)


def _band(id: str, lower_limit: int, unit_price: str) -> dict[str, Any]:
    prices = {"fixedPrice": Decimal(0), "unitPrice": Decimal(unit_price)}
    return {"id": id, "lowerLimit": Decimal(lower_limit), **prices}


PRICINGS: Rows = (
    {
        "id": PRICING_SCALE,
        "planId": PLAN_SCALE,
        "aggregationId": AGGREGATION,
        "startDate": "2020-01-01T00:00:00.000Z",
        "type": "DEBIT",
        "cumulative": True,
        "tiersSpanPlan": False,
        "pricingBands": [
            _band("scale-band-1", 0, "0"),
            _band("scale-band-2", 1000, "0.02"),
            _band("scale-band-3", 10000, "0.015"),
        ],
    },
    {
        "id": PRICING_BULK,
        "planId": PLAN_BULK,
        "aggregationId": AGGREGATION,
        "startDate": "2020-01-01T00:00:00.000Z",
        "type": "DEBIT",
        "cumulative": False,
        "tiersSpanPlan": False,
        "pricingBands": [_band("bulk-band-1", 0, "0.03"), _band("bulk-band-2", 5000, "0.01")],
    },
)


def _currency(id: str, code: str, name: str) -> dict[str, Any]:
    rounding = {"archived": False, "maxDecimalPlaces": 2, "roundingMode": "HALF_UP"}
    return {"id": id, "code": code, "name": name, **rounding}


CURRENCIES: Rows = (
    _currency(EUR, "EUR", "Euro"),
    _currency(USD, "USD", "US Dollar"),
    _currency(GBP, "GBP", "Pound Sterling"),
)
COUNTERS: Rows = (
    {"id": COUNTER_SEATS, "productId": PRODUCT_SEATS, "name": "Seats", "code": SEATS_COUNTER_CODE, "unit": "seats"},
)
ORGANIZATION_CONFIG: dict[str, Any] = {
    "id": CONFIG,
    "timezone": "UTC",
    "yearEpoch": "2022-01-01",
    "monthEpoch": "2022-01-01",
    "weekEpoch": "2022-01-04",
    "dayEpoch": "2022-01-01",
    "currency": "USD",
    "currencyConversions": [
        {"from": "USD", "to": "EUR", "multiplier": Decimal("0.92")},
        {"from": "USD", "to": "GBP", "multiplier": Decimal("0.79")},
    ],
    "daysBeforeBillDue": 14,
    "scheduledBillInterval": Decimal(0),
    "scheduledBillOffset": 0,
    "standingChargeBillInAdvance": False,
    "commitmentFeeBillInAdvance": False,
    "minimumSpendBillInAdvance": False,
    "externalInvoiceDate": "FIRST_DAY_OF_NEXT_PERIOD",
    "suppressedEmptyBills": False,
    "consolidateBills": False,
    "billPrefix": "GAUGE-",
    "sequenceStartNumber": 100,
    "autoGenerateStatementMode": "NONE",
    "creditApplicationOrder": ["PREPAYMENT", "BALANCE"],
    "allowNegativeBalances": False,
    "allowOverlappingPlans": False,
}
CUSTOM_FIELDS: dict[str, Any] = {
    "id": CUSTOM_FIELDS_OBJECT,
    "organization": {},
    "account": {"paddleSubscriptionId": "", "paddleCustomerId": ""},
    "accountPlan": {},
    "meter": {},
    "product": {},
    "planTemplate": {},
    "plan": {},
    "aggregation": {},
    "compoundAggregation": {},
    "contract": {},
}
BILL_CONFIG: dict[str, Any] = {"id": BILL_CONFIG_OBJECT}
