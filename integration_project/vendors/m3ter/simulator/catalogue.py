"""Products, plan templates, plans, plan groups, pricings, meters, aggregations and currencies."""

import uuid
from datetime import datetime
from typing import Any

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of
from integration_project.vendors.m3ter.simulator.measurements import NUMERIC_CATEGORIES, TEXT_CATEGORIES
from integration_project.vendors.m3ter.simulator.memory import Row, one, truth
from integration_project.vendors.m3ter.simulator.rating import CURRENCY_ROUNDING
from integration_project.vendors.m3ter.simulator.resources import Kind, Resource, related
from integration_project.vendors.simulation import Request

NAME = Field(fields.text(1, 200), required=True)
CODE = Field(fields.code(), required=True)
SHORT_TEXT = Field(fields.text(0, 200))
AMOUNT = Field(fields.number(0))
FLAG = Field(fields.flag)
UUID = Field(fields.uuid_text)
NEEDED_UUID = Field(fields.uuid_text, required=True)
CURRENCY = Field(fields.text(3, 3), required=True)

BAND = {
    "id": Field(fields.text()),
    "lowerLimit": Field(fields.number(0), required=True),
    "fixedPrice": Field(fields.number(), required=True),
    "unitPrice": Field(fields.number(), required=True),
    "creditTypeId": Field(fields.text()),
}
DATA_FIELD = {
    "category": Field(fields.choice(*TEXT_CATEGORIES, *NUMERIC_CATEGORIES), required=True),
    "code": Field(fields.identifier(), required=True),
    "name": NAME,
    "unit": Field(fields.text(1, 50)),
}
DERIVED_FIELD = {**DATA_FIELD, "calculation": Field(fields.text(1, 5000), required=True)}


class Products(Resource):
    """What is sold."""

    kind = Kind(
        name="Product",
        plural="Products",
        path="/products",
        collection="products",
        fields={"name": NAME, "code": CODE},
        most=200,
        event="configuration.product",
        has_custom_fields=True,
        unique_code=True,
    )

    def before_delete(self, row: Row) -> None:
        """A product with plan templates stays."""
        if any(template["productId"] == row["id"] for template in self.memory.plan_templates):
            raise Invalid("Product is used by a PlanTemplate")


class PlanTemplates(Resource):
    """Currency, billing frequency and standing charge of plans."""

    kind = Kind(
        name="PlanTemplate",
        plural="PlanTemplates",
        path="/plantemplates",
        collection="plan_templates",
        fields={
            "productId": NEEDED_UUID,
            "name": NAME,
            "currency": CURRENCY,
            "standingCharge": Field(fields.number(0), required=True),
            "standingChargeDescription": SHORT_TEXT,
            "standingChargeInterval": Field(fields.integer(1, 365)),
            "standingChargeOffset": Field(fields.integer(0, 364)),
            "billFrequencyInterval": Field(fields.integer(1, 365)),
            "billFrequency": Field(
                fields.choice("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY", "AD_HOC", "MIXED"), required=True
            ),
            "ordinal": Field(fields.integer(0)),
            "code": Field(fields.code()),
            "minimumSpend": AMOUNT,
            "minimumSpendDescription": SHORT_TEXT,
            "standingChargeBillInAdvance": FLAG,
            "minimumSpendBillInAdvance": FLAG,
        },
        most=100,
        event="configuration.plantemplate",
        has_custom_fields=True,
        filters=(("productId", "productId"),),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The product must exist."""
        related(self.memory.products, values["productId"], field="productId")

    def before_delete(self, row: Row) -> None:
        """A template with plans stays."""
        if any(plan["planTemplateId"] == row["id"] for plan in self.memory.plans):
            raise Invalid("PlanTemplate is used by a Plan")


class Plans(Resource):
    """A template with its prices."""

    kind = Kind(
        name="Plan",
        plural="Plans",
        path="/plans",
        collection="plans",
        fields={
            "planTemplateId": NEEDED_UUID,
            "name": NAME,
            "code": CODE,
            "standingCharge": AMOUNT,
            "standingChargeDescription": SHORT_TEXT,
            "ordinal": Field(fields.integer(0)),
            "bespoke": Field(fields.flag, default=False),
            "minimumSpend": AMOUNT,
            "minimumSpendDescription": SHORT_TEXT,
            "standingChargeBillInAdvance": FLAG,
            "minimumSpendBillInAdvance": FLAG,
            "minimumSpendAccountingProductId": UUID,
            "standingChargeAccountingProductId": UUID,
            "accountId": UUID,
        },
        most=100,
        event="configuration.plan",
        has_custom_fields=True,
        unique_code=True,
        filters=(("productId", "productId"), ("accountId", "accountId")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The product is the template's; a plan for one account is bespoke."""
        template = related(self.memory.plan_templates, values["planTemplateId"], field="planTemplateId")
        values["productId"] = template["productId"]
        if "accountId" in values:
            related(self.memory.accounts, values["accountId"], field="accountId")
            if not values.get("bespoke"):
                raise Invalid("accountId is only valid for a bespoke Plan")

    def before_delete(self, row: Row) -> None:
        """A plan on an account stays."""
        if any(attached.get("planId") == row["id"] for attached in self.memory.account_plans):
            raise Invalid("Plan is used by an AccountPlan")


class PlanGroups(Resource):
    """Several plans sold together."""

    kind = Kind(
        name="PlanGroup",
        plural="PlanGroups",
        path="/plangroups",
        collection="plan_groups",
        fields={
            "name": NAME,
            "code": Field(fields.code()),
            "currency": CURRENCY,
            "minimumSpend": AMOUNT,
            "minimumSpendDescription": SHORT_TEXT,
            "standingCharge": AMOUNT,
            "standingChargeDescription": SHORT_TEXT,
            "standingChargeBillInAdvance": FLAG,
            "minimumSpendBillInAdvance": FLAG,
            "accountId": UUID,
            "minimumSpendAccountingProductId": UUID,
            "standingChargeAccountingProductId": UUID,
        },
        most=200,
        event="configuration.plangroup",
        has_custom_fields=True,
        filters=(("accountId", "accountId"),),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The account of a bespoke group must exist."""
        if "accountId" in values:
            related(self.memory.accounts, values["accountId"], field="accountId")

    def before_delete(self, row: Row) -> None:
        """A group on an account stays."""
        if any(attached.get("planGroupId") == row["id"] for attached in self.memory.account_plans):
            raise Invalid("PlanGroup is used by an AccountPlan")


class PlanGroupLinks(Resource):
    """Which plans a group has, one per product."""

    kind = Kind(
        name="PlanGroupLink",
        plural="PlanGroupLinks",
        path="/plangrouplinks",
        collection="plan_group_links",
        fields={"planGroupId": NEEDED_UUID, "planId": NEEDED_UUID},
        most=100,
        event="configuration.plangrouplink",
        filters=(("planGroup", "planGroupId"), ("plan", "planId")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """Both must exist, and no other plan of the group may be of the same product."""
        related(self.memory.plan_groups, values["planGroupId"], field="planGroupId")
        plan = related(self.memory.plans, values["planId"], field="planId")
        for link in self.memory.plan_group_links:
            other = self.memory.plans.get(link["planId"])
            if link is row or link["planGroupId"] != values["planGroupId"] or other is None:
                continue
            if other["productId"] == plan["productId"]:
                raise Invalid("PlanGroup already has a Plan of this Product")


class Pricings(Resource):
    """What usage of an aggregation costs on a plan."""

    kind = Kind(
        name="Pricing",
        plural="Pricings",
        path="/pricings",
        collection="pricings",
        fields={
            "code": Field(fields.code()),
            "planId": UUID,
            "planTemplateId": UUID,
            "aggregationId": UUID,
            "compoundAggregationId": UUID,
            "cumulative": Field(fields.flag, default=False),
            "startDate": Field(fields.moment, required=True),
            "endDate": Field(fields.moment),
            "description": SHORT_TEXT,
            "accountingProductId": UUID,
            "pricingBands": Field(fields.several(fields.record(BAND), fewest=1), required=True),
            "overagePricingBands": Field(fields.several(fields.record(BAND))),
            "type": Field(fields.choice("DEBIT", "PRODUCT_CREDIT", "GLOBAL_CREDIT"), default="DEBIT"),
            "segment": Field(fields.mapping(fields.text())),
            "tiersSpanPlan": Field(fields.flag, default=False),
            "minimumSpend": AMOUNT,
            "minimumSpendDescription": SHORT_TEXT,
            "minimumSpendBillInAdvance": FLAG,
        },
        most=100,
        event="configuration.pricing",
        filters=(("planId", "planId"), ("planTemplateId", "planTemplateId"), ("aggregationId", "aggregationId")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """One plan or template, one aggregation; bands get ids."""
        if fields.exactly_one(values, ("planId", "planTemplateId")) == "planId":
            related(self.memory.plans, values["planId"], field="planId")
        else:
            related(self.memory.plan_templates, values["planTemplateId"], field="planTemplateId")
        if fields.exactly_one(values, ("aggregationId", "compoundAggregationId")) == "compoundAggregationId":
            raise Invalid(f"compoundAggregationId {values['compoundAggregationId']} does not exist")
        related(self.memory.aggregations, values["aggregationId"], field="aggregationId")
        limits = [band["lowerLimit"] for band in values["pricingBands"]]
        if len(set(limits)) != len(limits):
            raise Invalid("pricingBands must have different lower limits")
        for band in [*values["pricingBands"], *values.get("overagePricingBands", [])]:
            band.setdefault("id", str(uuid.uuid4()))
        values["aggregationType"] = "SIMPLE"
        values["segmentString"] = (
            ", ".join(f"{name}={value}" for name, value in values.get("segment", {}).items()) or None
        )

    def matches(self, row: Row, request: Request) -> bool:
        """With a date, only what is in force then."""
        day = one(request, "date")
        if day is not None:
            at = _moment_or_day(day)
            end = row.get("endDate")
            if moment_of(row["startDate"]) > at or (end is not None and moment_of(end) <= at):
                return False
        return True


def _moment_or_day(value: str) -> datetime:
    if len(value) == 10:
        return moment_of(f"{fields.day('date', value)}T00:00:00Z")
    return moment_of(fields.moment("date", value))


class Meters(Resource):
    """What measurements carry."""

    kind = Kind(
        name="Meter",
        plural="Meters",
        path="/meters",
        collection="meters",
        fields={
            "productId": UUID,
            "groupId": UUID,
            "name": NAME,
            "code": CODE,
            "dataFields": Field(fields.several(fields.record(DATA_FIELD), fewest=1, most=15), required=True),
            "derivedFields": Field(fields.several(fields.record(DERIVED_FIELD), most=15), required=True),
        },
        most=100,
        event="configuration.meter",
        has_custom_fields=True,
        unique_code=True,
        filters=(("productId", "productId"), ("codes", "code")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """Field codes differ, text fields have no unit, and a field that an aggregation uses stays."""
        if "productId" in values:
            related(self.memory.products, values["productId"], field="productId")
        every: list[Any] = [*values["dataFields"], *values["derivedFields"]]
        codes = [field["code"] for field in every]
        if len(set(codes)) != len(codes):
            raise Invalid("Field codes of a Meter must be unique")
        for field in every:
            if "unit" in field and field["category"] not in NUMERIC_CATEGORIES:
                raise Invalid(f"unit is only valid for numeric fields, not for {field['code']}")
        for aggregation in self.memory.aggregations:
            if row is not None and aggregation["meterId"] == row["id"] and aggregation["targetField"] not in codes:
                raise Invalid(f"Field {aggregation['targetField']} is used by an Aggregation")

    def before_delete(self, row: Row) -> None:
        """A meter with aggregations stays."""
        if any(aggregation["meterId"] == row["id"] for aggregation in self.memory.aggregations):
            raise Invalid("Meter is used by an Aggregation")


class Aggregations(Resource):
    """How the measurements of a period become one quantity."""

    kind = Kind(
        name="Aggregation",
        plural="Aggregations",
        path="/aggregations",
        collection="aggregations",
        fields={
            "name": NAME,
            "rounding": Field(fields.choice("UP", "DOWN", "NEAREST", "NONE"), required=True),
            "quantityPerUnit": Field(fields.number(0), required=True),
            "unit": Field(fields.text(1, 50), required=True),
            "code": Field(fields.identifier()),
            "accountingProductId": UUID,
            "meterId": NEEDED_UUID,
            "targetField": Field(fields.text(1, 80), required=True),
            "aggregation": Field(
                fields.choice("SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN", "UNIQUE", "CUSTOM_SQL"), required=True
            ),
            "segmentedFields": Field(fields.several(fields.text(), most=5)),
            "segments": Field(fields.several(fields.mapping(fields.text()), most=1000)),
            "defaultValue": Field(fields.number(0)),
            "customSql": Field(fields.text(0, 2048)),
        },
        most=100,
        event="configuration.aggregation",
        has_custom_fields=True,
        filters=(("codes", "code"),),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The meter must exist and have the target field."""
        meter = related(self.memory.meters, values["meterId"], field="meterId")
        categories = {field["code"]: field["category"] for field in [*meter["dataFields"], *meter["derivedFields"]]}
        if values["targetField"] not in categories:
            raise Invalid(f"targetField {values['targetField']} is not a field of the Meter")
        if values["aggregation"] == "CUSTOM_SQL":
            raise Invalid("aggregation CUSTOM_SQL is not simulated")
        is_number = categories[values["targetField"]] in NUMERIC_CATEGORIES
        if values["aggregation"] not in ("COUNT", "UNIQUE") and not is_number:
            raise Invalid(f"aggregation {values['aggregation']} needs a numeric field")

    def matches(self, row: Row, request: Request) -> bool:
        """`productId` is the meter's."""
        meter = self.memory.meters.get(row["meterId"]) or {}
        products = [value for values in request.params.get("productId", ()) for value in values.split(",")]
        return not products or meter.get("productId") in products

    def before_delete(self, row: Row) -> None:
        """A priced aggregation stays."""
        if any(pricing.get("aggregationId") == row["id"] for pricing in self.memory.pricings):
            raise Invalid("Aggregation is used by a Pricing")


class Currencies(Resource):
    """The currencies of the organisation and how they round."""

    kind = Kind(
        name="Currency",
        plural="Currencies",
        path="/picklists/currency",
        collection="currencies",
        fields={
            "name": NAME,
            "code": Field(fields.identifier()),
            "archived": Field(fields.flag, default=False),
            "maxDecimalPlaces": Field(fields.integer(0, 5)),
            "roundingMode": Field(fields.choice(*CURRENCY_ROUNDING, "UNNECESSARY")),
        },
        most=100,
        unique_code=True,
        filters=(("codes", "code"),),
    )

    def matches(self, row: Row, request: Request) -> bool:
        """Archived ones can be asked for or left out."""
        archived = truth(request, "archived")
        return archived in (None, row["archived"])


KINDS = (Products, PlanTemplates, Plans, PlanGroups, PlanGroupLinks, Pricings, Meters, Aggregations, Currencies)
