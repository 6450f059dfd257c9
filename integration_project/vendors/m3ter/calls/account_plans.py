"""The plans that accounts of m3ter are charged by."""

from datetime import date, datetime

from integration_project.errors import Conflict, NotFound
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import (
    AccountPlan,
    CustomFields,
    NewAccountPlan,
    ReplacedAccountPlan,
    given,
    moment,
    rewritten,
)


class AccountPlanCalls(Speaker):
    """What accounts are charged by."""

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
        path = f"/accountplans/{segment(account_plan_id)}"
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
                f"/accountplans/{segment(current.id)}",
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
            path = f"/accountplans/{segment(plan.id)}"
            self._call("delete account plan", "DELETE", path, AccountPlan.from_m3ter)
        except NotFound:
            return

    def replace_account_plan(self, account_plan_id: str, plan: NewAccountPlan) -> ReplacedAccountPlan:
        """Swap a plan for another of the same product; the old one ends where the new one starts."""
        path = f"/accountplans/{segment(account_plan_id)}/replace"
        return self._call("replace account plan", "POST", path, ReplacedAccountPlan.from_m3ter, json=plan.to_m3ter())
