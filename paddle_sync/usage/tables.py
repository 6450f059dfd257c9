"""A CSV file's text -> numbered rows. Pure; one row and a piece of the text are in memory, however long the file."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from integration_project import spreadsheets
from paddle_sync.usage.rows import CSV_CELL, FileRow, FileUnreadable, Limits, Problem
from paddle_sync.usage.unpacking import lines

DELIMITERS = ",;\t|"
ADDED = ("row", "column", "reason")
"""What a file of rejected rows has to the right of the original columns; see rejects."""
SHOWN = 40
_VALUE = re.compile(r"[+-]?[0-9][0-9.,]*|[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
"""What stands in rows, and names no column."""
_QUOTES = "Put quotation marks around the whole cell, and double those inside it."


class Table:
    """The rows of one CSV file, read once from top to bottom."""

    def __init__(self, pieces: Iterator[str], limits: Limits, *, head: str) -> None:
        """Read the header; `head` is the beginning of the pieces, from which alone the delimiter is told."""
        self._limits = limits
        self._unfinished = 0
        self._is_wide = False
        self.delimiter = delimiter_of(head)
        self._reader = csv.reader(
            chain.from_iterable(self._lines(pieces)), delimiter=self.delimiter, strict=True, doublequote=True
        )
        try:
            header = next(self._reader, [])
        except csv.Error as problem:
            raise self._stopped(problem, row=1, line=1) from None
        except FileUnreadable as problem:
            raise problem.at(1) from None
        names = [name.strip() for name in header]
        self.is_rejects = len(names) > len(ADDED) and tuple(names[-len(ADDED) :]) == ADDED
        """Whether it is a file of rejected rows that comes back: its last columns and its escapes are taken off."""
        self.columns = tuple(map(spreadsheets.unescaped, names[: -len(ADDED)])) if self.is_rejects else tuple(names)
        _check_columns(self.columns, limits)

    def rows(self, skip: int = 0) -> Iterator[FileRow]:
        """Give the rows after number `skip`; blank ones are counted, not given. FileUnreadable ends them."""
        columns, reader, usual = self.columns, self._reader, not self.is_rejects
        width, number, line, is_empty = len(columns), 1, reader.line_num, not skip
        while True:
            try:
                for cells in reader:
                    number += 1
                    begins, line, self._unfinished = line + 1, reader.line_num, 0
                    if number <= skip:
                        continue
                    if usual and len(cells) == width and line == begins and not self._is_wide:
                        # Lengths were compared: checking them again here would cost a tenth of the reading.
                        pairs = zip(columns, cells)  # noqa: B905
                        values = {column: cell for column, cell in pairs if cell} if "" in cells else dict(pairs)
                        row = FileRow(number, values, None, begins)
                    else:
                        row = self._odd(number, begins, cells)
                    if row.values or row.problem:
                        is_empty = False
                        yield row
                break
            except csv.Error as problem:
                number += 1
                begins, line, self._unfinished = line + 1, reader.line_num, 0
                row = FileRow(number, {}, self._misquoted(problem, number, begins), begins)
                is_empty = False
                if number > skip:
                    yield row
            except FileUnreadable as problem:
                raise problem.at(number + 1) from None
        if is_empty:
            raise FileUnreadable("It holds a header and no rows.", "Add the rows below it.", row=1)

    def _lines(self, pieces: Iterator[str]) -> Iterator[list[str]]:
        """Give the lines of a piece at a time, and see to it that a row that never ends is not kept."""
        limits = self._limits
        for cut in lines(pieces, longest=limits.longest_row, newline=""):
            if self._unfinished > limits.longest_row:
                raise FileUnreadable(
                    f"It is longer than {limits.longest_row:,} characters over several lines.",
                    "Check its quotation marks: one of them may never be closed.",
                )
            lengths = [len(line) for line in cut]
            self._unfinished += sum(lengths)
            self._is_wide = max(lengths) > limits.longest_field
            yield cut

    def _odd(self, number: int, line: int, cells: Sequence[str]) -> FileRow:
        """Read a row unlike most: of too many or few cells, of several lines, of long cells, or rejected before."""
        width = len(self.columns)
        total = width + len(ADDED) if self.is_rejects else width
        own = [spreadsheets.unescaped(cell) for cell in cells[:width]] if self.is_rejects else cells[:width]
        values = {column: cell for column, cell in zip(self.columns, own, strict=False) if cell}
        if not any(cells):
            return FileRow(number, {}, None, line)
        problem = self._wrong(cells, total) or self._overlong(own)
        if not values and not problem:
            problem = Problem("", "Nothing of this rejected row is filled in.", "Fill it in, or delete the row.")
        return FileRow(number, values, problem, line, tuple(cells[total:]))

    def _wrong(self, cells: Sequence[str], total: int) -> Problem | None:
        names = (*self.columns, *ADDED)
        count = f"It has {len(cells)} cells, and there are {total} columns."
        if len(cells) > total:
            remedy = (
                f"Put quotation marks around cells that hold {_named(self.delimiter)}, and delete what is too much."
            )
            return Problem(names[total - 1], count, remedy)
        if len(cells) < total:
            return Problem(names[len(cells)], count, "Add the missing cells; empty ones are fine.")
        return None

    def _overlong(self, cells: Sequence[str]) -> Problem | None:
        limits = self._limits
        for column, cell in zip(self.columns, cells, strict=False):
            if len(cell) > limits.longest_field:
                text = f"It has {len(cell):,} characters, more than {limits.longest_field:,}."
                return Problem(column, text, "Shorten it, or check its quotation marks.")
        if sum(map(len, cells)) > limits.longest_row:
            return Problem("", f"It is longer than {limits.longest_row:,} characters.", "Shorten it.")
        return None

    def _misquoted(self, problem: csv.Error, row: int, line: int) -> Problem:
        if "expected after" not in str(problem):
            raise self._stopped(problem, row=row, line=line) from None
        return Problem("", "A quotation mark stands in the middle of a cell that begins with one.", _QUOTES)

    def _stopped(self, problem: csv.Error, *, row: int, line: int) -> FileUnreadable:
        if "field limit" in str(problem):
            text = f"A cell that begins in it (line {line}) has more than {CSV_CELL:,} characters."
            return FileUnreadable(text, "Check its quotation marks: one of them may never be closed.", row=row)
        if "end of data" in str(problem):
            text = f"A quotation mark opens a cell in it (line {line}), and nothing closes it."
            return FileUnreadable(text, _QUOTES, row=row)
        return FileUnreadable("A quotation mark stands in the middle of a cell.", _QUOTES, row=row)


def delimiter_of(head: str) -> str:
    """Tell the delimiter from the header alone: of , ; tab and | the one that is there most often outside quotes."""
    counts = dict.fromkeys(DELIMITERS, 0)
    is_quoted = False
    for sign in head:
        if sign == '"':
            is_quoted = not is_quoted
        elif not is_quoted and sign in "\r\n":
            break
        elif not is_quoted and sign in counts:
            counts[sign] += 1
    return max(counts, key=counts.__getitem__)


def _check_columns(columns: Sequence[str], limits: Limits) -> None:
    """FileUnreadable unless they are names, each once, and not too many."""
    if not any(columns):
        raise FileUnreadable("The header is missing: the first row is blank.", "Name the columns in row 1.", row=1)
    if len(columns) > limits.most_columns:
        text = f"It has {len(columns):,} columns, more than {limits.most_columns}."
        raise FileUnreadable(text, "Delete those that are no usage.", row=1)
    for place, name in enumerate(columns, 1):
        if not name:
            raise FileUnreadable("A column has no name.", "Name it, or delete it.", row=1, column=str(place))
        if len(name) > limits.longest_field:
            raise FileUnreadable("A column's name is too long.", "Shorten it.", row=1, column=str(place))
        if _VALUE.fullmatch(name):
            text = f"The header is missing: row 1 has the value {name[:SHOWN]} where a column's name is expected."
            raise FileUnreadable(text, "Put a row with the names of the columns on top.", row=1, column=str(place))
    name, count = Counter(columns).most_common(1)[0]
    if count > 1:
        raise FileUnreadable("Two columns have this name.", "Rename or delete one.", row=1, column=name[:SHOWN])


def _named(delimiter: str) -> str:
    return "a tab" if delimiter == "\t" else delimiter
