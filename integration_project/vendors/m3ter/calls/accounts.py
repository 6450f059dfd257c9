"""Accounts of m3ter and the plans they are charged by."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from integration_project.errors import Conflict, VendorRejected
from integration_project.vendors.m3ter.calls import speaking
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import (
    Account,
    AccountAddress,
    CustomFields,
    EndedEntities,
    NewAccount,
    given,
    moment,
    rewritten,
)
from integration_project.vendors.m3ter.errors import not_listed_yet

ACCOUNT_PLANS = "ACCOUNTPLAN"
"""What m3ter calls account plans, and the groups among them, where a whole account gets an end."""


class AccountCalls(Speaker):
    """Who is charged."""

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
        return self._call("get account", "GET", f"/accounts/{segment(account_id)}", Account.from_m3ter)

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
                f"/accounts/{segment(current.id)}",
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
            f"/accounts/{segment(account_id)}/enddatebillingentities",
            EndedEntities.from_m3ter,
            json={"endDate": moment(end_date), "billingEntities": list(entities), "applyToChildren": False},
        )


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), speaking.PAGE):
        yield values[start : start + speaking.PAGE]
