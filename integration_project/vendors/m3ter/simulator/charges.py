"""Charges: single amounts that an account's next bill has a line of."""

from collections.abc import Sequence
from decimal import Decimal

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.charging import Bill, Span
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, one
from integration_project.vendors.m3ter.simulator.rating import EXACT
from integration_project.vendors.m3ter.simulator.resources import Kind, Resource, related, wanted
from integration_project.vendors.simulation import Request

AD_HOC = "AD_HOC"
LINE_TYPES = {AD_HOC: AD_HOC, "BALANCE": "BALANCE_FEE"}


class Charges(Resource):
    """Amounts on an account, each for one bill."""

    kind = Kind(
        name="Charge",
        plural="Charges",
        path="/charges",
        collection="charges",
        fields={
            "name": Field(fields.text(1, 200), required=True),
            "code": Field(fields.code(), required=True),
            "accountId": Field(fields.uuid_text, required=True),
            "billDate": Field(fields.day),
            "amount": Field(fields.number()),
            "units": Field(fields.number()),
            "unitPrice": Field(fields.number()),
            "currency": Field(fields.text(3, 3), required=True),
            "description": Field(fields.text()),
            "entityType": Field(fields.choice(*LINE_TYPES), required=True),
            "lineItemType": Field(fields.choice(*LINE_TYPES.values()), required=True),
            "entityId": Field(fields.text()),
            "accountingProductId": Field(fields.uuid_text),
            "servicePeriodStartDate": Field(fields.moment, required=True),
            "servicePeriodEndDate": Field(fields.moment, required=True),
            "notes": Field(fields.text()),
            "contractId": Field(fields.text()),
        },
        most=200,
        event="billing.charge",
        unique_code=True,
        filters=(("accountId", "accountId"),),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """An amount or units with their price, of the account itself; what a bill has is not changed any more."""
        if row is not None:
            _refuse_billed(row)
        values["billId"] = None
        related(self.memory.accounts, values["accountId"], field="accountId")
        if values["entityType"] != AD_HOC:
            raise Invalid(f"entityType {values['entityType']} is not simulated")
        if values["lineItemType"] != LINE_TYPES[values["entityType"]]:
            raise Invalid(f"lineItemType {values['lineItemType']} does not fit the entityType")
        for name in ("entityId", "contractId"):
            if name in values:
                raise Invalid(f"{name} {values[name]} does not exist")
        if "accountingProductId" in values:
            related(self.memory.products, values["accountingProductId"], field="accountingProductId")
        priced = [name for name in ("units", "unitPrice") if name in values]
        if ("amount" in values) == bool(priced) or len(priced) == 1:
            raise Invalid("Either amount or units together with unitPrice is required, and not both")
        if values["servicePeriodStartDate"] >= values["servicePeriodEndDate"]:
            raise Invalid("servicePeriodEndDate must be after servicePeriodStartDate")

    def before_delete(self, row: Row) -> None:
        """A charge that a bill has a line of stays."""
        _refuse_billed(row)

    def matches(self, row: Row, request: Request) -> bool:
        """The others that can be asked for; no schedule makes charges here."""
        single = (("entityType", "entityType"), ("entityId", "entityId"), ("billDate", "billDate"))
        return wanted(request, row, *single) and one(request, "scheduleId") is None


def _refuse_billed(row: Row) -> None:
    if row["billId"] is not None:
        raise Invalid("Charge has been billed and cannot be changed")


def of_bill(memory: Memory, bill: Row) -> list[Row]:
    """The charges that a bill has lines of."""
    return [
        charge for charge in memory.charges.having("accountId", bill["accountId"]) if charge["billId"] == bill["id"]
    ]


def due(memory: Memory, account: Row, bill_date: str, *, bill: Row | None) -> list[Row]:
    """The charges that belong on a bill: those it has, and those that wait for one of its date.

    What names no date waits for a new bill; one that is calculated again takes only what was meant for its day.
    """
    waiting = [
        charge
        for charge in memory.charges.having("accountId", account["id"])
        if charge["billId"] is None and _is_due(charge, bill_date, is_new=bill is None)
    ]
    return [*([] if bill is None else of_bill(memory, bill)), *waiting]


def _is_due(charge: Row, bill_date: str, *, is_new: bool) -> bool:
    day = charge.get("billDate")
    return is_new if day is None else day <= bill_date


def add_lines(memory: Memory, bill: Bill, charges: Sequence[Row]) -> None:
    """Put a line for each of these charges on a bill."""
    for charge in charges:
        units, price = charge.get("units"), charge.get("unitPrice")
        amount = charge["amount"] if units is None or price is None else EXACT.multiply(units, price)
        quantity = Decimal(1) if units is None else units
        span = Span(moment_of(charge["servicePeriodStartDate"]), moment_of(charge["servicePeriodEndDate"]))
        text = charge.get("description") or charge["name"]
        booked = _booked(memory, charge.get("accountingProductId"))
        more = {"quantity": quantity, "units": quantity, "chargeId": charge["id"], **booked}
        bill.add(AD_HOC, text, span, amount, charge["currency"], **more)


def _booked(memory: Memory, product_id: str | None) -> Row:
    product = memory.products.get(product_id)
    return (
        {} if product is None else {f"accountingProduct{key.title()}": product[key] for key in ("id", "name", "code")}
    )


def billed_on(memory: Memory, charges: Sequence[Row], bill_id: str | None) -> None:
    """Remember which bill these charges are on; None where it is gone, so that they wait for the next."""
    for charge in charges:
        if charge["billId"] != bill_id:
            memory.charges.change(charge, {"billId": bill_id})
