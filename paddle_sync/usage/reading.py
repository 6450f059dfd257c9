"""A usage file's bytes -> numbered rows, streamed. Pure.

    bytes  -> pieces of text          unpacking: gzip, limits, UTF-8
    text   -> rows                    tables: CSV;  json_items: a JSON list, JSON Lines
    rows   -> preview, then all       UsageFile, here

What a row alone has wrong is said on the row and the file goes on; what makes the rest unreadable is FileUnreadable.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import chain

from paddle_sync.usage.json_items import OPENING, WRAPPER, JsonItems, JsonLines
from paddle_sync.usage.rows import BinaryStream, FileRow, FileUnreadable, Format, Limits
from paddle_sync.usage.tables import Table
from paddle_sync.usage.unpacking import Unpacking, decoded

HEAD = 4_096
"""Characters from which the format is told, where there are as many."""
_LINES = (".jsonl", ".ndjson")
_DEFAULT = Limits()


class UsageFile:
    """A usage file being read, once, from its beginning to its end."""

    def __init__(self, stream: BinaryStream, *, name: str, limits: Limits = _DEFAULT) -> None:
        """Read its beginning; FileUnreadable where that is enough to see that nothing can be read.

        `name` is a hint where the content leaves more than one format open.
        """
        self._unpacking = Unpacking(stream, limits)
        head, text = _head(decoded(self._unpacking.pieces()), limits)
        self._reader: Table | JsonItems | JsonLines
        self.columns: tuple[str, ...] = ()
        """The header's names in their order; none in JSON."""
        self.is_rejects = False
        """Whether it is a file of rejected rows, as rejects writes it."""
        self.format = _format(head, name.lower().removesuffix(".gz"))
        match self.format:
            case Format.JSON:
                self._reader = JsonItems(text, limits, head=head)
            case Format.JSON_LINES:
                self._reader = JsonLines(chain([head], text), limits)
            case Format.CSV:
                self._reader = table = Table(chain([head], text), limits, head=head)
                self.columns, self.is_rejects = table.columns, table.is_rejects
        self._seen: deque[FileRow] = deque()
        self._rest: Iterator[FileRow] | None = None
        self._failure: FileUnreadable | None = None

    @property
    def bytes_read(self) -> int:
        """How much of the stream has been read, to be held against the file's size."""
        return self._unpacking.taken

    @property
    def bytes_unpacked(self) -> int:
        """How much that was without gzip."""
        return self._unpacking.given

    def peek(self, count: int) -> tuple[FileRow, ...]:
        """Give the first rows, which rows() will give as well; FileUnreadable where they are not to be had."""
        if self._rest is None:
            self._rest = self._reader.rows()
        try:
            while len(self._seen) < count and self._failure is None:
                self._seen.append(next(self._rest))
        except StopIteration:
            pass
        except FileUnreadable as problem:
            self._failure = problem
        if self._failure is not None:
            raise self._failure
        return tuple(self._seen)[:count]

    def rows(self, skip: int = 0) -> Iterator[FileRow]:
        """Give the rows, once; those up to number `skip` are passed over, several times as fast as they are read."""
        if self._rest is None:
            self._rest = self._reader.rows(skip)
            return self._rest
        return (row for row in self._all() if row.number > skip)

    def _all(self) -> Iterator[FileRow]:
        while self._seen:
            yield self._seen.popleft()
        if self._failure is not None:
            raise self._failure
        yield from self._rest or ()


def _head(text: Iterator[str], limits: Limits) -> tuple[str, Iterator[str]]:
    """Read up to the end of the first line, and so far that a format shows, but not for ever: that, and the rest."""
    head = ""
    try:
        for piece in text:
            head += piece
            begun = head.lstrip()
            if (len(begun) >= HEAD and "\n" in begun) or len(head) > limits.longest_row:
                break
    except FileUnreadable as problem:
        if not head.strip():
            raise
        text = iter(partial(_raise, problem), "")
    if not head.strip():
        raise FileUnreadable("It is empty." if not head else "It holds nothing but spaces.", "Export it again.")
    return head, text


def _raise(problem: FileUnreadable) -> str:
    """Give no more text, but the reason for that once it is asked for."""
    raise problem


def _format(head: str, name: str) -> Format:
    begun = head.lstrip(" \t\r\n")
    is_lines = name.endswith(_LINES)
    if OPENING.match(head) and not (is_lines and not begun[1:].lstrip(" \t\r\n").startswith("{")):
        return Format.JSON
    first = begun.partition("\n")[0].strip()
    if first == "{" or (begun[0] == "{" and name.endswith(".json") and not first.endswith("}")):
        text = f'It is one object, and its first name is not "{WRAPPER}".'
        remedy = f'Write a list of items, {{"{WRAPPER}": [...]}}, or JSON Lines with a whole item on each line.'
        raise FileUnreadable(text, remedy, row=1)
    if begun[0] == "{" or is_lines:
        return Format.JSON_LINES
    if name.endswith(".json"):
        remedy = "Write a list of items between [ and ], or name the file for what it is."
        raise FileUnreadable("Its name says JSON, and it begins with neither [ nor {.", remedy, row=1)
    return Format.CSV
