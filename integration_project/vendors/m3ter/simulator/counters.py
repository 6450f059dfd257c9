"""Counters, such as seats, and the counts that accounts have of them from a day on."""

from collections.abc import Sequence

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid
from integration_project.vendors.m3ter.simulator.memory import Row, one, refusal
from integration_project.vendors.m3ter.simulator.resources import Kind, Resource, related
from integration_project.vendors.simulation import Answer, Request

LARGEST_COUNT = 2**31 - 1
RANGES: Sequence[tuple[str, str]] = (("dateStart", "dateEnd"), ("endDateStart", "endDateEnd"))
"""Query parameters that take the first day of a range and the day after its last."""


class Counters(Resource):
    """What is counted: of one product, or global."""

    kind = Kind(
        name="Counter",
        plural="Counters",
        path="/counters",
        collection="counters",
        fields={
            "productId": Field(fields.uuid_text),
            "name": Field(fields.text(1, 200), required=True),
            "code": Field(fields.code()),
            "unit": Field(fields.text(1), required=True),
        },
        most=200,
        event="configuration.counter",
        unique_code=True,
        filters=(("codes", "code"), ("productId", "productId")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """The product, if one is named, must exist."""
        if "productId" in values:
            related(self.memory.products, values["productId"], field="productId")

    def before_delete(self, row: Row) -> None:
        """A counter that accounts have counts of stays."""
        if any(adjustment["counterId"] == row["id"] for adjustment in self.memory.counter_adjustments):
            raise Invalid("Counter is used by a CounterAdjustment")


class CounterAdjustments(Resource):
    """The whole new count of an account at the end of a day: one for each account, counter and day."""

    kind = Kind(
        name="CounterAdjustment",
        plural="CounterAdjustments",
        path="/counteradjustments",
        collection="counter_adjustments",
        fields={
            "accountId": Field(fields.uuid_text, required=True),
            "counterId": Field(fields.uuid_text, required=True),
            "date": Field(fields.day, required=True),
            "value": Field(fields.integer(0, LARGEST_COUNT), required=True),
            "purchaseOrderNumber": Field(fields.text(0, 100)),
        },
        most=100,
        event="billing.counteradjustment",
        filters=(("accountId", "accountId"), ("counterId", "counterId")),
    )

    def prepare(self, values: Row, row: Row | None) -> None:
        """Both must exist, and the day must be free."""
        related(self.memory.accounts, values["accountId"], field="accountId")
        related(self.memory.counters, values["counterId"], field="counterId")
        for other in self.rows.having("accountId", values["accountId"]):
            if other is not row and (other["counterId"], other["date"]) == (values["counterId"], values["date"]):
                message = f"Account already has a CounterAdjustment for this Counter on {values['date']}"
                raise refusal(self.memory.guesses.duplicate_adjustment_status, message)

    def list(self, request: Request) -> Answer:
        """GET /counteradjustments: a counter is always named, and a day only together with an account."""
        if one(request, "counterId") is None:
            raise Invalid("counterId is required")
        if one(request, "sortOrder") is not None:
            raise Invalid("sortOrder is not simulated")
        for name in ("date", "dateStart", "dateEnd"):
            if one(request, name) is not None and one(request, "accountId") is None:
                raise Invalid(f"{name} must be used together with accountId")
        return super().list(request)

    def matches(self, row: Row, request: Request) -> bool:
        """The days asked for."""
        for first, after in RANGES:
            start, end = _day(request, first), _day(request, after)
            if (start is not None and row["date"] < start) or (end is not None and row["date"] >= end):
                return False
        return _day(request, "date") in (None, row["date"])


def _day(request: Request, name: str) -> str | None:
    value = one(request, name)
    return None if value is None else fields.day(name, value)
