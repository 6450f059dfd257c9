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
    154: "Unable to find order",
    155: "Amount is not valid",
    156: "Order cannot be refunded",
    182: "Subscription id is not numeric",
    187: "Subscription is deleted",
    191: "Offset without limit",
    198: "Plan is not valid",
}


def success(response: Any = None, **more: Any) -> Answer:
    """The work was done."""
    return Answer(200, {"success": True, "response": response, **more})


def failure(code: int, message: str | None = None) -> Answer:
    """The work was not done."""
    return Answer(200, {"success": False, "error": {"code": code, "message": message or f"{WORDS[code]}."}})


def refuse(code: int, message: str | None = None) -> Refusal:
    """A refusal to raise."""
    return Refusal(failure(code, message))
