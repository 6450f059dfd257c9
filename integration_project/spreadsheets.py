"""Tables as files for spreadsheets, CSV and xlsx: nothing in them runs as a formula, and amounts stay exact. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import IO, Any

from xlsxwriter import Workbook

Cell = str | Decimal
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""What a spreadsheet might take for a formula, and what looks like our escape of it."""
ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")
PIECE = 64 * 1024
"""Characters of CSV that are given out at a time."""
ROWS_OF_A_SHEET = 1_048_576
"""The most that an xlsx sheet holds, its headings among them."""
DIGITS_OF_A_NUMBER = 15
"""A spreadsheet computes in binary floating point, which keeps so many digits of a decimal number."""


def escaped(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """Take it off again."""
    return text[1:] if ESCAPED.match(text) else text


def csv_pieces(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Write a table piece by piece, so that one of any length needs no more memory than a short one.

    Texts are escaped. Numbers are not: a negative one begins with its sign, and cannot be anything but a number.
    """
    piece = io.StringIO()
    writer = csv.writer(piece, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    for row in chain([columns], rows):
        writer.writerow([escaped(cell) if isinstance(cell, str) else f"{cell:f}" for cell in row])
        if piece.tell() >= PIECE:
            yield piece.getvalue()
            piece.seek(0)
            piece.truncate()
    yield piece.getvalue()


def write_xlsx(file: IO[bytes], *, title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a workbook; its rows go through the disk, so that one of any length needs no more memory than a short one.

    What a sheet cannot hold goes on with headings of its own on the next. A number of more digits than a spreadsheet
    keeps is written as text, rather than as another number.
    """
    with Workbook(file, {"constant_memory": True}) as book:
        formats: dict[int, Any] = {}
        sheet = _sheet(book, title, columns)
        for number, cells in enumerate(rows):
            before, place = divmod(number, ROWS_OF_A_SHEET - 1)
            if before and not place:
                sheet = _sheet(book, f"{title} {before + 1}", columns)
            for column, cell in enumerate(cells):
                if isinstance(cell, str):
                    sheet.write_string(place + 1, column, escaped(cell))
                elif len(cell.as_tuple().digits) > DIGITS_OF_A_NUMBER:
                    sheet.write_string(place + 1, column, f"{cell:f}")
                else:
                    sheet.write_number(place + 1, column, cell, _shown(book, formats, cell))


def _sheet(book: Any, title: str, columns: Sequence[str]) -> Any:
    sheet = book.add_worksheet(title)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(columns) - 1, 18)
    bold = book.add_format({"bold": True})
    for column, heading in enumerate(columns):
        sheet.write_string(0, column, heading, bold)
    return sheet


def _shown(book: Any, formats: dict[int, Any], number: Decimal) -> Any:
    """Find or make the format that shows all decimals of a number, also where they are zeros."""
    decimals = max(0, -int(number.as_tuple().exponent))
    if decimals not in formats:
        formats[decimals] = book.add_format({"num_format": f"0.{'0' * decimals}" if decimals else "0"})
    return formats[decimals]
