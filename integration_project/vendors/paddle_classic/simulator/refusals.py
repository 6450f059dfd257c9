"""Paddle Classic's answers: always 200, with `success` and either a response or an error of one of its codes."""

from typing import Any

from integration_project.vendors.simulation import Answer, Refusal

WORDS: dict[int, str] = {
    101: "Bad method call",
    107: "You don't have permission to access this resource",
    116: "One or more required arguments are missing",
    119: "Unable to find subscription",
    120: "Internal error",
    121: "Unable to find requested payment",
    122: "Unable to parse date",
    123: "Unable to find requested modifier",
    124: "Paid modifier cannot be changed",
    146: "Current invoice is being processed",
    151: "Subscription cannot be updated now, try again later",
    154: "Unable to find order",
    155: "Amount is not valid",
    156: "Order cannot be refunded",
    172: "Order can no longer be refunded",
    181: "The charge_name has more than 50 characters",
    182: "Subscription id is not numeric",
    183: "Charges of nothing or less cannot be made",
    184: "Access denied",
    186: "Amount is below the minimum",
    187: "Subscription is deleted",
    188: "The transaction failed",
    189: "Too many charges, try again later",
    190: "The subscription has no payment method",
    191: "Offset without limit",
    197: "Subscription is not active",
    198: "Plan is not valid",
}
UNSAID = "It is refused"
"""Of codes that only the fault `refuse` gives."""


def success(response: Any = None, **more: Any) -> Answer:
    """The work was done."""
    return Answer(200, {"success": True, "response": response, **more})


def failure(code: int, message: str | None = None) -> Answer:
    """The work was not done."""
    return Answer(200, {"success": False, "error": {"code": code, "message": message or f"{WORDS.get(code, UNSAID)}."}})


def refuse(code: int, message: str | None = None) -> Refusal:
    """A refusal to raise."""
    return Refusal(failure(code, message))
