"""What a measurement is on our side of the wall: how it is addressed, and what may be said of it. Pure."""

from dataclasses import dataclass

ADDRESSES = ("paddle_subscription_id", "paddle_customer_id", "m3ter_account_code")
"""The three ways to say whose usage it is; an item has exactly one."""
FIELDS = (*ADDRESSES, "uid", "meter", "ts", "ets", "values", "marks")
CORRECTION, AFTER_END, BILL_ON_NEXT = "correction", "after_end", "bill_on_next"
MARKS = {
    CORRECTION: "a negative amount, or usage of a time that is over: older than 35 days, or billed and approved",
    AFTER_END: "usage at a time when the account has no plan any more",
    BILL_ON_NEXT: "usage of a locked bill's period, to be charged on the next bill after review",
}
"""What a sender may say of an item that would be refused else, and what it means."""
LONGEST_UID = 200


@dataclass(frozen=True)
class Refusal:
    """Why an item is not taken: which field, what is wrong with it, and what would help; `code` never changes."""

    code: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason
