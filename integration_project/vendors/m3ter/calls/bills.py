"""Bills of m3ter and the jobs that calculate them."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TypedDict, Unpack

from integration_project.errors import NotFound, VendorRejected
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import Bill, BillJob, UnreadBill, given


class WhichBills(TypedDict, total=False):
    """Which bills are wanted; `bill_date_end` itself is not included."""

    status: str | None
    locked: bool | None
    bill_date_start: date | None
    bill_date_end: date | None
    account_id: str | None


class BillCalls(Speaker):
    """What accounts owe."""

    def get_bill(self, bill_id: str) -> Bill:
        """Read one bill with its lines."""
        return self._call("get bill", "GET", f"/bills/{segment(bill_id)}", Bill.whole)

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
            return self._call("lock bill", "PUT", f"/bills/{segment(bill_id)}/lock", Bill.from_m3ter)
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

    def recalculate_bills(self, bill_ids: Sequence[str]) -> BillJob:
        """Have bills calculated again, up to a hundred, a while after the answer; those approved are PENDING then.

        One that is locked stays as it is.
        """
        body = {"billIds": list(bill_ids)}
        return self._call("recalculate bills", "POST", "/billjobs/recalculate", BillJob.from_m3ter, json=body)

    def get_bill_job(self, job_id: str) -> BillJob:
        """Read how far a bill job is."""
        return self._call("get bill job", "GET", f"/billjobs/{segment(job_id)}", BillJob.from_m3ter)


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
