"""Rejected rows as a CSV to correct and upload again. Pure.

It has the file's own columns in their order, and row, column and reason to the right of them. Uploaded again, those
three and the apostrophes before what a spreadsheet would run are taken off (see tables). An item of JSON is laid out
flat, in columns whose names say what they mean.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from integration_project import spreadsheets
from paddle_sync.usage.layouts import MARKS, NAMES, VALUES
from paddle_sync.usage.rows import FileRow, Problem
from paddle_sync.usage.tables import ADDED

LONGEST_SURPLUS = 1_000
"""Characters of what stood to the right of the last column that are told with the reason."""


@dataclass(frozen=True)
class Rejected:
    """A row that was not taken, and why."""

    row: FileRow
    problems: Sequence[Problem]


def pieces(columns: Sequence[str], rejected: Iterable[Rejected]) -> Iterator[str]:
    """Write the file piece by piece; `columns` are the file's own, or item_columns() for one of JSON."""
    return spreadsheets.csv_pieces([*columns, *ADDED], (_cells(columns, each) for each in rejected))


def item_columns(field_codes: Iterable[str]) -> tuple[str, ...]:
    """Give the columns for items of JSON whose values are of these fields."""
    return (*NAMES, *(f"{VALUES}{code}" for code in field_codes))


def flat(row: FileRow) -> FileRow:
    """Lay an item of JSON out in columns: values.calls for a field, marks with spaces between, the rest as it is."""
    cells: dict[str, str] = {}
    for name, value in row.values.items():
        if isinstance(value, Mapping) and f"{name}." == VALUES:
            cells |= {f"{VALUES}{code}": _text(part) for code, part in value.items()}
        elif name == MARKS and isinstance(value, list) and all(isinstance(mark, str) for mark in value):
            cells[name] = " ".join(value)
        else:
            cells[name] = _text(value)
    return row._replace(values={name: cell for name, cell in cells.items() if cell})


def _cells(columns: Sequence[str], rejected: Rejected) -> list[str]:
    row, problems = rejected.row, rejected.problems
    reasons = [f"{problem.reason} {problem.remedy}" for problem in problems]
    if row.surplus:
        reasons.append(f"Too much: {' | '.join(row.surplus)[:LONGEST_SURPLUS]}")
    named = dict.fromkeys(problem.column for problem in problems if problem.column)
    own = [row.values.get(column, "") for column in columns]
    return [*own, str(row.number), ", ".join(named), " ".join(reasons)]


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
