"""What reading a usage file gives: its rows, what one may have wrong, and what makes the rest unreadable. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

MIB = 1024 * 1024
CSV_CELL = 131_072
"""Characters that csv reads into one cell; its limit holds for the whole process and is left alone."""


class BinaryStream(Protocol):
    """The bytes of a file in their order; nobody moves about in it."""

    def read(self, size: int, /) -> bytes:
        """Give the next bytes, at most so many; none at its end."""
        ...


class Format(StrEnum):
    """How a file's rows are written."""

    CSV = "csv"
    JSON = "json"
    JSON_LINES = "jsonl"


@dataclass(frozen=True)
class Limits:
    """What a file may ask of the memory and the disk that read it. Characters where it is text, bytes where not."""

    most_bytes: int = 8 * 1024 * MIB
    """Of the file once unpacked."""
    most_columns: int = 200
    longest_field: int = 32_768
    longest_row: int = 262_144
    """Also of an item of JSON as it is written. Memory is a small multiple of it, whatever the file's size."""
    greatest_ratio: int = 200
    """How many times its packed size a gzip may unpack to; usage packs to a tenth or a thirtieth."""
    ratio_counts_from: int = 4 * MIB
    """Bytes unpacked; a short file of one repeated row may well pack better than that."""
    most_nesting: int = 8
    """Objects and lists inside each other in an item of JSON, itself counted."""

    def __post_init__(self) -> None:
        if self.longest_field >= CSV_CELL:
            raise ValueError(f"longest_field must be below {CSV_CELL}, which is where csv itself stops")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in an operator's words: where, what, and what to do about it."""

    column: str
    """The column, or an item's name as in values.calls; empty where it is not one column that is wrong."""
    reason: str
    remedy: str
    code: str = field(default="", compare=False)
    """Which kind of refusal it is, where it is one."""

    def __str__(self) -> str:
        place = f"column {self.column}: " if self.column else ""
        return f"{place}{self.reason} {self.remedy}"


class FileRow(NamedTuple):
    """One row of a file. A named tuple: there are millions, and a frozen dataclass costs a tenth of the reading."""

    number: int
    """As a person counts: in CSV the header is row 1, in JSON the first item is 1, in JSON Lines it is the line."""
    values: Mapping[str, Any]
    """CSV: column -> text, without the empty cells. JSON: the item as it was parsed. Empty where it could not be."""
    problem: Problem | None = None
    """Why this row alone cannot be read."""
    line: int = 0
    """CSV: the line of the file on which it begins, which cells with line breaks make differ from the row's number."""
    surplus: tuple[str, ...] = ()
    """CSV: cells to the right of the last column."""

    @property
    def place(self) -> str:
        """Say where it stands."""
        return f"row {self.number} (line {self.line})" if self.line not in (0, self.number) else f"row {self.number}"


class FileUnreadable(Exception):
    """What makes the rest of a file unreadable; rows given before it are as good as they were."""

    def __init__(self, reason: str, remedy: str, *, row: int = 0, column: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.row = row
        """The row that could not be read, counted as FileRow counts; 0 is the file as a whole."""
        self.column = column

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else "the file"
        return f"{place}{f', column {self.column}' if self.column else ''}: {self.reason} {self.remedy}"

    def at(self, row: int) -> "FileUnreadable":
        """Give the same with the row that was being read; one that names its row keeps it."""
        return self if self.row else FileUnreadable(self.reason, self.remedy, row=row, column=self.column)
