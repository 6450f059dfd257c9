"""From account plans, pricings and measurements to the lines of one bill."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from integration_project.vendors.m3ter.simulator import rating
from integration_project.vendors.m3ter.simulator.accounts import AccountPlans
from integration_project.vendors.m3ter.simulator.fields import moment_of, stamp
from integration_project.vendors.m3ter.simulator.measurements import field_values
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, present
from integration_project.vendors.m3ter.simulator.periods import Cycle, midnight
from integration_project.vendors.m3ter.simulator.rating import ZERO, Band, Currency
from integration_project.vendors.m3ter.simulator.usage_queries import aggregate

ORGANISATION_EPOCHS = {"DAILY": "dayEpoch", "WEEKLY": "weekEpoch", "MONTHLY": "monthEpoch", "ANNUALLY": "yearEpoch"}


class BillFails(Exception):
    """The account gets no bill: a conversion rate is missing."""


@dataclass(frozen=True)
class Attached:
    """One plan on an account, with everything that decides its charges."""

    account_plan: Row
    plan: Row
    template: Row
    product: Row
    cycle: Cycle

    @property
    def starts(self) -> datetime:
        """When it begins."""
        return moment_of(self.account_plan["startDate"])

    @property
    def ends(self) -> datetime | None:
        """When it ends, if it does."""
        end = self.account_plan.get("endDate")
        return None if end is None else moment_of(end)

    def setting(self, name: str) -> Any:
        """What the plan says, else what its template says."""
        value = self.plan.get(name)
        return self.template.get(name) if value is None else value


@dataclass(frozen=True)
class Period:
    """What one bill is for: from a day up to, not including, another, in the organisation's time zone."""

    first: date
    end: date
    number: int
    zone: ZoneInfo
    cycle: Cycle

    @property
    def span(self) -> "Span":
        """The same as moments."""
        return Span(midnight(self.first, self.zone), midnight(self.end, self.zone))

    @property
    def next_span(self) -> "Span":
        """The period that follows."""
        following = self.cycle.boundary(self.cycle.index_at(self.end) + 1)
        return Span(midnight(self.end, self.zone), midnight(following, self.zone))


@dataclass(frozen=True)
class Span:
    """From a moment up to, not including, another."""

    start: datetime
    end: datetime

    def within(self, start: datetime, end: datetime | None) -> "Span | None":
        """The part that lies between two moments."""
        part = Span(max(self.start, start), self.end if end is None else min(self.end, end))
        return part if part.start < part.end else None


@dataclass
class Bill:
    """The lines of one bill while it is being calculated."""

    currency: Currency
    conversions: Sequence[Row]
    currencies: dict[str, Currency]
    lines: list[Row] = field(default_factory=list)
    used: list[Row] = field(default_factory=list)

    def multiplier(self, origin: str) -> Decimal:
        """How an amount in a pricing currency becomes one of the bill."""
        if origin == self.currency.code:
            return Decimal(1)
        for conversion in self.conversions:
            if (conversion["from"], conversion["to"]) == (origin, self.currency.code):
                if conversion not in self.used:
                    self.used.append(conversion)
                return Decimal(conversion.get("multiplier", 1))
        raise BillFails(f"No currency conversion from {origin} to {self.currency.code}")

    def rounded(self, amount: Decimal, origin: str) -> tuple[Decimal, Decimal]:
        """An amount in its own currency and in the bill's, both rounded."""
        subtotal = self.currencies.get(origin, Currency(origin)).round(amount)
        return subtotal, self.currency.round(rating.convert(subtotal, self.multiplier(origin)))

    def add(self, kind: str, description: str, span: Span, amount: Decimal, origin: str, **more: Any) -> None:
        """Add a line of this amount in the pricing currency."""
        subtotal, converted = self.rounded(amount, origin)
        self._append(kind, description, span, subtotal, converted, origin, more)

    def credit(self, description: str, span: Span, amount: Decimal, origin: str, others: Decimal, **more: Any) -> None:
        """Add a negative line, capped by what it is set against (in the bill's currency)."""
        subtotal, converted = self.rounded(amount, origin)
        capped = rating.capped_credit(converted, others)
        if -capped != converted:
            subtotal = self.currencies.get(origin, Currency(origin)).round(-capped / self.multiplier(origin))
        self._append("USAGE_CREDIT", description, span, -subtotal, capped, origin, more)

    def _append(
        self, kind: str, description: str, span: Span, subtotal: Decimal, converted: Decimal, origin: str, more: Row
    ) -> None:
        units = more.pop("units", Decimal(1))
        bands = more.pop("bands", ())
        rate = self.multiplier(origin)
        line = {
            "id": str(uuid.uuid4()),
            "sequenceNumber": len(self.lines) + 1,
            "lineItemType": kind,
            "description": description,
            "quantity": more.pop("quantity", Decimal(1)),
            "units": units,
            "unit": more.pop("unit", ""),
            "subtotal": subtotal,
            "currency": origin,
            "conversionRate": rate,
            "convertedSubtotal": converted,
            "averageUnitPrice": rating.average_unit_price(subtotal, units),
            "usagePerPricingBand": [_band_line(band, more.get("per_unit", Decimal(1)), rate) for band in bands],
            "servicePeriodStartDate": _moment(span.start),
            "servicePeriodEndDate": _moment(span.end),
            "segment": more.pop("segment", None) or {},
            "group": {},
            "additional": {},
        }
        more.pop("per_unit", None)
        self.lines.append(present({**line, **more}))

    def total(self, **having: str) -> Decimal:
        """The sum of the lines so far, of all or of those with a value."""
        chosen = [line for line in self.lines if all(line.get(name) == value for name, value in having.items())]
        return sum((line["convertedSubtotal"] for line in chosen), ZERO)


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _band_line(usage: rating.BandUsage, per_unit: Decimal, rate: Decimal) -> Row:
    return {
        "pricingBandId": usage.band.id,
        "lowerLimit": usage.band.lower_limit,
        "fixedPrice": usage.band.fixed_price,
        "unitPrice": usage.band.unit_price,
        "unitSubtotal": usage.unit_subtotal,
        "bandUnits": usage.units,
        "bandQuantity": usage.units * (per_unit or 1),
        "bandSubtotal": usage.subtotal,
        "convertedBandSubtotal": rating.convert(usage.subtotal, rate),
    }


class Calculator:
    """Calculates bills from what the organisation holds."""

    def __init__(self, memory: Memory, account_plans: AccountPlans) -> None:
        self.memory = memory
        self._account_plans = account_plans

    def zone(self) -> ZoneInfo:
        """Where the organisation's days begin."""
        return ZoneInfo(self.memory.organization_config["timezone"])

    def attached(self, account: Row) -> list[Attached]:
        """All plans of an account that bill on a cycle, ended ones too."""
        found = []
        for account_plan in self.memory.account_plans.having("accountId", account["id"]):
            for plan in self._account_plans.plans_in(account_plan):
                template = self.memory.plan_templates.need(plan["planTemplateId"], kind="PlanTemplate")
                if template["billFrequency"] in ORGANISATION_EPOCHS:
                    product = self.memory.products.need(plan["productId"], kind="Product")
                    cycle = self._cycle(account, account_plan, template)
                    found.append(Attached(account_plan, plan, template, product, cycle))
        return found

    def _cycle(self, account: Row, account_plan: Row, template: Row) -> Cycle:
        frequency = template["billFrequency"]
        fallback = self.memory.organization_config[ORGANISATION_EPOCHS[frequency]]
        epoch = account_plan.get("billEpoch") or account.get("billEpoch") or fallback
        return Cycle(date.fromisoformat(epoch), frequency, template.get("billFrequencyInterval") or 1)

    def fill(self, bill: Bill, attached: Sequence[Attached], period: Period) -> None:
        """Calculate the lines of one period: usage, standing charges, minimum spend, credits."""
        for one in attached:
            service = period.span.within(one.starts, one.ends)
            if service is not None:
                self._usage(bill, one, service, credit=None)
        for one in attached:
            self._standing_charge(bill, one, period)
        for one in attached:
            self._minimum_spend(bill, one, period)
        self._group_charges(bill, attached, period)
        for credit in ("PRODUCT_CREDIT", "GLOBAL_CREDIT"):
            for one in attached:
                service = period.span.within(one.starts, one.ends)
                if service is not None:
                    self._usage(bill, one, service, credit=credit)

    # Usage.

    def _usage(self, bill: Bill, one: Attached, service: Span, *, credit: str | None) -> None:
        for pricing in self._pricings(one):
            end = pricing.get("endDate")
            span = service.within(moment_of(pricing["startDate"]), None if end is None else moment_of(end))
            if span is None or (pricing["type"] == "DEBIT") != (credit is None):
                continue
            if credit in (None, pricing["type"]):
                self._usage_line(bill, one, pricing, span)

    def _pricings(self, one: Attached) -> Iterator[Row]:
        of_plan = [pricing for pricing in self.memory.pricings if pricing.get("planId") == one.plan["id"]]
        overridden = {(pricing["aggregationId"], pricing["type"]) for pricing in of_plan}
        yield from of_plan
        for pricing in self.memory.pricings:
            is_template = pricing.get("planTemplateId") == one.template["id"]
            if is_template and (pricing["aggregationId"], pricing["type"]) not in overridden:
                yield pricing

    def _usage_line(self, bill: Bill, one: Attached, pricing: Row, span: Span) -> None:
        aggregation = self.memory.aggregations.need(pricing["aggregationId"], kind="Aggregation")
        account_id, segment = one.account_plan["accountId"], pricing.get("segment") or {}
        quantity = self._quantity(account_id, aggregation, span, segment)
        units = self._units(quantity, aggregation)
        before = ZERO
        if pricing["tiersSpanPlan"]:
            earlier = Span(one.starts, span.start)
            before = self._units(self._quantity(account_id, aggregation, earlier, segment), aggregation)
        if not quantity and not self.memory.guesses.line_for_no_usage:
            usages: list[rating.BandUsage] = []
        else:
            above = self.memory.guesses.band_begins_above_its_limit
            usages = rating.rate(units, _bands(pricing), cumulative=pricing["cumulative"], before=before, above=above)
        amount = rating.total_of(usages)
        origin = one.template["currency"]
        accounting = pricing.get("accountingProductId") or aggregation.get("accountingProductId")
        more = {
            **self._origin(one, accounting),
            "pricingId": pricing["id"],
            "aggregationId": aggregation["id"],
            "meterId": aggregation["meterId"],
        }
        if quantity or self.memory.guesses.line_for_no_usage:
            measured = {
                "quantity": quantity,
                "units": units,
                "unit": aggregation["unit"],
                "bands": usages,
                "per_unit": aggregation["quantityPerUnit"],
                "segment": segment,
            }
            text = pricing.get("description") or _with_segment(aggregation["name"], segment)
            if pricing["type"] == "DEBIT":
                bill.add("USAGE", text, span, amount, origin, **more, **measured)
            else:
                others = (
                    bill.total(productId=one.product["id"]) if pricing["type"] == "PRODUCT_CREDIT" else bill.total()
                )
                bill.credit(text, span, amount, origin, others, **more, **measured)
        self._pricing_minimum(bill, one, pricing, span, amount, aggregation["name"], more)

    def _pricing_minimum(
        self, bill: Bill, one: Attached, pricing: Row, span: Span, spent: Decimal, name: str, more: Row
    ) -> None:
        minimum = pricing.get("minimumSpend")
        if not minimum or pricing["type"] != "DEBIT":
            return
        cycles = one.cycle.cycles_in(span.start, span.end, self.zone())
        missing = rating.minimum_spend_adjustment(rating.prorated(minimum, cycles=cycles), spent)
        if missing:
            text = pricing.get("minimumSpendDescription") or f"{name} Minimum Spend Adjustment"
            bill.add("MINIMUM_SPEND", text, span, missing, one.template["currency"], **more)

    def _quantity(self, account_id: str, aggregation: Row, span: Span, segment: Row) -> Decimal:
        pairs = []
        start, end = stamp(span.start), stamp(span.end)
        for measurement in self.memory.measurements.of_account(account_id):
            if measurement["meterId"] != aggregation["meterId"]:
                continue
            values = field_values(measurement)
            fits = all(values.get(name) == value for name, value in segment.items())
            in_time = start <= measurement["ts"] < end  # both are written the same way
            if fits and in_time and aggregation["targetField"] in values:
                pairs.append((measurement["ts"], values[aggregation["targetField"]]))
        quantity = aggregate(aggregation["aggregation"], pairs)
        return quantity if quantity is not None else Decimal(aggregation.get("defaultValue") or 0)

    def _units(self, quantity: Decimal, aggregation: Row) -> Decimal:
        return rating.units_of(quantity, per_unit=aggregation["quantityPerUnit"], rounding=aggregation["rounding"])

    # Fixed charges.

    def _standing_charge(self, bill: Bill, one: Attached, period: Period) -> None:
        charge = one.setting("standingCharge")
        interval, offset = (
            one.template.get("standingChargeInterval") or 1,
            one.template.get("standingChargeOffset") or 0,
        )
        if not charge or period.number < offset or (period.number - offset) % interval:
            return
        text = one.setting("standingChargeDescription") or "Standing Charge"
        more = self._origin(one, one.plan.get("standingChargeAccountingProductId"))
        for span in self._charged(one, period, in_advance=self._in_advance(one, "standingChargeBillInAdvance")):
            cycles = one.cycle.cycles_in(span.start, span.end, self.zone())
            bill.add(
                "STANDING_CHARGE", text, span, rating.prorated(charge, cycles=cycles), one.template["currency"], **more
            )

    def _in_advance(self, one: Attached, name: str) -> bool:
        own = one.setting(name)
        return bool(self.memory.organization_config.get(name) if own is None else own)

    def _charged(self, one: Attached, period: Period, *, in_advance: bool) -> Iterator[Span]:
        """In arrears the period itself; in advance the next, and on the first bill both."""
        spans = [period.span]
        if in_advance:
            spans = [period.span, period.next_span] if period.number == 0 else [period.next_span]
        for span in spans:
            service = span.within(one.starts, one.ends)
            if service is not None:
                yield service

    def _minimum_spend(self, bill: Bill, one: Attached, period: Period) -> None:
        minimum = one.setting("minimumSpend")
        if not minimum:
            return
        text = one.setting("minimumSpendDescription") or f"{one.product['name']} Minimum Spend Adjustment"
        more = self._origin(one, one.plan.get("minimumSpendAccountingProductId"))
        service = period.span.within(one.starts, one.ends)
        advance = self._in_advance(one, "minimumSpendBillInAdvance")
        if service is not None:
            cycles = one.cycle.cycles_in(service.start, service.end, self.zone())
            spent = self._spent(bill, one, service)
            missing = rating.minimum_spend_adjustment(rating.prorated(minimum, cycles=cycles), spent)
            billed_before = advance and period.number > 0
            if missing and not (advance and not billed_before):
                kind, amount = ("MINIMUM_SPEND_REFUND", -missing) if billed_before else ("MINIMUM_SPEND", missing)
                bill.add(kind, text, service, amount, one.template["currency"], **more)
        if advance:
            for span in self._charged(one, period, in_advance=True):
                cycles = one.cycle.cycles_in(span.start, span.end, self.zone())
                bill.add(
                    "MINIMUM_SPEND",
                    text,
                    span,
                    rating.prorated(minimum, cycles=cycles),
                    one.template["currency"],
                    **more,
                )

    def _spent(self, bill: Bill, one: Attached, service: Span) -> Decimal:
        kinds = {"USAGE"}
        if self.memory.guesses.minimum_spend_counts_standing_charge:
            kinds.add("STANDING_CHARGE")
        start = _moment(service.start)
        return sum(
            (
                line["subtotal"]
                for line in bill.lines
                if line["lineItemType"] in kinds
                and line.get("planId") == one.plan["id"]
                and start <= line["servicePeriodStartDate"] < _moment(service.end)
            ),
            ZERO,
        )

    def _group_charges(self, bill: Bill, attached: Sequence[Attached], period: Period) -> None:
        groups = {one.account_plan["id"]: one for one in attached if one.account_plan.get("planGroupId") is not None}
        for one in groups.values():
            group = self.memory.plan_groups.need(one.account_plan["planGroupId"], kind="PlanGroup")
            service = period.span.within(one.starts, one.ends)
            if service is None:
                continue
            cycles = one.cycle.cycles_in(service.start, service.end, self.zone())
            more = {"planGroupId": group["id"]}
            if group.get("standingCharge"):
                text = group.get("standingChargeDescription") or "Standing Charge"
                paid = {**more, **self._booked(group.get("standingChargeAccountingProductId"))}
                amount = rating.prorated(group["standingCharge"], cycles=cycles)
                bill.add("STANDING_CHARGE", text, service, amount, group["currency"], **paid)
            if group.get("minimumSpend"):
                text = group.get("minimumSpendDescription") or f"{group['name']} Minimum Spend Adjustment"
                members = [line for line in bill.lines if line.get("planGroupId") == group["id"]]
                spent = sum((line["subtotal"] for line in members if line["lineItemType"] == "USAGE"), ZERO)
                missing = rating.minimum_spend_adjustment(rating.prorated(group["minimumSpend"], cycles=cycles), spent)
                paid = {**more, **self._booked(group.get("minimumSpendAccountingProductId"))}
                if missing:
                    bill.add("MINIMUM_SPEND", text, service, missing, group["currency"], **paid)

    # Where a line comes from.

    def _origin(self, one: Attached, accounting_id: str | None) -> Row:
        return {
            "productId": one.product["id"],
            "productName": one.product["name"],
            "productCode": one.product["code"],
            **self._booked(accounting_id or one.product["id"]),
            "planId": one.plan["id"],
            "planGroupId": one.account_plan.get("planGroupId"),
        }

    def _booked(self, product_id: str | None) -> Row:
        product = self.memory.products.get(product_id)
        if product is None:
            return {}
        return {
            "accountingProductId": product["id"],
            "accountingProductName": product["name"],
            "accountingProductCode": product["code"],
        }


def _bands(pricing: Row) -> list[Band]:
    return [
        Band(band["lowerLimit"], band["fixedPrice"], band["unitPrice"], band["id"]) for band in pricing["pricingBands"]
    ]


def _with_segment(name: str, segment: Row) -> str:
    return f"{name} ({', '.join(segment.values())})" if segment else name
