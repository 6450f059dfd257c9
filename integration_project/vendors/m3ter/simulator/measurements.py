"""The measurements that were checked and stored: all of them, by account, and their totals. A million fit.

A stored measurement is never changed. So what is handed out is not copied, and totals are kept up as they come in.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from integration_project.vendors.m3ter.simulator.rating import EXACT, ZERO

TEXT_CATEGORIES = ("WHO", "WHAT", "WHERE", "OTHER", "METADATA")
NUMERIC_CATEGORIES = ("MEASURE", "COST", "INCOME")
TEXT_KEYS = tuple(category.lower() for category in TEXT_CATEGORIES)
NUMBER_KEYS = tuple(category.lower() for category in NUMERIC_CATEGORIES)
KEYS = (*TEXT_KEYS, *NUMBER_KEYS)
"""Where a measurement has its values: a map for each category."""

Row = dict[str, Any]


@dataclass
class Total:
    """How often a field was sent and, of a number, how much it comes to."""

    count: int = 0
    sum: Decimal | None = None


class Measurements:
    """What the organisation measured, in the order in which it was stored."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._of_account: defaultdict[str, list[Row]] = defaultdict(list)
        self._totals: defaultdict[tuple[str, str, str], Total] = defaultdict(Total)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def store(self, row: Row) -> None:
        """Keep one, which nobody changes from here on."""
        self._rows.append(row)
        self._of_account[row["accountId"]].append(row)
        account, meter = row["account"], row["meter"]
        for key in KEYS:
            for field, value in row.get(key, {}).items():
                total = self._totals[account, meter, field]
                total.count += 1
                if key in NUMBER_KEYS:
                    total.sum = EXACT.add(total.sum or ZERO, value)

    def of_account(self, account_id: str) -> Sequence[Row]:
        """Those of one account."""
        return self._of_account.get(account_id, ())

    def totals(self) -> dict[tuple[str, str, str], Total]:
        """What every field comes to, by code of account, code of meter and field."""
        return self._totals

    def clear(self) -> None:
        """Forget all."""
        for memory in (self._rows, self._of_account, self._totals):
            memory.clear()


def field_values(measurement: Row) -> dict[str, Any]:
    """All fields of a measurement under one roof."""
    return {name: value for key in KEYS if key in measurement for name, value in measurement[key].items()}
