"""Charges of m3ter: single amounts for an account's next bill."""

from integration_project.errors import Conflict, VendorRejected
from integration_project.vendors.m3ter.calls.speaking import Speaker
from integration_project.vendors.m3ter.entities import AD_HOC, Charge, NewCharge
from integration_project.vendors.m3ter.errors import not_listed_yet

M3TER = "m3ter"


class ChargeCalls(Speaker):
    """What an account owes besides its plans."""

    def create_charge(self, charge: NewCharge) -> Charge:
        """Put a charge on an account; Conflict when its code is taken. Find it before a repeat."""
        return self._call("create charge", "POST", "/charges", Charge.from_m3ter, json=charge.to_m3ter())

    def find_charge(self, code: str, *, account_id: str) -> Charge | None:
        """The charge with exactly this code on an account, or None."""
        params = {"accountId": account_id, "entityType": AD_HOC}
        charges = self._list("find charge", "/charges", Charge.from_m3ter, params)
        return next((charge for charge in charges if charge.code == code), None)

    def ensure_charge(self, charge: NewCharge) -> tuple[Charge, bool]:
        """Find the charge that has the code already, or make it; True when it was made just now.

        It is looked for first, since that codes are unique is all that keeps money from being asked for twice. Another
        amount under the same code is a Conflict.
        """
        found = self.find_charge(charge.code, account_id=charge.account_id)
        if found is None:
            try:
                return self.create_charge(charge), True
            except VendorRejected as refusal:
                taken = refusal.status in {400, 409, 422}
                found = self.find_charge(charge.code, account_id=charge.account_id) if taken else None
                if found is None:
                    raise not_listed_yet(refusal) from None
        if not found.is_same_as(charge):
            said = f"the code {charge.code} is that of another charge, over another amount"
            raise Conflict(M3TER, "create charge", 409, "", said, policy="conflict")
        return found, False
