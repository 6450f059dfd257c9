"""Mappings as a file, CSV or JSON: written so that it reads back exactly, and refused with row and column. Pure."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integration_project import spreadsheets

MOST_BYTES = 2 * 1024 * 1024
MOST_ROWS = 10_000
MOST_PROBLEMS = 200
DECISIVE = (
    "paddle_price_id",
    "paddle_product_id",
    "effective_from",
    "target",
    "m3ter_plan_id",
    "m3ter_plan_group_id",
    "metering_starts",
    "quantity_use",
    "quantity_field",
    "m3ter_counter_id",
    "note",
)
"""The columns that say what a mapping is."""
RECOGNISED_BY = (
    "paddle_name",
    "paddle_currency",
    "paddle_interval",
    "m3ter_code",
    "m3ter_name",
    "m3ter_counter_code",
)
"""The columns for people, and for another environment, whose ids differ."""
COLUMNS = (*DECISIVE, *RECOGNISED_BY)
REQUIRED = ("paddle_price_id", "paddle_product_id", "effective_from", "target", "m3ter_plan_id", "m3ter_plan_group_id")
WHOLE_FILE = "-"
UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """One reason why a file is refused: where, what is wrong, and what to do about it."""

    row: int
    """As a spreadsheet counts: the headers are row 1. In JSON the mapping's place, from 1. 0 is the file as a whole."""
    column: str
    text: str

    def __str__(self) -> str:
        place = f"row {self.row}, column {self.column}" if self.row else "the file"
        return f"{place}: {self.text}"


class FileRefused(Exception):
    """A file of which nothing is taken, with every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems[:3]))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Row:
    """One mapping as a file says it; columns that the file lacks are empty."""

    number: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def write_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """Write a table; cells that a spreadsheet would run as a formula get an apostrophe before them."""
    return "".join(spreadsheets.csv_pieces(COLUMNS, ([row[column] for column in COLUMNS] for row in rows)))


def write_json(rows: Iterable[Mapping[str, str]]) -> str:
    """Write the same as JSON."""
    mappings = [{column: row[column] for column in COLUMNS} for row in rows]
    return json.dumps({"mappings": mappings}, indent=2, ensure_ascii=False) + "\n"


def read(content: bytes) -> list[Row]:
    """Read a file of either format; FileRefused names everything that is wrong with its shape."""
    text = _text(content)
    rows = _read_json(text) if text.lstrip()[:1] in ("{", "[") else _read_csv(text)
    if len(rows) > MOST_ROWS:
        raise _refused(f"It holds {len(rows)} mappings, more than {MOST_ROWS}. Split it.")
    problems = [
        Problem(row.number, column, "It holds a character that no text may hold. Delete it.")
        for row in rows
        for column, value in row.values.items()
        if UNKEEPABLE.search(value)
    ]
    if problems:
        raise FileRefused(problems[:MOST_PROBLEMS])
    return rows


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise _refused(f"It has more than {MOST_BYTES:,} bytes. Split it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        row = content[: problem.start].count(b"\n") + 1
        text = f"Byte {problem.start + 1} is not UTF-8. Save the file as CSV UTF-8, or as JSON in UTF-8."
        raise FileRefused([Problem(row, WHOLE_FILE, text)]) from None
    if not text.strip():
        raise _refused("It is empty. Export the mappings to see what it should look like.")
    return text


def _read_csv(text: str) -> list[Row]:
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as problem:
        raise _refused(f"It is no table of comma-separated cells: {problem}. Save it as CSV again.") from None
    headers = [header.strip() for header in table[0]]
    _check_columns(headers)
    rows, problems = [], []
    for number, cells in enumerate(table[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(headers):
            text = f"It has {len(cells)} cells, and there are {len(headers)} columns. Quote cells that hold a comma."
            problems.append(Problem(number, headers[min(len(cells), len(headers)) - 1], text))
            continue
        rows.append(_row(number, dict(zip(headers, map(spreadsheets.unescaped, cells), strict=True))))
    if problems:
        raise FileRefused(problems[:MOST_PROBLEMS])
    return rows


def _read_json(text: str) -> list[Row]:
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as problem:
        raise _refused(f"It is no JSON: {problem}.") from None
    entries = data.get("mappings") if isinstance(data, dict) and set(data) == {"mappings"} else None
    if not isinstance(entries, list):
        raise _refused('It must be an object with a list called "mappings", as the export writes it.')
    rows, problems = [], []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            problems.append(Problem(number, WHOLE_FILE, "A mapping must be an object with the export's names."))
            continue
        found = [*_wrong_names(number, entry), *_not_texts(number, entry)]
        problems += found
        if not found:
            rows.append(_row(number, entry))
    if problems:
        raise FileRefused(problems[:MOST_PROBLEMS])
    return rows


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{name!r} stands twice in one object")
    return dict(pairs)


def _check_columns(headers: Sequence[str]) -> None:
    if len(headers) == 1 and headers[0].count(";") > 1:
        raise _refused("Its cells are separated by semicolons. Save it with commas, or export and import JSON.")
    problems = [Problem(1, name, _unknown(name)) for name in headers if name not in COLUMNS]
    problems += [
        Problem(1, name, "There are two columns of this name. Delete one.")
        for name, count in Counter(headers).items()
        if count > 1 and name in COLUMNS
    ]
    problems += [Problem(1, name, "This column is missing. Add it.") for name in REQUIRED if name not in headers]
    if problems:
        raise FileRefused(problems[:MOST_PROBLEMS])


def _wrong_names(number: int, entry: Mapping[str, Any]) -> list[Problem]:
    unknown = [Problem(number, name, _unknown(name)) for name in entry if name not in COLUMNS]
    missing = [Problem(number, name, "This name is missing. Add it.") for name in REQUIRED if name not in entry]
    return unknown + missing


def _not_texts(number: int, entry: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(number, name, "It must be a text between quotation marks.")
        for name, value in entry.items()
        if not isinstance(value, str)
    ]


def _unknown(name: str) -> str:
    return f"There is no column {name!r}. The columns are {', '.join(COLUMNS)}."


def _row(number: int, values: Mapping[str, str]) -> Row:
    return Row(number, {column: values.get(column, "") for column in COLUMNS})


def _refused(text: str) -> FileRefused:
    return FileRefused([Problem(0, WHOLE_FILE, text)])
