"""m3ter, as far as we need it: each method is a path, a verb and a parse.

All calls count as repeatable. m3ter has no idempotency keys either, but whoever creates something here looks for it
before a repeat (accounts by code, plans by listing them, mappings by their external id), and a measurement has its uid.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from integration_project.errors import Conflict, NotFound, Permanent, Temporary, VendorRejected
from integration_project.vendors import exact_json
from integration_project.vendors.http import VendorHTTP
from integration_project.vendors.m3ter.answers import accepted, entity, page
from integration_project.vendors.m3ter.entities import (
    Account,
    AccountAddress,
    AccountPlan,
    Bill,
    BillJob,
    Counter,
    CounterAdjustment,
    CustomFields,
    EndedEntities,
    ExternalMapping,
    IntegrationConfig,
    Measurement,
    NewAccount,
    NewAccountPlan,
    NewCounterAdjustment,
    OrganizationConfig,
    Plan,
    PlanGroup,
    PlanGroupLink,
    PlanTemplate,
    Product,
    ReplacedAccountPlan,
    UnreadBill,
    given,
    moment,
    rewritten,
)
from integration_project.vendors.m3ter.errors import not_listed_yet
from integration_project.vendors.reading import Json

T = TypeVar("T")

PAGE = 100
MOST_MEASUREMENTS = 1000
LARGEST_BODY = 512_000
ACCOUNT_PLANS = "ACCOUNTPLAN"
"""What m3ter calls account plans, and the groups among them, where a whole account gets an end."""


class WhichBills(TypedDict, total=False):
    """Which bills are wanted; `bill_date_end` itself is not included."""

    status: str | None
    locked: bool | None
    bill_date_start: date | None
    bill_date_end: date | None
    account_id: str | None


class M3terClient:
    """Typed calls to one m3ter organisation; `external_system` is the name our external mappings stand under."""

    def __init__(self, *, http: VendorHTTP, ingest: VendorHTTP, org_id: str, external_system: str) -> None:
        self._http = http
        self._ingest = ingest
        self._root = f"/organizations/{_segment(org_id)}"
        self._system = external_system

    def get_organization_config(self) -> OrganizationConfig:
        """Read how the organisation bills, its timezone above all."""
        return self._call("get organization config", "GET", "/organizationconfig", OrganizationConfig.from_m3ter)

    # Accounts

    def create_account(self, account: NewAccount) -> Account:
        """Make an account; Conflict when its code is taken."""
        return self._call(
            "create account",
            "POST",
            "/accounts",
            Account.from_m3ter,
            json=account.to_m3ter(),
            private=account.private,
        )

    def ensure_account(self, account: NewAccount) -> tuple[Account, bool]:
        """Make an account, or find the one that has its code already; True when it was made just now."""
        try:
            return self.create_account(account), True
        except VendorRejected as refusal:
            found = self.find_account(account.code) if refusal.status in {400, 409, 422} else None
            if found is None:
                raise not_listed_yet(refusal) from None
            return found, False

    def find_account(self, code: str) -> Account | None:
        """The account with exactly this code, or None."""
        accounts = self._list("find account", "/accounts", Account.from_m3ter, {"codes": code})
        return next((account for account in accounts if account.code == code), None)

    def list_accounts(self, *, codes: Sequence[str] = (), ids: Sequence[str] = ()) -> Iterator[Account]:
        """Read the accounts with these codes or ids, a hundred a call; without either all accounts, page by page."""
        if codes and ids:
            raise ValueError("accounts are listed by their codes or by their ids")
        asked = [("codes", batch) for batch in _batches(codes)] + [("ids", batch) for batch in _batches(ids)]
        for params in [{name: ",".join(batch)} for name, batch in asked] or [{}]:
            yield from self._list("list accounts", "/accounts", Account.from_m3ter, params)

    def get_account(self, account_id: str) -> Account:
        """Read one account."""
        return self._call("get account", "GET", f"/accounts/{_segment(account_id)}", Account.from_m3ter)

    def update_account(
        self,
        account: Account,
        *,
        name: str | None = None,
        email_address: str | None = None,
        address: AccountAddress | None = None,
        currency: str | None = None,
        bill_epoch: date | None = None,
        custom_fields: CustomFields | None = None,
    ) -> Account:
        """Change what is given and leave the rest; custom fields are added to those there are.

        Read again and tried once more when somebody else changed the account meanwhile.
        """
        private = [text for text in (name, email_address) if text] + list(address.texts if address else ())
        changes = given(
            name=name,
            emailAddress=email_address,
            address=address.to_m3ter() if address else None,
            currency=currency,
            billEpoch=bill_epoch.isoformat() if bill_epoch else None,
        )

        def put(current: Account) -> Account:
            return self._call(
                "update account",
                "PUT",
                f"/accounts/{_segment(current.id)}",
                Account.from_m3ter,
                json=rewritten(current.raw, changes, custom_fields),
                private=(*private, *current.private),
            )

        try:
            return put(account)
        except Conflict:
            return put(self.get_account(account.id))

    def end_billing_entities(
        self, account_id: str, end_date: datetime, *, entities: Sequence[str] = (ACCOUNT_PLANS,)
    ) -> EndedEntities:
        """Give everything of these kinds that an account has open an end; their versions rise."""
        return self._call(
            "end account billing entities",
            "PUT",
            f"/accounts/{_segment(account_id)}/enddatebillingentities",
            EndedEntities.from_m3ter,
            json={"endDate": moment(end_date), "billingEntities": list(entities), "applyToChildren": False},
        )

    # Account plans

    def create_account_plan(self, plan: NewAccountPlan) -> AccountPlan:
        """Put a plan on an account. List the account's plans before a repeat."""
        path = "/accountplans"
        return self._call("create account plan", "POST", path, AccountPlan.from_m3ter, json=plan.to_m3ter())

    def list_account_plans(self, account_id: str) -> tuple[AccountPlan, ...]:
        """Read all plans an account has or had."""
        params = {"account": account_id, "includeall": "true"}
        return tuple(self._list("list account plans", "/accountplans", AccountPlan.from_m3ter, params))

    def get_account_plan(self, account_plan_id: str) -> AccountPlan:
        """Read one account plan."""
        path = f"/accountplans/{_segment(account_plan_id)}"
        return self._call("get account plan", "GET", path, AccountPlan.from_m3ter)

    def update_account_plan(
        self,
        plan: AccountPlan,
        *,
        end_date: datetime | None = None,
        bill_epoch: date | None = None,
        custom_fields: CustomFields | None = None,
        reopen: bool = False,
    ) -> AccountPlan:
        """Change what is given and leave the rest; read again and tried once more on a conflict.

        `reopen` takes the end away: m3ter deletes what a PUT leaves out.
        """
        if reopen and end_date is not None:
            raise ValueError("a plan that is reopened has no end")
        without = {"endDate"} if reopen else frozenset[str]()
        changes = given(
            endDate=moment(end_date) if end_date else None,
            billEpoch=bill_epoch.isoformat() if bill_epoch else None,
        )

        def put(current: AccountPlan) -> AccountPlan:
            return self._call(
                "update account plan",
                "PUT",
                f"/accountplans/{_segment(current.id)}",
                AccountPlan.from_m3ter,
                json=rewritten(current.raw, changes, custom_fields, without=without),
            )

        try:
            return put(plan)
        except Conflict:
            return put(self.get_account_plan(plan.id))

    def end_account_plan(self, plan: AccountPlan, *, end_date: datetime) -> AccountPlan:
        """Give a plan its end."""
        return self.update_account_plan(plan, end_date=end_date)

    def delete_account_plan(self, plan: AccountPlan) -> None:
        """Take a plan off an account as if it had never been there; one that is gone already is what was wanted.

        m3ter may refuse it once the plan was billed: then it can only be ended.
        """
        try:
            path = f"/accountplans/{_segment(plan.id)}"
            self._call("delete account plan", "DELETE", path, AccountPlan.from_m3ter)
        except NotFound:
            return

    def replace_account_plan(self, account_plan_id: str, plan: NewAccountPlan) -> ReplacedAccountPlan:
        """Swap a plan for another of the same product; the old one ends where the new one starts."""
        path = f"/accountplans/{_segment(account_plan_id)}/replace"
        return self._call("replace account plan", "POST", path, ReplacedAccountPlan.from_m3ter, json=plan.to_m3ter())

    # Counters

    def list_counters(self) -> Iterator[Counter]:
        """Read all counters."""
        return self._list("list counters", "/counters", Counter.from_m3ter)

    def list_counter_adjustments(self, account_id: str, counter_id: str | None = None) -> tuple[CounterAdjustment, ...]:
        """Read the counts of an account, oldest day first.

        m3ter answers for one counter at a time: without one, each counter there is costs a call.
        """
        counters = [counter.id for counter in self.list_counters()] if counter_id is None else [counter_id]
        found = [
            adjustment
            for counter in counters
            for adjustment in self._list(
                "list counter adjustments",
                "/counteradjustments",
                CounterAdjustment.from_m3ter,
                {"counterId": counter, "accountId": account_id},
            )
        ]
        return tuple(sorted(found, key=lambda adjustment: (adjustment.date, adjustment.counter_id)))

    def create_counter_adjustment(self, adjustment: NewCounterAdjustment) -> CounterAdjustment:
        """Say how many an account has from a day on; Conflict when that day has a count already."""
        return self._call(
            "create counter adjustment",
            "POST",
            "/counteradjustments",
            CounterAdjustment.from_m3ter,
            json=adjustment.to_m3ter(),
        )

    def get_counter_adjustment(self, adjustment_id: str) -> CounterAdjustment:
        """Read one count."""
        path = f"/counteradjustments/{_segment(adjustment_id)}"
        return self._call("get counter adjustment", "GET", path, CounterAdjustment.from_m3ter)

    def update_counter_adjustment(self, adjustment: CounterAdjustment, *, value: int) -> CounterAdjustment:
        """Change a count and leave the rest; read again and tried once more on a conflict."""

        def put(current: CounterAdjustment) -> CounterAdjustment:
            return self._call(
                "update counter adjustment",
                "PUT",
                f"/counteradjustments/{_segment(current.id)}",
                CounterAdjustment.from_m3ter,
                json=rewritten(current.raw, {"value": value}),
            )

        try:
            return put(adjustment)
        except Conflict:
            return put(self.get_counter_adjustment(adjustment.id))

    def delete_counter_adjustment(self, adjustment: CounterAdjustment) -> None:
        """Take a count away; one that is gone already is what was wanted."""
        try:
            path = f"/counteradjustments/{_segment(adjustment.id)}"
            self._call("delete counter adjustment", "DELETE", path, CounterAdjustment.from_m3ter)
        except NotFound:
            return

    # External mappings

    def create_external_mapping(self, *, entity: str, m3ter_id: str, table: str, external_id: str) -> ExternalMapping:
        """Note that a m3ter entity is an entity elsewhere."""
        named = {"externalSystem": self._system, "externalTable": table, "externalId": external_id}
        body, path = {"m3terEntity": entity, "m3terId": m3ter_id, **named}, "/externalmappings"
        return self._call("create external mapping", "POST", path, ExternalMapping.from_m3ter, json=body)

    def find_external_mapping(self, *, table: str, external_id: str) -> ExternalMapping | None:
        """The mapping of an entity elsewhere, or None."""
        return next(iter(self.external_mappings_to(table=table, external_id=external_id)), None)

    def external_mappings_to(self, *, table: str, external_id: str) -> tuple[ExternalMapping, ...]:
        """All mappings of an entity elsewhere."""
        path = f"/externalmappings/externalid/{_segment(self._system)}/{_segment(table)}/{_segment(external_id)}"
        return tuple(self._mappings("find external mapping", path))

    def update_external_mapping(self, mapping: ExternalMapping, *, m3ter_id: str) -> ExternalMapping:
        """Have a mapping lead to another m3ter entity of its kind; Temporary when it has changed meanwhile."""
        path, body = f"/externalmappings/{_segment(mapping.id)}", mapping.leading_to(m3ter_id)
        try:
            return self._call("update external mapping", "PUT", path, ExternalMapping.from_m3ter, json=body)
        except Conflict as refusal:
            raise not_listed_yet(refusal) from None

    def delete_external_mapping(self, mapping: ExternalMapping) -> None:
        """Take a mapping away; one that is gone already is what was wanted."""
        try:
            path = f"/externalmappings/{_segment(mapping.id)}"
            self._call("delete external mapping", "DELETE", path, ExternalMapping.from_m3ter)
        except NotFound:
            return

    def external_mappings_of(self, *, entity: str, m3ter_id: str) -> tuple[ExternalMapping, ...]:
        """Our mappings of a m3ter entity; those of other systems are left out."""
        path = f"/externalmappings/external/{_segment(entity)}/{_segment(m3ter_id)}"
        mappings = self._mappings("list external mappings", path)
        return tuple(mapping for mapping in mappings if mapping.external_system == self._system)

    def list_external_mappings(self, *, m3ter_ids: Sequence[str]) -> Iterator[ExternalMapping]:
        """Read our mappings of these m3ter entities, many in one call."""
        params = {"externalSystemId": self._system, "m3terIds": ",".join(m3ter_ids)}
        return self._list("list external mappings", "/externalmappings", ExternalMapping.from_m3ter, params)

    def ensure_external_mapping(self, *, entity: str, m3ter_id: str, table: str, external_id: str) -> ExternalMapping:
        """Make a mapping, or find the same one there is already; another target under the same id is a Conflict."""
        try:
            return self.create_external_mapping(entity=entity, m3ter_id=m3ter_id, table=table, external_id=external_id)
        except VendorRejected as refusal:
            taken = refusal.status in {400, 409, 422}
            found = self.find_external_mapping(table=table, external_id=external_id) if taken else None
            if found is None:
                raise not_listed_yet(refusal) from None
            if (found.m3ter_entity, found.m3ter_id) != (entity, m3ter_id):
                raise
            return found

    # Bills

    def get_bill(self, bill_id: str) -> Bill:
        """Read one bill with its lines."""
        return self._call("get bill", "GET", f"/bills/{_segment(bill_id)}", Bill.whole)

    def list_bills(self, **which: Unpack[WhichBills]) -> Iterator[Bill]:
        """Read bills without their lines."""
        return self._list("list bills", "/bills", Bill.from_m3ter, _bill_params(which))

    def look_through_bills(self, **which: Unpack[WhichBills]) -> Iterator[Bill | UnreadBill]:
        """Read bills as `list_bills` does, and name those that cannot be read instead of stopping at them."""
        return self._list("list bills", "/bills", Bill.or_unread, _bill_params(which))

    def lock_bill(self, bill_id: str) -> Bill:
        """Lock a bill, so that nothing changes it any more; refused while it is PENDING.

        That it is locked already, by a call whose answer was lost perhaps, is what was wanted.
        """
        try:
            return self._call("lock bill", "PUT", f"/bills/{_segment(bill_id)}/lock", Bill.from_m3ter)
        except VendorRejected as refusal:
            bill = None if isinstance(refusal, NotFound) else self.get_bill(bill_id)
            if bill is None or not bill.locked:
                raise
            return bill

    def create_bill_job(self, *, account_id: str, last_day: date) -> BillJob:
        """Have one account's bills calculated up to and including a day, a while after the answer.

        Those of the same periods are calculated again, and PENDING then. A guess: running periods are billed in part.
        """
        body = {"accountIds": [account_id], "lastDateInBillingPeriod": last_day.isoformat()}
        return self._call("create bill job", "POST", "/billjobs", BillJob.from_m3ter, json=body)

    def get_bill_job(self, job_id: str) -> BillJob:
        """Read how far a bill job is."""
        return self._call("get bill job", "GET", f"/billjobs/{_segment(job_id)}", BillJob.from_m3ter)

    # Catalogue

    def list_products(self) -> Iterator[Product]:
        """Read all products."""
        return self._list("list products", "/products", Product.from_m3ter)

    def list_plans(self) -> Iterator[Plan]:
        """Read all plans."""
        return self._list("list plans", "/plans", Plan.from_m3ter)

    def list_plan_templates(self) -> Iterator[PlanTemplate]:
        """Read all plan templates."""
        return self._list("list plan templates", "/plantemplates", PlanTemplate.from_m3ter)

    def list_plan_groups(self) -> Iterator[PlanGroup]:
        """Read all plan groups."""
        return self._list("list plan groups", "/plangroups", PlanGroup.from_m3ter)

    def list_plan_group_links(self) -> Iterator[PlanGroupLink]:
        """Read which plan is in which group."""
        return self._list("list plan group links", "/plangrouplinks", PlanGroupLink.from_m3ter)

    def list_integration_configs(self) -> Iterator[IntegrationConfig]:
        """Read m3ter's own integrations."""
        return self._list("list integration configs", "/integrationconfigs", IntegrationConfig.from_m3ter)

    # Usage

    def submit_measurements(self, measurements: Sequence[Measurement]) -> None:
        """Send usage. Accepted means received; whether it is valid, m3ter's events tell later."""
        body = {"measurements": [measurement.to_m3ter() for measurement in measurements]}
        size = len(exact_json.encode(body))
        if not 1 <= len(measurements) <= MOST_MEASUREMENTS or size >= LARGEST_BODY:
            raise Permanent(
                f"m3ter takes 1 to {MOST_MEASUREMENTS} measurements in less than {LARGEST_BODY} bytes at once,"
                f" not {len(measurements)} in {size}."
            )
        self._ingest.call("submit measurements", "POST", f"{self._root}/measurements", read=accepted, json=body)

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        read: Callable[[Json], T],
        *,
        json: Mapping[str, Any] | None = None,
        private: Sequence[str] = (),
    ) -> T:
        return self._http.call(operation, method, self._root + path, read=entity(read), json=json, private=private)

    def _list(
        self, operation: str, path: str, read: Callable[[Json], T], params: Mapping[str, str] | None = None
    ) -> Iterator[T]:
        """Walk all pages of a list."""
        seen: set[str] = set()
        query = {**(params or {}), "pageSize": str(PAGE)}
        while True:
            found = self._http.call(operation, "GET", self._root + path, read=page(read), params=query)
            yield from found.entries
            if not found.next_token:
                return
            if found.next_token in seen:
                raise Temporary(f"m3ter, {operation}: the pages go round in a circle")
            seen.add(found.next_token)
            query = {**query, "nextToken": found.next_token}

    def _mappings(self, operation: str, path: str) -> tuple[ExternalMapping, ...]:
        """Read a look-up of mappings; that there are none is sometimes a 404, sometimes an empty list."""
        try:
            return tuple(self._list(operation, path, ExternalMapping.from_m3ter))
        except NotFound:
            return ()


def _bill_params(which: WhichBills) -> dict[str, str]:
    """Write what bills are wanted, as m3ter reads it; always without lines and with the total."""
    locked, start, end = which.get("locked"), which.get("bill_date_start"), which.get("bill_date_end")
    return given(
        status=which.get("status"),
        locked=None if locked is None else str(locked).lower(),
        billDateStart=start.isoformat() if start else None,
        billDateEnd=end.isoformat() if end else None,
        accountId=which.get("account_id"),
        excludeLineItems="true",
        includeBillTotal="true",
    )


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), PAGE):
        yield values[start : start + PAGE]


def _segment(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it."""
    if not identifier or identifier in {".", ".."}:
        raise ValueError("an id is needed")
    return quote(identifier, safe="")
