"""A reconciliation as a file for spreadsheets: a row for each bill, a column for each reason."""

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, TextIO

from billing_bridge import money, reconciling
from billing_bridge.explaining import Why
from billing_bridge.models import ReconciliationRow

AMOUNTS = ("m3ter", "ledger", "billed", "collected", "refunded", "difference", "unknown")
COLUMNS = (
    *("subject", "account", "customer", "subscription", "transactions", "period_start", "period_end", "currency"),
    *AMOUNTS,
    *(f"because: {why.value}" for why in Why),
    "in_words",
)
FORMULA = re.compile(r"[=+\-@\t\r\n]")
"""What a spreadsheet might take for a formula, where it stands first in a text that a vendor or a buyer wrote."""


def lines(rows: Iterable[ReconciliationRow]) -> Iterator[str]:
    """Write rows as lines of CSV, one after the other."""
    line = StringIO()
    writer = csv.writer(line)
    for cells in _cells(rows):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def write(rows: Iterable[ReconciliationRow], file: TextIO) -> None:
    """Write rows into a file."""
    file.writelines(lines(rows))


def _cells(rows: Iterable[ReconciliationRow]) -> Iterator[list[str]]:
    yield list(COLUMNS)
    for row in rows:
        texts = (
            *(row.subject, row.account_code or row.m3ter_account_id, row.customer, row.paddle_subscription_id),
            *(" ".join(row.transactions), _day(row.period_start), _day(row.period_end), row.currency),
        )
        amounts = (*(getattr(row, name) for name in AMOUNTS), *_by_reason(row))
        words = reconciling.words_of(row.parts, row.currency)
        yield [*map(_escaped, texts), *(_amount(amount, row.currency) for amount in amounts), _escaped(words)]


def _by_reason(row: ReconciliationRow) -> Iterator[int]:
    for why in Why:
        yield sum(part["amount"] for part in row.parts if part["why"] == why)


def _amount(minor: int, currency: str) -> str:
    """A plain number that a spreadsheet can add up, so a minus stays; nothing but digits can follow it."""
    return f"{money.in_major_units(minor, currency):f}" if currency in money.EXPONENTS else str(minor)


def _day(day: Any) -> str:
    return day.isoformat() if day else ""


def _escaped(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell
