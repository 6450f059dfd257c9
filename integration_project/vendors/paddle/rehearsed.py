"""What Paddle would answer to each of our writes, for a dry run that sends none of them."""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from integration_project.errors import VendorRejected
from integration_project.vendors.paddle.entities import APPROVED, CANCELED, PENDING_APPROVAL, REFUND
from integration_project.vendors.paddle.errors import POLICIES
from integration_project.vendors.reading import Json
from integration_project.vendors.rehearsal import Rehearsed, Stage, Table, Write

NAME = "paddle"
CANCELABLE = frozenset({"draft", "ready", "billed"})
REFUNDABLE = frozenset({"completed"})
CREDITABLE = frozenset({"billed", "past_due"})


def _charged(stage: Stage, write: Write) -> Json:
    """A charge is answered with the subscription."""
    return stage.look("get subscription", write.path.removesuffix("/charge"))


def _subscribed(stage: Stage, write: Write) -> Json:
    """A destination is answered as it is by then."""
    answer = stage.look("get notification setting", write.path)
    names = [{"name": name} for name in write.body["subscribed_events"]]
    return {**answer, "data": {**answer["data"], "subscribed_events": names}}


def _invoiced(stage: Stage, write: Write) -> Json:
    """An invoice is answered with the transaction; what it comes to, tax included, only Paddle knows."""
    transaction = {"status": "ready", **write.body, "origin": "api", "subscription_id": None, "details": None}
    return {"data": stage.add(write.path, "transaction", transaction)}


def _canceled(stage: Stage, write: Write) -> Json:
    return {"data": stage.change(write.id, {**_transaction(stage, write.id), "status": CANCELED})}


def _not_cancelable(stage: Stage, write: Write) -> None:
    """What was issued and paid stays as it is."""
    status = _transaction(stage, write.id)["status"]
    if status not in CANCELABLE:
        raise _refusal(write, "transaction_immutable", f"the transaction is {status}")


def _adjusted(stage: Stage, write: Write) -> Json:
    """An adjustment is answered as it was asked for, with about the tax that Paddle would work out."""
    transaction, body = _transaction(stage, write.body["transaction_id"]), write.body
    lines = {line["id"]: line for line in _lines(transaction)}
    items = [_adjusted_item(item, lines[item["item_id"]], body["tax_mode"]) for item in body["items"]]
    totals = {name: str(sum(int(item["totals"][name]) for item in items)) for name in ("subtotal", "tax", "total")}
    adjustment = {
        **body,
        "status": PENDING_APPROVAL if body["action"] == REFUND else APPROVED,
        "items": [{**item, "id": f"new-adjustment-item-{number}"} for number, item in enumerate(items, start=1)],
        "totals": totals,
        **{name: transaction.get(name) for name in ("subscription_id", "customer_id", "currency_code")},
    }
    return {"data": stage.add(write.path, "adjustment", adjustment)}


def _adjusted_item(item: Json, line: Json, tax_mode: str) -> Json:
    if item["type"] == "full":
        return {**item, "amount": None, "totals": line["totals"]}
    amount, rate = Decimal(item["amount"]), Decimal(line["tax_rate"])
    tax = amount * rate if tax_mode == "external" else amount - amount / (1 + rate)
    tax = tax.quantize(Decimal(1), rounding=ROUND_HALF_UP)
    subtotal = amount if tax_mode == "external" else amount - tax
    return {**item, "totals": {"subtotal": str(subtotal), "tax": str(tax), "total": str(subtotal + tax)}}


def _not_adjustable(stage: Stage, write: Write) -> None:
    """Only what was paid is refunded, only what is owed is credited, and only by its own lines."""
    action, transaction = write.body["action"], _transaction(stage, write.body["transaction_id"])
    if transaction["status"] not in (REFUNDABLE if action == REFUND else CREDITABLE):
        code = f"adjustment_transaction_invalid_status_for_{action}"
        raise _refusal(write, code, f"the transaction is {transaction['status']}")
    lines = {line["id"] for line in _lines(transaction)}
    unknown = [item["item_id"] for item in write.body["items"] if item["item_id"] not in lines]
    if unknown:
        raise _refusal(write, "adjustment_transaction_item_invalid", f"{unknown[0]} is not of this transaction")


def _transaction(stage: Stage, transaction_id: str) -> Json:
    found: Json = stage.look("get transaction", f"/transactions/{transaction_id}")["data"]
    return found


def _lines(transaction: Json) -> Sequence[Json]:
    details = transaction.get("details") or {}
    return details.get("line_items") or ()


def _refusal(write: Write, code: str, words: str) -> VendorRejected:
    return VendorRejected(NAME, write.operation, 400, code, words, policy=POLICIES[code].value)


def _not_shown(write: Write) -> str:
    """No id: how it was before is kept to itself, since it holds a secret or what the buyer says of themselves."""
    return ""


WRITES: Mapping[str, Rehearsed] = {
    "charge subscription": Rehearsed(_charged),
    "create transaction": Rehearsed(_invoiced),
    "cancel transaction": Rehearsed(_canceled, refuse=_not_cancelable, subject=_not_shown),
    "create adjustment": Rehearsed(_adjusted, refuse=_not_adjustable),
    "update notification setting": Rehearsed(_subscribed, subject=_not_shown),
}
FILTERS = ("id", "customer_id", "subscription_id", "transaction_id", "origin", "status")
TABLE = Table(
    writes=WRITES,
    reading_posts={
        "preview charge": re.compile(r"/subscriptions/[^/]+/charge/preview$"),
        "preview transaction": re.compile(r"/transactions/preview$"),
    },
    filters={name: name for name in FILTERS},
    envelope="data",
)
