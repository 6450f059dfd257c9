"""Accounts and the plans they are charged on."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from integration_project.vendors.m3ter.simulator import fields, searching
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of
from integration_project.vendors.m3ter.simulator.memory import Row, one, page, present, refusal, truth
from integration_project.vendors.m3ter.simulator.resources import (
    ORGANISATION,
    Kind,
    Resource,
    checked_version,
    related,
    wanted,
)
from integration_project.vendors.simulation import Answer, Request, Route

ADDRESS = {
    "addressLine1": Field(fields.text(0, 50)),
    "addressLine2": Field(fields.text(0, 50)),
    "addressLine3": Field(fields.text()),
    "addressLine4": Field(fields.text()),
    "locality": Field(fields.text(0, 100)),
    "region": Field(fields.text(0, 50)),
    "postCode": Field(fields.text(0, 20)),
    "country": Field(fields.text(0, 100)),
}
STATEMENT_MODES = ("NONE", "JSON", "JSON_AND_CSV")
CREDIT_TYPES = ("PREPAYMENT", "BALANCE")
END_DATED = ("CONTRACT", "ACCOUNTPLAN", "PREPAYMENT", "PRICINGS", "COUNTER_PRICINGS")


class Accounts(Resource):
    """Who is billed."""

    kind = Kind(
        name="Account",
        plural="Accounts",
        path="/accounts",
        collection="accounts",
        fields={
            "name": Field(fields.text(1, 200), required=True),
            "code": Field(fields.code(), required=True),
            "emailAddress": Field(fields.email, required=True),
            "address": Field(fields.record(ADDRESS)),
            "parentAccountId": Field(fields.uuid_text),
            "billEpoch": Field(fields.day),
            "purchaseOrderNumber": Field(fields.text(0, 100)),
            "currency": Field(fields.text(3, 3)),
            "statementDefinitionId": Field(fields.uuid_text),
            "autoGenerateStatementMode": Field(fields.choice(*STATEMENT_MODES), default="NONE"),
            "creditApplicationOrder": Field(fields.several(fields.choice(*CREDIT_TYPES), most=2)),
            "daysBeforeBillDue": Field(fields.integer(0)),
        },
        most=100,
        event="configuration.account",
        has_custom_fields=True,
        unique_code=True,
        filters=(("codes", "code"),),
    )
    searchable = frozenset(
        {"name", "code", "currency", "purchaseOrderNumber", "parentAccountId", "codes", "id", "ids"}
        | {"createdBy", "dtCreated", "lastModifiedBy"}
    )

    def routes(self) -> Sequence[Route]:
        """The usual five, search, children and the end-dating call."""
        path = f"{ORGANISATION}/accounts"
        return (
            Route("GET", f"{path}/search", "search accounts", self.search),
            *super().routes(),
            Route("GET", f"{path}/{{id}}/children", "list account children", self.children),
            Route("PUT", f"{path}/{{id}}/enddatebillingentities", "end account billing entities", self.end_date),
        )

    def prepare(self, values: Row, row: Row | None) -> None:
        """A parent must exist and be another account."""
        parent = values.get("parentAccountId")
        if parent is not None:
            related(self.memory.accounts, parent, field="parentAccountId")
            if row is not None and parent == row["id"]:
                raise Invalid("An Account cannot be its own parent")

    def before_delete(self, row: Row) -> None:
        """An account with plans, counts or charges stays."""
        if self.memory.account_plans.having("accountId", row["id"]):
            raise Invalid("Account is used by an AccountPlan")
        if self.memory.counter_adjustments.having("accountId", row["id"]):
            raise Invalid("Account is used by a CounterAdjustment")
        if self.memory.charges.having("accountId", row["id"]):
            raise Invalid("Account is used by a Charge")

    def search(self, request: Request) -> Answer:
        """GET /accounts/search."""
        return searching.search(self.memory, self.rows, request, searchable=self.searchable)

    def children(self, request: Request) -> Answer:
        """GET the accounts below one."""
        parent = self.needed(request)
        rows = [present(row) for row in self.rows.newest_first() if row.get("parentAccountId") == parent["id"]]
        return page(self.memory, rows, self.rows, request, most=200)

    def end_date(self, request: Request) -> Answer:
        """Give what is charged on this account an end; the versions of what it touches rise."""
        wanted_fields = {
            "endDate": Field(fields.moment, required=True),
            "billingEntities": Field(fields.several(fields.choice(*END_DATED), fewest=1), required=True),
            "applyToChildren": Field(fields.flag, default=False),
        }
        values = fields.read(wanted_fields, request.json)
        account = self.needed(request)
        ids = {account["id"]}
        if values["applyToChildren"]:
            ids |= {row["id"] for row in self.rows if row.get("parentAccountId") == account["id"]}
        ended: list[str] = []
        if "ACCOUNTPLAN" in values["billingEntities"]:
            ended = AccountPlans(self.memory).end_all(ids, values["endDate"])
        updated = {kind: ended if kind == "ACCOUNTPLAN" else [] for kind in values["billingEntities"]}
        body = {"statusMessage": "Success", "updatedEntities": updated, "failedEntities": {}}
        return Answer(200, body)


class AccountPlans(Resource):
    """Plans and plan groups on an account: at any time at most one active per product."""

    kind = Kind(
        name="AccountPlan",
        plural="AccountPlans",
        path="/accountplans",
        collection="account_plans",
        fields={
            "accountId": Field(fields.uuid_text, required=True),
            "planId": Field(fields.uuid_text),
            "planGroupId": Field(fields.uuid_text),
            "startDate": Field(fields.moment, required=True),
            "endDate": Field(fields.moment),
            "code": Field(fields.code()),
            "billEpoch": Field(fields.day),
            "contractId": Field(fields.uuid_text),
            "childBillingMode": Field(
                fields.choice("PARENT_SUMMARY", "PARENT_BREAKDOWN", "CHILD"), default="PARENT_BREAKDOWN"
            ),
        },
        most=100,
        event="configuration.accountplan",
        has_custom_fields=True,
        filters=(("account", "accountId"),),
    )

    def routes(self) -> Sequence[Route]:
        """The usual five and replace."""
        replace = f"{ORGANISATION}/accountplans/{{id}}/replace"
        return (*super().routes(), Route("POST", replace, "replace account plan", self.replace))

    def prepare(self, values: Row, row: Row | None) -> None:
        """Refuse what does not exist, is bespoke to another account, or overlaps."""
        related(self.memory.accounts, values["accountId"], field="accountId")
        end = values.get("endDate")
        if end is not None and moment_of(end) < moment_of(values["startDate"]):
            raise Invalid("endDate must not be before startDate")
        if "contractId" in values:
            raise Invalid(f"contractId {values['contractId']} does not exist")
        if fields.exactly_one(values, ("planId", "planGroupId")) == "planId":
            sold = related(self.memory.plans, values["planId"], field="planId")
            values["productId"] = sold["productId"]
        else:
            sold = related(self.memory.plan_groups, values["planGroupId"], field="planGroupId")
            values["productId"] = None
        if sold.get("accountId") not in (None, values["accountId"]):
            raise Invalid("This plan was created for another Account")
        self._refuse_overlap(values, row)

    def before_delete(self, row: Row) -> None:
        """A plan that was billed stays; one that no bill has a line of may go."""
        if any(self._charged(bill, row) for bill in self.memory.bills.having("accountId", row["accountId"])):
            raise refusal(self.memory.guesses.billed_plan_status, "AccountPlan has been billed and cannot be deleted")

    @staticmethod
    def _charged(bill: Row, attached: Row) -> bool:
        """Whether a bill has a line of this plan or plan group, for a time at which it was on the account."""
        sold = (attached.get("planId"), attached.get("planGroupId"))
        return any(
            (line.get("planGroupId") or line.get("planId")) in sold
            and is_active(attached, moment_of(line["servicePeriodStartDate"]))
            for line in bill["lineItems"]
        )

    def products_of(self, attached: Row) -> set[str]:
        """The products an account plan, or the members of its group, charge for."""
        if attached.get("planId") is not None:
            return {self.memory.plans.need(attached["planId"], kind="Plan")["productId"]}
        return {plan["productId"] for plan in self.plans_in(attached)}

    def plans_in(self, attached: Row) -> list[Row]:
        """The plans an account plan stands for: one, or the members of its group."""
        if attached.get("planId") is not None:
            return [self.memory.plans.need(attached["planId"], kind="Plan")]
        links = [link for link in self.memory.plan_group_links if link["planGroupId"] == attached["planGroupId"]]
        return [self.memory.plans.need(link["planId"], kind="Plan") for link in links]

    def _refuse_overlap(self, values: Row, row: Row | None) -> None:
        if self.memory.organization_config.get("allowOverlappingPlans"):
            return
        products = self.products_of(values)
        for other in self.rows.having("accountId", values["accountId"]):
            if other is row or not _overlap(values, other):
                continue
            if products & self.products_of(other):
                message = "Account already has an active AccountPlan for this Product in the period"
                raise refusal(self.memory.guesses.overlapping_plan_status, message)

    def matches(self, row: Row, request: Request) -> bool:
        """The list's filters; with an account alone only what is active now."""
        account, plan, product = one(request, "account"), one(request, "plan"), one(request, "product")
        contract, day = one(request, "contract"), one(request, "date")
        if product is not None and account is None:
            raise Invalid("product must be used together with account")
        if not wanted(request, row, ("account", "accountId"), ("plan", "planId"), ("contract", "contractId")):
            return False
        if product is not None and product not in self.products_of(row):
            return False
        if day is not None:
            fields.day("date", day[:10])
            return str(row["startDate"])[:10] <= day[:10]
        narrowed = any((account, plan, contract))
        everything = truth(request, "includeall") or request.params.get("ids")
        return bool(narrowed and everything) or bool(request.params.get("ids")) or is_active(row, request.at)

    def replace(self, request: Request) -> Answer:
        """End one plan where another begins, in one call."""
        original = self.needed(request)
        values = self._read(request.json)
        if values["accountId"] != original["accountId"]:
            raise Invalid("accountId must be the Account of the AccountPlan that is replaced")
        begins = moment_of(values["startDate"])
        ends = original.get("endDate")
        if begins < moment_of(original["startDate"]) or (ends is not None and begins > moment_of(ends)):
            raise Invalid("startDate must lie within the AccountPlan that is replaced")
        kept = original.get("endDate")
        original["endDate"] = values["startDate"]
        try:
            new = self.added(values)
        finally:
            original["endDate"] = kept
        self.change(original, {"endDate": values["startDate"]})
        return Answer(200, {"originalAccountPlan": self.shown(original), "newAccountPlan": self.shown(new)})

    def end_all(self, account_ids: Iterable[str], end: str) -> list[str]:
        """Give every plan of these accounts that lasts longer this end."""
        ended = []
        for row in list(self.rows):
            later = row.get("endDate") is None or moment_of(row["endDate"]) > moment_of(end)
            if row["accountId"] in set(account_ids) and later and moment_of(row["startDate"]) <= moment_of(end):
                self.change(row, {"endDate": end})
                ended.append(row["id"])
        return ended


def is_active(attached: Row, at: datetime) -> bool:
    """Whether an account plan has begun and not ended."""
    end = attached.get("endDate")
    return moment_of(attached["startDate"]) <= at and (end is None or at < moment_of(end))


def _overlap(one_plan: Row, other: Row) -> bool:
    def begins_before_the_end_of(first: Row, second: Row) -> bool:
        end = second.get("endDate")
        return end is None or moment_of(first["startDate"]) < moment_of(end)

    def is_empty(row: Row) -> bool:
        return row.get("endDate") is not None and moment_of(row["endDate"]) <= moment_of(row["startDate"])

    if is_empty(one_plan) or is_empty(other):
        return False
    return begins_before_the_end_of(one_plan, other) and begins_before_the_end_of(other, one_plan)


CONVERSION = {
    "from": Field(fields.text(1), required=True),
    "to": Field(fields.text(1), required=True),
    "multiplier": Field(fields.number(0)),
}


class Organisation:
    """The organisation's own settings: one object each, with GET and PUT."""

    def __init__(self, accounts: Accounts) -> None:
        self.memory = accounts.memory

    def routes(self) -> Sequence[Route]:
        """Both objects, read and written."""
        config, custom = f"{ORGANISATION}/organizationconfig", f"{ORGANISATION}/customfields"
        return (
            Route("GET", config, "get organization config", self.get_config),
            Route("PUT", config, "update organization config", self.put_config),
            Route("GET", custom, "get custom fields", self.get_custom_fields),
            Route("PUT", custom, "update custom fields", self.put_custom_fields),
        )

    config_fields = {
        "version": Field(fields.integer()),
        "timezone": Field(fields.zone, required=True),
        "yearEpoch": Field(fields.day, required=True),
        "monthEpoch": Field(fields.day, required=True),
        "weekEpoch": Field(fields.day, required=True),
        "dayEpoch": Field(fields.day, required=True),
        "currency": Field(fields.text(3, 3), required=True),
        "daysBeforeBillDue": Field(fields.integer(0), required=True),
        "currencyConversions": Field(fields.several(fields.record(CONVERSION))),
        "scheduledBillInterval": Field(fields.number(0)),
        "scheduledBillOffset": Field(fields.integer(0, 23)),
        "standingChargeBillInAdvance": Field(fields.flag),
        "commitmentFeeBillInAdvance": Field(fields.flag),
        "minimumSpendBillInAdvance": Field(fields.flag),
        "autoApproveBillsGracePeriod": Field(fields.integer(0)),
        "autoApproveBillsGracePeriodUnit": Field(fields.choice("MINUTES", "HOURS", "DAYS")),
        "externalInvoiceDate": Field(fields.choice("FIRST_DAY_OF_NEXT_PERIOD", "LAST_DAY_OF_ARREARS")),
        "suppressedEmptyBills": Field(fields.flag),
        "consolidateBills": Field(fields.flag),
        "defaultStatementDefinitionId": Field(fields.uuid_text),
        "autoGenerateStatementMode": Field(fields.choice(*STATEMENT_MODES)),
        "creditApplicationOrder": Field(fields.several(fields.choice(*CREDIT_TYPES), most=2)),
        "allowNegativeBalances": Field(fields.flag),
        "allowOverlappingPlans": Field(fields.flag),
        "billPrefix": Field(fields.text(1, 50)),
        "sequenceStartNumber": Field(fields.integer(0)),
    }
    custom_entities = (
        "organization",
        "account",
        "accountPlan",
        "meter",
        "product",
        "planTemplate",
        "plan",
        "aggregation",
        "compoundAggregation",
        "contract",
    )

    def get_config(self, request: Request) -> Answer:
        """GET /organizationconfig."""
        return Answer(200, present(self.memory.organization_config))

    def put_config(self, request: Request) -> Answer:
        """PUT /organizationconfig."""
        if isinstance(request.json, dict) and request.json.get("consolidateBills"):
            raise Invalid("consolidateBills is not simulated")
        return self._put(
            request, self.memory.organization_config, self.config_fields, "configuration.organizationconfig"
        )

    def get_custom_fields(self, request: Request) -> Answer:
        """GET /customfields."""
        return Answer(200, present(self.memory.custom_fields))

    def put_custom_fields(self, request: Request) -> Answer:
        """PUT /customfields."""
        allowed = {
            "version": Field(fields.integer()),
            **{
                entity: Field(fields.mapping(fields.text_or_number, most=25), default={})
                for entity in self.custom_entities
            },
        }
        return self._put(request, self.memory.custom_fields, allowed, "configuration.customfield")

    def _put(self, request: Request, row: Row, allowed: fields.Fields, event: str) -> Answer:
        values = fields.read(allowed, request.json)
        checked_version(request, row, self.memory)
        old = dict(row)
        row.update(dict.fromkeys(allowed), **values)
        row.update(version=old["version"] + 1, dtLastModified=fields.stamp(request.at))
        self.memory.emit(f"{event}.updated", present(row), present(old))
        return Answer(200, present(row))
