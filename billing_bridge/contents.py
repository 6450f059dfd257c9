"""What a customer would be charged for: the part of a bill that makes a revision, told by its hash. Pure."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing_bridge import money
from integration_project.vendors.m3ter.entities import Bill, BillLine


@dataclass(frozen=True)
class Content:
    """What a customer would be charged for: the part of a bill that makes a revision."""

    currency: str
    total: Decimal
    lines: tuple[dict[str, str], ...]

    @property
    def hash(self) -> str:
        """One value for everything of it, in whatever order m3ter gave the lines."""
        keys = ("type", "product_id", "accounting_product_id", "description", "amount", "from", "to")
        lines = sorted([line[key] for key in keys] for line in self.lines)
        text = json.dumps([self.currency, exact_text(self.total), lines], ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def exact_text(amount: Decimal) -> str:
    """An amount as text: the same for 5, 5.0 and 5E+0."""
    return f"{amount.normalize(money.EXACT) + 0:f}"


def content_of(bill: Bill) -> Content:
    """Take from a bill what makes its revision; its lines must have been read."""
    if bill.lines is None:
        raise ValueError(f"bill {bill.id} was read without its lines")
    lines = tuple(_line(line) for line in bill.lines)
    total = bill.total if bill.total is not None else money.exact_sum([line.converted_subtotal for line in bill.lines])
    return Content(bill.currency, total, lines)


def _line(line: BillLine) -> dict[str, str]:
    return {
        "type": line.line_item_type,
        "description": line.description,
        "amount": exact_text(line.converted_subtotal),
        "product_id": line.product_id or "",
        "product": line.product_name or "",
        "accounting_product_id": line.accounting_product_id or "",
        "accounting_product": line.accounting_product_name or "",
        "quantity": "" if line.quantity is None else exact_text(line.quantity),
        "units": "" if line.units is None else exact_text(line.units),
        "unit": line.unit or "",
        "unit_price": "" if line.average_unit_price is None else exact_text(line.average_unit_price),
        "subtotal": "" if line.subtotal is None else exact_text(line.subtotal),
        "currency": line.currency or "",
        "from": _day(line.service_period_start),
        "to": _day(line.service_period_end),
    }


def _day(moment: datetime | None) -> str:
    return moment.date().isoformat() if moment else ""
